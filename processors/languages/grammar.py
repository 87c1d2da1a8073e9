"""What a language is to a caption: its words for what garments are, and where in a phrase they stand.

A phrase is a row of pieces, each of which states one facet of one garment or nothing; so a caption knows where its claims are
without reading itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Gender = Literal["m", "f", "n"]

ORDERED: tuple[str, ...] = ("audience", "length", "colour", "pattern", "sleeve", "neckline", "fabric", "kind")
"""What a phrase is made of, by the names that a brand kit uses: "kind" is the noun, "audience" whose clothes they are."""


@dataclass(frozen=True, slots=True)
class Noun:
    """What a garment is called: `text` as it stands in a sentence ("Schuhe" is `plural`)."""

    text: str
    gender: Gender = "n"
    plural: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words. `facet`: what it states of the garment ("" nothing), by the names of spans ("category", "gender", "pattern")."""

    text: str
    facet: str = ""


@dataclass(frozen=True, slots=True)
class After:
    """A fact that follows the noun: `link` ("with", "" none) is said once where neighbours share it, and `text` is joined by "and"."""

    link: str
    text: str


class Words(Protocol):
    """The grammar of one language. Values are Weft's canonical ones; what a language has no word for is left out ("" or None)."""

    code: str
    nouns: Mapping[str, Noun]
    """By kind or category; what it lacks is called by its category."""
    order: tuple[str, ...]
    """The usual order of facts (`ORDERED`)."""
    conjunction: str
    commas: frozenset[str]
    """Facts after the noun that a comma sets apart."""
    joining: frozenset[str]
    """Facts after the noun that share one "with": "with dots, long sleeves and a V-neckline"."""
    frames: Mapping[str, tuple[str, ...]]
    """By tone: sentences around `{a}`, the phrase of the product with its article; `{A}` at a sentence's start."""
    bare: frozenset[str]
    """Tones in which the phrase stands without its article, as a heading."""
    others: str
    """The sentence of what is worn with it, around `{others}`."""
    made_of: str
    """The sentence of the fabric, around `{fabric}`."""
    detailed: str
    """The sentence of details (sleeve, neckline), around `{details}`."""
    made_for: str
    """The sentence of the audience, around `{audience}`."""
    neutral: tuple[str, ...]
    """Sentences of a product of which nothing is known."""
    tags: tuple[str, ...]
    """Hashtags that claim nothing."""

    def before(self, facet: str, values: tuple[str, ...], noun: Noun) -> str:
        """The fact as words before the noun ("navy and white"), agreeing with it, or ""."""
        ...

    def after(self, facet: str, values: tuple[str, ...], noun: Noun) -> After | None:
        """The fact as words behind the noun ("with long sleeves"), or None."""
        ...

    def article(self, noun: Noun, text: str) -> str:
        """The phrase with its indefinite article; a plural may have none."""
        ...


def joined(words: tuple[str, ...], conjunction: str) -> str:
    """Such as "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"
