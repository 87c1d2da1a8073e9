"""A network over a batch on a CPU: in parts, one part a core; how large a part is, a short trial finds out.

The maps of a whole batch fall out of a processor's caches, and are fetched from memory again by each layer; of single items
every layer costs its call. Where the best lies, only the machine at hand can tell. Each part runs on one thread: threads that
share a layer wait for each other at its end, some hundred times a batch, and for as long as another process holds one of
their cores. Whatever the parts, the results are the same to the bit.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.measured import Kept
from models.memory import is_out_of_memory, release_memory

T = TypeVar("T")
U = TypeVar("U")
Arrays = list[NDArray[np.float32]]

LARGEST = 4
"""No trial goes beyond it: it costs time at every start, and each core holds the maps of a part."""
TRIAL = "2"
"""Raise it when the code of a network that is tried changes: what was found out of the old one is not used."""
WORSE = 1.1
"""Twice as many at once must not take more than so many times as long for each item: maps that fall out of a cache cost more
than that, and what is less may be another process that ran meanwhile."""


class _Tried(msgspec.Struct, frozen=True):
    """How many items at once: a power of two."""

    part: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


def _is_worth_keeping(tried: _Tried) -> bool:
    return tried.part == LARGEST


class Parts(Generic[T, U]):
    """Runs items through a network, part by part; results in the order of the items.

    Args:
        run: the network over some items at once; thread-safe.
        part: how many; see `fastest_part`.
        alike: only items for which it gives the same share a part.
        cores: threads on which parts run beside each other, each computing alone. 1: the caller's.
        filled: each part has `part` items, the last ones filled up with its first. A GPU's kernels choose their order of summation by the
            shape, so that an item's result would depend on how many are beside it. Where so many do not fit the memory, they run as they are.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], list[U]],
        *,
        part: int,
        alike: Callable[[T], Hashable] = lambda _: None,
        cores: int = 1,
        filled: bool = False,
    ) -> None:
        self._run = run
        self._filled = filled
        self._part = part
        self._alike = alike
        self._cores = cores
        self._pool = _single_threads(cores) if cores > 1 else None

    @classmethod
    def tried(
        cls,
        run: Callable[[Sequence[T]], list[U]],
        items: Callable[[int], Sequence[T]],
        arrays: Callable[[U], NDArray[np.float32]],
        *,
        alike: Callable[[T], Hashable] = lambda _: None,
        kept: Kept | None = None,
        name: str = "",
    ) -> Parts[T, U]:
        """With the part that is fastest on this machine, on as many cores as torch has been given.

        The trial is most of what loading a network costs, so its answer is kept, but only the largest part: a smaller one may be the
        doing of another process that ran meanwhile.

        Args:
            run: as above.
            items: see `fastest_part`.
            arrays: all numbers of a result, to be compared.
            alike: as above.
            kept: answers for this network, this processor and this version of torch; None: it is tried each time.
            name: of the network and of how it computes, for the answer's file.
        """
        import torch

        made = cls(run, part=1, alike=alike, cores=torch.get_num_threads())

        def flat(some: Sequence[T]) -> Arrays:
            return [arrays(one) for one in run(some)]

        def trial() -> _Tried:
            # Where it is going to run: alone on its thread.
            pool = made._pool
            part = fastest_part(flat, items) if pool is None else pool.submit(fastest_part, flat, items).result()
            return _Tried(part)

        answer = trial() if kept is None else kept.recall(name, _Tried, trial, _is_worth_keeping, trial=TRIAL)
        made._part = answer.part
        return made

    @property
    def part(self) -> int:
        return self._part

    def __call__(self, items: Sequence[T]) -> list[U]:
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            groups[self._alike(item)].append(place)
        part = self._part if self._filled else min(self._part, _power_of_two(len(items) // self._cores))
        cut = _chunks if self._filled else parts_of
        parts = [places for group in groups.values() for places in cut(group, part)]
        work = [[items[place] for place in places] for places in parts]
        # A single part too: on the threads of the caller it would be rounded otherwise than in company.
        run = self._run_filled if self._filled else self._run
        done = map(run, work) if self._pool is None else self._pool.map(run, work)
        found = {
            place: result
            for places, some in zip(parts, done, strict=True)
            for place, result in zip(places, some, strict=True)
        }
        return [found[place] for place in range(len(items))]

    def _run_filled(self, some: Sequence[T]) -> list[U]:
        missing = self._part - len(some)
        try:
            return self._run([*some, *([some[0]] * missing)])[: len(some)]
        except (MemoryError, RuntimeError) as error:
            if not missing or not is_out_of_memory(error):
                raise
        release_memory()
        return self._run(some)


def _chunks(places: Sequence[int], part: int) -> list[Sequence[int]]:
    """As few as there can be."""
    return [places[start : start + part] for start in range(0, len(places), part)]


def _single_threads(count: int) -> ThreadPoolExecutor:
    """Threads on each of which torch computes alone."""
    import torch

    before = torch.get_num_threads()
    all_there = threading.Barrier(count)

    def alone() -> None:
        torch.get_num_threads()  # a thread's first question sets its number to that of all; later it would undo the next line
        torch.set_num_threads(1)
        all_there.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="parts")
    for started in [pool.submit(alone) for _ in range(count)]:
        started.result()
    # Torch keeps the number for each thread, and hands the last that was set to threads that are new.
    torch.set_num_threads(before)
    return pool


def _power_of_two(most: int) -> int:
    """The largest that is no larger than `most`, and 1 at least."""
    return 1 << (max(1, most).bit_length() - 1)


def parts_of(items: Sequence[T], part: int) -> list[Sequence[T]]:
    """Items cut into runs of `part`, then of the next smaller powers of two, in order; only sizes that were tried.

    >>> [len(one) for one in parts_of(range(11), 4)]
    [4, 4, 2, 1]
    """
    cut, start = [], 0
    while start < len(items):
        while part > len(items) - start:
            part //= 2
        cut.append(items[start : start + part])
        start += part
    return cut


def fastest_part(
    run: Callable[[Sequence[T]], Arrays],
    items: Callable[[int], Sequence[T]],
    *,
    largest: int = LARGEST,
    clock: Callable[[], float] = time.thread_time,
) -> int:
    """Double the number of items that run at once, as long as none takes longer for it and no result changes by a bit.

    An event must give the same bytes whatever it shares a batch with: a size whose results differ from those of items
    that run alone is not taken, nor is a larger one. So an unlucky measurement costs time, never a bit.

    Args:
        run: the network over some items at once.
        items: `items(n)` are the first n of a sequence of items that differ.
        largest: at most so many at once.
        clock: seconds. By default those that this thread computed: while a stack starts, its other processes take turns
            with it, and the wall's clock would measure them.

    Returns:
        1, 2, 4 …
    """
    first, second = items(2)
    alone = run([first])  # the first run of a size prepares it
    results, fewest = _timed(run, [second], clock)
    alone += results
    part = 1
    while part * 2 <= largest:
        twice = part * 2
        some = items(2 * twice)
        together = run(some[:twice])
        if any(one.tobytes() != other.tobytes() for one, other in zip(together, alone, strict=True)):
            return part
        more, seconds = _timed(run, some[twice:], clock)
        if seconds > WORSE * fewest:
            return part
        part, fewest, alone = twice, seconds, together + more
    return part


def _timed(
    run: Callable[[Sequence[T]], Arrays], items: Sequence[T], clock: Callable[[], float]
) -> tuple[Arrays, float]:
    """Results, and seconds for each item."""
    started = clock()
    results = run(items)
    return results, (clock() - started) / len(items)
