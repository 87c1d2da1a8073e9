"""When what is hit: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Blow: TypeAlias = Literal["kill", "term", "freeze", "store"]

ROLES = ("enrich", "caption", "index", "compose")
TARGETS = (*ROLES, "broker")


def targets(workers: int) -> tuple[str, ...]:
    """Everything that can be hit when each role has so many workers: the first is called as its role."""
    return (*TARGETS, *(f"{role}-{number}" for number in range(2, workers + 1) for role in ROLES))


EARLY_SHARE = 0.15
"""Of the kills of roles: these hit a process that is still starting."""
LONG_FREEZE_SHARE = 0.3
"""Of the freezes: longer than the 10 s session, so that the group expels the member, which does not know it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One blow.

    Args:
        number: from 0.
        blow: SIGKILL, SIGTERM, SIGSTOP with SIGCONT after `hold_s`, or a trouble of the object store for `hold_s`.
        target: a role, the broker, or the store.
        sent: how many records of the workload must have been handed to the broker before.
        gap_s: pause before it, so that what was sent is somewhere on its way.
        hold_s: of a freeze or a trouble.
        mode: of a trouble.
        early: hit the process even though it is not ready yet.
    """

    number: int
    blow: Blow
    target: str
    sent: int
    gap_s: float
    hold_s: float = 0.0
    mode: str = ""
    early: bool = False

    def __str__(self) -> str:
        how = f", {self.mode}," if self.mode else ""
        how += f" for {self.hold_s:g} s" if self.hold_s else ""
        return f"{self.blow} {self.target}{how}{' while it starts' if self.early else ''}"


def schedule(
    seed: int, kills: int, records: int, modes: Sequence[str], targets: Sequence[str] = TARGETS
) -> tuple[Step, ...]:
    """`kills` SIGKILLs dealt out evenly over `targets`; on top a SIGTERM and a freeze for every eight of them, and a
    trouble of the store for every ten (at least one of each), in turn through `modes`.
    """
    random_ = random.Random(f"schedule {seed}")
    blows: list[tuple[Blow, str]] = [("kill", target) for target in _dealt(random_, targets, kills)]
    extra: list[tuple[Blow, str]] = []
    more = max(1, kills // 8)
    extra += [("term", target) for target in _dealt(random_, targets, more)]
    extra += [("freeze", target) for target in _dealt(random_, targets, more)]
    extra += [("store", mode) for mode in _dealt(random_, modes, max(1, kills // 10) if modes else 0)]
    random_.shuffle(extra)
    for one in extra:
        blows.insert(random_.randrange(len(blows) + 1), one)
    return tuple(_step(random_, n, len(blows), records, *blow) for n, blow in enumerate(blows))


def _step(random_: random.Random, n: int, of: int, records: int, blow: Blow, target: str) -> Step:
    sent = records * (n + 1) // (of + 1)
    gap = round(random_.uniform(0.05, 2.0), 2)
    if blow == "store":
        return Step(n, blow, "store", sent, gap, round(random_.uniform(3.0, 8.0), 1), target)
    if blow == "freeze":
        long = random_.random() < LONG_FREEZE_SHARE
        return Step(n, blow, target, sent, gap, round(random_.uniform(*((11.0, 16.0) if long else (1.0, 5.0))), 1))
    early = blow == "kill" and target != "broker" and random_.random() < EARLY_SHARE
    return Step(n, blow, target, sent, gap, early=early)


def _dealt(random_: random.Random, of: Sequence[str], count: int) -> list[str]:
    """`count` of them, each about equally often, in rounds of random order."""
    dealt: list[str] = []
    while len(dealt) < count:
        dealt += random_.sample(list(of), len(of))
    return dealt[:count]


def as_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """For the report."""
    return [asdict(step) for step in steps]
