"""Topics on the broker: create what is missing, report what differs, list what is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from index_sync.retention import DELETE_RETENTION_SECONDS
from infra.settings import Settings
from processors.errors import Fatal
from streams.contract.topics import DEAD_LETTERS, HOUR_MS, TOPICS, UPLOADS, TopicSpec
from streams.kafka.consumer import open_consumer
from streams.kafka.names import Names, names_of
from streams.kafka.options import client_options, no_broker, patient, prepare
from streams.kafka.producer import MAX_RECORD_BYTES, classify_kafka


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `create_topics` found or did. `differences` are sentences; empty: as wanted. `there`: its name on the cluster."""

    name: str
    created: bool
    differences: tuple[str, ...] = ()
    there: str = ""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Offsets low (first kept) and high (next to be written); `high - low` bounds the messages kept."""

    partition: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it. `there`: its name on the cluster."""

    name: str
    partitions: tuple[PartitionState, ...]
    configs: dict[str, str] = field(default_factory=dict)
    there: str = ""

    @property
    def messages(self) -> int:
        """Offsets kept: an upper bound of the messages where compaction has left holes."""
        return sum(partition.high - partition.low for partition in self.partitions)


DELETES_KEPT_MS = round(DELETE_RETENTION_SECONDS * 1000)
"""Of compacted topics: a snapshot of the index that is younger has missed no delete."""


_COORDINATOR_S, _COORDINATOR_PAUSE_S = 20.0, 0.1
_LOADING = frozenset({14, 15, 16})
"""Error codes of a group whose coordinator is still loading, not there yet, or another broker by now."""
T = TypeVar("T")
COMPACTION_LAG = "max.compaction.lag.ms"
COMPACTED_AFTER_MS = 7 * 24 * HOUR_MS
"""Of topics that Weft makes. What a topic of before has is as good for everything else, and no difference to be told."""


def wanted_configs(spec: TopicSpec, settings: Settings) -> dict[str, str]:
    """The configuration a topic must have: chosen, where the broker's defaults would lose or keep what they should not."""
    configs = {"cleanup.policy": spec.cleanup, "max.message.bytes": str(MAX_RECORD_BYTES)}
    kept_days = {UPLOADS: settings.uploads_retention_days, DEAD_LETTERS: settings.dead_letters_retention_days}
    if spec.name in kept_days:
        # A default Kafka deletes both after seven days, read or not.
        days = kept_days[spec.name]
        configs["retention.ms"] = str(-1 if days < 0 else round(days * 24 * HOUR_MS))
        configs["retention.bytes"] = "-1"
    elif spec.retention_ms is not None:
        configs["retention.ms"] = str(spec.retention_ms)
    if spec.cleanup == "compact":
        configs["delete.retention.ms"] = str(DELETES_KEPT_MS)
        # By default a record that was replaced or deleted stays until some compaction, and nobody can say when that is.
        configs[COMPACTION_LAG] = str(COMPACTED_AFTER_MS)
    if settings.kafka_min_insync_replicas > 0:
        configs["min.insync.replicas"] = str(settings.kafka_min_insync_replicas)
    if spec.name == DEAD_LETTERS:
        # The original bytes and our headers on top: a message just below the limit must still fit.
        configs["max.message.bytes"] = str(MAX_RECORD_BYTES + 2**16)
    return configs


async def create_topics(
    settings: Settings, specs: Iterable[TopicSpec] = TOPICS, *, timeout_s: float = 30.0
) -> list[TopicReport]:
    """Create the topics that are missing. What exists is never changed: how it differs is reported.

    Raises:
        Fatal: the broker refuses to create a topic.
    """
    specs = tuple(specs)
    names = names_of(settings)
    async with _admin(settings) as admin:
        existing = await _shapes_of(admin, names, [spec.name for spec in specs])
        missing = [spec for spec in specs if spec.name not in existing]
        for spec in missing:
            await _create(admin, names.topic(spec.name), spec, settings, timeout_s)
        await _visible(admin, names, [spec.name for spec in missing], timeout_s)
        # Of new ones too: a broker may have rules of its own.
        there = await _shapes_of(admin, names, [spec.name for spec in specs])
        known = [spec for spec in specs if spec.name in there]
        differences = await _all_differences(admin, names, settings, known, there)
    return [
        TopicReport(spec.name, spec in missing, differences.get(spec.name, ()), names.topic(spec.name))
        for spec in specs
    ]


async def topic_differences(settings: Settings, specs: Iterable[TopicSpec] = TOPICS) -> dict[str, tuple[str, ...]]:
    """How the topics that exist differ from what is wanted, in sentences; topics that are as wanted are absent."""
    names = names_of(settings)
    async with _admin(settings) as admin:
        existing = await _shapes_of(admin, names, [spec.name for spec in specs])
        there = [spec for spec in specs if spec.name in existing]
        found = await _all_differences(admin, names, settings, there, existing)
    return {name: sentences for name, sentences in found.items() if sentences}


async def list_topics(settings: Settings, only: Iterable[str] | None = None) -> list[TopicState]:
    """The topics of EVENTS.md (or `only`) that exist, with their watermarks; in the order asked for."""
    wanted = [spec.name for spec in TOPICS] if only is None else list(only)
    names = names_of(settings)
    async with _admin(settings) as admin:
        existing = await _shapes_of(admin, names, wanted)
        configs = await _configs_of(admin, names, list(existing))
    states: list[TopicState] = []
    async with open_consumer(settings) as consumer:
        for name in wanted:
            if name in existing:
                marks = await consumer.watermarks(name)
                partitions = tuple(PartitionState(number, low, high) for number, (low, high) in sorted(marks.items()))
                states.append(TopicState(name, partitions, configs.get(name, {}), names.topic(name)))
    return states


async def group_offsets(settings: Settings, group: str) -> dict[tuple[str, int], tuple[int, str]]:
    """What a group has committed: offset and note, by topic and partition. Waits for its coordinator, as `group_members` does."""
    from aiokafka.protocol.commit import OffsetFetchRequest

    names = names_of(settings)
    there = names.group(group)

    async def ask(admin: Any) -> Any:
        # Not `list_consumer_group_offsets`: of a coordinator that is still loading it says that nothing was ever committed.
        answer = await admin._send_request(OffsetFetchRequest(there, None), await admin.find_coordinator(there))  # noqa: SLF001
        _raise_for(there, answer.error_code, *(found[-1] for _, partitions in answer.topics for found in partitions))
        return answer.topics

    async with _admin(settings) as admin:
        found = await _once_coordinated(lambda: ask(admin))
    return {
        (names.name_of(topic), partition): (offset, note or "")
        for topic, partitions in found
        for partition, offset, note, _ in partitions
        if offset >= 0
    }


async def group_members(settings: Settings, group: str) -> int:
    """How many members a group has now.

    Waits some seconds for its coordinator: there is none for a moment when the first group of a cluster is asked for, and
    after a broker started.
    """
    there = names_of(settings).group(group)

    async def ask(admin: Any) -> int:
        [answer] = await admin.describe_consumer_groups([there])
        [(code, *_, members)] = (found[:6] for found in answer.groups)
        _raise_for(there, code if code in _LOADING else 0)
        return len(members)

    async with _admin(settings) as admin:
        return await _once_coordinated(lambda: ask(admin))


def _raise_for(group: str, *codes: int) -> None:
    from aiokafka.errors import for_code

    for code in codes:
        if code:
            raise for_code(code)(f"group {group}")


async def _once_coordinated(ask: Callable[[], Awaitable[T]]) -> T:
    from aiokafka.errors import KafkaError

    loop = asyncio.get_running_loop()
    until = loop.time() + _COORDINATOR_S
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if getattr(error, "errno", None) not in _LOADING or loop.time() > until:
                raise
            await asyncio.sleep(_COORDINATOR_PAUSE_S)


async def delete_topic(settings: Settings, name: str) -> None:
    """Delete a topic; no error if there is none."""
    async with _admin(settings) as admin:
        await admin.delete_topics([names_of(settings).topic(name)])


# ---------------------------------------------------------------- inside


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of a topic that exists. `replicas`: of the partition that has the fewest."""

    partitions: int
    replicas: int


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[Any]:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    await prepare(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    patient(admin._client)  # noqa: SLF001
    try:
        try:
            await admin.start()
        except (KafkaError, OSError) as error:
            raise no_broker(settings, error) from error
        yield admin
    except KafkaError as error:
        raise classify_kafka(error, "io") from error
    finally:
        await admin.close()


_NOT_ALLOWED = frozenset({29, 31})


async def _create(admin: Any, there: str, spec: TopicSpec, settings: Settings, timeout_s: float) -> None:
    from aiokafka.admin import NewTopic

    topic = NewTopic(
        there,
        num_partitions=spec.partitions or settings.partitions,
        replication_factor=settings.kafka_replication_factor,
        # aiokafka takes -1 (the broker's default) only together with an assignment, of which an empty one means none.
        replica_assignments={} if settings.kafka_replication_factor == -1 else None,
        topic_configs=wanted_configs(spec, settings),
    )
    response = await admin.create_topics([topic], timeout_ms=int(timeout_s * 1000))
    for name, code, *details in response.topic_errors:
        # 36: another process was faster; what matters is that the topic is there.
        if code not in {0, 36}:
            said = f"error {code} {' '.join(str(detail) for detail in details)}".strip()
            if code in _NOT_ALLOWED:
                said += "; grant Create on it, or have its operator make it (docs/clusters.md)"
            raise Fatal(f"the broker does not create {name}: {said}")


async def _visible(admin: Any, names: Names, wanted: list[str], timeout_s: float) -> None:
    """Wait until the broker's metadata shows the new topics; until then a consumer would be assigned nothing."""
    async with asyncio.timeout(timeout_s):
        while len(await _shapes_of(admin, names, wanted)) < len(wanted):  # noqa: ASYNC110  (the broker tells nobody)
            await asyncio.sleep(0.05)


async def _shapes_of(admin: Any, names: Names, wanted: list[str]) -> dict[str, _Shape]:
    """Partitions and replicas of those of `wanted` that exist. Asks for all topics: asking for one by name may create it."""
    existing = set(await admin.list_topics())
    asked = [there for there in map(names.topic, wanted) if there in existing]
    described = await admin.describe_topics(asked) if asked else []
    return {
        names.name_of(topic["topic"]): _Shape(
            len(topic["partitions"]), min((len(part["replicas"]) for part in topic["partitions"]), default=0)
        )
        for topic in described
        if not topic["error_code"]
    }


async def _all_differences(
    admin: Any, names: Names, settings: Settings, specs: list[TopicSpec], shapes: dict[str, _Shape]
) -> dict[str, tuple[str, ...]]:
    configs = await _configs_of(admin, names, [spec.name for spec in specs])
    return {spec.name: _differences(spec, settings, shapes[spec.name], configs.get(spec.name, {})) for spec in specs}


async def _configs_of(admin: Any, names: Names, wanted: list[str]) -> dict[str, dict[str, str]]:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    if not wanted:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, names.topic(name)) for name in wanted]
    responses = await admin.describe_configs(asked)
    return {
        names.name_of(name): {entry[0]: entry[1] for entry in entries}
        for response in responses
        for (_code, _message, _kind, name, entries) in response.resources
    }


def _differences(spec: TopicSpec, settings: Settings, shape: _Shape, configs: dict[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    wanted = spec.partitions or settings.partitions
    if shape.partitions != wanted:
        found.append(f"has {shape.partitions} partitions instead of {wanted}")
    if settings.kafka_replication_factor not in {-1, shape.replicas}:
        found.append(f"has {shape.replicas} replicas instead of {settings.kafka_replication_factor}")
    for name, value in wanted_configs(spec, settings).items():
        actual = configs.get(name)
        if actual is None or actual == value or name == COMPACTION_LAG:
            continue
        if name in {"max.message.bytes", "delete.retention.ms"} and actual.isdigit() and int(actual) > int(value):
            continue
        found.append(f"{name} is {actual} instead of {value}")
    # The topic's own, or the broker's default: every write would be refused, and tried again for ever.
    least = configs.get("min.insync.replicas") or ""
    if least.isdigit() and int(least) > shape.replicas:
        found.append(f"min.insync.replicas is {least} with {shape.replicas} replicas: nothing can be written")
    return tuple(found)
