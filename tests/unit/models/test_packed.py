"""Packed networks are the networks that were trained; and give a photo the same bytes in every company."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from models import packed
from models.detector.detector_served import DecodedAlone, served
from models.detector.yolo_detector import OWN, build_network
from models.encoder import encoder_net
from models.encoder.encoder_forward import ServedTower
from models.packed import Packed


@pytest.fixture(params=["oneDNN", "torch"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor for which oneDNN's operations are used, and on one for which they are not."""
    if request.param == "torch":
        monkeypatch.setattr("platform.machine", lambda: "riscv64")
        assert not packed.packs("cpu")


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("activation", ["none", "relu6", "silu"])
@pytest.mark.parametrize(("side", "stride", "groups"), [(1, 1, 1), (3, 2, 1), (5, 1, 24)])
@pytest.mark.parametrize("shaped", [True, False])
def test_a_packed_convolution_is_a_convolution(
    activation: Any, side: int, stride: int, groups: int, shaped: bool
) -> None:
    """With its activation, with weights laid out for a shape or not, and added to a map."""
    torch.manual_seed(1)
    conv = nn.Conv2d(24, 24, side, stride, side // 2, groups=groups).requires_grad_(requires_grad=False)
    bias = conv.bias
    assert bias is not None
    pixels = (3 * torch.randn(2, 24, 16, 12)).contiguous(memory_format=torch.channels_last)
    made = Packed(
        conv.weight,
        bias,
        shape=(16, 12) if shaped else None,
        stride=stride,
        padding=side // 2,
        groups=groups,
        activation=activation,
    )
    behind: Any = {"none": nn.Identity(), "relu6": F.relu6, "silu": F.silu}[activation]
    with torch.inference_mode():
        plain = behind(conv(pixels))
        torch.testing.assert_close(made(pixels), plain, rtol=1e-5, atol=1e-5)
        if activation == "none":
            there = torch.randn_like(plain)
            torch.testing.assert_close(made(pixels, there.clone()), plain + there, rtol=1e-5, atol=1e-5)


def _bytes_of(made: Packed, shapes: list[tuple[int, int]]) -> list[bytes]:
    found = []
    for height, width in shapes:
        drawn = torch.Generator().manual_seed(height * 100 + width)  # threads share torch's own
        pixels = torch.randn(2, 24, height, width, generator=drawn).contiguous(memory_format=torch.channels_last)
        found.append(made(pixels).numpy().tobytes())
    return found


def test_weights_that_are_kept_for_shapes_give_the_same_bytes() -> None:
    """Also where there are more shapes than are kept, in any order, and on several threads at once."""
    torch.manual_seed(4)
    weight, bias = torch.randn(40, 24, 3, 3), torch.randn(40)
    plain, kept = Packed(weight, bias, padding=1), Packed(weight, bias, padding=1, layouts=2)
    shapes = [(16, 12), (12, 16), (16, 12), (24, 24), (12, 16), (8, 8), (16, 12)]
    with torch.inference_mode():
        expected = _bytes_of(plain, shapes)
        assert _bytes_of(kept, shapes) == expected
    orders = [shapes, shapes[::-1]] * 2

    def run(order: list[tuple[int, int]]) -> list[bytes]:
        with torch.inference_mode():
            return _bytes_of(kept, order)

    with ThreadPoolExecutor(4) as pool:
        for order, found in zip(orders, pool.map(run, orders), strict=True):
            assert found == (expected if order is shapes else expected[::-1])


@pytest.mark.skipif(not packed.packs("cpu"), reason="no layouts of oneDNN's here")
def test_no_more_layouts_are_kept_than_asked_for() -> None:
    kept = Packed(torch.randn(8, 24, 1, 1), torch.zeros(8), layouts=2)
    with torch.inference_mode():
        _bytes_of(kept, [(16, 12), (12, 16), (24, 24)])
    assert set(kept._by_shape) == {(12, 16), (24, 24)}


@pytest.fixture
def tower() -> nn.Module:
    """Statistics and weights as training leaves them."""
    torch.manual_seed(2)
    made = encoder_net.served_image_tower().eval().requires_grad_(requires_grad=False)
    for name, tensor in made.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
    return made


@pytest.mark.usefixtures("anywhere")
def test_the_served_tower_is_the_trained_one(tower: nn.Module) -> None:
    """Turned by half a turn and folded: the same vectors and the same blocks for facets, up to rounding."""
    images = torch.rand(3, 3, encoder_net.SIDE, encoder_net.SIDE) * 2 - 1
    images[:, :, :, :40] = 0
    images[:, :, 60:90, 50:] = 0.7
    with torch.inference_mode():
        pooled, facets = encoder_net.looked_at(tower.trunk, images)
        vectors = F.normalize(tower.head(pooled), dim=1)  # type: ignore[operator]
        served_vectors, served_facets = ServedTower(copy.deepcopy(tower), device="cpu")(images)
    torch.testing.assert_close(served_vectors, vectors, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(served_facets, facets, rtol=1e-3, atol=1e-4)


def test_a_view_gets_the_same_bytes_in_every_company(tower: nn.Module) -> None:
    """Alone, and as each of a part: what `models.parts` takes no size without."""
    torch.set_num_threads(1)
    images = torch.rand(4, 3, encoder_net.SIDE, encoder_net.SIDE) * 2 - 1
    run = ServedTower(tower, device="cpu")
    with torch.inference_mode():
        together = run(images)
        alone = [run(images[i : i + 1]) for i in range(4)]
        twos = [run(images[i : i + 2]) for i in (0, 2)]
    for kind in (0, 1):
        assert torch.equal(together[kind], torch.cat([one[kind] for one in alone]))
        assert torch.equal(together[kind], torch.cat([two[kind] for two in twos]))


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("architecture", [OWN, "yolo11n.yaml"])
def test_the_served_detector_is_the_trained_one(architecture: str) -> None:
    """The same predictions up to rounding, for two shapes; every convolution with a bias was packed."""
    torch.manual_seed(4)
    network = build_network(architecture, 10).eval().requires_grad_(requires_grad=False).fuse(verbose=False)
    plain = copy.deepcopy(network)
    fast = served(network, "cpu")
    assert isinstance(fast.model[-1], DecodedAlone)
    if packed.packs("cpu"):
        assert not [m for m in fast.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
    with torch.inference_mode():
        for height, width in ((128, 96), (64, 128)):
            images = torch.rand(3, 3, height, width).contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(fast(images)[0], plain(images)[0], rtol=1e-3, atol=1e-3)


def test_a_photo_gets_the_same_boxes_in_every_company() -> None:
    """To the bit; 64 × 96 pixels leave a number of anchors that no vector of the processor divides."""
    torch.set_num_threads(1)
    torch.manual_seed(4)
    fast = served(build_network(OWN, 10).eval().requires_grad_(requires_grad=False).fuse(verbose=False), "cpu")
    images = torch.rand(4, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        together = fast(images)[0]
        assert torch.equal(together, torch.cat([fast(images[i : i + 1])[0] for i in range(4)]))


@pytest.mark.parametrize("activation", ["none", "relu6", "silu"])
def test_bfloat16_is_the_same_layer_rounded(activation: Any) -> None:
    """Weights and results are what bfloat16 holds of them; added maps are rounded once, with the sum."""
    torch.manual_seed(1)
    weight, bias = torch.randn(8, 6, 3, 3) / 8, torch.randn(8)
    pixels = packed.rounded(torch.randn(2, 6, 10, 10)).contiguous(memory_format=torch.channels_last)
    made = Packed(weight, bias, padding=1, activation=activation, precision="bfloat16")
    pixels = pixels.to(packed.computes("bfloat16", "cpu"))
    behind: Any = {"none": nn.Identity(), "relu6": F.relu6, "silu": F.silu}[activation]
    with torch.inference_mode():
        plain = F.conv2d(pixels.float(), packed.rounded(weight), packed.rounded(bias), padding=1)
        torch.testing.assert_close(made(pixels).float(), packed.rounded(behind(plain)), rtol=2**-7, atol=1e-3)
        if activation == "none":
            there = packed.rounded(torch.randn_like(plain)).to(pixels.dtype)
            wanted = packed.rounded(plain + there.float())
            torch.testing.assert_close(made(pixels, there.clone()).float(), wanted, rtol=2**-7, atol=1e-3)


def test_the_tower_in_bfloat16_is_near_the_other_and_not_the_same(tower: nn.Module) -> None:
    """A space of its own, in which a view has the same bytes alone and in company."""
    images = torch.rand(4, 3, encoder_net.SIDE, encoder_net.SIDE) * 2 - 1
    fine = ServedTower(copy.deepcopy(tower), device="cpu")
    rough = ServedTower(tower, device="cpu", precision="bfloat16")
    with torch.inference_mode():
        vectors, facets = rough(images)
        plain, plain_facets = fine(images)
        alone = [rough(one) for one in images.split(1)]
    assert torch.equal(vectors, torch.cat([one for one, _ in alone]))
    assert torch.equal(facets, torch.cat([one for _, one in alone]))
    likeness = F.cosine_similarity(vectors, plain, dim=1)
    assert 0.99 < float(likeness.min()) < 1
    assert float(F.cosine_similarity(facets, plain_facets, dim=1).min()) > 0.99
    assert not torch.equal(vectors, plain)


def test_a_processor_with_bfloat16_gives_what_rounding_gives(tower: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space is one: workers with bfloat16 and without write into the same index."""
    if packed.computes("bfloat16", "cpu") != torch.bfloat16:
        pytest.skip("this processor has no bfloat16 for oneDNN (AVX-512 or AVX-NE-CONVERT)")
    images = torch.rand(2, 3, encoder_net.SIDE, encoder_net.SIDE) * 2 - 1
    native = ServedTower(copy.deepcopy(tower), device="cpu", precision="bfloat16")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert packed.computes("bfloat16", "cpu") == torch.float32
    rounding = ServedTower(tower, device="cpu", precision="bfloat16")
    with torch.inference_mode():
        for one, other in zip(native(images), rounding(images), strict=True):
            assert float(F.cosine_similarity(one, other, dim=1).min()) > 0.999
