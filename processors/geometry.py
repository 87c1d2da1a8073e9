"""Whether two photos are one: local features, a transform that most of them agree on, and the pixels under it.

After "Beyond Vision" (context-enriched captions by multi-modal retrieval): ORB and SIFT, Lowe's ratio, RANSAC. A plain garment has hardly a
feature, and of it nothing is said (`Match.abstains`). What the transform says is proved on the pixels: two photos of one model in two dresses
share a face, a floor and a logo, and agree on a transform all the same.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.values import Pixels

SIDE = 512
"""Longest side, in pixels, at which photos are compared; smaller ones are enlarged to `SIDE` / 2 at least."""
ORB_FEATURES, ORB_SCALE, ORB_LEVELS = 2000, 1.2, 8
SIFT_FEATURES = 1000
MANY, RATIO_OF_MANY, RATIO_OF_FEW = 500, 0.7, 0.75
RANSAC_PIXELS = 5.0
LEAST_KEYPOINTS, LEAST_MATCHES = 10, 4
ORB_WEIGHT, SIFT_WEIGHT = 0.6, 0.4
SURE, LEAST_INLIERS = 0.4, 8
"""Confidence above which, and inliers from which on, a match counts."""
FULL_INLIERS = 30
"""Inliers with which a method is as sure as their share among its matches lets it be."""

SAME_CORRELATION, SAME_SHARE = 0.9, 0.72
"""Of the shared area: correlation of brightness, and share of its small tiles that correlate, from which on two photos are one."""
TILE = 16
MARKED_CORRELATION, MARKED_TILES, MARKED_CONFIDENCE = 0.95, 0.25, 0.8
"""The same where both show the same frame at the same place: something may be laid over most of it."""
COPY_DIFFERENCE, MARKED_SHARE = 0.05, 0.97
"""Mean difference of levels under which nothing differs; share of tiles that are the same above which nothing was laid over."""
TONE, CHROMA = 12.0, 8.0
"""Mean difference of lightness and of either colour axis (CIELAB in 8 bits) up to which two tiles may be one: one photo in two colours is two products."""
WHOLE = 0.93
"""Share of either photo that the other shows, from which on nothing was cut off."""
LEAST_AREA = 0.15

Kind: TypeAlias = Literal["copy", "recompressed", "crop", "mirrored", "watermarked"]
Grey: TypeAlias = NDArray[np.uint8]
Lab: TypeAlias = NDArray[np.uint8]


class Features(msgspec.Struct, frozen=True):
    """Of one photo: its pixels at the size of comparison, CIELAB in 8 bits, and what was found in their lightness.

    Points are (n, 2) float32, x and y.
    """

    lab: Any
    orb: tuple[Any, Any]
    sift: tuple[Any, Any]


class Match(msgspec.Struct, frozen=True):
    """How two photos fit.

    `confidence`: 0..1, of features alone. `inliers`: as in the paper, the larger of ORB's and .8 of SIFT's. `abstains`: too little to say anything.
    `mirrored`: the second fits when it is mirrored. `correlation`, `tiles`: of the pixels under the transform, 0 where there is none. `overlap`:
    share of the first, and of the second, that both show. `difference`: mean, in levels of 255, where both show the same.
    """

    confidence: float
    inliers: int
    abstains: bool
    mirrored: bool = False
    correlation: float = 0.0
    tiles: float = 0.0
    overlap: tuple[float, float] = (0.0, 0.0)
    difference: float = 255.0

    @property
    def fits(self) -> bool:
        """Whether features agree as the paper wants it."""
        return not self.abstains and self.confidence > SURE and self.inliers >= LEAST_INLIERS

    @property
    def proved(self) -> bool:
        """Whether the pixels say the same: it is one photo."""
        if not self.fits or max(self.overlap) < LEAST_AREA:
            return False
        marked = (
            min(self.overlap) >= WHOLE
            and self.correlation >= MARKED_CORRELATION
            and self.tiles >= MARKED_TILES
            and self.confidence >= MARKED_CONFIDENCE
        )
        return marked or (self.correlation >= SAME_CORRELATION and self.tiles >= SAME_SHARE)

    @property
    def kind(self) -> Kind | None:
        """What one photo is of the other; None where it is not proved to be one."""
        if not self.proved:
            return None
        if self.mirrored:
            return "mirrored"
        if min(self.overlap) < WHOLE:
            return "crop"
        if self.tiles < MARKED_SHARE:
            return "watermarked"
        return "copy" if self.difference < COPY_DIFFERENCE else "recompressed"


def features(pixels: Pixels) -> Features:
    """The features of a photo, (height, width, 3) uint8 RGB."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    scale = min(SIDE / longest, max(1.0, SIDE / 2 / longest)) if longest else 1.0
    if scale != 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return _of_lab(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB))


def mirrored(of: Features) -> Features:
    """The features of the photo mirrored left to right."""
    return _of_lab(np.ascontiguousarray(of.lab[:, ::-1]))


def _of_lab(lab: NDArray[np.uint8]) -> Features:
    grey = np.ascontiguousarray(lab[:, :, 0])
    orb = cv2.ORB_create(nfeatures=ORB_FEATURES, scaleFactor=ORB_SCALE, nlevels=ORB_LEVELS)  # type: ignore[attr-defined]
    sift = cv2.SIFT_create(nfeatures=SIFT_FEATURES)  # type: ignore[attr-defined]
    return Features(lab, _found(orb, grey), _found(sift, grey))


def compare(one: Features, other: Features, turned: Features | None = None) -> Match:
    """How two photos fit, whichever of them is a part of the other.

    Args:
        one: of the first.
        other: of the second.
        turned: `mirrored(other)`, where a mirrored photo is to be found as well.
    """
    plain = _compared(one, other, mirror=False)
    if turned is None or plain.proved:
        return plain
    mirror = _compared(one, turned, mirror=True)
    return max(plain, mirror, key=lambda match: (match.proved, match.fits, match.confidence))


def _found(method: Any, grey: Grey) -> tuple[Any, Any]:
    keypoints, descriptors = method.detectAndCompute(grey, None)
    points = np.array([point.pt for point in keypoints], np.float32).reshape(-1, 2)
    return points, descriptors if descriptors is not None else np.zeros((0, 1), np.uint8)


def _compared(one: Features, other: Features, *, mirror: bool) -> Match:
    orb = _fitted(one.orb, other.orb, cv2.NORM_HAMMING)
    sift = _fitted(one.sift, other.sift, cv2.NORM_L2)
    if orb is None and sift is None:
        return Match(0.0, 0, abstains=True, mirrored=mirror)
    scores = [(0.0, 0) if found is None else (found[1], found[2]) for found in (orb, sift)]
    weights = [0.0 if found is None else weight for found, weight in ((orb, ORB_WEIGHT), (sift, SIFT_WEIGHT))]
    # A method that has nothing to go by says nothing against the other.
    confidence = sum(w * s for w, (s, _) in zip(weights, scores, strict=True)) / sum(weights)
    inliers = max(scores[0][1], round(0.8 * scores[1][1]))
    best = max((found for found in (orb, sift) if found is not None), key=lambda found: found[2])
    if best[0] is None:
        return Match(round(confidence, 4), inliers, abstains=False, mirrored=mirror)
    correlation, tiles, overlap, difference = _pixels(one.lab, other.lab, best[0])
    return Match(round(confidence, 4), inliers, False, mirror, correlation, tiles, overlap, difference)


def _fitted(
    one: tuple[Any, Any], other: tuple[Any, Any], norm: int
) -> tuple[NDArray[np.float64] | None, float, int] | None:
    """Transform from the first to the second, confidence, and inliers; None: too little to say anything."""
    (points, descriptors), (to_points, to_descriptors) = one, other
    if min(len(points), len(to_points)) < LEAST_KEYPOINTS:
        return None
    pairs = cv2.BFMatcher(norm).knnMatch(descriptors, to_descriptors, k=2)
    ratio = RATIO_OF_MANY if min(len(points), len(to_points)) > MANY else RATIO_OF_FEW
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < ratio * pair[1].distance]
    if len(good) < LEAST_MATCHES:
        return None
    here = np.array([points[match.queryIdx] for match in good], np.float32)
    there = np.array([to_points[match.trainIdx] for match in good], np.float32)
    cv2.setRNGSeed(7)  # the same photos fit the same way, always
    # Crops, copies and mirrors are moved and scaled, not bent: a homography would bend to fit a look-alike.
    transform, kept = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PIXELS)
    if transform is None:
        return None, 0.0, 0
    # Many features on one spot (a logo) are one place.
    places = {(int(x) // 8, int(y) // 8) for x, y in here[kept.ravel() == 1]}
    inliers = len(places)
    return transform, (int(kept.sum()) / len(good)) * min(1.0, inliers / FULL_INLIERS), inliers


Seen: TypeAlias = tuple[float, float, tuple[float, float], float]
_NOTHING: Seen = (0.0, 0.0, (0.0, 0.0), 255.0)


def _pixels(one: Lab, other: Lab, transform: NDArray[np.float64]) -> Seen:
    """Correlation, share of tiles that are the same, overlap, and mean difference of the first laid over the second."""
    area = float(abs(np.linalg.det(transform[:, :2])))
    if not 0.05 < area < 20:
        return _NOTHING
    if area > 1:  # the finer one is laid over the coarser: what a photo lost cannot be drawn again
        correlation, tiles, overlap, difference = _pixels(other, one, cv2.invertAffineTransform(transform))
        return correlation, tiles, (overlap[1], overlap[0]), difference
    height, width = other.shape[:2]
    if area < 0.8:
        one = cv2.GaussianBlur(one, (0, 0), 0.5 / area**0.5)
    laid = cv2.warpAffine(one, transform, (width, height), flags=cv2.INTER_LINEAR)
    inside = np.full(one.shape[:2], 255, np.uint8)
    seen = cv2.warpAffine(inside, transform, (width, height), flags=cv2.INTER_NEAREST)
    seen = cv2.erode(seen, np.ones((3, 3), np.uint8)) == 255
    count = int(seen.sum())
    if count < 32 * 32:
        return _NOTHING
    overlap = (min(1.0, count / area / inside.size), min(1.0, count / seen.size))
    # JPEG and scaling move what is finest.
    a, b = (cv2.GaussianBlur(lab, (0, 0), 1.5).astype(np.float32) for lab in (laid, other))
    correlation = _correlation(a[:, :, 0][seen], b[:, :, 0][seen])
    told = [one for one in map(_tile, *_tiles(a, b, seen)) if one is not None]
    if len(told) < 6:
        return correlation, 0.0, overlap, 255.0
    same = [difference for difference in told if difference >= 0]
    return correlation, len(same) / len(told), overlap, float(np.mean(same)) if same else 255.0


def _tiles(a: Any, b: Any, seen: Any) -> tuple[list[Any], list[Any]]:
    """The small tiles of both that lie wholly within what both show."""
    height, width = seen.shape
    places = [
        (slice(y, y + TILE), slice(x, x + TILE))
        for y in range(0, height - TILE + 1, TILE)
        for x in range(0, width - TILE + 1, TILE)
    ]
    kept = [place for place in places if seen[place].all()]
    return [a[place] for place in kept], [b[place] for place in kept]


def _tile(p: Any, q: Any) -> float | None:
    """Mean difference of lightness of two tiles that are the same, -1 of two that are not; None where both are plain and alike.

    A plain ground is the same on every photo, and proves nothing.
    """
    tone, *chroma = (abs(float(p[:, :, n].mean()) - float(q[:, :, n].mean())) for n in range(3))
    light, other = p[:, :, 0], q[:, :, 0]
    flat = max(float(light.std()), float(other.std())) < 4
    alike = tone < TONE and max(chroma) < CHROMA and (flat or _correlation(light, other) > 0.85)
    if flat and alike:
        return None
    return float(np.abs(light - other).mean()) if alike else -1.0


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one - one.mean(), other - other.mean()
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / length if length > 1e-6 else 0.0
