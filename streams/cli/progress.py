"""How far a long command is, on stderr: a bar where a person watches, in a log file a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.yardsticks.photos import Tick
from streams.cli.output import err, say

LINE_SECONDS = 15.0
"""Between two lines where nobody watches a bar."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Tick]:
    """Shows how many of `total` are done, as long as the block runs."""
    if not err.is_terminal:
        yield _lines(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bars:
        task = bars.add_task(what, total=total)
        yield lambda done: bars.advance(task, done)


def _lines(what: str, total: int) -> Tick:
    """Says how far it is every `LINE_SECONDS`, and at the end."""
    done, told = 0, time.monotonic()

    def tick(more: int) -> None:
        nonlocal done, told
        done += more
        if done >= total or time.monotonic() - told >= LINE_SECONDS:
            told = time.monotonic()
            say(f"{what}: {done} of {total}")

    return tick
