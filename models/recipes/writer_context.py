"""Generated stories, each with the sentence that is to be written of it: what the adapter for articles learns from.

Names and places are put together from syllables: what is learnt is to copy them. None of the makers, places and few of the phrases of
`weft eval context` are among them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from models.recipes.writer_data import draw
from processors.context.facts import MAX_CHARACTERS
from processors.context.telling import StoryRequest, refused
from processors.evidence import colours, kind_noun
from processors.values import Evidence
from processors.vocabulary import clean

_ONSETS = (
    "B",
    "C",
    "D",
    "F",
    "G",
    "H",
    "J",
    "K",
    "L",
    "M",
    "N",
    "P",
    "R",
    "S",
    "T",
    "V",
    "W",
    "Z",
    "Br",
    "Cl",
    "Dr",
    "Fr",
    "Gr",
    "St",
    "Tr",
    "Sch",
    "Th",
    "",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ei", "ou", "ia", "ea")
_CODAS = (
    "n",
    "r",
    "l",
    "s",
    "nd",
    "rt",
    "ll",
    "m",
    "ck",
    "ne",
    "ra",
    "tti",
    "sen",
    "ska",
    "ros",
    "lin",
    "mann",
    "do",
    "va",
    "ton",
)
_HOUSES = ("", "", "", "", "Atelier ", "Studio ", "Maison ", "Casa ", "Weberei ", "Mill ")
_MAKING = (
    ("cut", "cut"), ("sewn", "sewed"), ("woven", "wove"), ("knitted", "knitted"), ("drawn", "drew"), ("dyed", "dyed"), ("finished", "finished"),
    ("printed", "printed"), ("designed", "designed"), ("embroidered", "embroidered"), ("tailored", "tailored"), ("stitched", "stitched"), ("lined", "lined"),
)  # fmt: skip
_PEOPLE = (
    "harbour pilots",
    "night nurses",
    "tram drivers",
    "beekeepers",
    "violin makers",
    "postmen",
    "bakers",
    "dancers",
    "lighthouse keepers",
    "gardeners",
    "painters",
    "sailors",
    "teachers",
    "cyclists",
)
_NEEDS = (
    "wanted pockets that hold",
    "walked home in the rain",
    "worked before dawn",
    "needed both hands free",
    "travelled light",
    "stood all day",
    "slept on trains",
    "climbed stairs",
    "wanted one thing for every season",
)
_SOURCES = (
    "a letter",
    "a poster",
    "a postcard",
    "a stage costume",
    "a family album",
    "an old sample book",
    "a curtain",
    "a map",
)
_FILLERS = (
    "It is good company {when}.", "We like how it falls.", "Wash it cold and dry it flat.", "The cut leaves room to move.", "Nothing about it is loud.",
    "It gets better with every year.", "There are pockets on both sides.", "The seams are flat and soft.", "It comes in a paper bag.", "Wear it loose or belted.",
    "The colour is calm.", "It packs small.", "It pairs with almost everything.", "The buttons are sewn on twice.",
)  # fmt: skip
_MOMENTS = ("in the evening", "on a train", "by the sea", "at the market", "in the garden", "on a cold day")
_DISTRACTIONS = (
    "Our scarves come from {place}.",
    "{who} will show new bags next spring.",
    "The shop in {place} opens at ten.",
)


class StoryExample(NamedTuple):
    """What is asked, and the answer to learn."""

    request: StoryRequest
    text: str


class _Facts(NamedTuple):
    who: str
    where: str
    when: str
    made: str
    did: str
    people: str
    need: str
    source: str
    noun: str
    whole: str
    """The garment with its colour, where one is known: "navy dress"."""


def stories(seed: int) -> Iterator[StoryExample]:
    """Endless examples, the same for the same seed."""
    number = 0
    while True:
        rng = random.Random(f"story:{seed}:{number}")
        pack = draw(rng)
        number += 1
        if not pack.garments:
            continue
        example = example_of(pack, rng)
        # "Knitted" of a garment of linen: what the checks refuse is not to be learnt.
        if not refused(example.text, example.request.sentences, pack, "product", MAX_CHARACTERS):
            yield example


def example_of(pack: Evidence, rng: random.Random) -> StoryExample:
    """One story about the first garment of a pack."""
    facts = _facts(pack, rng)
    told, text = rng.choice(_FORMS)(facts, rng)
    others = [one.format(when=rng.choice(_MOMENTS)) for one in rng.sample(_FILLERS, 2)]
    if rng.random() < 0.3:
        others[0] = rng.choice(_DISTRACTIONS).format(place=_place(rng), who=_person(rng))
    sentences = [*told]
    for other in others[: max(0, 3 - len(told))]:
        sentences.insert(rng.choice((0, len(sentences))), other)
    return StoryExample(StoryRequest(tuple(sentences), pack, rng.getrandbits(31)), text)


def _facts(pack: Evidence, rng: random.Random) -> _Facts:
    garment = pack.garments[0]
    noun = kind_noun(garment) or clean(garment.category)
    colour = next(iter(colours(garment)), "")
    if noun.endswith("s") and not noun.endswith("ss"):
        noun, colour = "pair", f"pair of {colour} {noun}".replace("  ", " ")
    made, did = rng.choice(_MAKING)
    return _Facts(
        _person(rng), _place(rng), str(rng.randint(1840, 2024)), made, did, rng.choice(_PEOPLE), rng.choice(_NEEDS), rng.choice(_SOURCES),
        noun, colour if noun == "pair" else f"{colour} {noun}".strip(),
    )  # fmt: skip


def _in_one(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    said = rng.choice((
        f"It was {f.made} by {f.who} in {f.where} in {f.when}.", f"The {f.noun} was {f.made} in {f.where} by {f.who} in {f.when}.",
        f"In {f.when}, {f.who} {f.did} it in {f.where}.", f"{f.who} of {f.where} {f.did} this {f.noun} in {f.when}.",
    ))  # fmt: skip
    return [said], f"This {f.whole} was {f.made} by {f.who} in {f.where} in {f.when}."


def _in_two(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    first = rng.choice(
        (f"{f.who} {f.did} the first one in {f.when}.", f"The first one was {f.made} by {f.who} in {f.when}.")
    )
    second = rng.choice(
        (f"The workshop is in {f.where}.", f"All of it happened in {f.where}.", f"The work is still done in {f.where}.")
    )
    told = [first, second] if rng.random() < 0.6 else [second, first]
    return told, f"The first of this {f.whole} was {f.made} by {f.who} in {f.when}, in {f.where}."


def _for_whom(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    why = rng.choice((f"It was made for {f.people} who {f.need}.", f"They made it for {f.people} who {f.need}."))
    return [
        f"{f.who} {f.did} it in {f.where}.",
        why,
    ], f"{f.who} of {f.where} {f.did} this {f.whole} for {f.people} who {f.need}."


def _after(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    said = rng.choice((
        f"The idea is from {f.source} of {f.when} that {f.who} found in {f.where}.", f"{f.who} found {f.source} of {f.when} in {f.where}, and the {f.noun} is after it.",
    ))  # fmt: skip
    return [said], f"This {f.whole} is after {f.source} of {f.when} that {f.who} found in {f.where}."


def _named(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    said = rng.choice(
        (
            f"It has its name from {f.who}, who came to {f.where} in {f.when}.",
            f"Its name is that of {f.who}, who came to {f.where} in {f.when}.",
        )
    )
    return [said], f"This {f.whole} has its name from {f.who}, who came to {f.where} in {f.when}."


def _by_hand(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    said = rng.choice((
        f"{f.who} has {f.made} each one by hand in {f.where} since {f.when}.", f"Each one has been {f.made} by hand by {f.who} in {f.where} since {f.when}.",
    ))  # fmt: skip
    return [said], f"{f.who} has {f.made} this {f.whole} by hand in {f.where} since {f.when}."


def _house(f: _Facts, rng: random.Random) -> tuple[list[str], str]:
    said = rng.choice((
        f"It comes from the workshop of {f.who} in {f.where}, founded in {f.when}.", f"{f.who}, founded in {f.where} in {f.when}, {f.did} it.",
    ))  # fmt: skip
    return [said], f"This {f.whole} comes from {f.who}, founded in {f.where} in {f.when}."


_FORMS = (_in_one, _in_two, _for_whom, _after, _named, _by_hand, _house)


def _person(rng: random.Random) -> str:
    house = rng.choice(_HOUSES)
    return f"{house}{_name(rng)}" if house else f"{_name(rng)} {_name(rng)}"


def _place(rng: random.Random) -> str:
    return _name(rng) if rng.random() < 0.8 else f"{rng.choice(('San', 'Bad', 'Saint', 'New', 'Port'))} {_name(rng)}"


def _name(rng: random.Random) -> str:
    parts = rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
    if rng.random() < 0.4:
        parts = rng.choice(_ONSETS) + rng.choice(_VOWELS) + parts.lower()
    return parts[:1].upper() + parts[1:]
