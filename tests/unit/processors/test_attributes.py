"""Neighbours vote, the shop states, and unknown stays unknown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.attributes import Calibration, attributes_of, normalised, vote
from processors.values import Metadata


@dataclass(frozen=True)
class Near:
    product_id: str
    similarity: float
    labels: Mapping[str, str] = field(default_factory=dict)


ANY = Calibration(floor=-1.0)
"""Every neighbour counts, so that the counting can be looked at by itself."""


def fabrics(*pairs: tuple[float, str]) -> list[Near]:
    return [Near(f"p{n}", s, {"fabric": value}) for n, (s, value) in enumerate(pairs)]


def test_share_of_exponential_scores() -> None:
    """Confidence is exactly Σ exp(τ·s) of the winner over all of them."""
    decided = vote(fabrics((0.9, "linen"), (0.8, "cotton"), (0.7, "linen")), "fabric", replace(ANY, tau=5, theta=0.1))
    linen, cotton = math.exp(4.5) + math.exp(3.5), math.exp(4.0)
    assert decided is not None
    assert decided.value == "linen"
    assert decided.confidence == pytest.approx(linen / (linen + cotton), abs=1e-4)
    assert decided.neighbours == ("p0", "p2")


def test_nearer_neighbours_outvote_many() -> None:
    """With a sharp τ two twins beat five distant products; with τ 0 heads are counted."""
    near = fabrics((0.95, "silk"), (0.94, "silk"), *[(0.6, "cotton")] * 5)
    assert vote(near, "fabric", replace(ANY, tau=20, theta=0.5)).value == "silk"
    assert vote(near, "fabric", replace(ANY, tau=0, theta=0.5)).value == "cotton"


def test_a_split_vote_is_unknown() -> None:
    """Below θ nothing is stated."""
    split = fabrics((0.8, "silk"), (0.8, "cotton"), (0.8, "wool"))
    assert vote(split, "fabric", replace(ANY, theta=0.5)) is None


def test_too_few_voters_say_nothing() -> None:
    """One labelled neighbour would have a share of 100 %; an empty catalogue has no opinion."""
    assert vote(fabrics((0.99, "silk")), "fabric") is None
    assert vote([], "fabric", replace(ANY, min_votes=0)) is None


def test_only_k_neighbours_that_know_the_facet_count() -> None:
    """The k nearest are asked; those without the facet, or with "NA", abstain."""
    near = [Near("a", 0.9, {"gender": "men"}), *fabrics((0.8, "silk"), (0.7, "NA"), (0.6, "cotton"), (0.6, "cotton"))]
    assert vote(near, "fabric", replace(ANY, k=3, min_votes=1)).value == "silk"


def test_spellings_vote_together() -> None:
    """Women, Ladies and womens are one vote, in the canonical word."""
    near = [Near(str(n), 0.8, {"gender": word}) for n, word in enumerate(["Women", "Ladies", "womens", "Men"])]
    decided = vote(near, "gender", replace(ANY, theta=0.6))
    assert decided.value == "women"
    assert len(decided.neighbours) == 3


def test_what_is_less_like_than_the_floor_does_not_vote() -> None:
    """However many agree: the nearest there are may be far. One below the floor is no witness beside two above it."""
    far = fabrics(*[(0.79, "silk")] * 9)
    assert vote(far, "fabric", Calibration(floor=0.8)) is None
    assert vote([*far, *fabrics((0.9, "wool"), (0.85, "wool"))], "fabric", Calibration(floor=0.8)) is None
    decided = vote([*far, *fabrics((0.9, "wool"), (0.85, "wool"), (0.8, "wool"))], "fabric", Calibration(floor=0.8))
    assert decided is not None
    assert (decided.value, decided.confidence) == ("wool", 1.0)


@pytest.mark.parametrize(
    ("gender", "ages", "expected"),
    [("female", "kids", "girls"), ("Male", "toddler", "boys"), ("unisex", "newborn", "kids"), ("", "Kids", "kids"),
     ("girls", "kids", "girls"), ("female", "adult", "women"), ("female", "", "women")],
)  # fmt: skip
def test_an_age_group_makes_a_woman_a_girl(gender: str, ages: str, expected: str) -> None:
    """As shopping feeds send it: the gender in one column, the age group in another."""
    found = attributes_of(Metadata(gender=gender, facets={"age_group": ages}))
    assert found["gender"].value == expected


def test_large_tau_does_not_overflow() -> None:
    """τ·s far above 709, where exp overflows, still decides."""
    decided = vote(fabrics((0.99, "silk"), (0.98, "silk"), (0.9, "wool")), "fabric", replace(ANY, tau=5000))
    assert decided.value == "silk"


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.sampled_from(["silk", "wool", "linen", ""])), max_size=30),
    st.randoms(use_true_random=False),
)
def test_order_of_the_neighbours_does_not_matter(pairs: list[tuple[float, str]], shuffle: object) -> None:
    """The same neighbours in any order decide the same, with a confidence in θ..1."""
    near = fabrics(*pairs)
    mixed = list(near)
    shuffle.shuffle(mixed)
    first = vote(near, "fabric", ANY)
    assert first == vote(mixed, "fabric", ANY)
    if first is not None:
        assert 0.55 <= first.confidence <= 1


def test_what_the_shop_states() -> None:
    """Typed fields and free facets become attributes of confidence 1, in canonical words."""
    metadata = Metadata(
        gender="Ladies",
        fabric="100% Cotton",
        facets={"Sleeve Length": "Long Sleeves", "pattern": "Stripes", "sku": "7"},
    )
    found = attributes_of(metadata)
    assert {facet: a.value for facet, a in found.items()} == {
        "gender": "women",
        "fabric": "cotton",
        "sleeve": "long",
        "pattern": "striped",
    }
    assert all(a.confidence == 1.0 and a.neighbours == () for a in found.values())


def test_nothing_stated_is_nothing() -> None:
    """Empty and "NA" fields are not attributes."""
    assert attributes_of(Metadata(gender="NA", facets={"material": " ", "pattern": "Other"})) == {}


@pytest.mark.parametrize(
    ("facet", "written", "expected"),
    [
        ("gender", "WOMENS", "women"),
        ("colour", "Gray", "grey"),
        ("fabric", "pure  silk", "silk"),
        ("fabric", "cotton, polyester", "cotton polyester"),
        ("fabric", "bouclé", "bouclé"),
        ("fabric", "N/A", ""),
    ],
)
def test_normalised(facet: str, written: str, expected: str) -> None:
    """Known words become canonical; mixtures and unknown words stay as written."""
    assert normalised(facet, written) == expected
