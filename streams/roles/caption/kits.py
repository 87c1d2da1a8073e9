"""Brand kits from files: YAML, checked with line and column, one file a kit and a folder of them a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from processors import kit as kits
from processors.caption_phrases import TONES
from processors.channels import LIMITS, MIN_CHARACTERS
from processors.errors import BadSetting
from processors.kit import Kit
from processors.languages.grammar import ORDERED
from processors.values import Metadata
from processors.verify import MAX_HASHTAGS
from processors.vocabulary import clean

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 65_536
MAX_PHRASES, MAX_PHRASE = 200, 200
_ALIASES = {"color": "colour", "category": "kind", "gender": "audience"}
_FIELDS = ("tone", "locale", "required", "banned", "max_chars", "hashtags", "emoji", "order")


class KitProblem(Exception):
    """What is wrong with a kit: `line` and `column` count from 1."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.line, self.column, self.problem = line, column, problem


@dataclass(frozen=True, slots=True)
class Kits:
    """The kits of a worker, by name."""

    by_name: Mapping[str, Kit] = field(default_factory=dict)

    def of(self, metadata: Metadata) -> tuple[Kit, tuple[str, ...]]:
        """The kit that an upload chooses, and why its caption has to wait: it chose one that nobody has."""
        default = self.by_name.get(kits.DEFAULT, kits.PLAIN)
        chosen = next((value.strip() for name, value in metadata.facets.items() if clean(name) == kits.NAME), "")
        if (
            not chosen or not self.by_name
        ):  # where nobody keeps kits, the word is a shop's own: the kit of a football club
            return default, ()
        found = self.by_name.get(chosen)
        return (default, (kits.UNKNOWN,)) if found is None else (found, ())


NO_KITS = Kits()


def load(folder: Path | None) -> Kits:
    """All kits of a folder: `acme.yaml` is the kit "acme", `default.yaml` is for uploads that choose none.

    Raises:
        BadSetting: there is no such folder, or a file of it is no kit; names file, line and column.
    """
    if folder is None:
        return NO_KITS
    if not folder.is_dir():
        raise BadSetting(f"WEFT_KITS: {folder} is no folder")
    found: dict[str, Kit] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise BadSetting(f"WEFT_KITS: {path}: there is another kit of the name {path.stem!r}")
        try:
            found[path.stem] = read(path)
        except KitProblem as error:
            raise BadSetting(f"WEFT_KITS: {path}, {error}") from error
    return Kits(found)


def read(path: Path) -> Kit:
    """The kit of one file. Raises `KitProblem` with the place of what is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KitProblem(1, 1, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise KitProblem(1, 1, f"is longer than {MAX_BYTES} bytes")
    try:
        return parse(data.decode("utf-8-sig"), path.stem)
    except UnicodeDecodeError as error:
        raise KitProblem(data[: error.start].count(b"\n") + 1, 1, "is not UTF-8") from error


def parse(text: str, name: str) -> Kit:
    """A kit from YAML: plain values only, no anchors, no tags, no field twice. Raises `KitProblem`."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise KitProblem(1, 1, "aliases are not read")
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise KitProblem(line, column, f"is no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise KitProblem(1, 1, f"is no YAML: {error}") from error
    if root is None:
        raise KitProblem(1, 1, f"is empty: a kit has some of {', '.join(_FIELDS)}")
    fields = _mapping(root, _FIELDS)
    tags = _mapping(fields["hashtags"], ("max", "banned")) if "hashtags" in fields else {}
    made = Kit(
        name=name,
        tone=_text(fields["tone"]) if "tone" in fields else Kit().tone,
        locale=_text(fields["locale"]) if "locale" in fields else Kit().locale,
        required=_phrases(fields.get("required")),
        banned=_phrases(fields.get("banned")),
        max_chars=_limits(fields.get("max_chars")),
        max_hashtags=_number(tags["max"], 0, MAX_HASHTAGS) if "max" in tags else None,
        banned_hashtags=_phrases(tags.get("banned")),
        emoji=_one_of(fields["emoji"], ("never", "some")) if "emoji" in fields else "never",
        order=_order(fields.get("order")),
    )
    where, problem = kits.problem_of(made, TONES)
    if problem:
        raise _at(_node(fields, where), problem)
    return made


def _node(fields: Mapping[str, yaml.Node], where: str) -> yaml.Node:
    name, _, n = where.partition(".")
    node = fields[name]
    return node.value[int(n)] if n and isinstance(node, yaml.SequenceNode) else node


def _at(node: yaml.Node, problem: str) -> KitProblem:
    return KitProblem(node.start_mark.line + 1, node.start_mark.column + 1, problem)


def _mapping(node: yaml.Node, known: tuple[str, ...]) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _at(node, f"expected fields, some of {', '.join(known)}")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value)
        if name not in known:
            raise _at(key, f"there is no field {name!r}; there are {', '.join(known)}")
        if name in found:
            raise _at(key, f"{name} stands here a second time")
        found[name] = value
    return found


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        raise _at(node, "expected a word")
    return str(node.value).strip()


def _number(node: yaml.Node, least: int, most: int) -> int:
    text = node.value if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:int" else ""
    if not str(text).isdigit() or not least <= int(text) <= most:
        raise _at(node, f"expected a whole number from {least} to {most}")
    return int(text)


def _one_of(node: yaml.Node, known: tuple[str, ...]) -> Any:
    value = _text(node)
    if value not in known:
        raise _at(node, f"expected one of {', '.join(known)}, got {value!r}")
    return value


def _sequence(node: yaml.Node | None) -> list[yaml.Node]:
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise _at(node, "expected a list")
    return list(node.value)


def _phrases(node: yaml.Node | None) -> tuple[str, ...]:
    found: list[str] = []
    for one in _sequence(node):
        phrase = " ".join(_text(one).split())
        if len(phrase) > MAX_PHRASE or not phrase.isprintable() or not any(c.isalnum() for c in phrase):
            raise _at(one, f"expected words, at most {MAX_PHRASE} characters of them")
        found.append(phrase)
    if len(found) > MAX_PHRASES and node is not None:
        raise _at(node, f"has more than {MAX_PHRASES} entries")
    return tuple(dict.fromkeys(found))


def _limits(node: yaml.Node | None) -> dict[str, int]:
    if node is None:
        return {}
    most = {name: max(limit, 5000) for name, limit in LIMITS.items()}
    return {name: _number(value, MIN_CHARACTERS, most[name]) for name, value in _mapping(node, tuple(LIMITS)).items()}


def _order(node: yaml.Node | None) -> tuple[str, ...]:
    found: list[str] = []
    for one in _sequence(node):
        name = _ALIASES.get(_text(one).lower(), _text(one).lower())
        if name not in ORDERED:
            raise _at(one, f"there is no fact {name!r}; there are {', '.join(ORDERED)}")
        if name in found:
            raise _at(one, f"{name} stands here a second time")
        found.append(name)
    return tuple(found)
