"""An ONNX export of a YOLO → a folder that `own_onnx` serves: the graph as it is, and `detector.yaml`."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from models.checkpoints.apart import run_apart
from models.detector.conversion import write_header
from models.detector.onnx_graph import STANDARD, DamagedError, Graph, read
from models.detector.own_yolo import Came, OnnxGraph, OwnClass, OwnHeader
from processors.class_map import Meaning, meanings
from processors.errors import Fatal, Poison

TRIAL = "models.checkpoints.onnx_trial"
WEIGHTS = "model.onnx"
MISSING = "onnxruntime is not installed: install `weft[onnx]`"
MOST_BYTES = 2 << 30


class Tried(msgspec.Struct, frozen=True):
    """What `onnx_trial` says of a graph."""

    input: str
    half: bool
    shape: tuple[int | None, int | None, int | None, int | None]
    tried: tuple[int, int, int, int]
    outputs: tuple[tuple[int, ...], ...]
    fences: tuple[tuple[str, bool, str], ...]


def take(
    source: Path, folder: Path, classes: Mapping[str, str | None] | None, progress: Callable[[str], None]
) -> tuple[Meaning, ...]:
    """Check the graph, try it once in a process of its own, and lay it into the folder.

    Raises:
        Poison: it is no ONNX file, brings files or operators of its own, or is no export of a YOLO that detects or segments.
        Fatal: it cannot be read, or onnxruntime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise Fatal(MISSING)
    try:
        if source.stat().st_size > MOST_BYTES:
            raise Poison(f"{source}: larger than {MOST_BYTES >> 30} GB, which no ONNX file can be")
        data = source.read_bytes()
    except OSError as error:
        raise Fatal(f"{source}: {error.strerror}") from error
    graph = checked(data, source)
    tried = _tried(source)
    for name, stands, why in tried.fences:
        if not stands:
            progress(f"without {name}: {why}")
    header = described(graph, tried, classes, source, hashlib.sha256(data).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(data)
    write_header(header, folder)
    return header.meanings


def checked(data: bytes, source: Path) -> Graph:
    """What the file says of itself. Raises `Poison` for other files, operators of its own, and what is no graph."""
    try:
        graph = read(data)
    except DamagedError as error:
        raise Poison(f"{source}: {error}") from error
    if graph.external:
        raise Poison(
            f"{source}: {len(graph.external)} of its tensors lie in other files ({graph.external[0]}): export it as one file"
        )
    strange = {domain: kind for domain, kind in graph.domains.items() if domain not in STANDARD}
    if strange:
        domain, kind = next(iter(strange.items()))
        raise Poison(f"{source}: it needs the operator {domain}.{kind}, which is none of ONNX's own: refused")
    return graph


def _tried(source: Path) -> Tried:
    with source.open("rb") as file, tempfile.TemporaryDirectory(prefix="weft-onnx-") as aside:
        run_apart(TRIAL, file, Path(aside), name=source)
        try:
            return msgspec.json.decode((Path(aside) / "described.json").read_bytes(), type=Tried)
        except (OSError, msgspec.MsgspecError) as error:
            raise Poison(f"{source}: what came of it cannot be read ({error})") from error


def described(
    graph: Graph, tried: Tried, classes: Mapping[str, str | None] | None, source: Path, sha256: str
) -> OwnHeader:
    """What `detector.yaml` is going to say. Raises `Poison` for outputs that are none of a YOLO's."""
    outputs, task = tried.outputs, graph.metadata.get("task", "")
    masks = outputs[1][1] if len(outputs) > 1 and len(outputs[1]) == 4 else 0
    wanted: tuple[Literal["detect", "segment"], int] = ("segment", 2) if masks else ("detect", 1)
    if len(outputs) != wanted[1] or len(outputs[0]) != 3 or task not in {"", *wanted[:1]}:
        said = ", ".join(map(str, map(list, outputs)))
        raise Poison(
            f"{source}: gives {said}{f' for the task {task}' if task else ''}: no export of a YOLO that detects or segments"
        )
    end_to_end = outputs[0][2] == 6 + masks
    names = _names(graph, classes, source)
    channels = outputs[0][2] - masks if end_to_end else outputs[0][1] - masks
    if not end_to_end and channels - 4 != len(names):
        raise Poison(
            f"{source}: gives {list(outputs[0])}, which is {channels - 4} classes, but {len(names)} are named: {', '.join(names)}"
        )
    meant = meanings(names, classes)
    height, width = tried.shape[2:]
    return OwnHeader(
        architecture="onnx",
        task=wanted[0],
        size=max(tried.tried[2:]),
        sha256=sha256,
        classes=tuple(OwnClass(one.name, one.category or None, one.kind) for one in meant),
        came=Came(source.name, sha256, graph.metadata.get("version", ""), graph.metadata.get("license", "")),
        weights=WEIGHTS,
        graph=OnnxGraph(tried.input, tried.shape[0], height, width, half=tried.half, end_to_end=end_to_end),
    )


def _names(graph: Graph, classes: Mapping[str, str | None] | None, source: Path) -> tuple[str, ...]:
    """Of the classes in the order of the outputs: as the exporter wrote them, else as the map lists them."""
    text = graph.metadata.get("names", "")
    try:
        said = ast.literal_eval(text) if 0 < len(text) < 1_000_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        said = None
    if isinstance(said, dict) and set(said) == set(range(len(said))):
        said = [said[number] for number in range(len(said))]
    if isinstance(said, list) and said and all(isinstance(one, str) for one in said):
        return tuple(said)
    if classes:
        return tuple(classes)
    raise Poison(
        f"{source}: does not say what its classes are called: list them in a map, in the order of its outputs (--classes)"
    )
