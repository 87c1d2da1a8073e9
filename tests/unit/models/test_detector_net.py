"""The detector's own network: the pretrained trunk is the one it claims to be, and trains as it is served."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from safetensors.torch import save_file
from torch import nn

from models.detector.detector_net import BN_EPSILON, WeftLite0, fill_trunk
from models.detector.yolo_detector import OWN, build_network
from models.recipes.detector_trunk import FixedFilter, plain, prepare


def lite0() -> nn.Module:
    """timm's EfficientNet-lite0 with symmetric padding and batch norms that have seen something."""
    import timm

    torch.manual_seed(3)
    net = timm.create_model("efficientnet_lite0", pretrained=False, num_classes=0, bn_eps=BN_EPSILON).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.4, 2.0)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return net


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the fetched base, with random weights."""
    path = tmp_path_factory.mktemp("base") / "model.safetensors"
    save_file({k: v.contiguous() for k, v in lite0().state_dict().items()}, path)
    return path


def test_the_trunk_is_efficientnet_lite0() -> None:
    """Filled from timm's tensors it gives timm's features, at all three strides."""
    net, trunk = lite0(), WeftLite0().eval()
    fill_trunk(trunk, net.state_dict())
    images = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        x = net.bn1(net.conv_stem(images * 2 - 1))  # type: ignore[operator]
        theirs = []
        for stage in net.blocks:  # type: ignore[union-attr]
            x = stage(x)
            theirs.append(x)
        for mine, stage_index in zip(trunk(images), (2, 4, 6), strict=True):
            torch.testing.assert_close(mine, theirs[stage_index], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(3, 1, (7, 6)), (5, 1, (8, 8)), (3, 2, (8, 6)), (5, 2, (10, 8))]
)
def test_a_fixed_filter_has_the_gradients_of_a_convolution(kernel: int, stride: int, size: tuple[int, int]) -> None:
    """For the input and the bias; the filter itself gets none."""
    torch.manual_seed(1)
    weight, bias = torch.randn(4, 1, kernel, kernel), torch.randn(4, requires_grad=True)
    image = torch.randn(2, 4, *size, requires_grad=True)
    expected = F.conv2d(image, weight, bias, stride, kernel // 2, 1, 4)
    pull = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (image, bias), pull)
    weight.requires_grad_()
    answer = FixedFilter.apply(image, weight, bias, stride)
    torch.testing.assert_close(answer, expected)
    got = torch.autograd.grad(answer, (image, bias, weight), pull, allow_unused=True)
    torch.testing.assert_close(got[:2], wanted)
    assert got[2] is None


def test_what_is_trained_is_what_is_served(base: Path) -> None:
    """Frozen, parametrised and with fixed filters, or plain again: the same features; frozen blocks get no gradient."""
    trunk = WeftLite0()
    prepare(trunk, base, frozen=3)
    images = torch.rand(3, 3, 64, 64)
    features = trunk(images)
    features[0].mean().backward()
    moved = {name.split(".parametrizations")[0] for name, p in trunk.named_parameters() if p.grad is not None}
    assert "stages.2.0.expand" in moved  # the fourth block
    assert not [name for name in moved if name.startswith(("stem", "stages.0", "stages.1"))]
    served = plain(trunk).eval()
    assert set(served.state_dict()) == set(WeftLite0().state_dict())
    served.frozen = 0
    for before, after in zip(features, served(images), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_the_network_answers_at_three_strides() -> None:
    """Ten classes and four sides for every anchor of a picture whose sides are multiples of 32."""
    network = build_network(OWN, 10).eval()
    assert network.stride.tolist() == [8, 16, 32]
    with torch.inference_mode():
        answer = network(torch.zeros(1, 3, 96, 64))[0]
    assert answer.shape == (1, 14, 12 * 8 + 6 * 4 + 3 * 2)
