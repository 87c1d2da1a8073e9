"""The topics of EVENTS.md: names, clean-up and codecs' formats. `create` in `streams.ops.admin` makes them."""

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
DEAD_LETTERS_DONE = "weft.dead-letters.done"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must look like on the broker.

    `partitions` None: the setting `partitions` (default 12). `retention_ms` None: as the broker keeps everything else;
    given where nobody reads a record twice, because a broker that keeps all for replay would fill its disk with it.
    """

    name: str
    format: Literal["json", "msgpack", "raw"]
    cleanup: Literal["delete", "compact"]
    partitions: int | None = None
    retention_ms: int | None = None


HOUR_MS = 3_600_000

TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(UPLOADS, "json", "delete"),
    TopicSpec(ITEMS, "msgpack", "compact"),
    TopicSpec(CAPTIONS, "json", "compact"),
    TopicSpec(QUERIES, "json", "delete", retention_ms=7 * 24 * HOUR_MS),
    TopicSpec(RESULTS, "json", "delete", retention_ms=7 * 24 * HOUR_MS),
    TopicSpec(PROBES, "msgpack", "delete", partitions=1, retention_ms=HOUR_MS),
    TopicSpec(HITS, "msgpack", "delete", partitions=1, retention_ms=HOUR_MS),
    TopicSpec(CONTROL, "json", "compact", partitions=1),
    TopicSpec(DEAD_LETTERS, "raw", "delete"),
    TopicSpec(DEAD_LETTERS_DONE, "json", "compact", partitions=1),
)
