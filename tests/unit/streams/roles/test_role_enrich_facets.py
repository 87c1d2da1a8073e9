"""enrich with heads of facets: what is on the item, under which version, and where the shop says otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import msgspec
import numpy as np

from models.fakes import FakeImageEncoder
from processors.facets import Head, Heads
from processors.palette import PALETTE
from processors.second_look import NOTHING
from processors.values import Detection, Pixels
from streams.contract import topics
from streams.contract.codecs import decode_item, encode
from streams.contract.records import Conflict, Item
from streams.engine.message import Message
from streams.roles.enrich import Enrich
from streams.roles.outcome import Unchanged
from tests.unit.streams.roles.test_role_enrich import CountingDetector, Web, photo, role, through

RED = [name for name, _ in PALETTE].index("red")


def heads(version: str, red: str, other: str, maker: str = FakeImageEncoder.fingerprint) -> Heads:
    """A pattern head that says `red` of red garments: the fake encoder's features are shares of the palette."""
    weight = np.zeros((2, FakeImageEncoder.dimension), np.float32)
    weight[0, RED] = 20.0
    head = Head((red, other), weight, np.array([0.0, 2.0], np.float32), (0.6, 0.6), ((), ()))
    return Heads(version, maker, {"pattern": head})


def upload(offset: int = 0, **metadata: str) -> Message:
    value = msgspec.json.encode({"product_id": "sku-1", "image": {"uri": "https://x/y.png"}, "metadata": metadata})
    return Message(topics.UPLOADS, 0, offset, b"sku-1", value)


async def enriched(enrich: Enrich, message: Message) -> Item:
    found: Any = await through(enrich, message)
    if isinstance(found, Unchanged):
        found = found.record
    assert isinstance(found, Item)
    return decode_item(encode(found))


async def test_garments_get_what_the_heads_read_and_the_item_names_the_version() -> None:
    """Value, confidence, source; without heads there is neither."""
    enrich = role(Web(photo()))
    bare = await enriched(enrich, upload())
    assert bare.facets == ""
    assert bare.garments[0].attributes == {}
    item = await enriched(replace(enrich, heads=lambda: heads("sha256:one", "striped", "solid")), upload())
    assert item.facets == "sha256:one"
    found = item.garments[0].attributes["pattern"]
    assert (found.value, found.source, found.second) == ("striped", "pixels", "solid")
    assert 0.6 <= found.confidence <= 1
    assert item.views == bare.views, "the vectors are those of before"
    assert bare.chances is msgspec.UNSET, "without heads an item has the bytes that it had"
    assert isinstance(item.chances, dict)
    assert set(item.chances["pattern"]) <= {"striped", "solid"}
    assert item.chances["pattern"]["striped"] == round(1000 * found.confidence)
    colours = item.chances["colour"]
    assert max(colours, key=lambda name: colours[name]) == "red", (
        "where no head reads colour words, the palette's names stand"
    )
    assert sum(colours.values()) <= 1001


async def test_other_heads_apply_to_what_comes_after() -> None:
    """A photo that is known under one version is looked at again under the next, and recalled where it comes back."""
    detector = CountingDetector()
    enrich = role(Web(photo()), detector)
    first = replace(enrich, heads=lambda: heads("sha256:one", "striped", "solid"))
    second = replace(enrich, heads=lambda: heads("sha256:two", "dotted", "solid"))
    values = [
        (item.facets, item.garments[0].attributes["pattern"].value)
        for item in [await enriched(one, upload(n)) for n, one in enumerate((first, second, first, second))]
    ]
    assert values == [("sha256:one", "striped"), ("sha256:two", "dotted")] * 2
    assert detector.seen == 2


async def test_heads_for_another_encoder_read_nothing() -> None:
    """Its features mean something else."""
    enrich = role(Web(photo()))
    item = await enriched(
        replace(enrich, heads=lambda: heads("sha256:one", "striped", "solid", maker="sha256:x")), upload()
    )
    assert item.garments[0].attributes == {}


async def test_a_conflict_with_the_shop_is_recorded_and_counted() -> None:
    """The item keeps both words; who agrees is in no conflict."""
    told: list[str] = []
    enrich = replace(role(Web(photo())), heads=lambda: heads("sha256:one", "striped", "solid"), conflicted=told.append)
    item = await enriched(enrich, upload(0, pattern="Checks"))
    confidence = item.garments[0].attributes["pattern"].confidence
    assert item.conflicts == (Conflict("g0", "pattern", "checked", "striped", confidence),)
    assert item.garments[0].attributes["pattern"].value == "striped"
    assert told == ["pattern"]
    assert (await enriched(enrich, upload(1, pattern="Stripes"))).conflicts == ()
    assert told == ["pattern"]


def judge(says: str) -> Head:
    """Says one thing of every box."""
    values = (says, "bag") if says != "bag" else (says, NOTHING)
    bias = np.array([9.0, 0.0], np.float32)
    return Head(values, np.zeros((2, FakeImageEncoder.dimension), np.float32), bias, (0.5, 0.5), ((), ()))


async def test_what_the_second_look_calls_nothing_is_on_no_item() -> None:
    """Neither as a garment nor as a view; the photo itself stays."""
    enrich = role(Web(photo()))
    assert len((await enriched(enrich, upload())).garments) == 1
    item = await enriched(replace(role(Web(photo())), judge=judge(NOTHING)), upload())
    assert item.garments == ()
    assert [(view.id, view.category) for view in item.views] == [("whole", "")]


async def test_the_second_look_names_a_garment_and_its_view() -> None:
    """Box and vector are those of before."""
    before = await enriched(role(Web(photo())), upload())
    item = await enriched(replace(role(Web(photo())), judge=judge("bag")), upload())
    assert [one.category for one in item.garments] == ["bag"]
    assert [(view.id, view.category) for view in item.views] == [("whole", "bag"), ("g0", "bag")]
    assert item.garments[0].box == before.garments[0].box
    assert [view.vector for view in item.views] == [view.vector for view in before.views]


class Blind(CountingDetector):
    """Finds nothing."""

    def finish(self, item: Pixels, raw: Any, /) -> tuple[Detection, ...]:
        super().finish(item, raw)
        return ()


async def test_the_whole_photo_is_judged_where_the_detector_finds_nothing() -> None:
    """With the box of what is not ground, its colours, and a view; nothing is claimed where the head says nothing."""
    item = await enriched(replace(role(Web(photo()), Blind()), judge=judge("bag")), upload())
    assert [one.category for one in item.garments] == ["bag"]
    assert [view.id for view in item.views] == ["whole", "g0"]
    assert item.garments[0].colours
    none = await enriched(replace(role(Web(photo()), Blind()), judge=judge(NOTHING)), upload())
    assert none.garments == ()
    assert [view.id for view in none.views] == ["whole"]


async def test_a_kind_that_is_stated_says_the_category() -> None:
    """A kurta that was boxed as a dress is a top, to captions and to the index."""
    weight = np.zeros((2, FakeImageEncoder.dimension), np.float32)
    kind = Head(("kurtas", "dress"), weight, np.array([9.0, 0.0], np.float32), (0.5, 0.5), ((), ()))
    found = Heads("sha256:k", FakeImageEncoder.fingerprint, {"kind": kind})
    item = await enriched(replace(role(Web(photo())), heads=lambda: found, judge=judge("dress")), upload())
    assert item.garments[0].category == "shirt"
    assert [view.category for view in item.views] == ["shirt", "shirt"]


class DressFinder(CountingDetector):
    """Finds one dress in the upper three quarters."""

    def finish(self, item: Pixels, raw: Any, /) -> tuple[Detection, ...]:
        super().finish(item, raw)
        return (Detection("dress", (50.0, 40.0, 150.0, 240.0), 0.9),)


async def test_a_dress_over_trousers_is_a_top_on_the_item_and_in_its_views() -> None:
    """A long top boxed as a dress: what is filtered by and what is described agree."""
    pixels = np.full((320, 200, 3), 250, np.uint8)
    pixels[240:320, 70:130] = 25
    pixels[40:240, 50:150] = (40, 80, 170)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    item = await enriched(role(Web(png), DressFinder()), upload())
    assert [garment.category for garment in item.garments] == ["shirt"]
    assert [view.category for view in item.views] == ["shirt", "shirt"]


class PrintFinder(CountingDetector):
    """Finds a bag in the print of a shirt."""

    def finish(self, item: Pixels, raw: Any, /) -> tuple[Detection, ...]:
        super().finish(item, raw)
        return (Detection("bag", (42.0, 42.0, 55.0, 55.0), 0.4),)


async def test_the_whole_is_judged_where_only_a_small_part_was_found() -> None:
    """The garment that fills the photo is on the item, with its own box, colours and view."""
    enrich = replace(role(Web(photo()), PrintFinder()), judge=judge("shirt"))
    item = await enriched(enrich, upload())
    largest = max(item.garments, key=lambda one: (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]))
    assert largest.category == "shirt"
    assert largest.box[0] < 40
    assert largest.box[3] > 65
    assert largest.colours[0].name == "red"
    assert {view.id for view in item.views} == {"whole", *(one.id for one in item.garments)}
    unjudged = await enriched(role(Web(photo()), PrintFinder()), upload())
    assert len(unjudged.garments) == 1, "without a second look nobody can say what it is"


async def test_a_box_of_a_dress_whose_kinds_are_tops_is_a_top() -> None:
    """Before its facets are read: sleeves that are said of tops only are said of it. Its view has the new category. On plain grounds only."""
    blank = FakeImageEncoder.dimension
    kinds = Head(
        ("tunic", "dress"), np.zeros((2, blank), np.float32), np.array([1.0, 0.0], np.float32), (2.0, 2.0), ((), ())
    )
    sleeve = Head(
        ("long", "short"),
        np.zeros((2, blank), np.float32),
        np.array([3.0, 0.0], np.float32),
        (0.5, 0.5),
        (("shirt",),) * 2,
    )

    async def seen(bias: float, png: bytes = photo(200, 300)) -> tuple[str, str, set[str]]:
        told = replace(kinds, bias=np.array([bias, 0.0], np.float32))
        version = Heads("sha256:v", FakeImageEncoder.fingerprint, {"kind": told, "sleeve": sleeve})
        enrich = replace(role(Web(png), DressFinder()), heads=lambda: version)
        item = await enriched(enrich, upload())
        [garment] = item.garments
        return garment.category, item.views[1].category, set(garment.attributes)

    assert await seen(1.0) == ("shirt", "shirt", {"sleeve"})
    assert await seen(-3.0) == ("dress", "dress", set())
    street = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)
    assert (await seen(1.0, cv2.imencode(".png", street)[1].tobytes()))[0] == "dress", "of the street heads know less"
