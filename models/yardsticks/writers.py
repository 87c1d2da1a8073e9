"""Several writers on the same products, side by side: `weft eval captions --writers`.

All see the same evidence. BLEU-4, ROUGE-L and CIDEr-D are against the shop's own title and description, as far as there are any:
they tell likeness of wording. CLIPScore is by Weft's own encoder, and so comparable with other encoders' in no way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.yardsticks import captions, references
from models.yardsticks.captions import Judged, Product
from models.yardsticks.diversity import distinct
from models.yardsticks.intervals import Interval, of_mean
from processors.values import Vector

WRITERS = ("template", "free", "grounded", "blip")
"""As `WEFT_WRITER` calls them."""
REFERENCES = ("title", "productDisplayName", "description")
"""Fields of a shop whose words a caption may be held against."""
_CLIP_WEIGHT = 2.5
_LEAST_WORDS = 3


class WriterScores(msgspec.Struct, frozen=True):
    """Figures of one writer; shares are 0..1.

    `coverage`, `wrong_per_caption`: as of `CaptionScores`, against the shop. `of_pack`: the share of the facts that the writer was
    shown which a caption states; `of_pack_50`, `of_pack_70`: captions that state at least so much of them. `drafts_refused`: a
    caption, for a claim that nothing bears out or for its form, before the verifier let one through; `by_rule`: captions that the
    rules wrote. `bleu4`, `rouge_l`, `cider`: None where the shop has no text of these products. `clip_score` (Hessel et al. 2021):
    2.5 · max(cos, 0) of photo and caption. `seconds` a caption: wall time on this machine, with all that runs beside it.
    """

    coverage: float
    coverage_ci: Interval
    wrong_per_caption: float
    wrong_ci: Interval
    of_pack: float
    of_pack_50: float
    of_pack_70: float
    drafts_refused: float
    drafts_refused_ci: Interval
    by_rule: float
    bleu4: float | None
    rouge_l: float | None
    cider: float | None
    clip_score: float
    words: float
    distinct2: float
    seconds: float
    captions: int


class WritersReport(captions.CaptionsReport, frozen=True):
    """`weft eval captions --writers … --json`."""

    writers: dict[str, WriterScores]


@dataclass(frozen=True, slots=True)
class Run:
    """What one writer made of all products, and how many seconds it took."""

    judged: Sequence[Judged]
    seconds: float


def texts_of(product: Product) -> list[str]:
    """What the shop itself says of a product, in whole texts."""
    told = [str(product.fields.get(name, "")) for name in REFERENCES]
    return [text for text in told if len(text.split()) >= _LEAST_WORDS]


def scores(run: Run, embed: Callable[[Sequence[str]], Sequence[Vector]]) -> WriterScores:
    """The figures of at least one caption. `embed`: texts → unit vectors in the space of the photos' (`Captioned.image`)."""
    told = captions.score(run.judged)
    made = [one.captioned for one in run.judged]
    texts = [one.caption for one in made]
    packs = np.array([one.of_pack for one in made if one.of_pack is not None], np.float64)
    refused = [float(one.drafts_refused) for one in made]
    compared = [(one.caption, own) for one in made if (own := texts_of(one.product))]
    said, others = [text for text, _ in compared], [own for _, own in compared]
    return WriterScores(
        coverage=told.coverage,
        coverage_ci=told.coverage_ci,
        wrong_per_caption=told.wrong_per_caption,
        wrong_ci=told.wrong_ci,
        of_pack=_mean(packs),
        of_pack_50=_mean(packs >= 0.5),
        of_pack_70=_mean(packs >= 0.7),
        drafts_refused=_mean(refused),
        drafts_refused_ci=of_mean(refused),
        by_rule=told.template_share,
        bleu4=references.bleu(said, others) if said else None,
        rouge_l=references.rouge_l(said, others) if said else None,
        cider=references.cider(said, others) if said else None,
        clip_score=_mean(
            [
                _CLIP_WEIGHT * max(0.0, float(np.dot(one.image, text)))
                for one, text in zip(made, embed(texts), strict=True)
                if one.image is not None
            ]
        ),
        words=told.words,
        distinct2=distinct(texts),
        seconds=run.seconds / len(texts),
        captions=len(texts),
    )


def _mean(values: Sequence[float] | NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
