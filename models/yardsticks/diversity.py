"""How varied a set of texts is: distinct n-grams, self-BLEU, and repetition inside one text."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence

Gram = tuple[str, ...]
SMALLEST = 0.1
"""Matches that a precision of nothing counts as, or one missing n-gram would make a BLEU of zero."""


def grams(text: str, n: int) -> list[Gram]:
    """The n-grams of a text's words, lower case, punctuation dropped."""
    words = re.findall(r"[^\W_]+", text.lower())
    return list(zip(*(words[k:] for k in range(n)), strict=False))


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Distinct n-grams over all n-grams (arXiv 1510.03055); higher is more varied, and falls as texts are added."""
    found = [gram for text in texts for gram in grams(text, n)]
    return len(set(found)) / len(found) if found else float("nan")


def self_bleu(texts: Sequence[str], n: int = 3, sample: int = 100, seed: int = 0) -> float:
    """Mean BLEU-n of each of `sample` texts against all others of the sample (arXiv 1802.01886); lower is more varied.

    With the brevity penalty of BLEU against the reference nearest in length. NaN of fewer than two texts.
    """
    chosen = list(texts) if len(texts) <= sample else random.Random(seed).sample(list(texts), sample)
    if len(chosen) < 2:
        return float("nan")
    logs = [0.0] * len(chosen)
    for size in range(1, n + 1):
        counted = [Counter(grams(text, size)) for text in chosen]
        most = _most(counted)
        for at, mine in enumerate(counted):
            matched = sum(min(count, _of_others(most[gram], at)) for gram, count in mine.items())
            logs[at] += math.log(max(matched, SMALLEST) / max(1, mine.total())) / n
    lengths = [len(grams(text, 1)) for text in chosen]
    scores = []
    for at, length in enumerate(lengths):
        nearest = min((*lengths[:at], *lengths[at + 1 :]), key=lambda other: (abs(other - length), other))
        scores.append(math.exp(min(0.0, 1 - nearest / max(1, length)) + logs[at]))
    return sum(scores) / len(scores)


def _most(counted: Sequence[Counter[Gram]]) -> dict[Gram, tuple[int, int, int]]:
    """Of each n-gram: the most that one text has, which text, and the most that any other has.

    A union of the other texts' counts for each text would cost the cube of their number.
    """
    most: dict[Gram, tuple[int, int, int]] = {}
    for at, mine in enumerate(counted):
        for gram, count in mine.items():
            first, owner, second = most.get(gram, (0, -1, 0))
            most[gram] = (count, at, first) if count > first else (first, owner, max(second, count))
    return most


def _of_others(most: tuple[int, int, int], at: int) -> int:
    return most[2] if most[1] == at else most[0]


def repetition(text: str, n: int = 3) -> float:
    """Share of a text's n-grams that stood in it before; 0 of a text shorter than n words."""
    found = grams(text, n)
    return 1 - len(set(found)) / len(found) if found else 0.0
