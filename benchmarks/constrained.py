"""`python -m benchmarks.constrained`: tokens a second held to a grammar ÷ free, the same decoder, packs and prompts (R6).

Both sides write the same packs, turn by turn, by batches of each size; a turn is one call of `forward`. Tokens are all those of the answers, also
those that the grammar forces. Processor time is of this process, on one thread. `prepare` (the grammar among it, which the role compiles in CPU
threads while the batch before is written) is told beside it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report import Row, table
from infra.settings import Settings
from models.ports import WriterRequest
from models.recipes.writer_data import cases
from models.weights.starter import resolve
from models.writer.hf_writer import HfWriter

BATCHES = (1, 8, 16)


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens, processor seconds of `forward`, and of `prepare` for each request."""

    tokens: int
    seconds: float
    prepared: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def turn(writer: HfWriter, requests: Sequence[WriterRequest]) -> Turn:
    """One batch."""
    began = time.process_time()
    ready = [writer.prepare(one) for one in requests]
    prepared = time.process_time()
    raws = writer.forward(ready)
    return Turn(sum(map(len, raws)), time.process_time() - prepared, (prepared - began) / len(requests))


def measured(free: HfWriter, held: HfWriter, batch: int, rounds: int, tone: str) -> Row:
    """Both sides in turn; each round has packs of its own."""
    sides: dict[str, list[Turn]] = {"free": [], "held": []}
    packs = cases(batch * rounds, seed=5)
    for number in range(rounds):
        some = packs[number * batch : (number + 1) * batch]
        requests = [WriterRequest(case.evidence, tone or case.tone, 100 + n) for n, case in enumerate(some)]
        order = [("free", free), ("held", held)]
        for name, writer in order if number % 2 else order[::-1]:
            sides[name].append(turn(writer, requests))
    ratio = median(one.rate / other.rate for one, other in zip(sides["held"], sides["free"], strict=True))
    rates = {name: median(one.rate for one in turns) for name, turns in sides.items()}
    compiled = median(one.prepared for one in sides["held"]) - median(one.prepared for one in sides["free"])
    value = f"{ratio:.2f} ({rates['held']:.1f} ÷ {rates['free']:.1f} tokens a processor second)"
    how = (
        f"median of {rounds} rounds in turn; the grammar costs {compiled * 1e3:.1f} ms of processor a caption beside it"
    )
    return Row(f"held to a grammar ÷ free, batches of {batch}", value, ".97", how)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.constrained", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--tone", default="", help="One tone; by default that of each pack in turn.")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    settings = Settings()
    paths = resolve(settings.model_cache, ("writer",))
    free, held = (
        HfWriter.load(paths.writer_base, paths.writer_adapter, grounded=grounded) for grounded in (False, True)
    )
    turn(free, [free.example()])
    turn(held, [held.example()])
    print(table([measured(free, held, batch, asked.rounds, asked.tone) for batch in asked.batches]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
