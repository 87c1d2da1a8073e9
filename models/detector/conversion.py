"""An ultralytics checkpoint → a folder that `own_yolo` serves: safetensors and `detector.yaml`.

The file is opened in a process of its own (`models.checkpoints`), which leaves tensors and a description. Neither is believed: the
network is built here, from the YAML of the same structure that the installed ultralytics carries, and the description of every
module has to agree with it before a tensor is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import msgspec

from models.checkpoints.apart import run_apart
from models.detector.own_yolo import FILE, WEIGHTS, Came, OwnClass, OwnHeader, frame_of
from models.detector.yolo_detector import SUFFIXES_NOT_SHIPPED, build_network, import_ultralytics
from processors.class_map import Meaning, meanings
from processors.errors import Fatal, Poison

READER = "models.checkpoints.yolo_reading"
FAMILIES = ("v8", "11", "12", "26")
"""Folders of ultralytics' YAMLs whose networks are taken."""
SIZE = 640
"""Of a checkpoint that does not say for what size it was trained."""
MOST_DESCRIBED = 64 << 20
MOST_BYTES = 4 << 30
_FREE = frozenset(
    {
        "nc",
        "scale",
        "ch",
        "channels",
        "yaml_file",
        "names",
        "kpt_shape",
        "depth_multiple",
        "width_multiple",
        "backbone",
        "head",
    }
)
"""Of a YAML: what may differ from ultralytics' own, and what is compared by itself."""
_PASSING = frozenset(
    {
        "training",
        "inplace",
        "np",
        "type",
        "dynamic",
        "export",
        "format",
        "shape",
        "legacy",
        "max_det",
        "xyxy",
        "agnostic_nms",
    }
)
"""Of a module: what does not change what it computes."""


Reader = Callable[[BufferedReader, Path, Path], None]
"""Takes the open checkpoint, the folder for what it finds, and the name for messages; raises `Poison` where it refuses."""


def _apart(file: BufferedReader, folder: Path, name: Path) -> None:
    run_apart(READER, file, folder, name=name)


class Described(msgspec.Struct, frozen=True):
    """What the reading process says of a checkpoint."""

    task: Literal["detect", "segment"]
    names: tuple[str, ...]
    yaml: dict[str, Any]
    imgsz: Any
    licence: str
    version: str
    date: str
    modules: dict[str, dict[str, Any]]
    fences: tuple[tuple[str, bool, str], ...]


@dataclass(frozen=True, slots=True)
class Converted:
    """What was made. `fences`: (what, whether it stood, why not) around the process that read the checkpoint."""

    header: OwnHeader
    meanings: tuple[Meaning, ...]
    fences: tuple[tuple[str, bool, str], ...]


def convert(
    checkpoint: Path, folder: Path, classes: Mapping[str, str | None] | None = None, *, reader: Reader | None = None
) -> Converted:
    """Convert a checkpoint.

    Args:
        checkpoint: `best.pt`, as ultralytics saves it.
        folder: is made, or filled; files of an earlier conversion are replaced.
        classes: see `processors.class_map.meanings`.
        reader: leaves tensors and description of an open file in a folder; by default a process of its own.

    Raises:
        Poison: the file is none that Weft takes; the sentence says why. Nothing in it was run.
        UnknownWordError: a word of `classes` is none.
        Fatal: the file cannot be read at all, or the folder not be written.
    """
    try:
        with checkpoint.open("rb") as file, tempfile.TemporaryDirectory(prefix="weft-checkpoint-") as aside:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise Poison(f"{checkpoint}: larger than {MOST_BYTES >> 30} GB, which no YOLO is")
            (reader or _apart)(file, Path(aside), checkpoint)
            return _convert(checkpoint, file, Path(aside), folder, classes)
    except OSError as error:
        raise Fatal(f"{error.filename or checkpoint}: {error.strerror or error}") from error


def _convert(
    checkpoint: Path, file: BufferedReader, aside: Path, folder: Path, classes: Mapping[str, str | None] | None
) -> Converted:
    described = _described(aside / "described.json", checkpoint)
    architecture = architecture_of(described, checkpoint)
    meant = meanings(described.names, classes)
    network = build_network(architecture, len(described.names))
    problems = differences(network, described.modules)
    if problems:
        raise Poison(
            f"{checkpoint}: its network is not ultralytics' {architecture} as it is carried here ({problems[0]}; "
            f"{len(problems)} differences): export it to ONNX"
        )
    tensors = _fitting(network, aside / "tensors.safetensors", checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = _write_tensors(tensors, folder / WEIGHTS)
    file.seek(0)
    header = OwnHeader(
        architecture=architecture,
        task=described.task,
        size=_size(described.imgsz, checkpoint),
        sha256=sha256,
        classes=tuple(OwnClass(one.name, one.category or None, one.kind) for one in meant),
        came=Came(
            checkpoint.name,
            hashlib.file_digest(file, "sha256").hexdigest(),
            described.version,
            described.licence,
            described.date,
        ),
    )
    write_header(header, folder)
    return Converted(header, meant, described.fences)


def write_header(header: OwnHeader, folder: Path) -> None:
    """Write `detector.yaml` aside and rename it."""
    import yaml

    aside = folder / f"{FILE}.partial"
    aside.write_text(yaml.safe_dump(msgspec.to_builtins(header), sort_keys=False, allow_unicode=True))
    aside.replace(folder / FILE)


def _described(path: Path, checkpoint: Path) -> Described:
    try:
        if path.stat().st_size > MOST_DESCRIBED:
            raise Poison(f"{checkpoint}: its description is larger than that of any network")
        return msgspec.json.decode(path.read_bytes(), type=Described)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise Poison(f"{checkpoint}: its description cannot be read ({error})") from error


def architecture_of(described: Described, checkpoint: Path) -> str:
    """The name of ultralytics' YAML with the structure of the checkpoint's ("yolo11n-seg.yaml").

    Raises:
        Poison: ultralytics carries none such.
    """
    own = described.yaml
    said = Path(str(own.get("yaml_file") or "")).name
    scale = own.get("scale") or (re.match(r"yolov?\d+([nslmx])", said) or ["", ""])[1]
    channels = own.get("channels") or own.get("ch") or 3
    if channels != 3:
        raise Poison(f"{checkpoint}: its network looks at {channels} channels; photos have 3")
    for name, known in carried().items():
        if _same_structure(own, known) and (known.get("scales") or {}).get(scale) == (own.get("scales") or {}).get(
            scale
        ):
            stem = re.sub(r"^(yolov?\d+)", rf"\g<1>{scale}", name.removesuffix(".yaml"))
            if ("-seg" in name) == (described.task == "segment"):
                return f"{stem}.yaml"
    import ultralytics

    raise Poison(
        f"{checkpoint}: its network ({said or 'of no name'}) has the structure of none that ultralytics {ultralytics.__version__} carries "
        "for YOLOv8, 11, 12 and 26: export it to ONNX"
    )


@cache
def carried() -> dict[str, dict[str, Any]]:
    """Ultralytics' own YAMLs of the families that are taken, by file name."""
    import_ultralytics()
    import ultralytics
    import yaml

    folder = Path(ultralytics.__file__).parent / "cfg" / "models"
    wanted = re.compile(r"yolov?\d+(-p2|-p6|-seg|-seg-p6)?\.yaml")
    paths = sorted(path for family in FAMILIES for path in (folder / family).glob("*.yaml"))
    return {path.name: yaml.safe_load(path.read_text()) for path in paths if wanted.fullmatch(path.name)}


def _same_structure(own: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    if any(_plain(own.get(part)) != _plain(known[part]) for part in ("backbone", "head")):
        return False
    keys = {*own, *known} - _FREE - {"scales"}
    return all(own.get(key) == known.get(key) for key in keys)


def _plain(value: Any) -> str:
    """For comparison: earlier versions write "None" where later ones have null, and "nc" where a number stands."""
    return json.dumps(value).replace('"None"', "null").replace('"False"', "false").replace('"True"', "true")


def differences(network: Any, modules: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where the modules of a checkpoint are not those of a network: by class, by their place, by what is plain of them."""
    built = dict(network.named_modules(remove_duplicate=False))
    found = [f"{path or 'the model'} is missing" for path in built if path not in modules]
    found += [f"{path} is left over" for path in modules if path not in built]
    for path in [one for one in built if one in modules and one]:
        module, said = built[path], modules[path]
        if str(said.get("class")).rpartition(".")[2] != type(module).__name__:
            found.append(f"{path} is a {said.get('class')}, not a {type(module).__name__}")
            continue
        has = said.get("has") or {}
        for name, value in vars(module).items():
            if (
                name in has
                and name not in _PASSING
                and not name.startswith("_")
                and _is_plain(value)
                and _listed(value) != has[name]
            ):
                found.append(f"{path}.{name} is {has[name]}, not {_listed(value)}")
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return isinstance(value, bool | int | float | str | None)


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value


def _fitting(network: Any, path: Path, checkpoint: Path) -> dict[str, Any]:
    """The tensors of the checkpoint, each of the shape that the network wants. Raises `Poison`."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise Poison(f"{checkpoint}: its tensors cannot be read ({error})") from error
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith(SUFFIXES_NOT_SHIPPED)}
    tensors = {k: v for k, v in tensors.items() if not k.endswith(SUFFIXES_NOT_SHIPPED)}
    wrong = [f"{name} is missing" for name in wanted if name not in tensors]
    wrong += [f"{name} is left over" for name in tensors if name not in wanted]
    for name in wanted.keys() & tensors.keys():
        if tensors[name].shape != wanted[name].shape:
            wrong.append(f"{name} is {list(tensors[name].shape)}, not {list(wanted[name].shape)}")
        elif not (tensors[name].is_floating_point() and bool(torch.isfinite(tensors[name]).all())):
            wrong.append(f"{name} is not finite")
    if wrong:
        raise Poison(
            f"{checkpoint}: its weights do not fit its network ({len(wrong)} tensors): {'; '.join(sorted(wrong)[:3])}"
        )
    return tensors


def _write_tensors(tensors: Mapping[str, Any], path: Path) -> str:
    """Write the weights aside and rename them. Returns their SHA-256."""
    from safetensors.torch import save

    data = save(dict(sorted(tensors.items())))
    aside = path.with_name(f"{path.name}.partial")
    aside.write_bytes(data)
    aside.replace(path)
    return hashlib.sha256(data).hexdigest()


def _size(imgsz: Any, checkpoint: Path) -> int:
    sides = imgsz if isinstance(imgsz, list) else [imgsz]
    size = max((side for side in sides if isinstance(side, int) and not isinstance(side, bool)), default=SIZE)
    try:
        return frame_of(size, checkpoint).width
    except Fatal as error:
        raise Poison(str(error)) from error
