"""YAML that people write by hand: plain values only, no anchors, no tags, no field twice; what is wrong has a line and a column."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 65_536
MAX_DEPTH = 32
"""Lists and fields inside each other; thousands of them take a composer out of its stack."""
_CORE = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map"))
_NULL = "tag:yaml.org,2002:null"


class YamlProblem(Exception):
    """What is wrong with a file: `line` and `column` count from 1."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.line, self.column, self.problem = line, column, problem


def read(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`. Raises `YamlProblem`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlProblem(1, 1, f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise YamlProblem(1, 1, f"is longer than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _in(data[: error.start].decode("utf-8", "ignore"), "is not UTF-8") from error


def compose(text: str) -> yaml.Node | None:
    """The tree of a text, None where it is empty. Raises `YamlProblem`."""
    try:
        _plain(text)
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlProblem(line, column, f"is no YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        raise _in(text[: error.position], f"is no YAML: holds the control character {error.character:#06x}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlProblem(1, 1, f"is no YAML: {error}") from error


def _plain(text: str) -> None:
    """Raises `YamlProblem` in the place of the first alias, foreign tag ("!!python/name:…"), or list that lies too deep."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        problem = ""
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases are not read"
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            depth += isinstance(event, yaml.CollectionStartEvent)
            if depth > MAX_DEPTH:
                problem = f"lies deeper than {MAX_DEPTH} lists or fields"
            elif getattr(event, "tag", None) not in (None, "!", *_CORE):
                problem = "tags are not read: expected a word, a number, a list or fields without one"
        if problem:
            mark = event.start_mark
            raise YamlProblem(mark.line + 1, mark.column + 1, problem) if mark else YamlProblem(1, 1, problem)


def _in(before: str, problem: str) -> YamlProblem:
    """A problem right behind a text."""
    return YamlProblem(before.count("\n") + 1, len(before) - before.rfind("\n"), problem)


def at(node: yaml.Node, problem: str) -> YamlProblem:
    """A problem in the place of a node."""
    return YamlProblem(node.start_mark.line + 1, node.start_mark.column + 1, problem)


def mapping(node: yaml.Node, known: tuple[str, ...] | None) -> dict[str, yaml.Node]:
    """Fields by name. Raises `YamlProblem` for one that is not `known` (None: any is), and for one that stands there twice."""
    if not isinstance(node, yaml.MappingNode):
        raise at(node, "expected fields" + (f", some of {', '.join(known)}" if known else ""))
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise at(key, "expected the name of a field")
        name = str(key.value)
        if known is not None and name not in known:
            raise at(key, f"there is no field {name!r}; there are {', '.join(known)}")
        if name in found:
            raise at(key, f"{name} stands here a second time")
        found[name] = value
    return found


def text(node: yaml.Node) -> str:
    """A word or several; a null that was written out is none. Raises `YamlProblem`."""
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip() or node.tag == _NULL:
        raise at(node, "expected a word")
    return str(node.value).strip()


def whole(node: yaml.Node, least: int, most: int) -> int:
    """A whole number within both. Raises `YamlProblem`."""
    said = node.value if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:int" else ""
    if not str(said).isdigit() or not least <= int(said) <= most:
        raise at(node, f"expected a whole number from {least} to {most}")
    return int(said)


def number(node: yaml.Node, least: float, most: float) -> float:
    """A number within both. Raises `YamlProblem`."""
    try:
        found = float(node.value) if isinstance(node, yaml.ScalarNode) else math.nan
    except ValueError:
        found = math.nan
    if not least <= found <= most:  # false of what is no number
        raise at(node, f"expected a number from {least:g} to {most:g}")
    return found


def flag(node: yaml.Node) -> bool:
    """True or false. Raises `YamlProblem`."""
    if not isinstance(node, yaml.ScalarNode) or node.value not in {"true", "false"}:
        raise at(node, "expected true or false")
    return bool(node.value == "true")


def one_of(node: yaml.Node, known: tuple[str, ...]) -> Any:
    """One of some words. Raises `YamlProblem`."""
    value = text(node)
    if value not in known:
        raise at(node, f"expected one of {', '.join(known)}, got {value!r}")
    return value


def sequence(node: yaml.Node | None) -> list[yaml.Node]:
    """The entries of a list; none of None. Raises `YamlProblem`."""
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise at(node, "expected a list")
    return list(node.value)


def words(node: yaml.Node) -> dict[str, str | None]:
    """Words by word; null is None. Raises `YamlProblem`."""
    found: dict[str, str | None] = {}
    for name, value in mapping(node, None).items():
        nothing = isinstance(value, yaml.ScalarNode) and value.tag == _NULL
        found[name] = None if nothing else text(value)
    return found
