"""Trees of texts: what is read of a text is what the tree's expression would read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.slots import Choice, Node, Reading, Slot, any_of, expression, first_text, seq

_WORDS = st.text("ab .|", max_size=3)
_SLOTS = st.builds(
    Slot, _WORDS, st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("cd")), max_size=2).map(tuple)
)
TREES = st.recursive(
    _WORDS | _SLOTS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: seq(*parts))
        | st.lists(inner, min_size=1, max_size=3).map(lambda options: Choice(tuple(options)))
    ),
    max_leaves=12,
)


def _with_groups(node: Node, claims: list[tuple[tuple[str, str], ...]]) -> str:
    """The expression with a group for each slot that states something, written another way: by Python's `re`."""
    if isinstance(node, Slot):
        claims.append(node.claims)
        return f"({re.escape(node.text)})"
    if isinstance(node, str):
        return re.escape(node)
    if isinstance(node, Choice):
        return f"(?:{'|'.join(_with_groups(option, claims) for option in node.options)})"
    return "".join(_with_groups(part, claims) for part in node.parts)


@given(tree=TREES, text=st.text("ab .|", max_size=6))
def test_what_is_read_is_what_an_expression_would_read(tree: Node, text: str) -> None:
    """The same slots at the same places, of the first options that fit; and of what does not fit, nothing."""
    claims: list[tuple[tuple[str, str], ...]] = []
    match = re.fullmatch(_with_groups(tree, claims), text)
    spans = Reading(tree).spans(text)
    assert (spans is None) == (match is None) == (re.fullmatch(expression(tree), text) is None)
    if match is not None and spans is not None:
        expected = [
            (match.start(group), match.end(group), garment, facet)
            for group, stated in enumerate(claims, start=1)
            if match.start(group) >= 0
            for garment, facet in stated
        ]
        assert [(s.start, s.end, s.garment, s.facet) for s in spans] == sorted(expected)


@given(tree=TREES)
def test_the_first_way_is_of_the_tree(tree: Node) -> None:
    """`first_text` is a text that may be written."""
    assert Reading(tree).spans(first_text(tree)) is not None


@pytest.mark.timeout(20)
def test_a_text_that_leaves_the_tree_at_its_end_is_refused_at_once() -> None:
    """Forty optional tags behind sixteen choices, each with slots; nothing is tried twice that cannot differ."""
    tags: Node = ""
    for number in range(40):
        tags = any_of((seq(f" #tag{number}", tags), ""))
    words = [any_of((Slot(f"{n} red ", (("g", "colour"),)), f"{n} blue ")) for n in range(16)]
    text = first_text(seq(*words, tags))
    assert Reading(seq(*words, tags)).spans(text) is not None
    assert Reading(seq(*words, tags)).spans(text + "!") is None
