"""One cluster, one store: who comes first, and what is told to whoever comes with another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from hypothesis import given
from hypothesis import strategies as st

from infra import store_identity
from infra.memory_store import MemoryStore
from infra.store_identity import Identity
from processors.errors import Fatal, Retryable
from streams.contract import topics
from streams.contract.codecs import decode_generation
from streams.kafka.store_claim import Claim, patiently
from tests.fixtures.virtual_time import run_virtual


class Cluster:
    """`index.control` as a list of records, and whether `catalog.items` holds any."""

    def __init__(self, *, filled: bool = False) -> None:
        self.log: list[tuple[bytes, bytes | None]] = []
        self.is_filled = filled

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> Awaitable[object]:
        assert topic == topics.CONTROL
        await asyncio.sleep(0)
        self.log.append((key or b"", value))
        return asyncio.sleep(0)

    async def read(self) -> dict[str, str]:
        await asyncio.sleep(0)
        found: dict[str, str] = {}
        for key, value in self.log:
            if value is None:
                found.pop(key.decode().removeprefix("store/"), None)
            else:
                record = decode_generation(value)
                assert record.collection == key.decode()
                found.setdefault(record.collection.removeprefix("store/"), record.generation)
        return found

    async def filled(self) -> bool:
        return self.is_filled

    def compact(self) -> None:
        """What Kafka keeps: the last record of each key, in the order of the log."""
        last = {key: place for place, (key, _) in enumerate(self.log)}
        self.log = [record for place, record in enumerate(self.log) if last[record[0]] == place]

    def claim(self, store: MemoryStore) -> Claim:
        return Claim(store, self, self.read, self.filled)


async def test_the_first_store_is_the_clusters_and_every_worker_of_it_is_let_in() -> None:
    """One id, one claim, however often somebody starts."""
    cluster, store = Cluster(), MemoryStore("shared")
    ids = {(await cluster.claim(store).hold()).id for _ in range(3)}
    assert len(ids) == 1
    assert len(cluster.log) == 1


async def test_a_worker_with_a_store_of_its_own_is_refused() -> None:
    """A host without WEFT_STORE_URL joined and wrote to its own disk: 9 of 24 photos were lost to the others."""
    cluster = Cluster()
    shared = await cluster.claim(MemoryStore("shared")).hold()
    alone = MemoryStore("alone")
    with pytest.raises(
        Fatal, match=rf"^WEFT_STORE_URL: .*another one than this cluster's.*{shared.id}.*memory://shared/"
    ):
        await cluster.claim(alone).hold()
    assert list(alone.list()) == [], "nothing is made of it"
    other = MemoryStore("other")
    store_identity.make(other)
    with pytest.raises(Fatal, match="another one"):
        await cluster.claim(other).hold()
    assert len(cluster.log) == 1


async def test_a_copy_of_the_store_is_the_store() -> None:
    """Moved to another bucket: the same id, so it is let in, and reads the addresses of before."""
    cluster, old = Cluster(), MemoryStore("old")
    await cluster.claim(old).hold()
    new = MemoryStore("new")
    for key in old.list():
        new.put(key, old.get(key))
    await cluster.claim(new).hold()
    assert new.key_of("memory://old/images/a.jpg") == "images/a.jpg"


async def test_an_empty_store_does_not_become_that_of_a_cluster_with_items() -> None:
    """An upgraded cluster has no claim yet; a volume that is not mounted looks like an empty store."""
    with pytest.raises(Fatal, match="is empty, but this cluster's items name photos"):
        await Cluster(filled=True).claim(MemoryStore()).hold()
    store = MemoryStore()
    store.put_content(b"photo", ".jpg")
    await Cluster(filled=True).claim(store).hold()


async def test_an_operator_can_say_that_this_is_the_store_now() -> None:
    """The other one is lost; whoever still has it is refused from then on."""
    cluster, lost, new = Cluster(), MemoryStore("lost"), MemoryStore("new")
    await cluster.claim(lost).hold()
    adopted = await cluster.claim(new).adopt()
    assert (await cluster.claim(new).hold()).id == adopted.id
    with pytest.raises(Fatal):
        await cluster.claim(lost).hold()
    assert await cluster.claim(lost).adopt()
    with pytest.raises(Fatal):
        await cluster.claim(new).hold()


@given(order=st.permutations([0, 0, 1, 1, 2]))
def test_of_stores_that_start_at_once_one_wins_for_good(order: list[int]) -> None:
    """However they interleave, one store is held by all its workers, the others are refused; compaction changes nothing."""

    async def race() -> None:
        cluster = Cluster()
        stores = [MemoryStore(str(n)) for n in range(3)]
        outcomes = await asyncio.gather(*(cluster.claim(stores[n]).hold() for n in order), return_exceptions=True)
        held = {n for n, outcome in zip(order, outcomes, strict=True) if not isinstance(outcome, BaseException)}
        refused = {n for n, outcome in zip(order, outcomes, strict=True) if isinstance(outcome, Fatal)}
        assert len(held) == 1
        assert held | refused == {0, 1, 2}
        assert not held & refused
        cluster.compact()
        for n, store in enumerate(stores):
            if n in held:
                await cluster.claim(store).hold()
            else:
                with pytest.raises(Fatal):
                    await cluster.claim(store).hold()

    asyncio.run(race())


class Trouble:
    """A claim that meets these first, and holds then."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def hold(self) -> Identity:
        if self.errors:
            raise self.errors.pop(0)
        return Identity("a")


def test_a_broker_that_goes_away_while_a_worker_starts_is_waited_for() -> None:
    """Its client raises errors of its own, which once ended the worker although it was to wait."""

    async def main() -> None:
        trouble = Trouble(Retryable("store away"), KafkaTimeoutError(), KafkaTimeoutError())
        assert await patiently(trouble.hold, asyncio.Event(), patience_s=60) == Identity("a")
        stopped = asyncio.Event()
        stopped.set()
        with pytest.raises(Retryable):
            await patiently(Trouble(KafkaTimeoutError()).hold, stopped, patience_s=60)

    run_virtual(main())


async def test_a_right_that_is_missing_is_said_with_how_to_find_it() -> None:
    """Every worker publishes the claim on `index.control`, which may not have been granted to it before."""
    with pytest.raises(Fatal, match="weft doctor"):
        await patiently(Trouble(TopicAuthorizationFailedError("index.control")).hold, asyncio.Event(), patience_s=60)
