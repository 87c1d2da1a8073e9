"""Are garments found again that somebody wears in a photo: cut out they are the catalogue, and the photo, changed, asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np

from models.yardsticks.detection import Scene
from models.yardsticks.intervals import Interval, of_mean
from models.yardsticks.photos import Photos, UnreadableInput, load_all
from processors import crops
from processors.evidence import iou
from processors.values import CATEGORIES, Box, Pixels

SAME = 0.5
"""IoU from which a garment that was found is the one of the truth."""
LEAST = 900.0
"""Square pixels of a garment of the catalogue."""
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Garment:
    """A product of the catalogue: a garment cut out of photo number `photo`. `box`: in the photo as it is asked with."""

    product_id: str
    photo: int
    category: str
    box: Box
    data: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A changed photo, as the bytes that are asked with."""

    photo: int
    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """What was answered for one garment that was found: its box, and product ids, the best first."""

    box: Box
    hits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a photo: its merged hits, and those by garment."""

    photo: int
    hits: tuple[str, ...]
    garments: tuple[Listed, ...] = ()


class WayReport(msgspec.Struct, frozen=True):
    """One way of asking. Shares, with intervals of 95 % over the photos.

    `first`, `ten`: of the photos, those of which the first hit, one of ten, is a garment that is worn in them. `garment_first`, `garment_ten`: of
    the garments worn, those that are first, among ten, of the hits of the garment that was found in their place.
    `in_ten`: those among the ten first merged hits.
    """

    first: float
    first_ci: Interval
    ten: float
    ten_ci: Interval
    garment_first: float
    garment_ten: float
    in_ten: float


class WornReport(msgspec.Struct, frozen=True):
    """`weft eval worn --json`. `missed`: of the garments worn, the share in whose place none was found."""

    photos: int
    catalogue: int
    light: float
    whole: WayReport
    garments: WayReport
    missed: float
    first_by_category: dict[str, float]
    missing: tuple[str, ...]
    refused: tuple[UnreadableInput, ...]


def changed(pixels: Pixels, light: float) -> Pixels:
    """Mirrored, and darkened to so much of its light."""
    return np.ascontiguousarray((pixels[:, ::-1].astype(np.float32) * light).astype(np.uint8))


def made(
    scenes: Sequence[Scene], photos: Photos, light: float, refused: list[UnreadableInput]
) -> tuple[list[Garment], list[Asked]]:
    """The catalogue and the photos that ask. Ambiguous boxes (`iscrowd`) are no products."""
    catalogue: list[Garment] = []
    asking: list[Asked] = []
    for number, picture in load_all(photos, [scene.path for scene in scenes], refused):
        pixels = picture.decoded.pixels
        asking.append(Asked(number, scenes[number].path, _jpeg(changed(pixels, light))))
        catalogue += _cut(number, scenes[number], pixels)
    return catalogue, asking


def _cut(number: int, scene: Scene, pixels: Pixels) -> Iterator[Garment]:
    width = float(pixels.shape[1])
    for at, (box, kind, ambiguous) in enumerate(zip(scene.boxes, scene.classes, scene.ignore, strict=True)):
        x0, y0, x1, y1 = (float(side) for side in box)
        if not ambiguous and (x1 - x0) * (y1 - y0) >= LEAST:
            part = crops.cut(pixels, (x0, y0, x1, y1))
            mirrored = (width - x1, y0, width - x0, y1)
            yield Garment(f"{number}-{at}", number, CATEGORIES[int(kind)], mirrored, _jpeg(part))


def report(
    catalogue: Sequence[Garment],
    light: float,
    whole: Sequence[Answered],
    garments: Sequence[Answered],
    missing: Sequence[str],
    refused: Sequence[UnreadableInput],
) -> WornReport:
    """Count; photos without a garment of the catalogue are left out."""
    by_photo = _by_photo(catalogue)
    firsts: dict[str, list[bool]] = {}
    lost = []
    for answer in garments:
        for one in by_photo.get(answer.photo, []):
            listed = _in_place(one, answer)
            lost.append(listed is None)
            firsts.setdefault(one.category, []).append(listed is not None and listed.hits[:1] == (one.product_id,))
    return WornReport(
        photos=sum(answer.photo in by_photo for answer in garments),
        catalogue=len(catalogue),
        light=light,
        whole=_way(list(counted(catalogue, whole).values())),
        garments=_way(list(counted(catalogue, garments).values())),
        missed=float(np.mean(lost)),
        first_by_category={name: float(np.mean(found)) for name, found in sorted(firsts.items())},
        missing=tuple(missing),
        refused=tuple(refused),
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """One photo: `first`, `ten`: whether its first hit, one of ten, is worn in it; the others a value for each garment worn, in turn."""

    first: bool
    ten: bool
    alone_first: tuple[bool, ...]
    alone_ten: tuple[bool, ...]
    together: tuple[bool, ...]


def counted(catalogue: Sequence[Garment], answers: Sequence[Answered]) -> dict[int, Counted]:
    """Each photo that a garment of the catalogue is worn in."""
    by_photo = _by_photo(catalogue)
    return {one.photo: _counted(by_photo[one.photo], one) for one in answers if one.photo in by_photo}


def _by_photo(catalogue: Sequence[Garment]) -> dict[int, list[Garment]]:
    by_photo: dict[int, list[Garment]] = {}
    for one in catalogue:
        by_photo.setdefault(one.photo, []).append(one)
    return by_photo


def _counted(worn: Sequence[Garment], answer: Answered) -> Counted:
    own = {one.product_id for one in worn}
    alone_first, alone_ten, together = [], [], []
    for one in worn:
        listed = _in_place(one, answer)
        hits = listed.hits if listed is not None else () if answer.garments else answer.hits
        alone_first.append(hits[:1] == (one.product_id,))
        alone_ten.append(one.product_id in hits[:10])
        together.append(one.product_id in answer.hits[:10])
    first = answer.hits[:1] != () and answer.hits[0] in own
    ten = bool(own & set(answer.hits[:10]))
    return Counted(first, ten, tuple(alone_first), tuple(alone_ten), tuple(together))


def _way(found: Sequence[Counted]) -> WayReport:
    first = np.array([one.first for one in found], np.float64)
    ten = np.array([one.ten for one in found], np.float64)
    return WayReport(
        float(np.mean(first)),
        of_mean(first),
        float(np.mean(ten)),
        of_mean(ten),
        float(np.mean([value for one in found for value in one.alone_first])),
        float(np.mean([value for one in found for value in one.alone_ten])),
        float(np.mean([value for one in found for value in one.together])),
    )


def _in_place(one: Garment, answer: Answered) -> Listed | None:
    """What was found where this garment is."""
    best = max(answer.garments, key=lambda listed: iou(listed.box, one.box), default=None)
    return best if best is not None and iou(best.box, one.box) >= SAME else None


def _jpeg(pixels: Pixels) -> bytes:
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
