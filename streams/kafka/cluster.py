"""What aiokafka does not ask a broker: the ids of topics, and ends without regard to transactions.

A topic that was deleted and created again has the same name and the same offsets, and other records. Its id tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_LATEST = -1
_LEADERLESS = 5
_UNKNOWN = 3
_HIDDEN = 29
_UNCOMMITTED = 0
_NONE = UUID(int=0)


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _Answer(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Asked(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_Asked]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_Asked]) -> _Asked:
        return request_struct_class([(_NONE, topic, {}) for topic in self._topics], False, False, {})


async def topic_ids(client: Any, topics: Iterable[str]) -> dict[str, str]:
    """The ids of topics, as hex; without those that have none: the broker is older than Kafka 2.8.

    A topic that the broker does not know is no topic without an id: a broker that has just come back does not know its
    topics yet, and who took it for one without would take its next answer for another topic.

    Args:
        client: a started `AIOKafkaClient`.
        topics: their names.

    Raises:
        aiokafka's errors, when the broker is away, or does not know (or show) one of the topics.
    """
    found = await _described(client, topics)
    for code, name, *_ in found:
        if code and code != _LEADERLESS:
            raise for_code(code)(name)
    return {name: topic_id.hex for _, name, topic_id, *_ in found if topic_id != _NONE}


async def topics_missing(client: Any, topics: Iterable[str]) -> set[str]:
    """Those of the topics that there are not, as far as the broker says (older than Kafka 2.8: it does not).

    Args:
        client: a started `AIOKafkaClient`.
        topics: their names.

    Raises:
        aiokafka's errors, when the broker is away.
    """
    return {name for code, name, *_ in await _described(client, topics) if code == _UNKNOWN}


async def topics_hidden(client: Any, topics: Iterable[str]) -> set[str]:
    """Those of the topics that the broker does not show this account, there or not. Raises as `topics_missing`."""
    return {name for code, name, *_ in await _described(client, topics) if code == _HIDDEN}


async def _described(client: Any, topics: Iterable[str]) -> list[Any]:
    """The broker's answer of each topic; nothing of a broker that knows no such question."""
    node = client.get_random_node()
    if node is None:
        raise for_code(_LEADERLESS)("no broker is known yet")
    try:
        return list((await client.send(node, _TopicIds(topics))).topics)
    except NotImplementedError:
        return []


async def high_watermarks(client: Any, places: Iterable[Any]) -> dict[Any, int]:
    """The next offset to be written of each partition, transactions that are still open included.

    Args:
        client: a started `AIOKafkaClient` that knows the topics.
        places: aiokafka's `TopicPartition`s.

    Raises:
        aiokafka's errors, when the broker is away.
    """
    asked: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for place in places:
        leader = client.cluster.leader_for_partition(place)
        if leader is None or leader < 0:
            client.force_metadata_update()
            raise for_code(_LEADERLESS)(f"no leader is known of {place.topic}-{place.partition}")
        asked[leader][place.topic].append(place)
    found: dict[Any, int] = {}
    for node, by_topic in asked.items():
        wanted = [(topic, [(p.partition, _LATEST) for p in of_topic]) for topic, of_topic in by_topic.items()]
        answer = await client.send(node, OffsetRequest(-1, _UNCOMMITTED, wanted))
        for topic, partitions in answer.topics:
            for partition, code, _, offset in partitions:
                if code:
                    raise for_code(code)(f"{topic}-{partition}")
                found[next(p for p in by_topic[topic] if p.partition == partition)] = offset
    return found
