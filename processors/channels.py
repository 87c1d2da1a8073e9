"""The texts of one product beside its caption, each for the place that shows it: title, alt text, long description, SEO meta.

By rule from the evidence pack, in the language of a brand kit, each within its own limit; what does not fit goes fact by fact
(`FIRST_TO_GO`), never in the middle of a word. Nothing stands in them that the pack does not hold.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec

from processors.languages import LANGUAGES, language_of
from processors.languages.grammar import Piece, Words
from processors.languages.phrases import (
    FIRST_TO_GO,
    Allowed,
    Facts,
    Said,
    fact_sentence,
    facts_of,
    listed,
    phrase,
    said,
    slot,
    together,
)
from processors.values import Evidence

LIMITS: dict[str, int] = {"caption": 700, "title": 70, "alt": 125, "description": 2000, "meta": 155}
"""Characters of each text where a kit sets none: what shop systems and search engines show whole."""
WORDING = "3"
"""Raise it when the texts beside the caption are written otherwise: items that come again then have them anew. The language model's stay."""
MIN_CHARACTERS = 8
"""The least that a kit may set: below, hardly a noun would fit."""


class Channels(msgspec.Struct, frozen=True):
    """The texts of one product, "" where nothing may be said."""

    title: str
    alt: str
    description: str
    meta: str


def anything(_text: str) -> bool:
    """No word is banned."""
    return True


def channels(
    evidence: Evidence,
    locale: str = "en",
    *,
    order: Sequence[str] = (),
    limits: dict[str, int] | None = None,
    required: Sequence[str] = (),
    allowed: Allowed = anything,
) -> Channels:
    """All texts but the caption. `required` is added to description and meta where it fits and is not said yet."""
    words = LANGUAGES[language_of(locale)]
    facts = facts_of(evidence, words, allowed)
    most = LIMITS | (limits or {})
    title = _fitting(_titles(facts, words, order), most["title"], allowed)
    alt = _fitting(_alts(facts, words, order), most["alt"], allowed)
    full = _fitting(_descriptions(facts, words, order), most["description"], allowed)
    meta = _fitting(_captions(facts, words, order, "plain", random.Random(0)), most["meta"], allowed)
    return Channels(
        title=title.text,
        alt=alt.text,
        description=with_required(full.text, required, most["description"]),
        meta=with_required(meta.text, required, most["meta"]),
    )


def caption_by_grammar(
    evidence: Evidence,
    locale: str,
    tone: str,
    seed: int,
    *,
    order: Sequence[str] = (),
    limit: int = LIMITS["caption"],
    allowed: Allowed = anything,
    varied: bool = False,
) -> Said:
    """A few sentences in a language, in the brand's order of facts; the same for the same arguments.

    `varied`: details, fabric and audience that the order does not name may have a sentence of their own, by the seed.
    """
    words = LANGUAGES[language_of(locale)]
    facts = facts_of(evidence, words, allowed)
    found = _captions(facts, words, order, tone, random.Random(f"{tone}:{seed}"), varied=varied)
    return _fitting(found, limit, allowed)


def hashtags_by_grammar(evidence: Evidence, locale: str, allowed: Allowed = anything) -> tuple[str, ...]:
    """8 to 12 hashtags, the product's own first; letters and digits only."""
    words = LANGUAGES[language_of(locale)]
    found: list[str] = []
    for facts in facts_of(evidence, words, allowed)[:2]:
        found.append(facts.noun.text)
        told = [facts.only({facet}) for facet in ("colour", "pattern", "fabric") if facet in facts.values]
        found += ["".join(piece.text for piece in phrase(one, words, article=False)) for one in told]
    tags = [_tag(text) for text in (*found, *words.tags)]
    return tuple(dict.fromkeys(tag for tag in tags if len(tag) > 2 and allowed(tag[1:])))[:12]


def _tag(text: str) -> str:
    return "#" + "".join(letter for letter in text.lower() if letter.isalnum())


def with_required(text: str, required: Sequence[str], limit: int) -> str:
    """The text and behind it each required phrase that it lacks, as a sentence, as long as there is room."""
    for one in required:
        if one.casefold() in text.casefold():
            continue
        sentence = one[:1].upper() + one[1:] + ("" if one[-1:] in ".!?…" else ".")
        longer = f"{text} {sentence}".strip()
        text = longer if len(longer) <= limit else text
    return text


def _fitting(texts: Iterator[Said], limit: int, allowed: Allowed) -> Said:
    """The first text that is short enough and holds nothing banned; the texts come ever shorter. Empty where none does."""
    return next((text for text in texts if len(text.text) <= limit and allowed(text.text)), Said(""))


def _shorter(facts: Sequence[Facts], *, keep_rest: bool = True) -> Iterator[tuple[Facts, Sequence[Facts]]]:
    """The product and its company, ever plainer: first the company goes, one by one, then the product's facts."""
    first, rest = facts[0], facts[1:] if keep_rest else ()
    for n in range(len(rest), 0, -1):
        yield first, rest[:n]
    for n in range(len(FIRST_TO_GO) + 1):
        if n == 0 or FIRST_TO_GO[n - 1] in first.values:
            yield first.without(FIRST_TO_GO[:n]), ()


def _titles(facts: Sequence[Facts], words: Words, order: Sequence[str]) -> Iterator[Said]:
    if not facts:
        return
    for first, _ in _shorter(facts[:1]):
        yield said("{A}", {"a": slot(first, phrase(first, words, order, article=False))})


def _alts(facts: Sequence[Facts], words: Words, order: Sequence[str]) -> Iterator[Said]:
    """What is to be seen: nobody sees whose clothes they are, or what they are made of."""
    seen = [one.without({"audience", "fabric"}) for one in facts]
    if not seen:
        return
    for first, rest in _shorter(seen):
        lead = said("{A}.", {"a": slot(first, phrase(first, words, order))})
        more = [said(words.others, {"others": listed(rest, words, order)})] if rest else []
        yield together([lead, *more])


def _captions(
    facts: Sequence[Facts], words: Words, order: Sequence[str], tone: str, rng: random.Random, *, varied: bool = False
) -> Iterator[Said]:
    frames = list(words.frames[tone])
    rng.shuffle(frames)
    movable = _APART[1:] if ":" in words.detailed else _APART  # "Détails : col." is for a description
    apart = [facets for facets in movable if varied and not set(facets) & set(order) and rng.random() < 0.5]
    for first, rest in _shorter(facts) if facts else ():
        pieces = phrase(first, words, order, article=tone not in words.bare)
        more = [said(words.others, {"others": listed(rest, words, order)})] if rest else []
        if own := _own_sentences(first, apart, words, order):
            lead = first.without([facet for facets in apart for facet in facets])
            filled: dict[str, Sequence[tuple[Piece, str]]] = {
                "a": slot(lead, phrase(lead, words, order, article=tone not in words.bare))
            }
            for frame in frames:
                yield together([said(frame, filled), *own, *more])
        for frame in frames:
            yield together([said(frame, {"a": slot(first, pieces)}), *more])
        if tone != "plain":  # every frame may hold a word that the brand bans
            yield together([said(words.frames["plain"][0], {"a": slot(first, pieces)}), *more])
    neutral = list(words.neutral)
    rng.shuffle(neutral)
    for sentence in neutral:
        yield Said(sentence)


def _descriptions(facts: Sequence[Facts], words: Words, order: Sequence[str]) -> Iterator[Said]:
    """A sentence for each kind of fact, then what it is worn with."""
    for first, rest in _shorter(facts) if facts else ():
        lead = first.only({"length", "colour", "pattern"})
        sentences = [
            said("{A}.", {"a": slot(lead, phrase(lead, words, order, article="plain" not in words.bare))}),
            *_own_sentences(first, _APART, words, order),
        ]
        sentences += [said(words.others, {"others": listed(rest, words, order)})] if rest else []
        yield together(sentences)
    for sentence in words.neutral:
        yield Said(sentence)


_APART = (("sleeve", "neckline"), ("fabric",), ("audience",))
"""Facts that may stand in a sentence of their own."""


def _own_sentences(first: Facts, apart: Sequence[Sequence[str]], words: Words, order: Sequence[str]) -> list[Said]:
    """A sentence for each of these that is known: "With long sleeves. Made of linen. For women."."""
    templates = dict(
        zip(
            _APART,
            ((words.detailed, "details"), (words.made_of, "fabric"), (words.made_for, "audience")),
            strict=True,
        )
    )
    found = [
        fact_sentence(*templates[tuple(facets)], first, _in_order(facets, order), words)
        for facets in apart
        if set(facets) & set(first.values)
    ]
    return [sentence for sentence in found if sentence is not None]


def _in_order(facets: Sequence[str], order: Sequence[str]) -> list[str]:
    return sorted(facets, key=lambda facet: order.index(facet) if facet in order else len(order))
