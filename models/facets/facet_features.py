"""What facets are read from: the maps of the frozen trunk, pooled where a garment shows its kind, pattern, sleeves and neck.

Five blocks of one forward pass that the encoder runs anyway: the mean of the last maps, the mean of their upper three rows
(the neck and the shoulders of a garment that fills the photo), stage 5 pooled to 4 × 3 with its maxima and deviations (stripes
and checks are neighbouring differences, which a mean forgets), and stage 6 pooled to 3 × 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LAST, STEM, MIDDLE = 1280, 112, 192
"""Channels of the trunk's last maps, of its fifth stage and of its sixth."""
UPPER_ROWS = 3
STEM_GRID, MIDDLE_GRID = (4, 3), (3, 3)
LENGTH = 2 * LAST + STEM * (STEM_GRID[0] * STEM_GRID[1] + 2) + MIDDLE * MIDDLE_GRID[0] * MIDDLE_GRID[1]
"""Numbers a view: 5,856."""
VERSION = "1"
"""Raise it when the blocks change: heads that were fitted on others are refused."""


def blocks(stem: torch.Tensor, middle: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """(n, LENGTH) from the trunk's maps.

    Args:
        stem: (n, STEM, h, w): the fifth stage.
        middle: (n, MIDDLE, h / 2, w / 2): the sixth.
        last: (n, LAST, h / 2, w / 2): the last maps, before their mean.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    return torch.cat(
        [
            last.mean((2, 3)),
            last[:, :, :UPPER_ROWS].mean((2, 3)),
            adaptive_avg_pool2d(stem, STEM_GRID).flatten(1),
            stem.amax((2, 3)),
            stem.std((2, 3)),
            adaptive_avg_pool2d(middle, MIDDLE_GRID).flatten(1),
        ],
        1,
    )
