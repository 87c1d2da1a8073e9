"""The losses of the detector's recipe: YOLO's own with ignored regions, and dense parsing.

A detector learnt on eight hundred photos sees too few boxes; the 59-label masks give every pixel a word to say. The
parsing heads are thrown away at export.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from models.recipes.detector_augment import Sample
from models.recipes.detector_data import LABELS


class IgnoringDetectionLoss:
    """`v8DetectionLoss` whose classification is silent for the ignored classes inside ignored boxes."""

    def __init__(self, model: Any) -> None:
        from ultralytics.utils.loss import v8DetectionLoss

        self.inner = v8DetectionLoss(model)
        self.inner.bce = self._bce
        self._weight = torch.ones(1)

    def _bce(self, scores: Tensor, targets: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return loss * torch.where(targets > 0, torch.ones_like(targets), self._weight)

    def __call__(self, predictions: dict[str, Tensor], batch: dict[str, Tensor], samples: list[Sample]) -> Tensor:
        """The three parts (box, class, DFL), each a mean over the batch's targets."""
        self._weight = self._weights(predictions, samples)
        loss: Tensor = self.inner.get_assigned_targets_and_loss(predictions, batch)[1]
        return loss

    def _weights(self, predictions: dict[str, Tensor], samples: list[Sample]) -> Tensor:
        from ultralytics.utils.tal import make_anchors

        points, strides = make_anchors(predictions["feats"], self.inner.stride, 0.5)
        points = points * strides
        weight = torch.ones(len(samples), len(points), self.inner.nc, device=points.device)
        for row, sample in enumerate(samples):
            for box, category in sample.ignored:
                low, high = torch.split(torch.from_numpy(box).to(points), 2)
                inside = (points >= low).all(1) & (points <= high).all(1)
                weight[row, inside, category] = 0
        return weight


class ParsingHeads(nn.Module):
    """59-label heads at stride 8 (neck) and stride 32 (backbone), trained with soft targets."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, LABELS, 1)
        self.coarse = nn.Conv2d(coarse, LABELS, 1)
        self.register_buffer("weight", torch.ones(LABELS))
        self.weight: Tensor
        self.weight[0] = 0.35

    def forward(self, fine: Tensor, coarse: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the pictures that have labels; `labels` (B, H, W) uint8 with 255 for unknown."""
        known = (labels != 255).flatten(1).all(1)
        if not bool(known.any()):
            return fine.sum() * 0
        at_four = labels[known][:, 2::4, 2::4].long().clamp(max=LABELS - 1)
        dense = F.one_hot(at_four, LABELS).permute(0, 3, 1, 2).float()
        total = fine.new_zeros(())
        for features, head, step in ((fine, self.fine, 2), (coarse, self.coarse, 8)):
            target = F.avg_pool2d(dense, step) * self.weight[None, :, None, None]
            total = total - (target * F.log_softmax(head(features[known]), 1)).sum() / target.sum()
        return total


def taps(model: Any, layers: tuple[int, ...]) -> dict[int, Tensor]:
    """Hook some layers of a YOLO model; the returned dict holds their latest outputs."""
    outputs: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            outputs[index] = output

        return hook

    for index in layers:
        model.model[index].register_forward_hook(keep(index))
    return outputs


def collate(samples: list[Sample]) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Images (B, 3, H, W) in 0..1 channels last, ultralytics' target dict, and label maps (B, H, W)."""
    images = torch.from_numpy(np.stack([s.pixels for s in samples])).permute(0, 3, 1, 2).float() / 255
    height, width = images.shape[2:]
    boxes = np.concatenate([s.boxes for s in samples]) / np.array([width, height, width, height], np.float32)
    centred = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    batch = {
        "batch_idx": torch.from_numpy(np.repeat(np.arange(len(samples)), [len(s.boxes) for s in samples])).float(),
        "cls": torch.from_numpy(np.concatenate([s.classes for s in samples])).float()[:, None],
        "bboxes": torch.from_numpy(centred.astype(np.float32)),
    }
    return images, batch, torch.from_numpy(np.stack([s.labels for s in samples]))
