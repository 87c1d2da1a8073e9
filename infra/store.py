"""The port to the object store. Implementations: `local_store`, `s3_store`, and the in-memory twin `memory_store`.

All methods block; call them through `asyncio.to_thread` where a loop runs. All are safe to call from many threads.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple, NewType, Protocol
from urllib.parse import unquote, urlsplit

from processors.errors import Poison

ETag = NewType("ETag", str)

RESERVED = ".weft"  # the local store keeps its locks and unfinished writes under this name
_CONTENT = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.[a-z0-9]+)?$")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LONGEST_KEY = 512
_LONGEST_SEGMENT = 200  # bytes; file systems allow 255, and writers add an ending


class NotFound(KeyError):
    """No object under this key."""

    def __str__(self) -> str:
        return f"no object {self.args[0]!r}" if self.args else "no object"


class Versioned(NamedTuple):
    """An object and the tag of exactly these bytes."""

    data: bytes
    etag: ETag


class ObjectStore(Protocol):
    """Whole objects under keys like `images/ab/cd/abcd….jpg`.

    A write is atomic and durable when the method returns: readers see the old bytes or the new ones, never a part.
    Two keys of which one is a "folder" of the other (`a`, `a/b`) are possible in S3 alone; elsewhere the second is `Poison`.

    Every method raises `Poison` for a key that `check_key` refuses, `Retryable` when the store cannot be reached or is
    out of order, and `Fatal` when it refuses our credentials.

    Events name objects by `address`, which is relative to the store: a bucket, a prefix or a folder can move, and what was
    published stays true. `key_of` reads such an address, and also the absolute ones of before, or of before a move.
    """

    former: tuple[str, ...] = ()
    """Roots under which these objects lay before the store moved; `infra.store_identity.settle` sets it."""

    @property
    def base(self) -> str:
        """What the absolute addresses of this store begin with: `file:///folder/`, `s3://bucket/prefix/`."""
        ...

    def put(self, key: str, data: bytes, *, content_type: str = "") -> ETag:
        """Write, whatever was there before."""
        ...

    def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        """Write only if the key is free. False: it is not, and nothing was changed.

        After a `Retryable` the object may have been written all the same: compare its bytes when the retry says False.
        """
        ...

    def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
        """Write only if the object is still the one tagged `expected`. None: it is not, or is gone; nothing was changed."""
        ...

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        """The object's bytes.

        Raises:
            NotFound: no such object.
            Poison: it is larger than `limit` bytes (then it is not read into memory).
        """
        ...

    def get_versioned(self, key: str) -> Versioned:
        """The object's bytes and their tag, for `swap`.

        Raises:
            NotFound: no such object.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; no error if there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with `prefix` (any string, not only whole segments), in the order of their UTF-8 bytes."""
        ...

    def uri(self, key: str) -> str:
        """The absolute address of the object, for people and their tools (`file:///…`, `s3://bucket/…`); no credentials."""
        ...

    def address(self, key: str) -> str:
        """The address of the object for events: the key itself, unless that reads like an address of something else."""
        return self.uri(key) if _SCHEME.match(key) else check_key(key)

    def key_of(self, address: str) -> str | None:
        """The key that an address names: relative, or under our root or a former one. None: it is not in this store."""
        if is_relative(address):
            return _plain(address)
        found = (key_under(base, address) for base in (self.base, *self.former))
        return next((key for key in found if key is not None), None)

    def relative(self, address: str) -> str:
        """An address of ours as events have it; any other as it is."""
        key = self.key_of(address)
        return address if key is None else self.address(key)

    def put_content(self, data: bytes, suffix: str, *, prefix: str = "images", content_type: str = "") -> str:
        """Write under the SHA-256 of the bytes (`content_key`) and return the key. Twice the same bytes is one object."""
        key = content_key(data, suffix, prefix=prefix)
        if not self.exists(key):
            self.put(key, data, content_type=content_type)
        return key


def is_relative(address: str) -> bool:
    """Whether an address is relative to the store: it has no scheme (`https:`) and does not begin with a slash."""
    return bool(address) and not address.startswith("/") and _SCHEME.match(address) is None


def key_under(base: str, address: str) -> str | None:
    """The key of an absolute address that begins with `base`; None when it does not, or holds no key behind it.

    In a `file:` address the names are percent-encoded; two spellings of one path are one.
    """
    if base.startswith("file:"):
        base, address = _path_of(base) or "/", _path_of(address) or ""
    return _plain(address.removeprefix(base)) if address.startswith(base) else None


def _path_of(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or parts.query or parts.fragment:
            return None
        return unquote(parts.path, errors="strict")
    except ValueError:
        return None


def _plain(key: str) -> str | None:
    try:
        return check_key(key)
    except Poison:
        return None


def content_key(data: bytes, suffix: str, *, prefix: str = "images") -> str:
    """`prefix/ab/cd/<64 hex digits>suffix`, e.g. `images/ab/cd/abcd….jpg`."""
    digest = hashlib.sha256(data).hexdigest()
    return check_key(f"{prefix}/{digest[:2]}/{digest[2:4]}/{digest}{suffix}")


def content_digest(address: str) -> str:
    """The hash in a key of `content_key`, or in an address of one; "" where there is none."""
    found = _CONTENT.search(address)
    return "" if found is None else found[1]


def check_key(key: str) -> str:
    """The key itself, if every store can hold it.

    Raises:
        Poison: empty, absolute, with empty, `.` or `..` segments, control characters or backslashes, more than 512
            characters, a segment of more than 200 bytes, or under the reserved name `.weft`.
    """
    try:
        segments = [segment.encode() for segment in key.split("/")]
    except UnicodeEncodeError:
        raise Poison("the key is not valid Unicode") from None
    shown = ascii(key[:80])
    if len(key) > _LONGEST_KEY or any(len(segment) > _LONGEST_SEGMENT for segment in segments):
        raise Poison(f"the key {shown}… is too long")
    if any(segment.strip() != segment or segment in {b"", b".", b".."} for segment in segments):
        raise Poison(f"the key {shown} is not a plain path of named segments")
    if "\\" in key or not key.isprintable():
        raise Poison(f"the key {shown} has control characters or backslashes")
    if segments[0] == RESERVED.encode():
        raise Poison(f"the key {shown} is reserved")
    return key
