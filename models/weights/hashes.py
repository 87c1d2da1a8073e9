"""Hashes of weight files: what a folder should hold, and whether it still does.

A folder of weights carries one JSON file that names the SHA-256 of every other file in it: `manifest.json` beside the
weights that Weft ships, `weft-artefact.json` in each unpacked base. Nothing is loaded that is not listed or differs.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from processors.errors import Fatal

MANIFEST = "manifest.json"
MARKER = "weft-artefact.json"
RESTORE_SHIPPED = "restore it from the repository (`git checkout models/starter`)"
RESTORE_BASE = "run `weft models pull starter`"
RESTORE_FULL = "run `weft models pull full`"
RESTORE_OWN = "add it again (`weft models add`)"
OWN = "own"
"""The conversion, in the marker, of what `weft models add` took."""


class Shipped(msgspec.Struct, frozen=True):
    """One file of `models/starter` as `manifest.json` lists it."""

    sha256: str
    bytes: int
    licence: str
    recipe: str


class Manifest(msgspec.Struct, frozen=True):
    """`models/starter/manifest.json`: path relative to it → file."""

    files: dict[str, Shipped]


class Marker(msgspec.Struct, frozen=True):
    """`weft-artefact.json`, written last into an unpacked base: its presence says that the folder is complete."""

    artefact: str
    source: str
    source_sha256: str
    conversion: str
    files: dict[str, str]


class Problem(NamedTuple):
    """A file that is missing or not what it should be, and what to do about it."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: str | bytes) -> str:
    """`sha256:…` over length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"sha256:{digest.hexdigest()}"


def shipped_problems(folder: Path) -> list[Problem]:
    """Compare a folder of shipped weights with its `manifest.json`, both ways."""
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        return [Problem(manifest_path, f"missing: {RESTORE_SHIPPED}")]
    files = _manifest(manifest_path).files
    expected = {name: shipped.sha256 for name, shipped in files.items()}
    stray = [path for path in weight_files(folder) if path.relative_to(folder).as_posix() not in expected]
    return _differences(folder, expected, RESTORE_SHIPPED) + [
        Problem(path, "not in manifest.json: run `python -m models.recipes.ship` if it should be shipped")
        for path in stray
    ]


def base_problems(folder: Path) -> list[Problem]:
    """Compare an unpacked base with its marker."""
    marker_path = folder / MARKER
    if not marker_path.is_file():
        return [Problem(folder, f"missing: {RESTORE_BASE}")]
    return _differences(folder, read_marker(folder).files, RESTORE_BASE)


def full_problems(folder: Path) -> list[Problem]:
    """Compare a folder of the profile `full` with its marker, both ways: a file that nobody listed is a problem too."""
    return folder_problems(folder, sha256_of)


def folder_problems(folder: Path, read: Callable[[Path], str] | None = None) -> list[Problem]:
    """`full_problems` of any folder with a marker.

    Args:
        folder: of weights.
        read: gives the digest of a file; None: each file is read once a process.
    """
    marker_path = folder / MARKER
    if not marker_path.is_file():
        return [Problem(folder, f"missing: {RESTORE_FULL}")]
    marker = read_marker(folder)
    listed = {*marker.files, MARKER}
    stray = [path for path in weight_files(folder) if path.relative_to(folder).as_posix() not in listed]
    differences = _differences(folder, marker.files, _restore(marker), read or _digest_once)
    return differences + [Problem(path, f"not listed in {MARKER}") for path in stray]


def check_weights(path: Path) -> str:
    """Refuse a weight file that is not listed beside it or whose bytes differ; call this before every load.

    Args:
        path: a file in (or below) a folder with `manifest.json`, or in a folder with `weft-artefact.json`.

    Returns:
        `sha256:…` of the file, for fingerprints.

    Raises:
        Fatal: the file or its list is missing, the list does not name it, or the hash differs.
    """
    if not path.is_file():
        raise Fatal(f"{path} is missing: {RESTORE_BASE}")
    for folder in path.parents:
        if (folder / MARKER).is_file():
            marker = read_marker(folder)
            expected, advice = marker.files, _restore(marker)
        elif (folder / MANIFEST).is_file():
            files = _manifest(folder / MANIFEST).files
            expected, advice = {name: shipped.sha256 for name, shipped in files.items()}, RESTORE_SHIPPED
        else:
            continue
        return f"sha256:{_checked(path, expected.get(path.relative_to(folder).as_posix()), advice)}"
    raise Fatal(f"{path}: no {MANIFEST} or {MARKER} lists this file, so it is not loaded")


def listed_hash(path: Path) -> str:
    """What the marker beside a file of a base says of it, without reading the file: for what was made from it before.

    Raises:
        Fatal: the file or the marker is missing, or the marker does not name it.
    """
    if not path.is_file() or not (path.parent / MARKER).is_file():
        raise Fatal(f"{path} is missing: {RESTORE_BASE}")
    found = read_marker(path.parent).files.get(path.name)
    if found is None:
        raise Fatal(f"{path} is in no list of known weights, so it is not loaded")
    return f"sha256:{found}"


def check_folder(folder: Path) -> None:
    """`check_weights` for each listed file of an unpacked base, or of an adapter kept as a folder.

    Raises:
        Fatal: as there; or the folder holds no marker and no file.
    """
    listed = read_marker(folder).files if (folder / MARKER).is_file() else ()
    paths = [folder / name for name in listed] or weight_files(folder)
    if not paths:
        raise Fatal(f"{folder} is empty: {RESTORE_BASE}")
    for path in paths:
        check_weights(path)


def weight_files(folder: Path) -> list[Path]:
    """All files below a folder of shipped weights, except the list itself and what the system strews."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {MANIFEST, "__init__.py"} and "__pycache__" not in path.parts
    )


def read_marker(folder: Path) -> Marker:
    """The marker of an unpacked base. Raises `Fatal` when it is not one."""
    try:
        return msgspec.json.decode((folder / MARKER).read_bytes(), type=Marker)
    except msgspec.DecodeError as error:
        raise Fatal(f"{folder / MARKER} is damaged ({error}): {RESTORE_BASE}") from error


def list_folder(folder: Path, artefact: str, conversion: str = "hub/own") -> Marker:
    """Write the marker of a folder of one's own weights: every file in it, with its hash. See docs/models/full.md.

    Raises:
        Fatal: the folder holds a pickle (`.bin`, `.pt`, `.pth`, `.ckpt`, `.pkl`), or no file at all.
    """
    paths = [path for path in weight_files(folder) if path.name != MARKER]
    pickles = [path for path in paths if path.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}]
    if pickles or not paths:
        raise Fatal(f"{pickles[0]} may be a pickle: Weft loads safetensors" if pickles else f"{folder} is empty")
    files = {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
    marker = Marker(artefact, f"folder {folder.name}", "", conversion, files)
    (folder / MARKER).write_bytes(msgspec.json.format(msgspec.json.encode(marker), indent=1))
    return marker


def _restore(marker: Marker) -> str:
    """Which profile a base belongs to is told by how it came."""
    if marker.conversion == OWN:
        return RESTORE_OWN
    return RESTORE_FULL if marker.conversion.startswith("hub") else RESTORE_BASE


def _manifest(path: Path) -> Manifest:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise Fatal(f"{path} is damaged ({error}): {RESTORE_SHIPPED}") from error


def _checked(path: Path, expected: str | None, advice: str) -> str:
    if expected is None:
        raise Fatal(f"{path} is in no list of known weights, so it is not loaded")
    found = _digest_once(path)
    if found != expected:
        raise Fatal(f"{path} is damaged (its SHA-256 is not the expected one): {advice}")
    return found


def _digest_once(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    """Hash a large base once per process, not once per adapter; size and time tell when it was replaced."""
    return sha256_of(path)


def _differences(
    folder: Path, expected: dict[str, str], advice: str, read: Callable[[Path], str] = sha256_of
) -> list[Problem]:
    problems = []
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            problems.append(Problem(path, f"missing: {advice}"))
        elif read(path) != digest:
            problems.append(Problem(path, f"damaged (its SHA-256 is not the expected one): {advice}"))
    return problems
