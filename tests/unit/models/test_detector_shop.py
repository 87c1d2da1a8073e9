"""A detector trained on a shop's own boxes: from the starter's, then from the one that came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.detector import own_yolo
from models.recipes import detector_shop
from models.recipes.detector_shop import Recipe, read, train
from models.yardsticks.training import read_progress
from processors.errors import Poison
from tests.fixtures.own_yolo import network, saved

NAMES = ("disc", "bar")


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pictures of red discs and blue bars on grey, with their COCO file."""
    folder = tmp_path_factory.mktemp("boxes")
    rng = np.random.default_rng(1)
    document: dict[str, Any] = {
        "images": [], "annotations": [], "categories": [{"id": 5, "name": "disc"}, {"id": 9, "name": "bar"}],
    }  # fmt: skip
    (folder / "photos").mkdir()
    for number in range(24):
        picture = np.full((96, 96, 3), 200, np.uint8)
        x, y = int(rng.integers(6, 46)), int(rng.integers(6, 46))
        if number % 2:
            cv2.circle(picture, (x + 20, y + 20), 20, (30, 30, 200), -1)
        else:
            picture[y : y + 24, x : x + 40] = (200, 60, 30)
        box = [x, y, 40, 40] if number % 2 else [x, y, 40, 24]
        cv2.imwrite(str(folder / "photos" / f"{number}.png"), picture)
        document["images"].append({"id": number, "file_name": f"{number}.png"})
        document["annotations"].append({"image_id": number, "category_id": 5 if number % 2 else 9, "bbox": box})
    (folder / "boxes.json").write_text(json.dumps(document))
    return folder


def test_it_learns_and_goes_on(boxes: Path, tmp_path: Path) -> None:
    """The loss falls; what comes out is a folder that is served and a card; a second call goes on; the next one starts from it."""
    recipe = Recipe(size=96, batch=4, epochs=4, rate=2e-3, average=0.8, threads=1)
    weights = train(boxes / "boxes.json", boxes / "photos", None, tmp_path / "run", recipe, None)
    steps = read_progress(tmp_path / "run")
    losses = [step.loss for step in steps]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    header = own_yolo.read_header(weights.parent)
    assert [(one.name, one.category) for one in header.classes] == [("disc", "disc"), ("bar", "bar")]
    card = (weights.parent / "card.md").read_text()
    assert "| disc |" in card
    assert "the starter's detector" in card
    detector = own_yolo.load(weights.parent)
    picture = np.full((96, 96, 3), 200, np.uint8)
    detector.finish(picture, detector.forward([detector.prepare(picture)])[0])
    longer = Recipe(size=96, batch=4, epochs=5, rate=2e-3, threads=1)
    train(boxes / "boxes.json", boxes / "photos", None, tmp_path / "run", longer, None)
    assert read_progress(tmp_path / "run")[len(losses) - 1].step == len(losses)
    assert len(read_progress(tmp_path / "run")) > len(losses)
    _, _, taken = detector_shop.begin(weights.parent, NAMES)
    assert taken == len(__import__("safetensors.torch").torch.load_file(weights))


def test_classes_of_the_same_name_keep_what_they_were(tmp_path: Path) -> None:
    """Of the last layer their rows, wherever they stand now; a network that segments is refused."""
    from models.detector.conversion import convert
    from tests.fixtures.own_yolo import read_here

    made = network("yolo11n.yaml")
    convert(saved(made, tmp_path / "best.pt"), tmp_path / "own", reader=read_here)
    _, grown, _ = detector_shop.begin(tmp_path / "own", ("dress", "new", "kurta"))
    old, new = (one.model[-1].cv3[0][-1].weight.detach() for one in (made.half().float(), grown))
    assert np.allclose(new[0], old[3], atol=1e-3)
    assert np.allclose(new[2], old[0], atol=1e-3)
    convert(saved(network("yolov8n-seg.yaml"), tmp_path / "best.pt"), tmp_path / "seg", reader=read_here)
    with pytest.raises(Poison, match="not from one that segments"):
        detector_shop.begin(tmp_path / "seg", NAMES)


def test_a_file_without_its_photos_is_told(boxes: Path, tmp_path: Path) -> None:
    """Boxes in the pixels of the training's size; what is not there is left out, and nothing at all is refused."""
    names, found = read(boxes / "boxes.json", boxes / "photos", 48)
    assert names == NAMES
    assert len(found) == 24
    assert found[0].pixels.shape == (48, 48, 3)
    assert found[0].boxes[0][2] - found[0].boxes[0][0] == pytest.approx(20)
    (tmp_path / "other").mkdir()
    cv2.imwrite(str(tmp_path / "other" / "else.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(Poison, match="holds no photo"):
        read(boxes / "boxes.json", tmp_path / "other", 48)
