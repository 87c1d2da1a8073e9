"""From evidence to a checked caption: prompt, parse, judge, second draft, rule-based writer.

The role's flow (Pixels to Posts, arXiv 2511.19149, with a verifier in front of the reader):

    raw   = writer(WriterRequest(evidence, tone, seed))
    first = judge(raw, evidence)                      # a CaptionText, or Rejected with its reasons
    if first is Rejected: raw2 = writer(WriterRequest(evidence, tone, second_seed(seed)))
    settled = settle((raw, raw2), evidence, tone, seed)   # the first good draft, else the rule-based writer
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from processors import caption_grammar, grounded
from processors.audience import audience_of
from processors.caption_phrases import TONES
from processors.caption_upkeep import bared, factual, left_out, mended, of_mixtures, worded
from processors.evidence import render, stated
from processors.refusals import NOTHING_WRONG
from processors.values import CaptionText, Evidence, Garment, Span
from processors.verify import MAX_HASHTAGS, MIN_HASHTAGS, ParsedCaption, Rejected, grounded_hashtags, verify

__all__ = [
    "DEFAULT_TONE",
    "MAX_HASHTAGS",
    "MIN_HASHTAGS",
    "PROMPT_FINGERPRINT",
    "PROMPT_VERSION",
    "RULES",
    "TONES",
    "VARIED",
    "ParsedCaption",
    "Rejected",
    "Settled",
    "judge",
    "parse",
    "prompt",
    "second_seed",
    "settle",
    "template_caption",
    "tone_of",
    "verify",
]

PROMPT_VERSION = "2"
_SYSTEM = "Write a {tone} shop caption of 2-3 sentences, then hashtags. State only these facts."
_USER = "{evidence}"
_STYLE = 'Style of the shop: "{style}"\n{evidence}'
_WORDS = (PROMPT_VERSION, _SYSTEM, _USER, _STYLE)
PROMPT_FINGERPRINT = "sha256:" + hashlib.sha256("\n".join(_WORDS).encode()).hexdigest()
"""Changes whenever the words of the prompt do; goes into the lineage of every caption."""

DEFAULT_TONE = "plain"
VARIED = "varied"
"""Each product in one of the tones, by its id."""
RULES = "11"
"""Raise it when the rules beside the language model change what goes out: memos of old rules are not used."""

MIN_CHARACTERS, MAX_CHARACTERS = 8, 700
STYLE_CHARACTERS = 100
_UNQUOTED = re.compile(r"[^\w ,.!?’'-]|_")
_ROLE_PREFIX = re.compile(r"^\W*(?:caption|assistant|answer|output|text)\s*:\s*", re.IGNORECASE)
_TAG = re.compile(r"#[^\W_]+")
_SENTENCE = re.compile(r"[^.!?]*[.!?]+[\"'”’)]*")


class Settled(msgspec.Struct, frozen=True):
    """The caption that goes out, and why earlier drafts did not."""

    caption: CaptionText
    rejections: tuple[Rejected, ...]


def tone_of(key: str, wanted: str = DEFAULT_TONE) -> str:
    """The tone of a product, the same whenever it is captioned: the wanted one, or (`VARIED`) one for each product."""
    if wanted != VARIED:
        return wanted
    return TONES[hashlib.sha256(key.encode()).digest()[0] % len(TONES)]


def second_seed(seed: int) -> int:
    """The seed of the second draft."""
    return (seed ^ 0x9E3779B9) & 0x7FFFFFFF


def prompt(evidence: Evidence, tone: str, *, styled: bool = False) -> list[dict[str, str]]:
    """The chat messages for a language model. Kept short: prompt tokens cost as much as written ones on a CPU.

    `styled`: with the words of the nearest product that has some. A small model takes its facts for facts of this one,
    so only a writer that is held to the grammar of the pack is shown them.
    """
    style = style_of(evidence) if styled else ""
    user = _STYLE.format(style=style, evidence=render(evidence)) if style else _USER.format(evidence=render(evidence))
    return [{"role": "system", "content": _SYSTEM.format(tone=tone)}, {"role": "user", "content": user}]


def style_of(evidence: Evidence) -> str:
    """Words of a neighbour as an example: letters and the commonest signs only, so that no special token or markup is in them."""
    for example in evidence.style_examples:
        text = " ".join(_UNQUOTED.sub(" ", example.text).split())
        if text:
            return text[:STYLE_CHARACTERS].rpartition(" ")[0] if len(text) > STYLE_CHARACTERS else text
    return ""


def parse(raw: str, least: int = MIN_CHARACTERS) -> ParsedCaption | Rejected:
    """Sentences of `least` characters or more, then hashtags, out of whatever a model wrote; `Rejected` with the reason when it is not that."""
    text = _ROLE_PREFIX.sub("", " ".join(raw.split())).strip()
    first = _TAG.search(text)
    if first is None:
        return Rejected(("no hashtags",))
    caption, tail = text[: first.start()].strip(" \"'“”*-–—"), text[first.start() :]
    caption = re.sub(r"\s*(?:hashtags?|tags)\s*:?$", "", caption, flags=re.IGNORECASE).strip()
    caption = caption[:1].upper() + caption[1:]
    tags = tuple(dict.fromkeys("#" + tag[1:].lower() for tag in _TAG.findall(tail) if len(tag) <= 40))
    left_over = re.sub(r"[^\w]+", " ", _TAG.sub(" ", tail)).split()
    if len(left_over) > 2:
        return Rejected(("text among the hashtags",))
    problem = _problem(caption, least)
    return Rejected((problem,)) if problem else ParsedCaption(caption=caption, hashtags=tags)


def _problem(caption: str, least: int) -> str:
    """What is wrong with the sentences as such, or ""."""
    if not least <= len(caption) <= MAX_CHARACTERS:
        return f"{len(caption)} characters of caption"
    if not caption.isprintable() or re.search(r"https?:|www\.|[<>{}\[\]|\\@`]", caption):
        return "markup, an address or control characters in the caption"
    if caption[-1] not in ".!?…\"'”’)":
        return "the last sentence has no end"
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(caption)]
    if not 1 <= len(sentences) <= 3:
        return f"{len(sentences)} sentences, 1 to 3 wanted"
    words = re.findall(r"[^\W_]+", caption.lower())
    runs = [tuple(words[n : n + 6]) for n in range(len(words) - 5)]
    if len(set(runs)) < len(runs):
        return "the caption repeats itself"
    return ""


def judge(raw: str, evidence: Evidence, tone: str = "") -> CaptionText | Rejected:
    """Parse, mend and verify one draft of a language model; with a `tone`, one that was held to the grammar of the pack in it.

    A wrong hashtag is left out, as a word in a list can be, and so is a sentence that states nothing; a wrong claim in a
    sentence costs the whole draft, for what is left of a sentence would be nobody's. Too few hashtags left over cost it as
    well, and so does a fact of the product that is left out, a garment that is surely seen and left out, or one before the product.
    """
    parsed = parse(raw)
    if isinstance(parsed, Rejected):
        short = parse(raw, least=1)
        if isinstance(short, Rejected) or isinstance(_verified(short, raw, evidence, tone), Rejected):
            return parsed
        return Rejected((f"{parsed.reasons[0]}, {NOTHING_WRONG}",))
    return _verified(parsed, raw, evidence, tone)


def _verified(parsed: ParsedCaption, raw: str, evidence: Evidence, tone: str) -> CaptionText | Rejected:
    shown = stated(evidence)
    slots = _slots(raw, parsed.caption, evidence, tone) if tone else None
    if slots is not None:
        return _of_grammar(parsed, slots, evidence)
    right = of_mixtures(parsed.hashtags, shown)
    held = frozenset(grounded_hashtags((*parsed.hashtags, *right.values()), shown))
    tags = tuple(dict.fromkeys(one for tag in parsed.hashtags for one in (tag, right.get(tag, "")) if one in held))
    verdict = verify(
        ParsedCaption(factual(mended(worded(bared(parsed.caption), evidence), evidence), evidence), tags), evidence
    )
    if isinstance(verdict, Rejected):
        return verdict
    if reasons := left_out(verdict.caption, evidence):
        return Rejected(reasons)
    # What a rule-based caption would keep to itself (a colour seen in the seams, a garment that is hardly seen) is no draft's to say either.
    more = verify(ParsedCaption(verdict.caption, verdict.hashtags), shown)
    return more if isinstance(more, Rejected) else verdict


def _slots(raw: str, caption: str, evidence: Evidence, tone: str) -> tuple[Span, ...] | None:
    """Where the facts stand in a draft that was held to the grammar; None of one that was not, or cut."""
    text = raw.strip()
    if not text.startswith(f"{caption}\n"):
        return None
    found = grounded.reading(evidence, tone).spans(text)
    return None if found is None else tuple(span for span in found if span.end <= len(caption))


def _of_grammar(parsed: ParsedCaption, slots: tuple[Span, ...], evidence: Evidence) -> CaptionText | Rejected:
    """A draft of the grammar needs no mending; it is verified all the same, and its spans are those of its slots."""
    verdict = verify(parsed, evidence)
    if isinstance(verdict, Rejected):
        return verdict
    if reasons := left_out(verdict.caption, evidence):
        return Rejected(reasons)
    more = verify(ParsedCaption(verdict.caption, verdict.hashtags), stated(evidence))
    return more if isinstance(more, Rejected) else msgspec.structs.replace(verdict, spans=slots)


def settle(raws: Sequence[str], evidence: Evidence, tone: str, seed: int, *, held: bool = False) -> Settled:
    """The first draft that holds, else the rule-based writer's caption (`writer="template"`). `held`: to the grammar of the pack."""
    rejections: list[Rejected] = []
    for raw in raws:
        verdict = judge(raw, evidence, tone if held else "")
        if isinstance(verdict, CaptionText):
            return Settled(verdict, tuple(rejections))
        rejections.append(verdict)
    return Settled(template_caption(evidence, tone, seed), tuple(rejections))


def template_caption(evidence: Evidence, tone: str, seed: int) -> CaptionText:
    """A caption by rule: always grounded, the same for the same arguments, neutral when nothing is known.

    Evidence may hold odd values; what the verifier would refuse is left out, garment by garment, and last of all
    everything, so that this function has an answer for any pack.
    """
    audience = audience_of(evidence)
    for pack in _ever_plainer(evidence):
        caption, hashtags = caption_grammar.compose(pack, tone, seed, audience)
        verdict = verify(ParsedCaption(caption, hashtags), evidence, writer="template")
        if isinstance(verdict, CaptionText):
            return verdict
    caption, hashtags = caption_grammar.compose(Evidence(garments=()), tone, seed, audience)
    coverage = 0.0 if evidence.garments else None
    return CaptionText(caption=caption, hashtags=hashtags, spans=(), coverage=coverage, writer="template")


def _ever_plainer(evidence: Evidence) -> tuple[Evidence, ...]:
    def only(garment: Garment) -> Garment:
        return msgspec.structs.replace(garment, attributes={})

    plain = tuple(only(garment) for garment in evidence.garments)
    bare = tuple(msgspec.structs.replace(garment, colours=()) for garment in plain)
    return (evidence, Evidence(plain), Evidence(plain[:1]), Evidence(bare[:1]))
