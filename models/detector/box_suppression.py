"""Non-maximum suppression by torchvision's own kernel, without importing torchvision.

The package imports its data sets, all its models and torch's compiler: three seconds of a start, for two functions. Its
operators lie in one library, which torch loads by itself; a torchvision that is imported later finds them there.
"""

from __future__ import annotations

from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_LIBRARIES = ("_C_stable", "_C")
"""What torchvision calls the library, newest first."""


def nms(boxes: Tensor, confidences: Tensor, iou: float) -> Tensor:
    """Indices of the boxes that stay, surest first: none overlaps a surer one by more than `iou`.

    Args:
        boxes: (n, 4): x0, y0, x1, y1.
        confidences: (n,).
        iou: intersection over union, 0..1.
    """
    found: Tensor = _operator()(boxes, confidences, iou)
    return found


def batched_nms(boxes: Tensor, confidences: Tensor, classes: Tensor, iou: float) -> Tensor:
    """The same within each class: the classes are moved apart, as torchvision does for up to a thousand boxes.

    Args:
        boxes: (n, 4): x0, y0, x1, y1.
        confidences: (n,).
        classes: (n,): indices from 0.
        iou: intersection over union, 0..1.
    """
    if not boxes.numel():
        return confidences.argsort()
    apart = classes.to(boxes) * (boxes.max() + 1)
    return nms(boxes + apart[:, None], confidences, iou)


@cache
def _operator() -> Any:
    import torch

    if not _registered():
        for path in _paths():
            try:
                torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
            except OSError:  # built for another torch: the import below says what is wrong
                continue
            break
    if not _registered():
        import torchvision.ops  # registers them, or says why not

        return torchvision.ops.nms
    return torch.ops.torchvision.nms


def _registered() -> bool:
    import torch

    return hasattr(torch.ops.torchvision, "nms")


def _paths() -> list[Path]:
    spec = find_spec("torchvision")
    folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    found = (folder / f"{name}{ending}" for folder in folders for name in _LIBRARIES for ending in EXTENSION_SUFFIXES)
    return [path for path in found if path.is_file()]
