"""`weft captions export`: what each format says, what it leaves alone, and what changed since."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import msgspec
import pytest

from models.fakes import FakeWriter
from processors.errors import BadSetting
from processors.identity import key_of
from streams.contract.records import Caption
from streams.ops.caption_export import FORMATS, Standing, chosen, since
from tests.unit.streams.roles.test_role_caption import GOOD, Scripted, captioner, item, message, through

NOON = 1_770_000_000_000


async def rows() -> list[Standing]:
    """One by the language model, one of a shop that waits, and one that was deleted."""
    caption = await through(captioner(Scripted(GOOD)), message(item("sku-1")))
    assert isinstance(caption, Caption)
    held = await through(replace(captioner(FakeWriter()), by_rule=True), message(item("sku-2")))
    held = msgspec.structs.replace(held, shop="acme", caption='Red; "loud",\na dress.', status="hold")
    return [
        Standing("sku-1", caption, NOON),
        Standing(key_of("acme", "sku-2"), held, NOON + 1000),
        Standing("sku-3", None, NOON + 2000),
    ]


def table(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


async def test_csv_holds_every_text_and_who_wrote_it() -> None:
    """Ids apart from shops, line breaks and quotes as they are, deletions marked."""
    found = table("".join(FORMATS["csv"](await rows())))
    assert [row["product_id"] for row in found] == ["sku-1", "sku-2", "sku-3"]
    assert [row["deleted"] for row in found] == ["", "", "true"]
    first, second, _ = found
    assert (first["caption"], first["writer"], first["machine_made"]) == ("A red dress for every day.", "llm", "true")
    assert first["model"] == FakeWriter().fingerprint
    assert (second["shop"], second["caption"], second["status"]) == ("acme", 'Red; "loud",\na dress.', "hold")
    assert first["title"] == "Red dress"
    assert first["changed"] == "2026-02-02T02:40:00.000Z"


async def test_jsonl_is_the_events() -> None:
    """Each line decodes as a caption; a deletion says so."""
    lines = [json.loads(line) for line in FORMATS["jsonl"](await rows())]
    assert msgspec.convert({k: v for k, v in lines[0].items() if k != "changed"}, Caption).title == "Red dress"
    assert lines[2] == {"product_id": "sku-3", "shop": "", "deleted": True, "changed": "2026-02-02T02:40:02.000Z"}


async def test_shopify_gets_metafields_alone() -> None:
    """The handle, and nothing that people edit: no title, no body, no SEO field."""
    found = table("".join(FORMATS["shopify"](await rows())))
    assert [row["Handle"] for row in found] == ["sku-1", "sku-2"]
    assert all(name == "Handle" or "(product.metafields.weft." in name for name in found[0])
    assert found[0]["Weft title (product.metafields.weft.title)"] == "Red dress"


async def test_merchant_is_told_what_a_model_wrote() -> None:
    """The structured attributes; a text with a colon or quotes is quoted, and a line is a line."""
    found = table("".join(FORMATS["merchant"](await rows())).replace('"', "”"), "\t")
    assert set(found[0]) == {"id", "structured_title", "structured_description"}
    assert found[0]["structured_title"] == "default:Red dress"
    assert found[0]["structured_description"].startswith("trained_algorithmic_media:A red dress")
    assert found[1]["structured_description"].startswith("”default:")
    assert len(found) == 2


async def test_what_changed_since_and_what_may_go_out() -> None:
    """By the time of the record; what waits stays behind, deletions do not."""
    all_of = await rows()
    assert [row.product for row in chosen(all_of, since_ms=0, status="ready")] == ["sku-1", "sku-3"]
    assert [row.product for row in chosen(all_of, since_ms=NOON + 1, status="all")] == [
        key_of("acme", "sku-2"),
        "sku-3",
    ]
    assert since("", 5.0) == 0
    assert since("24h", NOON / 1000) == NOON - 86_400_000
    assert since("2026-02-02T02:40:00Z", 0.0) == since("2026-02-02T02:40:00", 0.0) == NOON
    with pytest.raises(BadSetting, match="--changed-since yesterday"):
        since("yesterday", 0.0)


async def test_a_record_of_before_there_was_a_provenance() -> None:
    """Has empty columns, and is no error."""
    [first, *_] = await rows()
    assert first.caption is not None
    old = replace(first, caption=msgspec.structs.replace(first.caption, provenance=None))
    [row] = table("".join(FORMATS["csv"]([old])))
    assert (row["machine_made"], row["model"], row["caption"]) == ("", "", "A red dress for every day.")


STRUCTURED = re.compile(r'(trained_algorithmic_media|default):("(?:[^"]|"")*"|[^":]*)')
"""Google's text form of a structured attribute: its source type, a colon, and the content, quoted where it holds a colon or a quote."""


async def test_a_strict_reader_takes_what_merchant_is_sent() -> None:
    """As documented: known columns, an id once, both attributes whole, within their limits; nothing that a person edits."""
    long = "word " * 1200 + "end"
    [first, second, _] = await rows()
    assert first.caption is not None
    first = replace(first, caption=msgspec.structs.replace(first.caption, title=long, caption=long))
    text = "".join(FORMATS["merchant"]([first, second]))
    assert text.endswith("\n")
    found = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True))
    assert found[0] == ["id", "structured_title", "structured_description"]
    assert all(len(row) == 3 for row in found)
    assert len({row[0] for row in found}) == len(found)
    for row in found[1:]:
        for cell, limit in zip(row[1:], (150, 5000), strict=True):
            match = STRUCTURED.fullmatch(cell)
            assert match is not None
            content = match.group(2)
            content = content[1:-1].replace('""', '"') if content.startswith('"') else content
            assert 0 < len(content) <= limit
            assert "\t" not in content
            assert "\n" not in content


async def test_a_strict_reader_takes_what_shopify_is_sent() -> None:
    """The handle first, each other header a metafield's; as many cells as headers; no column of the product itself."""
    text = "".join(FORMATS["shopify"](await rows()))
    header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert header[0] == "Handle"
    assert all(re.fullmatch(r"[^()]+ \(product\.metafields\.weft\.[a-z0-9_]{3,64}\)", name) for name in header[1:])
    assert len(set(header)) == len(header)
    assert [len(line) for line in lines] == [len(header)] * 2
    told = {"machine_made", "model", "version", "inferred", "reviewed_by"}
    assert told <= {name.rpartition(".")[2].rstrip(")") for name in header[1:]}


@pytest.mark.parametrize("to", ["shopify", "merchant"])
async def test_two_shops_with_one_id_do_not_go_into_one_file(to: str) -> None:
    """An import would give one the texts of the other; nothing is written, and either shop alone is."""
    [first, second, _] = await rows()
    assert second.caption is not None
    same = replace(
        second, product=key_of("acme", "sku-1"), caption=msgspec.structs.replace(second.caption, product_id="sku-1")
    )
    with pytest.raises(BadSetting, match=r"product sku-1 is of acme and no shop.*--shop"):
        next(iter(FORMATS[to]([first, same])))
    for one in (first, same):
        assert len(list(FORMATS[to]([one]))) == 2
    assert len(table("".join(FORMATS["csv"]([first, same])))) == 2
