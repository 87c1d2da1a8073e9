"""The in-memory twin of the object stores, for tests and for tools that keep nothing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

from infra.store import ETag, NotFound, ObjectStore, Versioned, check_key
from processors.errors import Code, Poison


class MemoryStore(ObjectStore):
    """Objects in a dict. `name` tells the addresses of two stores apart."""

    def __init__(self, name: str = "memory") -> None:
        self._root = f"memory://{name}/"
        self._objects: dict[str, bytes] = {}
        self._guard = threading.Lock()

    @property
    def base(self) -> str:
        return self._root

    def put(self, key: str, data: bytes, *, content_type: str = "") -> ETag:  # noqa: ARG002 - of the port
        check_key(key)
        with self._guard:
            return self._write(key, data)

    def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:  # noqa: ARG002 - of the port
        check_key(key)
        with self._guard:
            if key in self._objects:
                return False
            self._write(key, data)
            return True

    def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
        check_key(key)
        with self._guard:
            if key not in self._objects or _etag(self._objects[key]) != expected:
                return None
            return self._write(key, data)

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        data = self._objects.get(check_key(key))
        if data is None:
            raise NotFound(key)
        if limit is not None and len(data) > limit:
            raise Poison(f"the object {key!r} is larger than {limit} bytes", code=Code.OUT_OF_RANGE)
        return data

    def get_versioned(self, key: str) -> Versioned:
        data = self.get(key)
        return Versioned(data, _etag(data))

    def exists(self, key: str) -> bool:
        return check_key(key) in self._objects

    def delete(self, key: str) -> None:
        check_key(key)
        with self._guard:
            self._objects.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._guard:
            keys = [key for key in self._objects if key.startswith(prefix)]
        yield from sorted(keys)

    def uri(self, key: str) -> str:
        return self._root + check_key(key)

    def _write(self, key: str, data: bytes) -> ETag:
        parts = key.split("/")
        folders = {"/".join(parts[:n]) for n in range(1, len(parts))}
        if folders & self._objects.keys() or any(other.startswith(f"{key}/") for other in self._objects):
            raise Poison(f"the key {key!r} is a folder of another key, or the other way round")
        self._objects[key] = bytes(data)
        return _etag(data)


class EmptyStore(MemoryStore):
    """A store that keeps nothing: what is written is taken, and never there."""

    def _write(self, key: str, data: bytes) -> ETag:  # noqa: ARG002 - of the port
        return _etag(data)


def _etag(data: bytes) -> ETag:
    return ETag(hashlib.sha256(data).hexdigest())
