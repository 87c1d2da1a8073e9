"""Where a group's member begins to read a partition, and what it has to tell of it.

Kafka's own answer to an offset that it does not have is to go elsewhere in silence: records that retention deleted
unread are never missed, and those of a topic that was created again are skipped up to the old offset.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's offset, and the id of the topic that it was committed for ("" where that is not known)."""

    offset: int
    topic_id: str = ""

    @classmethod
    def of(cls, offset: int, metadata: str | None) -> Self:
        """A commit as the broker has it. Other programs (older clients, tools that move offsets) leave words of their own
        there: taken for an id they would say that the topic is another one, and all of it would be read again.
        """
        return cls(offset, metadata if metadata and _ID.fullmatch(metadata) else "")


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading of a partition begins.

    `lost`: so many offsets before `offset` were deleted before they were read, from `offset - lost` on; marks of
    transactions and holes count among them. `reason`: what else is out of the ordinary, or "".
    """

    topic: str
    partition: int
    offset: int
    lost: int = 0
    reason: str = ""

    @property
    def text(self) -> str:
        """One sentence for a log and for `/healthz`; "" when nothing is out of the ordinary."""
        place = f"{self.topic}-{self.partition}"
        if self.lost:
            return (
                f"{place}: {self.lost} records (offsets {self.offset - self.lost} to {self.offset - 1}) were deleted"
                " before they were read: retention is shorter than the backlog"
            )
        return f"{place}: {self.reason}; reading goes on at offset {self.offset}" if self.reason else ""


Told: TypeAlias = Callable[[Start], Awaitable[None]]
"""Told of every start that is out of the ordinary, before anything is read; what it does is durable when it returns."""


def start_of(
    topic: str, partition: int, committed: Committed | None, *, low: int, end: int, topic_id: str = ""
) -> Start:
    """Where to begin, and why there.

    Args:
        topic: of the partition.
        partition: its number.
        committed: what the group has committed; None for nothing: then everything that is kept is read.
        low: the first offset that is kept.
        end: the next offset to be written.
        topic_id: of the topic as it is now; "" where the broker does not say.
    """
    if committed is None:
        return Start(topic, partition, low)
    same = bool(topic_id) and committed.topic_id == topic_id
    if committed.topic_id and topic_id and not same:
        return Start(topic, partition, low, reason="the topic was created again, its records are others")
    if committed.offset > end:
        if same:
            reason = f"the log ends at {end}, before offset {committed.offset} of the group: records were cut off"
            return Start(topic, partition, end, reason=reason)
        reason = f"the log ends at {end}, before offset {committed.offset} of the group: the topic was created again"
        return Start(topic, partition, low, reason=reason)
    if committed.offset < low:
        return Start(topic, partition, low, lost=low - committed.offset)
    return Start(topic, partition, committed.offset)
