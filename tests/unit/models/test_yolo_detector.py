"""The detector's adapter: loading, letterboxing, suppression and the way back to the photo's pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from models.detector.yolo_detector import (
    DetectorHeader,
    Letterboxed,
    Thresholds,
    YoloDetector,
    build_network,
    import_ultralytics,
    suppress,
)
from models.fakes import FakeDetector
from models.guard import Guarded, GuardedDetector
from processors.errors import Fatal, Poison
from processors.values import CATEGORIES, Pixels

HEADER = {"architecture": "yolo11n.yaml", "classes": json.dumps(CATEGORIES), "size": "128"}


class FixedNetwork:
    """Answers every picture with the same predictions, and remembers what it was shown."""

    def __init__(self, *rows: tuple[float, float, float, float, int, float]) -> None:
        self.prediction = torch.zeros(4 + len(CATEGORIES), len(rows))
        for column, (cx, cy, w, h, category, confidence) in enumerate(rows):
            self.prediction[:4, column] = torch.tensor([cx, cy, w, h])
            self.prediction[4 + category, column] = confidence
        self.seen: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, None]:
        self.seen.append(images)
        return self.prediction.expand(len(images), -1, -1), None


def detector(network: Any, *, size: int = 128, thresholds: Thresholds | None = None) -> YoloDetector:
    return YoloDetector(
        network,
        DetectorHeader("yolo11n.yaml", CATEGORIES, size),
        size=size,
        thresholds=thresholds or Thresholds(),
        device="cpu",
        weights_sha256="0" * 64,
    )


def photo(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the real architecture with random weights that make some detections."""
    torch.manual_seed(5)
    state = {k: v for k, v in build_network("yolo11n.yaml", 10).state_dict().items() if "num_batches" not in k}
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    save_file({k: v.half() if v.ndim > 1 else v for k, v in state.items()}, path, metadata=HEADER)
    return path


def rewritten(weights: Path, folder: Path, **metadata: str) -> Path:
    """A copy of the weights with another header."""
    from safetensors.torch import load_file

    path = folder / "other.safetensors"
    save_file(load_file(weights), path, metadata={**HEADER, **metadata})
    return path


def test_the_library_leaves_the_process_as_it_was(weights: Path) -> None:
    """Loading the detector replaces neither Pillow's `open` nor torch's `save`, even where the library came in before."""
    import ultralytics.utils  # noqa: F401 - as another import of the process would
    from PIL import Image

    printed = np.get_printoptions()
    YoloDetector.load(weights)
    import_ultralytics()
    assert (Image.open.__module__, Image.open.__name__) == ("PIL.Image", "open")
    assert torch.save.__module__ == "torch.serialization"
    assert np.get_printoptions() == printed


def test_a_box_returns_to_the_photos_pixels() -> None:
    """A 640×320 photo is shown at 128×64; what is found there is five times as large in the photo."""
    network = FixedNetwork((32, 64, 20, 40, 7, 0.9))
    (found,) = Guarded(detector(network), name="d").run([photo(640, 320)])[0]
    assert found.category == "dress"
    assert found.box == pytest.approx((110, 220, 210, 420))
    assert found.confidence == pytest.approx(0.9)


def test_boxes_are_cut_at_the_borders() -> None:
    """Nothing reaches outside the photo, and what lies in the padding alone is dropped."""
    network = FixedNetwork((0, 64, 40, 200, 3, 0.9), (90, 64, 6, 6, 9, 0.8))
    found = Guarded(detector(network), name="d").run([photo(640, 320)])[0]
    assert [f.category for f in found] == ["shirt"]
    assert found[0].box == pytest.approx((0, 0, 100, 640))


@given(st.integers(1, 700), st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_any_photo_becomes_multiples_of_the_stride(height: int, width: int) -> None:
    """The longest side is the serving size, both sides are multiples of 32, and the photo stays in one corner."""
    ready = detector(FixedNetwork()).prepare(photo(height, width))
    channels, rows, columns = ready.image.shape
    assert (channels, rows % 32, columns % 32) == (3, 0, 0)
    assert max(rows, columns) == 128
    assert ready.image[0, 0, 0] == 200
    assert ready.image.dtype == torch.uint8


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))],
    ids=["grey", "four channels", "empty", "floats"],
)
def test_what_is_no_photo_is_poison(bad: Any) -> None:
    """Arrays that are no RGB pixels are refused by name instead of detected upon."""
    with pytest.raises(Poison, match="RGB"):
        detector(FixedNetwork()).prepare(bad)


def test_confidence_decides_and_orders() -> None:
    """Below the threshold is dropped; the rest comes surest first."""
    network = FixedNetwork((20, 20, 9, 9, 1, 0.5), (60, 60, 9, 9, 8, 0.8), (100, 20, 9, 9, 0, 0.29))
    found = Guarded(detector(network), name="d").run([photo(128, 128)])[0]
    assert [f.category for f in found] == ["bag", "hat"]


def test_doubles_of_a_class_are_suppressed() -> None:
    """Two boxes of one class that overlap by more than `iou` are one garment."""
    prediction = FixedNetwork((50, 50, 40, 40, 3, 0.9), (52, 50, 40, 40, 3, 0.8), (90, 90, 20, 20, 3, 0.7)).prediction
    assert suppress(prediction, Thresholds())[:, 4].tolist() == pytest.approx([0.9, 0.7])


def test_what_is_unsure_is_told_only_where_it_is_asked_for() -> None:
    """The same pass; what a product's photo shows does not change by it."""
    network = FixedNetwork((32, 64, 20, 40, 7, 0.9), (32, 20, 20, 10, 1, 0.2), (50, 50, 9, 9, 2, 0.1))
    guarded = GuardedDetector(detector(network))
    picture = photo(640, 320)
    (raw,) = guarded.forward([guarded.prepare(picture)])
    assert [one.category for one in guarded.finish(picture, raw)] == [CATEGORIES[7]]
    assert [one.category for one in guarded.faint(picture, raw)] == [CATEGORIES[7], CATEGORIES[1]]
    keen = detector(network, thresholds=Thresholds(confidence=0.01))
    (every,) = keen.forward([keen.prepare(picture)])
    assert len(keen.finish(picture, every)) == 3
    fake = GuardedDetector(FakeDetector())
    (seen,) = fake.forward([fake.prepare(fake.example())])
    assert fake.faint(fake.example(), seen) == fake.finish(fake.example(), seen) != ()


def test_one_garment_gets_one_name() -> None:
    """Nearly equal boxes of two classes: the surer name stays. A shirt under an open jacket stays too."""
    twins = FixedNetwork((50, 50, 40, 40, 2, 0.6), (50, 51, 40, 40, 3, 0.9)).prediction
    layers = FixedNetwork((50, 50, 40, 40, 2, 0.6), (50, 50, 20, 36, 3, 0.9)).prediction
    assert suppress(twins, Thresholds())[:, 5].tolist() == [3]
    assert suppress(layers, Thresholds())[:, 5].tolist() == [3, 2]


def test_mixed_shapes_keep_their_order() -> None:
    """Portraits and landscapes in one batch are stacked by shape, and answered in the order they were asked."""
    network = FixedNetwork((16, 16, 8, 8, 4, 0.9))
    model = detector(network)
    photos = [photo(200, 100), photo(100, 200), photo(400, 200), photo(50, 50)]
    answers = Guarded(model, name="d").run(photos)
    assert [tuple(s.shape) for s in network.seen] == [(2, 3, 128, 64), (1, 3, 64, 128), (1, 3, 128, 128)]
    assert [a[0].box[2] for a in answers] == pytest.approx(
        [20 * 200 / 128, 20 * 200 / 128, 20 * 400 / 128, 20 * 50 / 128]
    )


def test_the_network_sees_zero_to_one() -> None:
    """Bytes are divided by 255, once."""
    network = FixedNetwork()
    detector(network).forward([Letterboxed(torch.full((3, 32, 32), 255, dtype=torch.uint8), 1.0)])
    assert float(network.seen[0].max()) == 1.0


def test_random_weights_run_the_whole_way(weights: Path) -> None:
    """The real architecture loads, fuses and answers; alone and in company the answers agree."""
    model = YoloDetector.load(weights, confidence=0.0)
    guarded = Guarded(model, name="detector")
    rng = np.random.default_rng(3)
    photos = [rng.integers(0, 255, (90, 60, 3), np.uint8) for _ in range(2)]
    together = guarded.run(photos)
    alone = [guarded.run([one])[0] for one in photos]
    assert len(together[0]) > 0
    for one, other in zip(together, alone, strict=True):
        assert [d.category for d in one] == [d.category for d in other]
        np.testing.assert_allclose([d.box for d in one], [d.box for d in other], atol=0.05)
    guarded.warm_up()


def test_fused_weights_answer_like_unfused_ones(weights: Path) -> None:
    """Folding the batch norms into the convolutions changes nothing but the speed."""
    from safetensors.torch import load_file

    plain = build_network("yolo11n.yaml", 10).eval()
    plain.load_state_dict({k: v.float() for k, v in load_file(weights).items()}, strict=False)
    image = torch.rand(1, 3, 128, 96)
    with torch.inference_mode():
        torch.testing.assert_close(YoloDetector.load(weights)._network(image)[0], plain(image)[0], atol=1e-3, rtol=1e-3)


def test_the_fingerprint_follows_what_changes_the_answer(weights: Path, tmp_path: Path) -> None:
    """Same file and thresholds, same fingerprint; another size, threshold or file, another."""
    one = YoloDetector.load(weights).fingerprint
    assert one.startswith("sha256:")
    assert YoloDetector.load(weights).fingerprint == one
    others = [
        YoloDetector.load(weights, size=256),
        YoloDetector.load(weights, confidence=0.2),
        YoloDetector.load(weights, iou=0.5),
        YoloDetector.load(rewritten(weights, tmp_path, provenance="another run")),
    ]
    assert len({one, *(o.fingerprint for o in others)}) == 5


def test_the_size_is_the_weights_own_unless_told(weights: Path) -> None:
    """The serving size travels with the weights."""
    assert max(YoloDetector.load(weights).prepare(photo(300, 200)).image.shape) == 128
    assert max(YoloDetector.load(weights, size=64).prepare(photo(300, 200)).image.shape) == 64


def test_a_missing_file_is_fatal(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(Fatal, match=r"nowhere\.safetensors"):
        YoloDetector.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04\x95pickle", b"\x05\0\0\0\0\0\0\0{}   "])
def test_a_file_of_something_else_is_fatal(tmp_path: Path, content: bytes) -> None:
    """Pickles, empty files and headers without our fields are refused unread."""
    path = tmp_path / "strange.safetensors"
    path.write_bytes(content)
    with pytest.raises(Fatal, match=r"strange\.safetensors"):
        YoloDetector.load(path)


def test_a_truncated_file_is_fatal(weights: Path, tmp_path: Path) -> None:
    """Half a download has a fine header and no tensors."""
    path = tmp_path / "half.safetensors"
    path.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(Fatal, match=r"half\.safetensors"):
        YoloDetector.load(path)


def test_weights_of_another_architecture_are_fatal(weights: Path, tmp_path: Path) -> None:
    """Nano tensors in a small network: the message counts them and names one."""
    with pytest.raises(Fatal, match=r"other\.safetensors: does not fit its architecture .* not \["):
        YoloDetector.load(rewritten(weights, tmp_path, architecture="yolo11s.yaml"))


def test_weights_of_other_classes_are_fatal(weights: Path, tmp_path: Path) -> None:
    """Fewer names than output channels."""
    with pytest.raises(Fatal, match="does not fit"):
        YoloDetector.load(rewritten(weights, tmp_path, classes=json.dumps(CATEGORIES[:4])))


def test_unknown_class_names_are_fatal(weights: Path, tmp_path: Path) -> None:
    """A detector of cats does not start."""
    with pytest.raises(Fatal, match="cat"):
        YoloDetector.load(rewritten(weights, tmp_path, classes=json.dumps(["cat", *CATEGORIES[1:]])))


@pytest.mark.parametrize("name", ["../evil.yaml", "http://somewhere/yolo11n.yaml", "yolo11n.pt", "yolo99z.yaml", ""])
def test_an_architecture_is_a_bare_known_name(weights: Path, tmp_path: Path, name: str) -> None:
    """Nothing in a weights file can make the library open a path, an address or a pickle."""
    with pytest.raises(Fatal, match="architecture"):
        YoloDetector.load(rewritten(weights, tmp_path, architecture=name))


def test_weights_that_are_not_finite_are_fatal(weights: Path, tmp_path: Path) -> None:
    """A NaN in a checkpoint would make a detector that finds nothing, silently."""
    from safetensors.torch import load_file

    tensors = load_file(weights)
    tensors["model.0.bn.weight"][3] = float("nan")
    path = tmp_path / "nan.safetensors"
    save_file(tensors, path, metadata=HEADER)
    with pytest.raises(Fatal, match=r"model\.0\.bn\.weight is not finite"):
        YoloDetector.load(path)


def test_an_absurd_size_is_fatal(weights: Path) -> None:
    """A size below the stride leaves the network nothing to see."""
    with pytest.raises(Fatal, match="serving size"):
        YoloDetector.load(weights, size=16)


def test_the_shipped_weights_find_garments() -> None:
    """On drawn scenes that no training saw, the shipped detector finds a third of the garments and is mostly right."""
    from models.recipes.detector_data import load_drawn
    from models.recipes.detector_evaluate import detect, operating_points

    shipped = Path(__file__).parents[3] / "models" / "starter" / "detector.safetensors"
    scenes = load_drawn(8_500_000, 24, size=480)
    model = YoloDetector.load(shipped)
    (point,) = operating_points(scenes, detect(model, scenes), [0.3])
    assert shipped.stat().st_size <= 8 * 2**20
    assert model.header.classes == CATEGORIES
    assert point.recall > 0.3
    assert point.precision > 0.5


def test_pictures_that_stand_and_that_lie_do_not_disturb_each_other(weights: Path) -> None:
    """Both have as many anchors, at other places: on two threads, each is decoded by its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model = YoloDetector.load(weights, confidence=0.0)
        rng = np.random.default_rng(4)
        shapes = [(128, 96), (96, 128), (128, 128)] * 5
        ready = [model.prepare(rng.integers(0, 255, (*shape, 3)).astype(np.uint8)) for shape in shapes]
        alone = [model.forward([one])[0] for one in ready]
        for _ in range(6):
            for one, other in zip(alone, model.forward(ready), strict=True):
                np.testing.assert_array_equal(one, other)
    finally:
        torch.set_num_threads(before)
