"""A converted ultralytics checkpoint (`models.detector.conversion`): a folder with safetensors and `detector.yaml`, nothing pickled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.detector.letterbox import STRIDE, Frame, Letterboxed
from models.detector.own_detector import Options, Output, OwnDetector
from models.detector.yolo_detector import GPU_PART, PORTRAIT, build_network, fill
from models.measured import kept_for
from models.parts import Parts
from models.weights.hashes import sha256_of
from processors.class_map import Meaning
from processors.errors import Fatal

if TYPE_CHECKING:
    from torch import Tensor

FILE, WEIGHTS = "detector.yaml", "weights.safetensors"


class OwnClass(msgspec.Struct, frozen=True):
    """A class as `detector.yaml` lists it; `category` null: its boxes are dropped."""

    name: str
    category: str | None
    kind: str = ""


class Came(msgspec.Struct, frozen=True):
    """Where the weights are from."""

    file: str
    sha256: str
    ultralytics: str = ""
    licence: str = ""
    date: str = ""


class OnnxGraph(msgspec.Struct, frozen=True):
    """What an ONNX export takes: the name of its input, and its batch and sides where they are fixed. `half`: 16-bit numbers.

    `end_to_end`: it gives corners, and needs no suppression.
    """

    input: str
    batch: int | None = None
    height: int | None = None
    width: int | None = None
    half: bool = False
    end_to_end: bool = False


class OwnHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`detector.yaml`.

    `architecture`: the name of a YAML that ultralytics carries, or "onnx", of which `graph` says more. `size`: longest side, in pixels, that it was trained for.
    `sha256`: of the weights. `classes`: in the order of the network's outputs.
    """

    architecture: str
    task: Literal["detect", "segment"]
    size: int
    sha256: str
    classes: tuple[OwnClass, ...]
    came: Came
    weights: str = WEIGHTS
    graph: OnnxGraph | None = None
    format: int = 1

    @property
    def meanings(self) -> tuple[Meaning, ...]:
        return tuple(Meaning(one.name, one.category or "", one.kind) for one in self.classes)


def read_header(folder: Path) -> OwnHeader:
    """What `detector.yaml` says. Raises `Fatal` where it is missing or says something else."""
    path = folder / FILE
    try:
        header = msgspec.yaml.decode(path.read_bytes(), type=OwnHeader)
    except OSError as error:
        raise Fatal(
            f"{path}: cannot be read ({error.strerror}): is it a folder of `weft models add detector`?"
        ) from error
    except msgspec.MsgspecError as error:
        raise Fatal(f"{path}: {error}") from error
    if header.format != 1 or "/" in header.weights or "\\" in header.weights:
        raise Fatal(f"{path}: of another format than this version reads")
    return header


def load(
    folder: Path,
    *,
    options: Options | None = None,
    size: int | None = None,
    device: str = "cpu",
    choices: Path | None = None,
    classes: tuple[Meaning, ...] | None = None,
) -> OwnDetector:
    """Build the network that the folder names, fill it, fuse its batch norms, pack it; on a CPU, find out how many pictures at once
    are fastest.

    Args:
        folder: with `detector.yaml` and the weights.
        options: what is kept.
        size: longest side shown to the network; by default the one it was trained for.
        device: see `models.device.choose`.
        choices: folder where what was measured on this machine is kept; None: it is measured each time.
        classes: what the classes mean, instead of what the folder says.

    Raises:
        Fatal: a file is missing, or not what `detector.yaml` says of it.
    """
    from models.detector.detector_served import served

    header = read_header(folder)
    weights = folder / header.weights
    if not weights.is_file() or sha256_of(weights) != header.sha256:
        raise Fatal(f"{weights}: missing, or not the weights that {FILE} lists (its SHA-256 is another)")
    network = build_network(header.architecture, len(header.classes), source=folder)
    fill(network, weights, weights.read_bytes())
    network = network.eval().requires_grad_(requires_grad=False).fuse(verbose=False)
    frame = frame_of(header.size if size is None else size, folder)
    run = _Network(served(network, device), device)
    if device == "cpu":
        shape = (frame.height, -(-round(frame.width * PORTRAIT) // STRIDE) * STRIDE)
        parts = Parts.tried(
            run,
            lambda count: _noise(count, shape),
            _flat,
            alike=lambda one: tuple(one.image.shape),
            kept=kept_for(choices, header.sha256),
            name=f"own-detector-part-{shape[0]}x{shape[1]}",
        )
    else:
        parts = Parts(run, part=GPU_PART, alike=lambda one: tuple(one.image.shape), filled=True)
    return OwnDetector(parts, classes or header.meanings, frame, options or Options(), made_by=header.sha256)


def frame_of(size: int, source: Path) -> Frame:
    """The frame of a serving size, in whole strides. Raises `Fatal` for one out of range."""
    if not STRIDE <= size <= 4096:
        raise Fatal(f"{source}: a serving size of {size} pixels is not within {STRIDE} to 4096")
    side = -(-size // STRIDE) * STRIDE
    return Frame(side, side)


class _Network:
    """Pictures of one shape through the network."""

    def __init__(self, network: Any, device: str) -> None:
        self._network = network
        self._device = device

    def __call__(self, pictures: Sequence[Letterboxed]) -> list[Output]:
        import torch

        with torch.inference_mode():
            images = torch.stack([one.image.permute(1, 2, 0) for one in pictures]).permute(0, 3, 1, 2).to(self._device)
            found, prototypes = self._network(images.float().div_(255))
            each: Sequence[Tensor | None] = [None] * len(pictures) if prototypes is None else list(prototypes)
            return list(zip(found, each, strict=True))


def _flat(output: Output) -> NDArray[np.float32]:
    return np.concatenate([one.numpy().ravel() for one in output if one is not None])


def _noise(count: int, shape: tuple[int, int]) -> list[Letterboxed]:
    """Pictures that differ, to try the network on."""
    import torch

    rng = np.random.default_rng(7)
    pictures = (rng.integers(0, 256, (*shape, 3), np.uint8) for _ in range(count))
    return [Letterboxed(torch.from_numpy(p).permute(2, 0, 1), 0, 0, shape[1], shape[0]) for p in pictures]
