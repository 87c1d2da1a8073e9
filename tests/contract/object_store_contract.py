"""What every object store must do. A subclass provides the fixture `store`: an empty store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.store import ETag, NotFound, ObjectStore, content_key
from processors.errors import Poison

BAD_KEYS = [
    "",
    "/absolute",
    "a//b",
    "a/",
    "../up",
    "a/../../up",
    "a/./b",
    "a\x00b",
    "a\nb",
    "a\\b",
    " a",
    "x" * 201,
    "/".join(["abc"] * 200),
    ".weft/locks/00",
    "\ud800",
]


class ObjectStoreContract:
    """Inherited by one test class per store."""

    def test_bytes_come_back(self, store: ObjectStore) -> None:
        """What was put is what is got, empty and binary and large objects included."""
        for key, data in {"a": b"", "b/c": bytes(range(256)), "b/d.jpg": b"x" * 7_000_000}.items():
            store.put(key, data)
            assert store.get(key) == data
            assert store.exists(key)

    def test_unusual_names_come_back(self, store: ObjectStore) -> None:
        """Spaces, percent signs, accents and signs with a meaning in URLs are plain characters of a key."""
        keys = ["a b/c d.jpg", "100%25.jpg", "é/ü–ö.png", "q?x=1&y#z", "plus+and,comma", "日本/語.webp"]
        for key in keys:
            store.put(key, key.encode())
        assert [store.get(key).decode() for key in keys] == keys
        assert list(store.list()) == sorted(keys, key=str.encode)
        assert [store.key_of(store.uri(key)) for key in keys] == keys

    def test_absent_is_not_found(self, store: ObjectStore) -> None:
        """Reading what is not there is NotFound; deleting it is no error; it does not exist."""
        with pytest.raises(NotFound, match="nothing"):
            store.get("nothing/here")
        with pytest.raises(NotFound):
            store.get_versioned("nothing/here")
        assert not store.exists("nothing/here")
        store.delete("nothing/here")

    def test_a_folder_is_not_an_object(self, store: ObjectStore) -> None:
        """The path to an object is no object itself."""
        store.put("a/b/c", b"1")
        assert not store.exists("a/b")
        with pytest.raises(NotFound):
            store.get("a/b")
        store.delete("a/b")
        assert store.get("a/b/c") == b"1"

    def test_put_replaces(self, store: ObjectStore) -> None:
        """The last put wins, and its tag is the one that get_versioned tells."""
        first = store.put("k", b"one")
        second = store.put("k", b"two")
        assert store.get_versioned("k") == (b"two", second)
        assert first != second

    def test_delete_removes(self, store: ObjectStore) -> None:
        """A deleted object is gone from get, exists and list."""
        store.put("a/k", b"1")
        store.delete("a/k")
        assert not store.exists("a/k")
        assert list(store.list()) == []

    def test_create_only_once(self, store: ObjectStore) -> None:
        """The second create says False and leaves the first one's bytes."""
        assert store.create("lock", b"mine")
        assert not store.create("lock", b"yours")
        assert store.get("lock") == b"mine"

    def test_of_many_creators_one_wins(self, store: ObjectStore) -> None:
        """Concurrent creates of one key: exactly one True, and the object is the winner's."""
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n: store.create("race/lock", b"%d" % n), range(8)))
        assert sum(won) == 1
        assert store.get("race/lock") == b"%d" % won.index(True)

    def test_swap_needs_the_present_tag(self, store: ObjectStore) -> None:
        """A swap with the right tag replaces and tells the new tag; with an old tag it changes nothing."""
        old = store.put("m", b"v1")
        new = store.swap("m", b"v2", old)
        assert new is not None
        assert store.swap("m", b"v3", old) is None
        assert store.get_versioned("m") == (b"v2", new)

    def test_swap_of_nothing(self, store: ObjectStore) -> None:
        """An object that is gone cannot be swapped."""
        tag = store.put("gone", b"1")
        store.delete("gone")
        assert store.swap("gone", b"2", tag) is None
        assert store.swap("never", b"2", ETag("0" * 32)) is None
        assert not store.exists("gone")

    def test_no_increment_is_lost(self, store: ObjectStore) -> None:
        """Eight writers that read, add one and swap until it succeeds: the sum is right."""
        store.put("counter", b"0")

        def increment(_: int) -> None:
            while True:
                value, tag = store.get_versioned("counter")
                if store.swap("counter", b"%d" % (int(value) + 1), tag) is not None:
                    return

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(increment, range(24)))
        assert store.get("counter") == b"24"

    def test_list_by_prefix_in_order(self, store: ObjectStore) -> None:
        """A prefix is any string; the order is that of the bytes ("a-b" before "a/b")."""
        for key in ["a/b", "a-b", "ab/1", "a/c/d", "a/b2", "z"]:
            store.put(key, b"")
        assert list(store.list()) == ["a-b", "a/b", "a/b2", "a/c/d", "ab/1", "z"]
        assert list(store.list("a/")) == ["a/b", "a/b2", "a/c/d"]
        assert list(store.list("a/b")) == ["a/b", "a/b2"]
        assert list(store.list("a/c/d")) == ["a/c/d"]
        assert list(store.list("a")) == ["a-b", "a/b", "a/b2", "a/c/d", "ab/1"]
        assert list(store.list("nothing/")) == []

    def test_content_address(self, store: ObjectStore) -> None:
        """The key is the SHA-256 of the bytes; the same bytes twice are one object."""
        key = store.put_content(b"photo", ".jpg")
        assert key == content_key(b"photo", ".jpg")
        assert store.put_content(b"photo", ".jpg") == key
        assert list(store.list("images/")) == [key]
        assert store.get(key) == b"photo"

    def test_limit(self, store: ObjectStore) -> None:
        """An object over the limit is poison; one of just the limit is read; the next read is not disturbed."""
        store.put("big", b"x" * 100_000)
        with pytest.raises(Poison, match="larger than 99999 bytes"):
            store.get("big", limit=99_999)
        assert len(store.get("big", limit=100_000)) == 100_000

    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    def test_bad_keys_are_poison(self, store: ObjectStore, key: str) -> None:
        """No method takes a key that leads out of the store or that some store cannot hold."""
        calls = [
            lambda: store.put(key, b""),
            lambda: store.create(key, b""),
            lambda: store.swap(key, b"", ETag("x")),
            lambda: store.get(key),
            lambda: store.get_versioned(key),
            lambda: store.exists(key),
            lambda: store.delete(key),
            lambda: store.uri(key),
        ]
        for call in calls:
            with pytest.raises(Poison):
                call()

    def test_a_key_under_another_key_harms_neither(self, store: ObjectStore) -> None:
        """A key that is a folder of another is refused, or kept beside it; the first object is unharmed either way."""
        store.put("a", b"1")
        try:
            store.put("a/b", b"2")
        except Poison:
            assert not store.exists("a/b")
        else:
            assert store.get("a/b") == b"2"
        assert store.get("a") == b"1"

    def test_addresses_of_elsewhere_are_not_ours(self, store: ObjectStore) -> None:
        """key_of knows its own addresses only, and none that climbs out."""
        root = store.uri("k").removesuffix("k")
        foreign = [
            "",
            "/k",
            "../k",
            "a//k",
            "https://host/k",
            "s3://another-bucket/k",
            "file:///etc/passwd",
            root,
            root + "../k",
        ]
        assert [store.key_of(uri) for uri in foreign] == [None] * len(foreign)
        assert store.key_of(root + "a/k") == "a/k"
        assert store.base == root

    def test_addresses_in_events_are_relative(self, store: ObjectStore) -> None:
        """What was published stays true wherever the store lies; a key that reads like a link is told from one."""
        for key in ["images/ab/cd/abcd.jpg", "a b/é.png", "odd:name/x.jpg", "100%25.jpg"]:
            assert store.key_of(store.address(key)) == key
            assert store.key_of(store.uri(key)) == key
            assert store.relative(store.uri(key)) == store.address(key)
        assert store.address("images/ab/cd/abcd.jpg") == "images/ab/cd/abcd.jpg"
        assert store.relative("https://host/k") == "https://host/k"

    def test_addresses_of_before_a_move_are_still_ours(self, store: ObjectStore) -> None:
        """A folder that became a bucket, a bucket that got another name: records of those days are read."""
        old = ["file:///old/place/a%20b.jpg", "s3://old-bucket/pre/fix/a b.jpg"]
        assert [store.key_of(address) for address in old] == [None, None]
        store.former = ("file:///old/place/", "s3://old-bucket/pre/fix/")
        assert [store.key_of(address) for address in old] == ["a b.jpg", "a b.jpg"]
        others = ["file:///old/placeless/a.jpg", "s3://old-bucket/a.jpg", "file:///old/place/../../etc/passwd"]
        assert [store.key_of(address) for address in others] == [None] * 3
