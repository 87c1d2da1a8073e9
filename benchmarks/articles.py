"""`python -m benchmarks.articles [--products N] [--articles N] [--rounds N]`: captions without articles, beside a role that knows none.

Drawn products of no article go through the stages of `caption`, over a store in memory, by three captioners in turn: one that knows
of no articles at all, one whose view of them is empty, and one whose view holds N articles of other products, brands and collections.
Texts are by rule: a language model takes a hundred to a thousand times as long, and how long depends on its batches and on what else runs.
Every turn begins with an empty memo, so every caption is written. Processor seconds are of this process, on one thread; the ratio is
that of the turns of one round, median of all rounds, and the captions of all sides have to be the same to the byte.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Row, table
from infra.settings import Settings
from infra.store import ObjectStore
from models.yardsticks.context import planted
from streams.cli.evaluate_context import captions_of, drawn_items
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item
from streams.engine.message import Message
from streams.roles.caption.context import Context
from streams.roles.caption.role import Captioner
from streams.roles.context.articles import Articles
from streams.roles.memo import Memo
from streams.wiring.yardsticks import caption_trial

ALONE, EMPTY, OTHERS = "no role", "no article", "articles of others"


def of_others(count: int, seed: int = 7) -> list[Message]:
    """Articles that apply to none of the drawn products: a third each of products, brands and collections."""
    targets = ("product", "brand", "collection")
    stories = planted([(f"elsewhere-{n}", "dress") for n in range(count)], seed)
    values = [
        {"id": f"other-{n}", "text": one.text, "applies_to": {targets[n % 3]: one.product}}
        for n, one in enumerate(stories)
    ]
    return [
        Message(topics.ARTICLES, 0, n, value["id"].encode(), msgspec.json.encode(value), (), n)  # type: ignore[attr-defined]
        for n, value in enumerate(values)
    ]


class Unasked:
    """Ranks nothing: where no article applies nobody asks."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError(f"asked about {len(texts)} texts")


async def turn(
    captioner: Captioner, items: Sequence[Item], store: ObjectStore, fresh: str
) -> tuple[float, list[bytes]]:
    """Processor seconds a caption, and the captions; `fresh`: a name that no memo of the store has yet."""
    memo = Memo(store, "caption", fresh)
    began = time.process_time()
    found = await captions_of(replace(captioner, memo=memo), items)
    return (time.process_time() - began) / len(items), [encode(one) for one in found]


async def measure(settings: Settings, products: int, articles: int, rounds: int) -> list[Row]:
    """A row for each side beside the first."""
    known = Articles()
    for message in of_others(articles):
        known.apply(message)
    async with caption_trial(settings, articles=known) as trial:
        served = trial.captioner
        if served is None or served.context is None:
            raise ValueError("this trial has no captioner that knows articles")
        served = replace(served, by_rule=True)
        items = await drawn_items(trial, products, 29)
        empty = Context(Articles(), Unasked())
        sides = {ALONE: replace(served, context=None), EMPTY: replace(served, context=empty), OTHERS: served}
        for name, captioner in sides.items():
            await turn(captioner, items[:2], trial.store, f"warm {name}")
        spent: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            order = list(sides)[number % 3 :] + list(sides)[: number % 3]
            written: list[list[bytes]] = []
            for name in order:
                seconds, captions = await turn(sides[name], items, trial.store, f"{name} {number}")
                spent[name].append(seconds)
                written.append(captions)
            if written[0] != written[1] or written[0] != written[2]:
                raise ValueError("the captions of two sides differ")
    how = f"{products} drawn products, by rule, median of {rounds} rounds in turn"
    return [_row(name, spent, how, articles) for name in (EMPTY, OTHERS)]


def _row(name: str, spent: dict[str, list[float]], how: str, articles: int) -> Row:
    ratios = sorted(one / other for one, other in zip(spent[ALONE], spent[name], strict=True))
    milliseconds = [1000 * median(spent[side]) for side in (ALONE, name)]
    value = f"{median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}; {milliseconds[0]:.2f} ÷ {milliseconds[1]:.2f} ms of processor)"
    said = f"{articles} {name}" if name == OTHERS else name
    return Row(f"captions a processor second without articles: {said} ÷ {ALONE}", value, "1.00", how)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.articles", description=__doc__)
    parser.add_argument("--products", type=int, default=48)
    parser.add_argument("--articles", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    measured = measure(Settings(), asked.products, asked.articles, asked.rounds)
    print(table(asyncio.run(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
