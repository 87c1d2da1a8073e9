"""What the engine tells of itself; `infra.metrics` implements it."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Called from the event loop, often: implementations only count."""

    def stage_done(self, stage: str, seconds: float) -> None:
        """One item left `stage`, `seconds` after it entered (queueing included)."""
        ...

    def batch_done(self, stage: str, items: int, cost: int, seconds: float) -> None:
        """The device ran a batch of `items` with total `cost` in `seconds`."""
        ...

    def queue_depth(self, stage: str, items: int) -> None:
        """`items` wait for the device in `stage`."""
        ...

    def credits_held(self, held: int, items: int) -> None:
        """`held` bytes and `items` messages are in the pipeline."""
        ...

    def failed(self, stage: str, cause: str) -> None:
        """A message failed for good; `cause` is a class name."""
        ...

    def retried(self, stage: str, cause: str) -> None:
        """An attempt failed and is going to be repeated; `cause` is a class name."""
        ...

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:
        """A message is done, `seconds` after it was admitted."""
        ...


class NullObserver:
    """Tells nobody."""

    def stage_done(self, stage: str, seconds: float) -> None: ...

    def batch_done(self, stage: str, items: int, cost: int, seconds: float) -> None: ...

    def queue_depth(self, stage: str, items: int) -> None: ...

    def credits_held(self, held: int, items: int) -> None: ...

    def failed(self, stage: str, cause: str) -> None: ...

    def retried(self, stage: str, cause: str) -> None: ...

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None: ...
