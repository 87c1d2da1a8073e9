"""No part of the program that nobody uses: it is read, kept working and believed in for nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("streams", "models", "processors", "index_sync", "infra", "benchmarks")
CALLED_BY_OTHERS = {
    "streams/cli": "commands are registered by decorators",
    "streams/kafka/faust/consumer.py": "methods that Faust calls",
    "streams/ops/article_files.py": "methods that html.parser calls",
    "models/recipes/detector_trunk.py": "a method that torch's parametrizations call",
}
FOR_TESTS = {
    "MemorySender": "the in-memory twin of a port",
    "FakeComposer": "the in-memory twin of a port",
    "Turns.held_bytes": "memory that a test bounds",
    "is_frozen": "which weights a recipe must not touch",
    "LENGTH": "of the facets' features",
    "heads_alike": "whether FashionBLIP-2's heads are one",
    "FashionBlip2Images": "the target side of FashionBLIP-2, run at a tiny size only (docs/limits.md)",
    "FashionBlip2Texts": "the target side of FashionBLIP-2, run at a tiny size only (docs/limits.md)",
}


def _used(tree: ast.Module) -> Iterator[str]:
    """Names that are read, attributes, keywords, and names within strings (entry points, lazy imports, annotations)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.:]+", node.value):
            yield from re.split(r"[.:]", node.value)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Functions, classes, constants, and methods as `Class.method`."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(node, ast.ClassDef):
            methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            yield from (f"{node.name}.{method.name}" for method in methods if not _validates(method))


def _validates(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether pydantic calls it."""
    calls = (one.func for one in method.decorator_list if isinstance(one, ast.Call))
    return any(isinstance(call, ast.Name) and call.id in {"field_validator", "model_validator"} for call in calls)


def dead(trees: dict[str, ast.Module]) -> dict[str, str]:
    """What is defined and never used: name → file."""
    used = {name for tree in trees.values() for name in _used(tree)}
    found = {name: file for file, tree in trees.items() for name in _defined(tree)}
    return {
        name: file
        for name, file in found.items()
        if (last := name.rpartition(".")[2]) not in used and not (last.startswith("__") and last.endswith("__"))
    }


def test_nothing_is_there_for_nobody() -> None:
    """By name: what is called like something that is used passes."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    trees = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text()) for file in files}
    found = {name: file for name, file in dead(trees).items() if not file.startswith(tuple(CALLED_BY_OTHERS))}
    assert {name: file for name, file in found.items() if name not in FOR_TESTS} == {}
    assert FOR_TESTS.keys() <= found.keys(), "no longer for tests alone"


def test_the_finder_finds() -> None:
    """A constant, a function, a class and a method; not what is read, called, or named as an entry point."""
    text = """
A = 1
B: int = A
def used(): return b
def unused(): pass
class Thing:
    def __init__(self): self.called()
    def called(self): pass
    def idle(self): pass
ENTRY = "streams.somewhere:target"
def target(): used(); Thing(); ENTRY
"""
    assert dead({"x.py": ast.parse(text)}).keys() == {"B", "unused", "Thing.idle"}
