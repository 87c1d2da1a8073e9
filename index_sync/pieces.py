"""Long work of one thread in pieces, between which others have their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

PIECE = 32
"""Products that are restored between two pauses: some two milliseconds of it."""

Between: TypeAlias = Callable[[], None] | None
"""Called in the thread that works, between two pieces; None: it works through."""

T = TypeVar("T")


def in_pieces(items: Iterable[T], between: Between, piece: int = PIECE) -> Iterator[T]:
    """The items; `between` is called before each piece of them."""
    for number, item in enumerate(items):
        if between is not None and number % piece == 0:
            between()
        yield item
