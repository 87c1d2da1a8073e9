"""Which store this is, and where it lay."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import store_identity
from infra.local_store import LocalStore
from infra.memory_store import MemoryStore
from infra.settings import Settings
from infra.store import ETag
from infra.stores import absolute, open_store
from processors.errors import Fatal, Retryable


def test_of_many_that_give_a_store_its_id_one_does() -> None:
    """Four roles start at once on a new store: they agree."""
    store = MemoryStore()
    with ThreadPoolExecutor(8) as pool:
        ids = {identity.id for identity in pool.map(lambda _: store_identity.make(store), range(8))}
    assert len(ids) == 1
    assert store_identity.read(store) == store_identity.make(store)


def test_a_folder_that_moved_is_the_same_store_and_knows_its_old_addresses(tmp_path: Path) -> None:
    """Copied or renamed, its id stays; addresses of before are read at the new place."""
    old = LocalStore(tmp_path / "a store")
    identity = store_identity.settle(old, store_identity.make(old))
    key = old.put_content(b"photo", ".jpg")
    address = old.uri(key)
    shutil.move(tmp_path / "a store", tmp_path / "moved")
    new = LocalStore(tmp_path / "moved")
    assert new.key_of(address) is None
    moved = store_identity.settle(new, store_identity.make(new))
    assert moved == store_identity.Identity(identity.id, (old.base, new.base))
    assert new.key_of(address) == key
    assert new.get(key) == b"photo"
    assert store_identity.settle(new, moved) == moved, "nothing is noted twice"


def test_a_store_that_moves_for_ever_forgets_its_first_places() -> None:
    """The list is bounded, and the place of now is on it."""
    objects = MemoryStore("0")
    store_identity.make(objects)
    for n in range(40):
        objects._root = f"memory://{n}/"
        store_identity.settle(objects, store_identity.make(objects))
    found = store_identity.make(objects)
    assert found.places[-1] == "memory://39/"
    assert len(found.places) == 32


def test_a_file_that_is_no_identity_is_told() -> None:
    """Not overwritten: it may be somebody's."""
    store = MemoryStore()
    store.put("store.json", b"[1, 2]")
    with pytest.raises(Fatal, match=r"store\.json cannot be read"):
        store_identity.read(store)


def test_a_store_that_changes_under_us_is_told() -> None:
    """Another volume was mounted meanwhile."""
    store = MemoryStore()
    store_identity.make(store)
    with pytest.raises(Fatal, match="has become another one"):
        store_identity.settle(store, store_identity.Identity("of-before"))


def test_places_that_others_note_at_the_same_time_are_not_lost() -> None:
    """A swap that fails is tried again on what is there now; not for ever."""

    class Busy(MemoryStore):
        refusals = 3

        def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
            self.refusals -= 1
            return None if self.refusals >= 0 else super().swap(key, data, expected)

    store = Busy("new")
    store.put("store.json", b'{"id": "x", "places": ["memory://old/"]}')
    assert store_identity.settle(store, store_identity.make(store)).places == ("memory://old/", "memory://new/")
    store.put("store.json", b'{"id": "x", "places": []}')
    store.refusals = 1000
    with pytest.raises(Retryable):
        store_identity.settle(store, store_identity.make(store))


def test_addresses_for_people(tmp_path: Path) -> None:
    """What a hit names can be opened with other tools; what is absolute already stays."""
    folder = Settings(store_url=(tmp_path / "a store").as_uri())
    store = open_store(folder)
    for key in ("images/ab/cd.jpg", "a b/é%25.png"):
        assert absolute(folder, store.address(key)) == store.uri(key)
    bucket = Settings(store_url="s3://bucket/pre/", s3_access_key="a", s3_secret_key="b")
    assert (
        absolute(bucket, "images/a b.jpg")
        == open_store(bucket).uri("images/a b.jpg")
        == "s3://bucket/pre/images/a b.jpg"
    )
    for address in ("https://cdn.example/a.jpg", "s3://elsewhere/x", "file:///x", ""):
        assert absolute(bucket, address) == address
