"""How good a writer is, on packs it has not seen: grounded, complete, varied, fast."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.hf_writer import HfWriter
from models.ports import WriterRequest
from models.recipes.writer_data import Example, unseen
from processors.captions import judge, parse
from processors.claims import extra_of, mentions
from processors.evidence import render
from processors.values import CaptionText
from processors.verify import ParsedCaption, Rejected, verify
from processors.vocabulary import FACETS


def evaluate(base: Path, adapter: Path | None, *, count: int, batch: int, show: int = 0) -> dict[str, Any]:
    """Write `count` captions of unseen packs and measure them.

    `coverage` is against the generated pack, which here is the truth. `ungrounded` is the share of a draft's claims
    (words of the lists, in sentences and hashtags) that the pack lacks; it is measured on all drafts that parse,
    rejected ones included.
    """
    writer = HfWriter.load(base, adapter)
    tests = unseen(count)
    raws, rate = write(writer, tests, batch)
    for example, raw in list(zip(tests, raws, strict=True))[:show]:
        verdict = judge(raw, example.evidence)
        said = "ok" if isinstance(verdict, CaptionText) else f"REJECTED {verdict.reasons}"
        print(f"--- {example.tone}\n{render(example.evidence)}\n>>> {raw}\n[{said}]")
    return {"base": str(base.name), "adapter": bool(adapter), "count": count, **measure(tests, raws), **rate}


def write(writer: HfWriter, tests: Sequence[Example], batch: int) -> tuple[list[str], dict[str, float]]:
    """The drafts, and tokens/s over them (first batch's warm-up included)."""
    requests = [WriterRequest(e.evidence, e.tone, seed) for seed, e in enumerate(tests)]
    drafts: list[str] = []
    tokens, started = 0, time.perf_counter()
    for at in range(0, len(requests), batch):
        some = requests[at : at + batch]
        raws = writer.forward([writer.prepare(request) for request in some])
        tokens += sum(map(len, raws))
        drafts += [writer.finish(request, raw) for request, raw in zip(some, raws, strict=True)]
    seconds = time.perf_counter() - started
    return drafts, {"tokens": tokens, "tokens_per_second": round(tokens / seconds, 1), "batch": batch}


def measure(tests: Sequence[Example], raws: Sequence[str]) -> dict[str, Any]:
    """Counts and means over drafts."""
    parsed = [parse(raw) for raw in raws]
    verdicts = [judge(raw, example.evidence) for raw, example in zip(raws, tests, strict=True)]
    accepted = [verdict for verdict in verdicts if isinstance(verdict, CaptionText)]
    reasons = Counter(_kind(r) for v in verdicts if isinstance(v, Rejected) for r in v.reasons[:1])
    claims = [_claims(p, e) for p, e in zip(parsed, tests, strict=True) if isinstance(p, ParsedCaption)]
    made, wrong = sum(c[0] for c in claims), sum(c[1] for c in claims)
    texts = [p.caption for p in parsed if isinstance(p, ParsedCaption)]
    return {
        "accepted": round(len(accepted) / len(raws), 3),
        "unparsed": round(sum(isinstance(p, Rejected) for p in parsed) / len(raws), 3),
        "coverage": round(sum(v.coverage for v in accepted) / max(1, len(accepted)), 3),
        "coverage_all_drafts": round(sum(map(_coverage, parsed, tests)) / len(raws), 3),
        "claims": made,
        "ungrounded": round(wrong / max(1, made), 4),
        "hashtags": round(sum(len(v.hashtags) for v in accepted) / max(1, len(accepted)), 1),
        "words": round(sum(len(text.split()) for text in texts) / max(1, len(texts)), 1),
        "distinct_2": round(distinct(texts, 2), 3),
        "self_bleu": round(self_bleu(texts), 3),
        "reasons": dict(reasons.most_common(6)),
    }


def _coverage(parsed: ParsedCaption | Rejected, example: Example) -> float:
    """Share of the pack's facets that a draft's sentences name, grounded elsewhere or not; 0 for an unreadable draft."""
    if isinstance(parsed, Rejected):
        return 0.0
    said = mentions(parsed.caption, extra_of(example.evidence))
    known = 0
    stated = 0
    for garment in example.evidence.garments:
        truths = {"category": {garment.category}, "colour": {c.name for c in garment.colours}}
        truths |= {facet: {a.value} for facet, a in garment.attributes.items()}
        for facet in FACETS:
            if truths.get(facet):
                known += 1
                stated += any(truths[facet] & set(mention.values(facet) or ()) for mention in said)
    return stated / known if known else 1.0


def _claims(parsed: ParsedCaption, example: Example) -> tuple[int, int]:
    """Claims in the sentences and tags of a draft, and how many of them the verifier complains of."""
    extra = extra_of(example.evidence)
    made = len(mentions(parsed.caption, extra)) + sum(len(mentions(tag, extra)) or 1 for tag in parsed.hashtags)
    verdict = verify(parsed, example.evidence)
    wrong = [r for r in verdict.reasons if '"' in r] if isinstance(verdict, Rejected) else []
    return made, min(made, len(wrong))


def _kind(reason: str) -> str:
    """A reason without its particulars, for counting."""
    return re.sub(r"\d+", "n", re.sub(r'"[^"]*"', "…", reason.partition(": ")[2] or reason))


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams (arXiv 1510.03055); higher is more varied."""
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / max(1, len(grams))


def self_bleu(texts: Sequence[str], n: int = 3, sample: int = 50) -> float:
    """Mean BLEU-3 of each text against the others (arXiv 1802.01886); lower is more varied."""
    texts = texts[:sample]
    scores = []
    for at, text in enumerate(texts):
        precisions = []
        for size in range(1, n + 1):
            mine = Counter(_grams(text, size))
            best: Counter[tuple[str, ...]] = Counter()
            for other in (*texts[:at], *texts[at + 1 :]):
                best |= Counter(_grams(other, size))
            shared = sum((mine & best).values())
            precisions.append(max(shared, 0.1) / max(1, sum(mine.values())))
        scores.append(math.exp(sum(map(math.log, precisions)) / n))
    return sum(scores) / max(1, len(scores))


def speed(writer: HfWriter, sizes: Sequence[int] = (1, 8, 32)) -> dict[int, float]:
    """Tokens/s at each batch size, on packs of the evaluation set."""
    tests = unseen(max(sizes), seed=11)
    return {size: write(writer, tests[:size], size)[1]["tokens_per_second"] for size in sizes}


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return list(zip(*(words[k:] for k in range(n)), strict=False))


def threads(count: int) -> None:
    torch.set_num_threads(count)
