"""Patience ends when nothing moves, and is not used up while nobody could look."""

from __future__ import annotations

from tests.chaos.patience import Patience
from tests.fakes.clock import FakeClock


def test_patience_ends_without_progress_and_begins_anew_with_it() -> None:
    """Looks of one second: over after more than ten of them, counted from the last progress."""
    clock = FakeClock()
    patience = Patience(10, clock)
    for _ in range(10):
        clock.advance(1)
        assert not patience.over
    patience.progress()
    for _ in range(10):
        clock.advance(1)
        assert not patience.over
    clock.advance(1)
    assert patience.over


def test_a_machine_that_stood_still_uses_up_one_look() -> None:
    """The harness and the stack were stopped together for minutes: nothing hung."""
    clock = FakeClock()
    patience = Patience(10, clock)
    clock.advance(600)
    assert not patience.over
    clock.advance(600)
    assert not patience.over
    clock.advance(600)
    assert patience.over
