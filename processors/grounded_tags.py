"""What of a garment is written in a grammar, and its hashtags: made once for all products that have such a garment."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from processors import caption_phrases as phrases
from processors.audience import Audience
from processors.caption_grammar import printed_pattern, written_noun
from processors.claims import Extra
from processors.evidence import attribute, colours
from processors.values import Attribute, Colour, Evidence, Garment
from processors.verify import grounding
from processors.vocabulary import clean

KEPT_GARMENTS = 2048
"""Garments whose phrases and tags are remembered: other products have the same shoes."""
_WRITTEN = frozenset(("kind", "fabric", "pattern", "gender", "sleeve", "neckline", "length"))


class Told(NamedTuple):
    """What of a garment is written: of two products with black leather shoes the phrases and the tags of the shoes are the same."""

    id: str
    category: str
    colours: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]

    def only(self, facet: str) -> tuple[Told, ...]:
        """What the hashtags of one facet are made of; of two colours each has its own."""
        values = tuple([one for one in self.attributes if one[0] in ("kind", facet)])
        if facet not in ("colour", "look"):
            return (Told("", self.category, (), values),)
        return tuple([Told("", self.category, (shade,), values) for shade in self.colours])


def told_of(garment: Garment) -> Told:
    values = tuple([(facet, found.value) for facet, found in garment.attributes.items() if facet in _WRITTEN])
    return Told(garment.id, garment.category, colours(garment), values)


def garment_of(told: Told) -> Garment:
    """A garment of which the same is told."""
    return Garment(
        id=told.id,
        category=told.category,
        box=(0.0, 0.0, 1.0, 1.0),
        confidence=1.0,
        colours=tuple(Colour(name=name, hex="#000000", share=1.0) for name in told.colours),
        attributes={facet: Attribute(value=value, confidence=1.0) for facet, value in told.attributes},
    )


class Tag(NamedTuple):
    """A hashtag's words; `holds`: the verifier finds all that they claim in the garment."""

    text: str
    holds: bool


@lru_cache(maxsize=4 * KEPT_GARMENTS)
def own_tags(facet: str, told: Told, audience: Audience, extra: Extra) -> tuple[Tag, ...]:
    """The choices of a garment's hashtag of one facet. What a part of a garment bears out, any pack that holds it does."""
    garment = garment_of(told)
    noun = written_noun(garment)
    match facet:
        case "category":
            options = [noun]
        case "colour":
            options = [f"{colour} {noun}" for colour in told.colours]
        case "look":
            options = [f"{colour} {word}" for colour in told.colours for word in ("look", "style", "outfit")]
        case "gender":
            options = list(phrases.GENDER_TAGS.get(attribute(garment, "gender"), ()))
        case "fabric":
            fabric = attribute(garment, "fabric")
            options = [f"{fabric} {noun}", f"{fabric} style", f"{fabric} love"] if fabric else []
        case _:
            pattern = printed_pattern(garment)
            options = [f"{pattern} {noun}"] if pattern else []
    tags = tuple(dict.fromkeys(map(clean, options)))
    held = frozenset(grounding(Evidence((garment,)), audience, extra)(list(map(hashtag, tags))))
    return tuple(Tag(tag, hashtag(tag) in held) for tag in tags)


def hashtag(tag: str) -> str:
    return f"#{tag.replace(' ', '')}"
