"""What is planned for the segments of a shard."""

from __future__ import annotations

from index_sync.planning import Build, Limits, Merge, SegmentStats, plan

LIMITS = Limits(merge_rows=1000, index_rows=400)


def _of(*segments: tuple[int, int]) -> list[SegmentStats]:
    return [SegmentStats(uid, rows, live) for uid, (rows, live) in enumerate(segments)]


def test_nothing_is_done_where_all_is_well() -> None:
    """No segment, a few small ones, and a large one that has its index."""
    assert plan([], LIMITS) is None
    assert plan(_of((100, 100), (100, 90)), LIMITS) is None
    assert plan([SegmentStats(0, 900, 900, settled=True)], LIMITS) is None


def test_segments_with_dead_rows_are_written_anew() -> None:
    """From a quarter on; together where they fit, the smallest first; one that is too large for that by itself."""
    assert plan(_of((100, 75), (100, 80), (200, 10)), LIMITS) == Merge((2, 0))
    assert plan(_of((2000, 1400), (900, 890)), LIMITS) == Merge((0,))


def test_small_segments_are_merged_as_long_as_they_fit() -> None:
    """Four of them, or two that fill a large one; what is large already stays."""
    assert plan(_of((100, 100), (110, 110), (120, 120), (130, 130)), LIMITS) == Merge((0, 1, 2, 3))
    assert plan(_of((450, 450), (400, 400)), LIMITS) == Merge((1, 0))
    assert plan(_of((450, 450), (200, 200), (600, 600)), Limits(1000, 0)) is None


def test_large_segments_get_an_index_after_everything_is_merged() -> None:
    """The largest first; none below the limit, and none where no index is wanted."""
    assert plan(_of((600, 600), (800, 790), (300, 300)), LIMITS) == Build(1)
    assert plan(_of((300, 300)), LIMITS) is None
    assert plan(_of((800, 790)), Limits(1000, 0)) is None


def test_a_large_shard_has_larger_segments() -> None:
    """About eight segments, however many rows there are: a search pays for each."""
    segments = _of(*[(1000, 1000)] * 40)
    steps = 0
    while (step := plan(segments, Limits(1000, 0))) is not None:
        assert isinstance(step, Merge)
        live = sum(one.live for one in segments if one.uid in step.uids)
        segments = [one for one in segments if one.uid not in step.uids]
        segments.append(SegmentStats(100 + steps, live, live))
        steps += 1
    assert len(segments) <= 12
    assert sum(one.live for one in segments) == 40_000
