"""Sending records: the port `Sender`, the aiokafka producer behind it, and its in-memory twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.logs import logger
from infra.settings import Settings
from processors.errors import Code, Fatal, Poison, Retryable, WeftError
from streams.engine.backoff import Backoff
from streams.engine.failures import StageKind, classify
from streams.kafka.names import AS_THEY_ARE, Names, names_of
from streams.kafka.options import METADATA_MS, client_options, no_broker, patient, prepare

log = logger(__name__)

# Inline images are up to 1 MiB and grow by a third in base64; topics are created with the same limit (streams.ops.admin).
MAX_RECORD_BYTES = 4 * 2**20


class Sender(Protocol):
    """Hands a record to the broker. Awaiting `send` queues it in order; awaiting what it returns is its durability.

    `timestamp_ms`: of the record, milliseconds since the epoch; None: now.
    """

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Awaitable[object]: ...


class KafkaSender:
    """A `Sender` over a started `AIOKafkaProducer`. Takes topics by their names in EVENTS.md."""

    def __init__(self, producer: Any, names: Names = AS_THEY_ARE) -> None:
        self._producer = producer
        self._names = names

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Awaitable[object]:
        there = self._names.topic(topic)
        if partition is not None:
            await self._know(there, partition)
        delivery: Awaitable[object] = await self._producer.send(
            there,
            value=value,
            key=key,
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=list(headers),
        )
        return delivery

    async def _know(self, topic: str, partition: int) -> None:
        """A partition that was added a moment ago is no mistake: ask for it before the producer takes it for one."""
        if partition in await self._producer.partitions_for(topic):
            return
        await self._producer.client.force_metadata_update()
        if partition not in await self._producer.partitions_for(topic):
            raise Retryable(f"{topic} has no partition {partition} yet")


@asynccontextmanager
async def open_producer(
    settings: Settings, *, client: str = "tool", patience_s: float = 0.0, stop: asyncio.Event | None = None
) -> AsyncIterator[KafkaSender]:
    """A started producer: acks of all in-sync replicas, idempotent (retries neither reorder nor duplicate).

    aiokafka never gives up an idempotent batch, so that a broker that is away costs time and nothing else.

    Args:
        settings: where Kafka is.
        client: the role or roles that send, or "tool": part of the client id.
        patience_s: how long to wait for a broker that does not answer yet. A role that dies of it must load
            everything again, and meets the broker's next absence instead of its return.
        stop: ends the waiting.

    Raises:
        Retryable: no broker answers.
        Fatal: it refuses us.
    """
    names = names_of(settings)
    producer = await _started(settings, client, patience_s, stop or asyncio.Event())
    try:
        yield KafkaSender(producer, names)
    finally:
        await producer.stop()


async def _started(settings: Settings, client: str, patience_s: float, stop: asyncio.Event) -> Any:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaConnectionError, KafkaError

    attempt, backoff = 0, Backoff(maximum=2.0)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        producer: Any = None
        try:
            await prepare(settings)
            producer = AIOKafkaProducer(
                **client_options(settings, client),
                acks="all",
                enable_idempotence=True,
                metadata_max_age_ms=METADATA_MS,
                max_request_size=MAX_RECORD_BYTES,
                max_batch_size=2**18,
            )
            patient(producer.client)
            await producer.start()
        except (KafkaError, OSError, Retryable) as error:
            if producer is not None:
                await producer.stop()
            verdict = classify_kafka(error, "io")
            if not isinstance(verdict, Retryable) or stop.is_set() or loop.time() >= deadline:
                unreached = isinstance(error, KafkaConnectionError) and "bootstrap" in str(error)
                raise (no_broker(settings, error) if unreached else verdict) from error
            attempt += 1
            if attempt == 1:
                log.warning(
                    "no broker answers yet",
                    servers=settings.bootstrap_servers,
                    patience_s=patience_s,
                    cause=str(error),
                )
        except BaseException:
            if producer is not None:
                await producer.stop()  # or its connections are left to the garbage collector, which complains of them
            raise
        else:
            return producer
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), backoff.delay(attempt))


def classify_kafka(error: Exception, place: StageKind) -> WeftError:
    """`engine.failures.classify` that also knows Kafka: size and time are the record's fault, fenced is the end."""
    from aiokafka import errors

    if not isinstance(error, errors.KafkaError):
        return classify(error, place)
    too_large = (errors.MessageSizeTooLargeError, errors.RecordTooLargeError, errors.RecordListTooLargeError)
    # An offset that is not kept any more: the next start of a role finds out why (`streams.kafka.starts`).
    patience = (
        errors.OffsetOutOfRangeError,
        errors.KafkaTimeoutError,
        errors.KafkaConnectionError,
        errors.KafkaUnavailableError,
    )
    text = f"{type(error).__name__}: {error}"
    verdict: WeftError
    if isinstance(error, (*too_large, errors.InvalidTimestampError)):
        # A record keeps its own time when it is passed on; a topic may refuse such times: the next start would meet it too.
        verdict = Poison(text, code=Code.OUT_OF_RANGE)
    elif error.retriable or isinstance(error, patience):
        verdict = Retryable(text)
    else:
        # Fenced, not authorised, closed, out of sequence …: no record can be sent, and none of them is at fault.
        verdict = Fatal(f"{text}; {ASK_THE_DOCTOR}" if "AuthorizationFailed" in text else text)
    verdict.__cause__ = error
    return verdict


ASK_THE_DOCTOR = "`weft doctor` names the right that is missing and how to grant it"


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that `MemorySender` was given."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(slots=True)
class MemorySender:
    """The in-memory twin: keeps what it is sent. An exception put into `trouble` fails the next delivery."""

    sent: list[Sent] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Awaitable[object]:
        delivery: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.trouble:
            delivery.set_exception(self.trouble.pop(0))
            return delivery
        self.sent.append(Sent(topic, key, value, tuple(headers), partition, timestamp_ms))
        delivery.set_result(None)
        return delivery
