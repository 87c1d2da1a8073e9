"""Texts that may be written, as a tree: literal text, slots that state a fact, choices.

A tree says two things: the expression or grammar that a language model's tokens are held to, and, of a text that fits it,
where each slot stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

from processors.values import Span

_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$])")
Claims: TypeAlias = tuple[tuple[str, str], ...]
"""(garment id, facet) pairs that a slot states."""


class Slot(NamedTuple):
    """Text that states something of a garment."""

    text: str
    claims: Claims


class Choice(NamedTuple):
    """One of the options."""

    options: tuple[Node, ...]


class Seq(NamedTuple):
    """One after the other."""

    parts: tuple[Node, ...]


Node: TypeAlias = "str | Slot | Choice | Seq"


def seq(*parts: Node) -> Seq:
    return Seq(parts)


def any_of(options: Iterable[Node]) -> Node:
    """A choice, or the only option itself; equal texts count once."""
    found = tuple(options)
    # Trees are not compared: each look hashes all that is below.
    if type(found[0]) is str and all(type(option) is str for option in found):
        found = tuple(dict.fromkeys(found))
    return found[0] if len(found) == 1 else Choice(found)


def expression(node: Node) -> str:
    """The regular expression of a tree, without groups that capture."""
    if isinstance(node, str):  # `match` takes twice as long, and some 200 nodes a product are asked
        return _escaped(node)
    if isinstance(node, Seq):
        return "".join([expression(part) for part in node.parts])
    if isinstance(node, Slot):
        return _escaped(node.text)
    return f"(?:{'|'.join([expression(option) for option in node.options])})"


def lark(node: Node) -> str:
    """The same texts as a grammar in Lark's syntax, of one terminal.

    llguidance reads literals faster than a regular expression of them (.1 ms of a product's .7): it parses no expression.
    """
    return f"start: T\nT: {_terminal(node)}"


def _terminal(node: Node) -> str:
    found: list[str] = []
    said = _spelt(node, found, "")
    if said or not found:
        found.append(_quoted(said))
    return " ".join(found)


def _spelt(node: Node, found: list[str], said: str) -> str:
    """Append what a tree says, neighbouring texts as one literal; `said` is the text before it, and the text at its end is returned."""
    if isinstance(node, str):
        return said + node
    if isinstance(node, Slot):
        return said + node.text
    if isinstance(node, Seq):
        for part in node.parts:
            said = said + part if isinstance(part, str) else _spelt(part, found, said)
        return said
    if said:
        found.append(_quoted(said))
    found.append(_one_of(node.options) if isinstance(node.options[0], str) else _any_of(node.options))
    return ""


def _any_of(options: tuple[Node, ...]) -> str:
    return f"({'|'.join([_terminal(option) for option in options])})"


_one_of = lru_cache(maxsize=4096)(_any_of)
"""Of plain texts, most of which are a tone's own: equal for many products, and fast to tell apart."""
_quoted = lru_cache(maxsize=8192)(partial(json.dumps, ensure_ascii=False))


@lru_cache(maxsize=8192)
def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


class Reading:
    """Finds the slots of a text that was written by the tree's expression.

    It walks along the tree, taking the first options that lead to the end, as the expression would. Python's `re` took up to 30 ms to
    compile what is read once.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def spans(self, text: str) -> tuple[Span, ...] | None:
        """Where the facts of a whole text stand, in order; None for one that the tree does not allow."""
        taken: list[tuple[int, int, Claims]] = []
        if not _leads(self._node, text, 0, taken, lambda at: at == len(text)):
            return None
        found = [
            Span(start=start, end=end, garment=garment, facet=facet)
            for start, end, claims in taken
            for garment, facet in claims
        ]
        return tuple(sorted(found, key=lambda span: (span.start, span.end, span.garment, span.facet)))


def _leads(node: Node, text: str, at: int, taken: list[tuple[int, int, Claims]], then: Callable[[int], bool]) -> bool:
    """Whether a way through a tree is what stands at a place, and what comes `then` goes on from its end; its slots are appended to `taken`."""
    match node:
        case str():
            return text.startswith(node, at) and then(at + len(node))
        case Slot(said, claims):
            if not text.startswith(said, at):
                return False
            taken.append((at, at + len(said), claims))
            if then(at + len(said)):
                return True
            taken.pop()
            return False
        case Choice(options):
            return any(_leads(option, text, at, taken, then) for option in options)
        case Seq(parts):
            return _leads_all(parts, 0, text, at, taken, then)


def _leads_all(
    parts: Sequence[Node],
    number: int,
    text: str,
    at: int,
    taken: list[tuple[int, int, Claims]],
    then: Callable[[int], bool],
) -> bool:
    if number == len(parts):
        return then(at)
    return _leads(parts[number], text, at, taken, lambda end: _leads_all(parts, number + 1, text, end, taken, then))


def first_text(node: Node) -> str:
    """The shortest way through a tree that takes each first option."""
    match node:
        case str():
            found = node
        case Slot(text, _):
            found = text
        case Choice(options):
            found = first_text(options[0])
        case Seq(parts):
            found = "".join(map(first_text, parts))
    return found
