"""A role on Faust: `consume` feeds a pipeline from a consumer group and commits only what the pipeline acknowledged.

Faust does what it is good at: membership, assignment, heartbeats, fetching, committing. Its stream iteration, which
acknowledges what it should not, is not used, nor are its channels, through which every record would go by itself: the reader takes
what was fetched together, tracks it, and acknowledges each record when its pipeline says so, strictly in order per partition.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from infra.logs import logger
from infra.settings import Settings
from processors.errors import Fatal, Retryable
from streams.engine.observer import NullObserver, Observer
from streams.engine.pipeline import Pipeline
from streams.kafka.consumer import coordination_error
from streams.kafka.faust.reader import GroupReader, Watcher
from streams.kafka.faust.reports import LAG_SECONDS, TopicsRead, tell_lag, teller
from streams.kafka.names import client_id, names_of
from streams.kafka.options import METADATA_MS, patient, servers, ssl_context, uses_tokens
from streams.kafka.predecessor import take_out_predecessor
from streams.kafka.producer import classify_kafka
from streams.kafka.starts import Told

log = logger(__name__)

_COMMIT_SECONDS = 0.5
_SESSION_SECONDS = 10.0
_REBALANCE_SECONDS = 60.0
_STOP_SECONDS = 15.0
_GROUP_LOOK_SECONDS = 1.0


async def consume(
    topics: Sequence[str],
    group: str,
    pipeline: Pipeline[Any],
    *,
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    observer: Observer | None = None,
    lag_s: float = LAG_SECONDS,
    revoke_s: float = 30.0,
    drain_s: float = 20.0,
    told: Told | None = None,
    watcher: Watcher | None = None,
    pace_s: float = 0.0,
) -> None:
    """Run a role: from the committed offsets on, until `stop` is set; then drain, commit and leave the group.

    Cancelling it aborts: what is not acknowledged yet is delivered again.

    Args:
        topics: to read, from their beginning where the group has committed nothing; as EVENTS.md names them.
        group: the consumer group, before the prefix that the settings may put before it.
        pipeline: not running yet; ended when this returns.
        settings: where Kafka is.
        stop: set it to stop.
        ready: set when the group has been joined.
        observer: told how far behind the group is, and how old events are when they are done.
        lag_s: how often it is told how far.
        revoke_s: how long a rebalance waits for messages in flight before they are given up to the next owner of
            their partition; well under the minute after which the broker expels a member.
        drain_s: how long a stop waits for messages in flight; the rest is delivered again.
        told: of records that were deleted unread, and of topics that were created again (see `streams.kafka.starts`).
        watcher: told of the partitions that are held.
        pace_s: see `streams.kafka.pace`; 0: each record is fetched as soon as it comes.

    Raises:
        Fatal, or what ended the pipeline: the process must end; Kafka delivers again to the next one.
        Retryable: the broker cannot be reached at the start, or Faust crashed: start the role again.
    """
    names = names_of(settings)
    app = _build_app(names.group(group), pipeline.name, settings, revoke_s, pace_s)
    observer = observer or NullObserver()
    reader = GroupReader(app, pipeline, names, observer, watcher)
    app.on_revocation_stuck = reader.give_up
    app.begins_at = reader.begins_at
    app.told = teller(group, names, told)
    reader.subscribe(topics)
    topics_read = TopicsRead([names.topic(name) for name in topics])
    graceful = False
    owner = asyncio.create_task(pipeline.run(), name=f"{group}:pipeline")
    taking_out = take_out_predecessor(settings, names.group(group), pipeline.name)
    starting = asyncio.create_task(_start(app, ready, taking_out), name=f"{group}:start")
    beside = [
        asyncio.create_task(tell_lag(app, names, topics, observer, lag_s), name=f"{group}:lag"),
        asyncio.create_task(_stay(app, pipeline, settings), name=f"{group}:stay"),
    ]
    try:
        await _first(stop.wait(), owner, _crash(app), _fails(starting), group_lost(app), topics_read.watch(app))
        reader.close()
        graceful = await _drained(pipeline, app, drain_s)
    finally:
        pipeline.abort()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await asyncio.shield(_end(app, starting, graceful=graceful))
        await asyncio.gather(owner, return_exceptions=True)


def _build_app(group: str, client: str, settings: Settings, revoke_s: float, pace_s: float = 0.0) -> Any:
    import faust

    from streams.kafka.faust.buffer import TOGETHER, Batches
    from streams.kafka.faust.consumer import DirectTransport
    from streams.kafka.lenient_records import read_any_header_name

    read_any_header_name()

    class RoleApp(faust.App):  # type: ignore[misc]
        """One role. Writes nothing to disk, and waits for a bounded time when partitions are revoked."""

        on_revocation_stuck: Callable[[], None]
        begins_at: Callable[[Mapping[Any, int]], None]
        told: Told
        batches: Batches
        pace_s: float

        def _new_transport(self) -> DirectTransport:
            return DirectTransport(self.conf.broker_consumer, self)

        def has_room(self) -> bool:
            """Whether records can be handed over without waiting."""
            return self.flow_control.is_active() and not self.batches.full()

        async def hand_over(self, records: Sequence[Any]) -> None:
            """Records of one partition, to the reader."""
            await self.flow_control.acquire()
            await self.batches.put(records)

        def _create_directories(self) -> None:
            """No tables, so no folder in the working directory."""

        async def _on_partitions_revoked(self, revoked: set[Any]) -> None:
            # Messages that are retried (the store is away) would hold the whole group up until the broker expels us,
            # and then two workers would publish for the same partition.
            timer = asyncio.get_running_loop().call_later(revoke_s, self.on_revocation_stuck)
            try:
                await super()._on_partitions_revoked(revoked)
            finally:
                timer.cancel()

    app = RoleApp(
        group,
        broker=[f"kafka://{server}" for server in servers(settings)],
        broker_credentials=_credentials(settings),
        broker_client_id=client_id(client, settings.instance_name),
        autodiscover=False,
        set_as_current=False,
        web_enabled=False,
        store="memory://",
        datadir=settings.data_dir / "faust",
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=True,
        broker_commit_interval=_COMMIT_SECONDS,
        broker_commit_every=1000,
        broker_session_timeout=_SESSION_SECONDS,
        broker_heartbeat_interval=_SESSION_SECONDS / 4,
        broker_rebalance_timeout=_REBALANCE_SECONDS,
        broker_max_poll_interval=settings.poll_seconds,
        broker_max_poll_records=TOGETHER,
        # Never elsewhere in silence: `DirectConsumer` seeks every partition itself, and tells what was lost.
        consumer_auto_offset_reset="none",
        consumer_metadata_max_age_ms=METADATA_MS,
    )
    app.batches = Batches()
    app.pace_s = pace_s
    return app


def _credentials(settings: Settings) -> Any:
    import faust

    context = ssl_context(settings)
    if uses_tokens(settings):
        from streams.kafka.credentials import tokens_of

        return faust.OAuthCredentials(oauth_cb=tokens_of(settings), ssl_context=context)
    if settings.kafka_security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


# ---------------------------------------------------------------- life cycle


async def _start(app: Any, ready: asyncio.Event | None, before: Coroutine[Any, Any, object]) -> None:
    from aiokafka.errors import KafkaError

    await before
    try:
        await app.start()  # returns when the group has been joined
    except KafkaError as error:
        raise classify_kafka(error, "io") from error
    patient(app.consumer._thread._consumer._client)  # noqa: SLF001
    patient(app.producer._producer.client)  # noqa: SLF001
    if ready is not None:
        ready.set()


async def _stay(app: Any, pipeline: Pipeline[Any], settings: Settings) -> None:
    """Keep the partitions of a role that works, though it reads nothing; for ever.

    A full pipeline reads nothing, on purpose. Kafka's client would leave the group for it, and the partitions would come
    back to the same slow device, with everything in flight to be done again. So it is told that somebody is there, as
    long as this loop turns and the pipeline moves (or waits for what is away). One that does neither is left to it.
    """
    while True:
        await asyncio.sleep(settings.poll_seconds / 4)
        # A batch may run for as long as the device allows; what takes longer than that hangs.
        consumer = app.consumer._thread._consumer if app.started else None  # noqa: SLF001
        if consumer is not None and pipeline.still_for <= settings.device_seconds:
            consumer._subscription._last_fetch_ended = time.monotonic()  # noqa: SLF001


async def _fails(starting: asyncio.Task[None]) -> None:
    """Never ends, unless the start fails: the other waiters decide how a role ends."""
    await asyncio.shield(starting)
    await asyncio.Event().wait()


async def group_lost(app: Any, seconds: float = _GROUP_LOOK_SECONDS) -> None:
    """Raise when the group does not take us (not authorised), or when nobody asks it any more. Never ends otherwise.

    aiokafka keeps both for whoever polls next, and Faust polls nothing before it is assigned something: the role would
    wait in silence for ever. The second was met by a role that started while its broker came back: the first answer
    of a broker that knows no broker yet, itself included, ends aiokafka's coordination with an assertion.

    Raises:
        Fatal: not authorised.
        Retryable: aiokafka's coordination has ended; a new process asks anew.
    """
    while True:
        await asyncio.sleep(seconds)
        thread = getattr(app.consumer, "_thread", None) if app.started else None
        coordinator = getattr(getattr(thread, "_consumer", None), "_coordinator", None)
        error = getattr(coordinator, "_pending_exception", None)
        if error is not None:
            raise classify_kafka(error, "io") from error
        if (ended := coordination_error(thread._consumer if thread is not None else None)) is not None:  # noqa: SLF001
            raise Retryable(f"the group is not asked any more: {ended}") from ended


async def _crash(app: Any) -> None:
    """Raise when Faust crashes; mode marks a crashed service and otherwise goes on as if nothing had happened."""
    from aiokafka.errors import KafkaError

    await app.wait_for_stopped()
    reason = app.crash_reason
    if isinstance(reason, Fatal):
        raise reason
    if isinstance(reason, KafkaError) and isinstance(verdict := classify_kafka(reason, "io"), Fatal):
        raise verdict from reason  # not authorised: the next process would meet the same
    raise Retryable(f"the consumer stopped: {reason!r}") from reason


async def _drained(pipeline: Pipeline[Any], app: Any, seconds: float) -> bool:
    """Whether all that was in flight is done. A store that is away, or a slow device, is not waited for for ever."""
    try:
        async with asyncio.timeout(seconds) as limit:
            await _first(pipeline.drain(), _crash(app))
    except TimeoutError:
        if not limit.expired():
            raise
        log.warning("drain.gave_up", in_flight=pipeline.in_flight, seconds=seconds)
        return False
    return True


async def _first(*waiting: Coroutine[Any, Any, object] | asyncio.Task[Any]) -> None:
    """Wait for the first to end; raise its exception. Coroutines that lose are cancelled, tasks are left alone."""
    owned: list[asyncio.Task[Any]] = []
    tasks: list[asyncio.Task[Any]] = []
    for one in waiting:
        task = one if isinstance(one, asyncio.Task) else asyncio.ensure_future(one)
        tasks.append(task)
        if task is not one:
            owned.append(task)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in owned:
            task.cancel()
        await asyncio.gather(*owned, return_exceptions=True)


async def _end(app: Any, starting: asyncio.Task[None], *, graceful: bool) -> None:
    """Commit what was acknowledged and leave the group."""
    if not graceful:
        # Nothing more will be acknowledged: waiting for it would be waiting for ever.
        app.conf.stream_wait_empty = False
        if app.started and app.consumer.unacked:
            app.consumer.unacked.clear()
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(starting, return_exceptions=True)
    try:
        await asyncio.wait_for(app.stop(), _STOP_SECONDS)
    except TimeoutError:
        log.warning("consumer.stop_timed_out", seconds=_STOP_SECONDS)
