"""Mean average precision on anybody's boxes: the rules of COCO, categories by name, pictures that are missing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.fakes import FakeDetector
from models.guard import Guarded
from models.recipes.detection_metrics import Found, Truth, score
from models.yardsticks import detection
from models.yardsticks.detection import Judged, Scene, average_precision, confusion, report, verdicts, worst_first
from models.yardsticks.photos import Photos
from models.yardsticks.tables import Coco, CocoBox, CocoCategory, CocoImage
from processors.errors import Poison
from processors.values import CATEGORIES, Detection

SHIRT, BAG = CATEGORIES.index("shirt"), CATEGORIES.index("bag")
PYCOCOTOOLS = {"map50": 0.337110830626, "map50_95": 0.103372283157, "bag": 0.351631392878}


def drawn(pictures: int, seed: int) -> tuple[Judged, Coco, list[dict[str, object]]]:
    """Random truths (some ignored) and detections near them; the same as a COCO file and a COCO results file."""
    rng = np.random.default_rng(seed)
    scenes, found, boxes, results = [], [], [], []
    for number in range(pictures):
        corners = np.round(
            np.concatenate([low := rng.uniform(0, 100, (4, 2)), low + rng.uniform(20, 80, (4, 2))], axis=1), 2
        )
        classes = rng.choice([SHIRT, BAG], 4)
        ignore = rng.random(4) < 0.2
        scenes.append(Scene(f"{number}.png", corners, classes, ignore))
        own = []
        for corner, kind, crowd in zip(corners, classes, ignore, strict=True):
            x0, y0, x1, y1 = corner.tolist()
            boxes.append(CocoBox(number, int(kind), (x0, y0, x1 - x0, y1 - y0), int(crowd)))
            for _ in range(int(rng.integers(0, 4))):
                moved = np.round(corner + rng.normal(0, 8, 4), 2).tolist()
                said = int(kind) if rng.random() < 0.8 else int(rng.choice([SHIRT, BAG]))
                if moved[2] > moved[0] and moved[3] > moved[1]:
                    own.append(Detection(CATEGORIES[said], tuple(moved), round(float(rng.random()), 4)))
        found.append(tuple(own))
        for d in own:
            size = [d.box[0], d.box[1], d.box[2] - d.box[0], d.box[3] - d.box[1]]
            kind = CATEGORIES.index(d.category)
            results.append({"image_id": number, "category_id": kind, "bbox": size, "score": d.confidence})
    names = [CocoCategory(n, name) for n, name in enumerate(CATEGORIES)]
    coco = Coco([CocoImage(n, f"{n}.png") for n in range(pictures)], boxes, names)
    return Judged(tuple(scenes), tuple(found), ()), coco, results


def test_the_figures_are_those_of_pycocotools() -> None:
    """pycocotools 2.0.11 gave these figures for these boxes (`drawn(40, seed=5)` written out as its two files)."""
    judged, _, _ = drawn(40, seed=5)
    found = report(judged)
    assert found.map50 == pytest.approx(PYCOCOTOOLS["map50"], abs=1e-6)
    assert found.map50_95 == pytest.approx(PYCOCOTOOLS["map50_95"], abs=1e-6)
    assert found.per_class["bag"].map50 == pytest.approx(PYCOCOTOOLS["bag"], abs=1e-6)
    assert set(found.per_class) == {"shirt", "bag"}


def test_the_recipe_measures_alike() -> None:
    """The recipe's own average precision, which trains the detector, and the yardstick are two codes with one answer."""
    judged, _, _ = drawn(30, seed=6)
    truths = [Truth(s.boxes.astype(np.float32), s.classes, s.ignore) for s in judged.scenes]
    founds = [
        Found(
            np.array([d.box for d in own], np.float32).reshape(-1, 4),
            np.array([CATEGORIES.index(d.category) for d in own], np.int64),
            np.array([d.confidence for d in own], np.float32),
        )
        for own in judged.found
    ]
    theirs = score(truths, founds, CATEGORIES)
    ours = report(judged)
    assert ours.map50 == pytest.approx(theirs.map_half, abs=1e-9)
    assert ours.map50_95 == pytest.approx(theirs.map_mean, abs=1e-9)


def test_a_picture_drawn_twice_counts_twice() -> None:
    """The bootstrap's weights say the same as repeating the pictures."""
    judged, _, _ = drawn(12, seed=7)
    counts = np.array([2, 0, 1] * 4, np.float64)
    chosen = [n for n, times in enumerate(counts) for _ in range(int(times))]
    repeated = Judged(tuple(judged.scenes[n] for n in chosen), tuple(judged.found[n] for n in chosen), ())
    weighted = average_precision(verdicts(judged, SHIRT), counts)
    plain = average_precision(verdicts(repeated, SHIRT))
    # A picture counted twice adds both its detections in one step of recall.
    assert weighted == pytest.approx(plain, abs=0.03)
    assert weighted[0] != pytest.approx(average_precision(verdicts(judged, SHIRT))[0])


def test_the_interval_holds_the_figure_and_narrows_with_more_pictures() -> None:
    few, many = report(drawn(12, seed=8)[0]), report(drawn(120, seed=8)[0])
    assert few.map50_ci[0] <= few.map50 <= few.map50_ci[1]
    assert many.map50_ci[1] - many.map50_ci[0] < few.map50_ci[1] - few.map50_ci[0]


@pytest.fixture
def shelf(tmp_path: Path) -> Photos:
    """Two pictures: a red and a blue rectangle on white."""
    for name, colour in (("red.png", (40, 40, 200)), ("blue.png", (200, 60, 40))):
        pixels = np.full((120, 100, 3), 255, np.uint8)
        pixels[20:100, 30:70] = colour
        cv2.imwrite(str(tmp_path / name), pixels)
    return Photos.open(tmp_path)


def coco(*categories: str, images: tuple[str, ...] = ("red.png", "blue.png")) -> Coco:
    """One box a picture, of the first category; ids count down from 77, as no list of ours does."""
    ids = {name: 77 - n for n, name in enumerate(categories)}
    return Coco(
        [CocoImage(n, name) for n, name in enumerate(images)],
        [CocoBox(n, ids[categories[0]], (30, 20, 40, 80)) for n in range(len(images))],
        [CocoCategory(number, name) for name, number in ids.items()],
    )


@pytest.mark.parametrize("name", ["pants", "Trousers", "PANTS"])
def test_categories_go_by_name(shelf: Photos, name: str) -> None:
    """Neither the number nor the order of a file's categories says what they are."""
    scenes, missing, others = detection.scenes_of(coco(name, "bag"), shelf)
    assert [CATEGORIES[kind] for scene in scenes for kind in scene.classes] == ["pants", "pants"]
    assert missing == others == ()


def test_what_is_no_garment_of_ours_is_left_out_by_name(shelf: Photos) -> None:
    scenes, _, others = detection.scenes_of(coco("umbrella", "bag"), shelf)
    assert others == ("umbrella",)
    assert all(not len(scene.boxes) for scene in scenes)
    with pytest.raises(Poison, match="umbrella"):
        detection.scenes_of(coco("umbrella"), shelf)


def test_missing_pictures_are_named_and_the_rest_is_judged(shelf: Photos) -> None:
    listed = coco("dress", images=("red.png", "gone.png"))
    scenes, missing, _ = detection.scenes_of(listed, shelf)
    assert [scene.path for scene in scenes] == ["red.png"]
    assert missing == ("gone.png",)
    with pytest.raises(Poison, match=r"none of the 1 images.*gone\.png"):
        detection.scenes_of(coco("dress", images=("gone.png",)), shelf)


def test_a_picture_that_cannot_be_read_is_refused_and_the_rest_is_judged(shelf: Photos, tmp_path: Path) -> None:
    (tmp_path / "blue.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    scenes, _, _ = detection.scenes_of(coco("dress"), shelf)
    judged = detection.detect(Guarded(FakeDetector(), name="fake"), scenes, shelf)
    assert [scene.path for scene in judged.scenes] == ["red.png"]
    assert "blue.png" in judged.refused[0].cause


def test_boxes_come_back_in_pixels_of_the_original(tmp_path: Path) -> None:
    """A photo larger than the serving side is shrunk for the detector; its truth is not."""
    pixels = np.full((2400, 2000, 3), 255, np.uint8)
    pixels[400:2000, 600:1400] = (40, 40, 200)
    cv2.imwrite(str(tmp_path / "red.png"), pixels)
    scenes, _, _ = detection.scenes_of(coco("dress", images=("red.png",)), Photos.open(tmp_path))
    judged = detection.detect(Guarded(FakeDetector(), name="fake"), scenes, Photos.open(tmp_path))
    assert judged.found[0][0].box == pytest.approx((600, 400, 1400, 2000), abs=12)


def test_confusion_tells_missed_misnamed_and_invented() -> None:
    square, far, farther = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0), (80.0, 80.0, 95.0, 95.0)
    truth = np.array([square, far], np.float64)
    scene = Scene("a", truth, np.array([SHIRT, BAG]), np.zeros(2, np.bool_))
    found = (Detection("dress", square, 0.9), Detection("hat", farther, 0.8))
    table, errors = confusion(Judged((scene, scene), (found, (Detection("shirt", square, 0.9),)), ()))
    assert errors == [{"missed": 1, "misnamed": 1, "invented": 1}, {"missed": 1, "misnamed": 0, "invented": 0}]
    assert table[SHIRT, CATEGORIES.index("dress")] == 1
    assert table[BAG, -1] == 2
    assert table[-1, CATEGORIES.index("hat")] == 1
    assert worst_first(errors) == [0, 1]
