"""The records of the catalogue: uploads, items, captions, articles, triplets. Import them of `streams.contract.records`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from processors.errors import RESULT_CODES
from processors.photo_roles import ROLES
from processors.values import Evidence, Garment, Metadata, Span, WriterKind
from streams.contract.compatibility import OPEN_ENUM

# `ImageRef` has a field called "bytes" (EVENTS.md), which hides the type of that name inside the class.
Base64: TypeAlias = bytes
# The schema lists the codes; a reader of an earlier version must not stumble over one that came later.
ResultCode: TypeAlias = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": [code.value for code in RESULT_CODES], OPEN_ENUM: True})
]
Role: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(ROLES), OPEN_ENUM: True})]


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
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
