"""The encoder's network: letterbox, colour cells, and the trunk as open_clip takes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder import encoder_net
from models.images import checked, letterbox
from processors.errors import Poison
from processors.lab import to_lab
from processors.palette import PALETTE


@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_letterbox_keeps_proportions_and_marks_padding(height: int, width: int) -> None:
    """The photo touches two opposite sides, padding is exactly 0, and no pixel of a photo is."""
    square = letterbox(np.full((height, width, 3), 127, np.uint8), 64)
    inside = np.abs(square).sum(0) > 0
    rows, columns = inside.any(1).sum(), inside.any(0).sum()
    assert square.shape == (3, 64, 64)
    assert max(rows, columns) == 64
    assert min(rows, columns) == max(1, round(64 * min(height, width) / max(height, width)))
    assert inside.sum() == rows * columns


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 4), (4, 4, 4)])
def test_what_is_no_picture_is_poison(shape: tuple[int, ...]) -> None:
    """Grey, RGBA and empty arrays never reach the network."""
    with pytest.raises(Poison, match="no RGB picture"):
        checked(np.zeros(shape, np.uint8))


def test_lab_agrees_with_opencv() -> None:
    """The torch conversion in the network is the one the rest of Weft uses."""
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    ours = encoder_net.lab(torch.from_numpy(rgb).float().permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - to_lab(rgb)).max() < 0.5


def test_colour_cells_count_colours_where_they_are() -> None:
    """Left red, right navy, a padded bottom: each cell holds its own colour, padding holds none."""
    names = [name for name, _ in PALETTE]
    image = np.zeros((3, encoder_net.SIDE, encoder_net.SIDE), np.float32)
    half = encoder_net.SIDE // 2
    for colour, columns in (((200, 32, 47), slice(0, half)), ((28, 39, 71), slice(half, None))):
        image[:, :half, columns] = (np.array(colour, np.float32)[:, None, None] - 127.5) / 127.5
    cells = encoder_net.colour_cells(torch.from_numpy(image)[None], encoder_net.palette_lab())[0]
    assert cells.shape == (len(PALETTE), encoder_net.CELLS, encoder_net.CELLS)
    assert names[int(cells[:, 0, 0].argmax())] == "red"
    assert names[int(cells[:, 0, -1].argmax())] == "navy"
    assert cells[:, 0, 0].sum().item() == pytest.approx(1, abs=1e-4)
    assert cells[:, -1].sum().item() == 0


def test_the_trunk_is_a_timm_model_to_open_clip() -> None:
    """open_clip builds it by name, twice, and gets vectors of the right size that depend on colour."""
    towers = [encoder_net.image_tower().eval() for _ in range(2)]
    red, blue = (
        torch.zeros(1, 3, encoder_net.SIDE, encoder_net.SIDE),
        torch.zeros(1, 3, encoder_net.SIDE, encoder_net.SIDE),
    )
    red[:, 0], blue[:, 2] = 0.8, 0.8
    with torch.inference_mode():
        one, other = towers[0](red), towers[0](blue)
    assert one.shape == (1, encoder_net.DIMENSION)
    assert not torch.allclose(one, other, atol=1e-4)


def test_the_frozen_part_is_the_first_three_stages() -> None:
    """What is not shipped must come from the base, and the other way round."""
    import timm

    names = [
        n for n in timm.create_model("tf_efficientnet_lite0", num_classes=0).state_dict() if "num_batches" not in n
    ]
    ours = {name.split(".")[0] + "." + name.split(".")[1] for name in names if not encoder_net.is_frozen(name)}
    norm = {"bn2.weight", "bn2.bias", "bn2.running_mean", "bn2.running_var"}
    assert ours == {"blocks.3", "blocks.4", "blocks.5", "blocks.6", "conv_head.weight"} | norm
