"""What is found of a product, and what is said of each place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from processors.attributes import Calibration
from processors.policies import policies_of
from streams.contract import topics
from streams.contract.codecs import encode
from streams.engine.message import Message
from streams.kafka.dead_letters import PREFIX
from streams.ops.forget import Forget
from streams.ops.forget_look import Look, Seen, meant_by
from streams.ops.forget_memos import remove
from streams.ops.forget_places import Place, Report, of_topic
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.memo import Memo
from streams.roles.product_log import holding, without
from streams.roles.products import PREFIX as PRODUCTS
from tests.unit.streams.roles.test_role_caption import item
from tests.unit.streams.roles.test_role_enrich import Web, photo, role
from tests.unit.streams.roles.test_shops import published, upload

DAY_MS = 24 * 3_600_000
COMPACT = {"cleanup.policy": "compact", "delete.retention.ms": str(DAY_MS)}
DELETE = {"cleanup.policy": "delete", "segment.ms": str(7 * DAY_MS)}
NOW = 1_769_860_800.0  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("found", "configs", "state", "until"),
    [
        (0, COMPACT, "gone", None),
        (2, {**COMPACT, "max.compaction.lag.ms": str(7 * DAY_MS)}, "waits", "2026-02-07T12:00:00Z"),
        (2, {**COMPACT, "max.compaction.lag.ms": str(2**63 - 1)}, "waits", None),
        (2, {**DELETE, "retention.ms": "-1"}, "kept", None),
        (2, {**DELETE, "retention.ms": str(DAY_MS)}, "waits", "2026-02-08T12:00:00Z"),
        (0, {**DELETE, "retention.ms": "-1"}, "gone", None),
    ],
)
def test_a_topic_says_until_when(found: int, configs: dict[str, str], state: str, until: str | None) -> None:
    """By its own settings, whatever Weft would have chosen."""
    place = of_topic(topics.UPLOADS, found, 1, configs, NOW)
    assert (place.state, place.until, place.found) == (state, until, found)


def test_all_is_settled_when_everything_is_gone_or_has_a_date() -> None:
    """What waits without one is no proof."""
    gone, dated, undated = Place("a", "gone"), Place("b", "waits", 1, "2026-02-07T12:00:00Z"), Place("c", "waits", 1)
    assert Report((), (gone, dated), True).settled
    assert not Report((), (gone, undated), True).settled
    assert not Report((), (Place("d", "kept", 1),), True).settled


def record(topic: str, key: str, value: object) -> Message:
    return Message(topic, 0, 0, key.encode(), None if value is None else msgspec.json.encode(value))


def test_who_names_a_product_beside_it_is_found_until_it_does_no_more() -> None:
    """Lists of neighbours and what became of standing queries: the product's own, and those of others that name it."""
    looking = Look(MemoryStore("x"), meant_by(("b",), "s"), ("b",), "s")
    near = {"product_id": "a", "neighbours": [{"product_id": "b", "score": 0.9}], "encoder": "e", "shop": "s"}
    own = {"product_id": "b", "neighbours": [{"product_id": "a", "score": 0.9}], "encoder": "e", "shop": "s"}
    match = {"query_id": "q", "state": "met", "at": "2026-01-01T00:00:00Z", "product_id": "b", "shop": "s"}
    watching = {"query_id": "q", "state": "watching", "at": "2026-01-01T00:00:00Z"}
    looking.take(record(topics.SIMILAR, "//s/a", near))
    looking.take(record(topics.SIMILAR, "//s/b", own))
    looking.take(record(topics.SIMILAR, "b", {**own, "shop": ""}))
    looking.take(record(topics.MATCHES, "q///s/b", match))
    looking.take(record(topics.MATCHES, "q@0", watching))
    assert looking.seen.live == {topics.SIMILAR: {"//s/a", "//s/b"}, topics.MATCHES: {"q///s/b"}}
    looking.take(record(topics.SIMILAR, "//s/a", {**near, "neighbours": [{"product_id": "c", "score": 0.8}]}))
    looking.take(record(topics.SIMILAR, "//s/b", None))
    looking.take(record(topics.MATCHES, "q///s/b", None))
    assert looking.seen.live == {topics.SIMILAR: set(), topics.MATCHES: set()}
    assert looking.seen.values == {topics.SIMILAR: 2, topics.MATCHES: 1}
    assert looking.seen.deletes == {topics.SIMILAR: 1, topics.MATCHES: 1}


def test_what_no_role_takes_away_is_told_apart() -> None:
    """A list of a product that never was, or one that lies on another partition than the role's deletion; not a live product's."""
    meant = meant_by(("b",), "")
    looking = Look(MemoryStore("x"), meant, ("b",), "")
    value = encode(item("a", title="x"))
    looking.take(Message(topics.ITEMS, 0, 0, b"a", value))

    def names_b(key: str, partition: int, *, gone: bool = False) -> None:
        value = msgspec.json.encode(
            {"product_id": key, "neighbours": [{"product_id": "b", "score": 0.9}], "encoder": "e"}
        )
        looking.take(Message(topics.SIMILAR, partition, 0, key.encode(), None if gone else value))

    for key, partition in (("a", 1), ("b", 1), ("b", 2), ("ghost", 3)):
        names_b(key, partition)
    names_b("b", 1, gone=True)
    assert looking.seen.live[topics.SIMILAR] == {"a", "b", "ghost"}
    assert looking.seen.ownerless(meant) == {topics.SIMILAR: {(b"b", 2), (b"ghost", 3)}}
    names_b("b", 2, gone=True)
    names_b("ghost", 3, gone=True)
    assert looking.seen.live[topics.SIMILAR] == {"a"}
    assert looking.seen.ownerless(meant) == {}


class World:
    """Six products of each of two shops, with equal ids and the same photo, as enrich and caption make them on one store."""

    def __init__(self) -> None:
        enrich = role(Web(photo()))
        self.store = enrich.store
        self.uploads = [upload(n, shop, offset=2 * n + (shop == "two")) for n in range(6) for shop in ("one", "two")]
        self.items = self.lying(topics.ITEMS, published(enrich.stages(), "enrich", topics.ITEMS, self.uploads, enrich))
        neighbourhood = Neighbourhood(("fabric", "gender"))
        for message in self.items:
            neighbourhood.apply(message)
        writer, voted = FakeWriter(), policies_of({"fabric": "neighbours", "gender": "neighbours"})
        caption = Captioner(
            writer,
            neighbourhood,
            Memo(self.store, "caption", writer.fingerprint),
            Calibration(k=20),
            batch_items=4,
            batch_wait_s=0.0,
            policies=voted,
        )
        sent = published(caption.stages(), "caption", topics.CAPTIONS, self.items)
        self.captions = self.lying(topics.CAPTIONS, sent)

    @staticmethod
    def lying(topic: str, sent: Any) -> list[Message]:
        return [Message(topic, 0, n, one.key, one.value, one.headers) for n, one in enumerate(sent)]

    def look(self, products: tuple[str, ...], shop: str) -> Seen:
        looking = Look(self.store, meant_by(products, shop), products, shop)
        for record in (*self.uploads, *self.items, *self.captions):
            looking.take(record)
        return looking.seen

    def forget(self, *products: str, shop: str) -> Forget:
        return Forget(None, self.store, products, shop)  # type: ignore[arg-type]


def test_one_product_is_found_everywhere_and_no_other() -> None:
    """Its records, the captions that cite it, and its photo, which the others have as well."""
    world = World()
    seen = world.look(("sku-1",), "one")
    assert seen.keys == {"//one/sku-1"}
    assert seen.values == {topics.UPLOADS: 1, topics.ITEMS: 1, topics.CAPTIONS: 1}
    assert seen.sources == {(0, 2)}
    assert set(seen.citing) <= {f"//one/sku-{n}" for n in range(6) if n != 1}
    assert seen.citing
    assert world.forget("sku-1", shop="one")._photos(seen) == []
    gone = [Message(topics.CAPTIONS, 0, 99, b"//one/sku-1", None)]
    looking = Look(world.store, meant_by(("sku-1",), "one"), ("sku-1",), "one")
    for record in (*world.captions, *gone):
        looking.take(record)
    assert (looking.seen.live[topics.CAPTIONS], looking.seen.deletes) == (set(), {topics.CAPTIONS: 1})


def test_a_whole_shop_leaves_nothing_and_takes_nothing_of_others() -> None:
    """Memos that are its own or cite it are removed; looked for again none is left; those of the other shop stay as they are."""
    world = World()
    seen, forget = world.look((), "one"), world.forget(shop="one")
    kept = ("memo/", f"{PRODUCTS}/")
    assert holding(world.store, f"{PRODUCTS}/", forget._meant)
    theirs_kept = holding(world.store, f"{PRODUCTS}/", world.forget(shop="two")._meant)
    assert without(world.store, f"{PRODUCTS}/", forget._meant)
    assert holding(world.store, f"{PRODUCTS}/", forget._meant) == []
    assert holding(world.store, f"{PRODUCTS}/", world.forget(shop="two")._meant) == theirs_kept != []
    before = {key: world.store.get(key) for key in world.store.list() if key.startswith(kept)}
    others = world.look((), "two")
    theirs = set(world.forget(shop="two")._memos(others))
    mine = set(forget._memos(seen))
    assert mine
    assert not mine & theirs
    assert remove(world.store, sorted(mine)) == len(mine)
    assert forget._memos(seen) == []
    left = {key: world.store.get(key) for key in world.store.list() if key.startswith(kept)}
    assert theirs <= set(left)
    assert all(before[key] == data for key, data in left.items())
    assert not [key for key, data in left.items() if b"one says breezy" in data]


def test_a_photo_goes_with_the_last_product_that_has_it() -> None:
    """With what models saw of it."""
    world = World()
    looking = Look(world.store, meant_by((), "one"), (), "one")
    for record in (m for m in (*world.uploads, *world.items) if b"two" not in (m.key or b"") + (m.value or b"")[:200]):
        looking.take(record)
    forget = world.forget(shop="one")
    [key] = forget._photos(looking.seen)
    assert world.store.exists(key)
    digest = key.rpartition("/")[2].partition(".")[0]
    assert [name for name in forget._memos(looking.seen) if name.endswith(f"/{digest}")]


def test_letters_of_a_shop_are_found() -> None:
    """By what the failed record said, whatever its key was."""
    [bad] = [upload(7, "one")]
    letter = Message(topics.DEAD_LETTERS, 0, 3, bad.key, bad.value, ((f"{PREFIX}topic", topics.UPLOADS.encode()),))
    looking = Look(World().store, meant_by((), "one"), (), "one")
    looking.take(letter)
    assert looking.seen.values == {topics.DEAD_LETTERS: 1}
    assert looking.seen.keys == {"//one/sku-7"}


def test_memos_that_are_none_of_ours_are_left() -> None:
    """Whatever lies under `memo/` and cannot be read."""
    world = World()
    world.store.put("memo/caption/x/strange", b"\xc1\xff")
    world.store.put("memo/other/y", msgspec.msgpack.encode("sku-1"))
    seen, forget = world.look((), "one"), world.forget(shop="one")
    assert not {"memo/caption/x/strange", "memo/other/y"} & set(forget._memos(seen))


def test_a_photo_that_another_product_is_about_to_have_stays() -> None:
    """Its upload names the photo in the store, and waits for its turn: without it the upload would become a dead letter."""
    world = World()
    address = next(iter(world.store.list("images/")))
    looking = Look(world.store, meant_by((), "one"), (), "one")
    mine = [m for m in (*world.uploads, *world.items) if b"two" not in (m.key or b"") + (m.value or b"")[:200]]
    value = msgspec.json.encode({"product_id": "new", "image": {"uri": address}, "shop": "two"})
    for record in (*mine, Message(topics.UPLOADS, 0, 50, b"new", value)):
        looking.take(record)
    assert world.forget(shop="one")._photos(looking.seen) == []
    looking.take(Message(topics.UPLOADS, 0, 51, b"//two/new", None))
    assert world.forget(shop="one")._photos(looking.seen) == [address]
