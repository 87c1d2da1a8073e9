"""What every model behind a port must do. A subclass provides `model`, `items` and `bad`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from models.detector.own_detector import OwnDetector
from models.guard import Guarded
from models.ports import Model
from processors.errors import Poison
from processors.values import Detection, Pixels, Vector

BAD_PICTURES = [
    np.zeros((0, 0, 3), np.uint8),
    np.zeros((8, 8), np.uint8),
    np.zeros((8, 8, 4), np.uint8),
    np.zeros((8, 8, 3), np.float32),
]


class ModelContract:
    """Inherited by one test class per model."""

    def alike(self, one: Any, other: Any) -> bool:
        """Whether two answers are the same but for the rounding of another batch."""
        return bool(one == other)

    @pytest.fixture
    def guarded(self, model: Model[Any, Any]) -> Guarded[Any, Any]:
        return Guarded(model, name="model under test")

    def test_length_and_order(self, guarded: Guarded[Any, Any], items: Sequence[Any]) -> None:
        """As many answers as questions, and turned round when the questions are."""
        there, back = guarded.run(items), guarded.run(items[::-1])
        assert len(there) == len(items)
        assert all(self.alike(a, b) for a, b in zip(there, back[::-1], strict=True))

    def test_answers_differ_where_items_do(self, guarded: Guarded[Any, Any], items: Sequence[Any]) -> None:
        """The suite's items are told apart, so the tests of order mean something."""
        first, *others = guarded.run(items)
        assert not all(self.alike(first, other) for other in others)

    def test_the_same_answer_every_time(self, guarded: Guarded[Any, Any], items: Sequence[Any]) -> None:
        """Same items, same answers: replays and content-addressed memos rely on it."""
        assert all(self.alike(a, b) for a, b in zip(guarded.run(items), guarded.run(items), strict=True))

    def test_the_same_answer_alone_and_in_a_batch(self, guarded: Guarded[Any, Any], items: Sequence[Any]) -> None:
        """An answer does not depend on the company the item happened to be batched with."""
        alone = [guarded.run([item])[0] for item in items]
        assert all(self.alike(a, b) for a, b in zip(alone, guarded.run(items), strict=True))

    def test_bad_items_are_poison(self, model: Model[Any, Any], bad: Sequence[Any]) -> None:
        """An item that can never succeed is told from the rest before it reaches the device."""
        for item in bad:
            with pytest.raises(Poison):
                model.prepare(item)

    def test_its_own_example_warms_it_up(self, guarded: Guarded[Any, Any], items: Sequence[Any]) -> None:
        """The guard's warm-up passes, order included."""
        guarded.warm_up(items)

    def test_prepare_works_in_threads(self, guarded: Guarded[Any, Any], items: Sequence[Any]) -> None:
        """`prepare` runs in a pool of CPU threads: many at once give what one gives."""
        with ThreadPoolExecutor(4) as pool:
            ready = list(pool.map(guarded.prepare, list(items) * 4))
        raws = guarded.forward(ready)
        expected = guarded.run(items) * 4
        answers = [guarded.finish(item, raw) for item, raw in zip(list(items) * 4, raws, strict=True)]
        assert all(self.alike(a, b) for a, b in zip(answers, expected, strict=True))

    def test_fingerprint_is_a_hash(self, model: Model[Any, Any]) -> None:
        """It goes into every item and decides which vectors may meet."""
        assert model.fingerprint.startswith("sha256:")
        assert len(model.fingerprint) == len("sha256:") + 64


class EncoderContract(ModelContract):
    """Of both encoders."""

    def alike(self, one: Any, other: Any) -> bool:
        return bool(np.allclose(one, other, atol=2e-4))

    def test_vectors_are_of_one_length_and_unit(
        self, guarded: Guarded[Any, Vector], model: Any, items: Sequence[Any]
    ) -> None:
        """float32, the dimension that the model says, norm 1."""
        for vector in guarded.run(items):
            assert vector.dtype == np.float32
            assert vector.shape == (model.dimension,)
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


class ImageEncoderContract(EncoderContract):
    """Of image encoders: the pass that gives the vector also gives what facets are read from."""

    def test_features_are_floats_of_one_length(self, model: Any, items: Sequence[Any]) -> None:
        """float32, one length for all photos, the same alone and in a batch, and told apart where photos differ."""
        together = [model.features(raw) for raw in model.forward([model.prepare(item) for item in items])]
        alone = [model.features(model.forward([model.prepare(item)])[0]) for item in items]
        assert {(f.dtype, f.shape) for f in together} == {(np.dtype(np.float32), together[0].shape)}
        assert all(np.allclose(a, b, atol=2e-3, rtol=1e-3) for a, b in zip(together, alone, strict=True))
        assert not all(np.allclose(together[0], other, atol=1e-2) for other in together[1:])

    def test_features_say_whose_they_are(self, model: Any) -> None:
        """Heads are fitted for one maker of features, and refused for others."""
        assert model.features_maker.startswith("sha256:")


class DetectorContract(ModelContract):
    """Of detectors."""

    def alike(self, one: Any, other: Any) -> bool:
        return len(one) == len(other) and all(
            a.category == b.category and np.allclose(a.box, b.box, atol=0.5) and abs(a.confidence - b.confidence) < 5e-3
            for a, b in zip(one, other, strict=True)
        )

    def test_boxes_lie_in_the_picture(self, guarded: Guarded[Any, tuple[Detection, ...]], items: Sequence[Any]) -> None:
        """In pixels of the array that went in, the surest first."""
        for pixels, found in zip(items, guarded.run(items), strict=True):
            height, width = pixels.shape[:2]
            assert [d.confidence for d in found] == sorted((d.confidence for d in found), reverse=True)
            for detection in found:
                x0, y0, x1, y1 = detection.box
                assert 0 <= x0 < x1 <= width
                assert 0 <= y0 < y1 <= height
                assert 0 < detection.confidence <= 1


class OwnDetectorContract(DetectorContract):
    """Of a detector of one's own: the fixtures `detector`, loaded once a module, and `pictures`."""

    @pytest.fixture
    def model(self, detector: OwnDetector) -> OwnDetector:
        return detector

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES
