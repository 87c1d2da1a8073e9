"""What is to change between two garments, in words: written by grammar, and checked by reading it again.

The grammar is the writer where no language model is asked (FACap's second stage, arXiv 2507.07135); the check holds for both:
the modification, read by the rules that read shoppers and applied to the reference's facets, has to give the target's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processors.edit_text import parse_edit
from processors.fusion import edited_facets

EDITED: tuple[str, ...] = ("colour", "pattern", "sleeve", "neckline", "length", "fabric")
"""Facets that a modification may change; the kind of garment stays."""
KEPT: tuple[str, ...] = ("category", "kind", "gender")
"""Facets in which both garments of a pair are alike, where both are known."""
WORDINGS = 8
"""How many ways the grammar has to say one thing."""
MOST_CHANGES = 3
"""A shopper does not name more at once."""
_PATTERNS = {"solid": "plain", "dotted": "polka-dot", "colourblocked": "colour block"}
_UNSAID = frozenset({("length", "regular")})
"""Values that a shopper has no word for."""
_NECKS = {
    "collar": "a shirt collar",
    "polo": "a polo collar",
    "mandarin": "a mandarin collar",
    "hood": "a hood",
    "v": "a V-neck",
    "off-shoulder": "an off-the-shoulder neck",
}
_LENGTHS = {"knee": "knee-length"}


@dataclass(frozen=True, slots=True)
class Change:
    """One facet that differs."""

    facet: str
    before: str
    after: str


def changes_between(reference: Mapping[str, str], target: Mapping[str, str]) -> tuple[Change, ...] | None:
    """What differs, in the order of `EDITED`; None where a modification cannot say it.

    Args:
        reference: facet → value; what nobody knows is absent.
        target: likewise.

    Returns:
        None where the kinds of garment differ, a facet is known of the target alone or of the reference alone (it may differ,
        and nobody would say so), nothing differs, or more than `MOST_CHANGES` do.
    """
    if any(reference.get(f, "") != target.get(f, "") for f in KEPT):
        return None
    if any((f in reference) != (f in target) for f in EDITED):
        return None
    found = tuple(Change(f, reference[f], target[f]) for f in EDITED if f in reference and reference[f] != target[f])
    said = all((one.facet, one.after) not in _UNSAID for one in found)
    return found if said and 0 < len(found) <= MOST_CHANGES else None


def modification(changes: Sequence[Change], wording: int = 0) -> str:
    """The changes as a shopper says them.

    Args:
        changes: at least one.
        wording: any number; equal ones modulo `WORDINGS` give the same words.
    """
    phrases = [_phrase(one) for one in changes]
    joined = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
    first = changes[0]
    templates = (
        f"the same but {joined}",
        f"this, but {joined}",
        joined,
        f"I want it {joined}",
        f"can I get it {joined} instead?",
        " and ".join(_clause(one) for one in changes),
        f"like this, only {joined}",
        f"{_bare(first.facet, first.after)} instead of {_bare(first.facet, first.before)}"
        if len(changes) == 1 and first.facet in ("colour", "pattern", "fabric")
        else f"please {joined}",
    )
    return templates[wording % WORDINGS]


def applied(reference: Mapping[str, str], text: str) -> dict[str, str]:
    """The reference's facets as the words of a modification leave them."""
    return edited_facets(reference, parse_edit(text))


def is_consistent(reference: Mapping[str, str], text: str, target: Mapping[str, str]) -> bool:
    """Whether the modification says what differs, all of it, and nothing else.

    Facets that are known of the target alone count only where the words set them: of the others nobody knows what they were.
    """
    after = applied(reference, text)
    told = {facet for facet in EDITED + KEPT if facet in reference or after.get(facet)}
    return all(after.get(facet, "") == target.get(facet, "") for facet in told if facet in target or facet in after)


def _phrase(change: Change) -> str:
    facet, value = change.facet, change.after
    if facet in ("colour", "fabric"):
        return f"in {value}"
    if facet == "sleeve":
        return "without sleeves" if value == "sleeveless" else f"with {value} sleeves"
    if facet == "neckline":
        return f"with {_neck(value)}"
    return _bare(facet, value)


def _clause(change: Change) -> str:
    facet, value = change.facet, change.after
    if facet == "fabric":
        return f"is made of {value}"
    if facet == "sleeve" and value != "sleeveless":
        return f"has {value} sleeves"
    if facet == "neckline":
        return f"has {_neck(value)}"
    return f"is {_bare(facet, value)}"


def _bare(facet: str, value: str) -> str:
    """The value as an adjective."""
    if facet == "pattern":
        return _PATTERNS.get(value, value)
    return _LENGTHS.get(value, value) if facet == "length" else value


def _neck(value: str) -> str:
    return _NECKS.get(value, f"a {value} neck")
