"""The command line against a running stack: JSON in the shapes of EVENTS.md on stdout, stable exit codes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from streams.cli.exits import Exit
from streams.contract import topics
from streams.contract.records import Caption, Result, Upload
from tests.fixtures.commands import weft
from tests.fixtures.stack import Up, photo_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PATIENT = ("--deadline-ms", "60000")
"""A busy machine is no failure."""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder as a shop hands it over: photos, a table beside them, and something that is no photo."""
    folder = tmp_path / "shop"
    folder.mkdir()
    photo_of(folder, "cli-red", (200, 20, 30))
    photo_of(folder, "cli-navy", (20, 30, 80))
    (folder / "cli-broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "readme.txt").write_text("no photo")
    (folder / "products.csv").write_text("product_id,image,title,fabric\ncli-red,cli-red.png,Red dress,linen\n")
    return folder


def test_ingest_query_captions(up: Up, shop: Path) -> None:
    """The three commands a visitor types first; a broken photo among the others is refused by exit code and name."""
    where = ("--data-dir", str(up.data_dir))
    ingested = weft("ingest", str(shop), "--wait", "--json", *where)
    assert ingested.returncode == Exit.REJECTED, ingested.stderr
    captions = {
        c.product_id: c for c in (msgspec.json.decode(line, type=Caption) for line in ingested.stdout.splitlines())
    }
    assert set(captions) == {"cli-red", "cli-navy"}
    assert captions["cli-red"].evidence.garments[0].attributes["fabric"].value == "linen"
    assert "cli-broken" in ingested.stderr
    asked = weft("query", "--product", "cli-red", "--text", "but in navy", "--top-k", "3", "--json", *PATIENT, *where)
    assert asked.returncode == Exit.OK, asked.stderr
    assert "cli-navy" in {hit.product_id for hit in msgspec.json.decode(asked.stdout, type=Result).hits}
    shown = weft("captions", "--json", *where)
    assert {json.loads(line)["product_id"] for line in shown.stdout.splitlines()} >= {"cli-red", "cli-navy"}
    table = weft("captions", *where)
    assert table.returncode == Exit.OK
    assert "cli-red" in table.stdout


def test_ingest_without_waiting_prints_what_was_sent(up: Up, shop: Path) -> None:
    """One upload a line, as it lies on the topic."""
    sent = weft("ingest", str(shop / "cli-red.png"), "--json", "--data-dir", str(up.data_dir))
    assert sent.returncode == Exit.OK, sent.stderr
    upload = msgspec.json.decode(sent.stdout, type=Upload)
    assert upload.product_id
    assert (upload.image.uri or "").startswith("images/"), "relative to the store"
    assert (Path(urlsplit(up.file.store).path) / (upload.image.uri or "")).is_file()


def test_a_query_from_a_photo(up: Up, shop: Path) -> None:
    """The photo need not be of the catalogue."""
    where = ("--data-dir", str(up.data_dir))
    weft("ingest", str(shop), "--wait", *where)
    asked = weft(
        "query", "--image", str(shop / "cli-navy.png"), "--json", "--filter", "category=dress", *PATIENT, *where
    )
    assert asked.returncode == Exit.OK, asked.stderr
    assert all(hit.category == "dress" for hit in msgspec.json.decode(asked.stdout, type=Result).hits)


def test_articles_of_a_folder(up: Up, tmp_path: Path) -> None:
    """Sent, listed, shown and taken back; a file that is none is named, and the dry run sends nothing."""
    where = ("--data-dir", str(up.data_dir))
    (tmp_path / "cli-story.md").write_text("---\nproduct: cli-told\n---\nIt was cut in Porto by Ada Moreau.")
    (tmp_path / "cli-empty.md").write_text("---\nproduct: cli-told\n---\n")
    dry = weft("articles", "ingest", str(tmp_path), "--dry-run", "--json", *where)
    assert (dry.returncode, json.loads(dry.stdout)["id"]) == (Exit.REJECTED, "cli-story")
    assert "cli-empty.md" in dry.stderr
    assert "cli-story" not in weft("articles", "list", *where).stdout
    sent = weft("articles", "ingest", str(tmp_path), "--json", *where)
    assert (sent.returncode, sent.stdout) == (Exit.REJECTED, dry.stdout)
    listed = weft("articles", "list", "--json", *where)
    assert sent.stdout.strip() in listed.stdout.splitlines()
    assert "It was cut in Porto by Ada Moreau." in weft("articles", "show", "cli-story", *where).stdout
    assert weft("articles", "delete", "cli-story", *where).returncode == Exit.OK
    assert weft("articles", "show", "cli-story", *where).returncode == Exit.REJECTED


README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_commands_of_the_readme(up: Up, tmp_path: Path) -> None:
    """Every line of "Keep it running", as it stands there, with the stack of this module in the place of `weft up`."""
    (tmp_path / "photos").mkdir()
    photo_of(tmp_path / "photos", "sku-1", (200, 20, 30))
    photo_of(tmp_path, "dress", (20, 30, 80)).path.rename(tmp_path / "dress.jpg")
    section = README.split("## Keep it running")[1].split("\n## ")[0]
    lines = [
        shlex.split(line, comments=True) for line in section.split("```sh")[1].split("```")[0].splitlines() if line
    ]
    assert [line[1] for line in lines] == ["up", "ingest", "query", "query", "query", "captions", "dlq", "doctor"]
    # The models of this stack are none, and the doctor says so.
    codes = {"doctor": Exit.UNAVAILABLE, "captions": Exit.INTERRUPTED}
    for program, command, *rest in lines[1:]:
        assert program == ".venv/bin/weft"
        running = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", command, *rest, "--data-dir", str(up.data_dir)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "WEFT_PROFILE": "fake"},
        )
        assert running.stdout is not None
        if "--follow" in rest:
            assert running.stdout.readline()
            running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=120)
        assert running.returncode == codes.get(command, Exit.OK), (command, rest, said)


def test_topics_and_doctor(up: Up) -> None:
    """Every topic is there; the doctor names what is wrong (here: models that are not real)."""
    where = ("--data-dir", str(up.data_dir))
    listed = weft("topics", "list", "--json", *where)
    assert {topic["name"] for topic in json.loads(listed.stdout)} == {spec.name for spec in topics.TOPICS}
    created = weft("topics", "create", "--json", *where)
    assert [report["created"] for report in json.loads(created.stdout)] == [False] * len(topics.TOPICS)
    diagnosis = weft("doctor", "--json", *where)
    assert diagnosis.returncode == Exit.UNAVAILABLE
    findings = {finding["part"]: finding for finding in json.loads(diagnosis.stdout)["findings"]}
    assert {part for part, finding in findings.items() if not finding["ok"]} == {"models"}
    assert findings["models"]["advice"]


def test_a_refused_query_has_its_exit_code(up: Up) -> None:
    """The result is printed all the same: it says why."""
    asked = weft("query", "--product", "nobody", "--json", *PATIENT, "--data-dir", str(up.data_dir))
    assert asked.returncode == Exit.REJECTED
    error = msgspec.json.decode(asked.stdout, type=Result).error
    assert error is not None
    assert error.code == "unknown_product"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("query", "--text", "red"), Exit.UNAVAILABLE, "127.0.0.1:9"),
        (("captions",), Exit.UNAVAILABLE, "127.0.0.1:9"),
        (("ingest", "/nowhere/at/all"), Exit.REJECTED, "/nowhere/at/all"),
        (("query", "--text", "x", "--filter", "red"), Exit.USAGE, "facet=value"),
        (("query", "--product", "a", "--image", "b"), Exit.USAGE, "--image"),
        (("worker", "enrich", "nonsense"), Exit.USAGE, "nonsense"),
        (("models", "pull", "nonsense"), Exit.USAGE, "nonsense"),
    ],
)
def test_errors_are_sentences_with_stable_codes(
    arguments: tuple[str, ...], code: Exit, says: str, tmp_path: Path
) -> None:
    """No traceback, and the sentence names what is at fault."""
    answer = weft(*arguments, WEFT_BOOTSTRAP_SERVERS="127.0.0.1:9", WEFT_DATA_DIR=str(tmp_path))
    assert answer.returncode == code, answer.stderr
    assert says in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("profile", ["starter", "full"])
@pytest.mark.parametrize("command", ["up", "demo", "eval writer"])
def test_weights_that_nobody_fetched(command: str, profile: str, tmp_path: Path) -> None:
    """One clear sentence at once, and no broker, no role and no traceback before it."""
    more = ("--out", str(tmp_path / "out")) if command == "demo" else ()
    cache, data = tmp_path / "cache", tmp_path / "data"
    answer = weft(*command.split(), *more, WEFT_MODEL_CACHE=str(cache), WEFT_PROFILE=profile, WEFT_DATA_DIR=str(data))
    assert answer.returncode == Exit.UNAVAILABLE, answer.stderr
    assert answer.stderr.splitlines()[-1].startswith(f"weft: {cache}")
    assert answer.stderr.rstrip().endswith(f"run `weft models pull {profile}`")
    assert "Traceback" not in answer.stderr
    assert not (data / "logs").exists()


def test_a_wrong_setting_is_named() -> None:
    """By the variable that the user typed."""
    answer = weft("doctor", WEFT_PARTITIONS="many")
    assert answer.returncode == Exit.USAGE
    assert "WEFT_PARTITIONS" in answer.stderr


def _labelled_shop(folder: Path) -> tuple[Path, Path]:
    """A table of red "striped" and navy "dotted" shirts of ten brands, and their photos."""
    photos = folder / "labelled"
    photos.mkdir()
    rows = ["id,brand,articleType,pattern,color"]
    for n in range(60):
        red = n % 2 == 0
        photo_of(photos, f"taught-{n}", (200 - n, 20, 30) if red else (20, 30, 80 - n // 2))
        rows.append(
            f"taught-{n},brand {n // 6},{'Shirts' if red else 'Tshirts'},{'Stripes' if red else 'Polka Dots'},"
            f"{'Brick' if red else 'Midnight'}"
        )
    table = folder / "labelled.csv"
    table.write_text("\n".join(rows) + "\n")
    return table, photos


def _facets_of(up: Up, photo: Path) -> Caption:
    sent = weft("ingest", str(photo), "--wait", "--json", "--data-dir", str(up.data_dir))
    assert sent.returncode == Exit.OK, sent.stderr
    return msgspec.json.decode(sent.stdout.splitlines()[-1], type=Caption)


def test_facets_fit_on_a_running_stack(up: Up, tmp_path: Path) -> None:
    """A shop's own labels are learnt while the roles run; the next upload has its facets, under the version's name, is found
    by them, and has none any more once the version is rolled back.
    """
    where = ("--data-dir", str(up.data_dir))
    table, photos = _labelled_shop(tmp_path)
    out = tmp_path / "drawn"
    fitted = weft(
        "facets", "fit", "--products", str(table), "--images", str(photos), "--out", str(out), "--json", *where
    )
    assert fitted.returncode == Exit.OK, fitted.stderr
    found = json.loads(fitted.stdout)
    worth = {facet["facet"]: facet for facet in found["card"]["facets"]}
    assert set(worth) == {"kind", "pattern", "colour"}
    assert worth["pattern"]["right"] == worth["pattern"]["stated"] > 40
    assert sorted(path.name for path in out.iterdir()) == ["facets-reliability.png", "facets-values.png"]
    listed = json.loads(weft("facets", "list", "--json", *where).stdout)
    assert [(one["version"], one["live"]) for one in listed] == [(found["version"], True)]
    assert json.loads(weft("facets", "show", "--json", *where).stdout)["card"] == found["card"]

    deadline = time.monotonic() + 60
    for attempt in range(100):
        # The roles look every few seconds: another photo each time, as a known one is not looked at again.
        photo_of(tmp_path, f"seen-{attempt}", (180, 21 + attempt, 33))
        caption = _facets_of(up, tmp_path / f"seen-{attempt}.png")
        if caption.lineage.facets or time.monotonic() > deadline:
            break
    assert caption.lineage.facets == found["version"]
    decided = caption.evidence.garments[0].attributes
    assert (decided["pattern"].value, decided["pattern"].source) == ("striped", "pixels")
    assert decided["kind"].value == "shirt"
    asked = weft("query", "--text", "something red", "--filter", "pattern=Stripes", "--json", *PATIENT, *where)
    assert asked.returncode == Exit.OK, asked.stderr
    assert caption.product_id in {hit.product_id for hit in msgspec.json.decode(asked.stdout, type=Result).hits}

    back = weft("facets", "rollback", "--json", *where)
    assert json.loads(back.stdout) == {"live": "", "before": []}
    for attempt in range(100):
        photo_of(tmp_path, f"later-{attempt}", (180, 21 + attempt, 34))
        later = _facets_of(up, tmp_path / f"later-{attempt}.png")
        if not later.lineage.facets:
            break
    assert later.evidence.garments[0].attributes == {}
    used = weft("facets", "use", found["version"][7:19], "--json", *where)
    assert json.loads(used.stdout)["live"] == found["version"]
    weft("facets", "rollback", *where)


def test_a_nightly_feed(up: Up, tmp_path: Path) -> None:
    """What is unchanged is not sent, what is gone is deleted, and a feed that was cut off deletes nothing. It takes the
    products of other tests for gone, and there is one where it comes first."""
    where = ("--full", "--json", "--data-dir", str(up.data_dir))
    yesterday = tmp_path / "yesterday"
    yesterday.mkdir()
    photo_of(yesterday, "of-yesterday", (30, 20, 200))
    assert weft("ingest", str(yesterday), "--wait", *where[2:]).returncode == Exit.OK
    folder = tmp_path / "shop"
    folder.mkdir()
    for number in range(4):
        photo_of(folder, f"feed-{number}", (200, 20 * number, 30))
    feed = folder / "tonight.csv"
    rows = [f"feed-{number},feed-{number}.png,Dress {number},79" for number in range(4)]
    head = "id,image,title,price\n"
    feed.write_text(head + "\n".join(rows))

    dry = weft("ingest", str(feed), "--dry-run", *where)
    counts = json.loads(dry.stdout)
    assert counts["new"] == 4
    assert counts["gone"] > 0
    assert counts["model_seconds"] > 0
    assert dry.returncode == Exit.REJECTED, "too much is gone"
    assert "feed-0" not in weft("captions", "--json", *where[2:]).stdout

    cut_off = weft("ingest", str(feed), *where)
    assert cut_off.returncode == Exit.REJECTED
    assert "--force" in cut_off.stderr
    assert weft("ingest", str(feed), "--force", "--wait", *where[:1], *where[2:]).returncode == Exit.OK
    again = weft("ingest", str(feed), *where)
    assert json.loads(again.stdout) == {
        "new": 0, "photo": 0, "facts": 0, "columns": 0, "unchanged": 4, "gone": 0, "refused": 0
    }  # fmt: skip
    assert "sent 0" in again.stderr

    photo_of(folder, "feed-1", (10, 200, 30))
    changed = [rows[0].replace("79", "59"), rows[1], rows[2].replace("Dress 2", "Linen dress")]
    feed.write_text(head + "\n".join([*changed, "feed-4,none.png,No photo,1"]))
    night = weft("ingest", str(feed), "--force", *where)
    assert json.loads(night.stdout) == {
        "new": 0, "photo": 1, "facts": 1, "columns": 1, "unchanged": 0, "gone": 1, "refused": 1
    }  # fmt: skip
    assert night.returncode == Exit.REJECTED
    assert "tonight.csv line 5" in night.stderr
    left = json.loads(weft("ingest", str(feed), "--dry-run", *where).stdout)
    assert (left["unchanged"], left["gone"]) == (3, 0), "a run that was ended goes on where it was"
