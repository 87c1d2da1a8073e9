"""Which pairs of garments become triplets, and what a modification of each is called (FACap, arXiv 2507.07135, as a stream job)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from processors.modifications import EDITED, KEPT, Change, changes_between, is_consistent, modification

PROMPT = (
    "Generate a concise instruction that modifies the original description based on the given change.\n"
    "Original description: {reference}\nDescription after the change: {target}\nChange: {changes}\nInstruction:"
)
"""Of a language model that words the modification (LLaVA-aided two-stage training)."""
CAPTION_PROMPT = "Describe this fashion item in detail, focusing on color, pattern, texture, and style. Highlight any distinctive elements."
"""Of a vision-language model that captions a photo (the same)."""
MOST_WORDS = 60
"""A longer answer of a language model is no instruction."""


@dataclass(frozen=True, slots=True)
class Garment:
    """One side of a pair. `product`: its key; `image`: address of its photo; `facets`: what is known of it for sure."""

    product: str
    image: str
    facets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """Reference and target, and what differs. `rank`: of the target among the reference's nearest, from 1; 0: it was chosen from the other side."""

    reference: Garment
    target: Garment
    changes: tuple[Change, ...]
    rank: int
    similarity: float

    @property
    def id(self) -> str:
        """Of the triplet: the same for the same two products, whatever is known of them."""
        return triplet_id(self.reference.product, self.target.product)


def triplet_id(reference: str, target: str) -> str:
    """24 hex digits from both keys; their lengths count."""
    digest = hashlib.sha256()
    for key in (reference, target):
        data = key.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()[:24]


def comparable(facets: Mapping[str, str]) -> dict[str, str]:
    """Those that a modification keeps or changes, in a fixed order."""
    return {facet: facets[facet] for facet in (*KEPT, *EDITED) if facets.get(facet)}


def pairs_of(one: Garment, near: Sequence[tuple[Garment, float]], most: int) -> list[Pair]:
    """`one` with the nearest garments that differ from it in what words can say, in both directions.

    Args:
        one: the garment that has come.
        near: others of the same kind and their similarity, nearest first.
        most: of each direction. No two targets that need the same modification are taken: they would be each other's false negatives.
    """
    found: list[Pair] = []
    said: set[tuple[tuple[str, str], ...]] = set()
    for rank, (other, similarity) in enumerate(near, 1):
        changes = changes_between(one.facets, other.facets)
        back = changes_between(other.facets, one.facets)
        if changes is None or back is None:
            continue
        words = tuple((change.facet, change.after) for change in changes)
        if words in said:
            continue
        said.add(words)
        found.append(Pair(one, other, changes, rank, similarity))
        found.append(Pair(other, one, back, 0, similarity))
        if len(said) == most:
            break
    return found


def still(reference: Garment, target: Garment, similarity: float) -> Pair | None:
    """A pair of before with what is known now; None where no words lead from the one to the other any more."""
    changes = changes_between(reference.facets, target.facets)
    return None if changes is None else Pair(reference, target, changes, 0, similarity)


def by_grammar(pair: Pair) -> str:
    """The modification by rules; which of the wordings, the pair's id says."""
    return modification(pair.changes, int(pair.id[:8], 16))


def prompt_of(pair: Pair, reference: str, target: str) -> str:
    """What a language model is asked, of the two captions."""
    changes = "; ".join(f"{change.facet} from {change.before} to {change.after}" for change in pair.changes)
    return PROMPT.format(reference=reference, target=target, changes=changes)


def accepted(pair: Pair, written: str) -> str:
    """What a language model wrote, where it says what differs and nothing else; else ""."""
    text = " ".join(written.split()).strip("\"' ")
    if not text or len(text.split()) > MOST_WORDS:
        return ""
    return text if is_consistent(pair.reference.facets, text, pair.target.facets) else ""


def checked(pairs: Iterable[Pair]) -> list[tuple[Pair, str]]:
    """Each pair with its modification by rules; those whose words do not lead from the one to the other are left out."""
    worded = [(pair, by_grammar(pair)) for pair in pairs]
    return [(pair, text) for pair, text in worded if accepted(pair, text)]
