"""A record as it was read from Kafka."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass, field

# Namespace of all event ids: a fixed UUID, so that a re-delivered input gives the same id in every process, for ever.
_NAMESPACE = uuid.UUID("6f3c0a51-6d1e-5b0e-9a53-0d1f3c8a7e42").bytes

ANSWER = "weft_answer"
"""Header of an upload whose sender waits for what comes of it: that is published even where it stands already."""
EDITION = "weft_edition"
"""Header of an item whose caption is wanted anew (`weft captions rewrite`): any value that was not used for it before."""
AGAIN = "weft_again"
"""Header of an item that is sent again because its caption stands in for a language model that was away: who sent it."""
CONTEXT = "weft_context"
"""Header of an item that is sent again for articles that came or went: offsets of `catalog.articles` by partition ("0:12") that its caption
has to know."""
ORIGIN = "weft_origin"
"""Header of a record that was passed on to the partition of its key: the identity of the record as it first came."""
PRIORITY = "weft_priority"
"""Header of a record that is to be done before its turn, where its value is `URGENT`; carried on to what is made of it."""
URGENT = b"high"
SHOP = "weft_shop"
"""Header of a deletion under a product's id: the shop whose product it is."""
REACHED = "weft_reached"
"""Header of a record of a generation's own items topic: the offset of `catalog.items`, same partition, that it was made from."""
_IDENTITY = re.compile(r"[^/]{1,249}/[0-9]{1,18}/[0-9]{1,18}@[0-9]{1,18}/[0-9a-f]{16}")


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
    _identity: str = field(default="", init=False, repr=False, compare=False)
    """Once it was asked for: it is, nine times for an upload."""
    _first: tuple[str, int, int] | None = field(default=None, init=False, repr=False, compare=False)

    def event_id(self, stage: str) -> str:
        """The id of what `stage` makes of this record: the same on every delivery (uuid5 of its identity and stage)."""
        return derived_id(self.identity, stage)

    @property
    def identity(self) -> str:
        """What tells this record from every other: `catalog.uploads/3/81@1767225600000/5f2a…`, wherever it is passed on.

        The address alone is none: a topic that is created again gives the same addresses to other records. Timestamp and
        key lie in the record itself, so that whoever reads it, whenever, finds the same.
        """
        if not self._identity:
            object.__setattr__(self, "_identity", self._told())
        return self._identity

    def _told(self) -> str:
        passed_on = (self.header(ORIGIN) or b"")[:512].decode(errors="replace")
        if _IDENTITY.fullmatch(passed_on):
            return passed_on
        key = hashlib.sha256(self.key or b"").hexdigest()[:16]
        return f"{self.topic}/{self.partition}/{self.offset}@{max(self.timestamp_ms, 0)}/{key}"

    @property
    def first_source(self) -> tuple[str, int, int]:
        """`source` of the record as it first came, before it was passed on."""
        if self._first is None and self.header(ORIGIN) is None:
            object.__setattr__(self, "_first", self.source)
        elif self._first is None:
            topic, partition, rest = self.identity.split("/")[:3]
            object.__setattr__(self, "_first", (topic, int(partition), int(rest.partition("@")[0])))
        assert self._first is not None
        return self._first

    @property
    def first_ms(self) -> int:
        """When the record first came, by its timestamp: 0 or later, in milliseconds since the epoch."""
        if self.header(ORIGIN) is None:
            return max(self.timestamp_ms, 0)
        return int(self.identity.split("@")[1].partition("/")[0])

    @property
    def source(self) -> tuple[str, int, int]:
        """Topic, partition and offset: the address of this record."""
        return (self.topic, self.partition, self.offset)

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            size += len(name) + len(value)
        return size

    def header(self, name: str) -> bytes | None:
        """The last header of that name."""
        found = None
        for key, value in self.headers:
            if key == name:
                found = value
        return found


def derived_id(origin: str, stage: str) -> str:
    """The id of what `stage` makes of the event `origin`: `str(uuid.uuid5(…))`, at half its price, as each record has several."""
    found = bytearray(hashlib.sha1(_NAMESPACE + f"{origin}/{stage}".encode(), usedforsecurity=False).digest()[:16])
    found[6] = found[6] & 0x0F | 0x50  # version 5 (RFC 9562, 5.5)
    found[8] = found[8] & 0x3F | 0x80
    digits = found.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# What a message costs beside its own bytes (task, futures, queue places): without it a million empty messages are free.
_OVERHEAD_BYTES = 2048


def message_bytes(message: Message) -> int:
    """The credits a message needs at admission: its size and what handling it costs."""
    return message.size + _OVERHEAD_BYTES
