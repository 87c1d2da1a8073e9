"""Which partitions a worker mends: those that it holds, as its group deals them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streams.wiring.mending import Held


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def begin(self, starts: Mapping[tuple[str, int], int]) -> None:
        self.said.append(dict(starts))

    def revoked(self, places: Iterable[tuple[str, int]]) -> None:
        self.said.append(list(places))


def test_partitions_come_and_go_and_others_are_told() -> None:
    """A deal names those that stay as well; another topic's reading begins with none."""
    held, other = Held(), Told()
    held.before(other)
    held.begin({("catalog.items", 0): 5, ("catalog.items", 2): 0})
    held.begin({("catalog.items", 0): 7, ("catalog.items", 3): 0})
    assert held.partitions == {0, 2, 3}
    held.revoked(iter([("catalog.items", 0), ("catalog.items", 9)]))
    assert held.partitions == {2, 3}
    assert other.said[-1] == [("catalog.items", 0), ("catalog.items", 9)]
    assert len(other.said) == 3
    assert held.before(Told()).partitions == set()
