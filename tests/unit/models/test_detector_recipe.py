"""The detector's recipe: augmentation that keeps boxes true, silence in ignored regions, and the real data's targets."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from models.detector.yolo_detector import build_network
from models.recipes.detector_augment import Settings, boxed_sample, street_sample
from models.recipes.detector_data import BoxedPhoto, Photo, Target, load_held_out
from models.recipes.detector_evaluate import as_found, operating_points
from models.recipes.detector_losses import IgnoringDetectionLoss, ParsingHeads, collate
from processors.values import CATEGORIES, Detection

RED, SHIRT, VEST = (250, 0, 0), 38, 55
CALM = Settings((1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0)
WILD = Settings((0.5, 2.0), 10.0, 0.5, 0.5, 0.3, 0.2)


def striped(identity: int = 1) -> Photo:
    """A grey photo with a shirt (class 3) on the left and a vest, which is ignored, on the right."""
    labels = np.zeros((160, 100), np.uint8)
    labels[40:80, 10:40] = SHIRT
    labels[40:100, 60:90] = VEST
    pixels = np.full((160, 100, 3), 120, np.uint8)
    pixels[labels == SHIRT] = RED
    targets = (Target((SHIRT,), (3,), ignore=False), Target((VEST,), (2, 3), ignore=True))
    return Photo(identity, pixels, labels, targets)


def test_an_untouched_photo_keeps_its_box() -> None:
    """Without zoom or turn the shirt is 30 by 40 pixels (a little stretched), the vest ignored for both its classes."""
    sample = street_sample(striped(), [striped()], (160, 100), CALM, np.random.default_rng(1))
    assert sample.classes.tolist() == [3]
    width, height = sample.boxes[0, 2:] - sample.boxes[0, :2]
    assert width * height == pytest.approx(1200, rel=0.1)
    assert [c for _, c in sample.ignored] == [2, 3]


@given(st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=40, deadline=None)
def test_boxes_hold_exactly_what_the_labels_say(seed: int) -> None:
    """However it is warped and pasted: every box lies on the canvas and touches its label on all four sides."""
    photos = [striped(1), striped(2)]
    sample = street_sample(photos[0], photos, (96, 64), WILD, np.random.default_rng(seed))
    for x0, y0, x1, y1 in sample.boxes.astype(int):
        assert 0 <= x0 < x1 <= 64
        assert 0 <= y0 < y1 <= 96
        shirt = sample.labels[y0:y1, x0:x1] == SHIRT
        assert shirt[0].any()
        assert shirt[-1].any()
        assert shirt[:, 0].any()
        assert shirt[:, -1].any()


@given(st.integers(0, 2**32 - 1))
@hypothesis_settings(max_examples=40, deadline=None)
def test_boxes_of_drawn_scenes_follow_the_pixels(seed: int) -> None:
    """A bright square in a dark scene stays inside its box after scaling, shifting and flipping."""
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[30:60, 20:50] = 255
    box = np.array([[20, 30, 50, 60]], np.float32)
    scene = BoxedPhoto(1, pixels, box, np.array([8]), np.array([False]))
    unlit = Settings((0.7, 1.2), 0.0, 0.0, 0.0, 0.0, 0.0, light=0.0)
    sample = boxed_sample(scene, (96, 96), unlit, np.random.default_rng(seed))
    for x0, y0, x1, y1 in sample.boxes.round().astype(int):
        inside = sample.pixels[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
        assert inside.min() > 200


def test_the_loss_is_silent_in_ignored_regions() -> None:
    """A confident "jacket" on the vest costs nothing; the same confidence beside it costs."""
    from ultralytics.cfg import get_cfg

    network = build_network("yolo11n.yaml", len(CATEGORIES))
    network.args = get_cfg()
    loss = IgnoringDetectionLoss(network)
    sample = street_sample(striped(), [striped()], (160, 128), CALM, np.random.default_rng(1))
    images, _, _ = collate([sample])
    weights = loss._weights(network.train()(images), [sample])
    x0, y0, x1, y1 = sample.ignored[0][0]
    column, row = int((x0 + x1) / 2 / 8), int((y0 + y1) / 2 / 8)
    fine = weights[0, : 20 * 16].reshape(20, 16, -1)
    assert fine[row, column].tolist() == [0 if c in (2, 3) else 1 for c in range(10)]
    assert fine[0].min() == 1


def test_parsing_learns_only_where_labels_are_known() -> None:
    """A drawn scene (labels 255) adds nothing, and a batch of only those adds zero instead of NaN."""
    heads = ParsingHeads(8, 8)
    fine, coarse = torch.randn(2, 8, 8, 8), torch.randn(2, 8, 2, 2)
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    labels[1] = 255
    alone = heads(fine[:1], coarse[:1], labels[:1])
    torch.testing.assert_close(heads(fine, coarse, labels), alone)
    assert float(heads(fine[1:], coarse[1:], labels[1:]).detach()) == 0


def test_operating_points_by_hand() -> None:
    """Two right and one wrong at .3; one right alone at .6."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    photo = BoxedPhoto(1, np.zeros((9, 9, 3), np.uint8), boxes, np.array([3, 8]), np.array([False, False]))
    answer = (
        Detection("shirt", (0, 0, 10, 10), 0.9),
        Detection("hat", (0, 0, 10, 10), 0.5),
        Detection("bag", (20, 0, 30, 10), 0.4),
    )
    low, high = operating_points([photo], [answer], [0.3, 0.6])
    assert (low.precision, low.recall) == pytest.approx((2 / 3, 1))
    assert (high.precision, high.recall, high.f1) == pytest.approx((1, 0.5, 2 / 3))


def test_nothing_found_has_the_right_shape() -> None:
    """No detections are an empty table of four columns, which the metrics can slice."""
    assert as_found([]).boxes.shape == (0, 4)


def test_the_held_out_fifth_of_the_real_photos() -> None:
    """Every fifth street photo, with its published boxes inside the picture."""
    street = Path(os.environ.get("WEFT_DATA", "../shared/data")) / "street"
    if not street.exists():
        pytest.skip(f"no street photos at {street}: set WEFT_DATA")
    photos = load_held_out(street, modulus=200)
    assert [p.id for p in photos] == [200, 400, 600, 800, 1000]
    for photo in photos:
        height, width = photo.pixels.shape[:2]
        assert (photo.boxes >= 0).all()
        assert (photo.boxes <= np.array([width, height, width, height]) + 1).all()
        assert (photo.boxes[:, 2:] > photo.boxes[:, :2]).all()
