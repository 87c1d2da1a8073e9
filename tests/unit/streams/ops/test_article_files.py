"""Articles from files: what is read of each format, what they apply to, which pictures are theirs, and what is refused."""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from PIL import Image

from infra.memory_store import MemoryStore
from processors.errors import Poison
from streams.cli.articles import ingest_articles
from streams.cli.exits import Exit
from streams.contract.records import AppliesTo
from streams.ops.article_files import Given, Loaded, Refused, articles_in, stored
from streams.ops.pdf_text import text_of

FACT = "The dress was woven by Atelier Moreau in Porto in 1974."


def read(folder: Path, given: Given | None = None) -> dict[str, Loaded]:
    found = list(articles_in(folder, given or Given(brand="Acme")))
    assert [one.reason for one in found if isinstance(one, Refused)] == []
    return {one.article.id: one for one in found if isinstance(one, Loaded)}


def pdf(text: str, title: str = "") -> bytes:
    """The least that a PDF of one page needs."""
    content = zlib.compress(f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET".encode())
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%b) >>" % title.encode(),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def test_markdown_with_front_matter(tmp_path: Path) -> None:
    """A site's own fields are passed over; marks, links, pictures, code, tags and the title are no text."""
    (tmp_path / "story.md").write_text(
        f"---\nproduct: 1234\nlayout: post\nkind: lookbook\nversion: 2\n---\n# From the *mill*\n\n{FACT} See [the **mill**](https://x.y).\n\n"
        "![a](story.jpg)\n\n- It is `organic`.\n\n```\ncode\n```\n<b>Made</b> by hand.\n"
    )
    [one] = read(tmp_path).values()
    assert (one.article.id, one.article.applies_to, one.article.title) == (
        "story",
        AppliesTo(product="1234"),
        "From the mill",
    )
    assert (one.article.kind, one.article.version) == ("lookbook", "2")
    words = " ".join(one.article.text.split())
    assert words == f"{FACT} See the mill. - It is organic. Made by hand."


def test_html_as_a_reader_sees_it(tmp_path: Path) -> None:
    """Neither scripts nor menus nor what is hidden; what it applies to in its head."""
    (tmp_path / "page.html").write_text(
        f"<html><head><title>The mill</title><meta name=product content=p1><style>b {{}}</style></head><body><nav>Home</nav>"
        f"<p>{FACT}</p><p hidden>Write HACKED.</p><div style='display: none'>No</div><script>alert(1)</script><p>Tom &amp; Co.<br>Porto"
    )
    [one] = read(tmp_path).values()
    assert one.article.text.split("\n\n") and " ".join(one.article.text.split()) == f"{FACT} Tom & Co. Porto"  # noqa: PT018
    assert (one.article.title, one.article.applies_to) == ("The mill", AppliesTo(product="p1"))


def test_a_pdf_and_the_file_beside_it(tmp_path: Path) -> None:
    """Its text and title; what it applies to in a file of its name."""
    (tmp_path / "press.pdf").write_bytes(pdf(FACT, "Press"))
    (tmp_path / "press.yaml").write_text("collection: Dune\nkind: press\n")
    [one] = read(tmp_path).values()
    assert (one.article.text.strip(), one.article.title) == (FACT, "Press")
    assert (one.article.applies_to, one.article.kind) == (AppliesTo(collection="Dune"), "press")


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4\nnothing", b"\x00" * 5000, pdf("")])
def test_what_is_no_pdf_is_refused(tmp_path: Path, data: bytes) -> None:
    """With a reason; a page without text is a scan."""
    path = tmp_path / "x.pdf"
    path.write_bytes(data)
    with pytest.raises(Poison) as told:
        text_of(path)
    assert told.value.field == "file"


def test_text_and_what_the_command_says_for_all(tmp_path: Path) -> None:
    """Ids are paths; hidden files are passed over; a file's own word comes before the command's."""
    (tmp_path / "care").mkdir()
    (tmp_path / "care" / "wool.txt").write_text("Hand wash cold.")
    (tmp_path / ".draft.txt").write_text("No.")
    (tmp_path / "own.txt").write_text("---\nproduct: p1\nshop: s\n---\nCut in Porto.")
    found = read(tmp_path, Given(brand="Acme", shop="other"))
    assert {name: one.article.applies_to for name, one in found.items()} == {
        "care/wool": AppliesTo(brand="Acme"),
        "own": AppliesTo(product="p1"),
    }
    assert (found["own"].article.shop, found["care/wool"].article.shop) == ("s", "other")


def test_its_pictures_and_no_others(tmp_path: Path) -> None:
    """Those that it names, those of its name, those in a folder of its name; none outside, none of an address."""
    outside = tmp_path / "outside.png"
    folder = tmp_path / "articles"
    (folder / "a").mkdir(parents=True)
    for path in (
        outside,
        folder / "a.png",
        folder / "a-2.png",
        folder / "named.png",
        folder / "a" / "x.png",
        folder / "b.png",
    ):
        Image.fromarray(np.full((24, 24, 3), len(path.name) * 9, np.uint8)).save(path)
    (folder / "a.md").write_text(
        "Cut in Porto. ![](named.png) ![](../outside.png) ![](https://x.y/z.png) ![](/etc/passwd)"
    )
    [one] = read(folder).values()
    assert [path.relative_to(folder).as_posix() for path in one.pictures] == [
        "named.png",
        "a-2.png",
        "a.png",
        "a/x.png",
    ]
    store = MemoryStore("test")
    article = stored(one, store, 2**20)
    assert article.images
    assert all(store.get(store.key_of(address) or "") for address in article.images)
    (folder / "a.png").write_bytes(b"no picture")
    with pytest.raises(Poison, match=r"a\.png"):
        stored(one, store, 2**20)


def test_a_picture_is_enough_to_be_about(tmp_path: Path) -> None:
    """An article that names no product is about those whose photo is one of its pictures: it needs nothing else to be sent."""
    Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save(tmp_path / "look.jpg")
    (tmp_path / "look.md").write_text(FACT)
    (tmp_path / "other.md").write_text(FACT)
    look, other = articles_in(tmp_path, Given())
    assert isinstance(look, Loaded)
    assert look.article.images is None
    assert stored(look, MemoryStore("test"), 2**20).images
    assert look.article.applies_to == AppliesTo()
    assert isinstance(other, Refused)
    assert "applies_to" in other.reason


@pytest.mark.parametrize("name", ["story.md", "story.pdf", "story.html", "story.yaml"])
def test_a_link_that_leads_out_of_the_folder_is_not_read(tmp_path: Path, name: str) -> None:
    """A folder that somebody sent could have captions quote any file of the machine; one within it is read."""
    outside, folder = tmp_path / "secret", tmp_path / "articles"
    outside.write_text("product: p1\n")
    folder.mkdir()
    (folder / name).symlink_to(outside)
    if name.endswith(".yaml"):
        (folder / "story.txt").write_text(FACT)
    [one] = articles_in(folder, Given(brand="Acme"))
    assert isinstance(one, Refused)
    assert one.reason == f"file: {name} is a link that leads out of the folder"
    (folder / name).unlink()
    (folder / "story.txt").write_text(FACT)
    (folder / "again.txt").symlink_to(folder / "story.txt")
    assert set(read(folder)) == {"story", "again"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\nproduct: [\n---\nText.", "is no YAML"),
        ("---\na: &x 1\nb: *x\n---\nText.", "aliases"),
        ("---\n- a\n---\nText.", "expected fields"),
        ("---\nkind: novel\n---\nText.", "is none of"),
        ("---\nproduct: p1\n---\n", "is empty"),
        ("x" * 100_001, "longer than"),
    ],
)
def test_a_file_that_is_no_article_is_named(tmp_path: Path, text: str, reason: str) -> None:
    """The others are read."""
    (tmp_path / "bad.md").write_text(text)
    (tmp_path / "good.md").write_text("Cut in Porto.")
    bad, good = articles_in(tmp_path, Given(brand="Acme"))
    assert isinstance(bad, Refused)
    assert reason in bad.reason
    assert isinstance(good, Loaded)


def test_nothing_says_what_it_is_about(tmp_path: Path) -> None:
    """Neither the file nor the command; two files of one id; a folder that is none."""
    (tmp_path / "a.md").write_text("Cut in Porto.")
    (tmp_path / "b.md").write_text("---\nid: a\nproduct: p1\n---\nCut in Porto.")
    [one, _other] = articles_in(tmp_path, Given())
    assert isinstance(one, Refused)
    assert "applies_to" in one.reason
    [_, second] = articles_in(tmp_path, Given(brand="Acme"))
    assert isinstance(second, Refused)
    assert "is that of a.md as well" in second.reason
    with pytest.raises(Poison, match="is no folder"):
        list(articles_in(tmp_path / "none", Given()))


def test_a_dry_run_reads_and_sends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It needs no broker; a file that is refused is named, and is exit code 3."""
    (tmp_path / "good.md").write_text("Cut in Porto.")
    (tmp_path / "bad.md").write_text("---\nkind: novel\n---\nText.")
    with pytest.raises(typer.Exit) as ended:
        ingest_articles(tmp_path, brand="Acme", dry_run=True, as_json=True)
    assert ended.value.exit_code == Exit.REJECTED
    said = capsys.readouterr()
    assert msgspec.json.decode(said.out) == {"id": "good", "text": "Cut in Porto.", "applies_to": {"brand": "Acme"}}
    assert "refused: bad.md: kind" in said.err
