"""CenterFace, with its published weights where they were fetched: who is seen, and who is not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from models.detector.face_detector import CenterFace, _turned_back
from models.guard import Guarded
from models.weights import face_model
from processors.errors import Fatal
from processors.values import Detection, Pixels


@pytest.fixture(scope="module")
def detector() -> Guarded[Pixels, tuple[Detection, ...]]:
    path = face_model.there(Settings().model_cache)
    if path is None:
        pytest.skip("the weights of the face detector are not in the model cache: run `weft models pull starter`")
    found = Guarded[Pixels, tuple[Detection, ...]](CenterFace.load(path), name="face detector")
    found.warm_up()
    return found


def street(count: int) -> list[Pixels]:
    folder = Path(os.environ.get("WEFT_DATA", "../shared/data")) / "street" / "photos"
    if not folder.is_dir():
        pytest.skip(f"no street photos at {folder}: set WEFT_DATA")
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.jpg"))[:: 1000 // count]]


def test_people_are_seen_upright_and_turned(detector: Guarded[Pixels, tuple[Detection, ...]]) -> None:
    """On each of five street photos, whichever way it lies; the box is where it was."""
    for pixels in street(5)[:5]:
        [upright, *_] = detector.run([pixels])[0]
        for turns in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(pixels, turns))
            found = detector.run([turned])[0]
            assert found
            back = _turned_back(found[0].box, turned.shape[:2], turns)
            across = (back[0] + back[2] - upright.box[0] - upright.box[2]) / 2
            down = (back[1] + back[3] - upright.box[1] - upright.box[3]) / 2
            assert max(abs(across), abs(down)) < 0.05 * max(pixels.shape[:2])


def test_nobody_is_seen_where_nobody_is(detector: Guarded[Pixels, tuple[Detection, ...]]) -> None:
    """Plain ground, noise, the smallest photo, a very long one."""
    noise = np.random.default_rng(3).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    plain = np.full((300, 200, 3), 200, np.uint8)
    assert detector.run([plain, noise, plain[:1, :1], plain[:3]]) == [(), (), (), ()]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_box_is_turned_back_with_its_photo(turns: int) -> None:
    """What is marked on a turned photo is at the same place of the photo as it was."""
    turned = np.rot90(np.zeros((40, 30), np.uint8), turns).copy()
    turned[3:9, 5:12] = 1
    rows, columns = np.nonzero(np.rot90(turned, -turns))
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    assert _turned_back((5.0, 3.0, 12.0, 9.0), turned.shape, turns) == box


def test_weights_that_nobody_listed_are_not_loaded(tmp_path: Path) -> None:
    """A file of that name alone is no face detector."""
    (tmp_path / "centerface").mkdir()
    (tmp_path / "centerface" / face_model.FILE).write_bytes(b"anything")
    path = face_model.there(tmp_path)
    assert path is not None
    with pytest.raises(Fatal):
        CenterFace.load(path)
    assert face_model.there(tmp_path / "elsewhere") is None
