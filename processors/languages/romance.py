"""What French and Spanish share: every fact follows the noun, and adjectives agree with it in gender and number."""

from __future__ import annotations

from collections.abc import Mapping

from processors.languages.grammar import After, Noun, Words

Forms = tuple[str, str, str, str]
"""Masculine, feminine, and their plurals."""


def masculine(text: str) -> Noun:
    return Noun(text, "m")


def feminine(text: str) -> Noun:
    return Noun(text, "f")


def masculines(text: str) -> Noun:
    return Noun(text, "m", plural=True)


def feminines(text: str) -> Noun:
    return Noun(text, "f", plural=True)


def agreed(forms: Forms, noun: Noun) -> str:
    """The form that agrees with the noun."""
    return forms[2 * noun.plural + (noun.gender == "f")]


class Romance(Words):
    """The tables are the language's; a value that none of them has is left out."""

    joining = frozenset({"sleeve", "neckline"})

    agreeing: Mapping[str, Forms]
    """Colours that are adjectives; the others, `invariable`, are things ("marron") or pairs of words ("bleu marine")."""
    invariable: Mapping[str, str]
    pattern_adjectives: Mapping[str, Forms]
    patterns: Mapping[str, tuple[str, str]]
    """Pattern → its link and words ("à", "rayures")."""
    length_adjectives: Mapping[str, Forms]
    lengths: Mapping[str, str]
    sleeveless: After
    linked: Mapping[str, tuple[str, Mapping[str, str]]]
    """Facet → its link and its words by value."""

    def before(self, facet: str, values: tuple[str, ...], noun: Noun) -> str:  # noqa: ARG002
        """Nothing that Weft tells of a garment stands before the noun."""
        return ""

    def after(self, facet: str, values: tuple[str, ...], noun: Noun) -> After | None:
        """Such as "à rayures", "de lino", "à manches longues", "para mujer"."""
        value = values[0]
        if facet == "colour":
            return self.colour(values, noun)
        if facet == "pattern":
            if value in self.pattern_adjectives:
                return After("", agreed(self.pattern_adjectives[value], noun))
            return After(*self.patterns[value]) if value in self.patterns else None
        if facet == "length":
            adjective = self.length_adjectives.get(value)
            text = agreed(adjective, noun) if adjective else self.lengths.get(value, "")
            return After("", text) if text else None
        if facet == "sleeve" and value == "sleeveless":
            return self.sleeveless
        link, table = self.linked.get(facet, ("", {}))
        return After(link, table[value]) if value in table else None

    def colour(self, values: tuple[str, ...], noun: Noun) -> After | None:
        """One colour or several: whether several agree is the language's to say."""
