"""`DIR/stack.json`: where a stack that `weft up` runs can be reached."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from infra.settings import Settings


class StackFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The shape of the file; other programs rely on it.

    `scrape`: metrics and health of all roles at one address. `topics`, `groups`: those that are called otherwise there.
    """

    bootstrap: str
    store: str
    metrics: dict[str, str]
    pids: dict[str, int]
    scrape: str = ""
    topics: dict[str, str] = {}
    groups: dict[str, str] = {}


def path_of(data_dir: Path) -> Path:
    return data_dir / "stack.json"


def read(data_dir: Path) -> StackFile | None:
    """The file of a stack that is up, or None."""
    try:
        return msgspec.json.decode(path_of(data_dir).read_bytes(), type=StackFile)
    except (OSError, msgspec.DecodeError):
        return None


def write(data_dir: Path, stack: StackFile) -> None:
    """Replace the file in one step, so that no reader ever sees half of it."""
    aside = path_of(data_dir).with_suffix(".json.new")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(stack), indent=2) + b"\n")
    aside.replace(path_of(data_dir))


def remove(data_dir: Path) -> None:
    path_of(data_dir).unlink(missing_ok=True)


def locate(settings: Settings) -> Settings:
    """Settings that reach the stack of the data dir, where no broker was named and such a stack is up."""
    stack = read(settings.data_dir)
    if stack is None or "bootstrap_servers" in settings.model_fields_set:
        return settings
    found = {"bootstrap_servers": stack.bootstrap, "store_url": stack.store}
    # The stack's own names, whatever this shell says: another prefix would find an empty stack.
    named = {"topic_prefix": "", "topic_names": stack.topics, "group_prefix": "", "group_names": stack.groups}
    return settings.model_copy(update=found | named)


# ---------------------------------------------------------------- while it starts

_POLL_S = 0.2


def _lock_of(data_dir: Path) -> Path:
    return data_dir / "up.lock"


@contextmanager
def at_work(data_dir: Path) -> Iterator[None]:
    """Held by `weft up` from its first moment to its last, however it ends: clients wait for `stack.json` meanwhile."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = _lock_of(data_dir).open("a")
    except OSError:
        yield  # the stack says itself what is wrong with the folder
        return
    with lock:
        # Shared: a second stack in the folder is refused by its broker's lock, with the owner's name.
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def is_at_work(data_dir: Path) -> bool:
    """Whether a `weft up` starts, runs or stops in this folder."""
    try:
        with _lock_of(data_dir).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def wait_for_start(settings: Settings, tell: Callable[[str], None]) -> None:
    """Wait while a stack of this data dir starts (or stops), where no broker was named. Blocking; bounded by that stack's own patience."""
    data_dir = settings.data_dir
    if "bootstrap_servers" in settings.model_fields_set or read(data_dir) is not None or not is_at_work(data_dir):
        return
    tell(f"the stack in {data_dir} is not ready yet: waiting for it")
    while read(data_dir) is None and is_at_work(data_dir):
        time.sleep(_POLL_S)
