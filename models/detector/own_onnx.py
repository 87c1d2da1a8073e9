"""An ONNX export of a YOLO through onnxruntime (the extra `onnx`): a folder of `weft models add detector`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.detector.letterbox import Frame, Letterboxed
from models.detector.own_detector import Options, Output, OwnDetector
from models.detector.own_yolo import OnnxGraph, frame_of, read_header
from processors.errors import Fatal


def load(folder: Path, *, options: Options | None = None, device: str = "cpu") -> OwnDetector:
    """Open the graph.

    Args:
        folder: with `detector.yaml` and the graph.
        options: what is kept.
        device: on a GPU onnxruntime's CUDA provider is used, where the installed onnxruntime has it; else the CPU.

    Raises:
        Fatal: onnxruntime is not installed; a file is missing, or not what `detector.yaml` says of it.
    """
    import hashlib

    import torch

    header = read_header(folder)
    path, graph = folder / header.weights, header.graph
    if graph is None:
        raise Fatal(f"{folder}: is no ONNX export")
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        from models.detector.onnx_taking import MISSING

        raise Fatal(MISSING) from error
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != header.sha256:
        raise Fatal(f"{path}: missing, or not the graph that detector.yaml lists (its SHA-256 is another)")
    wanted = onnxruntime.SessionOptions()
    wanted.intra_op_num_threads, wanted.inter_op_num_threads, wanted.log_severity_level = torch.get_num_threads(), 1, 3
    cuda = device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    providers = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(data, wanted, providers=providers)
    fixed = graph.height is not None and graph.width is not None
    frame = Frame(graph.height or 0, graph.width or 0, square=True) if fixed else frame_of(header.size, folder)
    return OwnDetector(
        _Session(session, graph),
        header.meanings,
        frame,
        options or Options(),
        end_to_end=graph.end_to_end,
        made_by=header.sha256,
    )


class _Session:
    """Pictures through the graph, one at a time: in company they might be rounded otherwise."""

    def __init__(self, session: Any, graph: OnnxGraph) -> None:
        self._session = session
        self._graph = graph

    def __call__(self, pictures: Sequence[Letterboxed]) -> list[Output]:
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Letterboxed) -> Output:
        import torch

        shown = picture.image.numpy()[None].astype(np.float32) / np.float32(255)
        if self._graph.half:
            shown = shown.astype(np.float16)
        shown = np.repeat(
            np.ascontiguousarray(shown), self._graph.batch or 1, axis=0
        )  # a graph of a fixed batch takes no fewer
        found, *more = self._session.run(None, {self._graph.input: shown})
        first = [torch.from_numpy(np.asarray(one[0], np.float32)) for one in (found, *more)]
        return first[0], first[1] if more else None
