"""Pictures of the composer's triplets: series of one garment before and after a change, so that each pair is a true triplet.

- `drawn`: a garment, and the same with one facet changed, each drawn anew on another ground: facets known by construction.
- `street`, `phone`: a real garment through its mask, as it is, dyed, and in new cloth of a known pattern; the colour is measured
  afterwards. Cut, kind, light and folds stay: what differs is what is said.
- `stream`: what `weft triplets export` wrote (`composer_stream`).

`products` is for evaluation only, by its licence. It never appears here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_colour import blended, dye
from models.recipes.encoder_data import read
from models.recipes.facets_data import drawn_sample
from models.recipes.facets_frames import LEAST, cut_at, cut_out, ground_of, scaled_box, shadowed, sized, window_of
from models.recipes.facets_prints import redrawn
from models.recipes.facets_truth import PHONE, STREET, Allowed
from processors.colours import colours_of_mask
from processors.drawn import GarmentSpec, random_spec
from processors.drawn.spec import LENGTHS, NECKLINES, PATTERNS, SLEEVES
from processors.palette import PALETTE
from processors.values import Box, Mask, Pixels

DRAWN_SEEDS = 12_000_000
"""Scenes of this recipe start here; tests, benchmarks and the other recipes draw other seeds."""
LEAD = 0.55
"""A colour that covers less of a garment does not name it."""
_CATEGORIES = ("shirt", "dress", "jacket", "skirt", "pants", "shorts", "bag", "shoe")
_SHARES = (0.4, 0.22, 0.12, 0.1, 0.05, 0.05, 0.03, 0.03)
_CLOTH = ("solid", "striped", "checked", "dotted", "floral", "printed")
_DRAWN_NECKS = {"crew": "round", "scoop": "round", "v": "v", "high": "high", "collar": "collar", "hood": "hood"}
_DRAWN_LENGTHS = frozenset({"mini", "knee", "midi", "maxi", "cropped"})


@dataclass(frozen=True, slots=True)
class Picture:
    """One garment: pixels, its box in them, and what is known of it."""

    pixels: Pixels
    box: Box
    facets: dict[str, str]


def drawn_series(number: int, members: int) -> list[Picture]:
    """A drawn garment and the same with one facet changed; fewer than two members are no series."""
    rng = np.random.default_rng([DRAWN_SEEDS, number])
    base = random_spec(rng, str(rng.choice(_CATEGORIES, p=_SHARES)))
    specs = [base, *(_changed(base, rng) for _ in range(members - 1))]
    seeds = (DRAWN_SEEDS + number * 16 + place for place in range(members))
    found = [(drawn_sample(seed, spec), spec) for seed, spec in zip(seeds, specs, strict=True)]
    return [Picture(one.pixels, one.box, facets_of(spec)) for one, spec in found if one is not None]


def facets_of(spec: GarmentSpec) -> dict[str, str]:
    """What is known of a drawn garment, in the names that queries are read in."""
    found = {"category": spec.category, "colour": spec.colour, "pattern": spec.pattern}
    if spec.sleeve and spec.category in ("shirt", "dress"):
        found["sleeve"] = spec.sleeve
    if spec.category in ("shirt", "dress") and spec.neckline in _DRAWN_NECKS:
        found["neckline"] = _DRAWN_NECKS[spec.neckline]
    if spec.length in _DRAWN_LENGTHS and spec.category in ("skirt", "dress", "shirt", "pants"):
        found["length"] = spec.length
    if spec.fabric:
        found["fabric"] = spec.fabric
    return found


def _changed(spec: GarmentSpec, rng: np.random.Generator) -> GarmentSpec:
    """With one facet of another value, as garments of the category have it."""
    facets = ["colour", "colour", "pattern"]
    facets += ["sleeve"] * 2 if spec.category in ("shirt", "dress") else []
    facets += ["neckline"] * 2 if spec.category in ("shirt", "dress") else []
    facets += ["length"] if spec.category in ("skirt", "dress") else []
    facet = str(rng.choice(facets))
    if facet == "colour":
        return replace(spec, colour=_other([n for n, _ in PALETTE], spec.colour, rng))
    if facet == "pattern":
        pattern = _other(PATTERNS, spec.pattern, rng)
        # The ink of another garment: it has to stand out from this one's colour.
        inks = [n for n, _ in PALETTE if n != spec.colour] if pattern != "solid" else [""]
        ink = spec.second_colour or str(rng.choice(inks))
        return replace(spec, pattern=pattern, second_colour=None if pattern == "solid" else ink)
    if facet == "sleeve":
        return replace(spec, sleeve=_other(SLEEVES, spec.sleeve, rng))
    if facet == "neckline":
        necks = [
            n for n in NECKLINES if _DRAWN_NECKS.get(n, "") not in ("", _DRAWN_NECKS.get(spec.neckline or "", "-"))
        ]
        return replace(spec, neckline=str(rng.choice(necks)))
    return replace(spec, length=_other([n for n in LENGTHS if n in ("mini", "knee", "midi", "maxi")], spec.length, rng))


def _other(values: Any, value: str | None, rng: np.random.Generator) -> str:
    return str(rng.choice([one for one in values if one != value]))


def street_series(
    data: Path, name: str, labels: dict[str, int], rng: np.random.Generator, members: int
) -> Iterator[list[Picture]]:
    """A series of each garment of a street photo that is large enough."""
    pixels = read(data / "street" / "photos" / name)
    mask = cv2.imread(str(data / "street" / "masks" / name.replace(".jpg", ".png")), cv2.IMREAD_GRAYSCALE)
    if pixels is None or mask is None:
        return
    numbers = np.asarray(mask, np.uint8)
    for label, allowed in STREET.items():
        own = numbers == labels[label]
        if int(own.sum()) >= 6 * LEAST:
            yield real_series(pixels, own, allowed, rng, members, person=numbers > 0)


def phone_series(data: Path, image: str, label: str, rng: np.random.Generator, members: int) -> list[Picture]:
    """The garment of a phone photo; none where it cannot be cut out."""
    pixels = read(data / "phone" / "photos" / f"{image}.jpg")
    own = None if pixels is None else cut_out(pixels)
    return [] if pixels is None or own is None else real_series(pixels, own, PHONE[label], rng, members)


def real_series(
    pixels: Pixels,
    own: Mask,
    allowed: Allowed,
    rng: np.random.Generator,
    members: int,
    *,
    person: Mask | None = None,
) -> list[Picture]:
    """A real garment as it is, dyed and in new cloth.

    Args:
        pixels: the photo.
        own: the garment's pixels.
        allowed: what its label says; facets with one value are known.
        rng: draws the changes.
        members: how many pictures at most; of what cannot be named there is none.
        person: pixels of its wearer, shown on another ground now and then; None: nobody wears it.
    """
    known = {facet: values[0] for facet, values in allowed.items() if len(values) == 1}
    found = []
    for place in range(members):
        changed = pixels.copy()
        pattern = ""
        if place and rng.random() < 0.4:
            dye(changed, own.astype(np.uint8), 1, rng)
        elif place:
            pattern = str(rng.choice(_CLOTH, p=(0.45, 0.17, 0.14, 0.06, 0.09, 0.09)))
            changed = redrawn(changed, own, pattern, rng, [pixels])
        colours = colours_of_mask(changed, own)
        if not colours or colours[0].share < LEAD:
            continue
        facets = {**known, "colour": colours[0].name, **({"pattern": pattern} if pattern else {})}
        found.append(_shown(changed, own, person, facets, rng))
    return found


def _shown(pixels: Pixels, own: Mask, person: Mask | None, facets: dict[str, str], rng: np.random.Generator) -> Picture:
    shown = own if person is None or rng.random() < 0.35 else person
    if person is None or rng.random() < 0.6:
        ground: NDArray[np.float32] = ground_of(own.shape, rng)
        pixels = blended(shadowed(pixels, shown, ground, rng), shown.astype(np.uint8), ground)
    x, y, w, h = cv2.boundingRect(own.astype(np.uint8))
    box = (float(x), float(y), float(x + w), float(y + h))
    cut, inner = cut_at(pixels, box, window_of(box, pixels.shape, rng, near=person is None))
    return Picture(sized(cut, rng), scaled_box(inner, cut, rng), facets)
