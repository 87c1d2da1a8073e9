"""Choices by measurement: made once, kept, the same for every process of a machine, and no noise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.measured import Choice, Kept, fastest, kept_for, processor


class Clock:
    """Time that passes by what is run."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, seconds: float) -> None:
        self.now += seconds


def timed(**seconds: float) -> str:
    clock = Clock()
    return fastest({name: lambda s=s: clock.takes(s) for name, s in seconds.items()}, clock=clock).chosen  # type: ignore[misc]


def test_the_clearly_fastest_is_chosen_and_near_ties_change_nothing() -> None:
    """The first is the usual way."""
    assert timed(usual=1.0, other=0.5) == "other"
    assert timed(usual=1.0, other=0.95) == "usual"
    assert timed(usual=1.0, other=2.0, third=0.7) == "third"


def test_a_choice_is_made_once(tmp_path: Path) -> None:
    """Another process, later, finds it; another processor, version or batch measures for itself."""
    made: list[str] = []

    def make(name: str) -> Choice:
        made.append(name)
        return Choice(name, {name: 1.0})

    here = Kept(tmp_path / "measured", {"processor": "a", "torch": "1"})
    assert here.recall("linear", Choice, lambda: make("x"), batch="16").chosen == "x"
    again = Kept(tmp_path / "measured", {"processor": "a", "torch": "1"})
    assert again.recall("linear", Choice, lambda: make("y"), batch="16").chosen == "x"
    assert again.recall("linear", Choice, lambda: make("z"), batch="8").chosen == "z"
    elsewhere = Kept(tmp_path / "measured", {"processor": "b", "torch": "1"})
    assert elsewhere.recall("linear", Choice, lambda: make("w"), batch="16").chosen == "w"
    assert made == ["x", "z", "w"]
    [first] = [
        f for f in (tmp_path / "measured").glob("linear-*.json") if json.loads(f.read_text())["answer"]["chosen"] == "x"
    ]
    assert json.loads(first.read_text())["about"] == {"processor": "a", "torch": "1", "batch": "16"}


def test_of_two_that_measure_at_once_the_first_is_followed(tmp_path: Path) -> None:
    """Both then compute alike."""
    kept = Kept(tmp_path, {})

    def slow() -> Choice:
        kept.recall("linear", Choice, lambda: Choice("first", {}))
        return Choice("second", {})

    assert kept.recall("linear", Choice, slow).chosen == "first"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("text", ["", "{}", '{"answer": 3}', '{"answer": {"chosen": 1}}'])
def test_a_damaged_file_is_measured_anew(tmp_path: Path, text: str) -> None:
    """Not the end of a role's start."""
    kept = Kept(tmp_path, {})
    kept.recall("linear", Choice, lambda: Choice("x", {}))
    [path] = tmp_path.glob("*.json")
    path.write_text(text)
    assert kept.recall("linear", Choice, lambda: Choice("y", {})).chosen == "y"
    assert kept.recall("linear", Choice, lambda: Choice("z", {})).chosen == "y"


def test_where_nothing_can_be_kept_nothing_lasts(tmp_path: Path) -> None:
    """No folder, or one that is a file: callers then take the usual way instead of measuring."""
    (tmp_path / "file").write_text("")
    for folder in (None, tmp_path / "file"):
        kept = Kept(folder, {})
        assert not kept.lasting
        assert kept.recall("linear", Choice, lambda: Choice("x", {})).chosen == "x"


def test_the_processor_has_a_name() -> None:
    """Whatever the system calls it."""
    assert processor()


def test_what_is_kept_for_a_network_can_be_written(tmp_path: Path) -> None:
    """Torch's version is no plain string, and a file of a choice names it."""
    kept = kept_for(tmp_path, "sha256:weights")
    assert kept.recall("part", Choice, lambda: Choice("four", {})) == Choice("four", {})
    [file] = tmp_path.iterdir()
    assert "sha256:weights" in file.read_text()
