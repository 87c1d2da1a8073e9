"""Phone photos that get boxes, drawn pictures that are kept, and the shifts by which transfer is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.recipes.detector_augment import Settings, boxed_sample
from models.recipes.detector_colour import dye, light, other_ground
from models.recipes.detector_data import BoxedPhoto, Photo, keep, kept
from models.recipes.detector_phone import NONE, with_box
from models.recipes.detector_proxy import cut, elsewhere, named, shifted, smaller, together
from processors.values import CATEGORIES, Detection, Pixels

SHIRT, SHOE = CATEGORIES.index("shirt"), CATEGORIES.index("shoe")


def figure(identity: int = 5) -> BoxedPhoto:
    """A shirt above shoes, each a colour of its own."""
    pixels = np.full((200, 100, 3), 90, np.uint8)
    pixels[20:80, 30:70] = (200, 10, 10)
    pixels[170:190, 35:65] = (10, 10, 200)
    boxes = np.array([[30, 20, 70, 80], [35, 170, 65, 190]], np.float32)
    return BoxedPhoto(identity, pixels, boxes, np.array([SHIRT, SHOE]), np.array([False, False]))


def mask_of(photo: BoxedPhoto) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask = np.zeros(photo.pixels.shape[:2], np.uint8)
    for label, (x0, y0, x1, y1) in enumerate(photo.boxes.astype(int), 1):
        mask[y0:y1, x0:x1] = label
    return mask


class Always:
    """A detector that gives one answer to every photo."""

    def __init__(self, *answer: Detection) -> None:
        self.answer = answer

    def prepare(self, item: Pixels) -> Pixels:
        return item

    def forward(self, batch: list[Pixels]) -> list[None]:
        return [None] * len(batch)

    def finish(self, item: Pixels, raw: None) -> tuple[Detection, ...]:
        return self.answer


def phone_photo(category: str) -> BoxedPhoto:
    return BoxedPhoto(1, np.zeros((100, 100, 3), np.uint8), *NONE, category=CATEGORIES.index(category))


def test_a_phone_photo_gets_the_surest_box_of_its_own_class() -> None:
    """Sure, large and of the right class: it becomes the truth."""
    found = (Detection("hat", (10, 20, 90, 80), 0.7), Detection("bag", (0, 0, 9, 9), 0.3))
    photo = with_box(phone_photo("hat"), found, confidence=0.4)
    assert photo.boxes.tolist() == [[10, 20, 90, 80]]
    assert photo.classes.tolist() == [CATEGORIES.index("hat")]


@pytest.mark.parametrize(
    "found",
    [
        (),
        (Detection("hat", (10, 20, 90, 80), 0.3),),
        (Detection("hat", (10, 20, 30, 30), 0.9),),
        (Detection("shirt", (10, 20, 90, 80), 0.8), Detection("hat", (10, 20, 90, 80), 0.7)),
    ],
    ids=["nothing", "unsure", "a speck", "another class is surer"],
)
def test_doubtful_boxes_are_not_learnt(found: tuple[Detection, ...]) -> None:
    """The photo goes on without a box."""
    assert not len(with_box(phone_photo("hat"), found, confidence=0.4).boxes)


def test_a_photo_without_a_box_teaches_by_its_class_alone() -> None:
    """Every class is ignored everywhere: what the detector says there is neither right nor wrong."""
    calm = Settings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0)
    sample = boxed_sample(phone_photo("hat"), (96, 64), calm, np.random.default_rng(1))
    assert sample.category == CATEGORIES.index("hat")
    assert [c for _, c in sample.ignored] == list(range(len(CATEGORIES)))
    assert all(box.tolist() == [0, 0, 64, 96] for box, _ in sample.ignored)


def test_kept_pictures_come_back(tmp_path: Path) -> None:
    """Pixels, boxes and classes, also of a picture without any."""
    empty = replace(figure(6), boxes=NONE[0], classes=NONE[1], ignore=NONE[2])
    keep([figure(5), empty, figure(7)], tmp_path / "drawn.npz")
    first, second, third = kept(tmp_path / "drawn.npz")
    assert (first.id, second.id, third.id) == (5, 6, 7)
    assert not len(second.boxes)
    np.testing.assert_array_equal(third.boxes, figure().boxes)
    np.testing.assert_array_equal(third.pixels, figure().pixels)


def test_dye_stays_on_its_cloth() -> None:
    """Pixels of other labels keep their colour."""
    photo = figure()
    pixels, mask = photo.pixels.copy(), mask_of(photo)
    dye(pixels, mask, 1, np.random.default_rng(2))
    assert (pixels[mask != 1] == photo.pixels[mask != 1]).all()
    assert (pixels[mask == 1] != photo.pixels[mask == 1]).any()


def test_light_at_no_strength_hardly_changes() -> None:
    """Strength 0 turns the hue by a few degrees at most."""
    photo = figure().pixels
    shown = light(photo, np.random.default_rng(4), 0.0)
    assert np.abs(shown.astype(int) - photo).max() < 60
    assert shown.shape == photo.shape


def test_a_person_in_another_place_keeps_its_pixels() -> None:
    """Inside its mask (away from the edge) nothing changes; around it the other place is seen."""
    photo = figure()
    place = Photo(2, np.full((150, 90, 3), 250, np.uint8), np.zeros((150, 90), np.uint8), ())
    empty = np.full((40, 24, 3), 250, np.uint8)
    moved = other_ground(photo.pixels, mask_of(photo), place, empty, np.random.default_rng(1))
    np.testing.assert_array_equal(moved[25:75, 35:65], photo.pixels[25:75, 35:65])
    assert moved[100:150].min() > 240


def test_a_cut_moves_boxes_and_ignores_what_is_mostly_gone() -> None:
    """The shirt shrinks to what is left; the shoes, nearly cut off, become ignored."""
    part = cut(figure(), (40, 40, 100, 172))
    assert part.pixels.shape == (132, 60, 3)
    assert part.boxes.tolist() == [[0, 0, 30, 40], [0, 130, 25, 132]]
    assert part.ignore.tolist() == [False, True]


def test_every_shift_keeps_boxes_on_their_garments() -> None:
    """Each shirt's box is still redder or bluer (where colours change places) than the ground beside it."""
    photos = [figure(5), figure(10), figure(15)]
    everything = shifted(photos, {p.id: mask_of(p) for p in photos})
    for name, pictures in everything.items():
        for picture in pictures:
            height, width = picture.pixels.shape[:2]
            assert (picture.boxes >= -1).all()
            assert (picture.boxes <= np.array([width, height, width, height]) + 1).all()
            shown = picture.boxes[~picture.ignore & (picture.classes == SHIRT)].astype(int)
            for x0, y0, x1, y1 in shown:
                inside = picture.pixels[(y0 + y1) // 2, (x0 + x1) // 2].astype(int)
                assert inside.max() - inside.min() > 50, name


def test_smaller_people_have_smaller_boxes() -> None:
    """Three fifths, inside the old canvas."""
    one = smaller(figure())
    assert one.pixels.shape == (200, 100, 3)
    np.testing.assert_allclose(one.boxes[0, 2:] - one.boxes[0, :2], [24, 36], atol=0.01)


def test_two_people_are_all_annotated() -> None:
    """The garments of both, those of the second to the right."""
    (pair,) = together([figure(5), figure(10), figure(15)])
    assert pair.classes.tolist() == [SHIRT, SHOE, SHIRT, SHOE]
    assert pair.boxes[2, 0] > pair.boxes[0, 2]


def test_elsewhere_takes_the_ground_of_the_photo_before() -> None:
    """The person stays; the ground is the other's."""
    first, second = figure(5), replace(figure(10), pixels=np.full((200, 100, 3), 200, np.uint8))
    moved = elsewhere([first, second], {5: mask_of(first), 10: mask_of(second)})
    np.testing.assert_array_equal(moved[0].pixels[30:70, 40:60], first.pixels[30:70, 40:60])
    assert moved[0].pixels[100:150, :20].min() > 190


def test_named_counts_the_surest() -> None:
    """One of two hats: the surer detection decides, nothing found is wrong."""
    hat = Always(Detection("bag", (0, 0, 9, 9), 0.4), Detection("hat", (0, 0, 9, 9), 0.6))
    photos = [phone_photo("hat"), phone_photo("shoe"), phone_photo("hat")]
    scores = named(hat, photos)  # type: ignore[arg-type]
    assert scores.right == {"hat": 2, "shoe": 0}
    assert scores.share == pytest.approx(2 / 3)
    assert scores.mean_of_classes == pytest.approx(0.5)
    assert named(Always(), photos).share == 0  # type: ignore[arg-type]
