"""What a language model may write of one product: a grammar of its evidence, in the frames of its tone.

A caption is one to three sentences and 8 to 12 hashtags. Facts stand in slots, which hold the words of the pack and nothing
else: the product as a noun phrase, in orders that a shop uses, then fabric and audience, then what it is worn with.
Every fact that `processors.evidence.render` shows has its slot, and none may be left out. What stands before and behind the product are the
tone's own sentences (`processors.caption_phrases`), which claim nothing. Each product has a share of them, and of the places where its facts may
stand, drawn by its facts (`_share`); among those the model chooses. Free words in any order, as grammar 1 had them, were true and odd ("Say yes
together and too, a black top"), and all sentences at once, as grammars 2 to 4 had them, cost 5 ms of a processor a product. Grammar-constrained
decoding after arXiv 2305.13971.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from itertools import product as every
from typing import NamedTuple, TypeVar
from zlib import crc32

import msgspec

from processors import caption_phrases as phrases
from processors.audience import Audience, audience_of, unfit, unfit_tag
from processors.caption_grammar import (
    LENGTHS,
    OWNERS,
    PLAIN_CLOTH,
    audience_noun,
    capital,
    is_plural,
    neck,
    printed_pattern,
    with_article,
    written_noun,
)
from processors.claims import Extra, extra_of, split_tag
from processors.evidence import attribute, colours, worth_stating
from processors.grounded_tags import KEPT_GARMENTS, Told, garment_of, hashtag, own_tags, told_of
from processors.slots import Choice, Claims, Node, Reading, Slot, any_of, first_text, seq
from processors.values import Evidence, Garment
from processors.verify import ParsedCaption, Rejected, grounding, verify
from processors.vocabulary import canonical, cloth_of, known_values

GRAMMAR = "6"
"""Raise it when other texts may be written: captions of another grammar are other captions."""
MOST_TAGS = 12
_TOGETHER = ("worn with", "alongside", "next to")
LEADS_EACH, PLACES_EACH, ORDERS_EACH, SENTENCES_EACH = 3, 1, 2, 3
"""Of a tone's sentences around the product, of the places of its fabric and audience, of the orders of its facts, and of the sentences of facts and of
other garments, so many are in the grammar of one product: what is compiled of it grows with their product."""
_TAGS = ("category", "colour", "fabric", "pattern", "gender", "look")
_TAGS_BESIDE = tuple(facet for facet in _TAGS if facet != "gender")
"""The facets of a garment's hashtags, the first ones first: the product's, and those of what it is worn with."""
_Any = TypeVar("_Any")
_TOKEN = re.compile(r"\{(\w+)\}")
_LEAD = re.compile(r"\{([aA])\}")


KEPT = 128
"""Grammars that are remembered: a caption's is wanted before it is written, and when it is judged."""


def grammar(evidence: Evidence, tone: str) -> Node:
    """The texts that may be written of a product, as `processors.captions.parse` reads them: sentences, a line break, hashtags.

    Raises:
        ValueError: nothing can be said of it that the verifier would let pass.
    """
    return _grammar(msgspec.msgpack.encode(evidence), tone)


def reading(evidence: Evidence, tone: str) -> Reading:
    """Tells where the facts stand in a text of `grammar`."""
    return Reading(grammar(evidence, tone))


@lru_cache(maxsize=KEPT)
def _grammar(encoded: bytes, tone: str) -> Node:
    evidence = msgspec.msgpack.decode(encoded, type=Evidence)
    known = _of_known_words(evidence)
    for pack in _ever_plainer(evidence):
        found = _Product(pack, evidence, tone).text()
        if known or _holds(first_text(found), evidence):
            return found
    raise ValueError("no text of this evidence would pass the verifier")


def _of_known_words(evidence: Evidence) -> bool:
    """Whether each value is a word of the lists, and of its own facet: the verifier reads those as the grammar writes them.

    Reading a text costs half a millisecond, so what is ordinary is not read here; the draft is, in any case.
    """
    return all(
        _known(facet, value)
        for garment in evidence.garments
        for facet, value in (
            ("category", garment.category),
            *(("colour", colour.name) for colour in garment.colours),
            *((facet, one.value) for facet, one in garment.attributes.items() if facet != "kind"),
        )
    )


@lru_cache(maxsize=8192)
def _known(facet: str, value: str) -> bool:
    return canonical(facet, value) in known_values(facet)


def _share(options: Sequence[_Any], most: int, facts: str) -> tuple[_Any, ...]:
    """So many of the options, in their order: others for other facts, always the same for the same."""
    if len(options) <= most:
        return tuple(options)
    drawn = sorted(range(len(options)), key=lambda n: crc32(f"{n} {facts}".encode()))[:most]
    return tuple(options[n] for n in sorted(drawn))


def _holds(text: str, evidence: Evidence) -> bool:
    sentences, _, tags = text.partition("\n")
    parsed = ParsedCaption(sentences, tuple(tag.lower() for tag in tags.split()))
    return not isinstance(verify(parsed, evidence), Rejected)


def _ever_plainer(evidence: Evidence) -> Iterator[Evidence]:
    """Evidence may hold odd values: what the verifier would refuse of them is left out, garment by garment."""
    garments = worth_stating(evidence)
    yield Evidence(garments)
    if garments:
        yield Evidence(tuple(Garment(g.id, g.category, g.box, g.confidence, g.colours) for g in garments))
        first = garments[0]
        yield Evidence((Garment(first.id, first.category, first.box, first.confidence, first.colours),))
        yield Evidence((Garment(first.id, first.category, first.box, first.confidence),))


def _words_of(evidence: Evidence) -> Iterator[str]:
    """What an evidence says in words, without how sure it is."""
    for garment in evidence.garments:
        yield garment.category
        yield from (colour.name for colour in garment.colours)
        yield from (found.value for _, found in sorted(garment.attributes.items()))


class Frame(NamedTuple):
    """What may stand around a product: each of `before` with each of `behind`. `begins`: with the product."""

    begins: bool
    before: Node
    behind: Node


class _Product:
    """The grammar of one product in the making."""

    def __init__(self, pack: Evidence, evidence: Evidence, tone: str) -> None:
        self._garments = pack.garments
        self._evidence = evidence
        self._holding: Callable[[Sequence[str]], tuple[str, ...]] | None = None
        self._extra = extra_of(evidence)
        self._tone = tone
        self._audience = audience_of(evidence)
        self._drawn_by = " ".join(_words_of(pack))

    def text(self) -> Node:
        if not self._garments:
            return seq(any_of(_suited(phrases.NEUTRAL_LEADS[self._tone], self._audience)), "\n", *self._tags(()))
        first = self._garments[0]
        self._plural = is_plural(first)
        self._gender = attribute(first, "gender")
        self._fabric = attribute(first, "fabric")
        gender, owner = self._gender, OWNERS.get(self._gender, "")
        self._wearers = self._gender_claims(gender)
        self._slots: dict[str, Node] = {
            "n": Slot(written_noun(first), ((first.id, "category"),)), "It": "They" if self._plural else "It",
            "fabric": Slot(self._fabric, ((first.id, "fabric"),)),
            "cloth": _with_its_article(cloth_of(self._fabric), ((first.id, "fabric"),)), "gender": self._of_gender(audience_noun(gender)),
            "owner": self._of_gender(owner), "owner_cap": self._of_gender(capital(owner)),
        }  # fmt: skip
        return seq(any_of(self._stories(first)), "\n", *self._tags(self._garments))

    def _stories(self, first: Garment) -> Iterator[Node]:
        """The sentences, by where fabric and audience are said: with the product, or in a sentence of their own."""
        rest = self._garments[1:]
        listed = self._list(rest)
        frames = _frames(self._tone, self._plural, self._audience)
        leads = tuple(one for some in self._share(frames, LEADS_EACH) for one in some)
        genders = ("before", "after", "later") if self._gender else ("",)
        others: Node = seq(" ", any_of(self._others(rest, listed))) if rest else ""
        places = list(every(genders, ("with", "later") if self._fabric else ("",)))
        for gender, fabric in self._share(places, PLACES_EACH):
            facts = list(self._facts(fabric == "later", gender == "later"))
            lead = self._product(first, fabric=fabric == "with", gender=gender)
            if facts:
                yield seq(_framed(lead, leads), " ", any_of(facts), others)
            elif rest:
                together = seq(" ", any_of(_TOGETHER), " ", listed)
                yield any_of((_framed(seq(lead, together), leads), seq(_framed(lead, leads), others)))
            else:
                yield _framed(lead, leads)

    def _share(self, options: Sequence[_Any], most: int) -> tuple[_Any, ...]:
        return _share(options, most, self._drawn_by)

    def _product(self, garment: Garment, *, fabric: bool, gender: str) -> Node:
        """The product with its article, in some orders of its facts."""
        owner: Node = self._of_gender(OWNERS[self._gender]) if gender == "before" else ""
        behind: tuple[Node, ...] = (" for ", self._of_gender(audience_noun(self._gender))) if gender == "after" else ()
        orders, tail = _phrases(told_of(garment), owner, fabric=fabric)
        some = (orders[0], *self._share(orders[1:], ORDERS_EACH - 1))  # the usual one is always there to be chosen
        return seq(any_of(some), *tail, *behind)

    def _of_gender(self, text: str) -> Slot:
        return Slot(text, self._wearers)

    def _gender_claims(self, gender: str) -> Claims:
        """Said once, it is said of everything the same person wears."""
        return tuple((g.id, "gender") for g in self._evidence.garments if attribute(g, "gender") == gender)

    def _facts(self, fabric: bool, gender: bool) -> Iterator[Node]:
        table = phrases.BOTH_FACTS if fabric and gender else phrases.FABRIC_FACTS if fabric else phrases.GENDER_FACTS
        if fabric or gender:
            for text in self._share(_suited(table[self._tone], self._audience), SENTENCES_EACH):
                yield self._filled(f"{text}.", several=False, rest="")

    def _others(self, rest: Sequence[Garment], listed: Node) -> Iterator[Node]:
        several = len(rest) > 1 or is_plural(rest[0])
        for text in self._share(_suited(phrases.OTHERS[self._tone], self._audience), SENTENCES_EACH):
            yield self._filled(text, several=several, rest=listed)

    def _list(self, rest: Sequence[Garment]) -> Node:
        """The other garments: "black shoes, a brown leather bag and a white hat"."""
        parts: list[Node] = []
        for number, garment in enumerate(rest):
            if number:
                parts.append(" and " if number == len(rest) - 1 else ", ")
            gender = attribute(garment, "gender")
            other = gender in OWNERS and gender != self._gender
            owner = Slot(OWNERS[gender], self._gender_claims(gender)) if other else ""
            orders, tail = _phrases(told_of(garment), owner, fabric=True)
            parts += [orders[0], *tail]
        return seq(*parts)

    def _filled(self, text: str, *, several: bool, rest: Node) -> Node:
        parts: list[Node] = []
        for number, one in enumerate(_agreeing(text, self._plural, several)):
            if number % 2:
                parts.append(rest if one == "others" else _opening(rest) if one == "Others" else self._slots[one])
            elif one:
                parts.append(one)
        return seq(*(part for part in parts if part != ""))

    def _tags(self, garments: Sequence[Garment]) -> Iterator[Node]:
        """The hashtags: each place has choices of its own, so that none comes twice; the product's facts first."""
        facts = list(self._fact_tags(garments))[: MOST_TAGS - 3]
        used = {option for place in facts for option in place}
        own = _neutral(self._tone, self._audience, self._extra)
        neutral = [pool if used.isdisjoint(pool) else tuple(tag for tag in pool if tag not in used) for pool in own]
        neutral = [pool for pool in neutral if pool][: MOST_TAGS - len(facts)]
        least = max(0, 8 - len(facts))
        places = [_one_tag(options) for options in (*facts, *neutral)]
        yield places[0]
        for number, place in enumerate(places[1:], start=1):
            if number < len(facts) + max(least, 3):
                yield seq(" ", place)
            else:
                yield _optional_tail(places[number:])
                return

    def _fact_tags(self, garments: Sequence[Garment]) -> Iterator[tuple[str, ...]]:
        """For each place its choices: four of the product, two of each other garment."""
        seen: set[str] = set()
        for number, garment in enumerate(garments):
            told = told_of(garment)
            places = (
                [tag for part in told.only(facet) for tag in own_tags(facet, part, self._audience, self._extra)]
                for facet in (_TAGS_BESIDE if number else _TAGS)
            )
            for place in islice(filter(None, places), 2 if number else 4):
                held = tuple(
                    tag.text for tag in place if tag.text not in seen and (tag.holds or self._holds_of_all(tag.text))
                )
                seen.update(tag.text for tag in place)
                if held:
                    yield held

    def _holds_of_all(self, tag: str) -> bool:
        """Whether a tag that its own garment alone does not bear out is borne out by the whole pack."""
        if self._holding is None:
            self._holding = grounding(self._evidence)
        return bool(self._holding([hashtag(tag)]))


@lru_cache(maxsize=1024)
def _agreeing(template: str, plural: bool, several: bool) -> tuple[str, ...]:
    """A sentence with its plurals settled: text and the names of its slots in turn."""
    text = re.sub(r"<([^|>]*)\|([^>]*)>", r"\2" if plural else r"\1", template)
    text = re.sub(r"\(([^|)]*)\|([^)]*)\)", r"\2" if several else r"\1", text)
    return tuple(_TOKEN.split(text))


@lru_cache(maxsize=64)
def _suited(templates: tuple[str, ...], audience: Audience) -> tuple[str, ...]:
    """The templates with all their choices, those that suit the audience."""
    found = tuple(text for template in templates for text in _expanded(template))
    return tuple(text for text in found if not unfit(text, audience)) or found


@lru_cache(maxsize=64)
def _frames(tone: str, plural: bool, audience: Audience) -> tuple[tuple[Frame, ...], ...]:
    """Those of a tone that suit the audience, for each of its sentences."""
    fit = [[text for text in _expanded(one) if not unfit(text, audience)] for one in phrases.LEADS[tone]]
    return tuple(_frames_of(texts, plural) for texts in fit if texts)


def _frames_of(texts: Sequence[str], plural: bool) -> tuple[Frame, ...]:
    behind: dict[tuple[bool, str], list[str]] = {}
    for template in texts:
        text = re.sub(r"<([^|>]*)\|([^>]*)>", r"\2" if plural else r"\1", template)
        before, slot, after = _LEAD.split(text)
        behind.setdefault((slot == "A", before), []).append(after)
    alike: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for (start, before), options in behind.items():
        alike.setdefault((start, tuple(dict.fromkeys(options))), []).append(before)
    return tuple(Frame(start, any_of(before), any_of(after)) for (start, after), before in alike.items())


def _with_its_article(text: str, claims: Claims) -> Node:
    """The cloth with what stands before it ("a wool blend"): the claim is the cloth."""
    article, blank, rest = text.partition(" ")
    return seq(f"{article} ", Slot(rest, claims)) if blank and article in ("a", "an") else Slot(text, claims)


def _framed(product: Node, frames: Sequence[Frame]) -> Node:
    """The sentences that a product may stand in."""
    opening = _opening(product) if any(frame.begins for frame in frames) else product
    return any_of([seq(frame.before, opening if frame.begins else product, frame.behind) for frame in frames])


@lru_cache(maxsize=256)
def _neutral(tone: str, audience: Audience, extra: Extra) -> tuple[tuple[str, ...], ...]:
    """Tags that claim nothing, by their place; beside a pack's own words (`extra`) those that hide none of them."""
    own, common = phrases.NEUTRAL_TAGS[tone], phrases.COMMON_TAGS
    pools = (*(own[n::3] for n in range(3)), *(common[n::6] for n in range(6)))
    return tuple(
        tuple(
            tag
            for tag in pool
            if not unfit_tag(joined := tag.replace(" ", ""), audience) and split_tag(joined, extra) == ()
        )
        for pool in pools
    )


def _optional_tail(places: Sequence[Node]) -> Node:
    """Further tags, any number of them, in their order."""
    tail: Node = ""
    for place in reversed(places):
        tail = any_of((seq(" ", place, tail), ""))
    return tail


@lru_cache(maxsize=1024)
def _one_tag(options: tuple[str, ...]) -> Node:
    """A place of hashtags: those that claim nothing are the same for every product of a tone."""
    return any_of(map(_written_tag, options))


def _written_tag(tag: str) -> str:
    """In capitals a tag's tokens are its words: "#NavyDress"."""
    return "#" + "".join(capital(word) for word in tag.split())


@lru_cache(maxsize=KEPT_GARMENTS)
def _phrases(told: Told, owner: Node, *, fabric: bool) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The garment as a noun phrase with its article, in each order of its facts that English allows, the usual one first; and what ends each."""
    garment = garment_of(told)
    shades = [Slot(name, ((garment.id, "colour"),)) for name in colours(garment)]
    colour: list[Node] = [seq(shades[0], " and ", shades[1])] if len(shades) == 2 else list(shades)
    stuff: list[Node] = [Slot(attribute(garment, "fabric"), ((garment.id, "fabric"),))] if fabric else []
    stuff = stuff if attribute(garment, "fabric") else []
    pattern: list[Node] = [text] if (text := printed_pattern(garment)) else []
    noun: list[Node] = [Slot(written_noun(garment), ((garment.id, "category"),))]
    sleeve, length = attribute(garment, "sleeve"), attribute(garment, "length")
    front: list[Node] = [owner] if owner else []
    front += ["sleeveless"] if sleeve == "sleeveless" else []
    front += [f"{length}-length" if length in LENGTHS else length] if length else []
    plain = pattern == [PLAIN_CLOTH]
    orders = [[*front, *pattern, *colour, *stuff, *noun] if plain else [*front, *colour, *pattern, *stuff, *noun]]
    if colour and pattern and not plain:
        orders.append([*front, *pattern, *colour, *stuff, *noun])
    behind: list[list[Node]] = [[] for _ in orders]
    if colour and not plain:
        orders.append([*front, *pattern, *stuff, *noun])
        behind.append([" in ", *colour])
        if stuff:
            orders.append([*front, *pattern, *noun])
            behind.append([" in ", *colour, " ", *stuff])
    details = [f"{sleeve} sleeves" if sleeve and sleeve != "sleeveless" else "", neck(attribute(garment, "neckline"))]
    tail = " and ".join(detail for detail in details if detail)
    plural = is_plural(garment)
    phrased = tuple(seq(_articled(order, plural), *more) for order, more in zip(orders, behind, strict=True))
    return phrased, (f" with {tail}",) if tail else ()


def _articled(words: Sequence[Node], plural: bool) -> Node:
    spaced = [part for n, word in enumerate(words) for part in ((" ", word) if n else (word,))]
    article = with_article(first_text(words[0]), plural).removesuffix(first_text(words[0]))
    return seq(*([article] if article else []), *spaced)


def _opening(node: Node) -> Node:
    """The same at the start of a sentence."""
    if isinstance(node, str):
        return capital(node)
    if isinstance(node, Slot):
        return Slot(capital(node.text), node.claims)
    if isinstance(node, Choice):
        return any_of(_opening(option) for option in node.options)
    return seq(_opening(node.parts[0]), *node.parts[1:])


def _expanded(text: str) -> list[str]:
    """A template with each of its choices `[a|b]` settled in each way."""
    match = re.search(r"\[([^\[\]]*)\]", text)
    if match is None:
        return [text]
    return [
        done
        for option in match.group(1).split("|")
        for done in _expanded(text[: match.start()] + option + text[match.end() :])
    ]
