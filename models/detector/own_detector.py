"""A detector of one's own behind the port `Detector`: a YOLO's outputs → garments in Weft's words, with masks where it has them.

What runs the network is handed in (`own_yolo`, `own_onnx`). Boxes are those of ultralytics' `predict` on the same weights: the same
frame around the photo, the same thresholds, the same suppression; but none is lost where that would stop for want of time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.detector.letterbox import Frame, Letterboxed, letterboxed
from models.weights.hashes import fingerprint
from processors.class_map import Meaning
from processors.mask_runs import packed
from processors.values import Detection, Mask, Pixels

if TYPE_CHECKING:
    from torch import Tensor

FAINT = 0.15
"""Confidence of what `faint` tells beside the garments."""
MOST, CANDIDATES = 300, 30_000
"""Boxes a picture, and candidates for them: ultralytics' own."""
APART = 7680.0
"""Pixels by which the boxes of one class are moved from those of the next, so that none suppresses another."""
AT_ONCE = 8
"""Masks that are enlarged to the frame together: each takes some megabytes."""
CELLS = 64
"""Cells of a mask along each side of its box."""

Output: TypeAlias = "tuple[Tensor, Tensor | None]"
"""Of one picture: (4 + classes + coefficients, anchors) with boxes as centre and sides, or of a network that needs no suppression
(boxes, 6 + coefficients) with corners, confidence, class; and the prototypes of masks, (coefficients, h, w)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is kept. By default as in ultralytics' `predict`.

    Args:
        confidence: detections of no more are dropped.
        iou: of two boxes of one class that overlap more, the surer one stays.
        duplicate_iou: the same across classes: a garment that is called jacket and shirt at once; 1 is off.
    """

    confidence: float = 0.25
    iou: float = 0.7
    duplicate_iou: float = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """Of one picture: (n, 6) corners in its frame, confidence and class, surest first; which cells are the garment's, (n, `CELLS`, `CELLS`)."""

    shown: Letterboxed
    rows: NDArray[np.float32]
    masks: Mask | None


class OwnDetector:
    """See the module.

    Args:
        run: the network over pictures of any shapes: an output each.
        classes: what each class means, in the order of the outputs.
        frame: how photos are shown.
        options: see `Options`.
        end_to_end: whether the network gives corners, and needs no suppression.
        made_by: goes into the fingerprint: what the weights are.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Letterboxed]], list[Output]],
        classes: tuple[Meaning, ...],
        frame: Frame,
        options: Options,
        *,
        end_to_end: bool = False,
        made_by: str,
    ) -> None:
        self._run = run
        self._classes = classes
        self._frame = frame
        self._options = options
        self._end_to_end = end_to_end
        self._dropped = [index for index, one in enumerate(classes) if not one.category]
        said = repr([(one.category, one.kind) for one in classes])
        self._fingerprint = fingerprint("own-detector 1", made_by, said, repr(frame), repr(options))

    @property
    def fingerprint(self) -> str:
        """Over the weights, the map of the classes, the frame and the options."""
        return self._fingerprint

    @property
    def classes(self) -> tuple[Meaning, ...]:
        return self._classes

    def prepare(self, item: Pixels, /) -> Letterboxed:
        """Frame the photo. Raises `Poison` for what is no photo."""
        return letterboxed(item, self._frame)

    def forward(self, batch: Sequence[Letterboxed], /) -> list[Found]:
        """A picture gets the same bytes whatever it shares a batch with."""
        import torch

        with torch.inference_mode():
            outputs = self._run(batch)
            return [self._found(shown, *output) for shown, output in zip(batch, outputs, strict=True)]

    def finish(self, item: Pixels, raw: Found, /) -> tuple[Detection, ...]:
        """Boxes in pixels of `item`, cut at its borders, in descending confidence."""
        return self._told(item, raw, self._options.confidence)

    def faint(self, item: Pixels, raw: Found, /) -> tuple[Detection, ...]:
        """The same, and behind them what has a confidence of `FAINT` at least."""
        return self._told(item, raw, 0.0)

    def example(self) -> Pixels:
        """A portrait of gradients, in the shape most catalogue photos have."""
        rows, columns = np.mgrid[0:640, 0:448]
        return np.stack([rows * 255 // 640, columns * 255 // 448, (rows + columns) % 256], axis=2).astype(np.uint8)

    def _found(self, shown: Letterboxed, output: Tensor, prototypes: Tensor | None) -> Found:
        least = min(FAINT, self._options.confidence)
        sure = self._sure if self._end_to_end else self._suppressed
        rows = sure(output, least)
        masks = None
        if prototypes is not None:
            logits, there = _logits(rows, prototypes, shown)
            rows, masks = rows[there], _cells(logits[there], rows[there], shown).cpu().numpy()
        return Found(shown, rows[:, :6].float().cpu().numpy(), masks)

    def _sure(self, output: Tensor, least: float) -> Tensor:
        return self._kept(output[output[:, 4] > least])[:MOST]

    def _kept(self, rows: Tensor) -> Tensor:
        """Without the classes that nobody wants."""
        import torch

        if not self._dropped:
            return rows
        return rows[~torch.isin(rows[:, 5].long(), torch.tensor(self._dropped, device=rows.device))]

    def _suppressed(self, output: Tensor, least: float) -> Tensor:
        import torch

        from models.detector.box_suppression import nms

        end = 4 + len(self._classes)
        confidences, classes = output[4:end].max(0)
        found = torch.nonzero(confidences > least).flatten()
        found = found[confidences[found].argsort(descending=True, stable=True)[:CANDIDATES]]
        centres, halves = output[:2, found].T, output[2:4, found].T / 2
        corners = [centres - halves, centres + halves]
        sure = [confidences[found, None], classes[found, None].to(output.dtype)]
        rows = self._kept(torch.cat([*corners, *sure, output[end:, found].T], dim=1))
        rows = rows[nms(rows[:, :4] + APART * rows[:, 5:6], rows[:, 4], self._options.iou)]
        if self._options.duplicate_iou < 1:
            rows = rows[nms(rows[:, :4], rows[:, 4], self._options.duplicate_iou)]
        return rows[:MOST]

    def _told(self, item: Pixels, raw: Found, least: float) -> tuple[Detection, ...]:
        # Of the network's own float32: a threshold in double precision is another one.
        sure = np.flatnonzero(raw.rows[:, 4] > np.float32(least))
        found = []
        for index in sure.tolist():
            x0, y0, x1, y1, confidence, number = raw.rows[index].tolist()
            box = raw.shown.in_photo((x0, y0, x1, y1), item.shape)
            if box[2] > box[0] and box[3] > box[1]:  # a box in the frame has no pixel to crop
                meant = self._classes[int(number)]
                mask = None if raw.masks is None else packed(raw.masks[index])
                found.append(Detection(meant.category, box, min(confidence, 1.0), meant.kind, mask))
        return tuple(found)


def _logits(rows: Tensor, prototypes: Tensor, shown: Letterboxed) -> tuple[Tensor, Tensor]:
    """(n, h, w) of each box over the whole frame; and which of them have a pixel of a garment within their box at all: ultralytics
    drops a box that has none.
    """
    import torch
    from torch.nn.functional import interpolate

    count, height, width = prototypes.shape
    logits = (rows[:, 6:] @ prototypes.float().reshape(count, -1)).reshape(-1, height, width)
    sides = shown.image.shape[1:]
    down, across = (torch.arange(side, device=rows.device, dtype=rows.dtype)[None] for side in sides)
    inside_x = (across >= rows[:, 0:1]) & (across < rows[:, 2:3])
    inside_y = (down >= rows[:, 1:2]) & (down < rows[:, 3:4])
    there = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    for start in range(0, len(rows), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        large = interpolate(logits[None, some], tuple(sides), mode="bilinear")[0] > 0
        there[some] = (large & inside_y[some, :, None] & inside_x[some, None, :]).flatten(1).any(1)
    return logits, there


def _cells(logits: Tensor, rows: Tensor, shown: Letterboxed) -> Tensor:
    """Which cells of a grid over each box, cut at the photo's borders, are the garment's: (n, `CELLS`, `CELLS`)."""
    import torch
    from torch.nn.functional import grid_sample

    middle = (torch.arange(CELLS, device=rows.device, dtype=torch.float32) + 0.5) / CELLS
    places = []
    for low, high, first, extent, whole in (
        (0, 2, shown.left, shown.width, shown.image.shape[2]),
        (1, 3, shown.top, shown.height, shown.image.shape[1]),
    ):
        start, end = (rows[:, side].clamp(first, first + extent) for side in (low, high))
        places.append(2 * (start[:, None] + (end - start)[:, None] * middle) / whole - 1)
    grid = torch.stack(
        [places[0][:, None, :].expand(-1, CELLS, -1), places[1][:, :, None].expand(-1, -1, CELLS)], dim=-1
    )
    sampled = grid_sample(logits[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[:, 0] > 0
