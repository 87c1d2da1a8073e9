"""Threads of one purpose: what waits for a store must not wait behind what waits for something else."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

STORE_THREADS = 32
"""Sixteen photos are read at once by one role, and memos and snapshots are written meanwhile. asyncio's own threads are
cores + 4, shared with DNS look-ups: on a small machine six photos were read at once, and a store that hung held up DNS.
`S3Store` keeps as many connections."""


class InThread(Protocol):
    """Runs a blocking call beside the loop, as `asyncio.to_thread` does."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """What `call` returns or raises."""
        ...


@contextmanager
def threads(count: int, name: str) -> Iterator[InThread]:
    """At most `count` calls at once, in threads called `name`; calls beyond that wait in order.

    At the end calls that have not begun are cancelled; those that run are not waited for.
    """
    executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        context = contextvars.copy_context()
        work = functools.partial(context.run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    try:
        yield run
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
