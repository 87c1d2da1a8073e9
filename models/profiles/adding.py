"""`weft models add`: take a model of one's own into a profile. It is checked, converted where needed, copied, listed, and named in the file.

    asked → a function of the part fills an empty folder, beside the profiles → every file is listed with its hash
          → the file is checked → the folder is put in place → profile.yaml is replaced in one step

Refused, it leaves nothing behind. Killed anywhere, the profile is the one before. A folder has its hash in its name, so that a process that runs goes on with its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import yaml

from models.profiles.kinds import KINDS, kind_of, notes, unknown
from models.profiles.profile import PART_NAMES, Part, Profile
from models.profiles.reading import FILE, OWN, find, is_name, option_of, parse
from models.weights.bases import locked
from models.weights.hashes import MARKER, list_folder, sha256_of
from models.weights.hashes import OWN as TAKEN
from processors import plain_yaml
from processors.errors import BadSetting, Fatal
from processors.plain_yaml import YamlProblem

_ADDING = ".adding-"
DEFAULT = "own"
"""The profile that a part is added to where none is named."""

ADDERS: Mapping[str, str] = {
    "detector": "models.detector.adding:take",
    "encoder": "models.encoder.adding:take",
    "writer": "models.writer.adding:take",
    "captioner": "models.writer.adding:take",
}
"""Who takes a file, folder or address for a part: "module:function" of `Asked`, an empty folder and who is told, giving the part.

What it leaves in the folder becomes the part's own: it is listed and hashed here. An empty folder is not kept. It raises `Fatal`
(or `BadSetting`, which names an option) where it refuses, and nothing has changed then.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says.

    Args:
        part: one of `PART_NAMES`.
        source: a file, a folder, an address, or the name of a kind that has no weights ("rules").
        profile: that it is added to.
        kind: of the part; "": whoever takes it finds out.
        model: the name of a model on a server.
        key_file: with the key of that server.
        classes: a map of a detector's classes.
        licence: in the user's words.
        options: of the kind, as text.
        replace: an encoder may be replaced within its profile.
        cache: the model cache, in which the starter's bases lie.
    """

    part: str
    source: str
    profile: str = DEFAULT
    kind: str = ""
    model: str = ""
    key_file: Path | None = None
    classes: Path | None = None
    licence: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    replace: bool = False
    cache: Path = Path()


class Added(msgspec.Struct, frozen=True):
    """What `weft models add --json` prints. `changes`: sentences of what is to be done or known now."""

    profile: str
    file: str
    part: str
    kind: str
    path: str
    sha256: str
    was: str
    changes: tuple[str, ...]


Take = Callable[[Asked, Path, Callable[[str], None]], Part]


def add(asked: Asked, cache: Path, *, progress: Callable[[str], None]) -> Added:
    """Take it, and return what was done.

    Raises:
        BadSetting: the command line or the profile's file is wrong.
        Fatal: what was given is refused; the sentence says why.
    """
    if asked.part not in PART_NAMES:
        raise BadSetting(unknown("part", asked.part, PART_NAMES))
    if not is_name(asked.profile):
        raise BadSetting(
            f"--profile: {asked.profile!r} cannot be changed: say a name of your own, of letters, digits, dots and hyphens"
        )
    asked = replace(asked, cache=cache)
    home = cache / OWN / asked.profile
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache, "profiles", progress):
        before = find(asked.profile, cache) if (home / FILE).is_file() else find("starter", cache)
        _may_replace(asked, before)
        with _workplace(cache / OWN) as work:
            ready = work / "ready"
            ready.mkdir()
            part = _taken(asked, ready, progress)
            own = any(ready.iterdir())
            if own:
                part = _listed(asked.part, part, ready)
            said = _file_with(home, asked, part)
            _check(said, home / FILE)
            written = work / "said"
            written.write_text(said, encoding="utf-8")
            # Nothing is refused from here on: only now is there anything of it where profiles lie.
            home.mkdir(exist_ok=True)
            if own:
                _place(ready, home / part.path)
            written.replace(home / FILE)
        now = find(asked.profile, cache)
        _remove_unused(home, now)
    was = before.parts[asked.part].kind
    found = now.parts[asked.part]
    return Added(
        now.name, now.file, asked.part, found.kind, found.path, found.sha256, was, _changes(asked, now, cache)
    )  # fmt: skip


def _may_replace(asked: Asked, before: Profile) -> None:
    """The vectors of a generation are read by its profile's encoder: replaced, that generation could not be asked any more."""
    if asked.part == "encoder" and before.parts["encoder"].profile == asked.profile and not asked.replace:
        raise BadSetting(
            f"the profile {asked.profile!r} has an encoder of its own, and generations of the index may hold its vectors:"
            " say another --profile, or --replace where none does"
        )


def _taken(asked: Asked, ready: Path, progress: Callable[[str], None]) -> Part:
    if asked.kind:
        kind_of(asked.part, asked.kind)
    given = _options(asked)
    part = Part(kind=asked.source, options=given) if _is_bare(asked) else _from_source(asked, ready, progress)
    if strange := sorted(asked.options.keys() - KINDS[asked.part][part.kind].options.keys()):
        raise BadSetting(f"--option: a {asked.part} of the kind {part.kind} takes no {', '.join(strange)}")
    return msgspec.structs.replace(part, licence=asked.licence or part.licence, options={**given, **part.options})


def _from_source(asked: Asked, ready: Path, progress: Callable[[str], None]) -> Part:
    _check_source(asked)
    name = ADDERS.get(asked.part)
    if name is None:
        bare = tuple(kind for kind, one in KINDS[asked.part].items() if one.needs == "nothing")
        raise BadSetting(f"{asked.part}: {asked.source} cannot be added; say {' or '.join(bare)}")
    module, _, function = name.partition(":")
    take: Take = getattr(import_module(module), function)
    try:
        return take(asked, ready, progress)
    except Fatal as error:
        # Where it was copied to for the trial is nobody's business.
        raise type(error)(str(error).replace(str(ready), asked.source)) from error


def _check_source(asked: Asked) -> None:
    """Raise `BadSetting` for an address where there is none to be taken from, and for what is said of another way in."""
    servers = asked.part in {"writer", "captioner"}
    address = asked.source.lower().startswith(("http://", "https://"))
    if "://" in asked.source and not (servers and address):
        how = (
            "the address of a server begins with http:// or https://" if servers else "fetch it, and say where it lies"
        )
        raise BadSetting(f"{asked.source} is no file or folder: {how}")
    if (asked.model or asked.key_file) and not (servers and (address or asked.kind == "openai")):
        raise BadSetting("--model and --key-file are of a writer or captioner behind an address")
    if asked.classes and asked.part != "detector":
        raise BadSetting(f"--classes: a detector has classes, no {asked.part}")


def _is_bare(asked: Asked) -> bool:
    """Whether the source is the name of a kind without weights ("rules")."""
    plain = KINDS[asked.part].get(asked.source)
    return plain is not None and plain.needs == "nothing" and not asked.kind


def _options(asked: Asked) -> dict[str, Any]:
    """The options with their values, before anything is opened or asked.

    Raises:
        BadSetting: an option that no kind of this part has, or a value that none takes.
    """
    kinds = KINDS[asked.part]
    chosen = asked.source if _is_bare(asked) else asked.kind
    able = [kinds[chosen]] if chosen else list(kinds.values())
    known = tuple(sorted({option for kind in able for option in kind.options}))
    found: dict[str, Any] = {}
    for name, said in asked.options.items():
        wrong = "" if known else f"a {asked.part} {f'of the kind {chosen} ' if chosen else ''}takes none, not {name}"
        for option in (kind.options[name] for kind in able if name in kind.options):
            try:
                found[name] = option_of(said, option)
                break
            except YamlProblem as error:
                wrong = f"{name}: {error.problem}"
        if name not in found:
            raise BadSetting(f"--option: {wrong or unknown('option', name, known)}")
    return found


@contextlib.contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    """A fresh folder beside the profiles (renames stay on one file system), which goes, with whatever killed commands left. Call it locked."""
    made = not parent.exists()
    parent.mkdir(exist_ok=True)
    for dead in parent.glob(f"{_ADDING}*"):
        shutil.rmtree(dead, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=_ADDING, dir=parent) as work:
            yield Path(work)
    finally:
        if made and not any(parent.iterdir()):
            parent.rmdir()


def _listed(name: str, part: Part, ready: Path) -> Part:
    """List the folder's files; the part then says where it is going to lie."""
    list_folder(ready, name, TAKEN)
    for path in ready.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # a shared cache must be readable, whoever converted
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    digest = sha256_of(ready / MARKER)
    ready.chmod(0o755)
    return msgspec.structs.replace(part, path=f"{name}-{digest[:12]}", sha256=digest)


def _place(ready: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)  # the same, or what a killed command left of it
    ready.rename(folder)


def _file_with(home: Path, asked: Asked, part: Part) -> str:
    """`profile.yaml` with this part; what else stands in it stays, but for its comments."""
    file = home / FILE
    said: dict[str, Any] = yaml.safe_load(plain_yaml.read(file)) if file.is_file() else {}
    said = said or {"name": asked.profile, "extends": "starter"}
    said["parts"] = dict(said.get("parts") or {})
    fields = ("kind", "path", "sha256", "options", "needs", "licence", "why", "source")
    known = {name: getattr(part, name) for name in fields}
    said["parts"][asked.part] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in known.items() if value
    }
    return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120))


def _check(said: str, file: Path) -> None:
    try:
        parse(said, file)
    except YamlProblem as error:
        raise Fatal(f"what was taken makes no profile: {error}") from error


def _remove_unused(home: Path, now: Profile) -> None:
    """Folders of this profile that its file names no more."""
    used = {Path(part.path).name for part in now.parts.values() if part.path}
    for folder in home.iterdir():
        made_here = any(folder.name.startswith(f"{name}-") for name in PART_NAMES)
        if folder.is_dir() and made_here and folder.name not in used:
            shutil.rmtree(folder, ignore_errors=True)


def _changes(asked: Asked, now: Profile, cache: Path) -> tuple[str, ...]:
    name = now.called
    start, into = f"from the next start with WEFT_PROFILE={name} on", f"--into GENERATION --profile {name}"
    told = {
        "detector": (f"what comes is seen by it {start}; what is there: weft replay --topic catalog.uploads {into}",),
        "encoder": (
            "another space: its vectors do not meet those of before, so it needs a generation of the index of its own",
            f"leave WEFT_PROFILE as it is: weft replay --topic catalog.items {into}; weft index swap GENERATION",
            f"(in a new data dir, where nothing is indexed yet, start with WEFT_PROFILE={name})",
        ),
        "facets": (f"facets are read by it {start}",),
        "writer": (f"captions are written by it {start}; what is there: weft captions rewrite",),
        "captioner": (f"triplets are described by it {start}, and WEFT_TRIPLET_CAPTIONS=vision",),
    }[asked.part]
    return (*told, *notes(now, cache))
