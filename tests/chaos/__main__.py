"""The command line of the harness. Exit status: 0 clean, 1 violations, 2 trouble of the harness itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import secrets
import shutil
import sys
import traceback
from contextlib import AsyncExitStack
from pathlib import Path

from index_sync.manifest import Damaged
from tests.chaos.checker import judge
from tests.chaos.expected import Untrustworthy
from tests.chaos.processes import Ended, Trouble
from tests.chaos.report import Outcome, as_dict, as_row, as_text
from tests.chaos.run import Facts, Limits, run
from tests.chaos.schedule import schedule, targets
from tests.chaos.stores import folder_place, s3_place
from tests.chaos.workload import workload
from tests.fixtures.s3_servers import server_program


def say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


async def chaos(kills: int, uploads: int, seed: int, out: Path, store: str, partitions: int, limits: Limits) -> Outcome:
    """The undisturbed run, the disturbed one, and the verdict."""
    ops = workload(seed, uploads)
    say(f"seed {seed}: {kills} kills, {uploads} uploads, store {store}, under {out}")
    with folder_place(out / "undisturbed-store", volume=False) as place:
        say("first the undisturbed run")
        reference, facts = await run(ops, (), place, out / "undisturbed", partitions, say)
        _must_be_clean(judge(ops, reference).violations, facts)
    async with AsyncExitStack() as opened:
        if store == "s3":
            place = await opened.enter_async_context(s3_place(out / "disturbed-store"))
        else:
            place = opened.enter_context(folder_place(out / "disturbed-store"))
        steps = schedule(seed, kills, len(ops), place.trouble.modes, targets(limits.workers))
        found, facts = await run(ops, steps, place, out / "disturbed", partitions, say, limits)
        return Outcome(seed, kills, place.name, partitions, steps, judge(ops, found, reference), facts)


def _must_be_clean(violations: tuple[object, ...], facts: Facts) -> None:
    if violations or facts.faults:
        raise Trouble(f"the undisturbed run is not clean: {[*map(str, violations), *facts.faults][:5]}")


def main(arguments: list[str] | None = None) -> int:
    """Run, write `report.json` and `summary.txt` into OUT, and say whether it was clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--uploads", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--out", type=Path, default=None, help="emptied first; default .weft/chaos/SEED")
    parser.add_argument("--store", choices=("s3", "folder"), default=None, help="default: s3 where MinIO is at hand")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--workers", type=int, default=1, help="of each role")
    parser.add_argument("--minutes", type=float, default=math.inf, help="strike no blow after so long; judge what was")
    asked = parser.parse_args(arguments)
    if asked.uploads < 10 or asked.kills < 1:
        parser.error("at least 10 uploads and 1 kill")
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    out = (asked.out or Path(".weft/chaos") / str(seed)).absolute()
    limits = Limits(asked.workers, asked.minutes * 60)
    store = asked.store or ("folder" if isinstance(server_program(), str) else "s3")
    # Its broker is killed all the time: a client's complaints would hide what the harness says.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        outcome = asyncio.run(chaos(asked.kills, asked.uploads, seed, out, store, asked.partitions, limits))
    except Ended as error:
        say(f"seed {seed}: NOT CLEAN: {error}")
        return 1
    except (Trouble, Untrustworthy, Damaged, RuntimeError, OSError) as error:
        traceback.print_exception(error)
        say(f"seed {seed}: the harness is in trouble: {error}")
        return 2
    (out / "report.json").write_text(json.dumps(as_dict(outcome), indent=1))
    (out / "summary.txt").write_text(as_text(outcome) + "\n")
    (out / "row.md").write_text(as_row(outcome) + "\n")
    sys.stdout.write(as_text(outcome) + "\n")
    say(f"report: {out / 'report.json'}")
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())
