"""Is a result sure where something fits, and unsure where nothing does: noise, words of nothing, what the shop does not sell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np

from models.yardsticks.intervals import Interval, of_mean
from processors.values import Pixels
from processors.vocabulary import CATEGORY_NOUNS

COLOURS = ("black", "white", "navy", "red", "grey", "brown", "beige", "blue")
NOTHING = (
    "asdf qwer", "quarterly tax report", "qwertz uiop", "how to cook rice", "lorem ipsum dolor", "lawn mower", "xkcd zzz",
    "winter tyres", "blah blah", "usb cable", "jjjj kkkk", "the quick fox", "12345", "dentist appointment", "aaaa",
    "garden hose", "sdkfjh sdkjfh", "kettle", "zzzzzz", "mobile phone", "fgh jkl", "football scores", "kjh kjh kjh",
    "mortgage calculator", "??!!", "weather tomorrow", "hgf dsa", "python tutorial", "mnbv cxz", "dog food", "wert zuio",
    "bicycle pump", "plok mijn", "refund policy", "vcx vcx", "car insurance", "qqq www eee", "kitchen knife", "tgb yhn", "pizza",
)  # fmt: skip
"""Words that no shop of clothes can answer."""
_SIZE = (320, 240, 3)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a result said of one query: its kind, whether something fits it, its best score, what was seen, whether it was sure."""

    kind: str
    fits: bool
    score: float
    seen: bool
    confident: bool | None


class KindReport(msgspec.Struct, frozen=True):
    """`unsure_of_good`: of the queries that something fits, those called unsure. `unsure_of_nothing`: of the others."""

    good: int
    nothing: int
    unsure_of_good: float
    unsure_of_good_ci: Interval
    unsure_of_nothing: float
    unsure_of_nothing_ci: Interval


class RelevanceReport(msgspec.Struct, frozen=True):
    """`weft eval relevance --json`: by kind of query; "absent": words for what a shop of one category does not sell."""

    encoder: str
    kinds: dict[str, KindReport]


def report(encoder: str, judged: Sequence[Judgement]) -> RelevanceReport:
    """Count; a result that says nothing of its confidence counts as sure."""
    kinds = {}
    for kind in dict.fromkeys(one.kind for one in judged):
        good = np.array([one.confident is False for one in judged if one.kind == kind and one.fits], np.float64)
        none = np.array([one.confident is False for one in judged if one.kind == kind and not one.fits], np.float64)
        kinds[kind] = KindReport(len(good), len(none), _mean(good), of_mean(good), _mean(none), of_mean(none))
    return RelevanceReport(encoder, kinds)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def words_for(categories: Sequence[str]) -> list[str]:
    """As "navy dress": each category in each of some colours."""
    return [f"{colour} {CATEGORY_NOUNS[category][0]}" for category in categories for colour in COLOURS]


def noise(count: int, seed: int) -> list[Pixels]:
    """Photos of nothing: noise of several grains, plain, gradients, blocks, stripes, lines of letters, a meadow under a sky."""
    rng = np.random.default_rng(seed)
    makers = (_grains, _soft, _plain, _gradient, _blocks, _stripes, _letters, _meadow)
    return [np.ascontiguousarray(makers[number % len(makers)](rng)) for number in range(count)]


def _grains(rng: np.random.Generator) -> Pixels:
    drawn = rng.integers(0, 256, _SIZE, np.uint8)
    return drawn if rng.random() < 0.5 else np.repeat(drawn[:, :, :1], 3, axis=2)


def _soft(rng: np.random.Generator) -> Pixels:
    soft = np.asarray(cv2.GaussianBlur(rng.normal(size=_SIZE), (0, 0), float(rng.uniform(1, 25))))
    return np.asarray((soft - soft.min()) / (soft.max() - soft.min()) * 255, np.uint8)


def _plain(rng: np.random.Generator) -> Pixels:
    return np.full(_SIZE, rng.integers(0, 256, 3), np.uint8)


def _gradient(rng: np.random.Generator) -> Pixels:
    ends, along = rng.integers(0, 256, (2, 3)), np.linspace(0, 1, _SIZE[0])[:, None, None]
    return np.asarray(np.broadcast_to(ends[0] * along + ends[1] * (1 - along), _SIZE), np.uint8)


def _blocks(rng: np.random.Generator) -> Pixels:
    few = rng.integers(0, 256, (int(rng.integers(3, 30)), int(rng.integers(3, 20)), 3), np.uint8)
    return np.asarray(cv2.resize(few, (_SIZE[1], _SIZE[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _stripes(rng: np.random.Generator) -> Pixels:
    drawn = np.zeros(_SIZE, np.uint8)
    drawn[(np.arange(_SIZE[0]) // rng.integers(3, 20)) % 2 == 0] = rng.integers(0, 256, 3)
    return drawn


def _letters(rng: np.random.Generator) -> Pixels:
    page = np.full(_SIZE, 255, np.uint8)
    for line in range(20, 310, 16):
        text = "".join(chr(rng.integers(97, 123)) for _ in range(22))
        cv2.putText(page, text, (8, line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1)
    return page


def _meadow(rng: np.random.Generator) -> Pixels:
    drawn = np.empty(_SIZE, np.float64)
    drawn[:160], drawn[160:] = (150, 190, 240), (80, 140, 60)
    clouds = np.asarray(cv2.GaussianBlur(rng.normal(0, 150, _SIZE), (0, 0), 12))
    return np.asarray(np.clip(drawn + rng.normal(0, 12, _SIZE) + clouds, 0, 255), np.uint8)
