"""The one table of topics (EVENTS.md): record, key, format, clean-up, retention, who writes and who reads each.

Event types, schemas, the AsyncAPI document, `weft topics create` and the roles' consumer groups all go by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from streams.contract import edits, probes, records

UPLOADS = "catalog.uploads"
ITEMS = "catalog.items"
CAPTIONS = "catalog.captions"
QUERIES = "search.queries"
RESULTS = "search.results"
PROBES = "search.probes"
HITS = "search.hits"
TRIPLETS = "catalog.triplets"
ARTICLES = "catalog.articles"
STANDING = "search.standing"
MATCHES = "search.matches"
SIMILAR = "catalog.similar"
DUPLICATES = "catalog.duplicates"
PICTURED = "catalog.pictured"
FEEDBACK = "search.feedback"
EDIT_REQUESTS = "edits.requests"
EDIT_PROGRESS = "edits.progress"
EDIT_RESULTS = "edits.results"
CONTROL = "index.control"
DEAD_LETTERS = "weft.dead-letters"
DEAD_LETTERS_DONE = "weft.dead-letters.done"

CONTENT_TYPES = {"json": "application/json", "msgpack": "application/msgpack", "raw": "application/octet-stream"}
"""`TopicSpec.format` → the header `content-type` of its records."""
CLIENT = "client"
"""Whoever sends uploads and queries, and reads captions and results: not one of our roles."""
HOUR_MS = 3_600_000
ROLES: tuple[str, ...] = ("enrich", "caption", "index", "compose", "standing", "context", "edit")
"""In the order in which a record passes them."""
OPTIONAL: tuple[str, ...] = ("triplets", "duplicates", "shadow", "sink")
"""Roles that nothing depends on and that `weft up` does not start unless it is asked to."""
EVERY: tuple[str, ...] = (*ROLES, *OPTIONAL)
APART: tuple[str, ...] = ("shadow",)
"""Roles that only try something: always in a process of their own, and a stack is well without them."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic holds, and what it must look like on the broker.

    Args:
        name: on the broker.
        format: how values are written.
        cleanup: the broker's clean-up policy.
        partitions: None: the setting `partitions` (default 12).
        retention_ms: None: as the broker keeps everything else; given where nobody reads a record twice, because a
            broker that keeps all for replay would fill its disk with it.
        record: the type of its values; None for bytes of other topics.
        summary: one sentence for the AsyncAPI document.
        event_type: the `ce_type` of its records.
        key: the field of the record that is its key.
        written_by: roles, tools, or `CLIENT`.
        read_by: likewise.
        tombstones: whether a null value is the deletion of the key.
    """

    name: str
    format: Literal["json", "msgpack", "raw"]
    cleanup: Literal["delete", "compact"]
    partitions: int | None = None
    retention_ms: int | None = None
    record: Any = None
    summary: str = ""
    event_type: str = ""
    key: str = ""
    written_by: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    tombstones: bool = False

    @property
    def content_type(self) -> str:
        """The media type of its values, as in the header `content-type`."""
        return CONTENT_TYPES[self.format]


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(
        UPLOADS,
        "json",
        "delete",
        record=records.Upload,
        summary="A new or changed product photo; a null value deletes the product.",
        event_type="weft.upload.v1",
        key="product_id",
        written_by=(CLIENT,),
        read_by=("enrich",),
        tombstones=True,
    ),
    TopicSpec(
        ITEMS,
        "msgpack",
        "compact",
        record=records.Item,
        summary="What was seen on a photo, and its vectors; a null value deletes the product.",
        event_type="weft.item.v1",
        key="product_id",
        # `context` sends an item once more as it stands, where an article came or went.
        written_by=("enrich", "context"),
        read_by=("caption", "index", "standing", "context", "triplets", "duplicates", "shadow"),
        tombstones=True,
    ),
    TopicSpec(
        CAPTIONS,
        "json",
        "compact",
        record=records.Caption,
        summary="Caption, hashtags and their evidence; a null value deletes the product.",
        event_type="weft.caption.v1",
        key="product_id",
        written_by=("caption",),
        read_by=(CLIENT, "context", "shadow", "sink"),
        tombstones=True,
    ),
    TopicSpec(
        ARTICLES,
        "json",
        "compact",
        partitions=1,
        record=records.Article,
        summary="A brand's own text, and what of the catalogue it is about; a null value takes it back.",
        event_type="weft.article.v1",
        key="id",
        written_by=(CLIENT, "weft articles"),
        read_by=("caption", "context", "weft articles"),
        tombstones=True,
    ),
    TopicSpec(
        TRIPLETS,
        "json",
        "compact",
        record=records.Triplet,
        summary="Two products, and what has to change for one to become the other; a null value deletes the triplet.",
        event_type="weft.triplet.v1",
        key="id",
        written_by=("triplets",),
        read_by=("triplets", "weft triplets", CLIENT),
        tombstones=True,
    ),
    TopicSpec(
        SIMILAR,
        "json",
        "compact",
        record=records.Neighbours,
        summary="The products of the catalogue that are most like a product, as they are now; a null value: it has none.",
        event_type="weft.similar.v1",
        key="product_id",
        written_by=("standing",),
        read_by=(CLIENT, "standing", "duplicates"),
        tombstones=True,
    ),
    TopicSpec(
        DUPLICATES,
        "json",
        "compact",
        record=records.Duplicates,
        summary="The products whose main photo is that of a product; a null value: there are none.",
        event_type="weft.duplicates.v1",
        key="product_id",
        written_by=("duplicates",),
        read_by=("duplicates", "weft duplicates", CLIENT),
        tombstones=True,
    ),
    TopicSpec(
        PICTURED,
        "json",
        "compact",
        partitions=1,
        record=records.Pictured,
        summary="The pictures of articles that are proved to be a product's photo; a null value: there are none.",
        event_type="weft.pictured.v1",
        key="product_id",
        written_by=("context",),
        read_by=("caption", "context"),
        tombstones=True,
    ),
    TopicSpec(
        QUERIES,
        "json",
        "delete",
        retention_ms=7 * 24 * HOUR_MS,
        record=records.Query,
        summary="A shopper's query.",
        event_type="weft.query.v1",
        key="query_id",
        written_by=(CLIENT,),
        read_by=("compose",),
    ),
    TopicSpec(
        RESULTS,
        "json",
        "delete",
        retention_ms=7 * 24 * HOUR_MS,
        record=records.Result,
        summary="The answer to a query, or why there is none.",
        event_type="weft.result.v1",
        key="query_id",
        written_by=("compose",),
        read_by=(CLIENT,),
    ),
    TopicSpec(
        STANDING,
        "json",
        "compact",
        record=records.Query,
        summary="A query that stands: what meets it is told when it comes; a null value ends it.",
        event_type="weft.standing.v1",
        key="query_id",
        written_by=(CLIENT,),
        read_by=("standing",),
        tombstones=True,
    ),
    TopicSpec(
        MATCHES,
        "json",
        "compact",
        record=records.Match,
        summary="A product has begun, or has ceased, to meet a standing query; a null value: one of the two is gone.",
        event_type="weft.match.v1",
        key="query_id/product_id",
        written_by=("standing",),
        read_by=(CLIENT, "standing"),
        tombstones=True,
    ),
    TopicSpec(
        FEEDBACK,
        "json",
        "delete",
        record=records.Feedback,
        summary="What a shopper did with a hit: clicked it, put it into the basket, bought it, sent it back.",
        event_type="weft.feedback.v1",
        key="query_id",
        written_by=(CLIENT,),
        read_by=("weft eval",),
    ),
    TopicSpec(
        PROBES,
        "msgpack",
        "delete",
        partitions=1,
        retention_ms=HOUR_MS,
        record=probes.Probe,
        summary="What every shard of the index is asked.",
        event_type="weft.probe.v1",
        key="query_id",
        written_by=("compose", "standing", "edit"),
        read_by=("index",),
    ),
    TopicSpec(
        HITS,
        "msgpack",
        "delete",
        partitions=1,
        retention_ms=HOUR_MS,
        record=probes.Answer,
        summary="One shard's answer.",
        event_type="weft.hits.v1",
        key="query_id",
        written_by=("index",),
        read_by=("compose", "standing", "edit"),
    ),
    TopicSpec(
        EDIT_REQUESTS,
        "json",
        "delete",
        retention_ms=7 * 24 * HOUR_MS,
        record=edits.EditRequest,
        summary="A photo, and what a garment of it is to become; a null value takes the request back.",
        event_type="weft.edit-request.v1",
        key="request_id",
        written_by=(CLIENT,),
        read_by=("edit",),
        tombstones=True,
    ),
    TopicSpec(
        EDIT_PROGRESS,
        "json",
        "delete",
        partitions=1,
        retention_ms=24 * HOUR_MS,
        record=edits.EditProgress,
        summary="How far the edit of a request has come.",
        event_type="weft.edit-progress.v1",
        key="request_id",
        written_by=("edit",),
        read_by=(CLIENT,),
    ),
    TopicSpec(
        EDIT_RESULTS,
        "json",
        "delete",
        retention_ms=7 * 24 * HOUR_MS,
        record=edits.EditResult,
        summary="The edited image of a request, or why there is none.",
        event_type="weft.edit-result.v1",
        key="request_id",
        written_by=("edit",),
        read_by=(CLIENT,),
    ),
    TopicSpec(
        CONTROL,
        "json",
        "compact",
        partitions=1,
        record=records.Generation,
        summary="Which index generation of a collection is live, (collection `generation/<collection>/<name>`) what each is "
        "made of, and (`store/<id>`) which store is the cluster's.",
        event_type="weft.generation.v1",
        key="collection",
        # Which store the cluster has (streams.kafka.store_claim): every worker looks, the first one says.
        written_by=(*EVERY, "weft replay", "weft index"),
        read_by=EVERY,
    ),
    TopicSpec(
        DEAD_LETTERS,
        "raw",
        "delete",
        summary="The original bytes of a message that can never succeed; the headers say why.",
        event_type="weft.dead-letter.v1",
        key="the original key",
        written_by=("enrich", "caption", "index", "context", "triplets", "duplicates", "sink"),
        read_by=("weft dlq",),
    ),
    TopicSpec(
        DEAD_LETTERS_DONE,
        "json",
        "compact",
        partitions=1,
        record=records.LetterDone,
        summary="What became of a dead letter: put back, or dropped.",
        event_type="weft.dead-letter-done.v1",
        key="letter",
        written_by=("weft dlq",),
        read_by=("weft dlq",),
    ),
)

BY_NAME: dict[str, TopicSpec] = {spec.name: spec for spec in TOPICS}
"""Read-only: the table by the topics' names."""
_OF_GENERATION = f"{ITEMS}."


def items_of(generation: str) -> str:
    """The items topic of a generation that has one of its own: the vectors of another encoder, in the same partitions."""
    return f"{_OF_GENERATION}{generation}"


def is_items(topic: str) -> bool:
    """Whether a topic holds items, of whichever generation."""
    return topic == ITEMS or topic.startswith(_OF_GENERATION)


def spec_of(topic: str) -> TopicSpec:
    """What a topic holds. Raises `KeyError` for one that is none of Weft's."""
    if topic.startswith(_OF_GENERATION):
        return replace(BY_NAME[ITEMS], name=topic, written_by=("weft replay", "enrich"))
    return BY_NAME[topic]


def read_by(role: str) -> tuple[str, ...]:
    """The topics that a role consumes."""
    return tuple(spec.name for spec in TOPICS if role in spec.read_by)


def written_by(role: str) -> tuple[str, ...]:
    """The topics that a role publishes to."""
    return tuple(spec.name for spec in TOPICS if role in spec.written_by)
