"""`weft doctor` on the photos of live products."""

from __future__ import annotations

from infra.memory_store import MemoryStore
from streams.ops.doctor_photos import absent


def test_photos_that_are_not_there_are_told() -> None:
    """After a move that broke off doctor said healthy: it looked at the store, and at nothing that should be in it."""
    store = MemoryStore("new")
    store.former = ("s3://old/",)
    key = store.put_content(b"photo", ".jpg")
    there = {"a": key, "b": store.uri(key), "c": f"s3://old/{key}"}
    assert absent(store, there).missing == ()
    gone = {"d": "images/gone.jpg", "e": "s3://elsewhere/x.jpg", "f": "s3://old/gone.jpg"}
    found = absent(store, {**there, **gone})
    assert found.looked_at == 6
    assert set(found.missing) == set(gone.values())
