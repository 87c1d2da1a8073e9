"""ONNX exports of YOLOs: held to the contract of detectors; the boxes of the checkpoint that they are exported from; hostile graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

from models.detector import own_onnx, own_yolo  # noqa: E402
from models.detector.conversion import convert  # noqa: E402
from models.detector.onnx_graph import DamagedError, read  # noqa: E402
from models.detector.onnx_taking import checked, take  # noqa: E402
from models.detector.own_detector import Options, OwnDetector  # noqa: E402
from models.profiles.adding import Asked, add  # noqa: E402
from models.profiles.kinds import Place, load  # noqa: E402
from models.profiles.reading import find  # noqa: E402
from processors.errors import Fatal, Poison  # noqa: E402
from processors.values import Pixels  # noqa: E402
from tests.contract.model_contract import OwnDetectorContract  # noqa: E402
from tests.fixtures.own_yolo import NAMES, dressed, network, read_here, run, saved  # noqa: E402

pytestmark = pytest.mark.slow

SIZE = 160


def exported(made: Any, path: Path, *, dynamic: bool = False, end_to_end: bool = False, named: bool = True) -> Path:
    """As ultralytics' exporter does: fused, in its export mode, its metadata in the file."""
    import copy
    import warnings

    made = (
        copy.deepcopy(made).float().eval().fuse(verbose=False) if not end_to_end else copy.deepcopy(made).float().eval()
    )
    head = made.model[-1]
    head.export, head.format, head.dynamic = True, "onnx", dynamic
    if end_to_end:
        head.end2end = True
    outputs = ["output0", "output1"] if made.task == "segment" else ["output0"]
    axes = {"images": {0: "batch", 2: "height", 3: "width"}, **{name: {0: "batch"} for name in outputs}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        torch.onnx.export(
            made, (torch.zeros(1, 3, SIZE, SIZE),), str(path), dynamo=False, opset_version=17,
            input_names=["images"], output_names=outputs, dynamic_axes=axes if dynamic else None,
        )  # fmt: skip
    document = onnx.load(str(path))
    said = {"task": made.task, "imgsz": f"[{SIZE}, {SIZE}]", "license": "AGPL-3.0", "version": "8.4.190"}
    for key, value in (said | ({"names": str(dict(enumerate(NAMES)))} if named else {})).items():
        document.metadata_props.add(key=key, value=value)
    onnx.save(document, str(path))
    return path


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Squares first: a fixed graph and one of any size show them alike."""
    return dressed(2, 11)


WAYS = {
    "fixed": ("yolov8n-seg.yaml", {}),
    "dynamic": ("yolov8n-seg.yaml", {"dynamic": True}),
    "end to end": ("yolo26n.yaml", {"end_to_end": True}),
}


@pytest.fixture(scope="module", params=list(WAYS))
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An export, and the checkpoint that it is from, in one folder."""
    folder = tmp_path_factory.mktemp("onnx")
    architecture, how = WAYS[request.param]
    made = network(architecture)
    exported(made, folder / "best.onnx", **how)
    saved(made, folder / "best.pt", size=SIZE)
    return request.param, folder


@pytest.fixture(scope="module")
def detector(way: tuple[str, Path]) -> OwnDetector:
    """Taken and loaded once."""
    _, folder = way
    take(folder / "best.onnx", folder / "taken", {"kurta": "dress"}, lambda _: None)
    return own_onnx.load(folder / "taken", options=Options(confidence=0.3))


class TestExported(OwnDetectorContract):
    """Fixed and dynamic sizes, with masks; end to end."""

    def test_the_boxes_are_those_of_the_checkpoint(
        self, detector: OwnDetector, way: tuple[str, Path], pictures: Sequence[Pixels]
    ) -> None:
        """The converted checkpoint finds the same in photos that both show alike."""
        name, folder = way
        if name == "end to end":
            pytest.skip("its one-to-one head is another than the one-to-many head that the checkpoint is served with")
        convert(folder / "best.pt", folder / "converted", {"kurta": "dress"}, reader=read_here)
        other = own_yolo.load(folder / "converted", options=Options(confidence=0.3))
        seen = 0
        for pixels in pictures if name == "dynamic" else pictures[:2]:
            ours, theirs = run(detector, pixels), run(other, pixels)
            assert [(one.category, one.kind) for one in ours] == [(one.category, one.kind) for one in theirs]
            assert np.allclose([one.box for one in ours], [one.box for one in theirs], atol=0.05)
            assert [one.mask is None for one in ours] == [one.mask is None for one in theirs]
            seen += len(ours)
        assert seen > 20


def test_an_end_to_end_graph_gives_its_own_corners(tmp_path: Path, pictures: Sequence[Pixels]) -> None:
    """What the network's own one-to-one head gives on the same frame."""
    made = network("yolo26n.yaml")
    take(exported(made, tmp_path / "best.onnx", end_to_end=True), tmp_path / "taken", None, lambda _: None)
    detector = own_onnx.load(tmp_path / "taken", options=Options(confidence=0.01))
    made.model[-1].end2end = True
    shown = detector.prepare(pictures[0])
    with torch.inference_mode():
        rows = made.float()(shown.image[None].float() / 255)[0][0]
    rows = rows[rows[:, 4] > 0.3].numpy()
    found = detector.forward([shown])[0].rows
    assert len(rows) > 3
    for row in rows:  # some are as sure to the seventh digit, so their order is rounding's
        assert np.abs(found - row).max(1).min() < 0.02


def test_a_half_precision_export_finds_the_same(tmp_path: Path, pictures: Sequence[Pixels]) -> None:
    """Of an fp16 graph (input and outputs, too) each box lies where the checkpoint's does, within what sixteen bits tell apart."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made = network("yolo11n-seg.yaml")
    whole = onnx.load(str(exported(made, tmp_path / "whole.onnx")))
    onnx.save(convert_float_to_float16(whole, keep_io_types=False), str(tmp_path / "best.onnx"))
    take(tmp_path / "best.onnx", tmp_path / "half", {"kurta": "dress"}, lambda _: None)
    take(tmp_path / "whole.onnx", tmp_path / "single", {"kurta": "dress"}, lambda _: None)
    header = own_yolo.read_header(tmp_path / "half")
    assert header.graph is not None
    assert header.graph.half
    half, single = (own_onnx.load(tmp_path / name, options=Options(confidence=0.3)) for name in ("half", "single"))
    alike = seen = 0
    for pixels in pictures[:2]:
        ours, theirs = run(half, pixels), run(single, pixels)
        assert abs(len(ours) - len(theirs)) <= 0.1 * len(theirs) + 1
        for one in ours:
            near = [abs(np.array(one.box) - other.box).max() for other in theirs if one.category == other.category]
            alike += bool(near) and min(near) < 1.5
        assert any(one.mask is not None for one in ours), "its masks are read, too"
        seen += len(ours)
    assert seen > 20
    assert alike >= 0.9 * seen


def test_it_is_a_part_of_a_profile(tmp_path: Path, pictures: Sequence[Pixels]) -> None:
    """`weft models add detector best.onnx --classes map.yaml`: names from the map where the graph has none, in its order."""
    exported(network("yolov8n-seg.yaml"), tmp_path / "best.onnx", named=False)
    asked = Asked("detector", str(tmp_path / "best.onnx"))
    with pytest.raises(Poison, match="does not say what its classes are called"):
        add(asked, tmp_path, progress=lambda _: None)
    (tmp_path / "map.yaml").write_text("kurta: dress\nscarf: scarf\nperson: null\ndress: dress\n")
    added = add(Asked("detector", asked.source, classes=tmp_path / "map.yaml"), tmp_path, progress=lambda _: None)
    assert added.kind == "onnx"
    found = load("detector", find("own", tmp_path).parts["detector"], Place(tmp_path))
    assert {one.category for pixels in pictures for one in run(found, pixels)} <= {"dress", "scarf"}
    asked = Asked("detector", added.path, "other")
    assert add(asked, tmp_path, progress=lambda _: None).kind == "onnx"
    (Path(added.path) / "model.onnx").write_bytes(b"other")
    with pytest.raises(Fatal, match="SHA-256"):
        own_onnx.load(Path(added.path))


def graph(*nodes: Any, weight: Any = None, output: Sequence[int | str] = (1, 3, 8, 8)) -> Any:
    """A document of these operators over a picture."""
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)]
    made = helper.make_graph(list(nodes), "g", inputs, outputs, initializer=[] if weight is None else [weight])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("shop.ops", 1)]
    return helper.make_model(made, opset_imports=sets, ir_version=9)


def test_operators_and_files_of_its_own_are_refused() -> None:
    """At the top, within a branch, in a function; tensors in other files, anywhere on the disk."""
    from onnx import TensorProto, helper, numpy_helper

    own = helper.make_node("Evil", ["images"], ["out"], domain="shop.ops")
    with pytest.raises(Poison, match=r"the operator shop\.ops\.Evil"):
        checked(graph(own).SerializeToString(), Path("best.onnx"))
    branch = helper.make_graph([own], "b", [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    inside = helper.make_node("If", ["images"], ["out"], then_branch=branch, else_branch=branch)
    with pytest.raises(Poison, match=r"the operator shop\.ops\.Evil"):
        checked(graph(inside).SerializeToString(), Path("best.onnx"))
    plain = helper.make_node("Add", ["images", "w"], ["out"])
    document = graph(plain)
    document.functions.append(
        helper.make_function("", "F", ["a"], ["out"], [own], [helper.make_opsetid("shop.ops", 1)])
    )
    with pytest.raises(Poison, match=r"the operator shop\.ops\.Evil"):
        checked(document.SerializeToString(), Path("best.onnx"))
    weight = numpy_helper.from_array(np.zeros((1, 3, 8, 8), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(Poison, match="lie in other files \\(w\\)"):
        checked(graph(plain, weight=weight).SerializeToString(), Path("best.onnx"))


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    """Cut short, other bytes, nested without end; a graph that is no YOLO; one that asks for all the memory there is."""
    from onnx import TensorProto, helper, numpy_helper

    whole = graph(helper.make_node("Relu", ["images"], ["out"])).SerializeToString()
    assert read(whole).domains == {"": "Relu"}
    for data in (whole[:-3], b"", b"PK\x03\x04" + bytes(50), b"\xff" * 40):
        with pytest.raises(DamagedError):
            read(data)
    (tmp_path / "relu.onnx").write_bytes(whole)
    with pytest.raises(Poison, match="no export of a YOLO"):
        take(tmp_path / "relu.onnx", tmp_path / "out", None, lambda _: None)
    sides = numpy_helper.from_array(np.array([1, 8, 1 << 34], np.int64), "s")
    bomb = graph(helper.make_node("ConstantOfShape", ["s"], ["out"]), weight=sides, output=["a", "b", "c"])
    (tmp_path / "bomb.onnx").write_bytes(bomb.SerializeToString())
    with pytest.raises(Poison, match=r"onnxruntime does not take it|does not run on a grey picture|memory"):
        take(tmp_path / "bomb.onnx", tmp_path / "out", None, lambda _: None)
    assert TensorProto.FLOAT == 1
    assert not (tmp_path / "out").exists()
