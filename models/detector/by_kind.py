"""Detectors by their kind in a profile (`models.profiles.kinds`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.weights.starter import shipped_path

if TYPE_CHECKING:
    from models.detector.yolo_detector import YoloDetector
    from models.ports import Detector
    from models.profiles.kinds import Place
    from models.profiles.profile import Part


def starter(part: Part, place: Place) -> YoloDetector:
    """Ours. Raises `Fatal` where its weights are missing or damaged."""
    from models.detector.yolo_detector import YoloDetector

    weights = shipped_path("detector.safetensors")
    return YoloDetector.load(weights, device=place.device, choices=place.measured, **part.options)


def yolo(part: Part, place: Place) -> Detector:
    """One's own: a folder of `weft models add detector`; or one with `model.safetensors` of our recipe, or such a file.

    Raises `Fatal` where it does not fit its architecture.
    """
    from models.detector import own_yolo
    from models.detector.own_detector import Options
    from models.detector.yolo_detector import YoloDetector

    path = place.path(part)
    if path.is_dir() and (path / own_yolo.FILE).is_file():
        kept = {name: value for name, value in part.options.items() if name != "size"}
        size = part.options.get("size")
        return own_yolo.load(path, options=Options(**kept), size=size, device=place.device, choices=place.measured)
    weights = path / "model.safetensors" if path.is_dir() else path
    return YoloDetector.load(weights, device=place.device, **part.options)


def onnx(part: Part, place: Place) -> Detector:
    """An ONNX export of a YOLO, through onnxruntime. Raises `Fatal` where it is not installed, or the graph is none."""
    from models.detector import own_onnx
    from models.detector.own_detector import Options

    return own_onnx.load(place.path(part), options=Options(**part.options), device=place.device)


def look(part: Part, place: Place) -> None:
    """Load one of one's own, as it is small. Raises `Fatal` where it is none."""
    (onnx if part.kind == "onnx" else yolo)(part, place)
