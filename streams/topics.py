"""The topics of EVENTS.md: names, clean-up and codecs' formats. `create` in `streams.admin` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UPLOADS = "catalog.uploads"
ITEMS = "catalog.items"
CAPTIONS = "catalog.captions"
QUERIES = "search.queries"
RESULTS = "search.results"
PROBES = "search.probes"
HITS = "search.hits"
CONTROL = "index.control"
DEAD_LETTERS = "weft.dead-letters"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must look like on the broker. `partitions` None: the setting `partitions` (default 12)."""

    name: str
    format: Literal["json", "msgpack", "raw"]
    cleanup: Literal["delete", "compact"]
    partitions: int | None = None


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(UPLOADS, "json", "delete"),
    TopicSpec(ITEMS, "msgpack", "compact"),
    TopicSpec(CAPTIONS, "json", "compact"),
    TopicSpec(QUERIES, "json", "delete"),
    TopicSpec(RESULTS, "json", "delete"),
    TopicSpec(PROBES, "msgpack", "delete", partitions=1),
    TopicSpec(HITS, "msgpack", "delete", partitions=1),
    TopicSpec(CONTROL, "json", "compact", partitions=1),
    TopicSpec(DEAD_LETTERS, "raw", "delete"),
)
