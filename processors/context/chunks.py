"""Chunks of a text, and which of them a caption may draw on ("Beyond Vision": windows of three sentences).

The best by likeness to the caption, with the first and the last, within a bound; what says the same is one chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

WINDOW = 3
LEAST, SHARE, MOST = 5, 0.3, 10
"""Chunks that are kept: this many or this share of all, whichever is more, and no more than the last."""
MAX_CHARACTERS = 6000
SAME = 0.9
"""Share of their words that two chunks have in common, from which on they are one."""

_WORD = re.compile(r"[^\W_]+")


class Chunk(msgspec.Struct, frozen=True):
    """Up to three sentences in a row. `number`: of the first of them in the text, from 0."""

    number: int
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """As one text."""
        return " ".join(self.sentences)


class Scored(msgspec.Struct, frozen=True):
    """A chunk and its likeness to the caption, -1 to 1."""

    chunk: Chunk
    score: float


def windows(sentences: Sequence[str], width: int = WINDOW) -> tuple[Chunk, ...]:
    """Every run of `width` sentences; near-duplicates once, the first of them."""
    last = max(1, len(sentences) - width + 1) if sentences else 0
    kept: list[Chunk] = []
    seen: list[frozenset[str]] = []
    for number in range(last):
        chunk = Chunk(number, tuple(sentences[number : number + width]))
        words = frozenset(_WORD.findall(chunk.text.casefold()))
        # Windows that overlap share two thirds of their words: below `SAME`.
        if words and not any(_alike(words, other) for other in seen):
            kept.append(chunk)
            seen.append(words)
    return tuple(kept)


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    if min(len(one), len(other)) < SAME * max(len(one), len(other)):
        return False
    return len(one & other) >= SAME * len(one | other)


def choose(
    chunks: Sequence[Chunk], scores: Sequence[float], more: Sequence[float] = (), *, keep: int = 0, ends: bool = True
) -> tuple[Scored, ...]:
    """The chunks that may be drawn on, in the order of the text.

    Args:
        chunks: of one text.
        scores: likeness of each to the caption.
        more: what is added to each likeness to rank them: how much a chunk tells.
        keep: how many by likeness; 0: as many as `LEAST`, `SHARE` and `MOST` say.
        ends: whether the first and the last are kept whatever their likeness.
    """
    wanted = keep or min(MOST, max(LEAST, round(SHARE * len(chunks))))
    ranked = sorted(range(len(chunks)), key=lambda n: (-scores[n] - (more[n] if more else 0.0), n))
    # The first sentences say what a text is about, and the last ones who stands for it.
    outer = [n for n in (0, len(chunks) - 1) if ends and 0 <= n < len(chunks)]
    taken: set[int] = set()
    room = MAX_CHARACTERS
    for n in dict.fromkeys([*outer, *ranked[:wanted]]):
        if len(chunks[n].text) <= room:
            taken.add(n)
            room -= len(chunks[n].text)
    return tuple(Scored(chunks[n], scores[n]) for n in sorted(taken))
