"""Detectors of one's own: each way in held to the contract of detectors; the same boxes as ultralytics' own `predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.detector import own_yolo
from models.detector.adding import read_map
from models.detector.conversion import convert
from models.detector.own_detector import Options, OwnDetector
from models.profiles.adding import Asked, add
from models.profiles.held import verify
from models.profiles.kinds import Place, load
from models.profiles.reading import find
from processors.errors import BadSetting, Fatal, Poison
from processors.mask_runs import unpacked
from processors.values import Detection, Pixels
from tests.contract.model_contract import OwnDetectorContract
from tests.fixtures.own_yolo import NAMES, dressed, network, read_here, run, saved

pytestmark = pytest.mark.slow

SIZE = 160
ARCHITECTURES = ("yolo11n.yaml", "yolo26n-seg.yaml")


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Dressed figures, in frames of several shapes."""
    return dressed(2, 11, 13)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`best.pt` of each kind of head."""
    folder = tmp_path_factory.mktemp("checkpoint")
    return saved(network(request.param), folder / "best.pt", size=SIZE)


@pytest.fixture(scope="module")
def converted(checkpoint: Path) -> Path:
    """The folder that it became."""
    convert(checkpoint, checkpoint.parent / "converted", {"kurta": "dress"}, reader=read_here)
    return checkpoint.parent / "converted"


@pytest.fixture(scope="module")
def detector(converted: Path) -> OwnDetector:
    """Loaded once."""
    return own_yolo.load(converted, options=Options(confidence=0.3))


class TestConverted(OwnDetectorContract):
    """Checkpoints that detect and that segment."""

    def test_the_boxes_are_those_of_ultralytics(
        self, detector: OwnDetector, checkpoint: Path, pictures: Sequence[Pixels]
    ) -> None:
        """`predict` on the same checkpoint and photo: as many, in the same places, of the same classes, as sure; with the same masks."""
        from ultralytics import YOLO

        theirs = YOLO(str(checkpoint))
        alike = seen = 0
        masks: list[float] = []
        for pixels in pictures:
            result = theirs.predict(pixels[..., ::-1].copy(), conf=0.3, imgsz=SIZE, verbose=False, device="cpu")[0]
            # A box that lies wholly in the frame around the photo is cut to nothing.
            real = (result.boxes.xyxy[:, 2:] > result.boxes.xyxy[:, :2]).all(1).numpy()
            boxes, sure = result.boxes.xyxy.numpy()[real], result.boxes.conf.numpy()[real]
            names = [NAMES[int(number)] for number in result.boxes.cls.numpy()[real]]
            ours = run(detector, pixels)
            assert abs(len(ours) - len(boxes)) <= 1
            for one in ours:
                far = np.abs(boxes - np.array(one.box)).max(1) + 100 * np.abs(sure - one.confidence)
                nearest = int(far.argmin())
                if far[nearest] < 0.03:
                    alike += 1
                    assert (one.kind or one.category) == names[nearest]
                    if result.masks is not None:
                        masks += _agreement(detector, pixels, one, result.masks.data.numpy()[real][nearest])
            seen += len(ours)
        # Of two boxes that are as sure to the seventh digit, rounding says which suppresses the other.
        assert seen > 20
        assert alike >= 0.98 * seen
        # A network that was never trained draws masks that are all edge, which a coarser grid draws otherwise.
        assert bool(masks) == (result.masks is not None)
        assert not masks or (np.mean(masks) > 0.95 and min(masks) > 0.8)

    def test_fainter_boxes_come_behind(self, detector: OwnDetector, pictures: Sequence[Pixels]) -> None:
        """The sure ones are those of `finish`."""
        raw = detector.forward([detector.prepare(pictures[0])])[0]
        sure, all_of_them = detector.finish(pictures[0], raw), detector.faint(pictures[0], raw)
        assert all_of_them[: len(sure)] == sure
        assert len(all_of_them) > len(sure)
        assert all(one.confidence <= 0.3 for one in all_of_them[len(sure) :])


def _agreement(detector: OwnDetector, pixels: Pixels, one: Detection, theirs: Any) -> list[float]:
    """Share of the cells of our grid that are as their mask's pixels there; none of a small box."""
    shown = detector.prepare(pixels)
    grid = None if one.mask is None else unpacked(one.mask)
    across, along = shown.width / pixels.shape[1], shown.height / pixels.shape[0]
    x0, y0, x1, y1 = (side * by for side, by in zip(one.box, (across, along) * 2, strict=True))
    if grid is None or min(x1 - x0, y1 - y0) < 24:
        return []
    middle = (np.arange(grid.shape[0]) + 0.5) / grid.shape[0]
    columns = np.clip(shown.left + x0 + (x1 - x0) * middle, 0, theirs.shape[1] - 1).astype(int)
    rows = np.clip(shown.top + y0 + (y1 - y0) * middle, 0, theirs.shape[0] - 1).astype(int)
    return [float(((theirs[rows][:, columns] > 0) == grid).mean())]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint, that is sure of boxes of several classes."""
    return saved(network("yolov8n-seg.yaml"), tmp_path_factory.mktemp("nano") / "best.pt", size=SIZE)


def test_it_is_a_part_of_a_profile(nano: Path, pictures: Sequence[Pixels], tmp_path: Path) -> None:
    """`weft models add detector best.pt --classes map.yaml`: converted, listed, loaded by the profile, with its options."""
    (tmp_path / "map.yaml").write_text("kurta: dress\nperson: null\n")
    asked = Asked("detector", str(nano), classes=tmp_path / "map.yaml", options={"confidence": "0.3"})
    said: list[str] = []
    added = add(asked, tmp_path, progress=said.append)
    assert added.kind == "yolo"
    assert "  person: nothing: its boxes are dropped" in said
    part = find("own", tmp_path).parts["detector"]
    assert [one for one in verify(find("own", tmp_path), tmp_path) if str(one.path).startswith(added.path)] == []
    found = load("detector", part, Place(tmp_path))
    detections = [one for pixels in pictures for one in run(found, pixels)]
    assert {(one.category, one.kind) for one in detections} == {("dress", "kurta"), ("scarf", "scarf"), ("dress", "")}
    assert min(one.confidence for one in detections) > 0.3
    asked = Asked("detector", added.path, "other", classes=None)
    again = add(asked, tmp_path, progress=said.append)  # what was converted goes into another profile as it is
    assert (Path(again.path) / "detector.yaml").read_bytes() == (Path(added.path) / "detector.yaml").read_bytes()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kurti: dress\n", "line 1, column 1: the detector has no class 'kurti' (did you mean 'kurta'?)"),
        ("kurta: dress\nscarf: drss\n", "line 2, column 8: scarf: Weft has no word 'drss' (did you mean 'dress'?)"),
        ("kurta: [dress]\n", "line 1, column 8: expected a word"),
        ("- kurta\n", "line 1, column 1: expected fields"),
        ("kurta: dress\nKurta: dress\n", "the class 'kurta' stands here a second time"),
    ],
)
def test_a_map_that_is_wrong_is_told_with_its_place(text: str, told: str, nano: Path, tmp_path: Path) -> None:
    """Unknown names on either side with the nearest word; nothing is added."""
    (tmp_path / "map.yaml").write_text(text)
    folder = nano.parent / "once"
    if not folder.exists():
        convert(nano, folder, reader=read_here)
    with pytest.raises(BadSetting) as error:
        add(Asked("detector", str(folder), classes=tmp_path / "map.yaml"), tmp_path, progress=lambda _: None)
    assert told in str(error.value)
    assert not (tmp_path / "profiles" / "own" / "profile.yaml").exists()


def test_a_map_may_be_empty(tmp_path: Path) -> None:
    """Then every class is read by its name."""
    (tmp_path / "map.yaml").write_text("# nothing yet\n")
    assert read_map(tmp_path / "map.yaml") == {}


@pytest.mark.parametrize("what", ["shape", "activation", "stride", "custom", "not finite", "text"])
def test_a_network_that_is_not_ultralytics_own_is_refused(what: str, tmp_path: Path) -> None:
    """Weights that do not fit, a structure that ultralytics does not carry, a module that computes something else."""
    made = network("yolo11n.yaml")
    if what == "shape":
        made.model[0].conv.weight = torch.nn.Parameter(torch.zeros(8, 3, 3, 3))
    elif what == "activation":
        made.model[1].act = torch.nn.ReLU()
    elif what == "stride":
        made.model[1].conv.stride = (1, 1)
    elif what == "custom":
        made.yaml["backbone"][0][3][0] = 48
    elif what == "not finite":
        made.model[0].conv.weight.data[0] = float("nan")
    path = tmp_path / "best.pt"
    path.write_text("no checkpoint") if what == "text" else saved(made, path)
    with pytest.raises(Poison) as refused:
        convert(path, tmp_path / "out", reader=read_here)
    told = {
        "shape": "model.0.conv.weight is [8, 3, 3, 3], not [16, 3, 3, 3]",
        "activation": "model.1.act is a torch.nn.modules.activation.ReLU, not a SiLU",
        "stride": "model.1.conv.stride is [1, 1], not [2, 2]",
        "custom": "has the structure of none that ultralytics",
        "not finite": "model.0.conv.weight is not finite",
        "text": "it is no checkpoint",
    }
    assert told[what] in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_converted_folder_that_was_changed_is_not_loaded(nano: Path, tmp_path: Path) -> None:
    """Neither with other weights nor with a description that has more in it."""
    made = convert(nano, tmp_path / "out", reader=read_here)
    assert made.header.came.ultralytics == "8.4.190"
    description = tmp_path / "out" / own_yolo.FILE
    text = description.read_text()
    description.write_text(text + "more: 1\n")
    with pytest.raises(Fatal, match="more"):
        own_yolo.load(tmp_path / "out")
    description.write_text(text)
    weights = tmp_path / "out" / own_yolo.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Fatal, match="SHA-256"):
        own_yolo.load(tmp_path / "out")


def test_the_command_says_it_and_exits_with_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A file that is refused: one sentence, exit code 3, nothing added."""
    from streams.cli import main

    (tmp_path / "best.pt").write_bytes(b"PK\x03\x04 cut")
    monkeypatch.setenv("WEFT_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["weft", "models", "add", "detector", str(tmp_path / "best.pt"), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 3
    assert "best.pt: it is damaged or was cut short" in said.err + said.out
    assert not json.loads(said.out or "{}").get("path")
