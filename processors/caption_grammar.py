"""A seeded grammar from evidence packs to captions: the rule-based writer, and the text the language model learns from.

Everything it states is in the pack, and everything `processors.evidence.render` shows of the pack it states.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from processors import caption_phrases as phrases
from processors.audience import Audience, audience_of, unfit
from processors.evidence import attribute, colours, kind_noun, worth_stating
from processors.values import Evidence, Garment
from processors.vocabulary import BODY_LENGTHS, CATEGORY_NOUNS, clean, cloth_of

_PLURAL = frozenset(("sunglass", "pants", "shorts", "shoe"))
OWNERS = {"women": "women's", "men": "men's", "boys": "boys'", "girls": "girls'", "kids": "kids'", "unisex": "unisex"}
_AUDIENCE = {"unisex": "unisex wear"}
PRODUCT_COPY = "plain"
"""The tone that is nothing but facts, in the order in which a shop writes them."""
_AS_WRITTEN = {"t-shirt": "T-shirt"}
LENGTHS = BODY_LENGTHS


def compose(evidence: Evidence, tone: str, seed: int, audience: Audience | None = None) -> tuple[str, tuple[str, ...]]:
    """One to three sentences and 8 to 12 hashtags in `tone` (one of `TONES`), the same for the same arguments.

    `audience` is whose garments they are, where the evidence does not say it any more.
    """
    sentences, tags = _draft(evidence, tone, seed, audience or audience_of(evidence))
    return sentences, tuple("#" + tag.replace(" ", "") for tag in tags)


def training_text(evidence: Evidence, tone: str, seed: int) -> str:
    """What the language model learns to answer: the sentences, a line break, the hashtags as "#NavyDress #NewIn".

    In capitals a tag's tokens are its words, which the model can copy from the evidence; "#bluetop" would be
    "blu-et-op". `processors.captions.parse` lowers them.
    """
    sentences, tags = _draft(evidence, tone, seed, audience_of(evidence))
    return sentences + "\n" + " ".join("#" + "".join(capital(word) for word in tag.split()) for tag in tags)


def _draft(evidence: Evidence, tone: str, seed: int, audience: Audience) -> tuple[str, tuple[str, ...]]:
    rng = random.Random(f"{tone}:{seed}")
    garments = worth_stating(evidence)
    if not garments:
        return _pick(phrases.NEUTRAL_LEADS[tone], rng, audience), _neutral_tags(tone, rng, rng.randint(8, 10))
    return _Story(garments, tone, rng, audience).text(), _hashtags(garments, tone, rng)


class _Story:
    """One caption in the making: the first garment leads, its facts follow, the other garments join."""

    def __init__(self, garments: Sequence[Garment], tone: str, rng: random.Random, audience: Audience) -> None:
        self._garments = garments
        self._tone = tone
        self._rng = rng
        self._audience = audience
        self._first = garments[0]
        self._noun = _noun(self._first, rng, tone)
        self._plural = is_plural(self._first)
        self._fabric = attribute(self._first, "fabric")
        self._gender = attribute(self._first, "gender")

    def text(self) -> str:
        rest = self._garments[1:]
        fabric, gender, inline = self._places(bool(rest))
        phrase = self._phrase(fabric=fabric == "before", gender=gender)
        several = self._plural
        if inline:
            joint = self._rng.choice(("worn with", "alongside", "next to", "and"))
            if joint == "and" and (len(rest) > 1 or " with " in phrase):
                joint = "worn with"  # "a dress with a collar and a bag": whose is the bag?
            phrase = f"{phrase} {joint} {self._others(rest)}"
            several = several or joint == "and"  # "a top and a bag feel"
        sentences = [self._fill(phrases.LEADS[self._tone], phrase, plural=several)]
        fact = self._fact(fabric=fabric == "later", gender=gender == "later")
        if fact:
            sentences.append(fact)
        if rest and not inline:
            sentences.append(self._fill(phrases.OTHERS[self._tone], others=rest))
        return " ".join(sentences)

    def _places(self, several: bool) -> tuple[str, str, bool]:
        """Where fabric and gender are said, and whether the other garments stand in the first sentence."""
        rng = self._rng
        if self._tone == PRODUCT_COPY:
            return "later", "later" if self._gender else "none", False
        later_fabric = bool(self._fabric) and rng.random() < 0.35
        gender = rng.choice(("before", "before", "after", "later")) if self._gender else "none"
        inline = several and not later_fabric and rng.random() < 0.4
        return "later" if later_fabric else "before", gender, inline

    def _phrase(self, *, fabric: bool, gender: str) -> str:
        """The first garment as a noun phrase with its article."""
        stated = self._fabric if fabric else ""
        owner = OWNERS[self._gender] if gender == "before" else ""
        copy = self._tone == PRODUCT_COPY
        text = _noun_phrase(self._first, self._noun, stated, owner, None if copy else self._rng)
        pair = self._plural and not copy and self._rng.random() < 0.3
        text = f"a pair of {text}" if pair else with_article(text, self._plural)
        return f"{text} for {audience_noun(self._gender)}" if gender == "after" else text

    def _fact(self, *, fabric: bool, gender: bool) -> str:
        tone = self._tone
        fabric = fabric and bool(self._fabric)
        if fabric and gender:
            choices = phrases.BOTH_FACTS[tone]
        elif fabric:
            choices = phrases.FABRIC_FACTS[tone]
        elif gender:
            choices = phrases.GENDER_FACTS[tone]
        else:
            return ""
        return self._fill(choices) + "."

    def _others(self, rest: Sequence[Garment]) -> str:
        """The other garments as a list: "black shoes, a brown leather bag and a white hat"."""
        said = []
        for garment in rest:
            gender = attribute(garment, "gender")
            owner = OWNERS.get(gender, "") if gender != self._gender else ""
            noun = _noun(garment, self._rng, self._tone)
            text = _noun_phrase(garment, noun, attribute(garment, "fabric"), owner, None)
            said.append(with_article(text, is_plural(garment)))
        return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"

    def _fill(
        self, templates: Sequence[str], phrase: str = "", others: Sequence[Garment] = (), *, plural: bool | None = None
    ) -> str:
        plural = self._plural if plural is None else plural
        several = len(others) > 1 or any(is_plural(garment) for garment in others)
        text = _pick(templates, self._rng, self._audience)
        text = re.sub(r"<([^|>]*)\|([^>]*)>", r"\2" if plural else r"\1", text)
        text = re.sub(r"\(([^|)]*)\|([^)]*)\)", r"\2" if several else r"\1", text)
        rest = self._others(others) if others else ""
        owner = OWNERS.get(self._gender, "")
        slots = {
            "a": phrase, "A": capital(phrase), "n": self._noun, "It": "They" if self._plural else "It",
            "fabric": self._fabric, "cloth": cloth_of(self._fabric), "gender": audience_noun(self._gender), "owner": owner, "owner_cap": capital(owner),
            "others": rest, "Others": capital(rest),
        }  # fmt: skip
        text = re.sub(r"\{(\w+)\}", lambda match: slots[match.group(1)], text)
        return capital(text)


def _noun_phrase(garment: Garment, noun: str, fabric: str, owner: str, rng: random.Random | None) -> str:
    """Colour, pattern and fabric before the noun or, for variety, after it; sleeves and neckline last."""
    shades = colours(garment)
    colour = " and ".join(shades)
    pattern = printed_pattern(garment)
    sleeve, neckline, length = (attribute(garment, facet) for facet in ("sleeve", "neckline", "length"))
    bare = sleeve if sleeve == "sleeveless" else ""
    length = f"{length}-length" if length in LENGTHS else length
    draw = rng.random() if rng else 0.0
    before, after = [owner, bare, length, colour, pattern, fabric], ""
    if pattern == PLAIN_CLOTH:  # "a plain navy top"; nobody says "a navy plain top"
        before = [owner, bare, length, pattern, colour, fabric]
    if colour and draw > 0.85:
        before, after = [owner, bare, length, pattern, fabric], f" in {colour}"
    elif colour and fabric and draw > 0.7:
        before, after = [owner, bare, length, pattern], f" in {colour} {fabric}"
    elif colour and pattern and draw > 0.4:
        before = [owner, bare, length, pattern, colour, fabric]
    details = [f"{sleeve} sleeves" if sleeve and not bare else "", neck(neckline)]
    tail = " and ".join(detail for detail in details if detail)
    return " ".join(word for word in [*before, noun] if word) + after + (f" with {tail}" if tail else "")


PLAIN_CLOTH = "plain"
_PATTERNS = {"solid": PLAIN_CLOTH, "animal": "animal-print", "colourblocked": "colour-blocked"}
_NECKS = {"v": "V-neckline", "collar": "collar", "polo": "polo collar", "mandarin": "mandarin collar", "hood": "hood"}
"""Necklines that are called otherwise than their value and "neckline"."""


def printed_pattern(garment: Garment) -> str:
    """As a shop prints it: cloth without a pattern is plain, and a blouse of leopards no "animal blouse"."""
    pattern = attribute(garment, "pattern")
    return _PATTERNS.get(pattern, pattern)


def neck(neckline: str) -> str:
    if not neckline:
        return ""
    name = _NECKS.get(neckline, f"{neckline} neckline")
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _hashtags(garments: Sequence[Garment], tone: str, rng: random.Random) -> tuple[str, ...]:
    """Four to seven tags that state facts, the product's own first, then neutral ones: 8 to 12 in all."""
    total = rng.randint(8, 12)
    facts: list[str] = []
    for n, garment in enumerate(garments):
        noun, *more = _fact_tags(garment, tone, rng)
        rng.shuffle(more)
        facts += [noun, *more][: 4 if n == 0 else 2]
    facts = list(dict.fromkeys(facts))[: total - 3]
    neutral = [tag for tag in _neutral_tags(tone, rng, total) if tag not in facts]
    return (*facts, *neutral[: total - len(facts)])


def _fact_tags(garment: Garment, tone: str, rng: random.Random) -> list[str]:
    noun = _noun(garment, rng, tone)
    gender = attribute(garment, "gender")
    fabric, pattern = attribute(garment, "fabric"), printed_pattern(garment)
    tags = [noun]
    for colour in colours(garment):
        tags += [f"{colour} {noun}", f"{colour} {rng.choice(('look', 'style', 'outfit'))}"]
    if fabric:
        tags += [f"{fabric} {noun}", f"{fabric} {rng.choice(('style', 'season', 'love'))}"]
    if pattern:
        tags.append(f"{pattern} {noun}")
    tags += phrases.GENDER_TAGS.get(gender, ())[: rng.randint(1, 2)]
    return [clean(tag) for tag in tags]


def _neutral_tags(tone: str, rng: random.Random, count: int) -> tuple[str, ...]:
    own = rng.sample(phrases.NEUTRAL_TAGS[tone], k=3)
    common = rng.sample(phrases.COMMON_TAGS, k=max(0, count - 3))
    return (*own, *common)


_WIDEST = {"shirt": "top", "pants": "trousers"}
"""The word that is true of every garment of its class: a sweater is no shirt to a shop."""
_NOUNS = {"shirt": ("shirt", "shirt", "top"), "pants": ("trousers", "pants")}


def _noun(garment: Garment, rng: random.Random, tone: str = "") -> str:
    said = written_noun(garment)
    if kind_noun(garment):
        return said
    return rng.choice((said,) if tone == PRODUCT_COPY else _NOUNS.get(garment.category, (said,)))


def written_noun(garment: Garment) -> str:
    """The noun of product copy: the kind, or the widest word of the category."""
    if kind := kind_noun(garment):
        return _AS_WRITTEN.get(kind, kind)
    if garment.category in _WIDEST:
        return _WIDEST[garment.category]
    return CATEGORY_NOUNS.get(garment.category, (clean(garment.category),))[0]


def is_plural(garment: Garment) -> bool:
    if kind := kind_noun(garment):
        return kind.endswith("s") and not kind.endswith("ss")
    return garment.category in _PLURAL or (
        garment.category not in CATEGORY_NOUNS and clean(garment.category).endswith("s")
    )


def audience_noun(gender: str) -> str:
    return _AUDIENCE.get(gender, gender)


def with_article(text: str, plural: bool) -> str:
    if plural:
        return text
    vowel = text[:1] in "aeiou" and not text.startswith(("unisex", "uni"))
    return f"{'an' if vowel else 'a'} {text}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pick(templates: Sequence[str], rng: random.Random, audience: Audience) -> str:
    """One of the templates with its choices settled, drawn until it suits the audience; each tone has some that do."""
    text = _expand(rng.choice(templates), rng)
    for _ in range(50):
        if not unfit(text, audience):
            break
        text = _expand(rng.choice(templates), rng)
    return text


def _expand(text: str, rng: random.Random) -> str:
    """Settle the choices `[a|b]`, the innermost first."""
    while (match := re.search(r"\[([^\[\]]*)\]", text)) is not None:
        text = text[: match.start()] + rng.choice(match.group(1).split("|")) + text[match.end() :]
    return text
