"""The labelled neighbours as one object in the store, with the offsets up to which it holds `catalog.items`.

A worker that starts takes it and reads the rest of the topic; without it, it would read every item that there is before it writes
its first caption. It is a cache of the topic: one that is damaged, of another topic, or too old is left, and everything is read.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from index_sync.retention import DELETE_RETENTION_SECONDS
from infra.logs import logger
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Poison, Retryable
from streams.roles.caption.neighbours import Labelled, Neighbourhood

log = logger("weft.caption")

FORMAT = "weft-neighbours/1"
EVERY_S = 300.0
"""How often it is written, where something changed: whoever starts reads what came since."""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    encoder: str
    kind: str
    product: str
    version: int
    labels: dict[str, str]
    text: str
    vector: bytes  # float32, little-endian


class _Body(msgspec.Struct, frozen=True):
    format: str
    topic_id: str
    made: float  # seconds since the epoch
    offsets: dict[int, int]  # partition → the next record of `catalog.items` to be read
    rows: list[_Row]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Body)
_CHECK_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found: from which offsets to read on, and how many products are known already."""

    offsets: Mapping[int, int] = field(default_factory=dict)
    products: int = 0


def encode(entries: Iterable[Labelled], offsets: Mapping[int, int], topic_id: str, made: float) -> bytes:
    """The object: SHA-256 of what follows, and that."""
    rows = [
        _Row(e.encoder, e.kind, e.product, e.version, dict(e.labels), e.text, e.vector.astype("<f4").tobytes())
        for e in entries
    ]
    body = _ENCODER.encode(_Body(FORMAT, topic_id, made, dict(offsets), rows))
    return hashlib.sha256(body).digest() + body


def restore(
    data: bytes,
    neighbourhood: Neighbourhood,
    bounds: Mapping[int, tuple[int, int]],
    topic_id: str,
    now: float,
    *,
    delete_retention_seconds: float = DELETE_RETENTION_SECONDS,
) -> Restored:
    """Fill an empty neighbourhood.

    Args:
        data: the object.
        neighbourhood: empty.
        bounds: partition → first offset kept, and the next, as the broker has them now.
        topic_id: of `catalog.items` now; "" where the broker does not say.
        now: seconds since the epoch.
        delete_retention_seconds: for how long the topic keeps deletes: an older snapshot may have missed one.

    Raises:
        Poison: damaged, of another topic, or too old; says which.
    """
    body = _checked(data)
    if body.format != FORMAT:
        raise Poison(f"is of the format {body.format[:40]!r}", field="format")
    if body.topic_id != topic_id:
        raise Poison("is of another topic", field="topic_id")
    if not 0 <= now - body.made < delete_retention_seconds:
        raise Poison("is too old: deletes may have been forgotten since", field="made")
    for partition, offset in body.offsets.items():
        low, high = bounds.get(partition, (0, -1))
        if not low <= offset <= high:
            raise Poison(
                f"ends at offset {offset} of partition {partition}, which holds {low} to {high}", field="offsets"
            )
    for row in body.rows:
        vector = np.frombuffer(row.vector, dtype="<f4").astype(np.float32)
        neighbourhood.put(Labelled(row.encoder, row.kind, row.product, row.version, row.labels, row.text, vector))
    return Restored(dict(body.offsets), len(body.rows))


def _checked(data: bytes) -> _Body:
    check, body = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if hashlib.sha256(body).digest() != check:
        raise Poison("its bytes are not those that were written", field="checksum")
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(f"cannot be read: {error}", field="value") from error


class NeighbourSnapshots:
    """The one snapshot of a cluster, written by whichever worker has something new.

    Args:
        store: keeps it.
        voted: the facets that neighbours may decide; another choice makes other labels.
        now: seconds since the epoch.
        in_thread: runs what waits for the store.
    """

    def __init__(
        self,
        store: ObjectStore,
        voted: Sequence[str],
        now: Callable[[], float],
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._store, self._now, self._in_thread = store, now, in_thread
        name = hashlib.sha256(msgspec.msgpack.encode([FORMAT, *voted])).hexdigest()[:16]
        self.key = f"neighbours/{name}.msgpack"

    async def take(
        self, neighbourhood: Neighbourhood, bounds: Mapping[int, tuple[int, int]], topic_id: str
    ) -> Restored:
        """Fill an empty neighbourhood from what is kept; nothing, where there is none that can be used."""
        try:
            data = await self._in_thread(self._store.get, self.key)
            found = await asyncio.to_thread(restore, data, neighbourhood, bounds, topic_id, self._now())
        except NotFound:
            return Restored()
        except Poison as error:
            neighbourhood.clear()
            log.warning("neighbours.unusable", key=self.key, cause=str(error))
            return Restored()
        log.info("neighbours.restored", products=found.products, offsets=sum(found.offsets.values()))
        return found

    async def write(self, neighbourhood: Neighbourhood, offsets: Mapping[int, int], topic_id: str) -> None:
        """Keep what is known now. A store that is away costs the next start some time, and nothing else."""
        try:
            # Taken at once, on the loop that writes to it: entries and offsets are of the same moment.
            entries, until = neighbourhood.entries(), dict(offsets)
            data = await asyncio.to_thread(encode, entries, until, topic_id, self._now())
            await self._in_thread(self._store.put, self.key, data)
        except Retryable as error:
            log.warning("neighbours.unsaved", cause=str(error))
