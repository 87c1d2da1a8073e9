"""triplets, stage by stage: which pairs are made, what they say, and what a deleted product takes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.memory_store import MemoryStore
from models.captioner.by_evidence import RuleCaptioner, WriterCaptioner
from models.fakes import FakeWriter
from models.ports import CaptionRequest
from models.served.captioner import ServedCaptioner
from models.served.options import options_of
from processors.errors import Poison
from processors.identity import key_of
from processors.modifications import is_consistent
from processors.triplets import triplet_id
from processors.values import Attribute, Colour, Garment, Metadata, Pixels
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item, Source, Triplet, View
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.engine.stages import DeviceStage, Done
from streams.ops.forget_look import Look, meant_by
from streams.ops.triplets import CHANGED, GONE, SPACES, Joined, triplet_in
from streams.roles.triplets.known import Catalogue, Pairs, Progress, shown_in
from streams.roles.triplets.role import GRAMMAR, Outcome, Triplets, publisher
from tests.fakes.kafka_log import KafkaLog
from tests.fakes.llm_server import MODEL, LlmServer, Reply, completion

SEEN: dict[str, dict[str, str]] = {
    "a": {"colour": "red", "sleeve": "long", "pattern": "solid"},
    "b": {"colour": "navy", "sleeve": "long", "pattern": "solid"},
    "c": {"colour": "red", "sleeve": "short", "pattern": "striped"},
    "d": {"colour": "red", "sleeve": "long", "pattern": "solid"},
}


def item(product_id: str, *, shop: str = "", kind: str = "dress", encoder: str = "sha256:e", **facets: str) -> Item:
    """A product of which these facets were seen; its vector depends on its name."""
    known = facets or SEEN[product_id]
    rng = np.random.default_rng(product_id.encode()[0])
    vector = (np.array([4.0, 0, 0, 0]) + rng.normal(size=4)).astype("<f4")
    vector /= np.linalg.norm(vector)
    attributes = {f: Attribute(v, 0.9, source="pixels") for f, v in known.items() if f != "colour"}
    colours = (Colour(known["colour"], "#000000", 1.0),) if "colour" in known else ()
    garment = Garment("g0", kind, (0, 0, 50, 90), 0.9, colours, attributes)
    views = (View("whole", kind, vector.tobytes()), View("g0", kind, vector.tobytes()))
    return Item(
        product_id=product_id,
        image=f"images/{product_id}.png",
        width=60,
        height=100,
        garments=(garment,),
        views=views,
        metadata=Metadata(),
        encoder=encoder,
        dimension=4,
        detector="sha256:d",
        source=Source(topics.UPLOADS, 0, 5),
        version="0",
        shop=shop,
    )


class Worker:
    """The role over a log in memory, one record after the other."""

    def __init__(self, log: KafkaLog | None = None, **options: Any) -> None:
        self.log = log or KafkaLog()
        self.catalogue, self.pairs = Catalogue(1000), Pairs(1000)
        self.progress = Progress()
        options.setdefault("captioner", RuleCaptioner())
        self.role = Triplets(catalogue=self.catalogue, pairs=self.pairs, progress=self.progress, **options)
        self.publish = publisher(self.log, self.pairs)  # type: ignore[arg-type]

    async def come(self, *items: Item) -> None:
        """Items, each followed and then worked on."""
        for one in items:
            await self.take(self.log.append(topics.ITEMS, key_of(one.shop, one.product_id).encode(), encode(one)))

    async def delete(self, key: str) -> None:
        """A product's null value."""
        await self.take(self.log.append(topics.ITEMS, key.encode(), None))

    async def take(self, message: Message) -> None:
        """Follow and work on a record."""
        self.catalogue.apply(message)
        await self.progress.passed(message)
        await self.work(message)

    async def work(self, message: Message) -> Outcome:
        """The stages, then publish."""
        worked: Any = self.role.pair(await self.role.known(self.role.read(message)))
        if isinstance(worked, Done):
            outcome: Outcome = worked.result
        else:
            looked = await self.role.photos(worked)
            outcome = self.role.make(self.role.word(self.role.caption([looked]))[0])
        for delivery in await self.publish(message, outcome):
            await delivery
        return outcome

    def triplets(self) -> dict[tuple[str, str], Triplet]:
        """As the topic stands, by reference and target."""
        found: dict[bytes, Triplet] = {}
        for record in self.log.records.get(topics.TRIPLETS, []):
            found.pop(record.key or b"", None)
            if record.value is not None:
                found[record.key or b""] = msgspec.json.decode(record.value, type=Triplet)
        assert all(name.decode() == one.id for name, one in found.items())
        return {(one.reference.product_id, one.target.product_id): one for one in found.values()}


async def test_products_that_differ_in_what_words_can_say_become_triplets_both_ways() -> None:
    """Each with captions, the change, and words that lead from the one to the other; equal products make none."""
    worker = Worker()
    await worker.come(*(item(name) for name in SEEN))
    found = worker.triplets()
    assert {("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")} <= set(found)
    assert ("a", "d") not in found
    one = found["a", "b"]
    assert one.id == triplet_id("a", "b")
    assert [(c.facet, c.before, c.after) for c in one.changes] == [("colour", "red", "navy")]
    assert one.reference.image == "images/a.png"
    assert "red" in one.reference.caption
    assert "navy" in one.target.caption
    assert one.provenance.modifier == GRAMMAR
    assert one.provenance.captioner == RuleCaptioner.fingerprint
    for triplet in found.values():
        assert is_consistent(triplet.reference.facets, triplet.modification, triplet.target.facets)


async def test_what_is_delivered_twice_is_published_the_same() -> None:
    """Same ids, same bytes, same event ids: compaction leaves one."""
    worker = Worker()
    await worker.come(item("a"), item("b"))
    last = worker.log.records[topics.ITEMS][-1]
    before = len(worker.log.records[topics.TRIPLETS])
    await worker.work(last)
    again = worker.log.records[topics.TRIPLETS][before:]
    first = worker.log.records[topics.TRIPLETS][:before]
    assert {(r.key, r.value, r.headers) for r in again} <= {(r.key, r.value, r.headers) for r in first}
    assert len(worker.triplets()) == 2


async def test_a_deleted_product_takes_its_triplets_with_it() -> None:
    """Those of which it is the target, too; the others stay."""
    worker = Worker()
    await worker.come(*(item(name) for name in SEEN))
    kept = {pair for pair in worker.triplets() if "b" not in pair}
    await worker.delete("b")
    assert set(worker.triplets()) == kept
    assert kept
    assert worker.pairs.of("b") == []


async def test_a_product_that_is_another_now_is_paired_anew() -> None:
    """Its earlier triplets say what holds now, or go."""
    worker = Worker()
    await worker.come(item("a"), item("b"))
    await worker.come(item("b", colour="green", sleeve="long", pattern="solid"))
    assert [c.after for c in worker.triplets()["a", "b"].changes] == ["green"]
    await worker.come(item("b", kind="bag", colour="green"))
    assert worker.triplets() == {}


async def test_of_two_that_come_at_once_one_sees_the_other() -> None:
    """A record waits until the catalogue knows it, so the later of two is never paired without the earlier."""
    worker = Worker()
    records = [worker.log.append(topics.ITEMS, name.encode(), encode(item(name))) for name in ("a", "b")]
    works = [asyncio.create_task(worker.work(record)) for record in records]
    await asyncio.sleep(0)
    assert not any(work.done() for work in works)
    for record in records:
        worker.catalogue.apply(record)
        await worker.progress.passed(record)
    await asyncio.gather(*works)
    assert set(worker.triplets()) == {("a", "b"), ("b", "a")}


async def test_shops_kinds_and_encoders_never_meet() -> None:
    """Words of one shop say nothing of another's products, nor do vectors of another maker."""
    worker = Worker()
    await worker.come(item("a"), item("b", shop="x", **SEEN["b"]), item("c", kind="shirt", **SEEN["c"]))
    await worker.come(item("d", encoder="sha256:f", colour="navy", sleeve="long", pattern="solid"))
    assert worker.triplets() == {}
    await worker.come(item("a", shop="x", **SEEN["a"]))
    assert {(one.reference.shop, one.target.shop) for one in worker.triplets().values()} == {("x", "x")}


async def test_what_a_start_reads_is_what_was_known() -> None:
    """The view of triplets is rebuilt from the topic: another process deletes what this one made."""
    first = Worker()
    await first.come(*(item(name) for name in SEEN))
    second = Worker(first.log)
    for record in first.log.records[topics.TRIPLETS]:
        second.pairs.apply(record)
    assert second.pairs.sides() == first.pairs.sides()
    await second.delete("a")
    assert all("a" not in pair for pair in second.triplets())


async def test_memory_is_bounded() -> None:
    """Past the limit what was written longest ago gives way, and the catalogue says so; it may come again with any offset."""
    catalogue, pairs = Catalogue(3), Pairs(2)
    for offset, name in enumerate("abcde"):
        known = item(name, colour="red", sleeve="long")
        catalogue.apply(Message(topics.ITEMS, 0, 100 - offset, name.encode(), encode(known)))
        pairs.add(name, name, f"{name}2")
    assert len(catalogue) == 3
    assert catalogue.overflowed
    assert "a" not in catalogue
    assert len(pairs) == 2
    assert pairs.of("a") == []
    catalogue.apply(Message(topics.ITEMS, 0, 3, b"a", encode(item("a"))))
    assert "a" in catalogue


async def test_a_record_that_says_not_what_it_is_of_is_poison() -> None:
    """It becomes a dead letter, as in every role."""
    worker = Worker()
    with pytest.raises(Poison):
        worker.role.read(Message(topics.ITEMS, 0, 0, None, None))
    with pytest.raises(Poison):
        worker.role.read(Message(topics.ITEMS, 0, 0, b"a", b"\xc1"))
    incomplete = msgspec.structs.replace(item("a"), incomplete=True)
    assert shown_in(incomplete) is None


class Answers:
    """A language model that says what it is told, prompt after prompt."""

    fingerprint = "sha256:chat"

    def __init__(self, *answers: str) -> None:
        self.answers, self.prompts = list(answers), list[str]()

    def prepare(self, item: str, /) -> str:
        return item

    def forward(self, batch: Sequence[str], /) -> list[str]:
        self.prompts += batch
        return [self.answers[n % len(self.answers)] for n in range(len(batch))]

    def finish(self, _item: str, raw: str, /) -> str:
        return raw

    def example(self) -> str:
        return "x"


async def test_a_language_model_is_believed_where_it_says_what_differs() -> None:
    """One answer is right for one direction; the other invents, and is written by grammar instead."""
    chat = Answers("Make it navy, please")
    worker = Worker(chat=chat)
    await worker.come(item("a"), item("b"))
    found = worker.triplets()
    assert found["a", "b"].modification == "Make it navy, please"
    assert found["a", "b"].provenance.modifier == "sha256:chat"
    assert found["b", "a"].provenance.modifier == GRAMMAR
    assert "red" in found["b", "a"].modification
    [prompt] = {one for one in chat.prompts if "colour from red to navy" in one}
    assert found["a", "b"].reference.caption in prompt


class Looking(RuleCaptioner):
    """Says the colour of the first pixel."""

    looks = True

    def forward(self, batch: Sequence[CaptionRequest], /) -> list[str]:
        return [f"pixel {int(one.pixels[0, 0, 0])}" for one in batch if one.pixels is not None]


async def test_a_captioner_that_looks_gets_the_photos_of_both_sides() -> None:
    """Each photo is loaded once for all pairs of an item."""
    asked: list[str] = []

    async def look(address: str) -> Pixels:
        asked.append(address)
        return np.full((2, 2, 3), ord(address[7]), np.uint8)

    worker = Worker(captioner=Looking(), look=look)
    await worker.come(item("a"), item("b"))
    assert sorted(asked) == ["images/a.png", "images/b.png"]
    one = worker.triplets()["a", "b"]
    assert (one.reference.caption, one.target.caption) == (f"pixel {ord('a')}", f"pixel {ord('b')}")


async def test_the_writer_describes_both_sides() -> None:
    """With the writer of captions; what it says is judged against what is known."""
    worker = Worker(captioner=WriterCaptioner(FakeWriter()))
    await worker.come(item("a"), item("b"))
    assert "navy" in worker.triplets()["a", "b"].target.caption


async def test_the_export_holds_what_is_true_now() -> None:
    """With the vectors of both items; a triplet whose product is gone, another, or of another encoder is left out and counted."""
    from collections import Counter

    worker = Worker()
    await worker.come(*(item(name) for name in SEEN))
    joined = Joined({one.id: one for one in worker.triplets().values()})
    for name in SEEN:
        shown = shown_in(item(name))
        assert shown is not None
        joined.garments[name] = shown
    left_out: Counter[str] = Counter()
    lines = list(joined.lines(left_out, by_facet := Counter()))
    assert len(lines) == len(joined.triplets)
    assert not left_out
    assert by_facet["colour"] >= 2
    one = msgspec.json.decode(lines[0])
    assert set(one) == {"id", "reference", "target", "modification"}
    del joined.garments["a"]
    changed = shown_in(item("b", colour="white", sleeve="long", pattern="solid"))
    other = shown_in(item("c", encoder="sha256:f", **SEEN["c"]))
    assert changed is not None
    assert other is not None
    joined.garments |= {"b": changed, "c": other}
    rest = list(joined.lines(left_out, Counter()))
    assert set(left_out) <= {GONE, CHANGED, SPACES}
    assert left_out[GONE] == sum("a" in pair for pair in worker.triplets())
    assert len(rest) + sum(left_out.values()) == len(joined.triplets)
    assert triplet_in(b"{}") is None


async def test_a_forgotten_product_is_looked_for_in_the_triplets() -> None:
    """By the products that a triplet names, whatever its key; once its deletion is there, it counts as gone."""
    worker = Worker()
    await worker.come(item("a"), item("b"), item("c"))

    def looked() -> Look:
        found = Look(MemoryStore("x"), meant_by(("b",), ""), ("b",), "")
        for record in worker.log.records[topics.TRIPLETS]:
            found.take(record)
        return found

    named = {one.id for pair, one in worker.triplets().items() if "b" in pair}
    assert looked().seen.live[topics.TRIPLETS] == named
    await worker.delete("b")
    after = looked().seen
    assert after.live[topics.TRIPLETS] == set()
    assert after.deletes[topics.TRIPLETS] == len(named)


@pytest.mark.parametrize("well", [True, False])
async def test_a_captioner_behind_a_server_is_asked_on_the_loop(*, well: bool) -> None:
    """It is sent both photos, and no stage of the device is left; where it fails, what is known is said."""
    photos = {"images/a.png": (200, 20, 30), "images/b.png": (20, 30, 90)}

    async def look(address: str) -> Pixels:
        return np.full((40, 30, 3), photos[address], np.uint8)

    with LlmServer(lambda _: completion("A fine garment.") if well else Reply(500)) as server:
        model = ServedCaptioner(options_of({"base_url": server.base_url, "model": MODEL, "retries": 0}))
        worker = Worker(captioner=model, look=look)
        assert [stage.name for stage in worker.role.stages() if isinstance(stage, DeviceStage)] == ["word"]
        await worker.come(item("a"))
        record = worker.log.append(topics.ITEMS, b"b", encode(item("b")))
        worker.catalogue.apply(record)
        await worker.progress.passed(record)
        [outcome] = await run_inline(worker.role.stages(), [record], lambda _: None)
        model.close()
    told = {one.reference.caption for one in outcome.made} | {one.target.caption for one in outcome.made}
    assert len(outcome.made) == 2
    assert told == {"A fine garment."} if well else all("dress" in one for one in told)
    assert len({str(one.body["messages"]) for one in server.completions if one.body["max_tokens"] > 16}) == 2
