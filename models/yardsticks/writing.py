"""How good a writer is on packs of outfits it has not seen: grounded, complete, varied, and how often it is needed.

A case is a drawn outfit (the truth) and the pack that an imperfect eye and a shop give of it (`writer_data.dress`).
What is published goes the way of the role `caption`: a draft, the verifier, a second draft, the rule-based writer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from models.guard import GuardedWriter
from models.ports import WriterRequest
from models.recipes.writer_data import Case
from models.yardsticks.diversity import distinct, repetition, self_bleu
from models.yardsticks.intervals import Interval, of_mean
from models.yardsticks.photos import Tick, quietly
from processors import captions
from processors.caption_grammar import compose
from processors.claims import Mention, extra_of, hidden_claims, mentions, split_tag
from processors.drawn.spec import GarmentSpec
from processors.evidence import worth_stating
from processors.values import CaptionText, Evidence
from processors.vocabulary import canonical

FACETS = ("category", "colour", "fabric", "gender")
Values = dict[str, set[str]]


class TextScores(msgspec.Struct, frozen=True):
    """A set of texts, each held against its case. Shares are 0..1; all but `accepted` and `readable` are means.

    `coverage`: facets stated over facets true of the outfit; `coverage_of_pack`: over those that the pack holds.
    `ungrounded_per_caption`: claims of a garment, colour, fabric or gender that the pack lacks, in sentences and
    hashtags; `untrue_per_caption`: that the outfit lacks (the pack itself may err). Found by word lists: lower bounds.
    """

    coverage: float
    coverage_of_pack: float
    ungrounded_per_caption: float
    ungrounded: dict[str, float]
    untrue_per_caption: float
    readable: float
    accepted: float
    words: float
    sentences: float
    hashtags: float
    repetition: float
    distinct2: float
    self_bleu: float
    same_as_another: float


class Variety(msgspec.Struct, frozen=True):
    """How varied the grammar's own text of the same packs is: what the adapter learnt to write like."""

    distinct2: float
    self_bleu: float
    words: float


class WriterReport(msgspec.Struct, frozen=True):
    """`weft eval writer --json`. The figures outside `published` and `drafts` are those of what is published.

    `drafts` are the language model's first drafts, before anybody refused one. `ceiling`: the coverage of a writer
    that states all of each pack. `base` is the same of the language model without our adapter, where asked for.
    """

    coverage: float
    ungrounded_per_caption: float
    distinct2: float
    self_bleu: float
    template_share: float
    captions: int
    coverage_ci: Interval
    template_share_ci: Interval
    ceiling: float
    published: TextScores
    drafts: TextScores
    template_share_by_garments: dict[str, float]
    reasons: dict[str, int]
    training_text: Variety
    base: WriterReport | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Sentences and hashtags, of a draft that parses or of whatever else a model wrote."""

    sentences: str
    hashtags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """One case, the raw first draft, and what was published in the end. `held`: the draft, to the grammar of the pack."""

    case: Case
    draft: str
    settled: captions.Settled
    held: bool = False


def write(writer: GuardedWriter, cases: Sequence[Case], *, batch: int = 32, tick: Tick = quietly) -> list[Written]:
    """Write every case as the role `caption` does, in batches of `batch`."""
    requests = [WriterRequest(case.evidence, case.tone, seed) for seed, case in enumerate(cases)]
    found = []
    for at in range(0, len(requests), batch):
        some = requests[at : at + batch]
        first = writer.run(some)
        held = writer.grounded
        verdicts = [
            captions.judge(raw, asked.evidence, asked.tone if held else "")
            for raw, asked in zip(first, some, strict=True)
        ]
        again = [n for n, verdict in enumerate(verdicts) if isinstance(verdict, captions.Rejected)]
        retries = [msgspec.structs.replace(some[n], seed=captions.second_seed(some[n].seed)) for n in again]
        second = dict(zip(again, writer.run(retries), strict=True)) if retries else {}
        for n, asked in enumerate(some):
            raws = [first[n], second[n]] if n in second else [first[n]]
            settled = captions.settle(raws, asked.evidence, asked.tone, asked.seed, held=held)
            found.append(Written(cases[at + n], first[n], settled, held))
        tick(len(some))
    return found


def report(written: Sequence[Written], base: WriterReport | None = None) -> WriterReport:
    """Measure what `write` gave."""
    cases = [one.case for one in written]
    published = [Text(one.settled.caption.caption, one.settled.caption.hashtags) for one in written]
    drafts = [as_text(one.draft) for one in written]
    ruled = [float(one.settled.caption.writer == "template") for one in written]
    scores = score(published, cases)
    covered = [coverage(text, case) for text, case in zip(published, cases, strict=True)]
    sizes = [len(case.truth) for case in cases]
    reasons = Counter(kind(r) for one in written for refusal in one.settled.rejections for r in refusal.reasons)
    return WriterReport(
        coverage=scores.coverage,
        ungrounded_per_caption=scores.ungrounded_per_caption,
        distinct2=scores.distinct2,
        self_bleu=scores.self_bleu,
        template_share=_mean(ruled),
        captions=len(written),
        coverage_ci=of_mean(covered),
        template_share_ci=of_mean(ruled),
        ceiling=_mean([_share(_true_of(case.truth), held_by(case.evidence)) for case in cases]),
        published=scores,
        drafts=score(drafts, cases, [one.draft for one in written], held=any(one.held for one in written)),
        template_share_by_garments={
            str(size): _mean([share for share, own in zip(ruled, sizes, strict=True) if own == size])
            for size in sorted(set(sizes))
        },
        reasons=dict(reasons.most_common(12)),
        training_text=_training_text(cases),
        base=base,
    )


def _training_text(cases: Sequence[Case]) -> Variety:
    texts = [compose(case.evidence, case.tone, number)[0] for number, case in enumerate(cases)]
    return Variety(distinct(texts), self_bleu(texts), _mean([float(len(text.split())) for text in texts]))


def score(
    texts: Sequence[Text], cases: Sequence[Case], raws: Sequence[str] | None = None, *, held: bool = False
) -> TextScores:
    """Measure texts against their cases; `raws`: the drafts as they were, to be parsed and judged (`held`: as grammar's)."""
    said = [text.sentences for text in texts]
    wrong = [ungrounded(text, case.evidence, held_by(case.evidence)) for text, case in zip(texts, cases, strict=True)]
    untrue = [ungrounded(text, case.evidence, _true_of(case.truth)) for text, case in zip(texts, cases, strict=True)]
    of_pack = [coverage(text, case, of_pack=True) for text, case in zip(texts, cases, strict=True)]
    readable = [1.0] * len(texts)
    accepted = readable
    if raws is not None:
        readable = [float(not isinstance(captions.parse(raw), captions.Rejected)) for raw in raws]
        pairs = zip(raws, cases, strict=True)
        tones = [(raw, case, case.tone if held else "") for raw, case in pairs]
        accepted = [
            float(isinstance(captions.judge(raw, case.evidence, tone), CaptionText)) for raw, case, tone in tones
        ]
    repeated = Counter(said)
    return TextScores(
        coverage=_mean([coverage(text, case) for text, case in zip(texts, cases, strict=True)]),
        coverage_of_pack=_mean(of_pack),
        ungrounded_per_caption=_mean([float(counts.total()) for counts in wrong]),
        ungrounded={facet: _mean([float(counts[facet]) for counts in wrong]) for facet in FACETS},
        untrue_per_caption=_mean([float(counts.total()) for counts in untrue]),
        readable=_mean(readable),
        accepted=_mean(accepted),
        words=_mean([float(len(text.split())) for text in said]),
        sentences=_mean([float(len(re.findall(r"[.!?]+(?:\s|$)", text))) for text in said]),
        hashtags=_mean([float(len(text.hashtags)) for text in texts]),
        repetition=_mean([repetition(text) for text in said]),
        distinct2=distinct(said),
        self_bleu=self_bleu(said),
        same_as_another=_mean([float(repeated[text] > 1) for text in said]),
    )


def as_text(raw: str) -> Text:
    """A draft as it parses; one that does not is cut at its first hashtag, so that it can be measured all the same."""
    parsed = captions.parse(raw)
    if not isinstance(parsed, captions.Rejected):
        return Text(parsed.caption, parsed.hashtags)
    sentences, hash_, tail = " ".join(raw.split()).partition("#")
    return Text(sentences.strip(), tuple(re.findall(r"#[^\W_]+", (hash_ + tail).lower())))


def coverage(text: Text, case: Case, *, of_pack: bool = False) -> float:
    """Share of the facets (category, colour, fabric, gender of each garment) that the sentences state, synonyms too.

    Counted against the drawn outfit, or with `of_pack` against the pack. A facet counts as stated wherever in the
    sentences its value stands (arXiv 2511.19149). 1 when there is nothing to state.
    """
    said = mentions(text.sentences, extra_of(case.evidence))
    wanted = held_by(case.evidence) if of_pack else _true_of(case.truth)
    known = [(facet, values) for garment in wanted for facet, values in garment.items()]
    stated = sum(any(values & set(m.values(facet) or ()) for m in said) for facet, values in known)
    return stated / len(known) if known else 1.0


def ungrounded(text: Text, evidence: Evidence, garments: Sequence[Values]) -> Counter[str]:
    """Claims about each facet, in sentences and hashtags, that none of `garments` bears out."""
    counts: Counter[str] = Counter()
    for mention in _claims(text, evidence):
        for facet, values in mention.claims:
            if facet in FACETS and not any(garment.get(facet, set()) & set(values) for garment in garments):
                counts[facet] += 1
    return counts


def _claims(text: Text, evidence: Evidence) -> Iterator[Mention]:
    extra = extra_of(evidence)
    yield from mentions(text.sentences, extra)
    for tag in text.hashtags:
        found = split_tag(tag, extra)
        yield from hidden_claims(tag, extra) if found is None else found


def _true_of(truth: Sequence[GarmentSpec]) -> list[Values]:
    """What is true of each garment of a drawn outfit."""
    found: list[Values] = []
    for spec in truth:
        known = {"category": {spec.category}, "colour": {spec.colour, spec.second_colour or spec.colour}}
        known |= {"fabric": {spec.fabric}} if spec.fabric else {}
        found.append(known | {"gender": {spec.gender}})
    return found


def held_by(evidence: Evidence) -> list[Values]:
    """What the pack says of each garment that it is worth stating of."""
    found: list[Values] = []
    for garment in worth_stating(evidence):
        known = {"category": {garment.category}}
        if garment.colours:
            known["colour"] = {canonical("colour", colour.name) for colour in garment.colours}
        attributes = garment.attributes.items()
        known |= {facet: {canonical(facet, a.value)} for facet, a in attributes if facet in ("fabric", "gender")}
        found.append(known)
    return found


def _share(wanted: Sequence[Values], held: Sequence[Values]) -> float:
    """The coverage of a text that states all that is held."""
    known = [(facet, values) for garment in wanted for facet, values in garment.items()]
    return sum(any(values & garment.get(facet, set()) for garment in held) for facet, values in known) / len(known)


def kind(reason: str) -> str:
    """A reason of the verifier without its particulars, for counting."""
    return re.sub(r"\d+", "n", re.sub(r'"[^"]*"', "…", reason))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
