"""What facets are read from: blocks of the trunk's maps, of the one pass that gives the vector."""

from __future__ import annotations

import torch

from models.encoder import encoder_net
from models.facets import facet_features


def test_blocks_stand_in_their_order() -> None:
    """Means, upper rows, the fifth stage's grid, its maxima and deviations, the sixth stage's grid: one number each where
    the maps are of one value, and the upper rows where only they differ.
    """
    stem = torch.full((1, facet_features.STEM, 14, 14), 2.0)
    stem[:, :, 0, 0] = 5.0
    middle = torch.full((1, facet_features.MIDDLE, 7, 7), 3.0)
    last = torch.ones((1, facet_features.LAST, 7, 7))
    last[:, :, :3] = 8.0
    found = facet_features.blocks(stem, middle, last)[0]
    assert found.shape == (facet_features.LENGTH,)
    sizes = [1280, 1280, 112 * 12, 112, 112, 192 * 9]
    mean, upper, grid, most, deviation, deep = found.split(sizes)
    assert torch.allclose(mean, torch.tensor((3 * 8 + 4 * 1) / 7))
    assert torch.allclose(upper, torch.tensor(8.0))
    assert (grid.reshape(112, 12)[:, 0] > 2).all()  # the corner with the five
    assert torch.allclose(grid.reshape(112, 12)[:, 1:], torch.tensor(2.0))
    assert (most == 5).all()
    assert torch.allclose(deviation, stem[0, 0].std())
    assert (deep == 3).all()


def test_one_pass_gives_what_the_network_gives() -> None:
    """The features beside the vector change nothing of the vector."""
    torch.manual_seed(0)
    tower = encoder_net.image_tower().eval()
    images = torch.rand(2, 3, encoder_net.SIDE, encoder_net.SIDE) * 2 - 1
    with torch.inference_mode():
        pooled, features = encoder_net.looked_at(tower.trunk, images)
        assert torch.allclose(pooled, tower.trunk(images), atol=1e-5)
    assert features.shape == (2, facet_features.LENGTH)
