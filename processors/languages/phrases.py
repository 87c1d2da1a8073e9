"""Phrases and sentences of facts, in any of the languages, with the place of each claim.

What they state is what the evidence says (`processors.evidence`); a value for which a language has no word is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from processors.evidence import attribute, colours, kind_noun, worth_stating
from processors.languages.grammar import After, Noun, Piece, Words
from processors.values import Evidence, Garment, Span
from processors.vocabulary import FACETS, canonical, clean

Allowed = Callable[[str], bool]
"""Whether words may stand in a text: what a brand bans may not."""

FIRST_TO_GO: tuple[str, ...] = ("neckline", "length", "sleeve", "audience", "pattern", "fabric", "colour")
"""Of a text that is too long, what is left out first."""
_DENYING = frozenset({"without", "ohne", "sans", "sin"})
"""Links behind which the next fact's own link is joined by "and": "without sleeves and with a V-neckline"."""
_CLAIMED = {"kind": "category", "audience": "gender"}


@dataclass(frozen=True, slots=True)
class Said:
    """A text with where it states what. `spans`: of the facets that coverage counts, in order of their start."""

    text: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What may be said of one garment: its noun, and the values of each fact by a kit's names ("audience")."""

    garment: Garment
    noun: Noun
    values: dict[str, tuple[str, ...]]

    def without(self, facets: Collection[str]) -> Facts:
        """The same with fewer facts."""
        return Facts(self.garment, self.noun, {f: v for f, v in self.values.items() if f not in facets})

    def only(self, facets: Collection[str]) -> Facts:
        """The same with these facts alone."""
        return Facts(self.garment, self.noun, {f: v for f, v in self.values.items() if f in facets})


def facts_of(evidence: Evidence, words: Words, allowed: Allowed) -> tuple[Facts, ...]:
    """Of each garment worth naming; the product first. A garment that can only be named by what is banned, or that the language has no word for, is left out.

    Where that is the product, nothing is left: what it is worn with must not stand in its place.
    """
    names = {clean(garment.category) for garment in evidence.garments}  # a colour called "bag" would be read as one

    def sayable(text: str) -> bool:
        return allowed(text) and clean(text) not in names

    found = [_facts(garment, words, allowed, sayable) for garment in worth_stating(evidence)]
    return tuple(facts for facts in found if facts is not None) if found and found[0] is not None else ()


def _facts(garment: Garment, words: Words, allowed: Allowed, sayable: Allowed) -> Facts | None:
    category = clean(garment.category)
    of_legs = category == "pants"
    names = (clean(kind_noun(garment)), kind_noun(garment), f"category:{category}", category)
    noun = next((words.nouns[name] for name in names if name in words.nouns and allowed(words.nouns[name].text)), None)
    if noun is None and words.code == "en" and allowed(category):
        noun = Noun(category, plural=category.endswith("s") and not category.endswith("ss"))
    if noun is None:
        return None
    values: dict[str, tuple[str, ...]] = {
        "colour": tuple(_word("colour", name, words) for name in colours(garment)),
        **{
            facet: ("full",)
            if of_legs and (facet, canonical(facet, value)) == ("length", "maxi")
            else (_word(facet, value, words),)
            for facet in ("pattern", "sleeve", "neckline", "length", "fabric")
            if (value := attribute(garment, facet))
        },
    }
    if gender := attribute(garment, "gender"):
        values["audience"] = (gender,)
    kept = {
        facet: value
        for facet, value in values.items()
        if value and (said := _plain_words(words, facet, value, noun)) and allowed(said) and all(map(sayable, value))
    }
    return Facts(garment, noun, kept)


def _word(facet: str, value: str, words: Words) -> str:
    """English says a shop's own word ("emerald"); other languages where they know it, else the canonical one.

    Of a mixture of a fibre that they have no word for ("ramie blend") they say that it is one.
    """
    own = clean(value)
    if facet in ("colour", "fabric") and (words.code == "en" or words.after(facet, (own,), _ANY) is not None):
        return value if words.code == "en" else own
    value = canonical(facet, value)
    mixed = facet == "fabric" and value.endswith(" blend") and words.after(facet, (value,), _ANY) is None
    return "blended" if mixed else value


_ANY = Noun("")
"""Whether a language has a word does not depend on the noun."""


def _plain_words(words: Words, facet: str, values: tuple[str, ...], noun: Noun) -> str:
    """The fact as it could be said, before or after its noun; "" where the language has no words for it."""
    after = words.after(facet, values, noun)
    return " ".join(
        filter(None, (words.before(facet, values, noun), f"{after.link} {after.text}".strip() if after else ""))
    )


def phrase(facts: Facts, words: Words, order: Sequence[str] = (), *, article: bool = True) -> tuple[Piece, ...]:
    """The garment as a noun phrase: its facts in `order` (`ORDERED`), before the noun where the language lets them."""
    given = order
    order = _plain_first(facts, words) if not given else ordered(given, words)
    at = order.index("kind")
    before: list[Piece] = []
    behind: list[str] = []
    for facet in order[:at]:
        if facet in facts.values:
            text = words.before(facet, facts.values[facet], facts.noun)
            if text:
                before.append(Piece(text, _claimed(facet)))
            else:
                behind.append(facet)
    pieces = [*before, Piece(facts.noun.text, "category")]
    link = ""
    following = _audience_last(given, words, _following([*behind, *order[at + 1 :]], given, words))
    runs = _runs(facts, words, following)
    for number, run in enumerate(runs):
        own = run[0][1].link
        denied = link in _DENYING and run[0][0] in words.joining
        # "Chaqueta negra de manga larga", but "de lana, de manga larga"; "un short pour fille", but "un short bleu, pour fille".
        if run[0][0] in words.commas and (own in (link, *_DENYING) or run[0][0] == "audience") and number:
            pieces.append(Piece(","))
        lead = f"{words.conjunction} {own}" if denied and own else own
        pieces += [Piece(lead)] if lead else []
        for n, (facet, after) in enumerate(run):
            if n:
                pieces.append(Piece(words.conjunction if n == len(run) - 1 else ","))
            pieces.append(Piece(after.text, _claimed(facet)))
        link = own
    if article:
        first = pieces[0]
        whole = words.article(facts.noun, first.text)
        lead = whole.removesuffix(first.text).strip()
        pieces = [Piece(lead), *pieces] if lead else pieces
    return tuple(pieces)


def _following(facets: list[str], given: Sequence[str], words: Words) -> list[str]:
    """What follows the noun, in an order that cannot be misread, where a kit does not ask for another.

    "A hat with dots made of flannel" has dots of flannel; "une robe noir et gris mini" parts the noun from what belongs to it.
    """
    asked = {"pattern", "fabric"} <= set(given) or not {"pattern", "fabric"} <= set(facets)
    if "pattern" in words.joining and not asked and facets.index("pattern") < facets.index("fabric"):
        facets.remove("fabric")
        facets.insert(facets.index("pattern"), "fabric")
    at = words.order.index("kind")
    if "length" in facets and "length" not in given and words.order[at + 1 : at + 2] == ("length",):
        facets.remove("length")
        facets.insert(0, "length")
    return facets


def _audience_last(given: Sequence[str], words: Words, facets: Sequence[str]) -> Sequence[str]:
    """The audience behind all that is said of the garment: "a T-shirt for boys with short sleeves" is of boys with sleeves, "un t-shirt pour enfant gris"
    of a grey child. Where nouns are followed by few adjectives, what a kit's own order has behind the audience stays there ("a jacket for women in navy").
    """
    if "audience" not in facets:
        return facets
    at = facets.index("audience")
    asked = "audience" in given and set(facets[at + 1 :]) & set(given) and not words.commas
    return facets if asked else (*facets[:at], *facets[at + 1 :], "audience")


def _runs(facts: Facts, words: Words, facets: Sequence[str]) -> list[list[tuple[str, After]]]:
    """What follows the noun; neighbours that share a link are one run: "with dots, long sleeves and a collar"."""
    runs: list[list[tuple[str, After]]] = []
    for facet in facets:
        after = words.after(facet, facts.values[facet], facts.noun) if facet in facts.values else None
        if after is None:
            continue
        last = runs[-1][-1] if runs else ("", None)
        joins = facet in words.joining and last[0] in words.joining and facet not in words.commas
        if joins and last[1] is not None and after.link and last[1].link == after.link:
            runs[-1].append((facet, after))
        else:
            runs.append([(facet, after)])
    return runs


def _plain_first(facts: Facts, words: Words) -> tuple[str, ...]:
    """Such as "A plain navy top": nobody says "a navy plain top". A language that names colours behind the noun keeps its order."""
    order = list(words.order)
    if facts.values.get("pattern") == ("solid",) and order.index("colour") < order.index("kind"):
        order.remove("pattern")
        order.insert(order.index("colour"), "pattern")
    return tuple(order)


def ordered(order: Sequence[str], words: Words) -> tuple[str, ...]:
    """A brand's order, and behind it what it does not name in the language's own; the noun leads where it names none."""
    if not order:
        return words.order
    given = tuple(order) if "kind" in order else ("kind", *order)
    return (*given, *(facet for facet in words.order if facet not in given))


def said(template: str, slots: dict[str, Sequence[tuple[Piece, str]]]) -> Said:
    """A template with its slots filled by pieces, each with the id of the garment that it states something of ("" none).

    `{a}` stands for the pieces, `{A}` for the same at the start of a sentence.
    """
    text, spans = "", []
    rest = template
    while rest:
        head, opened, tail = rest.partition("{")
        text += head
        if not opened:
            break
        name, _, rest = tail.partition("}")
        pieces = slots[name.lower() if len(name) == 1 else name]
        for n, (piece, garment) in enumerate(pieces):
            if n and piece.text != ",":
                text += " "
            start = len(text)
            words = piece.text
            text += words[:1].upper() + words[1:] if n == 0 and (name == "A" or not text) else words
            if piece.facet in FACETS and garment:
                spans.append(Span(start, len(text), garment, piece.facet))
    return Said(text[:1].upper() + text[1:], tuple(spans))


def slot(facts: Facts, pieces: Sequence[Piece]) -> list[tuple[Piece, str]]:
    """The pieces with the garment that they are about."""
    return [(piece, facts.garment.id) for piece in pieces]


def listed(rest: Sequence[Facts], words: Words, order: Sequence[str]) -> list[tuple[Piece, str]]:
    """Other garments as a list: "black shoes, a brown bag and a white hat". Whose clothes they are is said once, of the product."""
    found: list[tuple[Piece, str]] = []
    for n, facts in enumerate(rest):
        if n:
            found.append((Piece(words.conjunction) if n == len(rest) - 1 else Piece(","), ""))
        found += slot(facts, phrase(facts.without({"audience", "sleeve", "neckline", "length"}), words, order))
    return found


def together(sentences: Sequence[Said]) -> Said:
    """Sentences, one behind the other."""
    text, spans = "", []
    for sentence in sentences:
        text += " " if text else ""
        spans += [Span(s.start + len(text), s.end + len(text), s.garment, s.facet) for s in sentence.spans]
        text += sentence.text
    return Said(text, tuple(spans))


def fact_sentence(template: str, name: str, facts: Facts, facets: Sequence[str], words: Words) -> Said | None:
    """A sentence of some facts ("Made of {fabric}."), or None where none is known.

    What a garment lacks has a sentence of its own ("Without sleeves."): the template's "with" would give it to it.
    """
    found: list[tuple[Piece, str]] = []
    lacking: list[Said] = []
    for facet in facets:
        after = words.after(facet, facts.values[facet], facts.noun) if facet in facts.values else None
        if after is None:
            continue
        if after.link in _DENYING:
            piece = Piece(f"{after.link} {after.text}", _claimed(facet))
            lacking.append(said("{A}.", {"a": [(piece, facts.garment.id)]}))
            continue
        found += [(Piece(words.conjunction), "")] if found else []
        found.append((Piece(after.text, _claimed(facet)), facts.garment.id))
    sentences = [*lacking, *([said(template, {name: found})] if found else [])]
    return together(sentences) if sentences else None


def _claimed(facet: str) -> str:
    return _CLAIMED.get(facet, facet)


def coverage(spans: Sequence[Span], evidence: Evidence) -> float | None:
    """Share of the pack's facets that the spans state (as `processors.verify` counts); None of an empty pack."""
    known = {(garment.id, "category") for garment in evidence.garments}
    known |= {(garment.id, "colour") for garment in evidence.garments if garment.colours}
    known |= {(g.id, facet) for g in evidence.garments for facet in ("fabric", "gender") if facet in g.attributes}
    return len({(span.garment, span.facet) for span in spans} & known) / len(known) if known else None
