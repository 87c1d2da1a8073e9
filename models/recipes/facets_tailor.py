"""Garments cut anew: of a real one lying flat, another whose sleeves, neck or legs are known because they were made so.

V-necks, sleeveless and three-quarter sleeved tops and knee-long shorts are in hardly any source. A T-shirt, a long-sleeved top or trousers that
were cut out of a phone photo become one by their outline: sleeves are cut off at the armhole, at the elbow or below it, legs at the knee, and a
neck is opened, round as often as pointed, so that an opened neck as such tells nothing. Half of the tops are worn by a drawn body, because what
tells a bare shoulder in a catalogue is the arm below it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_colour import blended
from models.recipes.encoder_data import read
from models.recipes.facets_frames import Sample, cut_out, ground_of, scaled_box, sized, turned
from models.recipes.facets_prints import redrawn
from models.recipes.facets_truth import PHONE, Allowed
from processors.second_look import CATEGORY
from processors.values import Box, Mask, Pixels

TAILORED = frozenset({"t-shirt", "longsleeve", "pants", "polo", "shirt"})
"""Labels of `phone` that are cut anew."""
SIDE = 256
"""Longest side, in pixels, of what is cut anew: with the room around it as large as the pictures that are looked at."""
_SKINS = ((236, 203, 180), (222, 180, 150), (196, 146, 112), (150, 104, 76), (98, 66, 48))
_HAIRS = ((28, 22, 20), (60, 40, 28), (120, 84, 50), (20, 18, 24))
_LEGS = ((36, 48, 82), (40, 40, 44), (120, 120, 124), (196, 180, 150), (84, 104, 140))


def outline(mask: Mask) -> tuple[int, int, int, int, int, int]:
    """(left, top, width, height) of a garment, and the columns between which its body is, from the rows without sleeves or above the hem."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    rows = mask[y + round(0.62 * h) : y + round(0.88 * h)]
    edges = [(int(np.argmax(row)), int(len(row) - np.argmax(row[::-1]))) for row in rows if row.any()]
    if not edges:
        return x, y, w, h, x, x + w
    return x, y, w, h, int(np.median([a for a, _ in edges])), int(np.median([b for _, b in edges]))


def sleeveless(mask: Mask, rng: np.random.Generator) -> Mask:
    """Without its sleeves: between two armholes that bend from the shoulders to the sides."""
    _, y, _, h, left, right = outline(mask)
    width = right - left
    bottom = y + float(rng.uniform(0.3, 0.42)) * h
    inset = float(rng.uniform(0.02, 0.2)) * width
    rows = np.arange(mask.shape[0])[:, None]
    columns = np.arange(mask.shape[1])[None]
    depth = np.clip((bottom - rows) / max(1.0, bottom - y), 0, 1) ** float(rng.uniform(0.4, 1.0))
    inside = (columns > left + inset * depth) & (columns < right - inset * depth)
    return np.asarray(mask & (inside | (rows > bottom)), np.bool_)


def shortened(mask: Mask, share: float) -> Mask | None:
    """With sleeves of a share of their length; None where they do not hang beside the body."""
    x, _y, w, h, _, _ = outline(mask)
    # Of a top whose sleeves hang down the rows above the hem are as wide as sleeves and body; the body is about half of them.
    middle, half = x + w / 2, 0.3 * w
    left, right = round(middle - half), round(middle + half)
    beside = mask.copy()
    beside[:, left:right] = False
    rows = np.flatnonzero(beside.sum(1) > 0.03 * w)
    if len(rows) < 0.3 * h or beside.sum() < 0.12 * mask.sum():
        return None
    cut = rows[0] + share * (rows[-1] - rows[0])
    keep = mask.copy()
    gone = np.arange(mask.shape[0])[:, None] > cut
    keep[np.broadcast_to(gone, mask.shape) & beside] = False
    return keep


def knee_long(mask: Mask, rng: np.random.Generator) -> Mask:
    """Trousers cut off above, at or a little below the knee."""
    _, y, _, h = cv2.boundingRect(mask.astype(np.uint8))
    kept = mask.copy()
    slope = np.linspace(-1, 1, mask.shape[1])[None] * float(rng.uniform(-0.03, 0.03)) * h
    hem = y + float(rng.uniform(0.42, 0.64)) * h + slope
    kept &= np.arange(mask.shape[0])[:, None] < hem
    return kept


def neck_opened(
    pixels: Pixels, mask: Mask, shape: str, behind: NDArray[np.float64], rng: np.random.Generator
) -> Pixels | None:
    """The photo with a neck cut into the garment, `shape` "v" or "round"; `behind` is the colour of what shows there."""
    _, y, _, h, left, right = outline(mask)
    width = right - left
    middle = round((left + right) / 2)
    column = np.flatnonzero(mask[:, np.clip(middle, 0, mask.shape[1] - 1)])
    if not len(column) or column[0] > y + 0.25 * h:
        return None
    top = float(column[0])
    half = float(rng.uniform(0.11, 0.2)) * width
    depth = float(rng.uniform(0.9, 2.1) if shape == "v" else rng.uniform(0.45, 1.0)) * half
    rim = max(1, round(float(rng.uniform(0.008, 0.035)) * width))
    if shape == "v":
        sag = half * float(rng.uniform(-0.15, 0.15))
        line = np.array([(middle - half, y), (middle - half, top), (middle - half / 2 - sag, top + depth / 2), (middle, top + depth),
                         (middle + half / 2 + sag, top + depth / 2), (middle + half, top), (middle + half, y)])  # fmt: skip
    else:
        angles = np.linspace(np.pi, 0, 24)
        arc = np.stack([middle + half * np.cos(angles), top + depth * np.sin(angles)], 1)
        line = np.concatenate([[(middle - half, y)], arc, [(middle + half, y)]])
    points = np.round(line).astype(np.int32)
    opened, edge = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(opened, [points], 1)
    cv2.polylines(edge, [points[1:-1]], False, 1, rim)
    cloth = pixels[mask].mean(0)
    ribbed = cloth * float(rng.uniform(0.7, 1.15)) if rng.random() < 0.7 else rng.uniform(20, 240, 3)
    shade = np.linspace(0.75, 1.0, mask.shape[0])[:, None, None] * np.ones((1, mask.shape[1], 1))
    done = pixels.astype(np.float64)
    inside = (opened > 0) & mask
    done[inside] = (behind * shade)[inside]
    rims = (edge > 0) & mask
    done[rims] = 0.35 * done[rims] + 0.65 * ribbed
    noise = rng.normal(0, 2.5, done.shape)
    return np.clip(np.where((inside | rims)[..., None], done + noise, done), 0, 255).astype(np.uint8)


def worn(mask: Mask, ground: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The ground with a drawn body behind where the garment will lie: arms from its shoulders, neck, head and legs."""
    _x, y, _w, h, left, right = outline(mask)
    width = max(8, right - left)
    skin = np.array(_SKINS[int(rng.integers(len(_SKINS)))]) + rng.normal(0, 6, 3)
    painted = ground.copy()
    middle = (left + right) / 2
    light = np.linspace(1.06, 0.9, ground.shape[1])[None, :, None]

    def paint(shape: Mask, colour: NDArray[np.float64]) -> None:
        soft = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 1.0)[..., None]
        painted[:] = painted * (1 - soft) + np.clip(colour * light, 0, 255) * soft

    def limb(points: list[tuple[float, float]], thick: float) -> Mask:
        drawn = np.zeros(mask.shape, np.uint8)
        cv2.polylines(drawn, [np.round(np.array(points)).astype(np.int32)], False, 1, max(2, round(thick)))
        return drawn > 0

    swing = float(rng.uniform(0.05, 0.32)) * width
    for side, edge in ((-1, left), (1, right)):
        shoulder = (edge - side * 0.06 * width, y + 0.12 * h)
        elbow = (edge + side * (0.06 * width + 0.5 * swing), y + 0.5 * h)
        bent = rng.random() < 0.25
        hand = (edge - side * 0.1 * width, y + 0.8 * h) if bent else (edge + side * swing, y + 0.95 * h)
        paint(limb([shoulder, elbow, hand], 0.16 * width), skin)
    paint(limb([(middle, y - 0.2 * h), (middle, y + 0.2 * h)], 0.26 * width), skin * 0.95)
    head = np.zeros(mask.shape, np.uint8)
    at = (round(middle), round(y - 0.22 * h))
    cv2.ellipse(head, at, (round(0.2 * width), round(0.27 * width)), 0, 0, 360, 1, -1)
    hair = np.zeros(mask.shape, np.uint8)
    long = rng.random() < 0.5
    cv2.ellipse(
        hair,
        (at[0], at[1] - round(0.08 * width)),
        (round(0.24 * width), round((0.5 if long else 0.24) * width)),
        0,
        0,
        360,
        1,
        -1,
    )
    paint(hair > 0, np.array(_HAIRS[int(rng.integers(len(_HAIRS)))], np.float64))
    paint(head > 0, skin * 1.02)
    legs = np.array(_LEGS[int(rng.integers(len(_LEGS)))], np.float64)
    paint(limb([(middle - 0.2 * width, y + 0.9 * h), (middle - 0.22 * width, y + 2.2 * h)], 0.4 * width), legs)
    paint(limb([(middle + 0.2 * width, y + 0.9 * h), (middle + 0.22 * width, y + 2.2 * h)], 0.4 * width), legs)
    return painted


def roomy(pixels: Pixels, mask: Mask, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Photo and mask with room around the garment for whoever wears it."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    above, below, beside = (
        round(float(v) * s) for v, s in zip(rng.uniform((0.3, 0.1, 0.2), (0.5, 0.8, 0.5)), (h, h, w), strict=True)
    )
    part, inside = pixels[y : y + h, x : x + w], mask[y : y + h, x : x + w].astype(np.uint8)
    edges = (above, below, beside, beside)
    return (
        np.asarray(cv2.copyMakeBorder(part, *edges, cv2.BORDER_REPLICATE), np.uint8),
        cv2.copyMakeBorder(inside, *edges, cv2.BORDER_CONSTANT, value=0) > 0,
    )


def skin_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Of somebody."""
    return np.array(_SKINS[int(rng.integers(len(_SKINS)))], np.float64) + rng.normal(0, 6, 3)


def with_logo(pixels: Pixels, mask: Mask, rng: np.random.Generator) -> Pixels:
    """The garment with a small sign on its chest, as plain cloth often has."""
    _, y, _, h, left, right = outline(mask)
    width = right - left
    size = float(rng.uniform(0.05, 0.14)) * width
    at = (round(left + float(rng.uniform(0.25, 0.75)) * width), round(y + float(rng.uniform(0.25, 0.42)) * h))
    colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
    done = pixels.copy()
    which = rng.random()
    if which < 0.5:
        text = "".join(chr(int(v)) for v in rng.integers(65, 91, int(rng.integers(2, 8))))
        cv2.putText(
            done, text, at, cv2.FONT_HERSHEY_DUPLEX, max(0.2, size / 60), colour, max(1, round(size / 30)), cv2.LINE_AA
        )
    elif which < 0.75:
        cv2.circle(done, at, max(2, round(size / 2)), colour, -1, cv2.LINE_AA)
    else:
        cv2.ellipse(
            done,
            at,
            (max(2, round(size)), max(2, round(size / 2))),
            float(rng.uniform(0, 180)),
            0,
            360,
            colour,
            -1,
            cv2.LINE_AA,
        )
    return np.asarray(np.where(mask[..., None], done, pixels), np.uint8)


Cut = Callable[[Mask, np.random.Generator], Mask | None]


def cuts_of(label: str, rng: np.random.Generator) -> tuple[Cut | None, dict[str, tuple[str, ...]]]:
    """How a garment of a label of `phone` is cut this time, and what is known of it then; None: as it is."""
    if label == "pants":
        return knee_long, {CATEGORY: ("shorts",), "kind": ("shorts",)}
    if label == "t-shirt" and rng.random() < 0.5:
        return sleeveless, {"sleeve": ("sleeveless",), "kind": ("tank top", "t-shirt")}
    if label == "longsleeve":
        chance = float(rng.random())
        if chance < 0.45:
            return (lambda mask, r: shortened(mask, float(r.uniform(0.5, 0.72)))), {"sleeve": ("three-quarter",)}
        if chance < 0.65:
            return (lambda mask, r: shortened(mask, float(r.uniform(0.15, 0.36)))), {
                "sleeve": ("short",),
                "kind": ("t-shirt",),
            }
        if chance < 0.85:
            return sleeveless, {"sleeve": ("sleeveless",), "kind": ("tank top",)}
    return None, {}


def tailored_samples(data: Path, image: str, label: str, rng: np.random.Generator, copies: int) -> list[Sample]:
    """The garment of a phone photo cut anew `copies` times, on packshots' grounds; none where it cannot be cut out or cut anew."""
    pixels = read(data / "phone" / "photos" / f"{image}.jpg")
    own = None if pixels is None else cut_out(pixels)
    if pixels is None or own is None:
        return []
    found = []
    for _ in range(copies):
        made = tailored(pixels, own, label, PHONE[label], rng)
        if made is None:
            continue
        picture, box, known = made
        sample = Sample(sized(picture, rng), scaled_box(box, picture, rng), known, "phone cut anew")
        found.append(sample if rng.random() < 0.5 else turned(sample))
    return found


def tailored(
    pixels: Pixels, mask: Mask, label: str, known: Allowed, rng: np.random.Generator
) -> tuple[Pixels, Box, Allowed] | None:
    """A garment cut anew on a packshot's ground, the box of what is left of it, and what is true of it now.

    Args:
        pixels: a phone photo.
        mask: its garment.
        label: of `phone`.
        known: what the label allows.
        rng: chance.
    """
    pixels, mask = _small(pixels, mask)
    cut, told = cuts_of(label, rng)
    allowed: dict[str, tuple[str, ...]] = {**known, **told}
    own = mask if cut is None else cut(mask, rng)
    if own is None or own.sum() < 0.3 * mask.sum():
        return None
    pixels, own = roomy(pixels, own, rng)
    if label != "pants" and rng.random() < 0.5:
        pattern = str(rng.choice(["solid", "striped", "printed"], p=[0.7, 0.18, 0.12]))
        pixels = redrawn(pixels, own, pattern, rng, [])
        allowed["pattern"] = (pattern,)
        if pattern == "solid" and rng.random() < 0.5:
            pixels = with_logo(pixels, own, rng)
    # Sleeves that lie flat do not cover a drawn arm: long ones beside bare arms would teach the wrong thing.
    bare = allowed.get("sleeve") in (("short",), ("sleeveless",))
    carried = label != "pants" and bare and rng.random() < 0.7
    ground = ground_of(own.shape, rng)
    if carried:
        ground = worn(own, ground, rng)
    if label in ("t-shirt", "longsleeve") and rng.random() < 0.7:
        shape = "v" if rng.random() < 0.6 else "round"
        cloth = pixels[own].mean(0)
        behind = skin_colour(rng) if carried or rng.random() < 0.3 else cloth * float(rng.uniform(0.45, 0.8))
        opened = neck_opened(pixels, own, shape, behind, rng)
        if opened is not None:
            pixels, allowed["neckline"] = opened, (shape,)
    picture = blended(pixels, own.astype(np.uint8), ground)
    x, y, w, h = cv2.boundingRect(own.astype(np.uint8))
    return picture, (float(x), float(y), float(x + w), float(y + h)), allowed


def _small(pixels: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
    scale = min(1.0, SIDE / max(mask.shape))
    size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
    smaller = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return smaller, cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
