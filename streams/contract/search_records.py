# ruff: noqa: RUF012 - msgspec gives each record a dict of its own; ruff sees that of direct structs only
"""The records of search, and of what follows from items beside captions: queries, results, matches, neighbours, duplicates, feedback. Import
them of `streams.contract.records`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from processors.values import Box
from streams.contract.catalog_records import ImageRef, PictureIn, QueryImage, Record, ResultCode, Source
from streams.contract.compatibility import OPEN_ENUM

# ---------------------------------------------------------------- search.queries / search.results (JSON)


# Read as it comes, so that what is wrong is told with the name of its filter (`processors.conditions`).
Filter: TypeAlias = Annotated[
    Any,
    msgspec.Meta(
        description="Allowed values; of price, sale_price and launched also a range.",
        extra_json_schema={
            "anyOf": [
                {"type": "array", "items": {"type": ["string", "boolean", "number"]}},
                {"type": "null"},
                {
                    "type": "object",
                    "properties": {name: {"type": ["number", "string", "null"]} for name in ("lt", "lte", "gt", "gte")},
                    "additionalProperties": False,
                },
            ]
        },
    ),
]


class Query(Record, frozen=True):
    """A shopper's query. At least one of `image` and `text`."""

    query_id: str
    image: ImageRef | None = None
    text: str | None = None
    filters: dict[str, Filter] = {}
    top_k: int = 10
    deadline_ms: int = 2000
    min_offsets: dict[str, int] = {}
    offset: int = 0  # hits to pass over: of the pages before
    limit: int | None = None  # hits of a page, where it is not `top_k`
    sort: str | None = None  # "price", "-price", "launched", "-launched": within a band of scores
    score_band: float = 0.05  # width of a band
    # True: one hit a group, the others as its variants; "duplicates": besides, one hit of products that show the same photo.
    collapse: bool | Literal["duplicates"] = True
    facets: tuple[str, ...] = ()  # to be counted over what matches
    fields: tuple[str, ...] = ()  # of the product, to be in each hit; "*": all
    # Only products of this shop are found; without it, only those of no shop.
    shop: str | None = None
    edits: tuple[str, ...] = ()  # what was asked for in the turns before, the first first; `text` refines it
    min_relevance: float = 0.0  # hits below it are left out
    images: tuple[QueryImage, ...] = ()  # several: what it starts from, and products that lend it a facet each
    previous: str | None = None  # the query that this one refines, where the worker that reads it knows that one
    composer: str | None = (
        None  # who composes image and words; without it, the stack's, or that of the query's arm of a test
    )


class Variant(Record, frozen=True, omit_defaults=False):
    """Another product of a hit's group: the same style in another colour or size."""

    product_id: str
    score: float
    image: str
    colour: str = ""
    sizes: tuple[str, ...] = ()
    price: float | None = None  # what a shopper pays
    in_stock: bool | None = None


class Hit(Record, frozen=True, omit_defaults=False):
    """One product found. `score` is the inner product, higher is nearer. `photo`: the one of its photos that matched best.

    On `search.hits`, `product_id` is the product's key (`processors.identity`) and `shop` is empty.
    """

    product_id: str
    score: float
    image: str
    category: str
    group_id: str = ""
    variants: tuple[Variant, ...] = ()  # of its group, what else meets the filters; the best first
    fields: dict[str, Any] = {}  # what the shop says of it, where the query asks for it
    shop: str = ""
    photo: str = ""
    # Of what the words set, facet by facet, whether the product probably is so; what is not known of it is not there.
    meets: dict[str, bool] | UnsetType = UNSET
    relevance: float | UnsetType = UNSET  # how likely it is what was asked for, where that was fitted

    # Where words or facets of the query's words counted: the inner product alone, and how much of the words the product's own text has (0 to 1).
    similarity: float | None = None
    words: float | None = None
    duplicates: tuple[str, ...] | UnsetType = UNSET  # products with the same photo, where the query collapses them


class WordTaken(Record, frozen=True):
    """How one word of a query, or several that are one name, was taken.

    `taken`: "brand", "collection", "id", "word" (products have it in their texts), "typo" (`value`: what it was taken for), or
    "meaning" (no product has it: only the vector knows it).
    """

    text: str
    taken: Annotated[
        str,
        msgspec.Meta(
            extra_json_schema={"enum": ["brand", "collection", "id", "word", "typo", "meaning"], OPEN_ENUM: True}
        ),
    ]
    value: str = ""


class Understood(Record, frozen=True):
    """How the words of a query were read."""

    filters: dict[str, Any] = {}  # from words such as "under 50": of products that know the field
    wants: dict[str, str] = {}  # facet -> value
    refuses: dict[str, tuple[str, ...]] = {}  # facet -> values
    ignored: tuple[str, ...] = ()  # words that cannot be followed
    set: dict[str, str] | UnsetType = UNSET  # facet -> value that was asked for, steps ("lighter") as what they come to
    exclude: dict[str, tuple[str, ...]] | UnsetType = UNSET  # facet -> values that are pushed away
    kept: tuple[str, ...] | UnsetType = UNSET  # facets of the reference that hits are to share
    heads: str | UnsetType = UNSET  # the version of the facet heads that told what the reference is
    words: tuple[WordTaken, ...] = ()  # how the catalogue's own words were found in it


class Shards(Record, frozen=True, omit_defaults=False):
    answered: int
    of: int


class QueryError(Record, frozen=True, omit_defaults=False):
    """What is wrong with a query, or (a warning) what of it could not be followed."""

    code: ResultCode
    message: str
    field: str = ""  # of the query: "filters.colour"; "" when no single one is at fault


class ShownGarment(Record, frozen=True, omit_defaults=False):
    """A garment of a shopper's photo: where it lies, in pixels of the photo as it is shown, and what is like it.

    `category` is "" for a box that was asked for and of which nobody can say what it holds.
    """

    id: str
    category: str
    box: Box
    hits: tuple[Hit, ...]


class Result(Record, frozen=True):
    """The answer to a query; a bad query gets `error` and no hits, a doubtful one `warnings`."""

    query_id: str
    hits: tuple[Hit, ...]
    partial: bool
    generation: str
    applied_offsets: dict[str, int]
    shards: Shards
    took_ms: int
    error: QueryError | None = None
    warnings: tuple[QueryError, ...] = ()
    total: int | None = None  # products that match; where `facets` asked for counts
    facets: dict[str, dict[str, int]] = {}  # facet -> value -> products that match
    ranges: dict[str, tuple[float, float]] = {}  # of a counted number: the least and the most
    understood: Understood | None = None
    approximate: tuple[str, ...] = ()  # what may not be exact: "variants", "facets"
    garments: tuple[ShownGarment, ...] = ()  # of the photo that was asked with, the surest first
    confident: bool | None = None  # false: nothing that was found fits; null: nobody can say
    arm: str = ""  # the composer that answered a query of image and words
    # What became of the second stage of a composed query, where the stack has one: the best hits compared again ("done"), those of some
    # shards ("some"), none in time ("late"), or none because it failed ("failed"). `score` stays that of the first stage.
    reranked: (
        Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["done", "some", "late", "failed"], OPEN_ENUM: True})]
        | UnsetType
    ) = UNSET


# ---------------------------------------------------------------- search.matches / catalog.similar / search.feedback (JSON)


MatchState: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={
            "enum": ["met", "left", "there", "watching", "refused", "suspended"],
            OPEN_ENUM: True,
        }
    ),
]


class Match(Record, frozen=True):
    """What became of a standing query (`query_id`), and of one product under it.

    `state` of a product: "met" (it came, or changed, and meets the query now), "left" (it does not any more), "there" (it
    met the query already when that was saved). Of the query itself (no product): "watching" (from now on it is told what
    meets it), "refused" (`error` says why), "suspended" (more products meet it than are kept; save a narrower one).
    """

    query_id: str
    state: MatchState
    at: str  # RFC 3339, UTC: of the record that made it so
    product_id: str = ""
    shop: str = ""
    hit: Hit | None = None  # of "met" and "there": as it would stand in a result
    reason: str = ""  # of "left": "changed", "deleted", or "query" (which was saved anew)
    source: Source | None = None  # the product's record on catalog.items
    saved: Source | None = None  # the query's record on search.standing
    error: QueryError | None = None
    ignored: tuple[str, ...] = ()  # words and fields of the query that are not followed
    partitions: tuple[int, ...] = ()  # of catalog.items, that are watched: several workers share them


class Neighbour(Record, frozen=True):
    """A product that is like another; `score` is the inner product, higher is nearer."""

    product_id: str
    score: float


class Neighbours(Record, frozen=True):
    """The products that are most like a product, the nearest first; of its own shop, or of no shop as it is of none."""

    product_id: str
    neighbours: tuple[Neighbour, ...]
    encoder: str  # fingerprint: by whose vectors
    shop: str = ""


class Duplicate(Record, frozen=True, omit_defaults=False):
    """Another product with the same photo, as local features and the pixels under them prove it.

    `confidence`: of the features, 0 to 1. `overlap`: share of this product's photo, and of the other's, that both show.
    """

    product_id: str
    kind: Annotated[
        str,
        msgspec.Meta(
            extra_json_schema={
                "enum": ["copy", "recompressed", "crop", "mirrored", "watermarked"],
                OPEN_ENUM: True,
            }
        ),
    ]
    inliers: int
    confidence: float
    overlap: tuple[float, float]
    image: str  # its photo, relative to the object store


class Duplicates(Record, frozen=True):
    """The products whose main photo is that of a product, the surest first; of its own shop, or of no shop as it is of none."""

    product_id: str
    image: str  # its photo
    duplicates: tuple[Duplicate, ...]
    shop: str = ""


class Pictured(Record, frozen=True):
    """The pictures of articles that are proved to be a product's photo, the surest first."""

    product_id: str
    image: str  # its photo
    pictures: tuple[PictureIn, ...]
    shop: str = ""


class Feedback(Record, frozen=True):
    """What a shopper did with a hit of a result."""

    query_id: str
    product_id: str
    action: Annotated[
        str,
        msgspec.Meta(extra_json_schema={"enum": ["click", "basket", "buy", "return"], OPEN_ENUM: True}),
    ]
    rank: int | None = None  # of the hit in the result, from 1
    shop: str | None = None
    at: str | None = None  # RFC 3339; the record's time where it is not given
