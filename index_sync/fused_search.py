"""The best products by inner product and words together, exactly: no more of them are scored than can be among the best.

Words and facets are added to the inner products of all rows (`composed.candidates`). Where a segment has an approximate index, words alone
are not worth a scan: a product that the vectors' own search did not bring has at most the last score of those that it brought. So it can
be among the best only if its words make up for the rest, and those products are few: they are scored one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from index_sync import composed
from index_sync.asking import Ask, Candidate, Part
from index_sync.lexical_search import Mask, Weights
from index_sync.search import Rough, best_rows, candidate_of, rough_best, rows_scores, slack_of
from index_sync.segment import Rows
from processors.ordering import DIGITS
from processors.values import Vector

_ROUNDING = 1e-5
"""More than float32 sums of some dozen words are off."""


class Fused:
    """How `index_sync.search.search` finds the nearest where words count."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._added: dict[int, Vector] = {}

    def __call__(self, parts: Sequence[Part], ask: Ask) -> list[Candidate]:
        """The `k` best by score descending, then product id; `Candidate.score` has both, `similarity` the inner product."""
        if not parts:
            return []
        if ask.blocks or all(part.window.segment.index is None for part in parts):
            more = [self._words(part) for part in parts]
            sums = [composed.sums_of(part, ask.blocks) for part in parts] if ask.blocks else []
            if sums:
                more = [words + own for words, own in zip(more, sums, strict=True)]
            return self._chosen(parts, Rough(*composed.candidates(parts, ask.query, ask.need, more)), ask, sums)
        parts, found = rough_best(parts, ask)
        more = [self._kept_words(part) for part in parts]
        everything = len(found.rows) == sum(part.kept for part in parts)
        if not everything:
            found = self._with_others(parts, found, more, ask)
        return self._chosen(parts, self._pruned(parts, found, more, ask), ask)

    def _words(self, part: Part) -> Vector:
        """What words add to each product of a part."""
        if part.number not in self._added:
            self._added[part.number] = self._weights.added(part.number)
        return self._added[part.number]

    def _kept_words(self, part: Part) -> Vector:
        """What words add to each product of a part; -inf for those that are filtered out."""
        added = self._words(part)
        if part.mask is None:
            return added
        kept = np.zeros(len(added), dtype=np.bool_)
        kept[part.window.segment.columns.owner[: part.window.rows][part.mask]] = True
        return np.where(kept, added, -np.inf).astype(np.float32)

    def _with_others(self, parts: Sequence[Part], found: Rough, more: Sequence[Vector], ask: Ask) -> Rough:
        slack = slack_of(ask.query) + _ROUNDING
        unseen = float(found.scores[-1]) + slack  # at most, of a row that is not in `found`
        seen = [np.zeros(len(added), dtype=np.bool_) for added in more]
        for number, part in enumerate(parts):
            seen[number][_owners(part, found.rows[found.parts == number])] = True
        # Those with the most words first: what they reach spares most of the others.
        best = _most(more, ask.need)
        found = self._scored(parts, found, best, seen, ask)
        least = self._least(parts, found, more, ask.need)
        if least is None:
            return found
        floor = max(least - slack - unseen, _ROUNDING)
        return self._scored(parts, found, [added >= floor for added in more], seen, ask)

    @staticmethod
    def _scored(parts: Sequence[Part], found: Rough, chosen: Sequence[Mask], seen: list[Mask], ask: Ask) -> Rough:
        """`found` and the rows of the chosen products. Those that were seen keep the best row that they have."""
        scores, numbers, rows = [found.scores], [found.parts], [found.rows]
        for number, (part, wanted) in enumerate(zip(parts, chosen, strict=True)):
            products = np.flatnonzero(wanted & ~seen[number])
            if len(products):
                seen[number][products] = True
                own = _rows_of(part, products)
                inner = rows_scores(part, own, ask.query)
                scores.append(inner)
                numbers.append(np.full(len(own), number, dtype=np.int64))
                rows.append(own)
        return Rough(np.concatenate(scores), np.concatenate(numbers), np.concatenate(rows))

    @staticmethod
    def _together(parts: Sequence[Part], found: Rough, more: Sequence[Vector]) -> Vector:
        sums = found.scores.astype(np.float32, copy=True)
        for number, part in enumerate(parts):
            here = found.parts == number
            sums[here] += more[number][_owners(part, found.rows[here])]
        return sums

    def _least(self, parts: Sequence[Part], found: Rough, more: Sequence[Vector], need: int) -> float | None:
        """The rough score of the `need`-th product; None where there are fewer."""
        sums = self._together(parts, found, more)
        ids: set[str] = set()
        for place in np.argsort(-sums, kind="stable").tolist():
            columns = parts[found.parts[place]].window.segment.columns
            ids.add(columns.ids[columns.owner[found.rows[place]]])
            if len(ids) == need:
                return float(sums[place])
        return None

    def _pruned(self, parts: Sequence[Part], found: Rough, more: Sequence[Vector], ask: Ask) -> Rough:
        """Less what is certainly not among the best."""
        least = self._least(parts, found, more, ask.need)
        if least is None:
            return found
        kept = self._together(parts, found, more) >= least - 2 * (slack_of(ask.query) + _ROUNDING)
        return Rough(found.scores[kept], found.parts[kept], found.rows[kept])

    def _chosen(self, parts: Sequence[Part], found: Rough, ask: Ask, sums: Sequence[Vector] = ()) -> list[Candidate]:
        candidates = [candidate_of(parts, *one) for one in best_rows(parts, found, ask, sums)]
        together = [
            msgspec.structs.replace(one, score=one.score + told.added, similarity=one.score, told=told)
            for one in candidates
            if (told := self._weights.told(one.number, one.ordinal)) is not None
        ]
        best: dict[str, Candidate] = {}
        for one in together:
            if one.product_id not in best or one.score > best[one.product_id].score:
                best[one.product_id] = one
        ranked = sorted(best.values(), key=lambda one: (-round(one.score, DIGITS), one.product_id))
        return [one for one in ranked if one.product_id not in ask.exclude_products][: ask.k]


def _owners(part: Part, rows: Rows) -> Rows:
    owners: Rows = part.window.segment.columns.owner[rows].astype(np.int64)
    return owners


def _most(more: Sequence[Vector], need: int) -> list[Mask]:
    """The products with the most words of all parts, `need` of them and some more, as far as they have any."""
    together = np.concatenate(more)
    chosen: Mask = together > _ROUNDING
    most = need + 16
    if int(np.count_nonzero(chosen)) > most:
        places = np.argpartition(-together, most)[:most]
        chosen = np.zeros(len(together), dtype=np.bool_)
        chosen[places] = True
    return np.split(chosen, np.cumsum([len(added) for added in more])[:-1])


def _rows_of(part: Part, products: Rows) -> Rows:
    """The kept rows of some products."""
    starts = part.window.segment.columns.words.starts.view()
    first = starts[products].astype(np.int64)
    counts = starts[products + 1].astype(np.int64) - first
    rows: Rows = np.repeat(first - np.concatenate(([0], np.cumsum(counts)[:-1])), counts) + np.arange(counts.sum())
    return rows if part.mask is None else rows[part.mask[rows]]
