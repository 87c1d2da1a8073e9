"""Training data of the detector: street photos with label masks, and drawn scenes, kept decoded in memory.

Street photos are Clothing Co-Parsing (Apache-2.0): one dressed person each, a mask with 59 labels. Boxes come from
the masks after every warp, so that they stay tight, and labels that fit no class (or two) become *ignored* regions.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_colour import emptied
from processors.drawn import Scene
from processors.values import CATEGORIES, Box, Pixels

SLOT = 64
"""Instance maps hold `slot * SLOT + label`: slot 0 is the photo's own person, later ones are pasted."""
LABELS = 59


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to find: the mask labels that make it up, the classes it may be, and whether it only is ignored."""

    labels: tuple[int, ...]
    classes: tuple[int, ...]
    ignore: bool


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo: pixels (H, W, 3), label map (H, W), its targets, and its place without the person (smaller)."""

    id: int
    pixels: Pixels
    labels: NDArray[np.uint8]
    targets: tuple[Target, ...]
    empty: Pixels | None = None


@dataclass(frozen=True, slots=True)
class BoxedPhoto:
    """A picture with boxes only (a drawn scene, a phone photo, or a held-out one): boxes (N, 4), classes (N,), ignored
    (N,), and the category of the one garment that it is of, -1 where there is no such.
    """

    id: int
    pixels: Pixels
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    category: int = -1


def read_annotations(street: Path) -> tuple[list[dict[str, Any]], dict[int, list[dict[str, Any]]], dict[str, Any]]:
    """The images, their annotations by image id, and the whole COCO document of `street/boxes_10class_coco.json`."""
    document = json.loads((street / "boxes_10class_coco.json").read_text())
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return document["images"], by_image, document


def load_street(street: Path, *, longest_side: int, modulus: int) -> list[Photo]:
    """The training photos (`id % modulus != 0`), decoded and shrunk so that the longest side is `longest_side`."""
    import cv2

    images, by_image, document = read_annotations(street)
    names = {name: int(key) for key, name in json.loads((street / "mask_labels.json").read_text()).items()}
    members: dict[int, list[int]] = defaultdict(list)
    for name, category in document["label_map"].items():
        members[CATEGORIES.index(category)].append(names[name])
    ambiguous = [names[name] for name in document["ambiguous_as_ignore"]]
    photos = []
    for image in images:
        if image["id"] % modulus == 0:
            continue
        path = street / "photos" / image["file_name"]
        pixels = read_photo(path)
        mask = np.asarray(cv2.imread(str(street / "masks" / (path.stem + ".png")), cv2.IMREAD_GRAYSCALE), np.uint8)
        targets = _targets(by_image[image["id"]], mask, members, ambiguous)
        scale = longest_side / max(pixels.shape[:2])
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        photos.append(Photo(image["id"], pixels, mask, targets, emptied(pixels, mask)))
    return photos


def read_photo(path: Path) -> Pixels:
    """RGB pixels of a picture file.

    Raises:
        FileNotFoundError: OpenCV can make nothing of it (it says so by answering None).
    """
    import cv2

    pixels = cv2.imread(str(path))
    if pixels is None:
        raise FileNotFoundError(f"{path}: no picture that can be read")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _targets(
    annotations: list[dict[str, Any]], mask: NDArray[np.uint8], members: dict[int, list[int]], ambiguous: list[int]
) -> tuple[Target, ...]:
    """Tie each COCO box back to the mask labels it was made from."""
    import cv2

    present = {int(label) for label in np.unique(mask)}
    plain = [a["category_id"] - 1 for a in annotations if not a["iscrowd"]]
    targets = [Target(tuple(v for v in members[c] if v in present), (c,), ignore=False) for c in plain]
    for label in ambiguous:
        if label not in present:
            continue
        x, y, w, h = cv2.boundingRect((mask == label).astype(np.uint8))
        classes = tuple(
            a["category_id"] - 1
            for a in annotations
            if a["iscrowd"] and np.abs(np.array(a["bbox"]) - (x, y, w, h)).max() < 2
        )
        if classes:
            targets.append(Target((label,), classes, ignore=True))
    return tuple(t for t in targets if t.labels)


def load_held_out(street: Path, *, modulus: int) -> list[BoxedPhoto]:
    """The held-out photos (`id % modulus == 0`) at their full size, with the published boxes."""
    images, by_image, _ = read_annotations(street)
    photos = []
    for image in images:
        if image["id"] % modulus:
            continue
        pixels = read_photo(street / "photos" / image["file_name"])
        annotations = by_image[image["id"]]
        boxes = [corners((a["bbox"][0], a["bbox"][1], a["bbox"][2], a["bbox"][3])) for a in annotations]
        photos.append(
            BoxedPhoto(
                image["id"],
                pixels,
                np.array(boxes, np.float32).reshape(-1, 4),
                np.array([a["category_id"] - 1 for a in annotations], np.int64),
                np.array([bool(a["iscrowd"]) for a in annotations], np.bool_),
            )
        )
    return photos


def corners(box: Box) -> Box:
    """COCO's (x, y, width, height) as (x0, y0, x1, y1)."""
    return (box[0], box[1], box[0] + box[2], box[1] + box[3])


def load_drawn(first_seed: int, count: int, *, size: int, products: int = 0) -> list[BoxedPhoto]:
    """Scenes of the project's own generator, seeds `first_seed` to `first_seed + count - 1`; then as many catalogue
    photos as `products` says, in which one garment on sale fills most of the picture.
    """
    from concurrent.futures import ProcessPoolExecutor

    seeds = range(first_seed, first_seed + count)
    with ProcessPoolExecutor() as pool:
        scenes = list(pool.map(_drawn_scene, seeds, [size] * count, chunksize=16))
        for_sale = range(first_seed, first_seed + products)
        return scenes + list(pool.map(_drawn_product, for_sale, [size] * products, chunksize=16))


def keep(photos: list[BoxedPhoto], path: Path) -> None:
    """Write pictures of one size and their boxes aside and rename, so that a run that goes on need not draw again."""
    aside = path.with_suffix(".part.npz")
    counts = np.array([len(p.boxes) for p in photos])
    np.savez(
        aside,
        pixels=np.stack([p.pixels for p in photos]),
        boxes=np.concatenate([p.boxes for p in photos]),
        classes=np.concatenate([p.classes for p in photos]),
        counts=counts,
        ids=np.array([p.id for p in photos]),
    )
    aside.replace(path)


def kept(path: Path) -> list[BoxedPhoto]:
    """What `keep` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    ends = np.cumsum(arrays["counts"])
    return [
        BoxedPhoto(
            int(i), pixels, arrays["boxes"][end - n : end], arrays["classes"][end - n : end], np.zeros(n, np.bool_)
        )
        for i, pixels, n, end in zip(arrays["ids"], arrays["pixels"], arrays["counts"], ends, strict=True)
    ]


def _drawn_scene(seed: int, size: int) -> BoxedPhoto:
    from processors.drawn import draw_scene

    return _boxed(seed, draw_scene(seed, size=size))


def _drawn_product(seed: int, size: int) -> BoxedPhoto:
    from processors.drawn import draw_product

    return _boxed(seed, draw_product(seed, size=size).scene)


def load_catalogue(first_seed: int, count: int, *, size: int) -> list[BoxedPhoto]:
    """Drawn catalogue photos, each with the category of the garment on sale."""
    from processors.drawn import draw_product

    photos = []
    for seed in range(first_seed, first_seed + count):
        scene = draw_product(seed, size=size).scene
        photos.append(replace(_boxed(seed, scene), category=CATEGORIES.index(scene.garments[0].spec.category)))
    return photos


def _boxed(seed: int, scene: Scene) -> BoxedPhoto:
    found = [g for g in scene.garments if g.spec.category in CATEGORIES]
    return BoxedPhoto(
        seed,
        scene.pixels,
        np.array([g.box for g in found], np.float32).reshape(-1, 4),
        np.array([CATEGORIES.index(g.spec.category) for g in found], np.int64),
        np.zeros(len(found), np.bool_),
    )
