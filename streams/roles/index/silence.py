"""Which owners of shards answer, and how far they are: what `search.hits` says to whoever stands by."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

MOST_KNOWN = 10_000
"""Questions of which the answers are remembered; the oldest give way."""


class _Also(msgspec.Struct, frozen=True):
    partition: int
    applied_offset: int


class _Heard(msgspec.Struct, frozen=True):
    """Of a record of `search.hits`, what is looked at here; nothing else of it is decoded."""

    query_id: str
    partition: int
    generation: str
    applied_offset: int
    others: tuple[_Also, ...] = ()
    standby: str = ""


_HEARD = msgspec.msgpack.Decoder(_Heard)


class Silence:
    """Listens to the answers of all workers.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answered: OrderedDict[str, set[int]] = OrderedDict()
        self._last: dict[int, float] = {}
        self._reached: dict[tuple[str, int], int] = {}
        self._silent: set[int] = set()

    def take(self, value: bytes | None) -> None:
        """A record of `search.hits`; what is none says nothing."""
        try:
            heard = _HEARD.decode(value or b"")
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return
        partitions = self._answered.setdefault(heard.query_id, set())
        self._answered.move_to_end(heard.query_id)
        while len(self._answered) > MOST_KNOWN:
            self._answered.popitem(last=False)
        for one in (_Also(heard.partition, heard.applied_offset), *heard.others):
            partitions.add(one.partition)
            if heard.standby:
                continue
            self._last[one.partition] = self._clock()
            self._silent.discard(one.partition)
            key = heard.generation, one.partition
            self._reached[key] = max(self._reached.get(key, 0), one.applied_offset)

    def answered(self, query_id: str, partition: int) -> bool:
        """Whether anybody has answered a question for a shard."""
        return partition in self._answered.get(query_id, ())

    def miss(self, partition: int, since: float) -> bool:
        """A question of the time `since` is not answered by the owner of a partition. Returns whether that is news: it was not
        silent before.

        Who answered another question meanwhile is slow, not silent.
        """
        if partition in self._silent or self._last.get(partition, 0.0) > since:
            return False
        self._silent.add(partition)
        return True

    def silent(self, partition: int) -> bool:
        """Whether the owner of a partition is known not to answer: then nobody need wait for it."""
        return partition in self._silent

    def reached(self, generation: str, partition: int) -> int:
        """How far the owner of a shard was in its latest answer: a standby's answer does not lie behind it."""
        return self._reached.get((generation, partition), 0)

    def forget(self, generation: str, partition: int) -> None:
        """The shard is another one now (its topic was created again)."""
        self._reached.pop((generation, partition), None)
