"""The calibration of neighbours' votes: what is loaded, for which encoder, and whether the recipe finds what is there."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models import calibration
from models.recipes import attributes as recipe
from models.weights.hashes import MANIFEST, Manifest, Shipped, sha256_of
from models.yardsticks.attributes import Embedded, Product, held_out
from processors.attributes import Calibration, Calibrations
from processors.errors import Fatal

FITTED = Calibrations("sha256:ours", {"fabric": Calibration(15, 0.7, 10, 3)}, Calibration(k=7))


def shipped(folder: Path, fitted: Calibrations = FITTED) -> Path:
    path = folder / calibration.FILE
    calibration.save(path, fitted, "test")
    listed = Manifest({path.name: Shipped(sha256_of(path), path.stat().st_size, "", "")})
    (folder / MANIFEST).write_bytes(msgspec.json.encode(listed))
    return path


def test_what_was_fitted_is_what_is_loaded(tmp_path: Path) -> None:
    """Numbers and encoder come back; a facet that was not fitted has the defaults."""
    loaded = calibration.load(shipped(tmp_path), Calibration(k=7))
    assert loaded == FITTED
    assert loaded.of("fabric", "sha256:ours") == Calibration(15, 0.7, 10, 3)
    assert loaded.of("gender", "sha256:ours") == Calibration(k=7)
    assert loaded.k == 10


def test_another_encoder_is_not_calibrated(tmp_path: Path) -> None:
    """Similarities of another space mean something else: its votes are counted by the defaults."""
    loaded = calibration.load(shipped(tmp_path), Calibration(k=7))
    assert not loaded.fits("sha256:another")
    assert loaded.of("fabric", "sha256:another") == Calibration(k=7)


def test_without_a_file_everything_has_the_defaults(tmp_path: Path) -> None:
    """A starter that was never calibrated still runs."""
    loaded = calibration.load(tmp_path / calibration.FILE, Calibration(k=7))
    assert loaded.of("fabric", "sha256:ours") == Calibration(k=7)
    assert not loaded.fits("sha256:ours")


def test_a_changed_number_is_refused(tmp_path: Path) -> None:
    """It is weights like the others: listed, hashed, and refused when a byte differs."""
    path = shipped(tmp_path)
    path.write_text(path.read_text().replace("0.7", "0.1"))
    with pytest.raises(Fatal, match=r"attributes\.json is damaged"):
        calibration.load(path, Calibration())


@pytest.mark.parametrize("bad", [Calibration(theta=1.5), Calibration(k=0), Calibration(tau=-1), Calibration(floor=2)])
def test_impossible_numbers_are_refused(tmp_path: Path, bad: Calibration) -> None:
    """A share above one would silence every vote for ever."""
    path = shipped(tmp_path, Calibrations("sha256:ours", {"fabric": bad}))
    with pytest.raises(Fatal, match=r"attributes\.json: fabric has an impossible calibration"):
        calibration.load(path, Calibration())


def shop(right: float, seed: int = 3) -> Embedded:
    """Two fabrics on two far spots of a circle, of many brands; of each spot's products a share `right` is labelled so."""
    draw = np.random.default_rng(seed)
    brands = [name for name in (f"brand {n}" for n in range(60)) if not held_out(name)][:24]
    products, vectors = [], []
    for n in range(240):
        spot = n % 2
        label = ("linen", "silk")[spot if draw.random() < right else 1 - spot]
        products.append(Product(f"p{n}", "", brands[n % len(brands)], "", {"fabric": label}))
        angle = spot * 1.5 + draw.normal(0, 0.05)
        vectors.append([np.cos(angle), np.sin(angle)])
    return Embedded(tuple(products), np.array(vectors, np.float32), 0)


def test_neighbours_that_can_be_relied_on_are_believed() -> None:
    """Where neighbours are nearly always right, θ lets nearly every vote through."""
    near = recipe.nearest(shop(0.97), "fabric")
    fitted = recipe.fit(near)
    share, _ = recipe.shares(near, fitted.tau, fitted.k)
    stated = share.max(axis=1) >= fitted.theta
    assert stated.mean() > 0.9
    assert (share.argmax(axis=1) == near.truth)[stated].mean() > 0.9


def test_neighbours_that_disagree_stay_unknown() -> None:
    """Where labels are a coin's throw, a statement costs more than it is worth."""
    near = recipe.nearest(shop(0.5), "fabric")
    fitted = recipe.fit(near)
    share, _ = recipe.shares(near, fitted.tau, fitted.k)
    assert (share.max(axis=1) >= fitted.theta).mean() < 0.3


def test_the_floor_is_a_likeness_that_few_reach() -> None:
    """One in twenty pairs of a kind; pairs of two kinds do not count, and are no neighbours."""
    one = shop(0.97)
    assert recipe.nearest(one, "fabric").floor == recipe.HIGHEST_FLOOR, "half of all pairs are of one spot"
    angles = np.random.default_rng(5).uniform(0, 2 * np.pi, 240)
    spread = replace(one, vectors=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) * 0.9)
    cosines = spread.vectors @ spread.vectors.T
    brands = np.array([product.brand for product in spread.products])
    reached = (cosines >= recipe.nearest(spread, "fabric").floor)[brands[:, None] != brands[None]].mean()
    assert reached == pytest.approx(1 - recipe.RARE, abs=0.01)
    mixed = Embedded(
        tuple(replace(product, category=("shoe", "bag")[n % 2]) for n, product in enumerate(one.products)),
        one.vectors,
        0,
    )
    apart = recipe.nearest(mixed, "fabric")
    assert (apart.similarity[apart.similarity > -1.5] > 0.5).all(), "the other spot of the circle is the other kind"


def test_nobody_asks_their_own_brand() -> None:
    """Photos of one brand look alike; a product that found its own series would seem to know its fabric."""
    mine = next(name for name in (f"brand {n}" for n in range(60)) if not held_out(name))
    only = Embedded(
        tuple(Product(f"p{n}", "", mine, "", {"fabric": "linen"}) for n in range(8)), np.ones((8, 2), np.float32), 0
    )
    _, voters = recipe.shares(recipe.nearest(only, "fabric"), 5.0, 10)
    assert voters.tolist() == [0] * 8


def test_the_recipe_counts_votes_as_serving_does() -> None:
    """The vectorised share is the confidence of `processors.attributes.vote`."""
    from processors.attributes import vote

    class Neighbour:
        def __init__(self, name: str, similarity: float, fabric: str) -> None:
            self.product_id, self.similarity, self.labels = name, similarity, {"fabric": fabric}

    near = recipe.Near(
        np.array([[0.9, 0.8, 0.7, 0.6]], np.float32), np.array([[0, 1, 0, 1]]), np.array([0]), ("linen", "silk")
    )
    share, _ = recipe.shares(near, 10.0, 3)
    served = vote(
        [Neighbour("a", 0.9, "linen"), Neighbour("b", 0.8, "silk"), Neighbour("c", 0.7, "linen")],
        "fabric",
        Calibration(10.0, 0.0, 3, floor=-1.0),
    )
    assert served is not None
    assert served.confidence == pytest.approx(float(share[0, 0]), abs=1e-3)
