"""Texts that may be written, as a tree: literal text, slots that state a fact, choices.

A tree says two things: the regular expression that a language model's tokens are held to, and, of a text that fits it,
where each slot stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from processors.values import Span

_SPECIAL = re.compile(r"([\\.+*?()|\[\]{}^$#&~-])")
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
    """A choice, or the only option itself; equal options count once."""
    found = tuple(dict.fromkeys(options))
    return found[0] if len(found) == 1 else Choice(found)


def expression(node: Node) -> str:
    """The regular expression of a tree, without groups that capture."""
    return _expression(node, None)


class Reading:
    """Finds the slots of a text that was written by the tree's expression."""

    def __init__(self, node: Node) -> None:
        self._claims: list[Claims] = []
        self._pattern = re.compile(_expression(node, self._claims))

    def spans(self, text: str) -> tuple[Span, ...] | None:
        """Where the facts of a whole text stand, in order; None for one that the tree does not allow."""
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        found = [
            Span(start=match.start(group), end=match.end(group), garment=garment, facet=facet)
            for group, claims in enumerate(self._claims, start=1)
            if match.start(group) >= 0
            for garment, facet in claims
        ]
        return tuple(sorted(found, key=lambda span: (span.start, span.end, span.garment, span.facet)))


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


def _expression(node: Node, claims: list[Claims] | None) -> str:
    match node:
        case str():
            found = _SPECIAL.sub(r"\\\1", node)
        case Slot(text, stated):
            found = _SPECIAL.sub(r"\\\1", text)
            if claims is not None and stated:
                claims.append(stated)
                found = f"({found})"
        case Choice(options):
            found = f"(?:{'|'.join(_all(options, claims))})"
        case Seq(parts):
            found = "".join(_all(parts, claims))
    return found


def _all(nodes: Sequence[Node], claims: list[Claims] | None) -> list[str]:
    return [_expression(node, claims) for node in nodes]
