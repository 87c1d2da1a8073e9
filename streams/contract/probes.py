# ruff: noqa: RUF012 - msgspec gives each record a dict of its own; ruff sees that of direct structs only
"""The records that `compose` and the shards of the index send each other: `search.probes`, `search.hits` (MessagePack)."""

from __future__ import annotations

from typing import Any, TypeAlias

from processors.conditions import Condition
from processors.offers import NO_OFFER, Offer
from processors.query_terms import AskedWords, WordCounts
from processors.values import Colour
from streams.contract.records import Hit, Record


class CensusAsk(Record, frozen=True, omit_defaults=False):
    """What `weft index` asks a shard for, beside its counts and its digest."""

    members: tuple[int, ...] = ()  # the products of these buckets of 256, by their ids' BLAKE2b
    sample: int = 0  # so many products, by the order of that hash
    buckets: bool = False  # the digests of all buckets
    segments: bool = False
    save: bool = False  # write a snapshot first
    standbys: bool = False  # asks those that stand by for the shards, and not their owners


class LookupProbe(Record, frozen=True, omit_defaults=False, tag="lookup"):
    """Ask the shard that holds `product_id` for its vectors and payload (the reference of a composed query)."""

    query_id: str
    product_id: str  # its key (`processors.identity`)
    deadline: float  # seconds since the epoch
    min_offsets: dict[str, int] = {}
    joined: bool = False  # as in `SearchProbe`
    generation: str = ""  # as in `SearchProbe`
    partition: int | None = None  # the one that the product's key names; None asks every shard
    census: CensusAsk | None = None  # asks for what the shards hold instead of for a product
    # Asks for all views of these products (their keys) instead of for one product; a worker of an earlier version finds none.
    products: tuple[str, ...] = ()


class SearchProbe(Record, frozen=True, omit_defaults=False, tag="search"):
    """Ask every shard for its `top_k` nearest products."""

    query_id: str
    vector: bytes  # float32 little-endian
    encoder: str
    top_k: int
    deadline: float
    filters: dict[str, tuple[str, ...]] = {}  # facet -> allowed values
    exclude: dict[str, tuple[str, ...]] = {}  # facet -> refused values ("without …")
    exclude_products: tuple[str, ...] = ()  # their keys
    min_offsets: dict[str, int] = {}
    # Whoever asks understands one answer for many shards. A worker of an earlier version gives one a shard.
    joined: bool = False
    conditions: tuple[Condition, ...] = ()  # on typed columns; all hold
    groups: tuple[str, ...] | None = None  # only products of these styles
    sort: str = ""  # as in `Query`
    score_band: float = 0.05
    collapse: bool = False  # one hit a style
    facets: tuple[str, ...] = ()  # to be counted
    fields: bool = False  # hits say what the shop says of them
    shop: str = ""  # only its products; "": those of no shop
    generation: str = ""  # whose shards are asked; "" (who asks is of an earlier version): of the one that is live
    # Of a composed query: facet -> value -> weight of the square root of its probability, added to the inner product; the
    # value "" is what a product gets that does not know the facet.
    blocks: dict[str, dict[str, float]] = {}
    wishes: dict[str, tuple[str, ...]] = {}  # facet -> the values that meet what its words set
    words: AskedWords | None = None  # to be looked for in what the shop says of its products
    inner: bool = False  # hits tell their inner product with the vector beside the score


Probe: TypeAlias = LookupProbe | SearchProbe


class Standing(Record, frozen=True, omit_defaults=False):
    """What an answer says of one more shard that it is for; the fields mean what they mean in `Hits`."""

    partition: int
    applied_offset: int
    fresh: bool
    error: str = ""
    unknown_facets: tuple[str, ...] = ()


class About(Record, frozen=True):
    """Of a hit, what merging and showing need: the number it is sorted by, its colour, its typed columns, the shop's words."""

    value: float | None = None
    colour: str = ""
    offer: Offer = NO_OFFER
    said: dict[str, Any] = {}
    meets: dict[str, bool] = {}
    # Where words count: the score without them; and for each word its value in the product, and which names and codes are its.
    similarity: float | None = None
    values: bytes = b""
    names: tuple[int, ...] = ()  # of `WordCounts.names`
    coded: bool = False
    inner: float | None = None  # the inner product with the vector alone, where the probe asks for it


class Hits(Record, frozen=True, omit_defaults=False, tag="hits"):
    """One partition's answer to a `SearchProbe`. `waited` is False when `min_offsets` was not reached in time.

    To a probe that is `joined`, the answer of all shards of a worker that need not be waited for: `hits` are the best of
    all of them, `others` says which they are beside `partition`, and `partitions` holds the partition of each hit.
    """

    query_id: str
    partition: int
    of: int  # partitions of catalog.items
    generation: str
    applied_offset: int  # next offset of catalog.items to be applied: everything below it is searchable
    fresh: bool
    hits: tuple[Hit, ...]
    error: str = ""
    unknown_facets: tuple[str, ...] = ()  # names in the probe's filters and counts that no product of the shard has
    others: tuple[Standing, ...] = ()
    partitions: tuple[int, ...] = ()
    typed: bool = False  # the worker follows conditions, groups, order and collapse; earlier versions did not
    composed: bool = False  # the worker follows blocks and wishes; earlier versions did not
    about: tuple[About, ...] = ()  # of each hit
    total: int = 0
    counts: dict[str, dict[str, int]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    words: WordCounts | None = None  # what the probe's words are to the products of all these shards
    standby: str = ""  # who answers, where it is not the shards' owner


class SegmentCensus(Record, frozen=True, omit_defaults=False):
    """One segment of a shard. `recall`: @10 against an exact search of its own vectors."""

    kind: str
    rows: int
    dead_rows: int
    recall: float


class Member(Record, frozen=True, omit_defaults=False):
    """One product of a shard. `mark`: what it adds to the digest."""

    product_id: str
    version: int
    mark: str


class Census(Record, frozen=True, omit_defaults=False):
    """What a shard holds, at `Found.applied_offset`."""

    live: int
    digest: str
    encoder: str
    dimension: int
    newest_ms: int  # the latest timestamp of what was applied, milliseconds since the epoch; -1: of nothing
    vector_bytes: int  # dead ones included
    segments: tuple[SegmentCensus, ...] = ()
    buckets: tuple[str, ...] = ()  # 256 digests: as that of the shard, over the products of each bucket
    ids: tuple[str, ...] = ()  # 256 digests over the ids alone
    members: tuple[Member, ...] = ()
    saved: bool = False


class ProductViews(Record, frozen=True, omit_defaults=False):
    """The vectors of one product as the index keeps them: what a second stage compares (`LookupProbe.products`)."""

    product_id: str  # its key
    views: tuple[str, ...]  # "whole", "g0" …
    categories: tuple[str, ...]  # of each of them
    vectors: bytes  # float16 little-endian, a row a view
    chances: dict[str, dict[str, int]] = {}


class Found(Record, frozen=True, omit_defaults=False, tag="found"):
    """One partition's answer to a `LookupProbe`; `vector` is None when this partition does not hold the product.

    To a probe that is `joined`, also for `others`, none of which holds it.
    """

    query_id: str
    partition: int
    of: int
    generation: str
    applied_offset: int
    fresh: bool
    image: str = ""
    category: str = ""
    facets: dict[str, str] = {}  # category, colour, fabric, gender … of the reference, as far as known
    colours: tuple[Colour, ...] = ()
    vector: bytes | None = None
    others: tuple[Standing, ...] = ()
    group_id: str = ""
    census: Census | None = None
    # Facet -> value -> probability in thousandths (`Item.chances`, and what the shop says), and whose heads told it.
    chances: dict[str, dict[str, int]] = {}
    heads: str = ""
    standby: str = ""  # as in `Hits`
    # What a shopper pays for the reference, for "cheaper"; null where its shop does not say.
    pays: float | None = None
    currency: str = ""
    products: tuple[ProductViews, ...] = ()  # those of the probe's that these shards hold


Answer: TypeAlias = Hits | Found
