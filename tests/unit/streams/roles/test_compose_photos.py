"""compose and a shopper's photo: garments found, searched for one by one, merged; boxes; words that name one of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from models.fakes import FakeImageEncoder, FakeTextEncoder
from processors.decode import DecodeLimits
from processors.exposure import lifted
from processors.facets import Head, Heads
from processors.relevance import Curve, Relevance
from processors.values import Detection, Pixels, Vector
from streams.contract import codecs, topics
from streams.contract.checks import BadQuery
from streams.contract.probes import Answer, Hits, Probe, SearchProbe
from streams.contract.records import Hit, Result
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.compose.role import Compose
from streams.search.pending import PendingQueries

NOW = 1_000_000.0
RED, NAVY, GREEN, GREY = (200, 30, 30), (20, 30, 90), (30, 130, 50), (128, 128, 128)
SHIRT, PANTS = (60.0, 20.0, 140.0, 100.0), (60.0, 110.0, 140.0, 230.0)


class Boxes:
    """A detector that finds what it was told, in pixels of a photo of 200 x 240; it counts how many photos it saw."""

    fingerprint = "boxes"

    def __init__(self, *found: Detection) -> None:
        self.found = found
        self.seen = 0
        self.unsure: tuple[Detection, ...] = ()

    def prepare(self, item: Pixels, /) -> tuple[int, ...]:
        return item.shape

    def forward(self, batch: Sequence[tuple[int, ...]], /) -> list[float]:
        self.seen += len(batch)
        return [shape[0] / 240 for shape in batch]

    def finish(self, item: Pixels, raw: float, /) -> tuple[Detection, ...]:
        return tuple(one for one in self.faint(item, raw) if one.confidence >= 0.3)

    def faint(self, _item: Pixels, raw: float, /) -> tuple[Detection, ...]:
        def scaled(one: Detection) -> Detection:
            x0, y0, x1, y1 = (side * raw for side in one.box)
            return Detection(one.category, (x0, y0, x1, y1), one.confidence)

        return tuple(map(scaled, (*self.found, *self.unsure)))

    def example(self) -> Pixels:
        return np.zeros((240, 200, 3), np.uint8)


def of_colour(colour: tuple[int, int, int]) -> Vector:
    images = FakeImageEncoder()
    patch = np.full((64, 64, 3), colour, np.uint8)
    return images.finish(patch, images.forward([images.prepare(patch)])[0])


class Shop:
    """Two shards with products of one colour each; the answers of a shard come in the order of their scores."""

    def __init__(self, *found: Detection, **products: tuple[str, tuple[int, int, int]]) -> None:
        self.products = [(name, kind, of_colour(colour)) for name, (kind, colour) in products.items()]
        self.detector = Boxes(*found)
        self.pending = PendingQueries(self.send, lambda: self.time)
        self.probes: list[SearchProbe] = []
        self.results: list[Result] = []
        self.time = NOW
        self.heads: Heads | None = None
        self.relevance = Relevance()
        self.deaf: set[str] = set()
        """Probes (the last part of their names in order of asking) that shard 1 does not answer."""

    async def send(self, probe: Probe) -> None:
        assert isinstance(probe, SearchProbe)
        self.probes.append(probe)
        deaf = str(len(self.probes)) in self.deaf
        for partition in (0,) if deaf else (0, 1):
            self.pending.deliver(self.answer(probe, partition))
        if deaf:
            self.time = probe.deadline + 0.001

    def answer(self, probe: SearchProbe, partition: int) -> Answer:
        asked = np.frombuffer(probe.vector, "<f4")
        hits = [
            Hit(name, float(vector @ asked), "images/x", kind)
            for number, (name, kind, vector) in enumerate(self.products)
            if number % 2 == partition
        ]
        hits.sort(key=lambda hit: -hit.score)
        return Hits(
            probe.query_id,
            partition,
            2,
            "g-1",
            9,
            fresh=True,
            hits=tuple(hits[: probe.top_k]),
            typed=True,
            composed=True,
        )

    async def publish(self, _message: Message, result: Result) -> None:
        self.results.append(codecs.decode_result(codecs.encode(result)))

    async def ask(self, photo: Pixels, *, box: Any = None, company: int = 1, **query: Any) -> Result:
        ok, data = cv2.imencode(".png", photo[:, :, ::-1])
        assert ok
        image = {"bytes": base64.b64encode(data.tobytes()).decode()} | ({} if box is None else {"box": box})
        role = Compose(
            fetcher=None,  # type: ignore[arg-type]
            images=FakeImageEncoder(),
            texts=FakeTextEncoder(),
            pending=self.pending,
            publish=self.publish,
            now=lambda: self.time,
            limits=DecodeLimits(),
            partitions=2,
            batch_items=4,
            detector=self.detector,
            heads_of=lambda _maker: self.heads,
            relevance=self.relevance,
        )
        value = msgspec.json.encode({"query_id": "q-1", "image": image, **query})
        message = Message(topics.QUERIES, 0, 3, b"q-1", value, timestamp_ms=int(NOW * 1000))
        read = await role.answering(role.read)(message)
        if not isinstance(read, Done):
            try:
                await role.answer(role.embed([role.cut(role.detect([role.open(read)] * company)[0])])[0])
            except BadQuery as error:
                await role.refuse(message, "q-1", error)
        return self.results[-1]


def street() -> Pixels:
    """A person in a red shirt and navy trousers before something colourful."""
    photo = np.random.default_rng(5).integers(60, 256, (240, 200, 3), np.uint8)
    photo[20:100, 60:140] = RED
    photo[110:230, 60:140] = NAVY
    return photo


def worn() -> Shop:
    return Shop(
        Detection("pants", PANTS, 0.9),
        Detection("shirt", SHIRT, 0.8),
        red=("shirt", RED),
        navy=("pants", NAVY),
        green=("shirt", GREEN),
        grey=("bag", GREY),
    )


async def test_each_garment_of_the_photo_has_its_own_hits_and_the_merged_ones_take_turns() -> None:
    """The shirt is found for the shirt and the trousers for the trousers; both lead the merged list."""
    shop = worn()
    result = await shop.ask(street(), top_k=3)
    assert [(one.id, one.category, one.hits[0].product_id) for one in result.garments] == [
        ("g0", "pants", "navy"),
        ("g1", "shirt", "red"),
    ]
    assert result.garments[1].box == pytest.approx(SHIRT)
    assert {hit.product_id for hit in result.hits[:2]} == {"navy", "red"}
    assert len(result.hits) == len({hit.product_id for hit in result.hits}) == 3


async def test_boxes_are_in_pixels_of_the_photo_as_it_was_sent() -> None:
    """A photo of 1,200 pixels is shrunk before anything looks at it."""
    large = np.asarray(cv2.resize(street(), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST), np.uint8)
    result = await worn().ask(large)
    assert result.garments[1].box == pytest.approx([5 * side for side in SHIRT], abs=0.1)


@pytest.mark.parametrize(
    ("text", "edited", "kept"), [("this shirt, but in green", "g1", "g0"), ("the trousers in green", "g0", "g1")]
)
async def test_words_are_about_the_garment_that_they_name(text: str, edited: str, kept: str) -> None:
    """Its hits go towards what was asked for, and are the hits of the query; the other garment's stay as they were."""
    shop = worn()
    before = {one.id: one.hits for one in (await shop.ask(street())).garments}
    result = await shop.ask(street(), text=text)
    after = {one.id: one.hits for one in result.garments}
    assert after[kept] == before[kept]
    assert after[edited] == result.hits
    green = {hit.product_id: hit.score for hit in after[edited]}["green"]
    assert green > {hit.product_id: hit.score for hit in before[edited]}["green"]


async def test_a_turn_that_names_no_garment_is_about_the_one_that_the_turn_before_named() -> None:
    """ "This shirt, but in green", then "with stripes": the trousers are larger, and nobody spoke of them."""
    shop = worn()
    result = await shop.ask(street(), edits=["this shirt, but in green"], text="striped")
    assert result.hits == next(one for one in result.garments if one.category == "shirt").hits
    result = await shop.ask(street(), edits=["this shirt, but in green"], text="and the trousers in red")
    assert result.hits == next(one for one in result.garments if one.category == "pants").hits


async def test_words_that_name_none_are_about_the_largest() -> None:
    """ "But in green" of a person: the trousers are most of what is seen."""
    shop = worn()
    result = await shop.ask(street(), text="but in green")
    assert result.hits == result.garments[0].hits


async def test_a_box_asks_for_one_garment_and_nothing_is_detected() -> None:
    """The rest of the photo has no part in it."""
    shop = worn()
    result = await shop.ask(street(), box=list(SHIRT))
    assert result.hits[0].product_id == "red"
    assert [(one.id, one.box) for one in result.garments] == [("g0", SHIRT)]
    assert result.garments[0].hits == result.hits
    assert (shop.detector.seen, len(shop.probes)) == (0, 1)


@pytest.mark.parametrize(
    ("box", "cause"),
    [
        ([50, 50, 50, 90], "x0 < x1"),
        ([-20, -20, -1, -1], "above the photo"),
        ([300, 20, 400, 90], "of a photo of 200x240"),
        ([10, 20, 13, 90], "needs 8 a side"),
    ],
)
async def test_a_box_without_a_garment_is_told_by_its_field(box: list[float], cause: str) -> None:
    """Nobody is answered for another part of the photo than was asked for."""
    result = await worn().ask(street(), box=box)
    assert result.error is not None
    assert (result.error.code, result.error.field) == ("out_of_range", "image.box")
    assert cause in result.error.message


async def test_a_box_of_a_product_is_refused() -> None:
    """A product has many photos: nobody knows which one the box lies in."""
    value = msgspec.json.encode({"query_id": "q-1", "image": {"product_id": "sku-1", "box": [0, 0, 9, 9]}})
    with pytest.raises(BadQuery, match="of a photo"):
        codecs.decode_query(Message(topics.QUERIES, 0, 0, b"q-1", value, timestamp_ms=0))
    upload = msgspec.json.encode({"product_id": "a", "image": {"uri": "file:///x", "box": [0, 0, 9, 9]}})
    with pytest.raises(Exception, match="only a query may ask for a part"):
        codecs.decode_upload(Message(topics.UPLOADS, 0, 0, b"a", upload, timestamp_ms=0))


async def test_one_product_on_plain_ground_is_searched_for_whole() -> None:
    """As the shop's own photos are: one question to the shards, and the vector is that of the whole photo."""
    photo = np.full((240, 200, 3), 255, np.uint8)
    photo[20:100, 60:140] = RED
    shop = Shop(Detection("shirt", SHIRT, 0.8), red=("shirt", RED), grey=("bag", GREY))
    result = await shop.ask(photo)
    images = FakeImageEncoder()
    whole = images.finish(photo, images.forward([images.prepare(photo)])[0])
    [probe] = shop.probes
    assert np.frombuffer(probe.vector, "<f4") == pytest.approx(whole)
    assert result.garments[0].hits == result.hits


async def test_a_photo_in_which_nothing_is_found_is_searched_for_whole() -> None:
    """And has no garments to show."""
    shop = Shop(red=("shirt", RED))
    result = await shop.ask(street())
    assert [hit.product_id for hit in result.hits] == ["red"]
    assert result.garments == ()


async def test_a_shard_that_does_not_answer_for_one_garment_makes_the_result_partial() -> None:
    """What came in time is answered, at the deadline."""
    shop = worn()
    shop.deaf = {"2"}
    result = await shop.ask(street(), deadline_ms=800)
    assert result.partial
    assert result.took_ms <= 800
    assert result.garments[1].hits[0].product_id == "red"


async def test_a_dim_photo_finds_what_the_bright_one_finds() -> None:
    """Half of the light: colours are read as they would be in a shop's photo."""
    dim = (street() * 0.5).astype(np.uint8)
    result = await worn().ask(dim)
    assert [one.hits[0].product_id for one in result.garments] == ["navy", "red"]
    scores = [one.hits[0].score for one in result.garments]
    assert scores == pytest.approx([one.hits[0].score for one in (await worn().ask(street())).garments], abs=0.02)


def test_exposure_is_left_alone_where_something_is_bright() -> None:
    """The very same array: the vectors of well-lit photos do not change."""
    assert lifted(bright := street()) is bright
    black = np.full((64, 64, 3), 20, np.uint8)
    assert int(lifted(black).max()) == 40, "black cloth alone stays dark"


def always_striped() -> Heads:
    """Heads that find every garment striped."""
    weight = np.zeros((2, FakeImageEncoder.dimension), np.float32)
    head = Head(("striped", "solid"), weight, np.array([3.0, 0.0], np.float32), (0.6, 0.6), ((), ()))
    return Heads("sha256:one", FakeImageEncoder.fingerprint, {"pattern": head})


async def test_an_edit_of_a_photo_is_asked_by_its_facets_as_that_of_a_product_is() -> None:
    """By the heads that are live: what the garment probably is stays, but for what the words set; others are asked by their vectors."""
    shop = worn()
    shop.heads = always_striped()
    result = await shop.ask(street(), text="the shirt in green")
    assert result.understood is not None
    assert (result.understood.set, result.understood.heads) == ({"colour": "green"}, "sha256:one")
    assert result.understood.kept == ("category", "pattern")
    [composed] = [probe for probe in shop.probes if probe.blocks]
    assert composed.blocks["pattern"]["striped"] > composed.blocks["pattern"]["solid"] > 0
    assert composed.blocks["category"]["shirt"] > 0
    assert composed.wishes["colour"][0] == "green"
    assert np.linalg.norm(np.frombuffer(composed.vector, "<f4")) < 0.5, "the facets have the larger say"


async def test_a_refusal_alone_is_asked_by_facets_and_mixes_no_other_garment_into_the_list() -> None:
    """Its scores are on another scale."""
    shop = worn()
    shop.heads = always_striped()
    result = await shop.ask(street(), text="not striped")
    [composed] = [probe for probe in shop.probes if probe.blocks]
    assert composed.blocks["pattern"]["striped"] < 0
    asked = np.frombuffer(composed.vector, "<f4")
    by_score = sorted(shop.products, key=lambda one: (-round(float(one[2] @ asked), 6), one[0]))
    assert [hit.product_id for hit in result.hits] == [name for name, _, _ in by_score]
    without = await Shop(Detection("shirt", SHIRT, 0.8), red=("shirt", RED)).ask(street(), text="in green")
    assert without.understood is not None
    assert without.understood.kept is msgspec.UNSET, "where nothing reads facets the words act on the vector"


FITTED = Relevance(FakeImageEncoder.fingerprint, {"photo": Curve(20.0, 0.6, 0.4), "words": Curve(20.0, 0.3, 0.4)})


async def test_hits_have_a_relevance_and_a_photo_of_nothing_is_not_answered_with_confidence() -> None:
    """Where garments are seen and found the result is sure; of a photo in which none is seen it is not, however near its hits lie."""
    shop = worn()
    shop.relevance = FITTED
    result = await shop.ask(street())
    assert result.confident is True
    assert result.garments[0].hits[0].relevance == result.hits[0].relevance
    assert isinstance(result.hits[0].relevance, float)
    assert result.hits[0].relevance > 0.9
    shop.detector.found = ()
    unsure = await shop.ask(street())
    assert unsure.hits
    assert unsure.confident is False


async def test_hits_below_the_least_relevance_are_left_out() -> None:
    """Of the merged list and of every garment's."""
    shop = worn()
    shop.relevance = FITTED
    result = await shop.ask(street(), min_relevance=0.9)
    shown = [*result.hits, *(hit for one in result.garments for hit in one.hits)]
    assert {hit.product_id for hit in shown} == {"red", "navy"}
    refused = await shop.ask(street(), min_relevance=1.5)
    assert refused.error is not None
    assert refused.error.field == "min_relevance"


async def test_without_a_fit_nothing_is_said_and_a_least_relevance_is_told_as_not_followed() -> None:
    """No number is better than one that nobody measured."""
    result = await worn().ask(street(), min_relevance=0.9)
    assert result.confident is None
    assert len(result.hits) == 4
    assert [warning.field for warning in result.warnings] == ["min_relevance"]


async def test_what_the_detector_is_unsure_of_is_searched_for_behind_the_rest() -> None:
    """Where no surer box lies; the words are not about it, and a photo of which nothing else is seen is not sure."""
    shop = worn()
    shop.relevance = FITTED
    shop.detector.found = shop.detector.found[1:]
    shop.detector.unsure = (Detection("pants", PANTS, 0.2), Detection("jacket", SHIRT, 0.18))
    result = await shop.ask(street())
    assert [(one.category, one.hits[0].product_id) for one in result.garments] == [("shirt", "red"), ("pants", "navy")]
    assert result.confident is True
    edited = await shop.ask(street(), text="but in green")
    assert edited.hits == edited.garments[0].hits, "the trousers are larger, and unsure"
    shop.detector.found = ()
    assert (await shop.ask(street())).confident is False


async def test_a_product_on_plain_ground_has_no_unsure_garments() -> None:
    """It is compared whole: what else is seen in it is the model's eye, or a shadow."""
    photo = np.full((240, 200, 3), 255, np.uint8)
    photo[20:100, 60:140] = RED
    shop = Shop(Detection("shirt", SHIRT, 0.8), red=("shirt", RED), grey=("bag", GREY))
    shop.detector.unsure = (Detection("bag", PANTS, 0.2),)
    result = await shop.ask(photo)
    assert len(shop.probes) == 1
    assert [one.category for one in result.garments] == ["shirt"]


async def test_one_photo_alone_and_photos_in_company_are_answered_alike() -> None:
    """Beside the detector, or behind it: the whole photo gets the same vector."""
    shop = worn()
    await shop.ask(street())
    alone = [probe.vector for probe in shop.probes]
    shop.probes.clear()
    await shop.ask(street(), company=2)
    assert [probe.vector for probe in shop.probes] == alone


@pytest.mark.parametrize("text", ["the shirt in green", "not striped", "this shirt, more elegant"])
async def test_an_edit_has_no_relevance(text: str) -> None:
    """Its scores are on another scale, with facets or without: nothing is said, and a least relevance is told as not followed."""
    for heads in (None, always_striped()):
        shop = worn()
        shop.heads, shop.relevance = heads, FITTED
        result = await shop.ask(street(), text=text, min_relevance=0.9)
        if text == "not striped" and heads is None:
            assert result.confident is not None, "a filter on plain scores of photos"
            continue
        assert result.confident is None
        shown = [*result.hits, *(hit for one in result.garments for hit in one.hits)]
        assert len(shown) > 4
        assert all(hit.relevance is msgspec.UNSET for hit in shown)
        assert [warning.field for warning in result.warnings] == ["min_relevance"]
