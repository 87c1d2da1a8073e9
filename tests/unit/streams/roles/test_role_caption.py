"""caption, stage by stage: whose word counts, and what happens when the language model does not behave."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from index_sync.bank import Neighbour
from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from models.guard import GuardedWriter
from models.ports import Writer, WriterRequest
from processors.attributes import Calibration
from processors.errors import Retryable
from processors.policies import policies_of
from processors.refusals import FAILED
from processors.values import Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item, Source, View
from streams.engine.message import EDITION, Message
from streams.engine.patience import Patience
from streams.engine.stages import Done
from streams.roles.caption.drafts import Settled, needs_no_device
from streams.roles.caption.facts import seed_of
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load
from streams.roles.memo import Memo
from streams.roles.outcome import Unchanged
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


async def test_a_model_that_fails_from_the_start_of_its_process_on_costs_the_words_alone() -> None:
    """Not even its own example is written: the captions come by rule, with the cause told, and by the model once it is well."""
    model = Scripted(*["crash"] * 4, GOOD)
    counted: list[str] = []
    role = replace(captioner(GuardedWriter(model, dispensable=True)), refused=counted.append)
    for _ in range(2):
        caption = await through(role, message(item("sku-1")))
        assert (caption.writer, caption.provenance.refused) == ("template", ((FAILED,),))
    assert counted == [FAILED, FAILED]
    assert (await through(role, message(item("sku-1")))).writer == "llm"


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


SHORT = "A top.\n#top #newin #style #ootd #fashion #look #wardrobe #easytowear"


async def test_a_true_draft_that_is_too_short_is_the_models_last_word() -> None:
    """It says the same of the same evidence whenever it is asked: a re-delivery publishes the same bytes, whatever its neighbours are by then."""
    writer = Scripted(SHORT, SHORT)
    role = captioner(writer)
    bare = replace_garments(item("sku-1"))
    first = await through(role, message(bare))
    assert (first.writer, writer.batches) == ("template", 2)
    assert first.provenance.refused == (("6 characters of caption, of which nothing is wrong",),) * 2
    assert encode(await through(role, message(bare))) == encode(first)
    assert writer.batches == 2


def replace_garments(one: Item) -> Item:
    """Of which nothing is known but that it is a top."""
    return msgspec.structs.replace(one, garments=(Garment("g0", "shirt", (0, 0, 50, 90), 0.9),))


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
