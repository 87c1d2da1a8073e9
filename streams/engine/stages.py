"""The kinds of stage a pipeline is made of. A stage may return `Done(result)` to leave the pipeline early.

Every stage raises `Poison` for an item that can never succeed, `Retryable` for trouble that is not the item's fault
(retried with back-off, without limit), `Fatal` to end the process. Any other exception: see `failures.classify`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

Priority: TypeAlias = Literal["query", "urgent", "backfill"]
"""Queries overtake everything wherever they wait for the device; what is urgent overtakes backfill, three times in a row."""


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """The final result: the remaining stages are skipped (a delete, a memoised answer)."""

    result: R


RunAll: TypeAlias = Callable[[Sequence[T]], Awaitable[Sequence[Done[Any] | None]]]


@dataclass(frozen=True, slots=True)
class IoStage(Generic[T, U]):
    """Awaits: fetch, store, memo. At most `concurrency` items at once.

    Args:
        name: stage name, as it stands in metrics and dead letters.
        run: the work for one item.
        concurrency: items at once.
        size: bytes that the result keeps in memory beside its message; replaces the credits of before. None: unchanged.
        run_all: of the first stage: the results of items that arrived together, where they leave the pipeline at once; None for
            those that `run` has to be asked for, whatever is the matter with them. Costs a share of what `run` costs.
        run_all_of: so many have to have arrived for that.
        known: the result of an item that need not wait for its turn, or None for one that does.
        abandons: whether `run` is cancelled once the partition of its message is another worker's.
    """

    name: str
    run: Callable[[T], Awaitable[U | Done[Any]]]
    concurrency: int = 16
    size: Callable[[U], int] | None = None
    run_all: RunAll[T] | None = None
    run_all_of: int = 2
    known: Callable[[T], U | None] | None = None
    abandons: bool = False


def one(_item: Any) -> int:
    """The cost of an item where only their number counts."""
    return 1


@dataclass(frozen=True, slots=True)
class CpuStage(Generic[T, U]):
    """Computes in a thread: decode, prepare, finish. `run` must be thread-safe. `run_all`, `run_all_of`: as in `IoStage`.

    Args:
        name: stage name.
        run: the work for one item.
        size: as in `IoStage`.
        cost: of one item while it is worked on (pixels that a decoder unfolds).
        max_cost: largest total of `cost` at once; an item above it goes alone. 0: no limit.
        known: the result of an item that takes too little to be worth a thread, or None for one that does not. Asked on the event loop.
    """

    name: str
    run: Callable[[T], U | Done[Any]]
    size: Callable[[U], int] | None = None
    cost: Callable[[T], int] = one
    max_cost: int = 0
    run_all: RunAll[T] | None = None
    run_all_of: int = 2
    known: Callable[[T], U | None] | None = None


@dataclass(frozen=True, slots=True)
class DeviceStage(Generic[T, U]):
    """Computes in batches on the one device thread.

    A batch closes when it holds `max_items`, when the next item would exceed `max_cost`, when its first item has
    waited `wait_s`, or when the device is idle and nothing more is on its way to this stage.

    Args:
        name: stage name.
        run: a batch in, a list of the same length and order out. Called from one thread only.
        max_items: largest batch.
        max_cost: largest total of `cost` (pixels, tokens); an item above it goes alone. 0: no limit.
        cost: of one item.
        wait_s: longest wait of the first item, in seconds.
        linger_s: while items come more often than one in so many seconds, a batch waits so long for more, although the device is
            idle and none is on its way: for a network whose weights cost more to read than a few items to compute. Four times as
            long while they come nearly twice as often as that. 0: never.
        size: as in `IoStage`.
        known: the result of an item that needs no device, or None for one that does. Asked on the event loop.
        gives_way: whether `run` calls `Device.give_way` between its steps, so that what is urgent need not wait for its end.
    """

    name: str
    run: Callable[[Sequence[T]], list[U]]
    max_items: int = 16
    max_cost: int = 0
    cost: Callable[[T], int] = one
    wait_s: float = 0.02
    linger_s: float = 0.0
    size: Callable[[U], int] | None = None
    known: Callable[[T], U | None] | None = None
    gives_way: bool = False


Stage: TypeAlias = IoStage[Any, Any] | CpuStage[Any, Any] | DeviceStage[Any, Any]
