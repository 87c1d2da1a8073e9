"""What `weft doctor` tries on the object store: reading, writing, removing, and both conditions of a write."""

from __future__ import annotations

import uuid
from contextlib import suppress

from infra.store import NotFound, ObjectStore
from processors.errors import WeftError

PREFIX = "doctor"
_FIRST, _SECOND, _THIRD = b"weft doctor", b"weft doctor, again", b"weft doctor, out of turn"


class Untrue(Exception):
    """The store does not keep its contract; the text says in what, `advice` what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def try_out(store: ObjectStore) -> None:
    """Write, read and remove an object of our own, and write it under conditions that do not hold. Blocking.

    Rights that are missing show only so. A server that takes no notice of a condition would let two index workers
    overwrite each other's manifests (`If-Match`), or a second answer replace the one that was published (`If-None-Match`).

    Raises:
        Untrue: the store answers, but not as it must.
        WeftError: it does not answer, or refuses us.
    """
    key = f"{PREFIX}/{uuid.uuid4().hex}"
    try:
        _conditions(store, key)
    finally:
        # The first trouble is what is told.
        with suppress(WeftError, NotFound):
            store.delete(key)
    if store.exists(key):
        raise Untrue("keeps objects that were removed", "the account must be allowed to delete")


def _conditions(store: ObjectStore, key: str) -> None:
    if not store.create(key, _FIRST):
        raise Untrue("says that a key is taken which nobody has used", "do not use it")
    first = store.get_versioned(key)
    if first.data != _FIRST:
        raise Untrue("gave other bytes than were written", "do not use it")
    if store.create(key, _THIRD) or store.get(key) != _FIRST:
        raise _ignored("If-None-Match")
    second = store.swap(key, _SECOND, first.etag)
    if second is None or store.get(key) != _SECOND:
        raise Untrue("refuses a write whose If-Match holds", _ADVICE)
    if store.swap(key, _THIRD, first.etag) is not None or store.get(key) != _SECOND:
        raise _ignored("If-Match")


_ADVICE = "use a server that honours If-None-Match and If-Match, such as AWS S3, versitygw or MinIO"


def _ignored(header: str) -> Untrue:
    return Untrue(f"ignores conditional writes ({header})", _ADVICE)
