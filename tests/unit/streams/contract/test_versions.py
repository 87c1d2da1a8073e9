"""The version of an upload, as shops write it."""

import pytest

from processors.errors import Code, Poison
from streams.contract.versions import LARGEST, version_of


@pytest.mark.parametrize(
    ("written", "version"),
    [(None, None), (3, 3), (2.5, 2.5), ("3", 3), (" 4 ", 4), ("2.5", 2.5), (-1, -1), (LARGEST, LARGEST), ("1970-01-01T00:00:10Z", 10.0),
     ("1970-01-01T01:00:00+01:00", 0.0)],
)  # fmt: skip
def test_a_version_is_a_number_or_a_time(written: float | str | None, version: float | None) -> None:
    """A time counts as its seconds since 1970."""
    assert version_of(written) == version


@pytest.mark.parametrize(
    ("written", "code"),
    [(10**400, Code.OUT_OF_RANGE), (-(10**400), Code.OUT_OF_RANGE), (LARGEST + 1, Code.OUT_OF_RANGE), (float("nan"), Code.OUT_OF_RANGE),
     (float("inf"), Code.OUT_OF_RANGE), ("inf", Code.OUT_OF_RANGE), ("nan", Code.OUT_OF_RANGE), ("9" * 60, Code.OUT_OF_RANGE),
     ("9" * 400, Code.WRONG_TYPE), ("v2", Code.WRONG_TYPE), ("", Code.WRONG_TYPE), ("2026-01-31T12:00:00", Code.INVALID)],
)  # fmt: skip
def test_what_is_no_version_is_refused_by_its_field(written: float | str, code: Code) -> None:
    """An integer of four hundred digits is no fault of ours: the letter names the field, and no OverflowError."""
    with pytest.raises(Poison) as refused:
        version_of(written)
    assert (refused.value.code, refused.value.field) == (code, "version")


def test_a_number_with_underscores_is_none() -> None:
    """Python reads 1_000 as 1000: another client's record would count as something that it does not say."""
    with pytest.raises(Poison, match="neither a number nor a time"):
        version_of("1_000")
