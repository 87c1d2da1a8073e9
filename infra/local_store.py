"""The object store in a local folder: atomic, durable, with compare-and-swap between threads and processes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.store import RESERVED, ETag, NotFound, ObjectStore, Versioned, check_key
from processors.errors import Code, Poison, Retryable

_STRIPES = 64
_STALE_SECONDS = 24 * 3600
_NO_SUCH = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStore(ObjectStore):
    """Objects as files under `root`. A write goes aside, is synced, and is renamed into place under a lock of the key.

    Without the lock of the key, a plain `put` between the comparison and the write of a `swap` would be lost unseen.

    Args:
        root: the folder; made if it does not exist.

    Raises:
        Retryable: the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        try:
            with _translated(str(root)):
                root.mkdir(parents=True, exist_ok=True)
                self._root = root.resolve()
                self._aside = self._root / RESERVED / "aside"
                self._locks = self._root / RESERVED / "locks"
                self._aside.mkdir(parents=True, exist_ok=True)
                self._locks.mkdir(parents=True, exist_ok=True)
                self._remove_stale()
        except Poison as error:
            # No key is at fault: something else lies where the folder should be.
            raise Retryable(f"the folder of the object store is away: {root}") from error

    @property
    def root(self) -> Path:
        """The folder, resolved."""
        return self._root

    @property
    def base(self) -> str:
        return f"{self._root.as_uri()}/"

    def put(self, key: str, data: bytes, *, content_type: str = "") -> ETag:  # noqa: ARG002 - of the port
        path = self._path(key)
        with self._guarded(key), self._written_aside(data) as aside, self._locked(key):
            self._move(aside, path)
        return _etag(data)

    def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:  # noqa: ARG002 - of the port
        path = self._path(key)
        with self._guarded(key):
            if path.is_file():
                return False  # nothing is written and synced for it
        with self._guarded(key), self._written_aside(data) as aside, self._locked(key):
            if path.is_file():
                return False
            self._move(aside, path)
        return True

    def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
        path = self._path(key)
        with self._guarded(key), self._written_aside(data) as aside, self._locked(key):
            try:
                present = _etag(path.read_bytes())
            except _NO_SUCH:
                return None
            if present != expected:
                return None
            self._move(aside, path)
        return _etag(data)

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        path = self._path(key)
        with self._guarded(key):
            try:
                with path.open("rb") as file:
                    if limit is not None and os.fstat(file.fileno()).st_size > limit:
                        raise Poison(f"the object {key!r} is larger than {limit} bytes", code=Code.OUT_OF_RANGE)
                    return file.read()
            except _NO_SUCH:
                raise NotFound(key) from None

    def get_versioned(self, key: str) -> Versioned:
        data = self.get(key)
        return Versioned(data, _etag(data))

    def exists(self, key: str) -> bool:
        path = self._path(key)
        with self._guarded(key):
            return path.is_file() or self._absent()

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._guarded(key), self._locked(key):
            try:
                path.unlink()
            except _NO_SUCH:
                return
            except PermissionError:  # macOS says so of a folder
                if path.is_dir():
                    return
                raise
            _sync_folder(path.parent)

    def list(self, prefix: str = "") -> Iterator[str]:
        folder, _, _ = prefix.rpartition("/")
        try:
            start = self._path(folder) if folder else self._root
        except Poison:
            return
        with self._guarded(prefix):
            self._absent()
            yield from self._walk(start, f"{folder}/" if folder else "", prefix)

    def uri(self, key: str) -> str:
        return (self._root / check_key(key)).as_uri()

    # ------------------------------------------------------------------ files

    @contextmanager
    def _guarded(self, key: str) -> Iterator[None]:
        """`_translated`; and while the whole folder is away, as a volume that is not mounted, nothing is said to be
        missing or wrong: an upload would go to the dead letters for it.
        """
        try:
            with _translated(key):
                yield
        except (NotFound, Poison):
            self._absent()
            raise

    def _absent(self) -> bool:
        """False: an object that was not found is really not there. Raises `Retryable` when the whole store is away."""
        if not self._aside.is_dir():
            raise Retryable(f"the folder of the object store is away: {self._root}")
        return False

    def _path(self, key: str) -> Path:
        """Where the object lies. A symbolic link that leads out of the folder is refused."""
        path = self._root / check_key(key)
        if not self._has_link(key):
            return path
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a loop of links
            real = Path("/")
        if not real.is_relative_to(self._root):
            raise Poison(f"the key {key!r} leads out of the store")
        return path

    def _has_link(self, key: str) -> bool:
        """Whether anything on the way to the object is a link. Resolving a path without any took most of a small read."""
        at = str(self._root)
        for name in key.split("/"):
            at = f"{at}/{name}"
            try:
                mode = os.lstat(at).st_mode
            except OSError:
                return False  # what is not there is not followed
            if stat.S_ISLNK(mode):
                return True
        return False

    def _walk(self, folder: Path, at: str, prefix: str) -> Iterator[str]:
        try:
            entries = list(os.scandir(folder))
        except _NO_SUCH:
            return
        folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        # "a-b" sorts before "a/b", so a folder is sorted with its slash.
        for name in sorted(f"{entry.name}/" if entry.name in folders else entry.name for entry in entries):
            key = at + name
            if not key.startswith(prefix[: len(key)]) or key == f"{RESERVED}/":
                continue
            if name.endswith("/"):
                yield from self._walk(folder / name[:-1], key, prefix)
            elif key.startswith(prefix) and (folder / name).is_file():
                yield key

    @contextmanager
    def _written_aside(self, data: bytes) -> Iterator[Path]:
        aside = self._aside / uuid.uuid4().hex
        try:
            with aside.open("wb", buffering=0) as file:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            yield aside
        finally:
            aside.unlink(missing_ok=True)

    def _move(self, aside: Path, path: Path) -> None:
        made = _make_folders(path.parent)
        aside.replace(path)
        for folder in made:  # a folder whose own entry is not synced may vanish with all it holds in a power cut
            _sync_folder(folder.parent)
        _sync_folder(path.parent)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        stripe = hashlib.sha256(key.encode()).digest()[0] % _STRIPES
        with (self._locks / f"{stripe:02d}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remove_stale(self) -> None:
        """Unfinished writes of killed processes."""
        oldest = time.time() - _STALE_SECONDS
        for entry in os.scandir(self._aside):
            try:
                if entry.stat().st_mtime < oldest:
                    Path(entry.path).unlink()
            except FileNotFoundError:
                continue


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """The disk's troubles as ours: a full or broken disk is worth a retry, a clash of a file and a folder is not."""
    try:
        yield
    except (NotADirectoryError, IsADirectoryError, FileExistsError):
        raise Poison(f"the key {key!r} is a folder of another key, or the other way round") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Poison(f"the key {key[:80]!r}… is too long for this disk") from None
        raise Retryable(f"the local object store: {error.strerror or type(error).__name__} ({key!r})") from error


def _make_folders(folder: Path) -> list[Path]:
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
        if folder.is_file():
            raise NotADirectoryError(folder)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return missing


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _etag(data: bytes) -> ETag:
    return ETag(hashlib.sha256(data).hexdigest())
