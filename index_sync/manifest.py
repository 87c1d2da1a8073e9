"""What a snapshot is made of: `CURRENT` points to a manifest, the manifest names every object with its checksum."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from index_sync.segment import Kind
from infra.store import NotFound, ObjectStore
from processors.errors import Fatal

FORMAT = 1


class Damaged(Fatal):
    """An object of a snapshot is missing or not what its checksum says; the message names it."""


class ObjectRef(msgspec.Struct, frozen=True):
    """An immutable object: its key, SHA-256 in hex, and size in bytes."""

    key: str
    sha256: str
    size: int


class SegmentRef(msgspec.Struct, frozen=True):
    """A segment: its parts in order (a growing segment gets one more with each snapshot), rows and products.

    `typed`: its typed columns and versions; None in a snapshot of before there were any. `index`: its approximate index.
    """

    uid: int
    kind: Kind
    rows: int
    products: int
    parts: tuple[ObjectRef, ...]
    typed: ObjectRef | None = None
    index: ObjectRef | None = None

    @property
    def objects(self) -> tuple[ObjectRef, ...]:
        """All that it consists of."""
        return (*self.parts, *(one for one in (self.typed, self.index) if one is not None))


class Manifest(msgspec.Struct, frozen=True):
    """One snapshot of one shard. `next_offset` is the only truth of where reading goes on."""

    format: int
    collection: str
    generation: str
    epoch: int
    number: int
    topic: str
    topic_id: str
    partition: int
    next_offset: int
    segments: tuple[SegmentRef, ...]
    state: ObjectRef
    encoder: str
    dimension: int
    metric: str
    dtype: str
    faiss: str
    live: int
    digest: str
    created_at: float
    newest_ms: int = -1
    words: int = 0  # `processors.product_words.RULES` by which its products' words were read; 0: they have none


class Current(msgspec.Struct, frozen=True):
    """Who may write snapshots of a shard (`owner`, by `epoch`), the latest manifest, if there is one, and the one `before`."""

    epoch: int
    owner: str
    manifest: ObjectRef | None = None
    before: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class SnapshotLocation:
    """Where the snapshots of one shard lie, and of what they are."""

    collection: str
    generation: str
    topic: str
    partition: int
    prefix: str = "index"

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.collection}/{self.generation}/{self.partition:05d}"

    @property
    def current(self) -> str:
        return f"{self.root}/CURRENT"

    def manifest(self, epoch: int, number: int) -> str:
        return f"{self.root}/manifests/{epoch:010d}-{number:010d}.json"

    def content(self, epoch: int, digest: str) -> str:
        """Each epoch has its own folder: no writer deletes what another one has just stored."""
        return f"{self.root}/objects/{epoch:010d}/{digest}"

    def epoch_of(self, key: str) -> int:
        """The epoch in which an object or a manifest was written."""
        return int(key.removeprefix(f"{self.root}/").split("/")[1][:10])


def keys_of(manifest: Manifest) -> set[str]:
    """Every object that a snapshot consists of, the manifest's own aside."""
    return {manifest.state.key, *(one.key for segment in manifest.segments for one in segment.objects)}


def ref(key: str, data: bytes) -> ObjectRef:
    return ObjectRef(key, sha256(data).hexdigest(), len(data))


def fetch(store: ObjectStore, wanted: ObjectRef) -> bytes:
    """The bytes of an object, verified.

    Raises:
        Damaged: missing, of another size, or of another SHA-256.
        Retryable: the store is away.
    """
    try:
        data = store.get(wanted.key)
    except NotFound:
        raise Damaged(f"{wanted.key}: missing from the object store") from None
    found = ref(wanted.key, data)
    if found != wanted:
        raise Damaged(
            f"{wanted.key}: has SHA-256 {found.sha256[:12]}… and {found.size} bytes, "
            f"the manifest says {wanted.sha256[:12]}… and {wanted.size}"
        )
    return data


# Prepared here, once: msgspec 0.22 crashes the process (null pointer) when several threads are the first to decode a type,
# and the shards of a worker are taken over in a thread each.
_MANIFEST = msgspec.json.Decoder(Manifest)
_CURRENT = msgspec.json.Decoder(Current)


def encode(record: Manifest | Current) -> bytes:
    pretty: bytes = msgspec.json.format(msgspec.json.encode(record), indent=1)
    return pretty


def decode_manifest(key: str, data: bytes) -> Manifest:
    """Raises `Damaged` for anything but a manifest of this format."""
    try:
        manifest = _MANIFEST.decode(data)
    except msgspec.MsgspecError as error:
        raise Damaged(f"{key}: no manifest: {error}") from error
    if manifest.format != FORMAT:
        raise Damaged(f"{key}: manifest format {manifest.format}, this version reads {FORMAT}")
    return manifest


def decode_current(key: str, data: bytes) -> Current:
    """Raises `Damaged` for anything but a `Current`."""
    try:
        return _CURRENT.decode(data)
    except msgspec.MsgspecError as error:
        raise Damaged(f"{key}: unreadable: {error}") from error
