"""What came out, for programs and for people."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.checker import Verdict
from tests.chaos.processes import spread
from tests.chaos.run import Facts
from tests.chaos.schedule import TARGETS, Step, as_json


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run and what it was asked to be."""

    seed: int
    kills: int
    store: str
    partitions: int
    steps: Sequence[Step]
    verdict: Verdict
    facts: Facts

    @property
    def clean(self) -> bool:
        return not self.verdict.violations and not self.facts.faults


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """The JSON report."""
    facts = outcome.facts
    return {
        "seed": outcome.seed,
        "clean": outcome.clean,
        "command": f"make chaos N={outcome.kills} UPLOADS={outcome.verdict.counts.uploads} SEED={outcome.seed}",
        "commit": _commit(),
        "hardware": hardware(),
        "store": outcome.store,
        "partitions": outcome.partitions,
        "blows": dict(sorted(facts.blows.items())),
        "struck_while_starting": facts.struck_while_starting,
        "store_requests_harmed": facts.harmed,
        "counts": asdict(outcome.verdict.counts),
        "recovery_seconds": spread(facts.recoveries),
        "recoveries": [asdict(recovery) for recovery in facts.recoveries],
        "seconds": round(facts.seconds, 1),
        "seconds_until_quiet": round(facts.quiet_seconds, 1),
        "faults": facts.faults,
        "violations": [asdict(violation) for violation in outcome.verdict.violations],
        "schedule": as_json(outcome.steps),
    }


def as_text(outcome: Outcome) -> str:
    """The summary."""
    counts, facts = outcome.verdict.counts, outcome.facts
    kills = sum(n for name, n in facts.blows.items() if name.startswith("kill"))
    lines = [
        f"seed {outcome.seed}: {'clean' if outcome.clean else 'NOT CLEAN'}",
        f"  {kills} kills, {sum(facts.blows.values()) - kills} other blows in {facts.seconds:.0f} s; store: {outcome.store}",
        f"  {counts.uploads} uploads ({counts.poison} poison) and {counts.deletes} deletes, {counts.queries} queries",
        f"  {counts.captions} captions, {counts.dead} dead letters, {counts.indexed} products indexed",
        f"  lost {counts.lost}, doubled {counts.doubled}; the same event again: "
        + ", ".join(f"{name} {n}" for name, n in counts.again.items()),
        "  recovery after a kill, seconds (p50 / max / of): "
        + ", ".join(f"{t} {s['p50']} / {s['max']} / {s['count']:.0f}" for t, s in spread(facts.recoveries).items()),
    ]
    lines += [f"  fault: {fault}" for fault in facts.faults]
    lines += [f"  violation: {violation}" for violation in outcome.verdict.violations[:40]]
    if len(outcome.verdict.violations) > 40:
        lines.append(f"  … and {len(outcome.verdict.violations) - 40} more, all in the report")
    return "\n".join(lines)


def as_row(outcome: Outcome) -> str:
    """The row of docs/reliability.md."""
    counts, facts = outcome.verdict.counts, outcome.facts
    kills = sum(n for name, n in facts.blows.items() if name.startswith("kill"))
    recovery = spread(facts.recoveries)
    cells = (
        str(outcome.seed),
        outcome.store,
        str(kills),
        str(sum(facts.blows.values()) - kills),
        f"{counts.uploads} ({counts.poison})",
        str(counts.lost),
        str(counts.doubled),
        "clean" if outcome.clean else f"{len(outcome.verdict.violations) + len(facts.faults)} violations",
        *(f"{recovery[t]['p50']} / {recovery[t]['max']}" if t in recovery else "" for t in TARGETS),
        f"{facts.seconds:.0f}",
        _commit(),
    )
    return f"| {' | '.join(cells)} |"


def hardware() -> str:
    """Cores, memory, and how busy the machine was."""
    gib = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} cores, {gib:.0f} GiB, {platform.system()}; load average at the end {load:.1f}"


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
