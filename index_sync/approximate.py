"""An approximate index beside the rows of a sealed segment: it names candidates, whose exact scores others compute.

What it was measured to find stands beside it: how many rows of the nearest it may be asked for, how hard it has to look
for them, and which share of them it found. Whoever needs more rows than that scans the segment.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.bank import one_thread
from processors.values import Vector

ApproximateKind: TypeAlias = Literal["ivf-sq8", "ivf-rabitq", "hnsw-sq8"]
KINDS: tuple[ApproximateKind, ...] = ("ivf-sq8", "ivf-rabitq", "hnsw-sq8")

_MAGIC = b"WEFTIDX1"
_PREFIX = len(_MAGIC) + 4
_FAISS: Any = faiss  # its stubs know less than it has


class Level(msgspec.Struct, frozen=True):
    """How the nearest `rows` rows are found: `effort` is nprobe, or efSearch; `fetch` rows are candidates for them."""

    rows: int
    effort: int
    fetch: int
    recall: float


class Measured(msgspec.Struct, frozen=True):
    """What was measured when an index was built, on vectors of its own segment.

    `recall`: of the 10 nearest rows, the share that was found. `seconds`, `flat_seconds`: processor time of one query of this
    index, re-ranking included, and of an exact scan of the same rows. `levels`: by rising `rows`.
    """

    kind: ApproximateKind
    rows: int
    dimension: int
    recall: float
    seconds: float
    flat_seconds: float
    levels: tuple[Level, ...]
    faiss: str


_HEADER = msgspec.msgpack.Decoder(Measured)


class Approximate:
    """A FAISS index over the rows of one segment, never changed once it is built. Searched from any thread."""

    __slots__ = ("_index", "measured")

    def __init__(self, index: Any, measured: Measured) -> None:
        self._index = index
        self.measured = measured

    def candidates(self, query: Vector, rows: int) -> NDArray[np.int64] | None:
        """Rows among which the nearest `rows` are, but for what recall says; None where so many were never measured.

        Which rows come depends on the level alone: who asks for 5 and who asks for 30 sees the same.
        """
        level = next((level for level in self.measured.levels if level.rows >= rows), None)
        return None if level is None else look(self._index, self.measured.kind, query, level)

    def encode(self) -> bytes:
        """The bytes of `decode`."""
        header = msgspec.msgpack.encode(self.measured)
        body = faiss.serialize_index(self._index).tobytes()
        return b"".join((_MAGIC, len(header).to_bytes(4, "little"), header, body))

    @staticmethod
    def decode(data: bytes) -> Approximate:
        """An index from bytes whose checksum was verified: FAISS itself loads much that is damaged without a word.

        Raises:
            ValueError: these are no such bytes, or of another version of FAISS.
        """
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("not an approximate index")
        body = _PREFIX + int.from_bytes(data[len(_MAGIC) : _PREFIX], "little")
        try:
            measured = _HEADER.decode(data[_PREFIX:body])
        except msgspec.MsgspecError as error:
            raise ValueError(f"not an approximate index: {error}") from error
        if measured.faiss != faiss.__version__:
            raise ValueError(f"built by FAISS {measured.faiss}, this is {faiss.__version__}")
        try:
            index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8, offset=body))
        except RuntimeError as error:
            raise ValueError(f"FAISS refuses it: {str(error)[:200]}") from error
        if (index.ntotal, index.d) != (measured.rows, measured.dimension):
            raise ValueError(f"holds {index.ntotal} rows, its header says {measured.rows}")
        return Approximate(index, measured)


def look(index: Any, kind: ApproximateKind, query: Vector, level: Level) -> NDArray[np.int64]:
    """The candidates of one query. Parameters go with the call: the index is searched from many threads."""
    one_thread()
    if kind == "hnsw-sq8":
        parameters = _FAISS.SearchParametersHNSW(efSearch=max(level.effort, level.fetch))
    else:
        parameters = _FAISS.SearchParametersIVF(nprobe=level.effort)
    _, found = index.search(query[None, :], min(level.fetch, index.ntotal), params=parameters)
    rows: NDArray[np.int64] = found[0]
    return rows[rows >= 0]
