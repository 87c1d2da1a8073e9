"""What an ONNX file says of itself, read from its bytes: enough to refuse what a graph may bring along before a runtime sees it.

The format is protobuf (onnx.proto of the ONNX project); only the fields that are asked for here are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

STANDARD = frozenset({"", "ai.onnx"})
MOST_DEPTH = 32


class DamagedError(ValueError):
    """The bytes are no ONNX graph."""


@dataclass(slots=True)
class Graph:
    """`domains`: of its operators, with an operator of each; `external`: tensors that lie in other files; `metadata`: as exporters add it."""

    domains: dict[str, str] = field(default_factory=dict)
    external: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    nodes: int = 0


def read(data: bytes) -> Graph:
    """Raises `DamagedError`."""
    found = Graph()
    for number, value in _fields(memoryview(data)):
        if number == 7 and isinstance(value, memoryview):
            _graph(value, found, 0)
        elif number == 14 and isinstance(value, memoryview):
            entry = {n: bytes(v).decode(errors="replace") for n, v in _fields(value) if isinstance(v, memoryview)}
            found.metadata[entry.get(1, "")] = entry.get(2, "")
        elif number == 25 and isinstance(value, memoryview):  # a function of the file's own: its operators
            for inner, node in _fields(value):
                if inner == 7 and isinstance(node, memoryview):
                    _node(node, found, 1)
    if not found.nodes:
        raise DamagedError("it holds no graph")
    return found


def _graph(data: memoryview, found: Graph, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise DamagedError("its graphs are nested too deeply")
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            _node(value, found, depth)
        elif number == 5:
            _tensor(value, found)
        elif number == 15:
            _sparse(value, found)


def _node(data: memoryview, found: Graph, depth: int) -> None:
    kind = domain = ""
    found.nodes += 1
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 4:
            kind = bytes(value).decode(errors="replace")
        elif number == 7:
            domain = bytes(value).decode(errors="replace")
        elif number == 5:
            _attribute(value, found, depth)
    found.domains.setdefault(domain, kind)


def _attribute(data: memoryview, found: Graph, depth: int) -> None:
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number in {5, 10}:
            _tensor(value, found)
        elif number in {6, 11}:
            _graph(value, found, depth + 1)
        elif number in {22, 23}:
            _sparse(value, found)


def _sparse(data: memoryview, found: Graph) -> None:
    for number, value in _fields(data):
        if number in {1, 2} and isinstance(value, memoryview):
            _tensor(value, found)


def _tensor(data: memoryview, found: Graph) -> None:
    name, elsewhere = "", False
    for number, value in _fields(data):
        if number == 8 and isinstance(value, memoryview):
            name = bytes(value).decode(errors="replace")
        elsewhere |= number == 13 or (number == 14 and value == 1)
    if elsewhere:
        found.external.append(name)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or the bytes of a text, a message or a packed list."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        elif kind in {1, 5}:
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise DamagedError("it is damaged or was cut short")
            yield number, data[at : at + length]
            at += length
        else:
            raise DamagedError("it is no ONNX file")
    if at > len(data):
        raise DamagedError("it is damaged or was cut short")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DamagedError("it is damaged or was cut short")
