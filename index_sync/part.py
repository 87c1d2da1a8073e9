"""The bytes of segment parts and of a shard's tombstones: MessagePack headers and raw arrays, no pickle.

A part: `WEFTSEG1`, the length of the header (uint32 little-endian), the header, and the vectors, float16
little-endian, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.columns import Columns
from index_sync.entry import Half
from index_sync.manifest import Damaged, SegmentRef
from index_sync.pieces import Between
from index_sync.segment import GrowingSegment, SealedSegment, Segment, Window

_MAGIC = b"WEFTSEG1"
_PREFIX = len(_MAGIC) + 4


class _Header(msgspec.Struct, frozen=True):
    dimension: int
    rows: int
    ids: tuple[str, ...]
    versions: tuple[int, ...]
    payloads: tuple[bytes, ...]


class Tombstones(msgspec.Struct, frozen=True):
    """What changes beside the rows: one packed bitmap of live rows a segment, and deletes with their versions."""

    alive: tuple[bytes, ...]
    deletes: dict[str, int]


# Prepared once, before any thread decodes: see `index_sync.manifest`.
_HEADER = msgspec.msgpack.Decoder(_Header)
_TOMBSTONES = msgspec.msgpack.Decoder(Tombstones)


def encode_part(segment: Segment, start: int, stop: int) -> bytes:
    """Products `start` to `stop` (ordinals) of a segment, dead ones included."""
    columns = segment.columns
    first, last = columns.first[start], columns.first[stop]
    vectors = segment.vectors(first, last)
    header = msgspec.msgpack.encode(
        _Header(
            vectors.shape[1],
            last - first,
            tuple(columns.ids[start:stop]),
            tuple(columns.versions[start:stop]),
            tuple(columns.payloads[start:stop]),
        )
    )
    return b"".join((_MAGIC, len(header).to_bytes(4, "little"), header, vectors.astype("<f2").tobytes()))


def _decode_part(key: str, data: bytes) -> tuple[_Header, Half]:
    try:
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("not a segment part")
        body = _PREFIX + int.from_bytes(data[len(_MAGIC) : _PREFIX], "little")
        header = _HEADER.decode(data[_PREFIX:body])
        vectors = np.frombuffer(data, dtype="<f2", offset=body).reshape(header.rows, header.dimension)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Damaged(f"{key}: {error}") from error
    return header, vectors.astype(np.float16, copy=False)


def decode_segment(
    segment: SegmentRef, parts: Sequence[bytes], dimension: int, segment_rows: int, between: Between = None
) -> Segment:
    """A segment from its (verified) parts; `between` is called between pieces of some milliseconds.

    Raises:
        Damaged: the parts are not what the manifest says.
    """
    try:
        return _decode_segment(segment, parts, dimension, segment_rows, between)
    except msgspec.MsgspecError as error:  # a payload inside a part
        raise Damaged(f"{', '.join(ref.key for ref in segment.parts)}: {error}") from error


def _decode_segment(
    segment: SegmentRef, parts: Sequence[bytes], dimension: int, segment_rows: int, between: Between
) -> Segment:
    decoded = [_decode_part(ref.key, data) for ref, data in zip(segment.parts, parts, strict=True)]
    names = ", ".join(ref.key for ref in segment.parts)
    if sum(header.rows for header, _ in decoded) != segment.rows or any(h.dimension != dimension for h, _ in decoded):
        raise Damaged(f"{names}: rows or dimension differ from the manifest's")
    if segment.kind == "sealed":
        columns = Columns(segment.rows)
        for header, _ in decoded:
            columns.extend_encoded(header.ids, header.versions, header.payloads, between)
        return SealedSegment(segment.uid, columns, np.concatenate([vectors for _, vectors in decoded]))
    growing = GrowingSegment(segment.uid, dimension, max(segment_rows, segment.rows))
    for header, vectors in decoded:
        growing.extend(header.ids, header.versions, header.payloads, vectors, between)
    return growing


def encode_tombstones(windows: Sequence[Window], deletes: dict[str, int]) -> bytes:
    alive = tuple(np.packbits(window.alive[: window.rows]).tobytes() for window in windows)
    return msgspec.msgpack.encode(Tombstones(alive, deletes))


def decode_tombstones(
    key: str, data: bytes, segments: Sequence[SegmentRef]
) -> tuple[list[NDArray[np.bool_]], dict[str, int]]:
    """Live rows of each segment, and the deletes. Raises `Damaged` where they do not fit the segments."""
    try:
        tombstones = _TOMBSTONES.decode(data)
        masks = [
            np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=segment.rows).astype(np.bool_)
            for packed, segment in zip(tombstones.alive, segments, strict=True)
        ]
    except (ValueError, msgspec.MsgspecError) as error:
        raise Damaged(f"{key}: {error}") from error
    return masks, tombstones.deletes
