"""Heads as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from models.facets import facet_heads
from models.facets.facet_heads import Card
from processors.errors import Poison
from processors.facets import Head
from tests.fakes.facet_heads import file_of, head


def test_what_is_written_is_read() -> None:
    """Values, thresholds, categories, what they cover and the card as they were; weights within half precision, whatever their scale."""
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(2, 300)) * np.array([[1e-7], [30.0]])).astype(np.float32)
    written = Head(("a", "b"), weight, np.array([0.25, -3], np.float32), (0.5, 2.0), (("shirt",), ()), ((), ("a",)))
    card = Card("2026-01-01T00:00:00+00:00", "shop", 7, 3, "by brand", 1.5, (), ("a note",))
    data = facet_heads.encode("sha256:m", {"pattern": written}, card)
    found = facet_heads.decode(data, name="test")
    assert found.card == card
    assert found.heads.maker == "sha256:m"
    assert found.heads.version == facet_heads.version_of(data)
    read = found.heads.heads["pattern"]
    assert (read.values, read.thresholds, read.categories) == (written.values, written.thresholds, written.categories)
    assert read.covers == written.covers
    assert np.allclose(read.weight, weight, rtol=2e-3, atol=np.abs(weight).max(1, keepdims=True) * 1e-3)
    assert read.bias.tolist() == [0.25, -3]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"weft-facets 1", b"weft-facets 9"),
        lambda data: data.replace(b"pattern.weight", b"pattern.wrongs"),
        lambda data: b"\xff" * len(data),
    ],
)
def test_what_cannot_be_read_is_poison(damage: object) -> None:
    """Half a file, another format, other tensors than said: named, and never applied."""
    data = file_of("sha256:m", {"pattern": head(["a", "b"], [[1, 0], [0, 1]])})
    with pytest.raises(Poison, match="broken one"):
        facet_heads.decode(damage(data), name="broken one")  # type: ignore[operator]


def test_weights_that_are_not_finite_are_refused() -> None:
    """They would make every garment the first value."""
    bad = head(["a", "b"], [[1, 0], [0, 1]])
    bad.weight[0, 0] = np.nan
    with pytest.raises(Poison, match="not finite"):
        facet_heads.decode(file_of("sha256:m", {"pattern": bad}), name="x")
