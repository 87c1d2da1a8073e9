"""Profiles from files: found by name or path, read with line and column, with what they extend taken in."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from models.profiles.kinds import KINDS, Kind, Option, settle, unknown
from models.profiles.profile import FAKE, PART_NAMES, Artefact, Part, Profile, Source
from processors import plain_yaml
from processors.errors import BadSetting
from processors.plain_yaml import YamlProblem, at, mapping, sequence, text

FOLDER = Path(__file__).parent
BUILT_IN = ("starter", "starter-bf16", "full")
OWN = "profiles"
"""Folder of the model cache with a folder of each profile of one's own."""
FILE = "profile.yaml"
SUFFIXES = (".yaml", ".yml")
DEEPEST = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("name", "about", "extends", "parts", "artefacts")
_PART = ("kind", "path", "sha256", "options", "needs", "optional", "licence", "why", "source")
_ARTEFACT = ("name", "kind", "source", "licence", "why", "sha256", "files", "conversion")
_ARRIVES = ("package", "wheel", "hub", "folder")
_CONVERSIONS = ("copy", "gguf-llama", "efficientnet-lite0", "hub")


def find(name: str, cache: Path) -> Profile:
    """The profile of this name (built in, or `CACHE/profiles/NAME/profile.yaml`), or the one of a file or its folder.

    Args:
        name: what has a slash or ends in .yaml is a path.
        cache: the model cache.

    Raises:
        BadSetting: there is none, or its file is wrong: names file, line and column.
    """
    return _found(name, cache, ())


def file_of(name: str, cache: Path) -> Path:
    """Where `find` looks."""
    if name in BUILT_IN:
        return FOLDER / f"{name}.yaml"
    if is_path(name):
        path = Path(name).expanduser().absolute()
        return path / FILE if path.is_dir() else path
    return cache / OWN / name / FILE


def is_path(name: str) -> bool:
    """Whether a profile is named by its file rather than by name."""
    return "/" in name or os.sep in name or name.endswith(SUFFIXES)


def canonical(name: str) -> str:
    """What names the same profile from every folder: a name as it is, a path made absolute."""
    return str(Path(name).expanduser().absolute()) if is_path(name) else name


def is_name(name: str) -> bool:
    """Whether a profile of one's own may be called so."""
    return _NAME.fullmatch(name) is not None and not is_path(name) and name not in {*BUILT_IN, FAKE}


def names(cache: Path) -> tuple[str, ...]:
    """Every profile that can be named: the built-in ones, then one's own."""
    return (*BUILT_IN, *sorted(path.parent.name for path in (cache / OWN).glob(f"*/{FILE}")))


def _found(name: str, cache: Path, above: tuple[Path, ...]) -> Profile:
    file = file_of(name, cache)
    if not is_path(name) and name not in BUILT_IN and (_NAME.fullmatch(name) is None or not file.is_file()):
        raise BadSetting(f"{unknown('profile', name, names(cache))}, or the path of a file")
    if file in above:
        raise BadSetting(f"{file}: it extends itself: {' → '.join(path.name for path in (*above, file))}")
    if len(above) >= DEEPEST:
        raise BadSetting(f"{file}: more than {DEEPEST} profiles extend one another")
    try:
        stat = file.stat()
        read = _read(file, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        raise BadSetting(f"there is no profile {file}") from None
    except OSError as error:
        raise BadSetting(f"{file}: cannot be read: {error.strerror}") from error
    except YamlProblem as error:
        raise BadSetting(f"{file}, {error}") from error
    below = None
    if read.extends:
        extends = read.extends if not is_path(read.extends) else str(file.parent / read.extends)
        below = _found(extends, cache, (*above, file))
    return _merged(msgspec.structs.replace(read, called=canonical(name)), below, file)


@functools.lru_cache(maxsize=64)
def _read(file: Path, _size: int, _mtime_ns: int) -> Profile:
    """What stands in a file alone; kept, as every model of a process asks for it."""
    return parse(plain_yaml.read(file), file)


def parse(said: str, file: Path) -> Profile:
    """What a file says, without what it extends. Raises `YamlProblem`."""
    root = plain_yaml.compose(said)
    if root is None:
        raise YamlProblem(1, 1, f"is empty: a profile has some of {', '.join(_FIELDS)}")
    fields = mapping(root, _FIELDS)
    if "name" not in fields:
        raise at(root, "name is missing")
    name = text(fields["name"])
    if _NAME.fullmatch(name) is None:
        raise at(fields["name"], "a name has at most 64 letters, digits, dots, hyphens and underscores")
    artefacts = tuple(_artefact(node) for node in sequence(fields.get("artefacts")))
    parts = mapping(fields["parts"], PART_NAMES) if "parts" in fields else {}
    made = {part: _part(part, node, name, file) for part, node in parts.items()}
    extends = text(fields["extends"]) if "extends" in fields else ""
    if not extends and (lacking := [part for part in PART_NAMES if part not in made]):
        raise at(root, f"it names no {', no '.join(lacking)}, and extends no profile that does (`extends: starter`)")
    about = text(fields["about"]) if "about" in fields else ""
    return Profile(name, artefacts, made, str(file), extends, about)


def _part(part: str, node: yaml.Node, profile: str, file: Path) -> Part:
    fields = mapping(node, _PART)
    if "kind" not in fields:
        raise at(node, f"kind is missing: one of {', '.join(KINDS[part])}")
    kind = text(fields["kind"])
    known = KINDS[part].get(kind)
    if known is None:
        raise at(fields["kind"], unknown(f"kind of {part}", kind, tuple(KINDS[part])))
    needs = tuple(text(one) for one in sequence(fields.get("needs")))
    path = text(fields["path"]) if "path" in fields else ""
    sha256 = text(fields["sha256"]).removeprefix("sha256:") if "sha256" in fields else ""
    if sha256 and _SHA256.fullmatch(sha256) is None:
        raise at(fields["sha256"], "a SHA-256 has 64 digits from 0 to f")
    if path and not sha256:
        raise at(
            node, "sha256 is missing: of the file, or of the folder's weft-artefact.json; `weft models add` writes it"
        )
    if known.needs == "path" and not (path or needs):
        raise at(node, f"path is missing: {kind} loads a file or a folder")
    if known.needs != "path" and path:
        raise at(fields["path"], f"{kind} takes no path")
    licence, why, source = (text(fields[name]) if name in fields else "" for name in ("licence", "why", "source"))
    return Part(
        kind=kind,
        path=str((file.parent / Path(path).expanduser()).absolute()) if path else "",
        sha256=sha256,
        options=_options(fields.get("options", _none(node)), kind, known),
        needs=needs,
        optional=plain_yaml.flag(fields["optional"]) if "optional" in fields else False,
        profile=profile,
        licence=licence,
        why=why,
        source=source,
    )


def _none(node: yaml.Node) -> yaml.Node:
    """No options, in the place of their part: what a kind cannot do without is missed there."""
    return yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)


def _options(node: yaml.Node, name: str, kind: Kind) -> Mapping[str, Any]:
    if not kind.options and mapping(node, None):
        raise at(node, f"{name} takes no options")
    fields = mapping(node, tuple(kind.options) or None)
    found = {said: _value(value, kind.options[said]) for said, value in fields.items()}
    try:
        settle(kind, found)
    except BadSetting as error:
        wrong = next(
            (value for said, value in fields.items() if f"{said}:" in str(error) or f"`{said}`" in str(error)), node
        )
        raise at(wrong, str(error)) from error
    return found


def option_of(said: str, option: Option) -> Any:
    """The value of an option that is said alone, as on a command line. Raises `YamlProblem`."""
    if option.type == "text":
        mark = yaml.Mark("", 0, 0, 0, None, 0)
        return _value(yaml.ScalarNode("tag:yaml.org,2002:str", said, mark), option)
    node = plain_yaml.compose(said)
    if node is None:
        raise YamlProblem(1, 1, "is empty")
    return _value(node, option)


def _value(node: yaml.Node, option: Option) -> Any:
    if option.type == "whole":
        return plain_yaml.whole(node, int(option.least), int(option.most))
    if option.type == "number":
        return plain_yaml.number(node, option.least, option.most)
    if option.type == "flag":
        return plain_yaml.flag(node)
    if option.type == "words":
        return plain_yaml.words(node)
    return plain_yaml.one_of(node, option.one_of) if option.one_of else text(node)


def _artefact(node: yaml.Node) -> Artefact:
    fields = mapping(node, _ARTEFACT)
    for needed in ("name", "kind", "source", "licence", "why"):
        if needed not in fields:
            raise at(node, f"{needed} is missing")
    name = text(fields["name"])
    if _NAME.fullmatch(name) is None:
        raise at(fields["name"], "a name has at most 64 letters, digits, dots, hyphens and underscores")
    return Artefact(
        name=name,
        kind=plain_yaml.one_of(fields["kind"], _ARRIVES),
        source=text(fields["source"]),
        licence=text(fields["licence"]),
        why=text(fields["why"]),
        sha256=text(fields["sha256"]) if "sha256" in fields else "",
        files=tuple(_source(one) for one in sequence(fields.get("files"))),
        conversion=plain_yaml.one_of(fields["conversion"], _CONVERSIONS) if "conversion" in fields else "copy",
    )


def _source(node: yaml.Node) -> Source:
    fields = mapping(node, ("path", "sha256", "target"))
    if "path" not in fields:
        raise at(node, "path is missing")
    for name in ("path", "target"):
        if name in fields and (Path(said := text(fields[name])).is_absolute() or ".." in Path(said).parts):
            raise at(fields[name], "expected a path below the artefact's folder")
    return Source(**{name: text(value) for name, value in fields.items()})


def _merged(own: Profile, below: Profile | None, file: Path) -> Profile:
    """A profile with the parts and artefacts of the one that it extends, as far as it uses them."""
    parts: dict[str, Part] = {}
    for name in PART_NAMES:
        under = None if below is None else below.parts[name]
        mine = own.parts.get(name)
        if mine is None:
            assert under is not None  # parse has seen to it
            parts[name] = under
        else:
            parts[name] = msgspec.structs.replace(mine, otherwise=under) if mine.optional else mine
            if mine.optional and under is None:
                raise BadSetting(f"{file}: parts.{name} is optional, and it extends no profile that has another")
    known = {one.name: one for one in (*(() if below is None else below.artefacts), *own.artefacts)}
    needed = [need for part in parts.values() for need in _needs(part)]
    for need in needed:
        if need not in known:
            raise BadSetting(f"{file}: a part needs the artefact {need!r}, which nobody describes")
    wanted = {one.name: one for one in own.artefacts} | {need: known[need] for need in needed}
    return msgspec.structs.replace(own, parts=parts, artefacts=tuple(wanted.values()))


def _needs(part: Part) -> tuple[str, ...]:
    return (*part.needs, *(() if part.otherwise is None else _needs(part.otherwise)))
