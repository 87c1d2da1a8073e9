"""Composers over the encoder's vectors: their networks at step 0, their files, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.composers import composer_file, networks, registry
from models.composers.composer_file import FORMAT, ComposerCard, ComposerHeader
from models.composers.vector_composer import VectorComposer
from models.fakes import FakeComposer
from models.ports import Composition
from models.weights.hashes import list_folder
from processors.errors import Fatal, Poison
from tests.contract.model_contract import EncoderContract

DIMENSION = 16
SHAPES = {
    "combiner": {"dimension": DIMENSION, "width": 24},
    "transformer": {"dimension": DIMENSION, "width": 24, "layers": 2, "heads": 4},
}


def trained(name: str, seed: int = 1) -> Any:
    """A network whose every weight is drawn, as if it had been trained."""
    network = networks.build(name, SHAPES[name])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return network.eval()


def written(folder: Path, name: str) -> Path:
    """A listed file of a drawn composer."""
    folder.mkdir(parents=True, exist_ok=True)
    header = ComposerHeader(FORMAT, name, SHAPES[name], "sha256:space", ComposerCard("", "", {}, (1, 1)))
    path = folder / "composer.safetensors"
    path.write_bytes(composer_file.encode(header, {k: v.numpy() for k, v in trained(name).state_dict().items()}))
    list_folder(folder, "composer")
    return path


def compositions(count: int) -> list[Composition]:
    """Compositions that differ; every second one without a caption."""
    rng = np.random.default_rng(3)
    drawn = rng.normal(size=(count, 3, DIMENSION)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    return [Composition(one[0], one[1], one[2] if n % 2 else None) for n, one in enumerate(drawn)]


class TestCombiner(EncoderContract):
    """The contract of models."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> VectorComposer:
        return VectorComposer.load(written(tmp_path, "combiner"))

    @pytest.fixture
    def items(self) -> Sequence[Composition]:
        return compositions(4)

    @pytest.fixture
    def bad(self) -> Sequence[Composition]:
        nan = np.full(DIMENSION, np.nan, np.float32)
        good = np.ones(DIMENSION, np.float32)
        return [Composition(good[:3], good), Composition(good, nan), Composition(good, good, good[:1])]


class TestTransformer(TestCombiner):
    """The same."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> VectorComposer:
        return VectorComposer.load(written(tmp_path, "transformer"))


class TestFakeComposer(EncoderContract):
    """The twin for tests of the plumbing."""

    @pytest.fixture
    def model(self) -> FakeComposer:
        return FakeComposer()

    @pytest.fixture
    def items(self) -> Sequence[Composition]:
        axes = np.eye(64, dtype=np.float32)
        return [Composition(axes[n], axes[n + 1]) for n in range(3)]

    @pytest.fixture
    def bad(self) -> Sequence[Composition]:
        return []


@pytest.mark.parametrize("name", ["combiner", "transformer"])
def test_an_untrained_composer_is_the_sum_of_image_and_text(name: str) -> None:
    """Training starts from what is served without it."""
    network = networks.build(name, SHAPES[name]).eval()
    image, text, caption = torch.nn.functional.normalize(torch.randn(3, 5, DIMENSION), dim=2)
    found = network(image, text, caption, torch.ones(5, dtype=torch.bool))
    assert torch.allclose(found, torch.nn.functional.normalize(image + text, dim=1), atol=1e-6)


def test_a_caption_that_nobody_knows_changes_nothing() -> None:
    """Whatever stands in the place of an unknown caption is not read; a known one is."""
    network = trained("transformer")
    image, text, one, other = torch.nn.functional.normalize(torch.randn(4, 5, DIMENSION), dim=2)
    unknown, known = torch.zeros(5, dtype=torch.bool), torch.ones(5, dtype=torch.bool)
    assert torch.equal(network(image, text, one, unknown), network(image, text, other, unknown))
    assert not torch.allclose(network(image, text, one, known), network(image, text, other, known), atol=1e-3)


def test_the_combiner_is_the_formula() -> None:
    """q = norm(v + λt + (1 − λ)i), computed by hand from the weights."""
    network = trained("combiner")
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    one = compositions(1)[0]
    both = np.concatenate([one.text, one.image])
    hidden = torch.nn.functional.gelu(
        torch.from_numpy(weights["hidden.0.weight"] @ both + weights["hidden.0.bias"])
    ).numpy()
    share = 1 / (1 + np.exp(-(weights["gate.weight"] @ hidden + weights["gate.bias"])))
    wanted = weights["v.weight"] @ hidden + weights["v.bias"] + share * one.text + (1 - share) * one.image
    image, text = (torch.from_numpy(v)[None] for v in (one.image, one.text))
    found = network(image, text, text, torch.ones(1, dtype=torch.bool))[0].detach().numpy()
    assert np.allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)


def test_a_composer_for_another_encoder_is_refused(tmp_path: Path) -> None:
    """Vectors of different makers never meet; the sentence says what to do."""
    path = written(tmp_path, "combiner")
    assert registry.load("facets+combiner", path, encoder="sha256:space").target == "sha256:space"
    with pytest.raises(Fatal, match="trained for the encoder sha256:space, and sha256:other serves"):
        registry.load("combiner", path, encoder="sha256:other")
    with pytest.raises(Fatal, match="holds the composer 'combiner', not 'transformer'"):
        registry.load("transformer", path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """A file that is not listed, cut off, of another format or not finite is never loaded."""
    path = written(tmp_path, "combiner")
    data = path.read_bytes()
    with pytest.raises(Poison, match="holds no composer"):
        composer_file.decode(data[:100], name="x")
    header, tensors = composer_file.decode(data, name="x")
    later = ComposerHeader("weft-composer 9", header.network, header.shape, header.encoder, header.card)
    with pytest.raises(Poison, match="weft-composer 9"):
        composer_file.decode(composer_file.encode(later, tensors), name="x")
    tensors["v.bias"] = np.full_like(tensors["v.bias"], np.inf)
    with pytest.raises(Poison, match="not finite"):
        composer_file.decode(composer_file.encode(header, tensors), name="x")
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(Fatal, match="damaged"):
        VectorComposer.load(path)


def test_names_are_read_or_refused_with_the_list() -> None:
    """Only what makes sense together is a name."""
    assert registry.choice_of("facets").with_facets
    assert not registry.choice_of("combiner").with_facets
    for name in registry.names():
        assert registry.choice_of(name).name == name
    for name in ("facets+direction", "facets+facets", "facets+fashion-blip2", "nothing", ""):
        with pytest.raises(ValueError, match=r"facets\+combiner"):
            registry.choice_of(name)
    with pytest.raises(ValueError, match="no weights"):
        registry.load("facets", Path("x"))
