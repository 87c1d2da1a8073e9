"""Which sentences of a brand's own texts a caption states: those that say who, what, when, where or why, and contradict nothing.

A sentence is taken as it stands. Two things are changed in it: "The dress" and "This dress" at its beginning become "It", for the caption has
named the garment, and a line without a full stop gets one. So whatever it names stands in its chunk word for word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from processors.claims import Mention, extra_of, mentions
from processors.context.chunks import Chunk, Scored
from processors.context.grounding import anchors, names_within, normal, ungrounded
from processors.context.hostile import quotable
from processors.evidence import worth_stating
from processors.facets import MERCHANT
from processors.function_words import FUNCTION_WORDS
from processors.kinds import claims_of
from processors.values import Evidence, Garment
from processors.vocabulary import canonical, clean

About: TypeAlias = Literal["product", "photo", "collection", "brand"]
"""What of a product a text is about. "photo": the text names none, and one of its pictures is the product's photo: it is held to what
is known of this product as a collection's text is, for it may be about others as well.
"""
MAX_SENTENCES, MAX_CHARACTERS = 2, 400
"""Of all articles together, in one caption."""
WEIGHTS: dict[About, float] = {"product": 0.6, "photo": 0.45, "collection": 0.3, "brand": 0.0}
"""What is said of the product itself comes before what is said of its collection, and that before the brand's."""

_NAME, _NUMBER, _CLAIM, _MADE, _LIKENESS = 1.0, 0.6, 0.7, 0.4, 0.5
_MAKING = re.compile(
    r"(?<![^\W_])(?:woven|knit(?:ted)?|cut|sewn|stitched|dyed|printed|spun|carved|lined|made|named|designed|inspired|finished|washed|embroidered|"
    r"tailored|crafted|tanned|pleated|quilted|draped|brushed|crocheted|loom\w*|mill\w*|atelier\w*|workshop\w*|studio|factory|archive|tailor\w*|weaver\w*|"
    r"artisans?|seamstress\w*|founded|established|grown|harvested|buttons?|lining|seams?|hem|pockets?|zip\w*|gewebt|genäht|gefärbt|cousu|tissé|tejid\w*)(?![^\W_])",
    re.IGNORECASE,
)
_PLACE_WORD = re.compile(
    r"(?:loom|mill|atelier|workshop|studio|factory|archive|tailor|weaver|artisan|seamstress)", re.IGNORECASE
)
"""Of the words of making, those that name who or where alone: "From the mill", as a line of its own, is a heading."""
_DANGLING = re.compile(
    r"^(?:he|she|they|his|her|hers|their|theirs|there|then|but|however|therefore|thus|so|also|these|those|that|such|both|another|here|"
    r"because|which|who|er|sie|il|elle|ils|elles|ella|él)(?![^\W_])",
    re.IGNORECASE,
)
_JOINED = re.compile(r"^(?:and|but|so|also|yes|plus)(?:,\s*|\s+)", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?<![^\W_])(?P<the>the|this|these|those)\s+(?:[^\W\d_]+(?:-[^\W\d_]+)?\s+){0,2}?$", re.IGNORECASE
)
_FOR = re.compile(r"(?<![^\W_])for(?:\s+[^\W_]+){0,2}\s+$", re.IGNORECASE)
_FACETS = ("colour", "fabric", "pattern", "sleeve", "neckline", "length")
_SEVERAL = ("these", "those")


class Chosen(msgspec.Struct, frozen=True):
    """An article's chunks that may be drawn on. `article`: its id; `about`: what of the product it applies to."""

    article: str
    about: About
    chunks: tuple[Scored, ...]


class Fact(msgspec.Struct, frozen=True):
    """One sentence for a caption. `said`: as it is written there; `chunk`: number, text and likeness of the one that it stands in."""

    article: str
    chunk: int
    text: str
    score: float
    said: str
    weight: float


class Told(msgspec.Struct, frozen=True):
    """What is wrong with the other sentences, for whoever asks why: (article, sentence, reason). `written`: a model wrote the first fact."""

    facts: tuple[Fact, ...]
    refused: tuple[tuple[str, str, str], ...]
    written: bool = False


def tells(chunk: Chunk) -> float:
    """How much the sentences of a chunk tell that may be quoted at all, 0..1: what its likeness to a caption does not say.

    A caption says what is seen, and a story what is not: the sentence about the maker is the least like the caption.
    """
    known = names_within(chunk.sentences)
    told = [_telling(sentence, known) for sentence in chunk.sentences if quotable(_JOINED.sub("", sentence))]
    return min(1.0, max(told, default=0.0) / 3)


def select(
    articles: Sequence[Chosen],
    evidence: Evidence,
    *,
    language: str = "en",
    room: int = MAX_CHARACTERS,
    allowed: Iterable[object] = (),
    said: str = "",
) -> Told:
    """The sentences that a caption states, the weightiest first; () where none may be stated.

    Args:
        articles: with their chosen chunks.
        evidence: what is known of the product; nothing may contradict it.
        language: of the caption ("en"): a sentence of another one is left.
        room: characters that there are, with the space before each sentence.
        allowed: predicates of a sentence (a kit's banned words); all must hold.
        said: what the caption says already.
    """
    found: list[Fact] = []
    refused: list[tuple[str, str, str]] = []
    for article in articles:
        for fact, sentence, reason in _facts(article, evidence, language, allowed):
            if fact is None:
                refused.append((article.article, sentence, reason))
            else:
                found.append(fact)
    taken: list[Fact] = []
    known = normal(said)
    for fact in sorted(found, key=lambda one: -one.weight):
        length = len(fact.said) + 1
        if len(taken) == MAX_SENTENCES or length > room or normal(fact.said) in known:
            continue
        if any(_same(fact.said, other.said) for other in taken):
            continue
        taken.append(fact)
        room -= length
    return Told(tuple(taken), tuple(refused))


def _facts(
    article: Chosen, evidence: Evidence, language: str, allowed: Iterable[object]
) -> list[tuple[Fact | None, str, str]]:
    best: dict[str, Scored] = {}
    for one in article.chunks:
        for sentence in one.chunk.sentences:
            if sentence not in best or one.score > best[sentence].score:
                best[sentence] = one
    known = names_within(best)
    found: list[tuple[Fact | None, str, str]] = []
    for sentence, chunk in best.items():
        said, reason = _said(sentence, evidence, article.about, language)
        if said and not all(allows(said) for allows in allowed if callable(allows)):
            said, reason = "", "holds a word that the kit bans"
        if said and (missing := ungrounded(said, [chunk.chunk.text])):
            said, reason = "", f"{missing[0]!r} stands in no chunk"
        if said and _is_heading(sentence, known):
            said, reason = "", "is a heading"
        weight = _weight(said, chunk.score, known) if said else 0.0
        if said and not weight:
            said, reason = "", "names nothing and tells nothing of how it was made"
        fact = Fact(
            article.article,
            chunk.chunk.number,
            chunk.chunk.text,
            round(chunk.score, 4),
            said,
            weight + WEIGHTS[article.about],
        )
        found.append((fact if said else None, sentence, reason))
    return found


def _is_heading(sentence: str, known: frozenset[str]) -> bool:
    """A line without a full stop that names nothing, and of how something was made at most the place ("From the mill", "Our workshop")."""
    if sentence.rstrip("\"'”’»)")[-1:] in (".", "!") or anchors(sentence, known):
        return False
    return all(_PLACE_WORD.match(made) for made in _MAKING.findall(sentence))


def _weight(said: str, likeness: float, known: frozenset[str]) -> float:
    """How much a sentence tells; 0 where it tells nothing."""
    told = _telling(said, known)
    if not told:
        return 0.0
    return max(0.01, told + _LIKENESS * likeness - (1.5 if _DANGLING.search(said) else 0.0))


def _telling(said: str, known: frozenset[str]) -> float:
    kinds = [one.kind for one in anchors(said, known)]
    told = (
        min(2, kinds.count("name")) * _NAME
        + min(2, kinds.count("number")) * _NUMBER
        + min(2, kinds.count("claim")) * _CLAIM
    )
    return told + (_MADE if _MAKING.search(said) else 0.0)


def _said(sentence: str, evidence: Evidence, about: About, language: str) -> tuple[str, str]:
    """The sentence as a caption would have it and "", or "" and why it may not."""
    said = _JOINED.sub("", sentence).strip()
    if not quotable(said):
        return "", "is no plain statement"
    if not _in_language(said, language):
        return "", "is of another language"
    said = said[:1].upper() + said[1:]
    said += "" if said.rstrip("\"'”’»)")[-1:] in ".!" else "."
    if language == "en":
        said = _as_it(said, evidence, about)
    reason = contradiction(said, evidence, about)
    return ("", reason) if reason else (said, "")


def _as_it(said: str, evidence: Evidence, about: About) -> str:
    """It was cut in Porto, where the text of this product says that the dress was."""
    if about != "product":
        return said
    for mention in mentions(said, extra_of(evidence)):
        if mention.values("category") is None and mention.values("kind") is None:
            continue
        subject = _SUBJECT.search(said[: mention.start])
        known = _category_known(mention, evidence)
        if subject is None or (known and len(worth_stating(evidence)) > 1):
            continue
        before, after = said[: subject.start()], said[mention.end :]
        between = said[subject.end("the") : mention.start]
        if mentions(between) or re.search(r"[A-Z\d]", between):
            if known:
                continue  # "The red dress", "The Aurora dress": what is said of it stays
            return said[: mention.start] + "piece" + after  # the photo shows another kind than the text says
        several = subject["the"].lower() in _SEVERAL or re.match(r"\s+(?:are|were|have|come)\b", after)
        owns = said[mention.start : mention.end].endswith(("'s", "’s", "'", "’"))
        if not before:
            first = ("Their" if several else "Its") if owns else ("They" if several else "It")
            return first + after
        if not known and not owns:
            return before + ("them" if several else "it") + after
    return said


def contradiction(said: str, evidence: Evidence, about: About) -> str:
    """Why a sentence does not fit what is known of the product, or "".

    Of the product's own text the word counts where nothing is known. A brand's or a collection's text speaks of many products: what it
    says of garments, colours and fabrics must be true of this one.
    """
    garments = evidence.garments
    known = [_values(garment) for garment in garments]
    for mention in mentions(said, extra_of(evidence)):
        if (mention.values("category") is not None or mention.values("kind") is not None) and not _category_known(
            mention, evidence
        ):
            return f"{mention.surface!r} is another garment"
        for facet, values in mention.claims:
            if facet == "gender" and _FOR.search(said[: mention.start]) and _differs(known, facet, values):
                return f"{mention.surface!r} is for somebody else"
            if facet not in _FACETS:
                continue
            if any(set(values) & one.get(facet, frozenset()) for one in known):
                continue
            if about != "product":
                return f"{mention.surface!r} is not known of this product"
            if garments and _stated(garments[0], facet):
                return f"{mention.surface!r} is not its {facet}"
    return ""


def _stated(garment: Garment, facet: str) -> bool:
    """Whether a facet of the product is settled: its colour and pattern are seen; of its fabric only the shop knows."""
    if facet == "colour":
        return bool(garment.colours)
    found = garment.attributes.get(facet)
    return found is not None and (facet != "fabric" or (found.source in (MERCHANT, "") and not found.neighbours))


def _differs(known: Sequence[dict[str, frozenset[str]]], facet: str, values: tuple[str, ...]) -> bool:
    return any(facet in one for one in known) and not any(set(values) & one.get(facet, frozenset()) for one in known)


def _category_known(mention: Mention, evidence: Evidence) -> bool:
    wanted = {value for facet in ("category", "kind") for value in mention.values(facet) or ()}
    for garment in evidence.garments:
        words = {clean(garment.category), canonical("category", garment.category)}
        kind = garment.attributes.get("kind")
        if kind is not None:
            words |= {clean(kind.value)} | {value for _, values in claims_of(kind.value) for value in values}
        if (mention.values("category") is None or set(mention.values("category") or ()) & words) and wanted & words:
            return True
    return False


def _values(garment: Garment) -> dict[str, frozenset[str]]:
    known: dict[str, frozenset[str]] = {}
    if garment.colours:
        known["colour"] = frozenset(canonical("colour", colour.name) for colour in garment.colours)
    for facet, attribute in garment.attributes.items():
        both = frozenset((canonical(facet, attribute.value), clean(attribute.value)))
        known[facet] = known.get(facet, frozenset()) | both
    kind = garment.attributes.get("kind")
    if kind is not None:
        for facet, values in claims_of(kind.value):
            known[facet] = known.get(facet, frozenset()) | frozenset(values)
    return known


_LANGUAGES = {"en": "english", "de": "german", "fr": "french", "es": "spanish"}


def _in_language(said: str, language: str) -> bool:
    """By its little words; a line without any ("100% linen, Normandy") is in none, and taken."""
    words = re.findall(r"[^\W\d_]+", normal(said))
    counts = {name: sum(word in listed for word in words) for name, listed in FUNCTION_WORDS.items()}
    most = max(counts.values(), default=0)
    return most < 2 or counts.get(_LANGUAGES.get(language, language), 0) == most


def _same(one: str, other: str) -> bool:
    ours, theirs = set(re.findall(r"\w+", normal(one))), set(re.findall(r"\w+", normal(other)))
    return len(ours & theirs) >= 0.8 * min(len(ours), len(theirs))


def holds(fact: Fact, caption: str) -> bool:
    """Whether a fact is in a caption, and all that it names stands in its chunk: what "cited rightly" means."""
    return fact.said in caption and not ungrounded(fact.said, [fact.text])
