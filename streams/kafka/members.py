"""Who is in a consumer group, and which partitions each member has: as the group's coordinator says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Members:
    """A group that is not being dealt anew. `me`: the id of who asked; `owners`: partition of one topic → member id."""

    me: str
    ids: frozenset[str]
    owners: Mapping[int, str]


async def members_of(consumer: Any, topic: str) -> Members | None:
    """The members of a consumer's own group; None while the group is dealt anew, or the consumer is not in it.

    Args:
        consumer: a started `AIOKafkaConsumer` with a group.
        topic: as it is called on the cluster.

    Raises:
        aiokafka's errors, when the broker is away or does not tell us.
    """
    from aiokafka.coordinator.protocol import ConsumerProtocol
    from aiokafka.errors import for_code
    from aiokafka.protocol.admin import DescribeGroupsRequest

    coordinator = consumer._coordinator  # noqa: SLF001
    node, me = coordinator.coordinator_id, coordinator.member_id
    if node is None or not me:
        return None
    answer = await consumer._client.send(node, DescribeGroupsRequest([coordinator.group_id]))  # noqa: SLF001
    code, _, state, _, _, members = answer.groups[0][:6]
    if code:
        raise for_code(code)(coordinator.group_id)
    if state != "Stable":
        return None
    owners: dict[int, str] = {}
    for member_id, _, _, _, assignment in (member[:5] for member in members):
        for place in ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions() if assignment else ():
            if place.topic == topic:
                owners[place.partition] = member_id
    ids = frozenset(member[0] for member in members)
    return Members(me, ids, owners) if me in ids else None
