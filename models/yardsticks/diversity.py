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
    return sum(_bleu(text, [*chosen[:at], *chosen[at + 1 :]], n) for at, text in enumerate(chosen)) / len(chosen)


def _bleu(text: str, others: Sequence[str], n: int) -> float:
    logs = []
    for size in range(1, n + 1):
        mine = Counter(grams(text, size))
        best: Counter[Gram] = Counter()
        for other in others:
            best |= Counter(grams(other, size))
        logs.append(math.log(max((mine & best).total(), SMALLEST) / max(1, mine.total())))
    length = len(grams(text, 1))
    nearest = min((len(grams(other, 1)) for other in others), key=lambda size: (abs(size - length), size))
    brevity = min(0.0, 1 - nearest / max(1, length))
    return math.exp(brevity + sum(logs) / n)


def repetition(text: str, n: int = 3) -> float:
    """Share of a text's n-grams that stood in it before; 0 of a text shorter than n words."""
    found = grams(text, n)
    return 1 - len(set(found)) / len(found) if found else 0.0
