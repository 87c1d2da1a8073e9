"""True sentences about drawn garments, in varied grammar. Nothing is said that the spec does not hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from processors.drawn.spec import GarmentSpec

_NOUNS: dict[str, tuple[str, ...]] = {
    "sunglass": ("sunglasses", "pair of sunglasses", "shades"),
    "hat": ("hat",),
    "jacket": ("jacket",),
    "shirt": ("shirt", "top"),
    "pants": ("pants", "trousers", "pair of pants", "pair of trousers"),
    "shorts": ("shorts", "pair of shorts"),
    "skirt": ("skirt",),
    "dress": ("dress",),
    "bag": ("bag",),
    "shoe": ("shoes", "pair of shoes"),
}
_PATTERN: dict[str, tuple[str, ...]] = {
    "striped": ("striped", "stripy"),
    "checked": ("checked", "plaid", "checkered"),
    "dotted": ("dotted", "polka dot", "spotted"),
    "floral": ("floral", "flower print"),
}
_SLEEVE: dict[str, tuple[str, ...]] = {
    "sleeveless": ("without sleeves", "that is sleeveless"),
    "short": ("with short sleeves",),
    "long": ("with long sleeves",),
}
_NECK: dict[str, str] = {
    "crew": "a crew neck",
    "v": "a V-neck",
    "scoop": "a scoop neck",
    "square": "a square neckline",
    "high": "a high neck",
    "collar": "a collar",
    "lapel": "lapels",
    "hood": "a hood",
}
_LENGTH: dict[str, str] = {
    "mini": "mini",
    "knee": "knee-length",
    "midi": "midi",
    "maxi": "maxi",
    "cropped": "cropped",
    "full": "full-length",
    "hip": "hip-length",
    "long": "long",
}


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def noun(category: str, rng: np.random.Generator) -> str:
    """Return a word for the category, singular or plural as English has it."""
    return _choose(rng, _NOUNS[category])


def length_word(length: str, category: str) -> str:
    """Return the adjective for a length; a mini pair of shorts is just short."""
    return "short" if length == "mini" and category == "shorts" else _LENGTH[length]


def describe(spec: GarmentSpec, rng: np.random.Generator) -> str:
    """Return a noun phrase for the garment: "a striped navy and white shirt with long sleeves"."""
    word = noun(spec.category, rng)
    pattern = _choose(rng, _PATTERN[spec.pattern]) if spec.pattern != "solid" else _choose(rng, ("", "", "plain"))
    colour = spec.colour if spec.second_colour is None else f"{spec.colour} and {spec.second_colour}"
    before = [pattern, colour] if rng.random() < 0.5 else [colour, pattern]
    if spec.length and rng.random() < 0.5:
        before.insert(0, length_word(spec.length, spec.category))
    if spec.fabric and rng.random() < 0.45:
        before.append(spec.fabric)
    after: list[str] = []
    if spec.sleeve and rng.random() < 0.55:
        after.append(_choose(rng, _SLEEVE[spec.sleeve]))
    if spec.neckline and rng.random() < 0.45:
        after.append(("and " if after and after[0].startswith("with ") else "with ") + _NECK[spec.neckline])
    phrase = " ".join([*(b for b in before if b), word, *after])
    if word.startswith("pair of "):
        phrase = "pair of " + phrase.replace("pair of ", "", 1)
    elif word in {"sunglasses", "shades", "pants", "trousers", "shorts", "shoes"}:
        return phrase
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def listed(phrases: Sequence[str]) -> str:
    """Join phrases: "a, b and c"."""
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def caption(specs: Sequence[GarmentSpec], rng: np.random.Generator, *, worn: bool) -> str:
    """Return one or two true sentences about what a scene shows; `specs` in the order of the scene, maybe none."""
    if not specs:
        return "A person." if worn else "An empty scene."
    phrases = [describe(s, rng) for s in specs]
    if worn:
        start = _choose(rng, ("A person wears", "Someone is wearing", "A person in", "Worn here:", "The outfit is"))
    else:
        start = _choose(rng, ("The picture shows", "Here lies", "A flat lay of", "Seen here:", "A photo of"))
    if len(phrases) > 1 and rng.random() < 0.4:
        second = _choose(rng, ("There is also", "It comes with", "Alongside there is", "It is paired with"))
        many = listed(phrases[1:])
        return f"{start} {phrases[0]}. {second} {many}."
    return f"{start} {listed(phrases)}."
