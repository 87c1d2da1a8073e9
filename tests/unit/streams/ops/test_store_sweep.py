"""Removing what nothing names: only what was unnamed for long enough; what a record names meanwhile is back at the end."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from infra.memory_store import MemoryStore
from infra.store import content_digest
from processors.errors import Retryable
from processors.values import CaptionText
from streams.contract import topics
from streams.contract.records import Generation, Source
from streams.engine.message import Message
from streams.ops.generations import lease
from streams.ops.store_gc import ASIDE, INDEX
from streams.ops.store_sweep import LEASE, Sweep, Swept
from streams.roles.caption.steps import Shown, Written
from streams.search.generations import Generations, key_of
from tests.fakes.store_world import FakeWorld

DAY = 86_400.0


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


def swept(world: FakeWorld, day: float, older_than_days: float = 7.0) -> Swept:
    sweep = Sweep(world.store, world, older_than_days * DAY, lambda: 1e9 + day * DAY, no_wait)
    return asyncio.run(sweep.run())


def upload(key: str, product: str = "p") -> Message:
    value = msgspec.json.encode({"product_id": product, "image": {"uri": key}})
    return Message(topics.UPLOADS, 0, 7, product.encode(), value)


def photo_of(store: MemoryStore, data: bytes = b"a photo") -> str:
    return store.put_content(data, ".jpg")


def keys(store: MemoryStore, *prefixes: str) -> list[str]:
    return [key for key in store.list() if key.startswith(prefixes or ("images/", "memo/", "index/", ASIDE))]


def memo_of(store: MemoryStore, text: str, offset: int) -> tuple[str, str]:
    """The memo of a caption, of both kinds, made for the upload at that offset."""
    written = Written(CaptionText(text, (), (), 1.0, "template"), (), ())
    sight, facts = f"memo/caption/f/{offset:064d}", f"memo/caption/f/{offset + 1000:064d}"
    store.put(sight, msgspec.msgpack.encode(Shown(Source(topics.UPLOADS, 0, offset), "e", written)))
    store.put(facts, msgspec.msgpack.encode(written))
    return sight, facts


def test_only_what_was_unnamed_for_long_enough_goes() -> None:
    """The first run notes; within the age nothing goes; then photo, what was seen on it, and captions of no upload."""
    world = FakeWorld(MemoryStore())
    store = world.store
    named, lost = photo_of(store, b"named"), photo_of(store, b"lost")
    seen = f"memo/enrich/f/{content_digest(lost)}"
    kept = f"memo/enrich/f/{content_digest(named)}"
    store.put(seen, b"seen")
    store.put(kept, b"seen")
    of_kept, of_lost = memo_of(store, "a red dress", 7), memo_of(store, "a blue coat", 6)
    store.put("images/theirs.jpg", b"put there by somebody else")
    world.records = [upload(named)]
    assert (swept(world, 0).waiting, swept(world, 6.9).counts) == (4, {})
    done = swept(world, 7.1)
    assert done.counts == {"memo": 3, "photo": 1}
    assert set(done.removed) == {lost, seen, *of_lost}
    assert keys(store) == sorted([named, kept, *of_kept, "images/theirs.jpg"])
    assert store.get(kept) == b"seen"


def test_a_first_run_removes_nothing_whatever_its_age() -> None:
    """What is unnamed now may be named in a moment."""
    world = FakeWorld(MemoryStore())
    lost = photo_of(world.store)
    assert (swept(world, 0, 0.0).counts, keys(world.store)) == ({}, [lost])
    assert (swept(world, 1, 0.0).counts, keys(world.store)) == ({"photo": 1}, [])


def test_what_was_named_in_between_begins_anew() -> None:
    """A product that came back and went again has its age from then."""
    world = FakeWorld(MemoryStore())
    lost = photo_of(world.store)
    swept(world, 0)
    world.records = [upload(lost)]
    swept(world, 5)
    world.records = []
    assert (swept(world, 8).counts, swept(world, 14).counts) == ({}, {})
    assert swept(world, 15.1).counts == {"photo": 1}


def test_what_a_role_was_about_to_name_is_back() -> None:
    """It found photo and memo there, and publishes when they are away: the bytes are as they were, and nothing lies aside."""
    world = FakeWorld(MemoryStore())
    lost, other = photo_of(world.store), photo_of(world.store, b"other")
    memo = f"memo/enrich/f/{content_digest(lost)}"
    world.store.put(memo, b"seen")
    swept(world, 0)
    world.meanwhile = [upload(lost)]
    done = swept(world, 8)
    assert (done.put_back, done.counts, done.removed) == (2, {"photo": 1}, (other,))
    assert keys(world.store) == sorted([lost, memo])
    assert (world.store.get(lost), world.store.get(memo)) == (b"a photo", b"seen")


def test_while_the_roles_are_behind_everything_stays_aside() -> None:
    """The next run puts back what was named, forgets the rest, and removes nothing else before that."""
    world = FakeWorld(MemoryStore(), caught_up=False)
    one, two = photo_of(world.store, b"one"), photo_of(world.store, b"two")
    swept(world, 0)
    done = swept(world, 8)
    assert (done.aside, keys(world.store)) == (2, sorted([f"{ASIDE}{one}", f"{ASIDE}{two}"]))
    third = photo_of(world.store, b"three")
    assert swept(world, 9).aside == swept(world, 20).aside == 2
    assert third in keys(world.store)
    world.caught_up, world.meanwhile = True, [upload(two), upload(third)]
    assert swept(world, 21).put_back == 1
    assert keys(world.store) == sorted([two, third])


def test_a_run_that_died_loses_nothing() -> None:
    """After each of its writes and deletes: the next run leaves what is named where it belongs."""
    for deadly in range(1, 12):
        world = FakeWorld(MemoryStore())
        lost, named = photo_of(world.store), photo_of(world.store, b"named late")
        memos = [f"memo/enrich/f/{content_digest(key)}" for key in (lost, named)]
        for memo in memos:
            world.store.put(memo, b"seen")
        swept(world, 0)
        real, steps = world.store.delete, iter(range(1, 100))

        def dying(key: str, real=real, steps=steps, deadly=deadly) -> None:
            if key.startswith(("images/", "memo/", ASIDE)) and next(steps) == deadly:
                raise Retryable("dies here")
            real(key)

        world.store.delete = dying  # type: ignore[method-assign]
        world.meanwhile = [upload(named)]
        try:
            swept(world, 8)
        except Retryable:
            world.store.delete = real  # type: ignore[method-assign]
            swept(world, 9)
        assert keys(world.store) == sorted([named, memos[1]]), deadly


def test_a_dropped_generation_goes_but_not_while_somebody_builds_it_anew() -> None:
    """Its lease is held meanwhile; and one that has a record again is left alone."""
    world = FakeWorld(MemoryStore())
    left = f"{INDEX}g-gone/00000/CURRENT"
    world.store.put(left, b"{}")
    swept(world, 0)
    made = Generation(key_of("g-gone"), "g-gone", "building")

    async def begun_again() -> Swept:
        sweep = Sweep(world.store, world, 0.0, lambda: 1e9 + DAY, no_wait)
        calls = iter([Generations(), Generations(), Generations(made={"g-gone": made})])

        async def generations() -> Generations:
            return next(calls)

        world.generations = generations  # type: ignore[method-assign]
        return await sweep.run()

    assert asyncio.run(begun_again()).counts == {}
    assert left in keys(world.store)
    del world.generations  # type: ignore[method-assign]
    assert swept(world, 8).counts == {"generation": 1}
    assert list(world.store.list("index/")) == []


async def test_two_runs_at_once_are_refused() -> None:
    """The second would take what the first put aside for what is settled."""
    world = FakeWorld(MemoryStore())
    async with lease.held(world.store, LEASE):
        with pytest.raises(Retryable, match="store gc"):
            await Sweep(world.store, world, 0.0, lambda: 1e9, no_wait).run()
