"""How well pictures of articles are told to be a product's photo: photos that were changed as articles and shops change them, look-alikes, and plain ones.

A picture is planted for each photo: the photo itself, changed. Each photo then looks for its own among all of them, by either encoder, by both,
and by both with geometry behind them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.ports import ImageEncoder
from processors.context.pictures import ALIKE, TOP, Candidate, judged, nearest, together
from processors.geometry import Features, Match, compare, features, mirrored
from processors.values import Pixels, Vector

T = TypeVar("T")

AREA, QUALITY = 0.6, 40
PLAIN = 40
BATCH = 16


class Found(msgspec.Struct, frozen=True):
    """Shares of the photos of one change. `ours`, `second`, `both`: whose own picture comes first by either encoder, and by both together;
    `geometry`: with local features behind them; `named`: whose own is among the candidates; `proved`: whose own is proved, and
    so applies; `wrong`: to which another picture than its own was proved.
    """

    ours: float
    second: float
    both: float
    geometry: float
    named: float
    proved: float
    wrong: float


class PicturesReport(msgspec.Struct, frozen=True):
    """What `weft eval context` found of pictures.

    `false_pairs`: of `pairs` look-alikes (the nearest others), those that are proved to be one photo. `abstains`, `plain_proved`: of `plain`
    pairs of different plain garments. `milliseconds`: of one core, by step.
    """

    photos: int
    changes: dict[str, Found]
    pairs: int
    false_pairs: float
    plain: int
    abstains: float
    plain_proved: float
    milliseconds: dict[str, float]


def changes(seed: int) -> dict[str, Callable[[Pixels], Pixels]]:
    """By name: what is done to a photo."""
    rng = np.random.default_rng(seed)

    def crop(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        tall, wide = int(height * AREA**0.5), int(width * AREA**0.5)
        top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
        return jpeg(pixels[top : top + tall, left : left + wide], 85)

    return {
        "60 % of its area": crop,
        f"quality {QUALITY}": lambda pixels: jpeg(pixels, QUALITY),
        "text over it": lambda pixels: jpeg(_marked(pixels), 85),
        "mirrored": lambda pixels: jpeg(pixels[:, ::-1], 85),
    }


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """As it comes back from a JPEG of this quality."""
    data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[:, :, ::-1])


def _marked(pixels: Pixels) -> Pixels:
    over = np.ascontiguousarray(pixels).copy()
    height, width = over.shape[:2]
    for line in range(1, 5):
        place = (width // 10, height * line // 5)
        cv2.putText(over, "SAMPLE SHOP", place, cv2.FONT_HERSHEY_SIMPLEX, width / 300, (255, 255, 255), 3)
    return np.asarray(cv2.addWeighted(over, 0.6, pixels, 0.4, 0), np.uint8)


def plain_garments(count: int, seed: int) -> list[Pixels]:
    """Garments of one colour, without a seam, before a plain ground: what a packshot of a T-shirt may come to."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        pixels = np.full((480, 360, 3), 244, np.uint8)
        colour = tuple(int(one) for one in rng.integers(20, 230, 3))
        x, y = int(rng.integers(70, 110)), int(rng.integers(60, 110))
        shape = np.array([(x, y), (360 - x, y), (340 - x, 430), (x + 20, 430)], np.int32)
        cv2.fillPoly(pixels, [shape], colour)
        made.append(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 6), np.uint8))
    return made


@dataclass(slots=True)
class Clock:
    """Processor seconds of the process, in which nothing else runs, and how often, by step."""

    spent: dict[str, tuple[float, int]] = field(default_factory=dict)

    def of(self, step: str, run: Callable[[], T], count: int = 1) -> T:
        """Run it."""
        began = time.process_time()
        found = run()
        seconds, times = self.spent.get(step, (0.0, 0))
        self.spent[step] = (seconds + time.process_time() - began, times + count)
        return found

    def milliseconds(self) -> dict[str, float]:
        """A time each."""
        return {step: round(1000 * seconds / max(1, times), 1) for step, (seconds, times) in self.spent.items()}


@dataclass(slots=True)
class Yardstick:
    """One run. `tick`: told of each photo that is done."""

    encoders: tuple[ImageEncoder, ImageEncoder]
    photos: Sequence[Pixels]
    seed: int = 29
    tick: Callable[[int], None] = lambda _: None
    clock: Clock = field(default_factory=Clock)
    _own: list[Features] = field(default_factory=list)

    def run(self) -> PicturesReport:
        """All of it; minutes of one core."""
        vectors = self._vectors(self.photos)
        self._own = [self._features(pixels) for pixels in self.photos]
        found: dict[str, Found] = {}
        pairs = false = 0
        for name, change in changes(self.seed).items():
            planted = [change(pixels) for pixels in self.photos]
            found[name], others, proved = self._searched(planted, vectors)
            pairs, false = pairs + others, false + proved
        plain = [features(one) for one in plain_garments(max(3, min(PLAIN, 2 * len(self.photos))), self.seed)]
        matches = [self._match(a, b) for a, b in pairwise(plain)]
        return PicturesReport(
            photos=len(self.photos),
            changes=found,
            pairs=pairs,
            false_pairs=round(false / max(1, pairs), 4),
            plain=len(matches),
            abstains=round(sum(one.abstains for one in matches) / len(matches), 3),
            plain_proved=round(sum(one.proved for one in matches) / len(matches), 4),
            milliseconds=self.clock.milliseconds(),
        )

    def _searched(
        self, planted: Sequence[Pixels], asked: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> tuple[Found, int, int]:
        """The figures of one change; how many pictures of others were compared, and how many of them were proved."""
        names = [f"{number:05d}" for number in range(len(planted))]
        there = self._vectors(planted)
        seen: dict[str, tuple[Features, Features]] = {}
        counts = dict.fromkeys(Found.__struct_fields__, 0)
        others = false = 0
        for number, own in enumerate(names):
            lists = [nearest(names, there[n], asked[n][number], TOP) for n in (0, 1)]
            candidates = [
                one
                for one in together(lists)
                if all(float(there[n][int(one.picture)] @ asked[n][number]) >= ALIKE[n] for n in (0, 1))
            ]
            matches = [self._compared(number, one, planted, seen) for one in candidates]
            order = judged(candidates, matches)
            counts["ours"] += lists[0][0][0] == own
            counts["second"] += lists[1][0][0] == own
            counts["both"] += together(lists)[0].picture == own
            counts["geometry"] += bool(order) and order[0].candidate.picture == own
            counts["named"] += any(one.picture == own for one in candidates)
            counts["proved"] += any(one.match.proved and one.candidate.picture == own for one in order)
            wrong = [one.match.proved for one in order if one.candidate.picture != own]
            counts["wrong"] += any(wrong)
            others, false = others + len(wrong), false + sum(wrong)
            self.tick(1)
        shares = {name: round(count / max(1, len(names)), 4) for name, count in counts.items()}
        return Found(**shares), others, false

    def _compared(
        self, number: int, one: Candidate, planted: Sequence[Pixels], seen: dict[str, tuple[Features, Features]]
    ) -> Match:
        if one.picture not in seen:
            picture = self._features(planted[int(one.picture)])
            seen[one.picture] = (picture, mirrored(picture))
        return self._match(self._own[number], *seen[one.picture])

    def _match(self, one: Features, other: Features, turned: Features | None = None) -> Match:
        return self.clock.of("compare", lambda: compare(one, other, turned or mirrored(other)))

    def _features(self, pixels: Pixels) -> Features:
        return self.clock.of("local features", lambda: features(pixels))

    def _vectors(self, photos: Sequence[Pixels]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        made = []
        for name, encoder in zip(("our encoder", "second encoder"), self.encoders, strict=True):
            found: list[Vector] = []
            for at in range(0, len(photos), BATCH):
                part = photos[at : at + BATCH]
                run = _run_of(encoder, part)
                found += self.clock.of(name, run, len(part))
            made.append(np.stack(found).astype(np.float32))
        return made[0], made[1]


def _run_of(encoder: ImageEncoder, part: Sequence[Pixels]) -> Callable[[], list[Vector]]:
    def run() -> list[Vector]:
        raws = encoder.forward([encoder.prepare(pixels) for pixels in part])
        return [encoder.finish(pixels, raw) for pixels, raw in zip(part, raws, strict=True)]

    return run


def page(report: PicturesReport, of: str) -> str:
    """The figures as Markdown."""
    head = "| changed to | ours | second | both | with geometry | own is named | proved | another proved |\n|---|---|---|---|---|---|---|---|"
    rows = [
        f"| {name} | {one.ours:.3f} | {one.second:.3f} | {one.both:.3f} | {one.geometry:.3f} | {one.named:.3f} | {one.proved:.3f} | {one.wrong:.3f} |"
        for name, one in report.changes.items()
    ]
    steps = ", ".join(f"{name} {value:.1f}" for name, value in report.milliseconds.items())
    return (
        f"{report.photos} {of}: R@1 of the photo among the changed ones\n\n{head}\n"
        + "\n".join(rows)
        + f"\n\nOf {report.pairs} pairs of look-alikes (others that an encoder named) {report.false_pairs:.4f} are proved to be one photo; of {report.plain} pairs of plain "
        f"garments {report.abstains:.3f} abstain and {report.plain_proved:.3f} are proved. Milliseconds of one core: {steps}.\n"
    )


def shares(report: PicturesReport) -> Mapping[str, float]:
    """R@1 over all changes, without and with geometry."""
    count = max(1, len(report.changes))
    return {
        "without": sum(one.both for one in report.changes.values()) / count,
        "with": sum(one.geometry for one in report.changes.values()) / count,
    }
