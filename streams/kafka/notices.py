"""What the Kafka side tells beside the log: counted by the metrics, shown by `/healthz`."""

from __future__ import annotations

from typing import Protocol

from streams.kafka.starts import Start, Told


class Notices(Protocol):
    """Called from the event loop; implementations only count and remember."""

    def lost(self, topic: str, records: int) -> None:
        """So many records were deleted before they were read."""
        ...

    def misplaced(self, topic: str, why: str) -> None:
        """A record lay on another partition than its key names; `why` is "partitioner" or "no key"."""
        ...

    def trouble(self, text: str) -> None:
        """Something that a person must know of, although the process goes on."""
        ...

    def settled(self, text: str) -> None:
        """That trouble is over."""
        ...


class NullNotices:
    """Tells nobody."""

    def lost(self, topic: str, records: int) -> None: ...

    def misplaced(self, topic: str, why: str) -> None: ...

    def trouble(self, text: str) -> None: ...

    def settled(self, text: str) -> None: ...


def telling(notices: Notices, letter: Told | None = None) -> Told:
    """The `told` of a role: counted, shown, and (where somebody may look for the records) a dead letter."""

    async def told(start: Start) -> None:
        notices.trouble(start.text)
        if start.lost:
            notices.lost(start.topic, start.lost)
        if letter is not None:
            await letter(start)

    return told
