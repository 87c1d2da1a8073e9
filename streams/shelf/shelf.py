"""One version of the shelf as an object, and as neighbours in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from processors import attributes
from processors.errors import Poison
from processors.garments import is_of_kind
from processors.identity import key_of
from processors.values import Metadata
from streams.contract.records import Item
from streams.roles.caption.neighbours import SNIPPET, Labelled, Neighbourhood, kind_of_item, vector_of
from streams.roles.sold import sold_garment

FORMAT = "weft-shelf/1"
MAX_BYTES = 2**31
"""About a million products of 256 numbers each; an object of the store is read as a whole."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One product. `product`: its key, with the shop; `labels`: all that the shop says; `vector`: float32, little-endian."""

    kind: str
    product: str
    labels: dict[str, str]
    text: str
    vector: bytes


class Card(msgspec.Struct, frozen=True):
    """What a version consists of. `encoder`: whose vectors they are; `made`: UTC; `source`: name of the table; `left_out`: by reason."""

    encoder: str
    made: str
    source: str
    products: int
    labelled: int
    with_text: int
    left_out: dict[str, int] = {}


class Shelf(msgspec.Struct, frozen=True):
    """The object."""

    format: str
    card: Card
    rows: list[Row]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Shelf)


def version_of(data: bytes) -> str:
    """The name of a version: the hash of its bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encode(card: Card, rows: Sequence[Row]) -> bytes:
    """The object of a version; the same rows in any order are the same but for `card.made`."""
    return _ENCODER.encode(Shelf(FORMAT, card, sorted(rows, key=lambda row: row.product)))


def decode(data: bytes, name: str) -> Shelf:
    """Raises `Poison` for what is no shelf, and names it."""
    try:
        found = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(f"the shelf {name} cannot be read: {error}", field="version") from error
    if found.format != FORMAT:
        raise Poison(f"the shelf {name} is of the format {found.format[:40]!r}, not {FORMAT}", field="format")
    return found


def row_of(item: Item) -> Row | None:
    """The row of an enriched product; None where the shop says nothing of it that a neighbour could use."""
    garment = sold_garment(item)
    told = garment is None or is_of_kind(garment, item.metadata.category)
    labels = {facet: a.value for facet, a in attributes.attributes_of(item.metadata).items()} if told else {}
    text = _snippet(item.metadata)
    vector = vector_of(item, "whole" if garment is None else garment.id)
    if vector is None or not (labels or text):
        return None
    packed = np.asarray(vector, dtype="<f4").tobytes()
    return Row(kind_of_item(item), key_of(item.shop, item.product_id), labels, text, packed)


def _snippet(metadata: Metadata) -> str:
    return (metadata.description or metadata.title)[:SNIPPET]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A version in memory: whose vectors, and who is near."""

    version: str
    encoder: str
    neighbourhood: Neighbourhood
    products: int


def neighbours(data: bytes, version: str, voted: Iterable[str]) -> Neighbours:
    """A version as neighbours that vote on these facets. Raises `Poison` where it is damaged."""
    shelf = decode(data, version)
    voting = tuple(voted)
    size = max(1, len(shelf.rows))
    found = Neighbourhood(voting, capacity=size, most=size)
    encoder = shelf.card.encoder
    for row in shelf.rows:
        vector = np.frombuffer(row.vector, dtype="<f4").astype(np.float32)
        labels = {facet: value for facet, value in row.labels.items() if facet in voting}
        found.put(Labelled(encoder, row.kind, row.product, 0, labels, row.text, vector))
    return Neighbours(version, encoder, found, len(shelf.rows))
