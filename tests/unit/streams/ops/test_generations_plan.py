"""Replays: where they begin and end, how fast they may go, who may do them; and how neighbours are compared."""

from __future__ import annotations

import os
import socket

import msgspec
import psutil
import pytest

from infra.memory_store import MemoryStore
from infra.store import NotFound
from processors.errors import BadSetting, Fatal, Retryable
from streams.contract.records import Generation
from streams.ops.generations import lease
from streams.ops.generations.diff import overlap, rank_correlation
from streams.ops.generations.plan import begins_of, ends_of, moment, ranges_of
from streams.ops.generations.rebuild import Pace
from streams.ops.generations.replay import check_begun
from streams.search.generations import Generations, key_of


class Topic:
    """Two partitions: the first keeps offsets 10 to 20, the second is empty."""

    async def watermarks(self, _topic: str) -> dict[int, tuple[int, int]]:
        return {0: (10, 20), 1: (0, 0)}

    async def first_since(self, place: tuple[str, int], timestamp_ms: int) -> int | None:
        return 15 if place[1] == 0 and timestamp_ms <= 1_767_225_600_000 else None

    async def first_time(self, place: tuple[str, int]) -> int | None:
        return 1_767_225_600_000 if place[1] == 0 else None


@pytest.mark.parametrize(
    ("begin", "stop", "wanted", "gone"),
    [
        ("earliest", "end", (10, 20), 0),
        ("0", "end", (10, 20), 10),
        ("12", "18", (12, 18), 0),
        ("5", "8", (10, 10), 3),
        ("30", "end", (20, 20), 0),
        ("2026-01-01T00:00:00Z", "end", (15, 20), 0),
        ("2026-01-01", "2026-02-01", (15, 20), 0),
        ("2026-02-01", "end", (20, 20), 0),
    ],
)
async def test_a_range_is_what_is_kept_of_what_was_asked_for(
    begin: str, stop: str, wanted: tuple[int, int], gone: int
) -> None:
    """And how much of it is gone is counted, with the time since when the topic is kept."""
    ranges, missing, since = await ranges_of(Topic(), "t", moment(begin, "--from"), moment(stop, "--to"))  # type: ignore[arg-type]
    assert [(one.begin, one.stop) for one in ranges] == [wanted, (0, 0)]
    assert missing == gone
    assert since == "2026-01-01T00:00:00.000Z"


async def test_a_generation_is_bound_only_where_it_was_asked_to_be() -> None:
    """From the beginning to the end: it follows its topic; else its ends are written down."""
    everything = moment("0", "--from"), moment("end", "--to")
    some = moment("12", "--from"), moment("18", "--to")
    for (begin, stop), begins, ends in (
        (everything, {}, {}),
        (some, {"0": 12, "1": 0}, {"0": 18, "1": 0}),
    ):
        ranges, _, _ = await ranges_of(Topic(), "t", begin, stop)  # type: ignore[arg-type]
        assert (begins_of(ranges, begin), ends_of(ranges, stop)) == (begins, ends)


@pytest.mark.parametrize(
    ("text", "option"), [("end", "--from"), ("earliest", "--to"), ("yesterday", "--from"), ("-1", "--to")]
)
def test_a_moment_that_is_none_is_refused_by_its_option(text: str, option: str) -> None:
    """The sentence names the option and what may stand there."""
    with pytest.raises(BadSetting, match=f"{option} {text}"):
        moment(text, option)


async def test_a_pace_holds_back_and_tells_how_long_the_rest_takes() -> None:
    """What an earlier run did counts as done, and not into the rate."""
    told: list[str] = []
    now = [0.0]
    pace = Pace(100, 0.0, told.append, clock=lambda: now[0])
    pace.skip(50)
    now[0] = 5.0
    await pace.add(10)
    assert told == ["60 of 100 records (60%), 2 a second, 20 s left"]


async def test_the_second_replay_of_a_generation_is_refused() -> None:
    """While the first one holds it; afterwards, and for another generation, it is not."""
    store = MemoryStore("test")
    async with lease.held(store, "g-bar"):
        with pytest.raises(Retryable, match=f"process {os.getpid()} on .* is replaying into g-bar"):
            async with lease.held(store, "g-bar"):
                pass
        async with lease.held(store, "g-else"):
            pass
    with pytest.raises(NotFound):
        store.get(lease.key_of("g-bar"))
    async with lease.held(store, "g-bar"):
        pass


async def test_a_replay_that_was_killed_is_gone_on_with_at_once() -> None:
    """Its process is not there any more, or is another one under the same number."""
    store = MemoryStore("test")
    for pid, started in ((2**22 + 1, 1.0), (os.getpid(), psutil.Process().create_time() - 1000)):
        dead = lease.Holder("dead", socket.gethostname(), pid, started)
        store.put(lease.key_of("g-bar"), msgspec.json.encode(dead))
        async with lease.held(store, "g-bar"):
            assert msgspec.json.decode(store.get(lease.key_of("g-bar")), type=lease.Holder).pid == os.getpid()


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (None, "g-bar was dropped while it was being built"),
        (b"{}", "another process has taken the replay into g-bar over"),
    ],
)
async def test_a_replay_whose_lease_is_gone_says_who_took_it(
    left: bytes | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drop takes it with the generation's other objects; nobody took the replay over then."""
    monkeypatch.setattr(lease, "BEAT_S", 0.0)
    store = MemoryStore("test")
    async with lease.held(store, "g-bar") as renewing:
        store.delete(lease.key_of("g-bar"))
        if left is not None:
            store.put(lease.key_of("g-bar"), left)
        with pytest.raises(Fatal, match=told):
            await renewing


def test_a_generation_that_was_dropped_while_it_was_built_does_not_rise() -> None:
    """Its snapshots are gone: what says that it is ready would have every worker hold nothing under its name."""
    made = Generation(key_of("g-bar"), "g-bar", "building", asked="all of it", at="2026-01-01T00:00:00.000Z")
    check_begun(Generations(made={"g-bar": made}), made)
    check_begun(Generations(made={"g-bar": made}), msgspec.structs.replace(made, lost=3, encoder="sha256:e"))
    dropped = msgspec.structs.replace(made, state="retired")
    anew = msgspec.structs.replace(made, at="2026-01-02T00:00:00.000Z")
    other = msgspec.structs.replace(made, asked="half of it")
    for known in ({}, {"g-bar": dropped}, {"g-bar": anew}, {"g-bar": other}):
        with pytest.raises(BadSetting, match="g-bar was dropped while it was being built"):
            check_begun(Generations(made=known), made)


def test_neighbours_are_compared_by_share_and_by_order() -> None:
    """Spearman's over what both find."""
    assert overlap(["a", "b"], ["b", "c"]) == 0.5
    assert overlap([], []) == 1.0
    assert rank_correlation(["a", "b", "c"], ["a", "b", "c"]) == 1.0
    assert rank_correlation(["a", "b", "c"], ["c", "x", "b", "a"]) == -1.0
    assert rank_correlation(["a", "b"], ["a", "x"]) is None
