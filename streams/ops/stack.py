"""The stack on one machine: an embedded broker and the roles, each a child process that is started again when it dies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from infra.broker import EmbeddedBroker
from infra.process import Backoff, ChildState, Supervisor
from infra.settings import Settings
from infra.spawn import Command, python_argv
from models.profiles.reading import canonical
from processors.errors import BadSetting, Fatal
from streams.contract.topics import APART, ROLES
from streams.kafka.names import names_of
from streams.ops import announcement, stack_file
from streams.ops.announcement import STARTING, Announcement, BrokerAt
from streams.ops.role_templates import LIGHT, RoleTemplates
from streams.ops.stack_file import StackFile
from streams.wiring.weights import require_weights

if TYPE_CHECKING:
    from streams.ops.stack_metrics import RoleState
    from streams.ops.stack_watch import Watched

# What is imported in functions here is imported while the roles begin: they are half a second earlier for it.

READY_S = 300.0
POLL_S = 0.1
GRACE_S = 60.0
BROKER_ATTEMPTS = 5
FIRST_WAIT_S = 0.1
"""Before a role that took work and died is started again; twice as long with each death that follows without any."""
MOST_DEATHS = 3
"""Deaths of one child before the stack was ready: then it will not come up, and its log says why."""
WRONG_SETTING = 2
"""How a role ends that refuses a setting (`Exit.USAGE`): it would refuse it again."""


_TOGETHER = {"caption": ("caption", "standing", "context"), "compose": ("compose", "edit")}
"""Process → its roles. `standing` loads no model before the first standing query, and `context` none at all: a process of its own would take
more than each does.
`edit` needs the models that `compose` holds, and hears of the index from its first request on.
"""


class Stack:
    """Broker, store and roles of one data dir. `async with Stack(...) as stack` returns when all roles take work.

    Args:
        settings: `data_dir` says where. A broker named explicitly in them is used instead of an embedded one.
        single_process: all roles in one process, for machines with little memory.
        progress: receives one sentence a step.
        sleep: waits between attempts to start a broker again.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        single_process: bool = False,
        also: Sequence[str] = (),
        progress: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._data_dir = settings.data_dir.absolute()
        self._names = names_of(settings)
        self._progress = progress
        self._sleep = sleep
        self._roles = (*ROLES, *also)
        shared = {role for roles in _TOGETHER.values() for role in roles}
        apart = {role: (role,) for role in self._roles if role not in shared}
        self._groups: dict[str, tuple[str, ...]] = {**apart, **_TOGETHER}
        if single_process:
            alone = {role: (role,) for role in self._roles if role in APART}
            self._groups = {"all": tuple(role for role in self._roles if role not in alone), **alone}
        # Their workers have names of their own, in `stack.json` and the logs as well.
        self._standbys = [f"index-standby-{number}" for number in range(1, settings.index_standbys + 1)]
        self._groups |= dict.fromkeys(self._standbys, ("index",))
        self._own_broker = "bootstrap_servers" not in settings.model_fields_set
        self._closing = AsyncExitStack()
        self._broker: EmbeddedBroker | None = None
        self._supervisor: Supervisor | None = None
        self._written: StackFile | None = None
        self._scrape = ""
        self.settings = settings

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack_file.remove(self._data_dir)
        await self._closing.aclose()

    async def watch(self) -> None:
        """Keep `stack.json` true and the broker alive, for ever; raises when the broker cannot be started again."""
        watching = asyncio.create_task(self._restart_what_hangs(), name="stack:watchdog")
        try:
            while True:
                self._write()
                if self._broker is not None and self._broker.pid is None:
                    await self._revive(self._broker)
                if watching.done():
                    watching.result()
                await asyncio.sleep(POLL_S * 2)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _restart_what_hangs(self) -> None:
        """Kill, for the supervisor to start again, every process that does not answer or does nothing; for ever."""
        import aiohttp

        from streams.ops import stack_watch

        assert self._supervisor is not None
        watchdog = stack_watch.Watchdog(self.settings.silent_seconds, asyncio.get_running_loop().time)
        async with aiohttp.ClientSession() as session:
            while True:
                # One that gives way to all others may be silent for long, and ends by itself where its loop or its device hangs.
                watched = {name: one for name, one in self._watched().items() if name not in APART}
                asked = [name for name, process in watched.items() if process.url]
                answers = await asyncio.gather(*(stack_watch.ask(session, watched[name].url) for name in asked))
                if self._broker is not None and self._broker.pid is None:
                    # Without a broker every role does nothing, and to start it again would help nobody.
                    watchdog.forget()
                found = watchdog.look(watched, dict(zip(asked, answers, strict=True)))
                for name, reason in found.items():
                    if self._supervisor.kill(name, watched[name].pid):
                        self._progress(f"{name} {reason}; it is killed and started again")
                await asyncio.sleep(stack_watch.PERIOD_S)

    def _watched(self) -> dict[str, Watched]:
        """Every process that runs, and where it can be asked."""
        from streams.ops.stack_watch import Watched

        assert self._supervisor is not None
        ready, starting = self._announced(), self._announced(STARTING)
        found = {}
        for name, pid in self._supervisor.pids.items():
            said = ready.get(name) or starting.get(name)
            found[name] = Watched(pid, "" if said is None else said.metrics, name in ready)
        return found

    async def _revive(self, broker: EmbeddedBroker) -> None:
        """Start a broker again that died; not at once, perhaps: on a busy machine a start once took over 90 s, and the
        whole stack ended for it.
        """
        self._progress("Kafka died; starting it again where it was")
        for attempt in range(1, BROKER_ATTEMPTS):
            try:
                await asyncio.to_thread(broker.start)
            except Fatal as error:
                self._progress(f"{error}; trying again")
                await self._sleep(attempt)
            else:
                break
        else:
            await asyncio.to_thread(broker.start)
        self._progress("Kafka is back")

    @property
    def file(self) -> StackFile:
        """What `stack.json` says."""
        assert self._written is not None
        return self._written

    # ------------------------------------------------------------------ start

    async def _start(self) -> None:
        # Before the broker: a role that misses its weights dies again and again, and says so only in its log.
        await asyncio.to_thread(require_weights, self.settings)
        broker = self._embedded()
        await asyncio.to_thread(self._prepare_folders, broker)
        self.settings = self.settings.model_copy(update={"store_url": self.settings.resolved_store_url})
        # Beside the broker: they import and load while it starts, and ask it nothing before it is announced.
        supervisor = Supervisor(lambda _: None, grace_seconds=GRACE_S, backoff=Backoff(first=FIRST_WAIT_S))
        templates = (
            None if "all" in self._groups else RoleTemplates(self.settings.profile, self._environment(), self._logs)
        )
        if templates is not None:
            await self._closing.enter_async_context(templates)
        self._supervisor = await self._closing.enter_async_context(supervisor)
        starting = asyncio.create_task(self._start_roles(supervisor, templates), name="stack:roles")
        self._closing.push_async_callback(_ended, starting)
        await self._serve_metrics()
        if broker is not None:
            await self._start_broker(broker)
        await self._make_ready()
        await starting
        await asyncio.to_thread(announcement.write, self._broker_file, BrokerAt(self.settings.bootstrap_servers))
        await self._until_ready(supervisor)
        self._write()
        self._progress(f"ready: {stack_file.path_of(self._data_dir)}")

    async def _serve_metrics(self) -> None:
        """Before the broker: a port that is taken is told at once."""
        from streams.ops import stack_metrics

        host, port = self.settings.metrics_host, self.settings.metrics_port
        serving = stack_metrics.serve(self._role_states, host=host, port=port)
        self._scrape = await self._closing.enter_async_context(serving)

    async def _make_ready(self) -> None:
        """The topics are there, and the store is the cluster's: each role would refuse to start, and say why only in its log."""
        from infra.stores import open_store
        from streams.kafka.store_claim import check
        from streams.ops import admin

        await admin.create_topics(self.settings)
        await check(self.settings, await asyncio.to_thread(open_store, self.settings))

    def _prepare_folders(self, broker: EmbeddedBroker | None) -> None:
        with self._usable():
            (self._data_dir / "store").mkdir(parents=True, exist_ok=True)
        if broker is not None:
            broker.prepare()  # another `weft up` may be at work in this folder: nothing of it is touched then
        with self._usable():
            shutil.rmtree(self._data_dir / "run", ignore_errors=True)
            (self._data_dir / "run").mkdir()
        stack_file.remove(self._data_dir)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BadSetting(f"WEFT_DATA_DIR: {self._data_dir} cannot be used: {error.strerror}") from error

    async def _start_roles(self, supervisor: Supervisor, templates: RoleTemplates | None) -> None:
        """Those without a model first: what they are forked of is ready seconds before the other."""
        self._progress(f"starting the roles {', '.join(self._roles)}")
        if templates is None:
            for name, roles in self._groups.items():
                supervisor.start(name, self._command(name, roles))
            return
        await templates.light()
        for name, roles in self._groups.items():
            if set(roles) <= set(LIGHT):
                supervisor.start(name, self._command(name, roles), templates.spawn_light)
        await templates.heavy()
        for name, roles in self._groups.items():
            if not set(roles) <= set(LIGHT):
                supervisor.start(name, self._command(name, roles), templates.spawn_heavy)

    def _embedded(self) -> EmbeddedBroker | None:
        if not self._own_broker:
            return None
        broker = EmbeddedBroker(
            self._data_dir,
            partitions=self.settings.partitions,
            jars=self.settings.kafka_jars,
            start_seconds=READY_S,
            progress=self._progress,
        )
        self._closing.push_async_callback(asyncio.to_thread, broker.stop)
        return broker

    async def _start_broker(self, broker: EmbeddedBroker) -> None:
        self._progress("starting Apache Kafka")
        bootstrap = await asyncio.to_thread(broker.start)
        self._broker = broker
        self.settings = self.settings.model_copy(update={"bootstrap_servers": bootstrap})

    def _environment(self) -> dict[str, str]:
        """What all roles find in theirs."""
        return dict(os.environ) | {
            "WEFT_STORE_URL": self.settings.store_url,
            "WEFT_DATA_DIR": str(self._data_dir),
            "WEFT_PROFILE": canonical(self.settings.profile),  # roles may run in another folder
            "WEFT_SHADOW_PROFILE": canonical(self.settings.shadow_profile) if self.settings.shadow_profile else "",
            "WEFT_METRICS_PORT": "0",
            "WEFT_INDEX_STANDBYS": str(self.settings.index_standbys),
            "WEFT_TOPIC_NAMES": json.dumps(self._names.all_topics()),
            "WEFT_GROUP_NAMES": json.dumps(self._names.all_groups()),
            # Two processes that each use every core stop each other at every barrier: the language model wrote
            # 1.2 tokens a second that way, and 12 with a thread of its own.
            "WEFT_THREADS": str(self.settings.threads or max(1, (os.cpu_count() or 2) // 2)),
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def _command(self, name: str, roles: tuple[str, ...]) -> Command:
        # Nobody else works in this folder, so nobody else has this name.
        environment = self._environment() | {"WEFT_INSTANCE": self._instance(name)}
        announce = str(self._announcement(name))
        argv = python_argv("streams.cli", "worker", *roles, "--announce", announce, "--broker", str(self._broker_file))
        return Command(argv, log=self._log(name), env=environment)

    def _instance(self, name: str) -> str:
        own = self.settings.instance or f"up-{sha256(bytes(self._data_dir)).hexdigest()[:12]}"
        # Two workers of one role with one name would take each other out of their group.
        return f"{own}-{name}" if name in self._standbys and own != "none" else own

    def _shown(self, name: str, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Under which names a process stands in `stack.json`."""
        return (name,) if name in self._standbys else roles

    def _announcement(self, name: str) -> Path:
        return self._data_dir / "run" / f"{name}.json"

    @property
    def _broker_file(self) -> Path:
        return self._data_dir / "run" / "broker.json"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    @property
    def _logs(self) -> Path:
        return self._data_dir / "logs"

    async def _until_ready(self, supervisor: Supervisor) -> None:
        waiting = set(self._groups) - set(APART)
        try:
            async with asyncio.timeout(READY_S):
                while waiting:
                    self._give_up_on(supervisor.states)
                    for name in sorted(waiting & self._announced().keys()):
                        waiting.discard(name)
                        self._progress(f"{name} is ready")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise Fatal(
                f"{', '.join(sorted(waiting))} did not get ready within {READY_S:.0f} s; see {self._log(min(waiting))}"
            ) from None

    def _give_up_on(self, states: Mapping[str, ChildState]) -> None:
        for name, state in states.items():
            refused = state.last_status == WRONG_SETTING
            if (refused or state.restarts >= MOST_DEATHS) and name not in APART:
                text = f"{name} does not start:\n{_tail(self._log(name))}\n(the whole log: {self._log(name)})"
                raise BadSetting(text) if refused else Fatal(text)

    def _role_states(self) -> dict[str, RoleState]:
        """Every role: where its process tells its metrics, and how often it was started again."""
        from streams.ops.stack_metrics import RoleState

        if self._supervisor is None:
            return {role: RoleState(None) for role in self._roles}
        states, announced = self._supervisor.states, self._announced()
        found = {}
        for name, roles in self._groups.items():
            url = announced[name].metrics if name in announced else None
            restarts = states[name].restarts if name in states else 0
            alone = name in self._standbys
            found.update({role: RoleState(url, restarts, alone) for role in self._shown(name, roles)})
        return found

    # ------------------------------------------------------------------ stack.json

    def _announced(self, suffix: str = ".json") -> dict[str, Announcement]:
        """The announcements of the processes that run now; those of the dead do not count."""
        assert self._supervisor is not None
        found = {}
        for name, pid in self._supervisor.pids.items():
            try:
                announcement = msgspec.json.decode(
                    self._announcement(name).with_suffix(suffix).read_bytes(), type=Announcement
                )
            except (OSError, msgspec.DecodeError):
                continue
            if announcement.pid == pid:
                found[name] = announcement
        return found

    def _write(self) -> None:
        """Replace the file when something changed. A role that is being restarted is absent until it takes work."""
        announced = self._announced()
        now = StackFile(
            bootstrap=self.settings.bootstrap_servers,
            store=self.settings.store_url,
            topics={name: there for name, there in self._names.all_topics().items() if name != there},
            groups={name: there for name, there in self._names.all_groups().items() if name != there},
            metrics={role: a.metrics for name, a in announced.items() for role in self._shown(name, a.roles)},
            pids={role: a.pid for name, a in announced.items() for role in self._shown(name, a.roles)},
            scrape=self._scrape,
        )
        if now != self._written:
            stack_file.write(self._data_dir, now)
            before = {} if self._written is None else self._written.pids
            for role in sorted(before.keys() - now.pids.keys()):
                self._progress(f"{role} is gone; it is started again")
            for role in sorted(now.pids.keys() - before.keys()):
                self._progress(f"{role} is running")
            assert self._supervisor is not None
            for name in announced:
                self._supervisor.works(name, announced[name].pid)
            self._written = now


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _tail(path: Path, lines: int = 12) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
