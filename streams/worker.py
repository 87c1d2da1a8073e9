"""`weft worker ROLE...`: run roles in this process until a signal, or until one of them cannot go on."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import get_args

from infra import http
from infra.ending import loop_watched
from infra.health import ProcessHealth
from infra.logs import logger
from infra.metrics import Metrics
from infra.settings import Settings
from processors.errors import RESULT_CODES, BadSetting, Fatal
from processors.policies import DEFAULTS
from processors.refusals import RULES as REFUSALS
from processors.values import WriterKind
from streams.contract.topics import APART, EVERY, ITEMS, QUERIES, UPLOADS, read_by, written_by
from streams.kafka.key_order import MISPLACED
from streams.kafka.notices import end_where_hidden, tell_missing
from streams.ops.announcement import STARTING, Announcement, broker_announced, write
from streams.wiring.models import Models
from streams.wiring.parts import beside, open_parts
from streams.wiring.roles import role_named
from streams.wiring.weights import check_settings, told_of

SWITCH_S = 0.0005
"""After so long a thread that computes in Python lets another one of the process go on. Python's 5 ms are waited for each time that a
search comes back from a product of matrices while a shard is restored beside it: tens of milliseconds a query."""

BROKER_PATIENCE_S = 30.0
"""A broker that is being started again is back by then; one that was named wrongly is not, and a person or a supervisor waits for the exit code."""
STACK_PATIENCE_S = 120.0
"""Under `weft up`, which starts the broker itself: a role that ended would load its models again beside it."""

log = logger("weft.worker")


async def work(
    roles: Sequence[str],
    settings: Settings,
    announce: Path | None = None,
    broker: Path | None = None,
    ended: Callable[[BaseException | None], None] = lambda _: None,
) -> None:
    """Run `roles` until SIGTERM or SIGINT: the first drains, the second aborts.

    Args:
        roles: names in `topics.EVERY`.
        settings: of the process.
        announce: where to write the `Announcement`; before that, at the same path with the suffix `.starting`, where the
            process can be watched while it is not ready.
        broker: a file that will say where the broker is (`streams.ops.announcement.BrokerAt`); until it is there nothing
            is asked of broker or store. None: the settings say so.
        ended: called when the roles have ended, with what ended them, before anything is closed: a thread that hangs
            may keep the rest from ever being reached.

    Raises:
        Fatal, Retryable: a role cannot go on. Nothing is lost: start the process again.
    """
    unknown = sorted(set(roles) - set(EVERY))
    if unknown:
        raise Fatal(f"there is no role {', '.join(unknown)}; there are {', '.join(EVERY)}")
    if len(set(roles)) > 1 and (apart := sorted(set(roles) & set(APART))):
        raise BadSetting(
            f"{', '.join(apart)} runs in a process of its own: it gives way to all others, and may not slow them"
        )
    if "shadow" in roles and not settings.shadow_profile:
        raise BadSetting("WEFT_SHADOW_PROFILE names no profile: the role shadow has nothing to compare with")
    await asyncio.to_thread(check_settings, settings, roles)
    log.info("models", **await asyncio.to_thread(told_of, settings))
    chosen = {role: role_named(role) for role in roles}
    health = ProcessHealth(roles, stall_seconds=settings.stall_seconds)
    together = "+".join(dict.fromkeys(roles))
    metrics = Metrics(together, roles=health, commit=settings.build_commit)
    observers = {role: metrics.of(role) for role in roles}
    for name, observer in observers.items():
        observer.begin(_from_zero(name))
    sys.setswitchinterval(SWITCH_S)
    stop = asyncio.Event()
    waiting = set(roles)
    # Beside everything else until a role asks for them: a broker that is waited for costs no second more.
    models = Models(settings, metrics.model, served=metrics.server, writer_may_fail=True)
    models.begin([model for role in chosen.values() for model in role.models])
    with _signals(stop), loop_watched(settings.poll_seconds):
        async with (
            http.serve(metrics, health, host=settings.metrics_host, port=settings.metrics_port) as url,
            _announced(announce, Announcement(os.getpid(), tuple(roles), url)),
            open_parts(
                await _reaching(broker, settings, stop),
                metrics,
                models,
                stop,
                patience_s=BROKER_PATIENCE_S if broker is None else STACK_PATIENCE_S,
                client=together,
                observers=observers,
                notices=observers,
            ) as parts,
        ):

            def ready(role: str) -> None:
                log.info("ready", role=role, metrics=url)
                waiting.discard(role)
                health.of(role).ready(True)
                if not waiting:
                    _all_ready(announce, Announcement(os.getpid(), tuple(roles), url))

            async def run_all() -> None:
                async with asyncio.TaskGroup() as tasks:
                    for name, role in chosen.items():
                        tasks.create_task(role.run(parts, ready), name=name)

            used = {role: (parts.notices_of(role), {*read_by(role), *written_by(role)}) for role in chosen}
            try:
                reads = sorted({topic for role in chosen for topic in read_by(role)})
                watching = beside(tell_missing(parts.looking.missing, used), run_all())
                await beside(end_where_hidden(parts.looking.check_shown, reads), watching)
            except BaseExceptionGroup as group:
                # One cause ends a process; the others are its echoes, and stand in the log.
                first = _leaf(group)
                log.exception("role.ended", cause=str(first) or type(first).__name__, exc_info=group)
                ended(first)
                raise first from None
            ended(None)
    log.info("stopped", roles=list(roles))


async def _reaching(broker: Path | None, settings: Settings, stop: asyncio.Event) -> Settings:
    """The settings with the broker's address, once it is announced. A signal ends the process instead."""
    if broker is None:
        return settings
    log.info("waiting", what="for weft up to say where the broker is", file=str(broker))
    bootstrap = await broker_announced(broker, stop)
    if bootstrap is None:
        log.info("stopped", cause="before a broker was announced")
        os._exit(0)  # nothing was begun, and a model that is being loaded need not be waited for
    return settings.model_copy(update={"bootstrap_servers": bootstrap})


def _all_ready(announce: Path | None, announcement: Announcement) -> None:
    """Every role of this process takes work."""
    gc.freeze()  # networks and tables stay: a collection that goes through them all holds up whoever waits then
    if announce is not None:
        write(announce, announcement)


@asynccontextmanager
async def _announced(announce: Path | None, announcement: Announcement) -> AsyncIterator[None]:
    """Tell where a process can be watched that is not ready yet."""
    if announce is not None:
        write(announce.with_suffix(STARTING), announcement)
    yield


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`, which drains. A second one ends the process at once, as a crash would.

    Not by cancelling: a batch that hangs on the device cannot be cancelled. What was not acknowledged comes again.
    """
    loop = asyncio.get_running_loop()

    def received(number: int) -> None:
        if stop.is_set():
            log.warning("aborted", signal=signal.Signals(number).name)
            os._exit(128 + number)
        log.info("draining", signal=signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _from_zero(role: str) -> list[tuple[str, ...]]:
    """The counters of a role whose first increase somebody must see."""
    if role == "enrich":
        misplaced = [("weft_misplaced_records", UPLOADS, why) for why in MISPLACED]
        conflicts = [("weft_facet_conflicts", facet) for facet, policy in DEFAULTS.items() if policy == "seen"]
        return [("weft_unchanged",), ("weft_lost_records", UPLOADS), *misplaced, *conflicts]
    if role == "caption":
        writers = [("weft_captions", writer) for writer in get_args(WriterKind)]
        refused = [("weft_captions_refused", rule) for rule in REFUSALS]
        return [("weft_unchanged",), ("weft_lost_records", ITEMS), *writers, *refused]
    if role == "shadow":
        sides = [(f"weft_shadow_{what}", side) for what in ("facts", "refused") for side in ("live", "shadow")]
        return [*(("weft_shadow_products", outcome) for outcome in ("compared", "late", "unknown", "failed")), *sides]
    if role == "compose":
        errors = [("weft_query_errors", code.value) for code in RESULT_CODES]
        return [("weft_partial_answers",), ("weft_lost_records", QUERIES), *errors]
    return []
