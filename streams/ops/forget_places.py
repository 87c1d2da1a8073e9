"""Where a product is kept, and for how long: what `weft forget` finds, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

from streams.contract import topics

State = Literal["gone", "waits", "kept"]
"""`waits`: it goes by itself, at the latest at `until` where that is known; `kept`: it stays until somebody does what `note` says."""
_NEVER_MS = 100 * 365 * 24 * topics.HOUR_MS
_WEEK_MS = 7 * 24 * topics.HOUR_MS


class Forgotten(msgspec.Struct, frozen=True):
    """A product that is to be forgotten."""

    product_id: str
    shop: str = ""


class Place(msgspec.Struct, frozen=True):
    """One place. `found`: records, objects or hits that are still there; `until`: RFC 3339, UTC; None where nobody can say."""

    place: str
    state: State
    found: int = 0
    until: str | None = None
    note: str = ""


class Report(msgspec.Struct, frozen=True):
    """All of it, as `weft forget --json` prints it."""

    products: tuple[Forgotten, ...]
    places: tuple[Place, ...]
    proven: bool

    @property
    def settled(self) -> bool:
        """Whether everything is gone, or goes by a known time."""
        return all(place.state == "gone" or (place.state == "waits" and place.until) for place in self.places)


def of_topic(name: str, found: int, deletes: int, configs: Mapping[str, str], now: float) -> Place:
    """A topic in which records of the products lie.

    Args:
        name: the topic.
        found: records that still have a value.
        deletes: records that say the deletion.
        configs: of the topic, as the broker has them.
        now: seconds since the epoch.
    """
    if not found and not deletes:
        return Place(name, "gone")
    if "compact" in configs.get("cleanup.policy", ""):
        return _compacted(name, found, configs, now)
    kept = _ms(configs, "retention.ms")
    if not found:
        return Place(name, "gone", note=f"{deletes} records say that it was deleted, and nothing else")
    if kept is None:
        return Place(
            name,
            "kept",
            found,
            note=f"retention.ms is -1: the topic keeps its records for ever ({_setting(name)}), or delete records up to here",
        )
    # A segment goes as a whole, once its newest record is old enough: the one that is written to is closed first.
    rolled = _ms(configs, "segment.ms")
    return Place(
        name, "waits", found, _at(now, kept + (_WEEK_MS if rolled is None else rolled)), "retention.ms and segment.ms"
    )


def _compacted(name: str, found: int, configs: Mapping[str, str], now: float) -> Place:
    lag, deletes = _ms(configs, "max.compaction.lag.ms"), _ms(configs, "delete.retention.ms") or 0
    if not found:
        return Place(name, "gone", note="the deletion is the last that is said of it")
    if lag is None:
        return Place(
            name,
            "waits",
            found,
            note="max.compaction.lag.ms is not set on the topic: the older records go with some compaction, nobody knows which",
        )
    return Place(
        name,
        "waits",
        found,
        _at(now, lag),
        f"max.compaction.lag.ms; the deletion itself is kept {deletes / topics.HOUR_MS:g} hours longer",
    )


def _setting(name: str) -> str:
    variable = {topics.UPLOADS: "UPLOADS", topics.DEAD_LETTERS: "DEAD_LETTERS"}.get(name)
    return (
        f"set WEFT_{variable}_RETENTION_DAYS and the topic's retention.ms"
        if variable
        else "set the topic's retention.ms"
    )


def _ms(configs: Mapping[str, str], name: str) -> int | None:
    """A time of a topic; None for what never ends."""
    text = configs.get(name, "")
    value = int(text) if text.lstrip("-").isdigit() else -1
    return None if value < 0 or value > _NEVER_MS else value


def _at(now: float, after_ms: int) -> str:
    return datetime.fromtimestamp(now + after_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
