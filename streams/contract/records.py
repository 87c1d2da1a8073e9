"""The records of every topic (EVENTS.md). One definition gives the codec, the JSON Schema and the AsyncAPI document.

Unknown fields are ignored; a missing or wrongly typed required field raises `Poison` naming the field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from processors.errors import RESULT_CODES
from processors.photo_roles import ROLES
from processors.values import Box, Evidence, Garment, Metadata, Span, WriterKind
from streams.contract.compatibility import OPEN_ENUM

# `ImageRef` has a field called "bytes" (EVENTS.md), which hides the type of that name inside the class.
Base64: TypeAlias = bytes
# The schema lists the codes; a reader of an earlier version must not stumble over one that came later.
ResultCode: TypeAlias = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": [code.value for code in RESULT_CODES], OPEN_ENUM: True})
]
Role: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(ROLES), OPEN_ENUM: True})]


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of all records."""


# ---------------------------------------------------------------- catalog.uploads (JSON)


class ImageRef(Record, frozen=True):
    """Exactly one of: an address, the bytes in base64 (up to 1 MiB), or (in a query) a product of the catalogue.

    In a query, `box` asks for one garment of the photo: x0, y0, x1, y1 in pixels of the photo as it is shown, origin top left.
    """

    uri: str | None = None
    bytes: Base64 | None = None
    product_id: str | None = None
    box: tuple[float, float, float, float] | None = None


class QueryImage(Record, frozen=True):
    """One of several images of a query: what it starts from (`role` "cut", or none), or a product that lends one facet ("colour")."""

    uri: str | None = None
    bytes: Base64 | None = None
    product_id: str | None = None
    box: tuple[float, float, float, float] | None = None
    role: str | None = None


class UploadPhoto(Record, frozen=True):
    """One of the photos of a product: exactly one of an address and the bytes in base64, and what it shows."""

    uri: str | None = None
    bytes: Base64 | None = None
    role: Role | None = None


class Upload(Record, frozen=True):
    """A new or changed product. A null value under the same key deletes it.

    Without a photo the metadata are merged into what is known (RFC 7386: null removes a field); without metadata these
    stay as they are. With both they replace what was there. Of two uploads with a `version` the newer counts.
    """

    product_id: str
    image: ImageRef | None = None  # the one photo, or the main one beside `images`
    # Whatever a shop says of its product; `streams.contract.metadata` makes the typed `Metadata` of it.
    metadata: dict[str, Any] | None = None
    group_id: str | None = None  # the style of which this product is a colour or a size
    # Part of the product's identity: equal ids of two shops are two products.
    shop: str | None = None
    # "high": it is done before its turn, up to its caption.
    priority: Literal["normal", "high"] = "normal"
    images: tuple[UploadPhoto, ...] | None = None
    version: int | float | str | None = None  # a number, or a time (RFC 3339)


# ---------------------------------------------------------------- catalog.items (MessagePack, compacted: the truth)


class Source(Record, frozen=True, omit_defaults=False):
    """Where an output came from: the input record."""

    topic: str
    partition: int
    offset: int

    def or_earlier(self, other: Source) -> Source:
        """This record, or `other` where it lies before this one on the same partition."""
        same = (self.topic, self.partition) == (other.topic, other.partition)
        return other if same and other.offset < self.offset else self


class View(Record, frozen=True, omit_defaults=False):
    """One vector of an item: the whole image ("whole") or one garment ("g0"). `vector` is float32 little-endian.

    Of a further photo ("2/whole", "2/g0": the third photo, and the item's garment g0 in it) `photo` is its address.
    """

    id: str
    category: str
    vector: bytes
    photo: str | UnsetType = UNSET


class Conflict(Record, frozen=True, omit_defaults=False):
    """What the shop says of a garment and the photo shows otherwise; the shop's word counts."""

    garment: str
    facet: str
    merchant: str
    pixels: str
    confidence: float


class ItemPhoto(Record, frozen=True, omit_defaults=False):
    """One of several photos of an item. `garments`: ids of the item's garments that it shows."""

    image: str
    role: str
    width: int
    height: int
    garments: tuple[str, ...]


class Vote(Record, frozen=True, omit_defaults=False):
    """What one photo says."""

    photo: str
    value: str
    confidence: float


class Disagreement(Record, frozen=True, omit_defaults=False):
    """What the photos of a product show differently, and which value counts: that of most of them, the surer of as many."""

    garment: str
    facet: str  # "category", "colour", "pattern" …
    value: str
    votes: tuple[Vote, ...]


class Item(Record, frozen=True, omit_defaults=False):
    """An enriched product: what was seen, and its vectors.

    A garment's `attributes` are what the photo shows ("source": "pixels"); what the shop says is in `metadata`, and wins.
    Without a photo the product is `incomplete`: image "", sides 0, no garments, no views. `photos`, `sold` (the garment that
    the photos agree on) and `disagreements` are there where it has several photos.
    """

    product_id: str
    image: str  # address of the image, relative to the object store (before 0.1: absolute)
    width: int
    height: int
    garments: tuple[Garment, ...]
    views: tuple[View, ...]
    metadata: Metadata
    encoder: str  # fingerprint: vectors of different makers never meet
    dimension: int
    detector: str
    source: Source
    version: str
    facets: str = ""  # the version of facet heads that was applied; "" where there was none
    conflicts: tuple[Conflict, ...] = ()
    shop: str = ""  # "" where it has none
    # Left out where they say nothing: so an item of one photo has the bytes that it always had.
    incomplete: bool | UnsetType = UNSET
    photos: tuple[ItemPhoto, ...] | UnsetType = UNSET
    sold: str | UnsetType = UNSET
    disagreements: tuple[Disagreement, ...] | UnsetType = UNSET
    # Facet -> value -> probability in thousandths, of the garment that is sold; left out where no heads were applied.
    chances: dict[str, dict[str, int]] | UnsetType = UNSET
    profile: str | UnsetType = UNSET  # the profile whose models saw it; left out for `starter`


# ---------------------------------------------------------------- catalog.captions (JSON, compacted)


class Lineage(Record, frozen=True, omit_defaults=False):
    """Input offset, weights, prompt and code version that made an output."""

    source: Source
    detector: str
    encoder: str
    writer: str
    prompt: str
    version: str
    facets: str = ""  # the version of facet heads; "" where there was none
    profile: str = ""  # the profile whose models the process runs; "" before there were others


class Provenance(Record, frozen=True, omit_defaults=False):
    """Who wrote a caption, and which of its facts are no one's own words."""

    machine_made: bool
    model: str  # fingerprint of the language model; "template" where the rule-based writer wrote
    version: str
    inferred: tuple[str, ...]  # "g0.fabric": decided by the votes of other products
    reviewed_by: str | None = None
    refused: tuple[tuple[str, ...], ...] = ()  # of each draft that was not used: why


class ContextSpan(Record, frozen=True, omit_defaults=False):
    """caption[start:end] is said by the chunk."""

    start: int
    end: int


class PictureIn(Record, frozen=True, omit_defaults=False):
    """A picture of an article that is proved to be a product's photo, and what each step gave that found it.

    `likeness`: to each encoder (fingerprint) that named it among its nearest. `score`: of all of them together. `swapped`: local features
    put it before one that the encoders preferred. `confidence` (0 to 1), `inliers`: of the features. `kind`: what the picture is of the photo.
    """

    picture: str  # its address, as the article has it
    kind: Annotated[
        str,
        msgspec.Meta(
            extra_json_schema={
                "enum": ["copy", "recompressed", "crop", "mirrored", "watermarked"],
                OPEN_ENUM: True,
            }
        ),
    ]
    score: float
    likeness: dict[str, float]
    confidence: float
    inliers: int
    swapped: bool = False


class ContextUse(Record, frozen=True, omit_defaults=False):
    """What an article says in a caption. `chunk`: number of the first of the up to three sentences of `text`, from 0.

    `score`: likeness of the chunk to the caption without it, -1 to 1. `spans`: the sentences of the caption that state it. `picture`: by which
    picture the article was found, where it does not name the product.
    """

    article: str
    chunk: int
    score: float
    spans: tuple[ContextSpan, ...]
    text: str
    version: str = ""  # of the article, where it has one
    picture: PictureIn | UnsetType = UNSET


class Caption(Record, frozen=True, omit_defaults=False):
    """Caption, hashtags and the evidence for every claim.

    `coverage` is None where nothing was found that could be covered. `status` says whether the caption may go out as it
    is; of one on hold `reasons` holds what the rule file gave. Records from before there was a status are on hold.
    """

    product_id: str
    caption: str
    hashtags: tuple[str, ...]
    evidence: Evidence
    spans: tuple[Span, ...]
    coverage: float | None
    writer: WriterKind
    lineage: Lineage
    status: Literal["ready", "hold"] = "hold"
    reasons: tuple[str, ...] = ("unjudged",)
    provenance: Provenance | None = None
    shop: str = ""  # "" where the product has none
    kit: str = ""  # the brand kit that it follows; "" is none
    locale: str = "en"  # of all texts
    # The texts beside the caption, each within its own limit; "" where nothing may be said.
    title: str = ""
    alt: str = ""  # what is to be seen, for those who do not see it
    description: str = ""  # the long one
    meta: str = ""  # for search engines
    # What articles (`catalog.articles`) say in it; left out where none does.
    context: tuple[ContextUse, ...] | UnsetType = UNSET


# ---------------------------------------------------------------- catalog.articles (JSON, compacted)


ARTICLE_KINDS = ("story", "lookbook", "care", "press", "sustainability")
ArticleKind: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(ARTICLE_KINDS), OPEN_ENUM: True})]


class AppliesTo(Record, frozen=True):
    """What an article is about: a product (its id), a brand, a collection. Of several that are given each counts by itself."""

    product: str | None = None
    brand: str | None = None
    collection: str | None = None


class Article(Record, frozen=True):
    """A text of a brand: its story, a lookbook, how to care for a garment. A null value under the same key takes it back.

    `images`: addresses of its pictures: without a product, the article applies to those whose photo is proved to be one of them. `version`: named in what cites it. `locale`: of the text ("de"); without it a caption of any
    language takes the sentences of its own. `shop`: whose products it is about; without it, those of no shop.
    """

    id: str
    text: str
    applies_to: AppliesTo = AppliesTo()
    title: str | None = None
    kind: ArticleKind | None = None
    images: tuple[str, ...] | None = None
    version: int | float | str | None = None
    locale: str | None = None
    shop: str | None = None


# ---------------------------------------------------------------- catalog.triplets (JSON, compacted)


class TripletChange(Record, frozen=True):
    """One facet in which reference and target differ."""

    facet: str
    before: str
    after: str


class TripletSide(Record, frozen=True, omit_defaults=False):
    """One product of a triplet, as it was when the triplet was made. `image`: relative to the object store."""

    product_id: str
    image: str
    caption: str
    facets: dict[str, str]
    shop: str = ""


class TripletOrigin(Record, frozen=True, omit_defaults=False):
    """Where the words are from. `modifier`: "grammar", or the fingerprint of a language model; every triplet was checked."""

    captioner: str  # fingerprint
    modifier: str
    encoder: str  # fingerprint: by whose vectors the two are near
    source: Source  # the item whose coming made the triplet
    version: str


class Triplet(Record, frozen=True, omit_defaults=False):
    """Two products of one kind that look alike, and the words that lead from the one to the other.

    The modification, read by the rules that read shoppers and applied to the reference's facets, gives the target's. `rank`: of
    the target among the reference's nearest, from 1; 0 where the pair was chosen from the target's side, or is an earlier one.
    """

    id: str
    reference: TripletSide
    target: TripletSide
    modification: str
    changes: tuple[TripletChange, ...]
    rank: int
    similarity: float
    provenance: TripletOrigin


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


# ---------------------------------------------------------------- index.control (JSON, compacted)


class Generation(Record, frozen=True, omit_defaults=False):
    """Which index generation of a collection is live; and, under `generation/<collection>/<name>`, what one is made of.

    A record of the first kind has the state "live": swapping and rolling back are one such record.
    """

    collection: str
    generation: str
    state: Literal["building", "live", "retired"]
    previous: str = ""  # the live one before this: where a rollback leads
    items: str = "catalog.items"  # the topic that it reads
    profile: str = ""  # whose encoder made its vectors; "": that of the roles
    encoder: str = ""  # fingerprint; "" where the topic says
    ready: bool = False  # built: the index workers hold it and follow its topic
    begins: dict[str, int] = {}  # partition -> the first offset of `items` that belongs to it
    ends: dict[str, int] = {}  # partition -> the first offset that does not, where it does not follow
    follows: dict[str, int] = {}  # partition -> the offset of `catalog.items` from which its own topic is kept current
    lost: int = 0  # products that could not be thought again when it was built
    asked: str = ""  # topic, range and profile of the replay that builds it
    at: str = ""  # RFC 3339, UTC


# ---------------------------------------------------------------- weft.dead-letters.done (JSON, compacted)


class LetterDone(Record, frozen=True, omit_defaults=False):
    """What became of a dead letter: it was put back on its topic, or dropped. The key is the letter's id."""

    letter: str  # "catalog.uploads/3/81/decode": where the record lay, and the stage that gave it up
    resolution: Literal["redriven", "dropped"]
    at: str  # RFC 3339, UTC
    redrives: int
    place: str = ""  # where it was put back: "catalog.uploads/3/240"
    # Timestamp (ms since the epoch) of the record: of a topic that was created again another one may lie at its place.
    recorded: int = 0
