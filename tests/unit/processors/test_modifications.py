"""What the grammar says is what differs: every value, every wording, read again by the rules that read shoppers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.drawn import FABRICS
from processors.modifications import (
    EDITED,
    WORDINGS,
    Change,
    applied,
    changes_between,
    is_consistent,
    modification,
)
from processors.palette import PALETTE

VALUES: dict[str, tuple[str, ...]] = {
    "colour": tuple(name for name, _ in PALETTE),
    "pattern": ("solid", "striped", "checked", "dotted", "floral", "printed", "colourblocked"),
    "sleeve": ("sleeveless", "short", "three-quarter", "long"),
    "neckline": ("round", "v", "collar", "polo", "hood", "high", "off-shoulder", "mandarin"),
    "length": ("mini", "knee", "midi", "maxi", "cropped"),
    "fabric": FABRICS,
}


@pytest.mark.parametrize("facet", EDITED)
def test_every_value_in_every_wording_is_read_as_it_was_said(facet: str) -> None:
    """The modification applied to the reference gives the target."""
    for before, after in itertools.permutations(VALUES[facet], 2):
        reference, target = ({"category": "dress", facet: value} for value in (before, after))
        for wording in range(WORDINGS):
            text = modification([Change(facet, before, after)], wording)
            assert is_consistent(reference, text, target), text


FACETS = st.fixed_dictionaries({facet: st.sampled_from(values) for facet, values in VALUES.items()})


@given(
    one=FACETS,
    other=FACETS,
    changed=st.sets(st.sampled_from(EDITED), min_size=1, max_size=3),
    wording=st.integers(0, 99),
)
def test_several_changes_are_read_as_they_were_said(
    one: dict[str, str], other: dict[str, str], changed: set[str], wording: int
) -> None:
    """Up to three at once; and the words of another pair are not accepted for this one."""
    target = {**one, **{facet: other[facet] for facet in changed}}
    changes = changes_between(one, target)
    if changes is None:
        assert one == target
        return
    text = modification(changes, wording)
    assert is_consistent(one, text, target), text
    assert applied(one, text) == target
    other_colour = next(name for name in VALUES["colour"] if name not in (one["colour"], target["colour"]))
    assert not is_consistent(one, text, {**target, "colour": other_colour})


def test_what_words_cannot_say_is_no_change() -> None:
    """Another kind, a facet known of one side alone, too many changes, none, and a value without a word."""
    shirt = {"category": "shirt", "colour": "red"}
    assert changes_between(shirt, {"category": "dress", "colour": "navy"}) is None
    assert changes_between(shirt, {**shirt, "sleeve": "long"}) is None
    assert changes_between({**shirt, "sleeve": "long"}, shirt) is None
    assert changes_between(shirt, shirt) is None
    all_other = [{"category": "dress"} | {facet: VALUES[facet][n] for facet in EDITED} for n in (0, 1)]
    assert changes_between(*all_other) is None
    cut = {"category": "pants", "length": "cropped"}
    assert changes_between(cut, {**cut, "length": "regular"}) is None
    assert changes_between({**cut, "length": "regular"}, cut) is not None


def test_a_modification_that_leaves_something_out_is_not_consistent() -> None:
    """Neither one that says more."""
    one, other = {"colour": "red", "sleeve": "long"}, {"colour": "navy", "sleeve": "short"}
    assert is_consistent(one, "in navy with short sleeves", other)
    assert not is_consistent(one, "in navy", other)
    assert not is_consistent(one, "in navy with short sleeves and stripes", {**other, "pattern": "solid"})
