"""What the account may do on the cluster: asked of the broker (KIP-430), nothing is written or read to find out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from infra.settings import Settings
from streams.contract import topics
from streams.kafka.names import GROUPS, names_of
from streams.kafka.options import client_options, patient, prepare, servers

_NO_TOPIC_RIGHT, _NO_GROUP_RIGHT = 29, 30
_BITS = {"Read": 1 << 3, "Write": 1 << 4}
_NOT_TOLD = -(2**31)
_REQUEST_MS = 10_000
_ATTEMPTS, _PAUSE_S = 10, 0.5


@dataclass(frozen=True, slots=True)
class Missing:
    """One right that a role needs and the account does not have. `name`: on the cluster."""

    kind: Literal["topic", "group"]
    name: str
    operation: Literal["Read", "Write"]

    def grant(self, bootstrap: str, principal: str) -> str:
        """The command of Kafka's own tools that grants it."""
        return (
            f"kafka-acls --bootstrap-server {bootstrap} --add --allow-principal User:{principal}"
            f" --operation {self.operation} --{self.kind} {self.name}"
        )


@dataclass(frozen=True, slots=True)
class Rights:
    """What the account lacks of what the roles need; `hidden`: topics it may not even see, there or not."""

    missing: tuple[Missing, ...]
    hidden: frozenset[str]


async def rights_of(settings: Settings) -> Rights | None:
    """Ask the broker; None when it cannot tell (before Kafka 2.3).

    Raises:
        KafkaError, OSError: the broker cannot be asked.
    """
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import IncompatibleBrokerVersion

    names = names_of(settings)
    await prepare(settings)
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=_REQUEST_MS)
    patient(admin._client)  # noqa: SLF001
    try:
        await admin.start()
        found = await _topics(admin, {names.topic(spec.name): _needed(spec) for spec in topics.TOPICS})
        groups = await _groups(admin, [names.group(group) for group in GROUPS])
    except IncompatibleBrokerVersion:
        return None
    finally:
        await admin.close()
    return Rights((*found.missing, *groups), found.hidden)


def _needed(spec: topics.TopicSpec) -> list[Literal["Read", "Write"]]:
    roles = set(topics.ROLES)
    found: list[Literal["Read", "Write"]] = []
    if roles & set(spec.read_by):
        found.append("Read")
    if roles & set(spec.written_by):
        found.append("Write")
    return found


async def _topics(admin: Any, needed: dict[str, list[Literal["Read", "Write"]]]) -> Rights:
    from streams.kafka.rights_requests import metadata_request

    response = await admin._send_request(metadata_request(list(needed)))  # noqa: SLF001
    missing: list[Missing] = []
    hidden = {name for code, name, *_ in response.topics if code == _NO_TOPIC_RIGHT}
    for code, name, _internal, _partitions, operations in response.topics:
        if code not in {0, _NO_TOPIC_RIGHT} or (code == 0 and operations == _NOT_TOLD):
            continue  # a topic that is not there yet has no rights of its own
        allowed = 0 if code else operations
        missing += [Missing("topic", name, right) for right in needed[name] if not allowed & _BITS[right]]
    return Rights(tuple(missing), frozenset(hidden))


async def _groups(admin: Any, groups: Iterable[str]) -> list[Missing]:
    from aiokafka.errors import GroupAuthorizationFailedError

    from streams.kafka.rights_requests import group_request

    missing: list[Missing] = []
    for group in groups:
        try:
            node = await _coordinator(admin, group)
        except GroupAuthorizationFailedError:
            missing.append(Missing("group", group, "Read"))
            continue
        response = await admin._send_request(group_request(group), node)  # noqa: SLF001
        for code, _name, _state, _type, _protocol, _members, operations in response.groups:
            refused = code == _NO_GROUP_RIGHT or (
                code == 0 and operations != _NOT_TOLD and not operations & _BITS["Read"]
            )
            if refused:
                missing.append(Missing("group", group, "Read"))
    return missing


async def _coordinator(admin: Any, group: str) -> int:
    """The broker that keeps the group. A cluster that never had a group makes its topic of offsets first."""
    from aiokafka.errors import GroupCoordinatorNotAvailableError

    for _ in range(_ATTEMPTS):
        with suppress(GroupCoordinatorNotAvailableError):
            return int(await admin.find_coordinator(group))
        await asyncio.sleep(_PAUSE_S)
    return int(await admin.find_coordinator(group))


async def refusal(settings: Settings) -> str:
    """Why no broker lets us in: what each says to a connection of its own; aiokafka's clients only say that none does."""
    from aiokafka.conn import create_conn
    from aiokafka.errors import KafkaError

    options = client_options(settings)
    del options["bootstrap_servers"]
    said: dict[str, None] = {}
    for server in servers(settings):
        host, _, port = server.rpartition(":")
        try:
            conn = await create_conn(host.strip("[]"), int(port), request_timeout_ms=_REQUEST_MS, **options)
        except (KafkaError, OSError, ValueError) as error:
            said[f"{server}: {type(error).__name__}: {error}".rstrip(": ")] = None
        else:
            with suppress(Exception):
                conn.close()
    return "; ".join(said)
