"""What each product is after each of its uploads: the naive way, by sorting all that was said of it and saying it again.

The judge's own reading of docs/events.md: nothing of the engine's is used.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.workload import Op, Shot, metadata_of


@dataclass(frozen=True, slots=True)
class State:
    """A product; one that was deleted, or never uploaded, has neither photos nor metadata and is not there."""

    there: bool = False
    photos: tuple[Shot, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether a photo has come."""
        return bool(self.photos)

    @property
    def main(self) -> Shot | None:
        """The photo that stands for it."""
        called = [shot for shot in self.photos if shot.role == "main"]
        showing = [shot for shot in self.photos if shot.role not in {"detail", "swatch"}]
        return next(iter(called or showing or self.photos), None)

    def value(self, name: str) -> str:
        """Of a field of its metadata; "" for none."""
        return dict(self.metadata).get(name, "")


@dataclass(frozen=True, slots=True)
class Effect:
    """What an upload made of its product."""

    before: State
    after: State

    @property
    def changed(self) -> bool:
        return self.before != self.after


def effects(ops: Sequence[Op]) -> dict[int, Effect]:
    """Number of each good op → its effect. Ops of a product in the order of its partition."""
    said: dict[str, list[tuple[float, int, Op]]] = defaultdict(list)
    found: dict[int, Effect] = {}
    before: dict[str, State] = defaultdict(State)
    for op in ops:
        if op.kind == "poison":
            continue
        history = said[op.product_id]
        latest = max((version for version, _, _ in history), default=-math.inf)
        history.append((latest if op.version is None else op.version, len(history), op))
        after = _all_of([op for _, _, op in sorted(history, key=lambda one: one[:2])])
        found[op.number] = Effect(before[op.product_id], after)
        before[op.product_id] = after
    return found


def _all_of(ops: Sequence[Op]) -> State:
    there, photos, fields = False, (), dict[str, str]()
    for op in ops:
        if op.kind == "delete":
            there, photos, fields = False, (), {}
            continue
        there = True
        if op.kind == "upload":
            photos, fields = op.shots, {}
        for name, value in metadata_of(op).items():
            if value is None:
                fields.pop(name, None)
            else:
                fields[name] = value
    return State(there, photos, tuple(sorted(fields.items())))
