"""The role `shadow`: what another profile says of a share of the products, compared, counted, and kept nowhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.memory_store import EmptyStore, MemoryStore
from infra.metrics import Metrics
from infra.settings import Settings
from models.fakes import FakeDetector, FakeImageEncoder, FakeWriter
from processors.attributes import Calibration
from processors.errors import BadSetting, Poison
from processors.values import Detection, Garment, Pixels
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item, View
from streams.engine.failures import Failure
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.kafka.notices import NullNotices
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.memo import Memo
from streams.roles.rethink import Rethink
from streams.roles.shadow.judging import Neighbours, boxes, facts
from streams.roles.shadow.role import Items, Outcome, Shadow, Share, failing, telling
from streams.wiring.parts import Parts
from streams.wiring.shadow import compare_on
from streams.worker import work
from tests.unit.streams.roles.test_role_caption import captioner
from tests.unit.streams.roles.test_role_caption import through as captioned
from tests.unit.streams.roles.test_role_enrich import Web, photo, role
from tests.unit.streams.roles.test_role_rethink import item as item_of
from tests.unit.streams.roles.test_role_rethink import through as rethought

NOW = 1_767_225_600.0
KEY = b"sku-1"


class Renaming(FakeDetector):
    """Another detector: what the fake one calls a dress is a skirt to it. Counts its photos."""

    fingerprint = "sha256:renaming"

    def __init__(self) -> None:
        self.seen = 0

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.seen += len(batch)
        return super().forward(batch)

    def finish(self, item: Pixels, raw: Any, /) -> tuple[Detection, ...]:
        return tuple(msgspec.structs.replace(one, category="skirt") for one in super().finish(item, raw))


class World:
    """A product whose item and caption were published, and the role beside it."""

    def __init__(self, detector: FakeDetector | None = None, share: float = 1.0) -> None:
        self.store, self.detector = MemoryStore("live"), detector or FakeDetector()
        self.address = self.store.address(self.store.put_content(photo(), ".png"))
        self.share, nothing = Share(share), EmptyStore()
        self.neighbours = Neighbours(most=4, least=2)
        self.items = Items(self.share, self.neighbours.forget)
        enrich = replace(role(Web()), store=self.store)
        self.live = Rethink(enrich)
        neighbourhood = Neighbourhood()
        writing = Captioner(FakeWriter(), neighbourhood, Memo(nothing, "shadow", "c"), Calibration(), 4, 0.0)
        other = replace(enrich, detector=self.detector, encoder=FakeImageEncoder(), memo=Memo(nothing, "shadow", "i"))
        self.role = Shadow(
            self.share, self.items, Rethink(other), writing, neighbourhood, self.neighbours, lambda: NOW, wait_s=0.0
        )

    async def published(self) -> tuple[Message, Message]:
        """The records of item and caption."""
        item: Item = await rethought(self.live, item_of(self.address))
        record = Message(topics.ITEMS, 5, 17, KEY, encode(item), timestamp_ms=round(NOW * 1000))
        caption: Caption = await captioned(captioner(FakeWriter()), record)
        return record, Message(topics.CAPTIONS, 0, 3, KEY, encode(caption), timestamp_ms=round(NOW * 1000))

    async def outcome(self, caption: Message) -> Outcome | None:
        """What becomes of it."""
        [found] = await run_inline(self.role.stages(), [caption], lambda _: None)
        if isinstance(found, Exception):
            raise found
        assert found is None or isinstance(found, Outcome)
        return found


async def test_the_same_models_agree_in_everything_and_keep_nothing() -> None:
    """Category, boxes, facts, counts of both; the store has what it had before."""
    world = World()
    item, caption = await world.published()
    world.items.apply(item)
    before = {key: world.store.get(key) for key in world.store.list()}
    outcome = await world.outcome(caption)
    assert outcome is not None
    found = outcome.agreement
    assert (outcome.why, found.agreed["category"], found.agreed["boxes"]) == ("compared", (1.0, 1.0), (1.0, 1.0))
    same, of = found.agreed["facts"]
    assert same == of >= 2.0
    assert found.facts == (int(of), int(of))
    assert found.refused == (0, 0)
    assert {key: world.store.get(key) for key in world.store.list()} == before


async def test_another_detector_is_told_apart() -> None:
    """Another category in the same box: the boxes agree, category and the fact of it do not."""
    world = World(Renaming())
    item, caption = await world.published()
    world.items.apply(item)
    outcome = await world.outcome(caption)
    assert outcome is not None
    assert (outcome.agreement.agreed["category"], outcome.agreement.agreed["boxes"]) == ((0.0, 1.0), (1.0, 1.0))
    same, of = outcome.agreement.agreed["facts"]
    assert same == of - 1


async def test_what_comes_late_or_is_unknown_costs_no_model() -> None:
    """A minute old; without its item; of another item; deleted; not of the share: nothing is thought."""
    detector = Renaming()
    world = World(detector)
    item, caption = await world.published()
    assert await world.outcome(caption) == Outcome("unknown")
    world.items.apply(item)
    assert await world.outcome(replace(caption, timestamp_ms=round(1000 * (NOW - 61)))) == Outcome("late")
    assert await world.outcome(replace(caption, value=None)) is None
    later = msgspec.structs.replace(await rethought(world.live, item_of(world.address)))
    source = msgspec.structs.replace(later.source, offset=99)
    world.items.apply(replace(item, value=encode(msgspec.structs.replace(later, source=source))))
    assert await world.outcome(caption) == Outcome("unknown")
    world.items.apply(replace(item, value=None))
    assert await world.outcome(caption) == Outcome("unknown")
    nobody = World(detector, share=0.0)
    nobody.items.apply(item)
    assert await nobody.outcome(caption) is None
    world.role = replace(world.role, since=NOW + 1)
    assert await world.outcome(caption) is None, "it was published before the role began"
    assert detector.seen == 0


async def test_a_photo_that_is_gone_is_a_failure_and_no_letter() -> None:
    """Only the counter says so; what was published stands."""
    world, metrics = World(), Metrics("shadow")
    item, caption = await world.published()
    world.items.apply(item)
    world.store.delete(world.store.key_of(world.address) or "")
    with pytest.raises(Poison, match="not in the store"):
        await world.outcome(caption)
    failure = Failure(caption, "read again", Poison("it is not in the store"), 1)
    assert list(await failing(metrics)(failure)) == []
    assert b'weft_shadow_products_total{outcome="failed",role="shadow"} 1.0' in metrics.exposition()


async def test_metrics_tell_agreement_as_two_counters() -> None:
    """What agrees, and of how many; facts and refused drafts of both sides; nothing is published."""
    world, metrics = World(), Metrics("shadow")
    item, caption = await world.published()
    world.items.apply(item)
    outcome = await world.outcome(caption)
    assert list(await telling(metrics)(caption, outcome)) == []
    assert list(await telling(metrics)(caption, None)) == []
    told = metrics.exposition().decode()
    for line in (
        'weft_shadow_products_total{outcome="compared",role="shadow"} 1.0',
        'weft_shadow_agreed_total{role="shadow",what="category"} 1.0',
        'weft_shadow_compared_total{role="shadow",what="boxes"} 1.0',
        'weft_shadow_refused_total{role="shadow",side="live"} 0.0',
    ):
        assert line in told


def test_a_share_is_the_same_products_always() -> None:
    """About so many; whoever is in a smaller share is in a larger one."""
    keys = [f"sku-{n}".encode() for n in range(4000)]
    small, large = ({key for key in keys if Share(share).holds(key)} for share in (0.05, 0.5))
    assert 0.03 < len(small) / len(keys) < 0.07
    assert small < large
    assert all(Share(1.0).holds(key) for key in keys)
    assert not any(Share(0.0).holds(key) for key in keys)


def test_items_are_bounded() -> None:
    """The oldest give way, and no key of another share is kept."""
    items = Items(Share(1.0), most=2)
    for n in range(5):
        items.apply(replace(item_of("images/x"), key=f"sku-{n}".encode()))
    assert list(items._known) == [b"sku-3", b"sku-4"]


def shown(x: float, encoder: str = "e") -> Item:
    """An item with a vector at this angle."""
    vector = np.array([np.cos(x), np.sin(x)], "<f4").tobytes()
    made = msgspec.msgpack.decode(item_of("images/x").value or b"", type=Item)
    return msgspec.structs.replace(made, views=(View("whole", "dress", vector),), encoder=encoder)


def test_neighbours_are_each_profiles_own() -> None:
    """Nothing is said of too few; another encoder begins anew; a product that is gone is no neighbour."""
    known = Neighbours(most=3, least=2)
    assert known.agree("a", shown(0.0), shown(0.0)) is None
    assert known.agree("b", shown(0.1), shown(0.2)) is None
    assert known.agree("c", shown(0.2), shown(0.3)) == (2.0, 10.0)
    known.forget("a")
    known.forget("b")
    assert known.agree("d", shown(0.2), shown(0.3)) is None
    assert known.agree("e", shown(0.2, "other"), shown(0.3)) is None


def test_boxes_match_once_each_and_on_one_photo() -> None:
    """By place alone, whatever they are called."""
    one, two = Garment("g0", "dress", (0, 0, 10, 10), 0.9), Garment("g1", "bag", (20, 20, 30, 30), 0.9)
    assert boxes((one, two), (msgspec.structs.replace(one, category="skirt"),)) == (1.0, 2.0)
    assert boxes((one,), (one, one)) == (1.0, 2.0)
    assert boxes((one,), (msgspec.structs.replace(one, photo="images/b"),)) == (0.0, 2.0)
    assert boxes((), ()) == (0.0, 0.0)


async def test_facts_are_those_of_the_garment_that_is_sold() -> None:
    """Facet → value by the evidence, not by the word that was used for it."""
    _, record = await World().published()
    caption = msgspec.json.decode(record.value or b"", type=Caption)
    found = facts(caption)
    assert found["category"] == caption.evidence.garments[0].category
    assert found["colour"] == caption.evidence.garments[0].colours[0].name


async def test_it_shares_no_process() -> None:
    """It gives way to all others, which the roles beside it would have to as well; and it needs a profile."""
    with pytest.raises(BadSetting, match="process of its own"):
        await work(["enrich", "shadow"], Settings(shadow_profile="fake"))
    with pytest.raises(BadSetting, match="WEFT_SHADOW_PROFILE"):
        await work(["shadow"], Settings())


async def test_a_profile_that_cannot_be_loaded_stops_nobody() -> None:
    """The role is ready, says what is wrong, and waits for its end; it is not started again and again."""
    stop, told, ready = asyncio.Event(), list[str](), list[str]()

    class Told(NullNotices):
        def trouble(self, text: str) -> None:
            told.append(text)
            stop.set()

    nothing: Any = None
    parts = Parts(
        Settings(shadow_profile="no-such"), *[nothing] * 5, stop, nothing, nothing, notices={"shadow": Told()}
    )
    async with asyncio.timeout(30):
        await compare_on(parts, ready.append)
    assert ready == ["shadow"]
    assert len(told) == 1
    assert "no-such" in told[0]


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
def test_a_process_that_gives_way() -> None:
    """Every thread of it, also one that is begun later, is of the idle class; it is the first to go where memory runs out."""
    code = (
        "import os, threading; from infra.lowest import give_way; e = threading.Event(); t = threading.Thread(target=e.wait); t.start();"
        "give_way(); later = threading.Thread(target=e.wait); later.start();"
        "print([os.sched_getscheduler(int(n)) for n in os.listdir('/proc/self/task')], open('/proc/self/oom_score_adj').read()); e.set()"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.split("]")[0].strip("[").split(", ") == [str(os.SCHED_IDLE)] * 3
    assert told.split("]")[1].strip() == "1000"
