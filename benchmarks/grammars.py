"""`python -m benchmarks.grammars`: what a product's grammar costs before it can be written, by tone (an aim is 1 ms).

A grammar is made of products that were not seen before: the tree of texts, its text, and compiling. Other products were made first, as in a worker that
runs, and the collector leaves alone what stood before, as there (`streams.worker`). Processor time, one thread.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.report import Row, table
from infra.settings import Settings
from models.recipes.writer_data import Case, cases
from models.weights.starter import resolve
from models.writer.chat_tokens import ChatTokens
from models.writer.guiding import Guides
from models.writer.hf_writer import guides_of
from processors.captions import TONES
from processors.grounded import grammar
from processors.slots import lark


class Cost(NamedTuple):
    """Processor seconds of one product."""

    tree: float
    text: float
    compiling: float


def cost(guides: Guides, case: Case, tone: str) -> Cost:
    """Of a product whose grammar nobody has made yet."""
    began = time.process_time()
    tree = grammar(case.evidence, tone)
    made = time.process_time()
    text = lark(tree)
    written = time.process_time()
    guides.compiled(text)
    return Cost(made - began, written - made, time.process_time() - written)


def row(tone: str, costs: Sequence[Cost]) -> Row:
    """The median of a tone, its parts beside it."""
    whole = [sum(one) * 1e3 for one in costs]
    parts = [median(one[n] for one in costs) * 1e3 for n in range(3)]
    how = f"tree {parts[0]:.2f}, text {parts[1]:.2f}, compiling {parts[2]:.2f}; nine in ten {quantiles(whole, n=10)[8]:.2f}; {len(whole)} products"
    return Row(tone, f"{median(whole):.2f} ms", "1", how)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grammars", description=__doc__)
    parser.add_argument("--products", type=int, default=480)
    asked = parser.parse_args(arguments)
    base = resolve(Settings().model_cache, ("writer",)).writer_base
    guides = guides_of(base, ChatTokens(base).end)
    for case in cases(asked.products, seed=6):
        cost(guides, case, case.tone)
    gc.collect()
    gc.freeze()
    found: dict[str, list[Cost]] = {tone: [] for tone in TONES}
    for number, case in enumerate(cases(asked.products, seed=5)):
        tone = TONES[number % len(TONES)]
        found[tone].append(cost(guides, case, tone))
    every = [one for costs in found.values() for one in costs]
    print(table([row("all tones", every), *(row(tone, costs) for tone, costs in found.items())]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
