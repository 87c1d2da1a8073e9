"""Two profiles side by side: what both say alike is asked once, the rest in turn; figures, page, and processes that die."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from models.yardsticks.captions import Product, products_of
from models.yardsticks.photos import Photos
from processors.errors import Fatal, Poison
from processors.values import Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item, Source, View
from streams.facets.labelled import Labelled
from streams.ops.compare import page, wire
from streams.ops.compare.processes import running
from streams.ops.compare.run import Comparison, Given
from tests.fixtures.commands import weft

COLOURS = {"red": (40, 47, 200), "navy": (71, 39, 28)}


@contextmanager
def silent(_what: str, _of: int) -> Iterator[Any]:
    yield lambda _done: None


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """24 products of two colours, with a table and photos."""
    rows = []
    for number in range(24):
        colour = ("red", "navy")[number % 2]
        picture = np.full((96, 64, 3), 240, np.uint8)
        picture[16:80, 16 : 40 + number % 7] = COLOURS[colour]
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        rows.append({"id": str(number), "articleType": "Dresses", "baseColour": colour, "brandName": f"b{number % 3}"})
    (tmp_path / "products.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


class Scripted:
    """A process that answers what it is told to. `box`: of the garment that it finds; `says`: its captions."""

    def __init__(self, name: str, parts: dict[str, str], colour: str, asked: list[tuple[str, str]]) -> None:
        self.name, self.peak_bytes = name, 2**30
        self._parts, self._colour, self._asked = parts, colour, asked
        self._taken = 0

    def ask(self, request: wire.Request, kind: type[Any]) -> tuple[Any, float]:
        """See `Process`."""
        self._asked.append((self.name, type(request).__name__))
        answer = self._answer(request)
        assert isinstance(answer, kind)
        return answer, 0.5

    def _answer(self, request: wire.Request) -> Any:
        match request:
            case wire.Load():
                return wire.Loaded(self._parts)
            case wire.Enrich():
                items = tuple(encode(self._item(name)) for name, path in request.photos if path != "5.png")
                refused = tuple((path, "cut short") for _, path in request.photos if path == "5.png")
                return wire.Enriched(items, refused)
            case wire.Write():
                return wire.Written(tuple(self._text(name) for name in request.products))
            case wire.Ask():
                return wire.Hits(tuple((reference,) for reference, _ in request.queries))
            case wire.Take():
                self._taken += len(request.items)
        return wire.Done()

    def _item(self, name: str) -> Item:
        vector = np.array([1.0, int(name) / 10, int(name) % 2], np.float32)
        views = (View("whole", "dress", (vector / np.linalg.norm(vector)).astype("<f4").tobytes()),)
        source = Source(topics.UPLOADS, 0, int(name))
        image = f"images/{name}.png"
        return Item(name, image, 64, 96, (GARMENT,), views, Metadata(), "e", 3, "d", source, "0")

    def _text(self, name: str) -> wire.Text:
        colour = self._colour or ("red", "navy")[int(name) % 2]
        return wire.Text(name, (GARMENT,), 64, 96, f"A {colour} dress.", (f"#{colour}",), "llm")


GARMENT = Garment("g0", "dress", (16.0, 16.0, 40.0, 80.0), 0.9, (Colour("red", "#c82f28", 1.0),))
PARTS = {"detector": "d", "encoder": "e", "facets": "f", "writer": "w"}


def given(shop: Path) -> Given:
    photos = Photos.open(shop)
    rows = [(row["id"], "", row) for row in map(json.loads, (shop / "products.jsonl").read_text().splitlines())]
    products, _, _ = products_of(rows, photos)
    labelled = {one.product_id: _labelled(one) for one in products}
    return Given(products, photos, labelled)


def _labelled(one: Product) -> Labelled:
    labels = {"kind": "dress", "colour": str(one.fields["baseColour"])}
    return Labelled(one.product_id, one.path, one.brand, "Dresses", labels)


def test_only_what_differs_is_asked_of_both(shop: Path, tmp_path: Path) -> None:
    """Another writer: photos are looked at once (the other process sees one batch, for its memory); captions come from both, in turn."""
    asked: list[tuple[str, str]] = []
    mine = Scripted("own", {**PARTS, "writer": "own"}, "", asked)
    theirs = Scripted("starter", PARTS, "red", asked)
    found = Comparison(mine, theirs, given(shop), silent).run()  # type: ignore[arg-type]
    counts = {key: asked.count(key) for key in set(asked)}
    assert counts["own", "Enrich"] == 2
    assert (counts["starter", "Enrich"], counts["starter", "Take"]) == (1, 2)
    assert counts["own", "Write"] == counts["starter", "Write"] == 2
    writes = [name for name, what in asked if what == "Write"]
    assert writes == ["own", "starter", "starter", "own"]
    assert ("starter", "Ask") not in counts
    report = found.report
    assert {name: part.same for name, part in report.parts.items()} == {
        "detector": True, "encoder": True, "facets": True, "writer": False
    }  # fmt: skip
    rows = {row.name: row for row in report.yardsticks}
    assert (rows["captions: colour right"].profile.value, rows["captions: colour right"].verdict) == (1.0, "better")
    assert rows["captions: colour right"].other.value == pytest.approx(12 / 23)
    assert rows["captions: wrong claims"].verdict == "better"
    assert not rows["captions: coverage"].once
    assert rows["retrieval: 10-NN of colour"].once
    assert rows["composed: R@1"].difference.value == 0.0
    assert (report.products, [one.name for one in report.refused]) == (23, ["5.png"])
    assert set(report.left_out) == {"detection", "worn"}
    told = msgspec.json.decode(msgspec.json.encode(report))
    assert told["with"] == "starter"
    assert {"profile", "with", "difference", "beyond_noise", "verdict", "once"} <= set(told["yardsticks"][0])
    page.write(tmp_path / "page.html", found, Photos.open(shop))
    text = (tmp_path / "page.html").read_text()
    assert text.count("<article") == 11  # those that are navy: the others are said alike
    assert 'title="colour: red">red</mark>' in text
    assert "data:image/jpeg;base64," in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_same_models_are_measured_once(shop: Path, tmp_path: Path) -> None:
    """Every figure says so, nothing is beyond noise, and the page says that there is nothing to see."""
    asked: list[tuple[str, str]] = []
    both = [Scripted(name, PARTS, "", asked) for name in ("own", "starter")]
    found = Comparison(*both, given(shop), silent).run()  # type: ignore[arg-type]
    assert all(row.once and not row.beyond_noise for row in (*found.report.yardsticks, *found.report.speed))
    assert found.report.neighbours_overlap == 1.0
    page.write(tmp_path / "page.html", found, Photos.open(shop))
    assert "Both say the same of every product" in (tmp_path / "page.html").read_text()


def test_the_command(shop: Path, tmp_path: Path) -> None:
    """Two processes of the fake profile; figures on stdout, the page in its file."""
    done = weft(
        *("models", "compare", "fake", "--with", "fake", "--products", str(shop / "products.jsonl")),
        *("--images", str(shop), "--html", str(tmp_path / "page.html"), "--json"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["profile"], told["with"], told["products"]) == ("fake", "fake", 24)
    assert all(part["same"] for part in told["parts"].values())
    rows = {row["name"]: row for row in told["yardsticks"]}
    assert rows["captions: colour right"]["profile"]["value"] > 0.9
    assert {row["name"] for row in told["speed"]} == {"images/s", "captions/s"}
    assert min(told["peak_bytes"].values()) > 2**20
    assert "looking at photos: 24 of 24" in done.stderr
    assert (tmp_path / "page.html").exists()
    unknown = weft("models", "compare", "no-such", "--products", "x", "--images", str(shop))
    assert unknown.returncode == 2
    assert "no-such" in unknown.stderr


def test_a_process_that_cannot_go_on_is_told_by_its_profile(shop: Path) -> None:
    """An error of a model is raised with the profile's name; a process that dies is no answer that is waited for."""
    with running("fake", "fake", shop, shop) as process:
        process.ask(wire.Load(), wire.Loaded)
        with pytest.raises(Fatal, match="fake: KeyError"):
            process.ask(wire.Write(("nobody",)), wire.Written)
        os.kill(process.child.pid, 9)
        with pytest.raises(Fatal, match="fake: its process ended with -9"):
            process.ask(wire.Know(), wire.Done)
    with running("no-such", "no-such", shop, shop) as process, pytest.raises(Fatal, match="no-such"):
        process.ask(wire.Load(), wire.Loaded)


def test_no_photo_at_all(shop: Path) -> None:
    """It says why, by the first cause."""
    only = given(shop)
    alone = Given([one for one in only.products if one.path == "5.png"], only.photos, {})
    both = [Scripted(name, PARTS, "", []) for name in ("own", "starter")]
    with pytest.raises(Poison, match="cut short"):
        Comparison(*both, alone, silent).run()  # type: ignore[arg-type]
