"""`weft models add detector`: an ultralytics checkpoint, an ONNX export, or what either became before, into a profile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from models.detector.own_yolo import FILE, OwnClass, read_header
from models.profiles.adding import Asked
from models.profiles.profile import Part
from processors import plain_yaml
from processors.class_map import Meaning, UnknownWordError, meanings
from processors.errors import BadSetting, Fatal
from processors.plain_yaml import YamlProblem
from processors.values import CATEGORIES

OURS = "model.safetensors"
"""Weights that `weft train detector` exports: their header says what they are."""


def take(asked: Asked, ready: Path, progress: Callable[[str], None]) -> Part:
    """Convert, or copy, a detector.

    Raises:
        Poison: the file is none that Weft takes, and nothing in it was run.
        BadSetting: an option or the map of classes is wrong.
        Fatal: a file cannot be read.
    """
    source = Path(asked.source).expanduser()
    if not source.exists():
        raise Fatal(f"there is no {source}")
    if not (source.is_file() or source.is_dir()):
        raise Fatal(f"{source} is no file or folder")  # of a pipe the process would wait for ever
    classes = None if asked.classes is None else read_map(asked.classes)
    kind, function = _way(source)
    if asked.kind not in {"", kind}:
        raise BadSetting(f"--kind: {source} is {kind}, not {asked.kind}")
    try:
        function(source, ready, classes, progress)
    except UnknownWordError as error:
        raise BadSetting(f"--classes: {asked.classes}: {_place(asked.classes, error)}{error}") from error
    options = {name: yaml.safe_load(value) for name, value in asked.options.items()}
    return Part(kind=kind, source=source.name, options=options)


def read_map(path: Path) -> Mapping[str, str | None]:
    """A file of `their class: our word`, or null. Raises `BadSetting` with line and column."""
    try:
        root = plain_yaml.compose(plain_yaml.read(path))
        return {} if root is None else plain_yaml.words(root)
    except YamlProblem as error:
        raise BadSetting(f"--classes: {path}: {error}") from error


def _place(path: Path | None, error: UnknownWordError) -> str:
    """Line and column of the word that is at fault."""
    root = None if path is None else plain_yaml.compose(plain_yaml.read(path))
    for key, value in () if root is None else root.value:
        if key.value == error.key:
            mark = (value if error.value else key).start_mark
            return f"line {mark.line + 1}, column {mark.column + 1}: "
    return ""


Way = Callable[[Path, Path, Mapping[str, str | None] | None, Callable[[str], None]], None]


def _way(source: Path) -> tuple[str, Way]:
    """The kind, and who takes it."""
    if source.is_dir():
        if not (source / FILE).is_file():
            return "yolo", _ours
        return "yolo" if read_header(source).graph is None else "onnx", _converted
    if source.suffix == ".onnx":
        return "onnx", _export
    if source.suffix == ".safetensors":
        return "yolo", _ours
    if source.suffix == ".pt":
        return "yolo", _checkpoint
    raise Fatal(
        f"{source}: a detector is a best.pt of ultralytics, an .onnx export of one, or a folder that Weft made of them"
    )


def _checkpoint(
    source: Path, ready: Path, classes: Mapping[str, str | None] | None, progress: Callable[[str], None]
) -> None:
    from models.detector.conversion import convert

    progress(f"{source.name}: is read once, in a process without network, home or credentials")
    made = convert(source, ready, classes)
    for name, stands, why in made.fences:
        if not stands:
            progress(f"without {name}: {why}")
    header = made.header
    progress(f"{header.architecture}, {header.task}, {header.size} px, {len(header.classes)} classes")
    tell(made.meanings, progress)


def _export(
    source: Path, ready: Path, classes: Mapping[str, str | None] | None, progress: Callable[[str], None]
) -> None:
    from models.detector.onnx_taking import take as take_onnx

    progress(f"{source.name}: is tried once, in a process without network, home or credentials")
    tell(take_onnx(source, ready, classes, progress), progress)


def tell(meant: tuple[Meaning, ...], progress: Callable[[str], None]) -> None:
    """Say what each class is in Weft's words."""
    for one in meant:
        what = one.category or "nothing: its boxes are dropped"
        progress(f"  {one.name}: {what}{f', kind {one.kind}' if one.kind else ''}")
    strange = [one.name for one in meant if one.category and one.category not in CATEGORIES]
    if strange:
        progress(
            f"Weft has no category for {', '.join(strange)}: they stay what they are called, as kinds (--classes maps them)"
        )


def _converted(
    source: Path, ready: Path, classes: Mapping[str, str | None] | None, progress: Callable[[str], None]
) -> None:
    """A folder that was converted before, perhaps with another map."""
    from models.detector.conversion import write_header

    header = read_header(source)
    shutil.copyfile(source / header.weights, ready / header.weights)
    meant = header.meanings if classes is None else meanings([one.name for one in header.classes], classes)
    mapped = tuple(OwnClass(one.name, one.category or None, one.kind) for one in meant)
    write_header(msgspec.structs.replace(header, classes=mapped), ready)
    tell(meant, progress)


def _ours(source: Path, ready: Path, classes: Any, _progress: Callable[[str], None]) -> None:
    """Weights of the recipe, in the layout of the profile `full`."""
    weights = source / OURS if source.is_dir() else source
    if not weights.is_file():
        one = (
            f": a {source.suffix} is one file, and this is a folder"
            if source.suffix in {".pt", ".onnx", ".safetensors"}
            else ""
        )
        raise Fatal(f"{source} holds neither {FILE} nor {OURS}{one}")
    if classes is not None:
        raise BadSetting("--classes: these weights say their classes in Weft's words already")
    shutil.copyfile(weights, ready / OURS)
    _fits(ready / OURS)


def _fits(weights: Path) -> None:
    from models.detector import yolo_detector

    data = weights.read_bytes()
    header = yolo_detector.read_header(weights, data)
    yolo_detector.fill(
        yolo_detector.build_network(header.architecture, len(header.classes), source=weights), weights, data
    )
