"""Likeness to texts that others wrote: figures of the published code (pycocoevalcap 1.2, sacrebleu 2) on the same words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.yardsticks import references
from models.yardsticks.captions import Captioned, Product, judge
from models.yardsticks.shop_words import further_colours, truth_of
from models.yardsticks.writers import Run, scores, texts_of

TEXTS = [
    "a red dress with long sleeves for women",
    "black leather shoes",
    "a blue checked shirt for men with a collar and a pocket",
    "green hat",
]
OTHERS = [
    ["a red dress with long sleeves", "red long sleeve dress for women"],
    ["black shoes of leather", "leather shoes in black"],
    ["a checked blue shirt for men", "blue shirt with a collar and a pocket for men"],
    ["a green hat", "green hat of wool"],
]


def test_the_figures_are_those_of_the_published_code() -> None:
    """pycocoevalcap says 3.792432914363488, 0.7412308035335827 and 0.6280438974136572, sacrebleu 62.80438974478652."""
    assert references.cider(TEXTS, OTHERS) == pytest.approx(3.792432914363488)
    assert references.rouge_l(TEXTS, OTHERS) == pytest.approx(0.7412308035335827)
    assert references.bleu(TEXTS, OTHERS) == pytest.approx(0.6280438974478652)


def test_the_same_text_is_as_near_as_can_be_and_another_as_far() -> None:
    """Case and punctuation do not count."""
    same = [[text.upper() + "!"] for text in TEXTS]
    assert references.bleu(TEXTS, same) == pytest.approx(1.0)
    assert references.rouge_l(TEXTS, same) == pytest.approx(1.0)
    other = [["nothing at all alike here"]] * len(TEXTS)
    assert references.bleu(TEXTS, other) == references.rouge_l(TEXTS, other) == references.cider(TEXTS, other) == 0.0
    assert math.isnan(references.bleu([], []))


def test_writers_are_held_against_the_shop_and_the_pack() -> None:
    """A caption that states half of its pack; a photo that is at right angles to its caption; a product whose shop says nothing."""

    def judged(product_id: str, caption: str, of_pack: float, refused: int, **fields: str):  # type: ignore[no-untyped-def]
        told = {"articleType": "Tshirts", "baseColour": "Navy Blue", **fields}
        product = Product(product_id, "7.jpg", "", truth_of(told, ""), further_colours(told), told)
        image = np.array([1.0, 0.0], np.float32)
        return judge(Captioned(product, (), 10, 10, caption, (), "llm", of_pack, refused, image))

    run = Run(
        [
            judged("a", "A navy t-shirt.", 0.5, 2, productDisplayName="Navy t-shirt for men"),
            judged("b", "A red t-shirt.", 1.0, 0),
        ],
        seconds=3.0,
    )
    found = scores(
        run, lambda texts: [np.array([0.6, 0.8], np.float32), np.array([0.0, 1.0], np.float32)][: len(texts)]
    )
    assert (found.of_pack, found.of_pack_50, found.of_pack_70) == (0.75, 1.0, 0.5)
    assert (found.drafts_refused, found.seconds, found.captions) == (1.0, 1.5, 2)
    assert found.clip_score == pytest.approx(0.75)
    assert found.wrong_per_caption == 0.5
    assert found.rouge_l == pytest.approx(references.rouge_l(["A navy t-shirt."], [["Navy t-shirt for men"]]))
    assert texts_of(run.judged[1].captioned.product) == []
