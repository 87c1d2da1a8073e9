"""How near texts are to others that were written of the same thing: BLEU, ROUGE-L and CIDEr-D, as they were published.

Words are lower case, without punctuation. They tell likeness of wording, not truth: a caption that says "navy" where the other
says "dark blue" loses, and one that invents a pocket hardly does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from models.yardsticks.diversity import Gram, grams

SIZES = (1, 2, 3, 4)
_ROUGE_BETA = 1.2
_CIDER_SIGMA = 6.0
_TINY = 1e-12


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 (Papineni et al. 2002), 0..1, without smoothing; NaN of no text.

    Args:
        texts: n of them.
        references: of each text at least one; n-grams count as often as the reference that has them most often.
    """
    if not texts:
        return float("nan")
    matched, there = [0] * len(SIZES), [0] * len(SIZES)
    length = nearest = 0
    for text, others in zip(texts, references, strict=True):
        for at, size in enumerate(SIZES):
            own = Counter(grams(text, size))
            most: Counter[Gram] = Counter()
            for other in others:
                most |= Counter(grams(other, size))
            matched[at] += (own & most).total()
            there[at] += own.total()
        own_length = len(grams(text, 1))
        length += own_length
        nearest += min((len(grams(other, 1)) for other in others), key=lambda one: (abs(one - own_length), one))
    if min(matched) == 0 or length == 0:
        return 0.0
    shares = sum(math.log(one / of) for one, of in zip(matched, there, strict=True)) / len(SIZES)
    return math.exp(min(0.0, 1 - nearest / length) + shares)


def rouge_l(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean ROUGE-L (Lin 2004), 0..1: F of the longest common subsequence, recall weighted by 1.2², of the best reference for each."""
    if not texts:
        return float("nan")
    return sum(map(_rouge_l, texts, references)) / len(texts)


def _rouge_l(text: str, references: Sequence[str]) -> float:
    words = [gram[0] for gram in grams(text, 1)]
    recall = precision = 0.0
    for reference in references:
        others = [gram[0] for gram in grams(reference, 1)]
        common = _longest_common(words, others)
        recall = max(recall, common / len(others) if others else 0.0)
        precision = max(precision, common / len(words) if words else 0.0)
    weight = _ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision) if precision and recall else 0.0


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    before = [0] * (len(other) + 1)
    for word in one:
        row = [0]
        for at, theirs in enumerate(other):
            row.append(before[at] + 1 if word == theirs else max(before[at + 1], row[at]))
        before = row
    return before[-1]


def cider(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr-D (Vedantam et al. 2015), 0..10: cosines of tf-idf over n-grams, clipped, with a penalty for another length.

    Document frequencies are of these references: figures of other sets of products are not comparable.
    """
    if not texts:
        return float("nan")
    held = [[_counts(other) for other in others] for others in references]
    seen: Counter[Gram] = Counter()
    for others in held:
        seen.update({gram for other in others for gram in other})
    log_of_all = math.log(len(texts))

    def weighed(counts: Counter[Gram]) -> tuple[list[dict[Gram, float]], list[float], int]:
        vectors: list[dict[Gram, float]] = [{} for _ in SIZES]
        for gram, count in counts.items():
            vectors[len(gram) - 1][gram] = count * (log_of_all - math.log(max(1, seen[gram])))
        norms = [math.sqrt(sum(value * value for value in vector.values())) for vector in vectors]
        # The published code measures length in pairs of words.
        return vectors, norms, sum(count for gram, count in counts.items() if len(gram) == 2)

    total = 0.0
    for text, others in zip(texts, held, strict=True):
        own, own_norms, own_length = weighed(_counts(text))
        sums = 0.0
        for other in others:
            theirs, norms, length = weighed(other)
            penalty = math.exp(-((own_length - length) ** 2) / (2 * _CIDER_SIGMA**2))
            for mine, their, norm, other_norm in zip(own, theirs, own_norms, norms, strict=True):
                inner = sum(min(value, their.get(gram, 0.0)) * their.get(gram, 0.0) for gram, value in mine.items())
                sums += penalty * inner / max(norm * other_norm, _TINY) if norm and other_norm else 0.0
        total += 10 * sums / len(SIZES) / len(others)
    return total / len(texts)


def _counts(text: str) -> Counter[Gram]:
    return Counter(gram for size in SIZES for gram in grams(text, size))
