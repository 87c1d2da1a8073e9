"""What a shard is fed and what it answers: frozen values, independent of any wire format."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.chances import Packed, of_attributes
from processors.errors import Code, Poison
from processors.kinds import kind_label, one_of
from processors.labels import read_label
from processors.offers import NO_OFFER, Offer
from processors.product_words import Words
from processors.values import Attribute, Colour, Vector
from processors.vocabulary import base_forms, facet_named, narrow_category

Half: TypeAlias = NDArray[np.float16]
Facets: TypeAlias = dict[str, tuple[str, ...]]
Wanted: TypeAlias = Mapping[str, tuple[str, ...]]
"""Facet → values: allowed ones in a filter, refused ones in an exclusion."""

_NORM_TOLERANCE = 0.01
ESSENCE_BYTES = 16
LONGEST_VALUE = 128
"""Characters of a facet's value that are compared: a shop may send whole descriptions as facets."""


class ViewInfo(msgspec.Struct, frozen=True):
    """One searchable view of a product: the whole image ("whole") or one garment ("g0").

    `facets` holds one mapping a garment that the view shows, so that a filter on two facets (category and colour)
    is met by one garment and never by two halves of different ones. `photo`: the address of the photo that it is of,
    where that is not the product's image.
    """

    id: str
    category: str
    facets: tuple[Facets, ...] = ()
    photo: str | msgspec.UnsetType = msgspec.UNSET


class Payload(msgspec.Struct, frozen=True):
    """The columns beside the vectors of one product: what filters and answers need.

    `group` names the style of which it is a colour or size ("": none). `said`: what the shop says of it, for hits that show it.
    What changes without the vectors (price, stock …) is in `Entry.offer` and no part of it.
    """

    image: str
    category: str
    facets: dict[str, str]
    colours: tuple[Colour, ...]
    views: tuple[ViewInfo, ...]
    group: str = ""
    said: dict[str, Any] = {}
    words: Words | msgspec.UnsetType = msgspec.UNSET
    """What it is found by in words; not set: by nothing."""
    chances: Packed | msgspec.UnsetType = msgspec.UNSET
    """What the product probably is (`processors.chances`); not there in payloads of before."""
    heads: str | msgspec.UnsetType = msgspec.UNSET
    """The version of the facet heads that told it."""


class Entry(msgspec.Struct, frozen=True):
    """A product to be indexed: `vectors` is float32 of shape (views, dimension), each row of L2 norm 1."""

    payload: Payload
    vectors: NDArray[np.float32]
    encoder: str
    offer: Offer = NO_OFFER


class Change(msgspec.Struct, frozen=True):
    """One record of the topic: an upsert, or (entry None) a delete. `offset` is the version of the product."""

    offset: int
    product_id: str
    entry: Entry | None
    essence: bytes = b""
    """`ESSENCE_BYTES` that stand for all of the record but its typed columns; b"" where nobody computed them."""
    columns: Offer | None = None
    """Not None: the product is as it was, by its essence, but for these columns; `entry` is None then."""


@dataclass(frozen=True, slots=True)
class RefusedChange:
    """A change that can never be applied, and why. The shard stands as if the record had not been there."""

    change: Change
    error: Poison


@dataclass(frozen=True, slots=True)
class Told:
    """What a product's words are to a query: the value of each, the names among `WordCounts.names`, and what they add."""

    added: float
    text: float
    values: tuple[int, ...]
    names: tuple[int, ...]
    coded: bool


class ShardHit(msgspec.Struct, frozen=True):
    """One product found, by its best view. `score` is the inner product of half-precision vector and query."""

    product_id: str
    score: float
    version: int
    view: str
    category: str
    image: str
    group: str = ""
    value: float | None = None
    """Of the column that is sorted by."""
    colour: str = ""
    offer: Offer = NO_OFFER
    said: Mapping[str, Any] = {}
    """Where it was asked for."""
    photo: str = ""
    """The photo that the view is of: `image`, or another one of the product."""
    similarity: float = 0.0
    """The score without words; `score` is more where words of the query are the product's (`told`)."""
    told: Told | None = None
    meets: Mapping[str, bool] = {}
    """Of a composed query's wishes, facet by facet, whether the product probably is so; of what it does not know, nothing."""
    inner: float | None = None
    """The inner product with the query's vector alone, where it was asked for."""


@dataclass(frozen=True, slots=True)
class Product:
    """All that a shard knows of a live product; `vector` (float32) is its whole view, or else its first."""

    product_id: str
    version: int
    payload: Payload
    vector: Vector
    offer: Offer = NO_OFFER


@dataclass(frozen=True, slots=True)
class Views:
    """A live product as a second stage compares it: `vectors` (float16) of shape (views, dimension), `ids` and `categories` of the views."""

    product_id: str
    ids: tuple[str, ...]
    categories: tuple[str, ...]
    vectors: Half
    chances: Packed


def chances_of(payload: Payload) -> Packed:
    """What a product probably is; of a payload of before, what its facets say."""
    if isinstance(payload.chances, dict):
        return payload.chances
    facets = {facet: Attribute(value, _OF_BEFORE) for facet, value in payload.facets.items()}
    return of_attributes(facets, payload.colours, payload.category)


_OF_BEFORE = 0.8
"""How sure the facets of payloads of before are: they said a value, and not how sure it was."""


def shortened(text: str) -> str:
    """As much of a facet's value as is kept: `LONGEST_VALUE` characters, white space as one space, Unicode's NFKC."""
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)  # most are, and a replay spells millions
    return " ".join(text.split())[:LONGEST_VALUE]


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """The form in which facets are compared, at both ends: "Navy " and "navy" are one, and so is é in NFC and NFD."""
    folded = shortened(text).casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFKC", folded)


@lru_cache(maxsize=65_536)
def facet_key(name: str) -> str:
    """The one name of a facet, at both ends: "Color" is "colour", "Material" is "fabric"."""
    return facet_named(fold(name))


@lru_cache(maxsize=65_536)
def postings_of(name: str, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(facet, value) of all under which what a shop or a model wrote is found: "Boots" as "boots", "boot" and "shoe"."""
    facet = facet_key(name)
    spelt: dict[str, None] = {}
    for value in values:
        text = fold(value)
        spelt[text] = None
        spelt[read_label(facet, text)] = None
        if facet in _GARMENTS:
            spelt |= dict.fromkeys(_named(facet, text))
    return tuple((facet, spelling) for spelling in spelt if spelling)


@lru_cache(maxsize=65_536)
def asked(facet: str, value: str) -> tuple[str, ...]:
    """The values that a filter's value means: "dresses" is "dress"; "boots" is "boot", but not every shoe; "tee" is "t-shirt"."""
    text = fold(value)
    meant = _named(facet, text) if facet in _GARMENTS else (read_label(facet, text),)
    return tuple(dict.fromkeys(filter(None, (text, *meant))))


def _named(facet: str, text: str) -> tuple[str, str]:
    """What a folded text names as a category or a kind; and, where no list knows that, one of it: "kurtas" is "kurta"."""
    if facet == "kind":
        return kind_label(text), one_of(kind_label(text))
    narrow = narrow_category(text)
    listed = narrow.rpartition(" ")[2] in base_forms()
    return narrow, narrow if listed else one_of(narrow)


_GARMENTS = frozenset({"category", "kind"})
_LISTED = frozenset({"category", "kind", "colour", "fabric", "gender", "pattern", "sleeve", "neckline", "length"})


@lru_cache(maxsize=65_536)
def counted_as(facet: str, value: str) -> tuple[str, str]:
    """(the value under which a product is counted, as it is shown): "Ladies" as "women", of a brand "H&M" as it is written."""
    text = fold(value)
    if facet not in _LISTED:
        return text, shortened(value)
    meant = asked(facet, value)[-1] if text else ""
    return meant, meant


def fold_wanted(wanted: Wanted) -> Facets:
    """A filter in comparable form. A facet with no values restricts nothing, so it is left out."""
    found: Facets = {}
    for name, values in wanted.items():
        facet = facet_key(name)
        for value in values:
            found[facet] = (*found.get(facet, ()), *asked(facet, value))
    return found


def to_half(vectors: NDArray[np.float32], dimension: int) -> Half:
    """Vectors as a shard keeps them, half precision from the start, so that sealing a segment changes no score.

    Raises:
        Poison: wrong shape or dimension, not finite, or not of L2 norm 1 (scores would not be comparable).
    """
    if vectors.ndim != 2 or vectors.shape[0] == 0:
        raise Poison(f"an item needs at least one vector, got shape {vectors.shape}", field="views")
    if vectors.shape[1] != dimension:
        raise Poison(
            f"dimension {vectors.shape[1]}, the index holds {dimension}", field="dimension", code=Code.WRONG_ENCODER
        )
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not bool(np.all(np.abs(norms - 1.0) <= _NORM_TOLERANCE)):
        raise Poison(f"vectors must have L2 norm 1, got {norms.round(4).tolist()}", field="views")
    return vectors.astype(np.float16)


def to_halves(batch: Sequence[NDArray[np.float32]]) -> list[Half | None]:
    """`to_half` of many at once, where nothing is wrong: None for those that `to_half` must look at itself.

    Args:
        batch: vectors of one item each, float32 of shape (views, dimension).
    """
    shapes = [vectors.shape for vectors in batch]
    halves: list[Half | None] = [None] * len(batch)
    dimension = next((shape[1] for shape in shapes if len(shape) == 2), 0)
    plain = [n for n, shape in enumerate(shapes) if len(shape) == 2 and shape[0] and shape[1] == dimension]
    if not plain:
        return halves
    rows = np.concatenate([batch[number] for number in plain])
    # Well within the tolerance: the sums here are float32. What is not finite compares with nothing.
    fine = np.abs(np.sqrt(np.einsum("ij,ij->i", rows, rows)) - 1.0) <= 0.9 * _NORM_TOLERANCE
    with np.errstate(over="ignore", invalid="ignore"):
        half = rows.astype(np.float16)
    start = 0
    for number in plain:
        stop = start + shapes[number][0]
        if fine[start:stop].all():
            halves[number] = half[start:stop]
        start = stop
    return halves


DIGEST_BITS = 128
"""The digest of a shard is the sum of the marks of its live products modulo 2 ** DIGEST_BITS: neither order nor history matters."""


_WORDS = msgspec.msgpack.Encoder()


class _Named(Protocol):
    @property
    def id(self) -> str: ...


class Viewed(Protocol):
    """A payload, or what is shown of one."""

    @property
    def views(self) -> Sequence[_Named]: ...

    @property
    def words(self) -> Words | msgspec.Raw | msgspec.UnsetType: ...


def product_mark(product_id: str, version: int, payload: Viewed, vectors: Half) -> int:
    """What one live product adds to the digest: BLAKE2b-128 over id, version, each view's id and vector, and the words."""
    if len(vectors) != len(payload.views):
        raise ValueError(f"{len(vectors)} vectors for {len(payload.views)} views")
    name = product_id.encode()
    raw = vectors.astype("<f2", copy=False).tobytes()
    size = len(raw) // max(1, len(vectors))
    said = [len(name).to_bytes(4, "little"), name, version.to_bytes(8, "little")]
    for number, view in enumerate(payload.views):
        label = view.id.encode()
        said += (len(label).to_bytes(4, "little"), label, raw[number * size : (number + 1) * size])
    if isinstance(payload.words, Words):
        said.append(_WORDS.encode(payload.words))
    elif isinstance(payload.words, msgspec.Raw):
        said.append(bytes(payload.words))
    # At once: a call of the hash for each piece took longer than the hash.
    return int.from_bytes(blake2b(b"".join(said), digest_size=DIGEST_BITS // 8).digest(), "little")
