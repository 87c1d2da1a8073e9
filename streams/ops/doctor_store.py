"""What `weft doctor` tries on the object store: reading, writing, removing, and both conditions of a write."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from infra.store import NotFound, ObjectStore
from processors.errors import WeftError

T = TypeVar("T")

PREFIX = "doctor"
_FIRST, _SECOND, _THIRD = b"weft doctor", b"weft doctor, again", b"weft doctor, out of turn"


class Untrue(Exception):
    """The store does not keep its contract; the text says in what, `advice` what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def try_out(store: ObjectStore, *, bucket: str = "BUCKET", objects: str = "BUCKET/*") -> None:
    """Write, read and remove an object of our own, and write it under conditions that do not hold. Blocking.

    Rights that are missing show only so. A server that takes no notice of a condition would let two index workers
    overwrite each other's manifests (`If-Match`), or a second answer replace the one that was published (`If-None-Match`).

    Args:
        store: to try.
        bucket: what the right to list is granted on, as AWS writes it.
        objects: likewise the rights to read, write and delete.

    Raises:
        Untrue: the store answers, but not as it must, or it does not allow something; `advice` says what to grant.
        WeftError: it does not answer, or refuses us.
    """
    key = f"{PREFIX}/{uuid.uuid4().hex}"
    may = _Allowed(bucket, objects)
    try:
        _conditions(store, key, may)
        may.list(lambda: next(store.list(f"{PREFIX}/"), None))
        may.delete(lambda: store.delete(key))
    finally:
        # The first trouble is what is told.
        with suppress(WeftError, NotFound):
            store.delete(key)
    # Without the right to list, S3 answers 403 for an object that is not there: to us that is a refusal, not an absence.
    if may.list(lambda: store.exists(key)):
        raise Untrue("keeps objects that were removed", f"the account must be allowed s3:DeleteObject on {objects}")


@dataclass(frozen=True, slots=True)
class _Allowed:
    """Runs a step, and names the right that it needs when the store refuses it."""

    bucket: str
    objects: str

    def read(self, step: Callable[[], T]) -> T:
        return self._run("read", "s3:GetObject", self.objects, step)

    def write(self, step: Callable[[], T]) -> T:
        return self._run("write", "s3:PutObject", self.objects, step)

    def delete(self, step: Callable[[], T]) -> T:
        return self._run("delete", "s3:DeleteObject", self.objects, step)

    def list(self, step: Callable[[], T]) -> T:
        return self._run("list", "s3:ListBucket", self.bucket, step)

    def _run(self, verb: str, action: str, resource: str, step: Callable[[], T]) -> T:
        try:
            return step()
        except WeftError as error:
            if not any(word in str(error) for word in ("AccessDenied", "HTTP 403")):
                raise
            raise Untrue(f"does not let this account {verb}: {error}", f"grant {action} on {resource}") from None


def _conditions(store: ObjectStore, key: str, may: _Allowed) -> None:
    if not may.write(lambda: store.create(key, _FIRST)):
        raise Untrue("says that a key is taken which nobody has used", "do not use it")
    first = may.read(lambda: store.get_versioned(key))
    if first.data != _FIRST:
        raise Untrue("gave other bytes than were written", "do not use it")
    if store.create(key, _THIRD) or store.get(key) != _FIRST:
        raise _ignored("If-None-Match")
    second = may.write(lambda: store.swap(key, _SECOND, first.etag))
    if second is None or store.get(key) != _SECOND:
        raise Untrue("refuses a write whose If-Match holds", _ADVICE)
    if store.swap(key, _THIRD, first.etag) is not None or store.get(key) != _SECOND:
        raise _ignored("If-Match")


_ADVICE = "use a server that honours If-None-Match and If-Match, such as AWS S3, versitygw or MinIO"


def _ignored(header: str) -> Untrue:
    return Untrue(f"ignores conditional writes ({header})", _ADVICE)
