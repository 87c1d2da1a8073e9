"""Versions of facet heads in the object store."""

from __future__ import annotations

import pytest

from infra.memory_store import MemoryStore
from infra.store import ETag
from processors.errors import Poison, Retryable
from streams.facets import kept_versions, versions
from streams.facets.kept_versions import Live
from streams.facets.versions import LIVE
from tests.fakes.facet_heads import file_of, head

HEADS = {"pattern": head(["a", "b"], [[1, 0], [0, 1]])}


def _file(made: str) -> bytes:
    return file_of("sha256:m", HEADS, made)


def test_a_version_is_named_by_its_bytes() -> None:
    """Stored twice it is one; it is read back whole."""
    store = MemoryStore("test")
    version = versions.put(store, _file("1"))
    assert versions.put(store, _file("1")) == version
    assert versions.listed(store) == [version]
    assert versions.read(store, version).card.made == "1"
    assert versions.read_live(store) == Live(), "stored is not live"


def test_use_and_roll_back() -> None:
    """What was live before comes back, and before the first there was none."""
    store = MemoryStore("test")
    first, second = versions.put(store, _file("1")), versions.put(store, _file("2"))
    assert versions.use(store, first) == Live(first)
    assert versions.use(store, second) == Live(second, (first,))
    assert versions.use(store, second) == Live(second, (first,)), "once more changes nothing"
    assert versions.roll_back(store) == Live(first)
    assert versions.roll_back(store) == Live("")
    with pytest.raises(Poison, match="nothing to roll back"):
        versions.roll_back(store)


def test_a_version_is_found_by_the_beginning_of_its_name() -> None:
    """With or without "sha256:"; too short a name, none and several are refused."""
    store = MemoryStore("test")
    version = versions.put(store, _file("1"))
    digits = version.removeprefix("sha256:")
    assert versions.find(store, version) == versions.find(store, digits[:8].upper()) == version
    for name in (digits[:3], "ffffffffffff", ""):
        with pytest.raises(Poison):
            versions.find(store, name)


def test_damaged_bytes_are_never_used() -> None:
    """Neither stored, nor read, nor made live."""
    store = MemoryStore("test")
    with pytest.raises(Poison):
        versions.put(store, b"no heads")
    version = versions.put(store, _file("1"))
    store.put(versions.key_of(version), _file("2"))
    with pytest.raises(Poison, match="damaged"):
        versions.use(store, version)
    with pytest.raises(Poison, match="there is no version"):
        versions.use(store, "sha256:" + "0" * 64)
    assert versions.read_live(store) == Live()


class Contested(MemoryStore):
    """Somebody else writes `live.json` before us, so many times."""

    def __init__(self, others: list[str]) -> None:
        super().__init__("test")
        self.others = others

    def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
        if self.others:
            self.put(LIVE, kept_versions._encoded(Live(self.others.pop())))
        return super().swap(key, data, expected)


def test_two_who_publish_at_once_lose_nothing() -> None:
    """Whoever comes second reads again: the first one's version is in the history."""
    store = Contested([])
    mine, other = versions.put(store, _file("1")), versions.put(store, _file("2"))
    versions.use(store, other)
    store.others = ["sha256:theirs"]
    assert versions.use(store, mine) == Live(mine, ("sha256:theirs",))
    store.others = [f"sha256:{n}" for n in range(20)]
    with pytest.raises(Retryable):
        versions.use(store, other)
