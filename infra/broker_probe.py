"""Ask a Kafka broker one real question (Metadata), without a client library: is it up, and which cluster is it?"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_METADATA = 3
_VERSION = 4  # the newest version before "flexible" encoding; brokers 0.11 to 4.x answer it
_CORRELATION = 7


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """What the broker says of its cluster."""

    cluster_id: str
    brokers: tuple[str, ...]  # host:port
    controller: int


def probe(address: str, *, timeout: float = 2.0) -> BrokerInfo:
    """One Metadata request over plain TCP (protocol guide: Metadata v4, no topics, nothing created).

    Args:
        address: host:port of a PLAINTEXT listener.
        timeout: seconds for the connection and for each read.

    Raises:
        OSError: nobody answers there (refused, timed out, closed).
        ValueError: something answers, but not as Kafka does.
    """
    host, _, port = address.rpartition(":")
    client = b"weft-probe"
    body = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(client)) + client + struct.pack(">ib", 0, 0)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        if not 8 <= size <= 2**20:
            raise ValueError(f"{address} does not speak Kafka")
        return _parsed(_exactly(connection, size), address)


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        received += chunk
    return received


def _parsed(answer: bytes, address: str) -> BrokerInfo:
    reader = _Reader(answer)
    try:
        correlation, _throttle, count = reader.number(">i"), reader.number(">i"), reader.number(">i")
        if correlation != _CORRELATION:
            raise ValueError(f"{address} does not speak Kafka")
        brokers = []
        for _ in range(count):
            reader.number(">i")
            host, port, _rack = reader.text(), reader.number(">i"), reader.text()
            brokers.append(f"{host}:{port}")
        cluster_id, controller = reader.text(), reader.number(">i")
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{address} does not speak Kafka") from error
    return BrokerInfo(cluster_id, tuple(brokers), controller)


class _Reader:
    """Walks over an answer in Kafka's non-flexible encoding."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        length = self.number(">h")
        if length < 0:  # null
            return ""
        value = self._data[self._at : self._at + length].decode()
        self._at += length
        return value
