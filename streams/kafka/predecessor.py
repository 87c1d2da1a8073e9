"""A process that was killed leaves its name in its groups until its session ends; its successor takes it out at once.

Why not `group.instance.id` (static membership): aiokafka 0.14 sends it with the join and with nothing else. The broker
cannot fence a second process of the same name by its heartbeats and commits, so that the two would take the name from each
other for ever; and a member that comes back under its name is dealt its old partitions without being told that it leads
the group, so that partitions that were added meanwhile would be read by nobody. Here a member that lives, and is taken out
by mistake (two processes of one name), learns it with its next heartbeat and joins again, as after any rebalance: its
commits are refused meanwhile, and nothing is lost.
"""

from __future__ import annotations

from typing import Any

from infra.logs import logger
from infra.settings import Settings
from streams.kafka.names import client_id
from streams.kafka.options import client_options, patient, prepare

log = logger(__name__)

_CLASSIC = "consumer"
"""Protocol type of a group whose members can be taken out by their ids."""


async def take_out_predecessor(settings: Settings, group: str, client: str) -> int:
    """Take every member out of the group that goes by our own client id; nothing without `WEFT_INSTANCE`.

    Only speed is at stake: whatever goes wrong (no right to describe the group, a coordinator that is just being chosen) is
    said in the log, and the session of the dead one ends by itself.

    Args:
        settings: where Kafka is, and the name of this process.
        group: as it is called on the cluster.
        client: the role that joins: part of the client id.

    Returns:
        How many members were taken out.
    """
    if not settings.instance_name:
        return 0
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    await prepare(settings)
    connection = AIOKafkaClient(**client_options(settings, client))
    patient(connection)
    try:
        await connection.bootstrap()
        return await _take_out(connection, group, client_id(client, settings.instance_name))
    except (KafkaError, OSError) as error:
        log.warning("group.predecessor_stays", group=group, cause=f"{type(error).__name__}: {error}")
        return 0
    finally:
        await connection.close()


async def _take_out(connection: Any, group: str, name: str) -> int:
    from aiokafka.errors import for_code
    from aiokafka.protocol.admin import DescribeGroupsRequest
    from aiokafka.protocol.coordination import FindCoordinatorRequest
    from aiokafka.protocol.group import LeaveGroupRequest

    found = await connection.send(connection.get_random_node(), FindCoordinatorRequest(group, 0))
    if found.error_code:
        raise for_code(found.error_code)(group)
    described = await connection.send(found.coordinator_id, DescribeGroupsRequest([group]))
    code, _, _, kind, _, members = described.groups[0][:6]
    if code:
        raise for_code(code)(group)
    taken = 0
    for member_id, client in (member[:2] for member in members):
        if kind == _CLASSIC and client == name:
            answer = await connection.send(found.coordinator_id, LeaveGroupRequest(group, member_id))
            taken += not answer.error_code
            log.info("group.predecessor_taken_out", group=group, member=member_id, error=answer.error_code)
    return taken
