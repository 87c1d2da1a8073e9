"""The program that opens an ultralytics checkpoint: run in a process of its own, with no more rights than it needs.

It is given the file on its standard input and a folder; it leaves there `tensors.safetensors` and `described.json`. Nothing of
the file is ever run: the pickle is read by torch's own reader of tensors (`weights_only=True`), which calls what is on its list
and nothing else; for each class that a YOLO is pickled with, that list holds a class of this module, which keeps what it
is given and does nothing. So `DetectionModel`, say, whose real constructor evaluates text, is never touched.

Nothing of ultralytics is imported here, and nothing of Weft but the fences.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from models.checkpoints import confined

NEEDED = re.compile(
    r"(torch\.nn\.modules|ultralytics\.nn\.modules|ultralytics\.(utils\.)?(loss|tal))(\.[A-Za-z_]\w*)+"
    r"|ultralytics\.nn\.tasks\.(DetectionModel|SegmentationModel)"
    r"|ultralytics\.(yolo\.)?utils\.IterableSimpleNamespace"
    r"|pathlib\.(Posix|Windows|PurePosix|PureWindows|_local\.Posix|_local\.Windows)?Path"
    r"|numpy\.dtype|numpy\.(_?core)\.multiarray\.scalar|numpy\.dtypes\.\w+DType"
)
"""What the checkpoint of a detector is pickled with. All of it is read as `Inert`."""
MODELS = {"DetectionModel": "detect", "SegmentationModel": "segment"}
MOST_PICKLE = 64 << 20
"""Bytes of the pickle beside the tensors: a network of YOLO's largest size has 3 MB."""
MOST_MODULES, MOST_DEPTH, MOST_CLASSES = 20_000, 64, 10_000
SECONDS, MEMORY = 240, 1 << 30


class RefusedError(Exception):
    """The file is not taken; the sentence says why."""


class Inert:
    """Stands in for a class of the pickle: keeps what it is given, runs nothing."""

    asked = ""
    state: Any

    def __new__(cls, *_: Any) -> Self:
        made = super().__new__(cls)
        made.state = {}
        return made

    def __init__(self, *_: Any) -> None:
        """Take what a constructor would have got, and drop it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def main() -> None:
    """Fence the process in, read, leave the answer. Exit code 3: refused, and why on stdout."""
    out, size = Path(sys.argv[1]), int(sys.argv[2])
    fences = [confined.without_network()]  # before torch's threads
    import torch
    from safetensors.torch import save_file

    file = sys.stdin.buffer
    _warm(torch, save_file, out)
    fences += [
        confined.limited(MEMORY + 4 * size, SECONDS, (64 << 20) + 2 * size),
        confined.files_fenced(_readable(torch), out),
        confined.calls_fenced(),
        confined.audited(out),
    ]
    try:
        leave(out, *read(torch, file, size), fences)
    except RefusedError as error:
        sys.stdout.write(str(error))
        sys.exit(3)
    except MemoryError:
        sys.stdout.write("it needs more memory than a file of its size may")
        sys.exit(3)


def leave(out: Path, tensors: dict[str, Any], described: dict[str, Any], fences: list[confined.Fence]) -> None:
    """Write the answer into the folder."""
    from safetensors.torch import save_file

    told = described | {"fences": [[one.name, one.stands, one.why] for one in fences]}
    save_file(tensors, out / "tensors.safetensors")
    (out / "described.json").write_text(json.dumps(told))


def _warm(torch: Any, save_file: Any, out: Path) -> None:
    """Import and load what the work needs while everything may still be read."""
    buffer = io.BytesIO()
    torch.save({"warm": torch.zeros(1).half()}, buffer)
    buffer.seek(0)
    torch.serialization.get_unsafe_globals_in_checkpoint(buffer)
    buffer.seek(0)
    save_file(torch.load(buffer, weights_only=True), out / "warm")
    (out / "warm").unlink()


def _readable(torch: Any) -> list[Path]:
    """Python's own files and its packages: what an import that comes late may need; no home, no settings of the machine."""
    import sysconfig

    named = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(torch.__file__).parents[1])]
    system = ["/usr/lib", "/lib", "/lib64", "/usr/lib64", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu"]
    return [Path(one) for one in [*named, *system]]


def read(torch: Any, file: IO[bytes], size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network's tensors by name, and what is known of the network.

    Raises:
        RefusedError: it is no checkpoint of an ultralytics detector, or asks for something that such a one does not need.
    """
    _look_at_archive(file, size)
    names = _globals(torch, file)
    allowed = [(type(name.rpartition(".")[2], (Inert,), {"asked": name}), name) for name in names]
    import numpy as np

    # numpy's pickles name the class of a dtype, which no pickle mentions.
    try:
        with torch.serialization.safe_globals([*allowed, type(np.dtype(np.float64))]):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the reader chokes on: the file is at fault, or it is hostile
        if "not enough memory" in str(error) or "can't allocate" in str(error):
            raise MemoryError from error
        reason = str(error).split("\n")[0][:200]
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked:
            raise RefusedError(_asks_for(asked[1])) from error
        raise RefusedError(f"it cannot be read as a checkpoint ({type(error).__name__}: {reason})") from error
    return _taken(torch, loaded)


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """The archive, read from its beginning; the file is at its beginning again afterwards. Refuses what cannot be read as one."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        RuntimeError,
    ) as error:  # RuntimeError: encrypted, or of no known version
        raise RefusedError(f"it is damaged or was cut short ({error})") from error
    finally:
        file.seek(0)


def _look_at_archive(file: IO[bytes], size: int) -> None:
    """Refuse what is no archive of torch's, or would be larger than it is."""
    head = file.read(4)
    file.seek(0)
    if head[:2] == b"\x80\x02" or head[:2] == b"\x80\x04":
        raise RefusedError(
            "it is a bare pickle, as torch wrote before 1.6 and ultralytics never did: save it again with torch.save"
        )
    if head != b"PK\x03\x04":
        raise RefusedError("it is no checkpoint: torch's are zip archives" if head else "it is empty")
    with _opened(file) as archive:
        entries = archive.infolist()
    inner = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise RefusedError(
            "it is TorchScript, which is a program: give the best.pt that it was exported from, or an ONNX export"
        )
    if "data.pkl" not in inner:
        raise RefusedError("it is a zip archive, but no checkpoint of torch's")
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise RefusedError(f"{packed[0]} in it is compressed, which torch never does: it may grow without bound")
    if sum(entry.file_size for entry in entries) > size or len(entries) > MOST_MODULES:
        raise RefusedError("what it says it holds is larger than the file")
    if any(e.file_size > MOST_PICKLE for e in entries if e.filename.endswith("data.pkl")):
        raise RefusedError(f"its pickle is larger than {MOST_PICKLE >> 20} MB")
    _look_at_bytes(file)


def _look_at_bytes(file: IO[bytes]) -> None:
    """Refuse what was damaged since it was written. torch itself compares no checksum: a wrong weight would find wrong garments."""
    with _opened(file) as archive:
        damaged = archive.testzip()
    if damaged:
        raise RefusedError(f"it is damaged: {damaged} in it is not what was written")


def _globals(torch: Any, file: IO[bytes]) -> list[str]:
    """The names that the pickle asks for beyond torch's own tensors; all of them are `NEEDED`."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception as error:  # a pickle that is none, or of operations that torch never writes
        raise RefusedError(f"its pickle is damaged or not of torch's kind ({type(error).__name__}: {error})") from error
    finally:
        file.seek(0)
    for name in sorted(found, key=lambda one: not one.startswith(("ultralytics.nn.tasks.", "models."))):
        if not NEEDED.fullmatch(name):
            raise RefusedError(_asks_for(name))
    return list(found)


def _asks_for(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module == "ultralytics.nn.tasks":
        return f"it is a {kind} of ultralytics: Weft takes its detection and segmentation models (DetectionModel, SegmentationModel)"
    if module.startswith("models.") and kind[:1].isupper():
        return f"it asks for {name}, as YOLOv5's own repository wrote: train it with ultralytics 8 or later, or export it to ONNX"
    return f"it asks for {name}, which no checkpoint of a YOLO detector needs: refused, and nothing was run"


def _taken(torch: Any, loaded: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(loaded, dict):
        raise RefusedError(f"it holds a {type(loaded).__name__}, where ultralytics saves a dictionary with its model")
    model = loaded.get("ema") or loaded.get("model")
    if not isinstance(model, Inert) or type(model).__name__ not in MODELS:
        what = type(model).__name__ if isinstance(model, Inert) else "no `ema` and no `model`"
        raise RefusedError(
            f"it is no checkpoint of an ultralytics detector: it holds {what} where that has its network"
        )
    if loaded.get("modelopt"):
        raise RefusedError(
            "it was trained for quantisation (modelopt), which its weights alone do not carry: export it to ONNX"
        )
    tensors: dict[str, Any] = {}
    modules: dict[str, Any] = {}
    _walk(torch, model, "", tensors, modules, 0)
    state = model.state
    yaml = state.get("yaml")
    arguments = loaded.get("train_args")
    arguments = arguments if isinstance(arguments, dict) else getattr(state.get("args"), "state", state.get("args"))
    described = {
        "task": MODELS[type(model).__name__],
        "names": _names(state.get("names")),
        "yaml": _plain(yaml) if isinstance(yaml, dict) else {},
        "imgsz": _plain(arguments.get("imgsz")) if isinstance(arguments, dict) else None,
        "licence": str(loaded.get("license") or "")[:200],
        "version": str(loaded.get("version") or "")[:40],
        "date": str(loaded.get("date") or "")[:40],
        "modules": modules,
    }
    return tensors, described


def _names(names: Any) -> list[str]:
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if (
        not isinstance(names, list | tuple)
        or not 0 < len(names) <= MOST_CLASSES
        or not all(isinstance(n, str) for n in names)
    ):
        raise RefusedError("its model does not say what its classes are called (`names`)")
    return [name[:200] for name in names]


def _walk(torch: Any, module: Inert, path: str, tensors: dict[str, Any], modules: dict[str, Any], depth: int) -> None:
    """The tensors of a module and of those in it, as `state_dict` names them; what is plain of each module."""
    state = module.state
    if depth > MOST_DEPTH or len(modules) > MOST_MODULES or path in modules:
        raise RefusedError("its network is nested in itself")
    parts = (
        [state.get(kind) or {} for kind in ("_parameters", "_buffers", "_modules")] if isinstance(state, dict) else []
    )
    if not parts or not all(isinstance(part, dict) and all(isinstance(name, str) for name in part) for part in parts):
        raise RefusedError(f"{path or 'its model'} is no module of torch's")
    parameters, buffers, children = parts
    plain = {k: _plain(v) for k, v in state.items() if isinstance(k, str) and not k.startswith("_") and _is_plain(v)}
    modules[path] = {"class": module.asked, "has": plain}
    passing = state.get("_non_persistent_buffers_set") or ()
    for name, tensor in [*parameters.items(), *((n, t) for n, t in buffers.items() if n not in passing)]:
        if tensor is not None:
            tensors[f"{path}.{name}" if path else name] = _tensor(torch, tensor, f"{path}.{name}")
    for name, child in children.items():
        if child is None:
            continue
        if not isinstance(child, Inert):
            raise RefusedError(f"{path}.{name} is a {type(child).__name__} where a module is wanted")
        _walk(torch, child, f"{path}.{name}" if path else name, tensors, modules, depth + 1)


def _tensor(torch: Any, tensor: Any, name: str) -> Any:
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise RefusedError(f"{name} is no plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise RefusedError(f"{name} says that it is larger than what is kept of it")
    kept = torch.empty(tensor.shape, dtype=tensor.dtype)
    return kept.copy_(tensor.detach())


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 16 and all(isinstance(one, bool | int | float | str | None) for one in value)
    return isinstance(value, bool | int | float | str | None)


def _plain(value: Any, depth: int = 0) -> Any:
    """What JSON can say of a value; a class of the pickle becomes None."""
    if depth > 8:
        raise RefusedError("the description of its network is nested too deeply")
    if isinstance(value, dict):
        return {str(k)[:100]: _plain(v, depth + 1) for k, v in list(value.items())[:200]}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value[:1000]]
    if isinstance(value, str):
        return value[:1000]
    return value if isinstance(value, bool | int | float | None) else None


if __name__ == "__main__":
    main()
