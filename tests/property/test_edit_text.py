"""Whatever a shopper types, the edit is read without an error and refusals never turn into wishes."""

from hypothesis import given
from hypothesis import strategies as st

from processors.edit_text import parse_edit
from processors.fusion import captions_for
from processors.palette import PALETTE
from processors.vocabulary import FAMILIES

COLOURS = [name for name, _ in PALETTE]
WORDS = ["no", "not", "without", "and", ",", "but", "red", "striped", "sleeves", "pattern", "less", "more", "longer"]


@given(st.one_of(st.text(max_size=120), st.lists(st.sampled_from(WORDS), max_size=15).map(" ".join)))
def test_any_text_is_read(text: str) -> None:
    """No input raises; nothing is wanted and refused at once; captions, if any, differ."""
    edit = parse_edit(text)
    for facet, refused in edit.exclude.items():
        assert refused
        assert not set(edit.set.get(facet, "").split(" and ")) & set(refused)
    captions = captions_for({"category": "dress", "colour": "navy"}, edit)
    assert captions is None or captions[0] != captions[1]


@given(st.sampled_from(COLOURS), st.sampled_from(COLOURS), st.sampled_from(["not", "no", "without", "instead of"]))
def test_wanted_and_refused_colours_are_told_apart(wanted: str, refused: str, word: str) -> None:
    """ "X, not Y" wants X and refuses Y with its shades, for every pair of palette colours."""
    edit = parse_edit(f"in {wanted}, {word} {refused}")
    assert edit.set == {"colour": wanted}
    assert set(edit.exclude.get("colour", ())) == {refused, *FAMILIES.get(refused, ())} - {wanted}
