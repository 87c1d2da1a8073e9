"""Triplets of pictures that were looked at: which pair differs in what, how that is said, and what else a query may mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.recipes.composer_gather import Pictures
from models.recipes.composer_settings import ComposerRecipe
from processors import fusion
from processors.errors import Poison
from processors.modifications import EDITED, KEPT, MOST_CHANGES, WORDINGS, Change, modification

COMPARED: tuple[str, ...] = (*KEPT, *EDITED)
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Triplets:
    """n triplets, by the numbers of their pictures and of their texts.

    Args:
        reference: (n,) pictures.
        target: (n,) pictures.
        words: (n,) texts: the modification.
        caption: (n,) texts: what the reference is; `wrong`: the same with one facet of another value.
        wrong: see there.
        told: (n,) texts: what the target is.
        synthetic: (n, k) texts: what the target is, one attribute replaced.
        texts: all texts; each once.
    """

    reference: NDArray[np.int64]
    target: NDArray[np.int64]
    words: NDArray[np.int64]
    caption: NDArray[np.int64]
    wrong: NDArray[np.int64]
    told: NDArray[np.int64]
    synthetic: NDArray[np.int64]
    texts: tuple[str, ...]


def told_changes(reference: Mapping[str, str], target: Mapping[str, str]) -> tuple[Change, ...] | None:
    """What the words of a pair of one series say; None where they cannot say all of it.

    A facet that nobody knows of the reference is said as a change: what is dyed or cut from new cloth may have had any.
    """
    if any(facet in reference and facet not in target for facet in EDITED):
        return None
    found = tuple(
        Change(facet, reference.get(facet, ""), target[facet])
        for facet in EDITED
        if facet in target and reference.get(facet) != target[facet]
    )
    return found if 0 < len(found) <= MOST_CHANGES else None


def triplets_of(pictures: Pictures, recipe: ComposerRecipe, *, held_out: bool) -> Triplets:
    """Pairs within each series of one side of the split, at most `recipe.pairs`, evened over the facet that changes.

    Raises:
        Poison: there are none.
    """
    rng = np.random.default_rng([recipe.seed, int(held_out)])
    members: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(pictures.held_out == held_out):
        members[int(pictures.series[row])].append(int(row))
    pairs: list[tuple[int, int, tuple[Change, ...]]] = []
    for rows in members.values():
        for one in rows:
            for other in rows:
                changes = None if one == other else told_changes(pictures.facets[one], pictures.facets[other])
                if changes is not None:
                    pairs.append((one, other, changes))
    if not pairs:
        raise Poison("no pair of pictures differs in what words can say")
    return _worded(_evened(pairs, recipe.pairs, rng), pictures, recipe, rng)


def _evened(
    pairs: list[tuple[int, int, tuple[Change, ...]]], most: int, rng: np.random.Generator
) -> list[tuple[int, int, tuple[Change, ...]]]:
    """Colours change most easily: what changes less often is drawn more often, up to the square root of the shares."""
    counts: dict[str, int] = defaultdict(int)
    for _, _, changes in pairs:
        counts[_rarest(changes)] += 1
    shares = np.array([1 / np.sqrt(counts[_rarest(changes)]) for _, _, changes in pairs])
    chosen = rng.choice(len(pairs), min(most, len(pairs)), replace=False, p=shares / shares.sum())
    return [pairs[int(n)] for n in chosen]


def _rarest(changes: Sequence[Change]) -> str:
    return next((one.facet for one in changes if one.facet != "colour"), "colour")


def _worded(
    pairs: Sequence[tuple[int, int, tuple[Change, ...]]],
    pictures: Pictures,
    recipe: ComposerRecipe,
    rng: np.random.Generator,
) -> Triplets:
    numbers: dict[str, int] = {}

    def text(words: str) -> int:
        return numbers.setdefault(words, len(numbers))

    values = _values(pictures.facets)
    columns: list[list[int]] = [[] for _ in range(6)]
    synthetic = []
    for one, other, changes in pairs:
        before, after = pictures.facets[one], pictures.facets[other]
        wording = int(rng.integers(WORDINGS if all(change.before for change in changes) else WORDINGS - 1))
        row = (
            one,
            other,
            text(modification(changes, wording)),
            text(fusion.caption_of(before)),
            text(fusion.caption_of(_replaced(before, values, rng))),
            text(fusion.caption_of(after)),
        )
        for column, number in zip(columns, row, strict=True):
            column.append(number)
        count = recipe.negatives.synthetic
        synthetic.append([text(fusion.caption_of(_replaced(after, values, rng))) for _ in range(count)])
    reference, target, words, caption, wrong, told = (np.array(column, np.int64) for column in columns)
    others = np.array(synthetic, np.int64).reshape(len(pairs), -1)
    return Triplets(reference, target, words, caption, wrong, told, others, tuple(numbers))


def _values(facets: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Facet → the values that occur."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in facets:
        for facet in EDITED:
            if facet in one:
                found[facet].add(one[facet])
    return {facet: sorted(some) for facet, some in found.items()}


def _replaced(
    facets: Mapping[str, str], values: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> dict[str, str]:
    """With one attribute of another value; unchanged where there is no other."""
    open_facets = [facet for facet in EDITED if facet in facets and len(values[facet]) > 1]
    if not open_facets:
        return dict(facets)
    facet = str(rng.choice(open_facets))
    return {**facets, facet: str(rng.choice([value for value in values[facet] if value != facets[facet]]))}


def numbered(facets: Sequence[Mapping[str, str]]) -> NDArray[np.int16]:
    """(n, COMPARED): values as numbers, `UNKNOWN` where a facet is not known."""
    found = np.full((len(facets), len(COMPARED)), UNKNOWN, np.int16)
    seen: dict[tuple[str, str], int] = {}
    for row, one in enumerate(facets):
        for column, facet in enumerate(COMPARED):
            if facet in one:
                found[row, column] = seen.setdefault((facet, one[facet]), len(seen))
    return found


def maybe_right(wanted: NDArray[np.int16], shown: NDArray[np.int16]) -> NDArray[np.bool_]:
    """(n, m): whether nothing that is known of a picture contradicts what is wanted: it is no negative."""
    alike = np.ones((len(wanted), len(shown)), np.bool_)
    for column in range(wanted.shape[1]):
        one, other = wanted[:, column, None], shown[None, :, column]
        alike &= (one == other) | (one == UNKNOWN) | (other == UNKNOWN)
    return alike
