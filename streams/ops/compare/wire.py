"""What `weft models compare` and the process of a profile say to each other: frames of MessagePack, a length of four bytes before each."""

from __future__ import annotations

import struct
from typing import IO, TypeAlias

import msgspec

from processors.values import Detection, Garment, WriterKind

_LENGTH = struct.Struct(">I")


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load the models of the settings."""


class Enrich(msgspec.Struct, frozen=True, tag=True):
    """Look at photos: (product id, path) each. `first`: how many came before."""

    photos: tuple[tuple[str, str], ...]
    first: int


class Take(msgspec.Struct, frozen=True, tag=True):
    """Items that the other process made, whose parts are the same."""

    items: tuple[bytes, ...]


class Know(msgspec.Struct, frozen=True, tag=True):
    """From now on all items are neighbours of all."""


class Write(msgspec.Struct, frozen=True, tag=True):
    """Caption these products."""

    products: tuple[str, ...]


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Composed queries over the items: (product that it starts from, words) each."""

    queries: tuple[tuple[str, str], ...]


class Detect(msgspec.Struct, frozen=True, tag=True):
    """Find all garments, however unsure, in these photos."""

    paths: tuple[str, ...]


class Stock(msgspec.Struct, frozen=True, tag=True):
    """Garments that were cut out of photos: (id, JPEG) each."""

    garments: tuple[tuple[str, bytes], ...]


class Show(msgspec.Struct, frozen=True, tag=True):
    """Ask for the garments of `Stock` by photos: (number, JPEG) each."""

    photos: tuple[tuple[int, bytes], ...]


Request: TypeAlias = Load | Enrich | Take | Know | Write | Ask | Detect | Stock | Show


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Part → fingerprint of what it is made of."""

    parts: dict[str, str]


class Enriched(msgspec.Struct, frozen=True, tag=True):
    """The items, and (path, cause) of each photo that none came of."""

    items: tuple[bytes, ...]
    refused: tuple[tuple[str, str], ...]


class Text(msgspec.Struct, frozen=True):
    """A caption with what was found on the photo."""

    product: str
    garments: tuple[Garment, ...]
    width: int
    height: int
    caption: str
    hashtags: tuple[str, ...]
    writer: WriterKind


class Written(msgspec.Struct, frozen=True, tag=True):
    texts: tuple[Text, ...]


class Hits(msgspec.Struct, frozen=True, tag=True):
    """Product ids found for each query, best first."""

    found: tuple[tuple[str, ...], ...]


class Found(msgspec.Struct, frozen=True, tag=True):
    """Detections of each photo, boxes in pixels of the original; None of one that cannot be read."""

    detections: tuple[tuple[Detection, ...] | None, ...]


class Place(msgspec.Struct, frozen=True):
    """A garment of a photo that asked: its box, and the hits for it."""

    box: tuple[float, float, float, float]
    hits: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True):
    photo: int
    hits: tuple[str, ...]
    places: tuple[Place, ...]


class Answered(msgspec.Struct, frozen=True, tag=True):
    photos: tuple[Shown, ...]


class Done(msgspec.Struct, frozen=True, tag=True):
    """It was done, and there is nothing to tell."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It could not be done. `kind`: class of the error."""

    kind: str
    message: str


Answer: TypeAlias = Loaded | Enriched | Written | Hits | Found | Answered | Done | Failed


class Reply(msgspec.Struct, frozen=True):
    """`seconds`: of the work alone, by the clock; `peak_bytes`: most memory that the process has held so far."""

    answer: Answer
    seconds: float
    peak_bytes: int


_REQUESTS = msgspec.msgpack.Decoder(Request)
_REPLIES = msgspec.msgpack.Decoder(Reply)


def send(pipe: IO[bytes], message: Request | Reply) -> None:
    """Write one frame. Raises `BrokenPipeError` where nobody reads."""
    data = msgspec.msgpack.encode(message)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def read_request(pipe: IO[bytes]) -> Request | None:
    """The next request; None when there will be no other."""
    data = _frame(pipe)
    return None if data is None else _REQUESTS.decode(data)


def read_reply(pipe: IO[bytes]) -> Reply | None:
    """The next reply; None when the process has ended."""
    data = _frame(pipe)
    return None if data is None else _REPLIES.decode(data)


def _frame(pipe: IO[bytes]) -> bytes | None:
    length = pipe.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(length)[0]
    data = pipe.read(size)
    return data if len(data) == size else None
