"""caption, stage by stage: whose word counts, and what happens when the language model does not behave."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from index_sync.bank import Neighbour
from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from models.ports import Writer, WriterRequest
from models.served.options import options_of
from models.served.writer import ServedWriter
from processors.attributes import Calibration, Calibrations
from processors.errors import Fatal, Retryable
from processors.hold import Rule
from processors.policies import Policies, policies_of
from processors.values import Attribute, Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item, Source, View
from streams.engine.inline import run_inline
from streams.engine.message import EDITION, Message
from streams.engine.patience import Patience
from streams.engine.stages import Done
from streams.roles.caption.drafts import Settled, needs_no_device
from streams.roles.caption.facts import seed_of
from streams.roles.caption.mending import has_fallen
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted, Makeshift, NoEffect, Unchanged
from tests.fakes import llm_server
from tests.fakes.llm_server import MODEL, LlmServer, Reply, completion
from tests.fixtures.engines import World, running


class Scripted(FakeWriter):
    """Writes what it is told, draft after draft; counts its batches."""

    def __init__(self, *drafts: str) -> None:
        self.drafts, self.batches = list(drafts), 0

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.batches += 1
        draft = self.drafts.pop(0)
        if draft == "crash":
            raise RuntimeError("the model library fell over")
        return [draft for _ in batch]

    def finish(self, _request: WriterRequest, raw: str, /) -> str:
        return raw


VOTED = policies_of({"fabric": "neighbours"})
GOOD = "A red dress for every day. It is easy to wear.\n#reddress #dress #newin #style #ootd #fashion #look #wardrobe"
LIE = "A blue silk coat for every day. It is easy to wear.\n#bluecoat #coat #newin #style #ootd #fashion #look #outfit"


def item(product_id: str, *, angle: float = 0.0, kind: str = "dress", **metadata: str) -> Item:
    vector = np.array([np.cos(angle), np.sin(angle)], dtype="<f4").tobytes()
    garment = Garment("g0", kind, (0, 0, 50, 90), 0.9, (Colour("red", "#c8141e", 1.0),))
    return Item(
        product_id=product_id,
        image="file:///x",
        width=60,
        height=100,
        garments=(garment,),
        views=(View("whole", kind, vector), View("g0", kind, vector)),
        metadata=Metadata(**metadata),
        encoder="sha256:e",
        dimension=2,
        detector="sha256:d",
        source=Source(topics.UPLOADS, 0, 5),
        version="0",
    )


def message(of: Item, offset: int = 0) -> Message:
    return Message(topics.ITEMS, 0, offset, of.product_id.encode(), encode(of))


def captioner(writer: Writer, neighbourhood: Neighbourhood | None = None) -> Captioner:
    memo = Memo(MemoryStore("test"), "caption", writer.fingerprint)
    return Captioner(
        writer=writer,
        neighbourhood=neighbourhood or Neighbourhood(VOTED.voted()),
        memo=memo,
        calibration=Calibration(),
        batch_items=4,
        batch_wait_s=0.0,
        policies=VOTED,
        rules=load(None),
    )


async def through(role: Captioner, of: Message) -> Any:
    read = role.read(of)
    if not isinstance(read, Done):
        read = await role.recall(read)
    if isinstance(read, Done):
        return read.result.record if isinstance(read.result, Unchanged) else read.result
    draft = role.prompt(role.pack(read))
    if not isinstance(draft, Settled):
        [draft] = role.drafts.write([draft])
    judged = role.drafts.judge(draft)
    if needs_no_device(judged) is None:
        [judged] = role.drafts.write([judged])
    return await role.remember(role.drafts.settle(judged))


async def test_a_grounded_draft_goes_out_as_it_is() -> None:
    """Each claim with its span and its garment."""
    caption = await through(captioner(Scripted(GOOD)), message(item("sku-1")))
    assert isinstance(caption, Caption)
    assert caption.writer == "llm"
    stated = {caption.caption[span.start : span.end].lower(): span.facet for span in caption.spans}
    assert stated == {"red": "colour", "dress": "category"}
    assert caption.lineage.source == Source(topics.UPLOADS, 0, 5)


async def test_a_draft_that_claims_too_much_gets_a_second_chance() -> None:
    """Once more, with another seed."""
    writer = Scripted(LIE, GOOD)
    caption = await through(captioner(writer), message(item("sku-1")))
    assert (caption.writer, writer.batches) == ("llm", 2)


async def test_two_bad_drafts_leave_it_to_the_rules() -> None:
    """Nothing ungrounded goes out, and the caption says who wrote it."""
    caption = await through(captioner(Scripted(LIE, LIE)), message(item("sku-1")))
    assert caption.writer == "template"
    assert "silk" not in caption.caption.lower()
    assert "dress" in caption.caption.lower()


async def test_a_model_that_falls_over_leaves_it_to_the_rules_for_now() -> None:
    """The product gets its caption all the same; the next delivery asks the model again."""
    role = captioner(Scripted("crash", GOOD))
    first = await through(role, message(item("sku-1")))
    again = await through(role, message(item("sku-1")))
    once_more = await through(role, message(item("sku-1")))
    assert [c.writer for c in (first, again, once_more)] == ["template", "llm", "llm"]


async def test_a_second_draft_that_falls_over_is_not_the_last_word_either() -> None:
    """The first was refused, the second never came: rules for now."""
    role = captioner(Scripted(LIE, "crash", GOOD))
    assert (await through(role, message(item("sku-1")))).writer == "template"
    assert (await through(role, message(item("sku-1")))).writer == "llm"


async def test_what_the_verifier_refused_twice_is_the_models_last_word() -> None:
    """It is asked with the same seeds for the same evidence: a re-delivery publishes the same bytes without it."""
    writer = Scripted(LIE, LIE)
    role = captioner(writer)
    first = await through(role, message(item("sku-1")))
    assert encode(await through(role, message(item("sku-1")))) == encode(first)
    assert (first.writer, writer.batches) == ("template", 2)


RUBBISH = "dress dress dress dress"


async def test_rubbish_is_not_the_last_word() -> None:
    """What nobody can read says nothing of the product: it is asked again, and then it is known why the first caption was by rule."""
    counted: list[str] = []
    role = replace(captioner(Scripted(RUBBISH, RUBBISH, LIE, GOOD)), refused=counted.append)
    first = await through(role, message(item("sku-1")))
    assert first.writer == "template"
    assert first.provenance.refused == (("no hashtags",), ("no hashtags",))
    assert counted == ["hashtags", "hashtags"]
    again = await through(role, message(item("sku-1")))
    assert again.writer == "llm"
    assert [any("silk" in reason for reason in reasons) for reasons in again.provenance.refused] == [True]
    assert counted[2] == "ungrounded"
    known = await through(role, message(item("sku-1")))
    assert encode(known) == encode(again)  # the reasons are remembered with the text


class Hanging(FakeWriter):
    """Does not come back until it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.go.wait(60)
        return super().forward(batch)


async def test_a_model_that_hangs_leaves_it_to_the_rules_until_it_is_well() -> None:
    """The whole batch gets its captions in time, the cause is counted, and nothing of it is remembered."""
    counted: list[str] = []
    writer = Hanging()
    role = replace(captioner(writer), refused=counted.append, patience=Patience(0.05))
    first = await through(role, message(item("sku-1")))
    assert (first.writer, first.provenance.refused, counted) == ("template", (("hung",),), ["hung"])
    writer.go.set()
    while (again := await through(role, message(item("sku-1")))).writer != "llm":
        assert again.provenance.refused == (("hung",),)


async def test_the_shelf_votes_and_shows_its_words() -> None:
    """Products from outside the catalogue decide a facet, are named for it, and lend their words; the shop's own word stands."""
    near = [Neighbour(f"shelf-{n}", 0.95, {"fabric": "linen"}, "Soft and easy for long days") for n in range(4)]

    def shelf(encoder: str, shop: str, kind: str, vector: Any, k: int, exclude: str) -> Sequence[Neighbour]:
        assert (encoder, shop, kind, exclude) in {
            ("sha256:e", "", "dress", "sku-1"),
            ("sha256:e", "", "dress", "sku-2"),
        }
        return near[:k]

    role = replace(captioner(FakeWriter()), shelf=shelf)
    read = role.read(message(item("sku-1")))
    assert not isinstance(read, Done)
    pack = role.pack(read).request.evidence
    fabric = pack.garments[0].attributes["fabric"]
    assert (fabric.value, fabric.source, set(fabric.neighbours)) == (
        "linen",
        "neighbours",
        {n.product_id for n in near},
    )
    assert pack.style_examples[0].text == "Soft and easy for long days"
    own = role.read(message(item("sku-2", fabric="silk")))
    assert not isinstance(own, Done)
    assert role.pack(own).request.evidence.garments[0].attributes["fabric"].value == "silk"


class Choosy(FakeWriter):
    """Raises for one product's requests: while preparing, on the device, or while finishing. Watches its threads."""

    def __init__(self, bad_seed: int, where: str) -> None:
        self.bad_seed, self.where = bad_seed, where
        self.runs: list[int] = []
        self.judged_on: set[str] = set()

    def _trip(self, seeds: Sequence[int], where: str) -> None:
        if self.where == where and self.bad_seed in seeds:
            raise RuntimeError("index out of range in self")

    def prepare(self, item: WriterRequest, /) -> Any:
        self.judged_on.add(threading.current_thread().name)
        self._trip([item.seed], "prepare")
        return item

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.runs.append(len(batch))
        self._trip([request.seed for request in batch], "forward")
        return [GOOD for _ in batch]

    def finish(self, item: WriterRequest, raw: str, /) -> str:
        self.judged_on.add(threading.current_thread().name)
        self._trip([item.seed], "finish")
        return raw


@pytest.mark.parametrize("where", ["prepare", "forward", "finish"])
async def test_one_bad_product_costs_itself_only(where: str) -> None:
    """The others of its batch get the model's captions, and only theirs are remembered."""
    messages = [message(item(f"sku-{n}"), n) for n in range(7)]
    reads = [captioner(FakeWriter()).read(one) for one in messages]
    bad = reads[3]
    assert not isinstance(bad, Done)
    writer = Choosy(seed_of(bad.keys.facts), where)
    role = replace(captioner(writer), batch_items=8, batch_wait_s=0.2)
    world = World()
    with ThreadPoolExecutor(1, "device") as thread, ThreadPoolExecutor(2, "cpu") as cpu:
        async with running(role.stages(), world, executor=thread, cpu=cpu) as pipeline:
            for one in messages:
                await pipeline.submit(one, world.ack(one))
            await pipeline.drain()
    by_writer = {caption.product_id: caption.writer for _, caption in world.published}
    assert by_writer == {f"sku-{n}": "template" if n == 3 else "llm" for n in range(7)}
    assert not world.dead
    assert max(writer.runs) > 1, "they shared a batch"
    assert all(name.startswith("cpu") for name in writer.judged_on), "the device thread only runs the model"
    kept = [await role.memo.get(read.keys.facts) for read in reads if not isinstance(read, Done)]
    assert [n for n, one in enumerate(kept) if one is None] == [3]


async def test_trouble_that_passes_is_no_fallback() -> None:
    """Out of memory for a while: the products wait, and get the model's captions."""

    class Tight(Choosy):
        def forward(self, batch: Sequence[Any], /) -> list[Any]:
            self.runs.append(len(batch))
            if len(self.runs) < 3:
                raise Retryable("out of memory, even for its own example")
            return [GOOD for _ in batch]

    writer = Tight(0, "")
    world = World()
    with ThreadPoolExecutor(1, "device") as thread:
        async with running(captioner(writer).stages(), world, executor=thread) as pipeline:
            await pipeline.submit(message(item("sku-1")), lambda: None)
            await pipeline.drain()
    assert [caption.writer for _, caption in world.published] == ["llm"]


async def test_what_was_written_once_is_published_again_as_it_was() -> None:
    """A re-delivered item has the same bytes, whatever its offset and whatever the model would say now."""
    role = captioner(Scripted(GOOD))
    first = await through(role, message(item("sku-1"), offset=3))
    again = await through(role, message(item("sku-1"), offset=9))
    assert encode(again) == encode(first)


async def outcome(role: Captioner, of: Message) -> Any:
    """What the role makes of a record, without asking the model; None where it would ask."""
    read = role.read(of)
    found = read if isinstance(read, Done) else await role.recall(read)
    return found.result if isinstance(found, Done) else None


def later(of: Item, offset: int, **metadata: Any) -> Item:
    """The same product from a later upload, with some metadata changed."""
    changed = msgspec.structs.replace(of.metadata, **metadata)
    return msgspec.structs.replace(of, source=Source(topics.UPLOADS, 0, offset), metadata=changed)


async def test_a_caption_is_a_function_of_what_it_states() -> None:
    """Another price, another stock, another place on the topic, other neighbours: the same bytes, and no model."""
    near = Neighbourhood(VOTED.voted())
    role = captioner(Scripted(GOOD), near)
    first = item("sku-1", fabric="", title="A dress")
    caption = await through(role, message(first, 3))
    near.apply(message(item("linen-1", fabric="linen"), 4))
    near.apply(message(item("linen-2", fabric="linen", angle=0.01), 5))
    near.apply(message(item("linen-3", fabric="linen", angle=0.02), 6))
    for offset, changed in ((7, {}), (8, {"price": 49.5}), (9, {"facets": {"stock": "3", "sku": "x"}})):
        again = await outcome(role, message(later(first, offset, **changed), offset))
        assert isinstance(again, Unchanged)
        assert encode(again.record) == encode(caption)


async def test_the_older_of_two_equal_items_never_names_the_younger() -> None:
    """Both are in one batch, and the younger is remembered first: each names its own upload, at every delivery, in one text."""
    role = captioner(Scripted(GOOD))
    older, younger = message(item("sku-1"), 3), message(later(item("sku-1"), 9), 4)
    second = await through(role, younger)
    assert second.lineage.source.offset == 9
    for _ in range(2):
        first = await outcome(role, older)
        assert not isinstance(first, Unchanged)
        assert (first.lineage.source.offset, first.caption) == (5, second.caption)


async def test_the_same_record_again_is_a_second_delivery() -> None:
    """It is published as it was, and does not count as a product that came again."""
    role = captioner(Scripted(GOOD))
    once = message(item("sku-1"), 3)
    caption = await through(role, once)
    assert encode(await outcome(role, once)) == encode(caption)


async def test_a_changed_fact_writes_that_product_anew() -> None:
    """Another fabric, another colour: the model is asked; back to the first one, it is not."""
    role = captioner(Scripted(GOOD, GOOD))
    first = item("sku-1", fabric="wool")
    caption = await through(role, message(first, 1))
    changed = later(first, 12, fabric="silk")
    assert await outcome(role, message(changed, 2)) is None
    navy = msgspec.structs.replace(first.garments[0], colours=(Colour("navy", "#1c2747", 1.0),))
    assert await outcome(role, message(msgspec.structs.replace(first, garments=(navy,)), 3)) is None
    await through(role, message(changed, 2))
    back = await outcome(role, message(later(first, 14), 4))
    assert isinstance(back, Unchanged)
    assert encode(back.record) == encode(caption)


async def test_another_product_with_the_same_facts_has_a_text_of_its_own() -> None:
    """Its seed is its own; so is its memo."""
    role = captioner(Scripted(GOOD))
    await through(role, message(item("sku-1")))
    assert await outcome(role, message(item("sku-2"))) is None
    seeds = {
        seed_of(read.keys.facts) for n in (1, 2) if not isinstance(read := role.read(message(item(f"sku-{n}"))), Done)
    }
    assert len(seeds) == 2


async def test_another_photo_with_the_same_facts_keeps_its_text_and_shows_its_own_boxes() -> None:
    """No model is asked; the evidence points at the pixels of now, and the caption says which upload it is of."""
    role = captioner(Scripted(GOOD))
    first = item("sku-1")
    caption = await through(role, message(first, 1))
    moved = msgspec.structs.replace(first.garments[0], box=(5, 5, 40, 80), confidence=0.8)
    other = msgspec.structs.replace(later(first, 9), image="file:///y", garments=(moved,))
    shown = await outcome(role, message(other, 9))
    assert not isinstance(shown, Unchanged)
    assert (shown.caption, shown.hashtags, shown.spans) == (caption.caption, caption.hashtags, caption.spans)
    assert shown.evidence.garments[0].box == (5, 5, 40, 80)
    assert shown.lineage.source.offset == 9
    again = await outcome(role, message(msgspec.structs.replace(other, source=Source(topics.UPLOADS, 0, 12)), 12))
    assert isinstance(again, Unchanged)
    assert encode(again.record) == encode(shown)


async def test_a_text_that_is_asked_for_anew_is_the_text_from_then_on() -> None:
    """With another seed, once for each edition, whoever dies in between; what comes later unchanged keeps it."""
    other = GOOD.replace("red dress", "dress in red", 1)
    role = captioner(Scripted(GOOD, other))
    once = message(item("sku-1"), 1)
    first = await through(role, once)
    wanted = replace(once, offset=2, headers=((EDITION, b"1"),))
    second = await through(role, wanted)
    assert second.caption != first.caption
    assert encode(await through(role, wanted)) == encode(second), "a second delivery"
    later_on = await outcome(role, message(later(item("sku-1"), 9), 3))
    assert encode(later_on.record) == encode(second)


async def test_an_edition_whose_process_died_is_the_text_all_the_same() -> None:
    """Written and remembered, but not yet in the place of the first: the second delivery puts it there."""
    other = GOOD.replace("red dress", "dress in red", 1)
    role = captioner(Scripted(GOOD, other))
    once = message(item("sku-1"), 1)
    first = await through(role, once)
    read = role.read(once)
    assert not isinstance(read, Done)
    before = await role.memo.get(read.plain.facts), await role.memo.get(read.plain.sight)
    wanted = replace(once, offset=2, headers=((EDITION, b"1"),))
    second = await through(role, wanted)
    for key, value in zip((read.plain.facts, read.plain.sight), before, strict=True):
        await role.memo.replace(key, msgspec.msgpack.decode(value or b""))
    assert encode((await outcome(role, message(later(item("sku-1"), 5), 3))).record) == encode(first)
    await through(role, wanted)
    assert encode((await outcome(role, message(later(item("sku-1"), 6), 4))).record) == encode(second)


def neighbourhood() -> Neighbourhood:
    found = Neighbourhood(VOTED.voted())
    for number in range(4):
        found.apply(
            message(item(f"linen-{number}", angle=0.01 * number, fabric="linen", gender="women"), offset=number)
        )
    return found


async def test_neighbours_tell_what_the_photo_does_not() -> None:
    """With their names, and with their confidence."""
    caption = await through(captioner(Scripted(GOOD), neighbourhood()), message(item("sku-1")))
    fabric = caption.evidence.garments[0].attributes["fabric"]
    assert fabric.value == "linen"
    assert set(fabric.neighbours) == {f"linen-{n}" for n in range(4)}


async def test_the_shops_own_word_counts_more_than_the_neighbours() -> None:
    """It knows what it sells."""
    caption = await through(captioner(Scripted(GOOD), neighbourhood()), message(item("sku-1", fabric="wool")))
    fabric = caption.evidence.garments[0].attributes["fabric"]
    assert (fabric.value, fabric.neighbours) == ("wool", ())


async def test_vectors_of_another_encoder_are_no_neighbours() -> None:
    """Vectors of different makers never meet."""
    other = msgspec.structs.replace(item("sku-1"), encoder="sha256:another")
    caption = await through(captioner(Scripted(GOOD), neighbourhood()), message(other))
    assert caption.evidence.garments[0].attributes == {}


async def test_a_deleted_product_votes_no_more() -> None:
    """And a shop that takes a label back is no witness either."""
    found = neighbourhood()
    found.apply(Message(topics.ITEMS, 0, 10, b"linen-0", None))
    found.apply(message(item("linen-1"), offset=11))
    caption = await through(captioner(Scripted(GOOD), found), message(item("sku-1")))
    assert caption.evidence.garments[0].attributes == {}, "two witnesses are too few"


async def test_a_null_is_a_deletion() -> None:
    """Of the caption, too."""
    assert await through(captioner(Scripted()), Message(topics.ITEMS, 0, 1, b"sku-1", None)) == Deleted("sku-1")


async def test_votes_of_an_encoder_that_was_not_calibrated_follow_the_defaults() -> None:
    """Another space: the fitted numbers are not used, and the log says so once."""
    near = Neighbourhood(VOTED.voted())
    for n in range(4):
        near.apply(message(item(f"n{n}", angle=0.01 * n, fabric="linen"), n))
    ours = captioner(FakeWriter(), near)
    strict = Calibrations("sha256:other", {"fabric": Calibration(theta=1.0, min_votes=9)})
    used = replace(ours, calibration=strict, uncalibrated=set())
    for name in ("sku-1", "sku-2"):
        read = used.read(message(item(name)))
        assert used.pack(read).request.evidence.garments[0].attributes["fabric"].value == "linen"  # type: ignore[arg-type]
    assert used.uncalibrated == {"sha256:e"}
    fitted = replace(ours, calibration=replace(strict, encoder="sha256:e"), uncalibrated=set())
    read = fitted.read(message(item("sku-1")))
    assert "fabric" not in fitted.pack(read).request.evidence.garments[0].attributes  # type: ignore[arg-type]
    assert fitted.uncalibrated == set()


# ---------------------------------------------------------------- who may say what


SILK = (
    "A silk red dress for every day. It is easy to wear.\n#reddress #dress #newin #style #ootd #fashion #look #wardrobe"
)


def silk_tops() -> Neighbourhood:
    """A catalogue whose labels are all on silk tops, as near to everything as can be."""
    found = Neighbourhood(VOTED.voted())
    for number in range(5):
        found.apply(message(item(f"top-{number}", kind="shirt", fabric="silk"), offset=number))
    return found


async def evidence_of(role: Captioner, of: Item) -> dict[str, Any]:
    read = role.read(message(of))
    assert not isinstance(read, Done)
    return role.pack(read).request.evidence.garments[0].attributes


@pytest.mark.parametrize("kind", ["shoe", "pants", "dress", "bag"])
async def test_only_the_same_kind_of_garment_votes(kind: str) -> None:
    """Labels that are all on silk tops make no shoe and no pair of jeans silk, however near the vectors are."""
    role = captioner(FakeWriter(), silk_tops())
    assert await evidence_of(role, item("sku-1", kind=kind)) == {}
    assert (await evidence_of(role, item("sku-2", kind="shirt")))["fabric"].value == "silk"


async def test_a_label_of_another_kind_than_the_garment_found_does_not_vote() -> None:
    """A silk top of which only the shoes were found does not teach shoes, and does not make its own shoes silk."""
    near = Neighbourhood(VOTED.voted())
    for number in range(5):
        near.apply(message(item(f"top-{number}", kind="shoe", fabric="silk", category="Shirts"), offset=number))
    role = captioner(FakeWriter(), near)
    assert await evidence_of(role, item("sku-1", kind="shoe")) == {}
    said = await evidence_of(role, item("sku-2", kind="shoe", fabric="silk", gender="women", category="Shirts"))
    assert set(said) == {"gender"}


async def test_a_product_that_changed_its_kind_votes_as_what_it_is_now() -> None:
    """Its older self is gone from the older kind, too."""
    near = silk_tops()
    for number in range(5):
        near.apply(message(item(f"top-{number}", kind="dress", fabric="silk"), offset=10 + number))
    role = captioner(FakeWriter(), near)
    assert await evidence_of(role, item("sku-1", kind="shirt")) == {}
    assert (await evidence_of(role, item("sku-2", kind="dress")))["fabric"].value == "silk"


async def test_far_neighbours_do_not_vote() -> None:
    """They are the nearest there are, and still another thing: below the floor their agreement says nothing."""
    role = replace(captioner(FakeWriter(), silk_tops()), calibration=Calibration(floor=0.7))
    assert await evidence_of(role, item("sku-1", kind="shirt", angle=1.2)) == {}
    assert (await evidence_of(role, item("sku-2", kind="shirt", angle=0.3)))["fabric"].value == "silk"


async def test_the_fabric_is_the_merchants_by_default() -> None:
    """The gender may be voted on; the fabric only the shop can know."""
    near = Neighbourhood()
    for number in range(4):
        near.apply(message(item(f"n{number}", fabric="linen", gender="women"), offset=number))
    role = replace(captioner(FakeWriter(), near), policies=Policies())
    assert set(await evidence_of(role, item("sku-1"))) == {"gender"}
    assert set(await evidence_of(role, item("sku-2", fabric="wool"))) == {"gender", "fabric"}


async def test_never_is_never() -> None:
    """Not even the shop's own word, and not even what is seen."""
    role = replace(captioner(FakeWriter()), policies=policies_of({"fabric": "never", "colour": "never"}))
    read = role.read(message(item("sku-1", fabric="wool")))
    assert not isinstance(read, Done)
    [garment] = role.pack(read).request.evidence.garments
    assert (garment.attributes, garment.colours) == ({}, ())


async def test_the_merchants_colour_instead_of_the_pixels() -> None:
    """By policy; what the palette does not know is no colour."""
    role = replace(captioner(FakeWriter()), policies=policies_of({"colour": "merchant"}))
    for given, expected in (("Navy Blue", ["navy"]), ("Sundown", []), ("not black", [])):
        of = msgspec.structs.replace(item("sku-1"), metadata=Metadata(facets={"Color": given}))
        read = role.read(message(of))
        assert not isinstance(read, Done)
        assert [colour.name for colour in role.pack(read).request.evidence.garments[0].colours] == expected


async def test_other_products_stay_out_of_the_event_where_a_setting_says_so() -> None:
    """Neither their ids nor their sentences; that a fact was inferred is still told."""
    near = Neighbourhood(VOTED.voted())
    for number in range(4):
        near.apply(message(item(f"secret-{number}", fabric="silk", description="Hush-hush copy."), offset=number))
    told = await through(captioner(Scripted(SILK), near), message(item("sku-1")))
    assert b"secret-" in encode(told)
    assert b"Hush-hush" in encode(told)
    quiet = replace(captioner(Scripted(SILK), near), publish_neighbours=False)
    caption = await through(quiet, message(item("sku-1")))
    assert b"secret-" not in encode(caption)
    assert b"Hush-hush" not in encode(caption)
    assert caption.evidence.garments[0].attributes["fabric"].value == "silk"
    assert caption.provenance.inferred == ("g0.fabric",)
    assert (caption.status, caption.reasons) == ("hold", ("inferred_facts",))


async def test_the_product_comes_before_what_it_is_worn_with() -> None:
    """The surest garment is not always the one that is sold: the largest is, or the one of the shop's category."""
    dress = item("sku-1").garments[0]
    shoes = Garment("g0", "shoe", (0, 90, 50, 99), 0.95, (Colour("black", "#000000", 1.0),))
    seen = (shoes, msgspec.structs.replace(dress, id="g1"))
    for metadata, copy in (
        ({}, "A red dress. Worn with black shoes."),
        ({"category": "shoes"}, "Black shoes. Worn with a red dress."),
    ):
        both = msgspec.structs.replace(item("sku-1", **metadata), garments=seen)
        caption = await through(captioner(Scripted("", "")), message(both))
        assert caption.caption == copy
        assert {garment.id: garment.category for garment in caption.evidence.garments} == {"g0": "shoe", "g1": "dress"}


async def test_a_shop_chooses_the_tone() -> None:
    role = replace(captioner(Scripted("", "")), tone="playful")
    assert (await through(role, message(item("sku-1")))).caption != "A red dress."
    assert (await through(captioner(Scripted("", "")), message(item("sku-1")))).caption == "A red dress."


# ---------------------------------------------------------------- ready, or on hold


async def test_a_grounded_caption_is_ready() -> None:
    """Seen surely, stated by the shop, written by the model: nothing to wait for."""
    caption = await through(captioner(Scripted(GOOD.replace("red", "red wool"))), message(item("sku-1", fabric="wool")))
    assert (caption.status, caption.reasons, caption.caption) == ("ready", (), "A red wool dress for every day.")
    assert caption.provenance.machine_made
    assert (caption.provenance.model, caption.provenance.reviewed_by) == (caption.lineage.writer, None)


async def test_a_photo_in_which_nothing_was_found_covers_nothing_and_waits() -> None:
    """There is nothing to cover: null, not 1."""
    nothing = msgspec.structs.replace(item("sku-1"), garments=(), views=item("sku-1").views[:1])
    caption = await through(captioner(Scripted("", "")), message(nothing))
    assert msgspec.json.decode(encode(caption))["coverage"] is None
    assert caption.status == "hold"
    assert caption.reasons == ("nothing_found", "rule_based")
    assert caption.provenance.model == "template"


async def test_an_unsure_garment_waits() -> None:
    """Below the rule's confidence; the caption names it."""
    sure = item("sku-1")
    unsure = msgspec.structs.replace(sure, garments=(msgspec.structs.replace(sure.garments[0], confidence=0.3),))
    caption = await through(captioner(Scripted(GOOD)), message(unsure))
    assert caption.reasons == ("low_confidence",)


async def test_another_rule_file_decides_otherwise(tmp_path: Path) -> None:
    """A shop's own rules replace the shipped ones."""
    path = tmp_path / "rules.json"
    path.write_text('{"rules": [{"reason": "every_llm_text", "writer": ["llm"], "coverage_below": 1}]}')
    role = replace(captioner(Scripted(GOOD, LIE, LIE)), rules=load(path))
    dress = item("sku-1")
    shoes = Garment("g1", "shoe", (0, 90, 50, 99), 0.4)  # hardly seen: a draft may leave them out
    with_shoes = msgspec.structs.replace(dress, garments=(*dress.garments, shoes))
    assert (await through(role, message(with_shoes))).reasons == ("every_llm_text",)
    assert (await through(role, message(item("sku-2", kind="hat")))).status == "ready"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "no rule file"),
        ('{"rules": [{"reason": "x", "colour": "red"}]}', "unknown field `colour`"),
        ('{"rules": [{"reason": "x"}]}', "without a condition"),
        ('{"rules": [{"reason": "", "writer": ["llm"]}]}', "is no name"),
        ('{"rules": [{"reason": "x", "confidence_below": 50}]}', "confidence_below is 50"),
    ],
)
def test_a_rule_file_that_cannot_be_meant_ends_the_start(tmp_path: Path, text: str, cause: str) -> None:
    """With its name and the cause."""
    path = tmp_path / "rules.json"
    path.write_text(text)
    with pytest.raises(Fatal, match=rf"rules\.json.*{re.escape(cause)}"):
        load(path)
    with pytest.raises(Fatal, match="cannot be read"):
        load(tmp_path / "none.json")


def test_a_policy_that_does_not_exist_is_told() -> None:
    """By the name of the setting, with what there is."""
    with pytest.raises(
        Fatal, match=r"WEFT_FACET_POLICY: fabric is 'shop': say one of merchant, seen, pixels, neighbours, never"
    ):
        policies_of({"fabric": "shop"})
    with pytest.raises(Fatal, match="no facet 'material'"):
        policies_of({"material": "never"})
    with pytest.raises(Fatal, match="say one of merchant, seen, pixels, never"):
        policies_of({"colour": "neighbours"})
    assert Rule("x", inferred=("fabric",)).problem() == ""


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Rule("x", inferred=("colur",)), "inferred is ['colur']"),
        (Rule("x", inferred=()), "inferred is []"),
        (Rule("x", writer=("robot",)), "must name some of llm, template"),
        (Rule("x", garments_at_most=-1), "must be 0 or more"),
    ],
)
def test_a_rule_that_could_never_hold_is_told(rule: Rule, told: str) -> None:
    """A misspelt name would let every caption out, silently."""
    assert told in rule.problem()
    assert Rule("x", inferred=("*",), writer=("template",), garments_at_most=0).problem() == ""


async def test_the_evidence_says_who_decided_each_facet() -> None:
    """The shop's word first, then what the photo shows, then the neighbours; the caption may state all of it."""
    policies = policies_of({"fabric": "neighbours"})
    neighbourhood = Neighbourhood(policies.voted())
    for n in range(6):
        neighbourhood.apply(message(item(f"n{n}", angle=0.01 * n, fabric="linen"), n))
    seen = item("p")
    seen = msgspec.structs.replace(
        seen,
        facets="sha256:heads",
        metadata=Metadata(category="Dresses", facets={"pattern": "Stripes"}),
        garments=(
            msgspec.structs.replace(
                seen.garments[0],
                attributes={
                    "pattern": Attribute("dotted", 0.9, source="pixels"),
                    "sleeve": Attribute("long", 0.9, source="pixels"),
                    "neckline": Attribute("v", 0.9, source="pixels"),
                },
            ),
        ),
    )
    draft = (
        "A red striped linen dress with long sleeves and a v neckline. It is easy to wear.\n"
        "#reddress #dress #newin #style #ootd #fashion #look #wardrobe"
    )
    caption = await through(captioner(Scripted(draft), neighbourhood), message(seen))
    assert isinstance(caption, Caption)
    decided = caption.evidence.garments[0].attributes
    assert {facet: (a.value, a.source) for facet, a in decided.items()} == {
        "kind": ("dress", "merchant"),
        "pattern": ("striped", "merchant"),
        "sleeve": ("long", "pixels"),
        "neckline": ("v", "pixels"),
        "fabric": ("linen", "neighbours"),
    }
    assert caption.writer == "llm"
    assert caption.lineage.facets == "sha256:heads"


async def test_a_kind_is_named_by_the_rule_based_writer() -> None:
    """A cardigan is called so, and its pattern, sleeves and neck are said (a polo collar by its name); the verifier knows what a kind claims."""
    seen = item("p", kind="shirt")
    attributes = {
        facet: Attribute(value, 0.9, source="pixels")
        for facet, value in {
            "kind": "cardigan",
            "pattern": "striped",
            "sleeve": "long",
            "neckline": "polo collar",
        }.items()
    }
    seen = msgspec.structs.replace(seen, garments=(msgspec.structs.replace(seen.garments[0], attributes=attributes),))
    caption = await through(captioner(Scripted("no caption", "no caption")), message(seen))
    assert caption.writer == "template"
    for word in ("cardigan", "striped", "long sleeves", "a polo collar"):
        assert word in caption.caption


async def test_a_shops_own_colour_word_replaces_the_palettes() -> None:
    """The first colour under the word that heads read; the second stays."""
    seen = item("p")
    two = (Colour("burgundy", "#800020", 0.7), Colour("white", "#ffffff", 0.3))
    word = {"colour": Attribute("teal", 0.9, source="pixels")}
    seen = msgspec.structs.replace(
        seen, garments=(msgspec.structs.replace(seen.garments[0], colours=two, attributes=word),)
    )
    caption = await through(captioner(Scripted("no caption", "no caption")), message(seen))
    assert [colour.name for colour in caption.evidence.garments[0].colours] == ["teal", "white"]
    assert "teal" in caption.caption


@pytest.mark.parametrize("words", [("Emerald", "Forest green"), ("Rust", "Terracotta")])
async def test_captions_of_siblings_differ_in_what_differs(words: tuple[str, str]) -> None:
    """Two shades that pixels call alike: the shop tells its group's products apart, and each caption states its own colour."""
    role = captioner(FakeWriter())
    texts = []
    for word in words:
        of = item(f"wrap-{word}", group_id="wrap", facets={"color": word}, category="dress")
        caption = await through(role, message(of))
        assert word.lower() in caption.caption.lower()
        assert caption.evidence.garments[0].colours[0].name == word.lower()
        texts.append(caption.caption)
    assert texts[0] != texts[1]


async def test_the_shops_colour_leads_and_a_changed_word_writes_anew() -> None:
    """It wins over the photo's, unless the policy is to believe pixels only: there another word is no other caption."""
    role = captioner(FakeWriter())
    emerald = item("alone", facets={"color": "Emerald"}, category="dress")
    caption = await through(role, message(emerald))
    assert caption.evidence.garments[0].colours[0].name == "emerald"
    navy = later(emerald, 9, facets={"color": "navy"})
    assert await outcome(role, message(navy, 9)) is None, "the model is asked"
    assert "navy" in (await through(role, message(navy, 9))).caption
    pixels = replace(captioner(FakeWriter()), policies=policies_of({"colour": "pixels"}))
    first = await through(pixels, message(emerald))
    assert first.evidence.garments[0].colours[0].name == "red"
    again = await outcome(pixels, message(navy, 9))
    assert isinstance(again, Unchanged)
    assert encode(again.record) == encode(first)


async def test_prices_and_stock_are_no_part_of_a_caption() -> None:
    """Other columns ask no model, and change no byte."""
    role = captioner(Scripted(GOOD))
    first = await through(role, message(item("sku-1", price=79.0, group_id="g")))
    other = item("sku-1", price=20.0, sale_price=9.0, in_stock=False, sizes=("S",), launched="2026-01-01", group_id="g")
    again = await through(role, message(other, offset=1))
    assert encode(again) == encode(first)


async def test_the_shops_own_words_are_evidence() -> None:
    """Brand, collection, path and tags are shown; what they wholly say of a facet is the shop's word, and what clashes is not."""
    role = captioner(Scripted(*[LIE] * 4))
    metadata = {
        "brand": "Acme",
        "facets": {"Collection": "Riviera"},
        "category_path": ("Women", "Dresses"),
        "tags": ("linen", "new in"),
    }
    caption = await through(role, message(item("sku-1", **metadata)))
    assert caption.evidence.said == {
        "brand": ("Acme",), "collection": ("Riviera",), "category_path": ("Women", "Dresses"), "tags": ("linen", "new in"),
    }  # fmt: skip
    told = caption.evidence.garments[0].attributes
    assert (told["fabric"].value, told["fabric"].source, told["gender"].value) == ("linen", "merchant", "women")
    assert "linen" in caption.caption.lower()
    clash = await through(role, message(item("sku-2", tags=("linen", "cotton"))))
    assert "fabric" not in clash.evidence.garments[0].attributes


async def test_a_product_that_nobody_has_seen_has_no_caption_and_no_vote() -> None:
    """It is incomplete until a photo comes; what it taught before, it teaches no more."""
    neighbourhood = Neighbourhood(VOTED.voted())
    role = captioner(FakeWriter(), neighbourhood)
    neighbourhood.apply(message(item("sku-1", fabric="linen", category="dress")))
    vector = np.array([1.0, 0.0], dtype=np.float32)
    assert [n.product_id for n in neighbourhood.find("sha256:e", "", "dress", vector, 3, "other")] == ["sku-1"]
    bare = msgspec.structs.replace(
        item("sku-1", fabric="linen"), image="", width=0, height=0, garments=(), views=(), incomplete=True
    )
    assert await through(role, message(bare, 1)) == NoEffect()
    neighbourhood.apply(message(bare, 1))
    assert list(neighbourhood.find("sha256:e", "", "dress", vector, 3, "other")) == []


async def test_a_caption_is_of_the_garment_that_the_photos_agree_on() -> None:
    """Not of the largest box, which may lie in another photo."""
    coat = Garment("g1", "jacket", (0, 0, 59, 99), 0.8, (Colour("black", "#000000", 1.0),), {}, "images/model.jpg")
    base = item("sku-1")
    both = msgspec.structs.replace(base, garments=(*base.garments, coat), sold="g0")
    caption = await through(captioner(FakeWriter()), message(both))
    first, second = caption.evidence.garments
    assert (first.category, second.category, second.photo) == ("dress", "jacket", "images/model.jpg")


async def test_items_that_arrive_together_find_the_captions_that_are_known() -> None:
    """As one by one, and without the writer; what is new, bad or wanted anew is left to be read by itself."""
    writer = Scripted(GOOD, GOOD)
    role = captioner(writer)
    for product in ("sku-1", "sku-2"):
        await through(role, message(item(product)))
    priced = [message(later(item(product), 8, fabric="")) for product in ("sku-1", "sku-2")]
    bad = Message(topics.ITEMS, 0, 3, b"sku-1", b"no item")
    anew = replace(priced[0], headers=((EDITION, b"1"),))
    gone = Message(topics.ITEMS, 0, 4, b"sku-1", None)
    found = await role.read_all([*priced, bad, message(item("sku-3")), anew, gone])
    assert [one is None for one in found] == [False, False, True, True, True, False]
    assert [one.result for one in found[:2] if one] == [await outcome(role, one) for one in priced]
    assert found[-1] is not None
    assert found[-1].result == Deleted("sku-1")


def served(server: LlmServer, **options: Any) -> ServedWriter:
    given = {
        "base_url": server.base_url,
        "model": MODEL,
        "retries": 0,
        "answer_seconds": 30.0,
        "deadline_seconds": 30.0,
    }
    return ServedWriter(options_of({**given, **options}))


async def all_through(role: Captioner, count: int, world: World) -> list[Any]:
    """Products through the pipeline of the role; what was published, in order."""
    with ThreadPoolExecutor(4) as threads, ThreadPoolExecutor(1) as device:
        async with running(role.stages(), world, executor=device, cpu=threads) as pipeline:
            for number in range(count):
                of = message(item(f"sku-{number}"), number)
                await pipeline.submit(of, world.ack(of))
            await pipeline.drain()
    return [result for _, result in world.published]


FAULTS = {
    "hangs": lambda _: Reply(play=llm_server.hangs),
    "rubbish": lambda _: Reply(body=b"<html>"),
    "busy": lambda _: Reply(429, headers={"Retry-After": "60"}),
    "broken": lambda _: Reply(500),
    "dies": lambda _: Reply(play=llm_server.dies),
    "no key": lambda _: Reply(401),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_captions_come_whatever_a_server_does(name: str) -> None:
    """By rule, each marked as what a later delivery may better, and none lost; once it answers, the same facts get its words."""
    with LlmServer(FAULTS[name]) as server:
        writer = served(server, answer_seconds=0.3 if name == "hangs" else 30.0)
        role = captioner(writer)
        world = World()
        found = await all_through(role, 8, world)
        assert [type(one) for one in found] == [Makeshift] * 8
        assert {one.writer for one in found} == {"template"}
        assert all(has_fallen(one) for one in found)
        assert len(world.acked) == 8
        assert world.dead == []
        writer.close()
        server.answer = lambda _: completion(GOOD)
        writer = served(server)
        again = await all_through(replace(role, writer=writer), 8, World())
        assert {one.writer for one in again} == {"llm"}
        assert not any(has_fallen(one) for one in again)
        writer.close()


async def test_a_server_holds_no_device_and_no_loop() -> None:
    """While it thinks about all it may be asked at once, the device runs others' batches and the loop goes on."""
    thinking, go_on = threading.Event(), threading.Event()

    def answer(_: Any) -> Reply:
        thinking.set()
        go_on.wait(10)
        return completion(GOOD)

    with LlmServer(answer) as server, ThreadPoolExecutor(1) as device, ThreadPoolExecutor(4) as threads:
        writer, world = served(server, concurrency=2), World()
        async with running(captioner(writer).stages(), world, executor=device, cpu=threads) as pipeline:
            for number in range(6):
                of = message(item(f"sku-{number}"), number)
                await pipeline.submit(of, world.ack(of))
            await asyncio.to_thread(thinking.wait, 10)
            assert await asyncio.get_running_loop().run_in_executor(device, lambda: "free") == "free"
            assert world.published == []
            go_on.set()
            await pipeline.drain()
        writer.close()
        assert len(world.published) == 6
        assert server.most_at_once <= 3  # its trial beside them


async def test_a_draft_of_a_server_is_believed_no_more_than_any() -> None:
    """Two lies in a row, and the rules write; that is the model's last word."""
    with LlmServer(lambda _: completion(LIE)) as server:
        writer = served(server)
        [caption] = await all_through(captioner(writer), 1, World())
        assert (caption.writer, type(caption), has_fallen(caption)) == ("template", Caption, False)
        assert len([one for one in server.completions if one.body["max_tokens"] > 16]) == 2
        writer.close()


async def test_tools_that_run_the_stages_by_themselves_ask_a_server_too() -> None:
    """`weft eval captions`, `weft models compare` and previews have no pipeline; a kit's captions are no question there either."""
    with LlmServer(lambda _: completion(GOOD)) as server:
        writer = served(server)
        role = captioner(writer)
        found = await run_inline(role.stages(), [message(item(f"sku-{n}"), n) for n in range(5)], lambda _: None)
        assert [one.writer for one in found] == ["llm"] * 5
        by_rule = await run_inline(replace(role, by_rule=True).stages(), [message(item("other"))], lambda _: None)
        assert [one.writer for one in by_rule] == ["template"]
        writer.close()
