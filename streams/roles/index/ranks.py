"""For which shards a worker stands by: every worker finds the same by itself, from who is in the group."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b


def stood_by(
    partitions: Iterable[int], owners: Mapping[int, str], members: Collection[str], me: str, standbys: int
) -> dict[int, int]:
    """Partition → rank of `me` among those that stand by for it (0: the first to answer); without those it does not stand by for.

    A member that comes or goes moves only the partitions that it had or has a part in: others keep what they hold in memory.

    Args:
        partitions: of the topic.
        owners: partition → who answers for it, where somebody does.
        members: of the group, owners too.
        me: one of them.
        standbys: how many stand by for each partition.
    """
    found: dict[int, int] = {}
    for partition in partitions:
        others = [member for member in members if member != owners.get(partition)]
        first = sorted(others, key=lambda member: _weight(member, partition))[:standbys]
        if me in first:
            found[partition] = first.index(me)
    return found


def _weight(member: str, partition: int) -> bytes:
    return blake2b(f"{partition}/{member}".encode(), digest_size=8).digest()
