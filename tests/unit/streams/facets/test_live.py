"""The live heads, followed while a role runs."""

from __future__ import annotations

import asyncio

import pytest

from infra.memory_store import MemoryStore
from processors.errors import Retryable
from processors.facets import Heads
from streams.facets import versions
from streams.facets.live import LiveHeads
from tests.fakes.facet_heads import file_of, head

HEADS = {"pattern": head(["a", "b"], [[1, 0], [0, 1]])}


def _publish(store: MemoryStore, made: str, maker: str = "sha256:m") -> str:
    version = versions.put(store, file_of(maker, HEADS, made))
    versions.use(store, version)
    return version


async def test_another_version_is_taken_up_without_a_restart() -> None:
    """None at first, then each as it is published, then the one before, then none again."""
    store = MemoryStore("test")
    live = LiveHeads(store, "sha256:m")
    await live.look()
    assert live.now() is None
    seen = []
    for made in ("1", "2"):
        version = _publish(store, made)
        await live.look()
        heads = live.now()
        assert heads is not None
        assert heads.version == version
        seen.append(version)
    for expected in (seen[0], ""):
        versions.roll_back(store)
        await live.look()
        heads = live.now()
        assert (heads.version if heads else "") == expected


async def test_fitted_heads_stand_above_those_that_ship() -> None:
    """Under the fitted version's name; after a rollback to none the shipped ones are there alone."""
    store = MemoryStore("test")
    shipped = Heads("sha256:shipped", "sha256:m", HEADS)
    live = LiveHeads(store, "sha256:m", shipped=shipped)
    version = _publish(store, "1")
    await live.look()
    heads = live.now()
    assert heads is not None
    assert (heads.version, heads.under) == (version, shipped)
    versions.roll_back(store)
    await live.look()
    assert live.now() == shipped


async def test_what_cannot_be_applied_changes_nothing() -> None:
    """Heads of another encoder, damaged ones, a store that is away: those of before stay, and the next good ones come."""
    store = MemoryStore("test")
    live = LiveHeads(store, "sha256:m")
    first = _publish(store, "1")
    await live.look()
    _publish(store, "2", maker="sha256:another")
    await live.look()
    assert live.now() is not None
    assert live.now().version == first  # type: ignore[union-attr]
    store.put(versions.LIVE, b"{")
    await live.look()
    assert live.now().version == first  # type: ignore[union-attr]
    store.delete(versions.LIVE)
    good = _publish(store, "3")
    store.put(versions.key_of(good), b"damaged")
    await live.look()
    assert live.now().version == first  # type: ignore[union-attr]
    better = _publish(store, "4")
    await live.look()
    assert live.now().version == better  # type: ignore[union-attr]


class Away(MemoryStore):
    """Cannot be reached."""

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        raise Retryable(f"the store is away: {key} {limit}")


async def test_a_store_that_is_away_is_asked_again() -> None:
    """`follow` goes on for ever, at its pace."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise asyncio.CancelledError

    live = LiveHeads(Away("test"), "sha256:m", sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await live.follow(5.0)
    assert waited == [5.0, 5.0, 5.0]
    assert live.now() is None


async def test_shipped_heads_serve_while_no_fitted_version_is_live() -> None:
    """They stand in before the first version and after it was rolled back; those of another encoder never do."""
    store = MemoryStore("test")
    shipped = Heads("sha256:shipped", "sha256:m", HEADS)
    live = LiveHeads(store, "sha256:m", shipped=shipped)
    await live.look()
    assert live.now() is shipped
    assert not live.fitted
    version = _publish(store, "1")
    await live.look()
    assert live.fitted
    assert live.now().version == version  # type: ignore[union-attr]
    versions.roll_back(store)
    await live.look()
    assert live.now() is shipped
    assert LiveHeads(store, "sha256:another", shipped=shipped).now() is None
