"""A header's name that is no UTF-8, in batches as aiokafka fetches them."""

from __future__ import annotations

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

from streams.kafka.lenient_records import LenientRecords

BAD = b"\xffname"


class _Name(str):
    """A header's name that is sent as other bytes than its text."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return BAD


def batch(names: list[str], codec: int = 0) -> bytes:
    """A batch of a record for each header name, of which the values are the numbers from 0."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 10_000)
    for number, name in enumerate(names):
        builder.append(number, 1_700_000_000_000, b"k", str(number).encode(), [("plain", b"x"), (name, b"y")])
    return bytes(builder.build())


def fetched(data: bytes, first: int = 0) -> list[tuple[int, bytes, str]]:
    """Offset, value and second header name of each record, as aiokafka's fetcher hands them on."""
    part = fetcher.PartitionRecords(TopicPartition("t", 0), LenientRecords(data), [], first, None, None, True, 0)
    return [(record.offset, record.value, record.headers[1][0]) for record in part]


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4], ids=["plain", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("bad", [set(), {0}, {2}, {1, 3}], ids=str)
def test_each_record_comes_once_and_in_order(codec: int, bad: set[int]) -> None:
    names = [_Name("?") if number in bad else f"é{number}" for number in range(4)]
    shown = ["\\xffname" if number in bad else f"é{number}" for number in range(4)]
    assert fetched(batch(names, codec)) == [(n, str(n).encode(), shown[n]) for n in range(4)]


def test_reading_starts_in_the_middle() -> None:
    assert [offset for offset, _, _ in fetched(batch(["a", _Name("?"), "c", "d"]), first=2)] == [2, 3]


def test_a_batch_after_a_bad_one_is_read_as_ever() -> None:
    data = bytearray(batch([_Name("?")]))
    following = bytearray(batch(["b"]))
    following[0:8] = (1).to_bytes(8, "big")  # its base offset, which is not under the checksum
    assert [offset for offset, _, _ in fetched(bytes(data + following))] == [0, 1]


def test_what_is_really_corrupt_is_refused() -> None:
    data = bytearray(batch(["a"]))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        fetched(bytes(data))
