"""Heads as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from models.facets import facet_heads
from models.facets.facet_heads import Card
from processors.errors import Fatal, Poison
from processors.facets import Head, Heads, Layer, Line
from processors.weighed import Term, Weighed
from tests.fakes.facet_heads import file_of, head


def test_what_is_written_is_read() -> None:
    """Values, thresholds, lines, weighed values, categories, what they cover and the card as they were; weights within half precision, whatever their scale."""
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=(2, 300)) * np.array([[1e-7], [30.0]])).astype(np.float32)
    lines = (Line("a", 0.3, ("shirt",), "neckline", ("collar",), 0.2), Line("b", 0.9))
    weighed = (Weighed("b", 0.7, -1.5, (Term("neckline", ("collar", "polo"), 0.25), Term("look", ("light",), -2.0))),)
    bias = np.array([0.25, -3], np.float32)
    written = Head(("a", "b"), weight, bias, (0.5, 2.0), (("shirt",), ()), ((), ("a",)), lines=lines, weighed=weighed)
    card = Card("2026-01-01T00:00:00+00:00", "shop", 7, 3, "by brand", 1.5, (), ("a note",))
    data = facet_heads.encode("sha256:m", {"pattern": written}, card)
    found = facet_heads.decode(data, name="test")
    assert found.card == card
    assert found.heads.maker == "sha256:m"
    assert found.heads.version == facet_heads.version_of(data)
    read = found.heads.heads["pattern"]
    assert (read.values, read.thresholds, read.categories) == (written.values, written.thresholds, written.categories)
    assert read.covers == written.covers
    assert read.lines == written.lines == lines
    assert read.weighed == weighed
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


def layered() -> tuple[dict[str, Head], Layer]:
    """A head on two hidden numbers of three features and two shares, and one on the features themselves."""
    first = Layer(
        np.arange(10, dtype=np.float32).reshape(2, 5) / 7, np.array([0.5, -1], np.float32), np.ones(2, np.float32)
    )
    over = Head(("a", "b"), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), (0.5, 0.5), ((), ()), layered=True)
    plain = head(["a", "b"], [[1, 0, 0], [0, 1, 0]])
    return {"pattern": over, "sleeve": plain}, first


def test_a_layer_is_written_and_read() -> None:
    """Heads on it and heads beside it say the same afterwards, of a garment with pixels of its own and of one without."""
    heads, first = layered()
    card = Card("2026-01-01T00:00:00+00:00", "shop", 7, 3, "by brand", 1.5, ())
    found = facet_heads.decode(facet_heads.encode("sha256:m", heads, card, first), name="test").heads
    written = Heads("v", "m", heads, first)
    features = np.array([0.3, -0.2, 0.9], np.float32)
    for shares in (np.array([0.1, 0.4], np.float32), None):
        wanted, read = written.probabilities(features, shares), found.probabilities(features, shares)
        assert set(wanted) == set(read) == {"pattern", "sleeve"}
        for facet, chances in wanted.items():
            assert np.allclose(chances, read[facet], atol=2e-3)


def test_a_layered_file_is_refused_by_code_that_knows_no_layers() -> None:
    """It would read the hidden numbers' weights as those of features."""
    heads, first = layered()
    card = Card("2026-01-01T00:00:00+00:00", "shop", 7, 3, "by brand", 1.5, ())
    assert b"weft-facets 2" in facet_heads.encode("sha256:m", heads, card, first)
    assert b"weft-facets 1" in file_of("sha256:m", {"pattern": head(["a", "b"], [[1, 0], [0, 1]])})


def test_a_head_that_does_not_fit_its_layer_is_poison() -> None:
    """A layer of other width, and none."""
    heads, first = layered()
    with pytest.raises(Fatal, match="pattern"):
        Heads("v", "m", heads)
    wider = Layer(np.zeros((3, 5), np.float32), np.zeros(3, np.float32), np.ones(2, np.float32))
    card = Card("2026-01-01T00:00:00+00:00", "shop", 7, 3, "by brand", 1.5, ())
    with pytest.raises(Poison, match="does not fit"):
        facet_heads.decode(facet_heads.encode("sha256:m", heads, card, wider), name="x")
    assert first.weight.shape == (2, 5)
