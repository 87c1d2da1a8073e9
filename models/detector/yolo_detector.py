"""The detector: an ultralytics network, built from its YAML and filled from safetensors, behind the port `Detector`.

Never through `ultralytics.YOLO(...)`: that unpickles, and our package `models` is the very name that old YOLOv5
pickles import. Never through ultralytics' own non-maximum suppression either: it stops after a time limit and
answers *nothing* for the rest of the batch, so that a busy machine would lose garments in silence.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.device import one_thread
from models.measured import kept_for
from models.parts import Parts
from models.weights.hashes import fingerprint
from processors.errors import Fatal, Poison
from processors.values import CATEGORIES, Box, Detection, Pixels

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 32
"""Sides of what the network sees are multiples of its coarsest stride."""
GREY = 114
"""The padding that ultralytics trains with, and our recipe serves with."""
CANDIDATES = 1000
"""At most this many boxes a picture enter suppression: below it are none that could survive."""
PORTRAIT = 0.7
"""Width ÷ height of the photo that the network is prepared for."""
FAINT = 0.15
"""Confidence of what `faint` tells beside the garments: for photos that ask (`processors.asked_garments`)."""
MOST = 50
"""At most this many garments a picture leave it."""
GPU_PART = 16
"""Pictures at once on a GPU, always so many: a single one takes nearly as long there."""
OWN = "weft-lite0"
"""The architecture of `models.detector.detector_net`."""
SUFFIXES_NOT_SHIPPED = (".num_batches_tracked",)
"""Counters of batch norm, which serving never reads."""


class DetectorHeader(msgspec.Struct, frozen=True):
    """What the weights say of themselves, in the header of the safetensors file (every value a string there)."""

    architecture: str
    """OWN, or the name of a YAML that ultralytics carries ("yolo11n.yaml"); never a path or an address."""
    classes: tuple[str, ...]
    size: int
    """Longest side, in pixels, that the network was trained for."""
    licence: str = ""
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is kept. `duplicate_iou`: of two boxes of *different* classes that overlap more, the surer one stays."""

    confidence: float = 0.3
    iou: float = 0.6
    duplicate_iou: float = 0.8


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """A picture shrunk to the serving size: `image` (3, H, W) uint8, its sides multiples of STRIDE."""

    image: Tensor
    scale: float


class YoloDetector:
    """Pixels → garments; see `models.ports.Detector`. Make one with `YoloDetector.load`.

    Args:
        network: a fused ultralytics detection model in eval mode, on `device`.
        header: what its weights say of themselves.
        size: longest side of what the network is shown, in pixels.
        thresholds: see `Thresholds`.
        device: "cpu" or "cuda:<number>".
        weights_sha256: hex digest of the weights, for the fingerprint.
        shown: height and width of what a CPU is to be tried on (`models.parts`); None: no trial.
        choices: folder where the trial's answer is kept; None: nowhere.
    """

    def __init__(
        self,
        network: Any,
        header: DetectorHeader,
        *,
        size: int,
        thresholds: Thresholds,
        device: str,
        weights_sha256: str,
        shown: tuple[int, int] | None = None,
        choices: Path | None = None,
    ) -> None:
        self._network = network
        self._header = header
        self._size = size
        self._thresholds = thresholds
        # Surer boxes come first in suppression: fainter ones behind them change none of them.
        self._all = replace(thresholds, confidence=min(FAINT, thresholds.confidence))
        self._device = device
        if shown is None or device != "cpu":
            self._parts = Parts(self._at_once, part=GPU_PART, alike=_shape, filled=device != "cpu")
        else:
            self._parts = Parts.tried(
                self._at_once,
                lambda count: _noise(count, shown),
                np.asarray,
                alike=_shape,
                kept=kept_for(choices, weights_sha256),
                name=f"detector-part-{shown[0]}x{shown[1]}",
            )
        self._fingerprint = fingerprint("yolo-detector 1", weights_sha256, f"{size}", repr(thresholds))

    @classmethod
    def load(
        cls,
        weights: Path,
        *,
        size: int | None = None,
        confidence: float = 0.3,
        iou: float = 0.6,
        duplicate_iou: float = 0.8,
        device: str = "cpu",
        choices: Path | None = None,
    ) -> YoloDetector:
        """Build the network that the file names, fill it, fuse its batch norms, pack it; on a CPU, find out how many pictures
        at once are fastest.

        Args:
            weights: a safetensors file with the header of `DetectorHeader`.
            size: longest side shown to the network; by default the one it was trained for.
            confidence: detections below are dropped; by default where F1 on held-out photos is best (docs/models/detector.md).
            iou: of two boxes of one class that overlap more, the surer one stays.
            duplicate_iou: the same across classes: one garment that is called jacket and shirt at once.
            device: see `models.device.choose`.
            choices: folder where what was measured on this machine is kept; None: it is measured each time.

        Raises:
            Fatal: the file is missing, is no safetensors, says not what it is, or does not fit its architecture.
        """
        import hashlib

        from models.detector.detector_served import served

        try:
            data = weights.read_bytes()
        except OSError as error:
            raise Fatal(f"{weights}: the detector's weights cannot be read ({error.strerror})") from error
        header = read_header(weights, data)
        network = build_network(header.architecture, len(header.classes), source=weights)
        fill(network, weights, data)
        network = network.eval().requires_grad_(requires_grad=False).fuse(verbose=False)
        size = _checked_size(header.size if size is None else size, weights)
        return cls(
            served(network, device),
            header,
            size=size,
            thresholds=Thresholds(confidence, iou, duplicate_iou),
            device=device,
            weights_sha256=hashlib.sha256(data).hexdigest(),
            shown=(_padded(size), _padded(round(size * PORTRAIT))),
            choices=choices,
        )

    @property
    def fingerprint(self) -> str:
        """Over the weights' bytes, the serving size and the thresholds."""
        return self._fingerprint

    @property
    def header(self) -> DetectorHeader:
        """What the weights say of themselves."""
        return self._header

    def prepare(self, item: Pixels, /) -> Letterboxed:
        """Shrink (or enlarge) to the serving size and pad right and below with grey.

        Raises:
            Poison: `item` is not a `uint8` array of shape (height, width, 3) with at least one pixel.
        """
        import cv2
        import torch

        if item.ndim != 3 or item.shape[2] != 3 or item.dtype != np.uint8 or not item.size:
            raise Poison(f"the detector takes RGB pixels (height, width, 3) uint8, not {item.shape} {item.dtype}")
        scale = self._size / max(item.shape[:2])
        height, width = (max(1, round(side * scale)) for side in item.shape[:2])
        canvas = np.full((_padded(height), _padded(width), 3), GREY, np.uint8)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[:height, :width] = cv2.resize(item, (width, height), interpolation=how)
        return Letterboxed(torch.from_numpy(canvas).permute(2, 0, 1), scale)

    def forward(self, batch: Sequence[Letterboxed], /) -> list[NDArray[np.float32]]:
        """Parts of one shape each; a row (x0, y0, x1, y1, confidence, class) a detection, surest first, faint ones at the end.

        A picture gets the same bytes whatever it shares a batch with.
        """
        import torch

        with torch.inference_mode():
            found = self._parts(batch)
            # Sixteen threads that share a sum of two thousand numbers wait for each other: with a GPU it took seven times as long.
            with one_thread() if self._device != "cpu" else contextlib.nullcontext():
                return [suppress(one, self._all).numpy() for one in found]

    def _at_once(self, pictures: Sequence[Letterboxed]) -> list[Tensor]:
        """(4 + classes, anchors) of each picture; all of one shape."""
        import torch

        with torch.inference_mode():
            images = torch.stack([one.image.permute(1, 2, 0) for one in pictures]).permute(0, 3, 1, 2).to(self._device)
            output = self._network(images.float().div_(255))
            # In one piece: boxes are suppressed on the processor, one picture after the other, where small kernels cost less.
            return list((output[0] if isinstance(output, tuple) else output).cpu())

    def finish(self, item: Pixels, raw: NDArray[np.float32], /) -> tuple[Detection, ...]:
        """Boxes back in pixels of `item`, cut at its borders, in descending confidence."""
        # Of the network's own float32: a threshold in double precision is another one.
        return self.faint(item, raw[raw[:, 4] >= np.float32(self._thresholds.confidence)])

    def faint(self, item: Pixels, raw: NDArray[np.float32], /) -> tuple[Detection, ...]:
        """The same, and behind them what has a confidence of `FAINT` at least."""
        height, width = item.shape[:2]
        scale = self._size / max(height, width)
        found = []
        for x0, y0, x1, y1, confidence, category in raw.tolist():
            box: Box = (
                min(max(x0 / scale, 0.0), width),
                min(max(y0 / scale, 0.0), height),
                min(max(x1 / scale, 0.0), width),
                min(max(y1 / scale, 0.0), height),
            )
            if box[2] > box[0] and box[3] > box[1]:  # a box in the padding has no pixel to crop
                found.append(Detection(self._header.classes[int(category)], box, confidence))
        return tuple(found)

    def example(self) -> Pixels:
        """A portrait of gradients, in the shape most catalogue photos have."""
        rows, columns = np.mgrid[0:640, 0:448]
        return np.stack([rows * 255 // 640, columns * 255 // 448, (rows + columns) % 256], axis=2).astype(np.uint8)


def _shape(picture: Letterboxed) -> tuple[int, ...]:
    return tuple(picture.image.shape)


def _noise(count: int, shape: tuple[int, int]) -> list[Letterboxed]:
    """Pictures that differ, to try the network on."""
    import torch

    rng = np.random.default_rng(7)
    pictures = (rng.integers(0, 256, (*shape, 3), np.uint8) for _ in range(count))
    return [Letterboxed(torch.from_numpy(one).permute(2, 0, 1), 1.0) for one in pictures]


def suppress(prediction: Tensor, thresholds: Thresholds) -> Tensor:
    """Non-maximum suppression of one picture.

    Args:
        prediction: (4 + classes, anchors): centre x, centre y, width, height in pixels, then class probabilities.
        thresholds: see `Thresholds`.

    Returns:
        (N, 6): x0, y0, x1, y1, confidence, class, in descending confidence.
    """
    import torch

    from models.detector.box_suppression import batched_nms, nms

    confidences, classes = prediction[4:].max(0)
    candidates = torch.nonzero(confidences >= thresholds.confidence).flatten()
    order = confidences[candidates].argsort(descending=True, stable=True)[:CANDIDATES]
    candidates = candidates[order]
    centres, sides = prediction[:2, candidates].T, prediction[2:4, candidates].T
    boxes = torch.cat([centres - sides / 2, centres + sides / 2], dim=1)
    confidences, classes = confidences[candidates], classes[candidates]
    kept = batched_nms(boxes, confidences, classes, thresholds.iou)
    kept = kept[nms(boxes[kept], confidences[kept], thresholds.duplicate_iou)][:MOST]
    return torch.cat([boxes[kept], confidences[kept, None], classes[kept, None].to(boxes.dtype)], dim=1)


def build_network(architecture: str, classes: int, *, source: Path | None = None) -> Any:
    """An untrained ultralytics network that detects or segments: our own, or one from a YAML that ultralytics itself carries.

    Raises:
        Fatal: `architecture` is neither OWN nor the bare name of such a YAML (a path or address would be fetched or executed).
    """
    import_ultralytics()
    where = f"{source}: " if source else ""
    own = architecture == OWN
    if not own and not re.fullmatch(r"yolo[a-z0-9]+(-[a-z0-9]+)*\.yaml", architecture):
        raise Fatal(
            f"{where}{architecture!r} is the name of no architecture: ours is {OWN}, those of ultralytics are like "
            "yolo11n.yaml"
        )
    from ultralytics.nn.tasks import DetectionModel, SegmentationModel

    if own:
        from models.detector.detector_net import build

        return build(classes)
    kind = SegmentationModel if "-seg" in architecture else DetectionModel
    try:
        return kind(architecture, nc=classes, verbose=False)
    except FileNotFoundError as error:
        raise Fatal(f"{where}this ultralytics has no architecture {architecture!r}") from error


def import_network() -> None:
    """Import all that `YoloDetector` uses in the end, for processes that are forked."""
    import_ultralytics()
    for module in ("ultralytics.nn.tasks", "models.detector.box_suppression", "models.detector.detector_served"):
        import_module(module)


def import_ultralytics() -> None:
    """Import the library, and undo what its import does to the whole process; doing it twice changes nothing.

    It is told, before its first import, to install nothing, ask nothing of the network, print nothing on stdout (where
    `--json` answers go), and keep its settings file out of the home folder. Its import replaces `PIL.Image.open` (a photo
    that Pillow refuses would then be refused for want of a package for HEIC), `torch.save`, and how numpy prints.
    """
    import torch
    from PIL import Image

    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / f"weft-ultralytics-{os.getuid()}"))
    printed = np.get_printoptions()
    from ultralytics.utils import patches

    np.set_printoptions(**printed)
    # The library's own copies of what it replaced: whoever imported it first, these are the true ones.
    Image.open = getattr(patches, "_image_open", Image.open)
    torch.save = getattr(patches, "_torch_save", torch.save)
    logging.getLogger("ultralytics").setLevel(logging.ERROR)


def read_header(weights: Path, data: bytes) -> DetectorHeader:
    """The metadata of a safetensors file (huggingface.co/docs/safetensors: eight bytes of length, then JSON).

    Raises:
        Fatal: there is none, it lacks a field, or it names classes that Weft has no word for.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
        header = DetectorHeader(
            architecture=metadata["architecture"],
            classes=tuple(json.loads(metadata["classes"])),
            size=int(metadata["size"]),
            licence=metadata.get("licence", ""),
            provenance=metadata.get("provenance", ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = f"{weights}: no detector of ours: its header lacks architecture, classes or size ({error!r})"
        raise Fatal(message) from error
    unknown = [name for name in header.classes if name not in CATEGORIES]
    if unknown or not header.classes or len(set(header.classes)) < len(header.classes):
        raise Fatal(f"{weights}: its classes must be distinct and among {', '.join(CATEGORIES)}; not {unknown}")
    return header


def fill(network: Any, weights: Path, data: bytes) -> None:
    """Copy the tensors of the file into the network.

    Raises:
        Fatal: a tensor is missing, left over, of another shape, or not finite. Named, so that one sees which file
            belongs to another architecture, before it detects nothing for a week.
    """
    import safetensors
    import torch
    from safetensors.torch import load

    try:
        tensors = load(data)
    except safetensors.SafetensorError as error:
        raise Fatal(f"{weights}: not a whole safetensors file ({error})") from error
    expected = {k: v for k, v in network.state_dict().items() if not k.endswith(SUFFIXES_NOT_SHIPPED)}
    wrong = [f"{k} is missing" for k in expected if k not in tensors]
    wrong += [f"{k} is left over" for k in tensors if k not in expected]
    for name in expected.keys() & tensors.keys():
        if tensors[name].shape != expected[name].shape:
            wrong.append(f"{name} is {list(tensors[name].shape)}, not {list(expected[name].shape)}")
        elif not bool(torch.isfinite(tensors[name]).all()):
            wrong.append(f"{name} is not finite")
    if wrong:
        raise Fatal(f"{weights}: does not fit its architecture ({len(wrong)} tensors): {'; '.join(sorted(wrong)[:3])}")
    network.load_state_dict({k: tensors[k].float() for k in expected}, strict=False)


def _checked_size(size: int, weights: Path) -> int:
    if not STRIDE <= size <= 4096:
        raise Fatal(f"{weights}: a serving size of {size} pixels is not within {STRIDE} to 4096")
    return size


def _padded(side: int) -> int:
    return -(-side // STRIDE) * STRIDE
