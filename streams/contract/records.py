# ruff: noqa: RUF012 - msgspec gives each record a dict of its own; ruff sees that of direct structs only
"""The records of every topic (EVENTS.md). One definition gives the codec, the JSON Schema and the AsyncAPI document.

Unknown fields are ignored; a missing or wrongly typed required field raises `Poison` naming the field.
"""

from __future__ import annotations

from typing import Literal

from streams.contract.catalog_records import (
    ARTICLE_KINDS,
    AppliesTo,
    Article,
    ArticleKind,
    Base64,
    Caption,
    Conflict,
    ContextSpan,
    ContextUse,
    Disagreement,
    ImageRef,
    Item,
    ItemPhoto,
    Lineage,
    PictureIn,
    Provenance,
    QueryImage,
    Record,
    ResultCode,
    Role,
    Source,
    Triplet,
    TripletChange,
    TripletOrigin,
    TripletSide,
    Upload,
    UploadPhoto,
    View,
    Vote,
)
from streams.contract.search_records import (
    Duplicate,
    Duplicates,
    Feedback,
    Filter,
    Hit,
    Match,
    MatchState,
    Neighbour,
    Neighbours,
    Pictured,
    Query,
    QueryError,
    Result,
    Shards,
    ShownGarment,
    Understood,
    Variant,
    WordTaken,
)

__all__ = [
    "ARTICLE_KINDS",
    "AppliesTo",
    "Article",
    "ArticleKind",
    "Base64",
    "Caption",
    "Conflict",
    "ContextSpan",
    "ContextUse",
    "Disagreement",
    "Duplicate",
    "Duplicates",
    "Feedback",
    "Filter",
    "Generation",
    "Hit",
    "ImageRef",
    "Item",
    "ItemPhoto",
    "LetterDone",
    "Lineage",
    "Match",
    "MatchState",
    "Neighbour",
    "Neighbours",
    "PictureIn",
    "Pictured",
    "Provenance",
    "Query",
    "QueryError",
    "QueryImage",
    "Record",
    "Result",
    "ResultCode",
    "Role",
    "Shards",
    "ShownGarment",
    "Source",
    "Triplet",
    "TripletChange",
    "TripletOrigin",
    "TripletSide",
    "Understood",
    "Upload",
    "UploadPhoto",
    "Variant",
    "View",
    "Vote",
    "WordTaken",
]


# ---------------------------------------------------------------- index.control (JSON, compacted)


class Generation(Record, frozen=True, omit_defaults=False):
    """Which index generation of a collection is live; and, under `generation/<collection>/<name>`, what one is made of.

    A record of the first kind has the state "live": swapping and rolling back are one such record.
    """

    collection: str
    generation: str
    state: Literal["building", "live", "retired"]
    previous: str = ""  # the live one before this: where a rollback leads
    answered: tuple[str, ...] = ()  # those that were live before `previous`
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
