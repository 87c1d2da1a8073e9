"""Records whose header names are no UTF-8: read all the same, as one bad record must not stop its partition.

aiokafka 0.14 decodes names strictly, and gives up the whole batch: every reader of the partition would start over at that
offset for ever. Clients in C may write such a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def read_any_header_name() -> None:
    """Let every consumer of this process read such records; doing it twice changes nothing."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """The batches of one fetched part of a partition."""

    def next_batch(self) -> Any:
        """As aiokafka's, a batch of today's format wrapped in a `LenientBatch`."""
        part = self._next_slice
        batch = super().next_batch()
        return LenientBatch(batch, bytes(part)) if isinstance(batch, DefaultRecordBatch) else batch


class LenientBatch:
    """A batch read by aiokafka's fast reader up to the first bad name, and by its slow one from there on."""

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch, self._data, self._read = batch, data, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        self._batch = iter(self._batch)
        return self

    def __next__(self) -> Any:
        """The next record.

        Raises:
            CorruptRecordException: something else than a header's name is wrong.
        """
        try:
            record = next(self._batch)
        except (CorruptRecordException, UnicodeDecodeError):
            if isinstance(self._batch, _SlowBatch):
                raise
            self._batch = iter(_SlowBatch(self._data))
            for _ in range(self._read):
                next(self._batch)
            record = next(self._batch)
        self._read += 1
        return record


class _SlowBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    r"""Bytes of a name that are no UTF-8 become `\xff`, as text."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Text(self._buffer)


class _Text(bytearray):
    """Bytes whose slices decode without an error: aiokafka decodes nothing of a record but its headers' names."""

    def __getitem__(self, where: Any) -> Any:
        found = super().__getitem__(where)
        return _Text(found) if isinstance(where, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - bytearray's signature
        return super().decode(encoding, "backslashreplace")
