"""The texts of `processors.slots` as a grammar in GBNF, the form that llama.cpp takes (`grammars/README.md` of its repository)."""

from __future__ import annotations

from collections.abc import Sequence

from processors.slots import Choice, Node, Seq, Slot

LONG = 60
"""Characters of a choice from which on it gets a name."""
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def gbnf(node: Node) -> str:
    """Rules of which `root` is the whole text. What may occur often (long choices) is a rule of its own, written once."""
    rules: dict[str, str] = {}
    root = _expression(node, rules)
    named = "".join(f"{name} ::= {body}\n" for body, name in rules.items())
    return f"root ::= {root}\n{named}"


def _expression(node: Node, rules: dict[str, str]) -> str:
    match node:
        case str():
            found = _literal(node)
        case Slot(text, _):
            found = _literal(text)
        case Choice(options):
            found = _named(_one_of([_expression(option, rules) for option in options]), rules)
        case Seq(parts):
            # An empty literal is nothing at all in a sequence.
            found = " ".join(part for part in (_expression(part, rules) for part in parts) if part != '""') or '""'
    return found


def _named(body: str, rules: dict[str, str]) -> str:
    return body if len(body) < LONG else rules.setdefault(body, f"r{len(rules)}")


def _one_of(options: Sequence[str]) -> str:
    return f"({' | '.join(options)})"


def _literal(text: str) -> str:
    return '"' + "".join(_ESCAPED.get(sign, sign) for sign in text) + '"'
