"""The probe tells a Kafka from nobody and from somebody else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.broker_probe import BrokerInfo, probe


@contextmanager
def _server(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answers one connection with `answer`, then closes it."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", asked
        thread.join()


def _text(value: str | None) -> bytes:
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value.encode()


def _framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def test_an_answer_is_understood_and_the_question_is_well_formed() -> None:
    """Two brokers, one with a rack; the request is Metadata v4 for no topics, without creating any."""
    nodes = struct.pack(">i", 1) + _text("kafka-1") + struct.pack(">i", 9092) + _text(None)
    nodes += struct.pack(">i", 2) + _text("kafka-2") + struct.pack(">i", 9093) + _text("rack-b")
    body = struct.pack(">iii", 7, 0, 2) + nodes + _text("cluster") + struct.pack(">i", 2) + struct.pack(">i", 0)
    with _server(_framed(body)) as (address, asked):
        assert probe(address) == BrokerInfo("cluster", ("kafka-1:9092", "kafka-2:9093"), 2)
    assert asked[0][4:12] == struct.pack(">hhi", 3, 4, 7)
    assert asked[0][-5:] == struct.pack(">ib", 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        _framed(b"short"),
        _framed(b"\xff" * 40),
        _framed(struct.pack(">iii", 8, 0, 0)),
    ],
)
def test_somebody_else_is_not_kafka(answer: bytes) -> None:
    """Another program on the port is not taken for a broker."""
    with _server(answer) as (address, _), pytest.raises((ValueError, ConnectionError)):
        probe(address)


@given(st.binary(max_size=60))
def test_no_answer_whatever_crashes_the_probe(body: bytes) -> None:
    """Any bytes after the right correlation id give an answer or a ValueError, nothing else."""
    from infra.broker_probe import _parsed

    try:
        _parsed(struct.pack(">i", 7) + body, "host:1")
    except ValueError:
        return


def test_nobody_is_an_os_error() -> None:
    """A closed port and a connection that is closed at once are OSErrors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        probe(f"127.0.0.1:{port}")
    with _server(b"") as (address, _), pytest.raises(ConnectionError):
        probe(address)
