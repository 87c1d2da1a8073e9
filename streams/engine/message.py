"""A record as it was read from Kafka."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

# Namespace of all event ids: a fixed UUID, so that a re-delivered input gives the same id in every process, for ever.
_NAMESPACE = uuid.UUID("6f3c0a51-6d1e-5b0e-9a53-0d1f3c8a7e42")


@dataclass(frozen=True, slots=True)
class Message:
    """One record of an input topic. `timestamp_ms` is milliseconds since the epoch; a `value` of None is a delete."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0

    def event_id(self, stage: str) -> str:
        """The id of what `stage` makes of this record: the same on every delivery (uuid5 of its address and stage)."""
        return derived_id(f"{self.topic}/{self.partition}/{self.offset}", stage)

    @property
    def source(self) -> tuple[str, int, int]:
        """Topic, partition and offset: the address of this record."""
        return (self.topic, self.partition, self.offset)

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    def header(self, name: str) -> bytes | None:
        """The last header of that name."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


def derived_id(origin: str, stage: str) -> str:
    """The id of what `stage` makes of the event `origin`."""
    return str(uuid.uuid5(_NAMESPACE, f"{origin}/{stage}"))
