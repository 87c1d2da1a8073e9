"""The embedded broker: Apache Kafka itself, one KRaft node on the loopback interface, durable under the data dir.

`python -m infra.broker fetch` fetches the jars ahead of the first start.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Self

from infra import spawn
from infra.broker_config import log4j_properties, server_properties
from infra.broker_jars import Classpath, fetch_jars
from infra.broker_probe import BrokerInfo, probe
from processors.errors import Fatal

_JVM = (
    "-Xmx512m",
    "-Xms128m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",
)


CHECKPOINT = "bootstrap.checkpoint"
LEARN_SECONDS = 120.0
"""Java writes what it learned when it ends, in a process of its own: seconds on an idle machine."""


@dataclass(frozen=True, slots=True)
class _Identity:
    """What must be the same after a restart; kept in `cluster.json`."""

    cluster_id: str
    port: int
    controller_port: int


class EmbeddedBroker:
    """One Kafka broker as a child process. Blocking; call it from `asyncio.to_thread` where a loop runs.

    Args:
        data_dir: everything is kept in `data_dir/kafka`: `data` (the log), `logs` (text), `server.properties`.
        port: of the clients' listener; 0: the port of the last start if free, else any free one.
        jars: folder of the user's own Kafka jars (setting `kafka_jars`); None: fetched once into the user's cache.
        classpath: jars and Java that are known already, instead of `jars`.
        partitions: default number of partitions of a new topic.
        start_seconds: longest time until the broker answers a request.
        stop_seconds: how long a stop may take before the process is killed (the log survives a kill).
        progress: called with a sentence before something slow.
        learn: file that Java writes, when the broker is stopped, what it has loaded and linked into (`Classpath.classes`).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        jars: Path | None = None,
        classpath: Classpath | None = None,
        partitions: int = 12,
        start_seconds: float = 90.0,
        stop_seconds: float = 20.0,
        progress: Callable[[str], None] | None = None,
        learn: Path | None = None,
    ) -> None:
        self._learn = learn
        self._folder = data_dir.absolute() / "kafka"
        if "," in str(self._folder):
            raise Fatal(f"Kafka cannot keep its log under a path with a comma: {data_dir}")
        self._wanted_port = port
        self._jars = jars
        self._classpath = classpath
        self._partitions = partitions
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: _Identity | None = None
        self._lock: IO[str] | None = None

    @property
    def bootstrap(self) -> str:
        """host:port for clients; valid after `start`."""
        if self._identity is None:
            raise Fatal("the embedded broker has not been started")
        return f"127.0.0.1:{self._identity.port}"

    @property
    def pid(self) -> int | None:
        """Process id of the broker, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        """The broker's own log, for people."""
        return self._folder / "logs" / "broker.log"

    def health(self) -> BrokerInfo:
        """Ask the running broker for its cluster.

        Raises:
            OSError: it does not answer.
        """
        return probe(self.bootstrap)

    def prepare(self) -> None:
        """What tells a mistake at once, before `start`: jars and Java are there, and the data dir is ours alone.

        Raises:
            Fatal: they are not.
        """
        self._classpath = self._classpath or fetch_jars(self._progress, folder=self._jars)
        self._take_lock()

    def start(self) -> str:
        """Start the broker and return its bootstrap address once it answers.

        A second call while it runs does nothing; after the broker's death it starts it again at the same address.

        Raises:
            Fatal: no jars, the data dir is in use by another process, or the broker does not come up in time.
        """
        if self.pid is not None:
            return self.bootstrap
        self.prepare()
        assert self._classpath is not None
        try:
            self._end_orphan()
            return self._start(self._classpath)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """SIGTERM, wait, SIGKILL. Safe to call at any time."""
        if self._process is not None:
            spawn.stop(self._process, grace_seconds=self._stop_seconds)
            self._process = None
            self._pid_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """SIGKILL, as a power cut for the process would (tests, chaos); `start` recovers."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ start

    def _start(self, classpath: Classpath) -> str:
        for attempt in range(3):
            identity = self._choose_identity()
            self._write_configuration(identity)
            self._identity = identity
            self._format(classpath, identity)
            learning = () if self._learn is None else (f"-XX:AOTCacheOutput={self._learn}",)
            self._process = spawn.spawn(self._java(classpath, "kafka.Kafka", str(self._properties), options=learning))
            self._pid_file.write_text(str(self._process.pid), "utf-8")
            if self._wait_until_ready(self._process):
                return self.bootstrap
            # Between the choice of a free port and its use another program may have taken it: choose again.
            if attempt == 2 or (_is_free(identity.port) and _is_free(identity.controller_port)):
                break
        raise Fatal(f"the embedded Kafka ended while it started: {self._last_words()} (see {self.log_file})")

    def _choose_identity(self) -> _Identity:
        path = self._folder / "cluster.json"
        try:
            identity = _Identity(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            identity = _Identity(_new_cluster_id(), 0, 0)
        except (ValueError, TypeError) as error:
            raise Fatal(f"{path} is damaged; restore it, or remove {self._folder} to begin anew") from error
        port = self._wanted_port or _free_port(identity.port)
        identity = _Identity(identity.cluster_id, port, _free_port(identity.controller_port, other_than=port))
        if self._wanted_port and not _is_free(port):
            raise Fatal(f"port {port} is taken by another program; choose another one for the embedded Kafka")
        _write_aside(path, json.dumps(asdict(identity)))
        return identity

    def _write_configuration(self, identity: _Identity) -> None:
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        properties = server_properties(
            port=identity.port,
            controller_port=identity.controller_port,
            data=self._folder / "data",
            partitions=self._partitions,
        )
        _write_aside(self._properties, properties)
        _write_aside(self._folder / "log4j2.properties", log4j_properties(logs))

    def _format(self, classpath: Classpath, identity: _Identity) -> None:
        data = self._folder / "data"
        if (data / "meta.properties").exists():
            return
        if self._progress is not None:
            self._progress("preparing the embedded Kafka")
        if _format_as_before(classpath, identity, data):
            return
        arguments = ("format", "--ignore-formatted", "-t", identity.cluster_id, "-c", str(self._properties))
        process = spawn.spawn(self._java(classpath, "kafka.tools.StorageTool", *arguments))
        try:
            status = process.wait(self._start_seconds)
        except subprocess.TimeoutExpired:
            status = spawn.stop(process, grace_seconds=0)
        if status != 0:
            raise Fatal(f"cannot prepare {data} for the embedded Kafka: {self._last_words()}")
        if classpath.formatted is not None:
            with suppress(OSError):  # a cache that cannot be written costs the next broker this second
                made = (data / CHECKPOINT).read_bytes()
                _write_aside(classpath.formatted, hashlib.sha256(made).digest() + made)

    def _java(self, classpath: Classpath, main: str, *arguments: str, options: tuple[str, ...] = ()) -> spawn.Command:
        if classpath.classes is not None and classpath.classes.exists():
            # A file that does not fit (another Java, other jars) is not used, and costs nothing but these warnings.
            options += (f"-XX:AOTCache={classpath.classes}", "-Xlog:disable", "-Xlog:all=error:stderr")
        options += (f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}", "-Djava.awt.headless=true")
        # A CLASSPATH or JAVA_TOOL_OPTIONS of the user's must not leak into the broker.
        foreign = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"}
        environment = {name: value for name, value in os.environ.items() if name not in foreign}
        environment["LC_ALL"] = "C.UTF-8"  # or Java cannot open a path with letters that the user's locale lacks
        return spawn.Command(
            (str(classpath.java), *_JVM, *options, "-cp", str(classpath), main, *arguments),
            log=self._console,
            env=environment,
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """True once the broker answers with itself in the cluster; False if it ended. Fatal after the deadline."""
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline:
            try:
                if probe(self.bootstrap).brokers:
                    return True
            except (OSError, ValueError):
                pass
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            return False
        raise Fatal(
            f"the embedded Kafka did not answer within {self._start_seconds:.0f} s: {self._last_words()} "
            f"(see {self.log_file})"
        )

    def _last_words(self) -> str:
        for path in (self.log_file, self._console):
            try:
                lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
            except OSError:
                continue
            telling = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception" in line]
            if telling or lines:
                return (telling or lines)[-1][:300]
        return "no word in its log"

    # ------------------------------------------------------------------ one broker a folder

    def _take_lock(self) -> None:
        """Two owners of one folder would fight over the log: the second one is told."""
        if self._lock is not None:  # the broker died, and we start it again
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = (self._folder / "owner.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise Fatal(f"{self._folder} is in use by process {owner}; stop it, or choose another data dir") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _end_orphan(self) -> None:
        """A broker whose owner was killed may still be closing its log; it must be gone before the log is opened."""
        try:
            pid = int(self._pid_file.read_text("utf-8"))
        except (OSError, ValueError):
            return
        import psutil

        try:
            orphan = psutil.Process(pid)
            if str(self._properties) in orphan.cmdline():  # the number may belong to another program by now
                orphan.terminate()
                try:
                    orphan.wait(self._stop_seconds)
                except psutil.TimeoutExpired:
                    orphan.kill()
                    orphan.wait(self._stop_seconds)
        except psutil.Error:  # gone, or not ours to look at
            pass
        self._pid_file.unlink(missing_ok=True)

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    @property
    def _pid_file(self) -> Path:
        return self._folder / "broker.pid"

    @property
    def _console(self) -> Path:
        return self._folder / "logs" / "console.log"


def _new_cluster_id() -> str:
    """22 characters of URL-safe base64, as Kafka's own `random-uuid`; a leading dash would read as an option."""
    return "W" + _uuid()[1:]


def _uuid() -> str:
    """22 characters, as Kafka writes a UUID."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port(preferred: int, other_than: int = 0) -> int:
    if preferred and preferred != other_than and _is_free(preferred):
        return preferred
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        return int(attempt.getsockname()[1])


def _format_as_before(classpath: Classpath, identity: _Identity, data: Path) -> bool:
    """Make an empty log of the file that Java made for one before: a start of Java takes a second and more.

    The checkpoint names the features of this version of Kafka, and neither cluster nor folder. The properties come last:
    without them what is there is formatted anew.
    """
    if classpath.formatted is None:
        return False
    try:
        kept = classpath.formatted.read_bytes()
    except OSError:
        return False
    digest, checkpoint = kept[:32], kept[32:]
    if hashlib.sha256(checkpoint).digest() != digest:  # damaged: Java makes another one
        return False
    data.mkdir(parents=True, exist_ok=True)
    _write_aside(data / CHECKPOINT, checkpoint)
    lines = ("version=1", "node.id=1", f"cluster.id={identity.cluster_id}", f"directory.id={_uuid()}")
    _write_aside(data / "meta.properties", "\n".join(lines) + "\n")
    return True


def _write_aside(path: Path, content: str | bytes) -> None:
    aside = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    aside.write_bytes(content.encode() if isinstance(content, str) else content)
    aside.replace(path)


def learn_classes(classpath: Classpath, progress: Callable[[str], None]) -> bool:
    """Start a broker once on an empty folder, so that Java keeps its classes loaded and linked: half of every later start.

    Returns:
        Whether the file is there now. Without it a broker starts all the same.
    """
    if classpath.classes is None or classpath.classes.exists():
        return classpath.classes is not None
    progress("preparing Kafka's classes (once)")
    with tempfile.TemporaryDirectory(prefix="weft-kafka-", dir=classpath.classes.parent) as folder:
        aside = Path(folder) / "classes"
        plain = replace(classpath, classes=None)
        try:
            with EmbeddedBroker(Path(folder), classpath=plain, learn=aside, stop_seconds=LEARN_SECONDS):
                pass
            aside.replace(classpath.classes)
        except (Fatal, OSError) as error:
            progress(f"Kafka's classes were not prepared, and each start takes some seconds longer: {error}")
            return False
    return True


def main(arguments: list[str]) -> int:
    """`fetch`: fetch the jars and say where they are."""
    if arguments != ["fetch"]:
        sys.stderr.write("usage: python -m infra.broker fetch\n")
        return 2
    try:
        classpath = fetch_jars(lambda sentence: print(sentence, file=sys.stderr))  # noqa: T201 - a command line
    except Fatal as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{len(classpath.jars)} jars in {classpath.jars[0].parent.parent}\n")
    learn_classes(classpath, lambda sentence: print(sentence, file=sys.stderr))  # noqa: T201 - a command line
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
