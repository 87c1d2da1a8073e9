"""The verifier: a caption may state only what its evidence pack holds (ARCHITECTURE.md, promise 5).

Rejected are claims of a garment, colour, fabric, gender, pattern, sleeve, neckline, length or detail that no garment of
the pack has, and claims bound to the wrong one ("navy dress" where only the shoes are navy). Binding is decided where it
is plain: a modifier directly before a garment word, or after it with a linking word ("a dress in navy linen"). What refers
back ("and yes, it is black", "made of linen") must be true of every garment that was named before and that it may refer to.
Rejected is also what denies a fact ("a leather-free bag"), and what does not suit the audience (`processors.audience`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from processors.audience import Audience, audience_of, unfit, unfit_tag
from processors.claims import Extra, Mention, extra_of, hidden_claims, mentions, split_tag
from processors.evidence import kind_noun, wider
from processors.kinds import claims_of
from processors.noun_phrases import unknown_words
from processors.references import antecedents_of, is_plural, owners_of
from processors.values import CaptionText, Evidence, Garment, Span, WriterKind
from processors.vocabulary import COLLARS, FACETS, canonical, clean

MIN_HASHTAGS, MAX_HASHTAGS = 8, 18
NAMES_NONE = "names none of the garments"
"""The reason why a caption that says nothing wrong is refused."""

_BOUND = ("colour", "fabric", "gender", "pattern", "sleeve", "neckline", "length")
_TAGGED = frozenset((*_BOUND, "category"))
_FREE = frozenset(("detail", "kind"))

# "The dress and the bag are black" says it of both.
_ALIKE = re.compile(
    r"(?<![^\W_])(?:matching|tonal|monochrom(?:e|atic)|head[ -]to[ -]toe|same (?:colou?r|shade|tone|hue)|total (?:[^\W_]+ )?look)(?![^\W_])",
    re.IGNORECASE,
)
"""What says of all garments that they have one colour."""
_EVERY_ONE = re.compile(r"\W+(?:(?:are|come)\s+)?(?:both|all)\s+(?:in\s+)?", re.IGNORECASE)
"""Between garments and what is said of each of them ("two shirts, both white")."""
_COUNTED = re.compile(r"\b(?:two|three|four|both|several|a couple of|an? (?:set|trio) of)[\s-]+$", re.IGNORECASE)
"""Before garments of one kind: what is said of them is said of more than one."""
_PAIR = re.compile(r"\b(?:a|the|this|one|matching) pair of[\s-]+$", re.IGNORECASE)
"""The same, but before what comes in pairs by itself."""
_PAIRED = frozenset({"sunglass", "pants", "shorts", "shoe"})
"""Of which a plural is one garment."""
_THE = re.compile(r"\b(?:the|this|that)[\s-]+$", re.IGNORECASE)
"""Before a garment that was named already."""
_DENIED_BEFORE = re.compile(
    r"(?<![^\W_])(?:no|not|non|never|without|neither|nor|(?:is|are|does|do|was)n['’]t|free of|free from|instead of|rather than)"
    r"(?:\s+(?:a|an|any|the|your|average|usual|another|quite|exactly|really|actually|even|made of|made from|in|of|real|genuine|for))*[\s\-‐-–]+$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(r"[\s\-‐-–]+free(?![^\W_])", re.IGNORECASE)


class ParsedCaption(msgspec.Struct, frozen=True):
    """What `processors.captions.parse` found in a model's text; nothing in it is checked yet."""

    caption: str
    hashtags: tuple[str, ...]


class Rejected(msgspec.Struct, frozen=True):
    """Why a draft is not used, in words for a log."""

    reasons: tuple[str, ...]


_NOTHING: frozenset[str] = frozenset()


class _Facts(msgspec.Struct, frozen=True):
    """The pack in canonical words."""

    garments: tuple[Garment, ...]
    values: tuple[dict[str, frozenset[str]], ...]
    words: frozenset[str]
    extra: Extra
    audience: Audience

    def having(self, facet: str, wanted: Collection[str], among: Iterable[int] | None = None) -> tuple[int, ...]:
        """Indices of the garments whose `facet` is one of `wanted`."""
        indices = range(len(self.garments)) if among is None else among
        return tuple([n for n in indices if not self.values[n].get(facet, _NOTHING).isdisjoint(wanted)])


def verify(parsed: ParsedCaption, evidence: Evidence, *, writer: WriterKind = "llm") -> CaptionText | Rejected:
    """The checked caption with a span for every grounded claim, or every reason why it is not one.

    `coverage` (None of an empty pack) is the share of the facets in the *pack* (category, colour, fabric, gender of each garment) that the
    sentences state; evaluation measures coverage against what is true of the photo instead (MODELS.md), which a wrong
    pack cannot flatter. Hashtags must be grounded too, but count for no coverage; tags that are not made of known
    words are dropped, and of more than 18 the first 18 stay.
    """
    facts = _facts(evidence)
    spans, reasons = _check_sentences(parsed.caption, facts)
    hashtags, complaints = _check_hashtags(parsed.hashtags, facts)
    reasons += complaints
    reasons += [f'"{word}" does not suit {facts.audience}' for word in unfit(parsed.caption, facts.audience)]
    if evidence.garments and not any(span.facet == "category" for span in spans):
        reasons.append(NAMES_NONE)
    if len(hashtags) < MIN_HASHTAGS:
        reasons.append(f"{len(hashtags)} usable hashtags, {MIN_HASHTAGS} wanted")
    if reasons:
        return Rejected(tuple(dict.fromkeys(reasons)))
    return CaptionText(
        caption=parsed.caption,
        hashtags=hashtags,
        spans=spans,
        coverage=_coverage(spans, facts),
        writer=writer,
    )


def grounded_hashtags(tags: Sequence[str], evidence: Evidence) -> tuple[str, ...]:
    """Those of `tags` that claim nothing which the evidence lacks, in their order; unreadable tags are left out too."""
    return grounding(evidence)(tags)


def grounding(
    evidence: Evidence, audience: Audience | None = None, extra: Extra | None = None
) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """`grounded_hashtags` of one pack, for who asks it several times: what the pack holds is gathered once.

    Of a part of a pack `audience` and `extra` are those of the whole.
    """
    facts = _facts(evidence)
    facts = msgspec.structs.replace(
        facts, audience=audience or facts.audience, extra=facts.extra if extra is None else extra
    )
    return lambda tags: _check_hashtags(tags, facts)[0]


def _facts(evidence: Evidence) -> _Facts:
    values: list[dict[str, frozenset[str]]] = []
    words: set[str] = set()
    for garment in evidence.garments:
        category = frozenset((clean(garment.category), canonical("category", garment.category)))
        known = {"category": category}
        if garment.colours:
            known["colour"] = frozenset(canonical("colour", colour.name) for colour in garment.colours)
        for facet, values_of_kind in _of_kind(garment):
            known[facet] = known.get(facet, frozenset()) | values_of_kind
        for facet, attribute in garment.attributes.items():
            known[facet] = known.get(facet, frozenset()) | frozenset(
                (canonical(facet, attribute.value), clean(attribute.value), wider(facet, attribute.value))
            )
            if facet == "neckline" and canonical(facet, attribute.value) in COLLARS:
                known[facet] |= {"collar"}
            words.update(clean(f"{facet} {attribute.value}").split())
        words.update(clean(garment.category).split())
        values.append(known)
    return _Facts(tuple(evidence.garments), tuple(values), frozenset(words), extra_of(evidence), audience_of(evidence))


def _of_kind(garment: Garment) -> list[tuple[str, frozenset[str]]]:
    """What the garment's kind says of it: a cardigan is one, and jeans are denim."""
    kind = garment.attributes.get("kind")
    if kind is None or not kind_noun(garment):
        return []
    return [(facet, frozenset(values)) for facet, values in claims_of(kind.value)]


def _free_standing(mention: Mention, facts: _Facts) -> bool:
    """Claims that belong to no one garment: a detail, or a kind that the pack's own words name."""
    if mention.values("detail") is not None or mention.values("kind") is not None:
        stem = mention.surface.rstrip("s")
        return any(word.rstrip("s") == stem for word in facts.words)
    return True


def _check_sentences(text: str, facts: _Facts) -> tuple[tuple[Span, ...], list[str]]:
    found = mentions(text, facts.extra)
    nouns = [m for m in found if m.values("category") is not None]
    reasons = [f'"{m.surface}" is not in the evidence' for m in found if not _free_standing(m, facts)]
    reasons += [f'"{m.surface}" is denied' for m in found if denies(m, text)]
    colours = [known.get("colour", frozenset()) for known in facts.values]
    if (alike := _ALIKE.search(text)) and len(colours) > 1 and not frozenset.intersection(*colours):
        reasons.append(f'"{alike.group()}" is said of garments that have no colour in common')
    reasons += [
        f'"{word}" is no word that says anything known of a garment' for word in unknown_words(text, found, facts.words)
    ]
    spans: list[Span] = []
    said: dict[int, list[Mention]] = {}
    for mention in found:
        for facet in _BOUND:
            values = mention.values(facet)
            if values is not None:
                more, reason = _check_modifier(mention, facet, values, nouns, found, text, facts, said)
                spans += more
                reasons += reason
    reasons += _check_several(found, nouns, text, facts, said)
    for noun in nouns:
        more, reason = _check_noun(noun, said.get(noun.start, ()), text, facts)
        spans += more
        reasons += reason
    return tuple(sorted(spans, key=lambda s: (s.start, s.end, s.garment, s.facet))), reasons


def _check_several(
    found: Sequence[Mention],
    nouns: Sequence[Mention],
    text: str,
    facts: _Facts,
    said: Mapping[int, Sequence[Mention]],
) -> list[str]:
    """What is said behind a plural is said of all: "shirts in white", and of each one "shirts in white and black"."""
    told: dict[tuple[int, str], set[int]] = {}
    for mention in found:
        owners, sure = owners_of(mention, nouns, found, text)
        if sure or len(owners) != 1 or owners[0].end > mention.start or not is_plural(owners[0]):
            continue
        for facet in _BOUND:
            if (values := mention.values(facet)) is not None and facet != "gender":
                told.setdefault((owners[0].start, facet), set()).update(facts.having(facet, values))
    reasons = []
    for noun in nouns:
        if _PAIRED.intersection(noun.values("category") or ()):
            continue
        named = set(_noun_garments(noun, said.get(noun.start, ()), facts))
        reasons += [
            f"what is said of the {noun.surface} ({facet}) is not so of all of them"
            for facet in _BOUND
            if not named <= told.get((noun.start, facet), named)
        ]
    return reasons


def _check_modifier(
    mention: Mention,
    facet: str,
    values: Sequence[str],
    nouns: Sequence[Mention],
    found: Sequence[Mention],
    text: str,
    facts: _Facts,
    said: dict[int, list[Mention]],
) -> tuple[list[Span], list[str]]:
    """One claim about a garment; `said` collects, by the start of a noun, what stands directly before that noun."""
    owners, sure = owners_of(mention, nouns, found, text)
    if mention.surface in ("long", "short") and not owners:
        return [], []  # "all day long"
    back = () if sure or facet == "gender" else antecedents_of(mention, nouns, owners, text)
    last = next((noun for noun in reversed(nouns) if noun.end <= mention.start), None)
    if last is not None and not sure and is_plural(last) and _EVERY_ONE.fullmatch(text[last.end : mention.start]):
        named = _noun_garments(last, said.get(last.start, ()), facts)
        if len(facts.having(facet, values, named)) < len(named):
            return [], [f'"{mention.surface}" ({facet}) is not said of every one of the {last.surface}']
    back = back or _named_before(owners, sure, nouns, text, facts, said)
    if back:
        return _check_antecedents(mention, facet, values, back, facts, said)
    ids = _grounding(facet, values, owners, facts, said)
    if not ids:
        of = f" of the {owners[0].surface}" if owners else ""
        return [], [f'"{mention.surface}" ({facet}) is not said{of} by the evidence']
    if facet == "gender":  # said once, it is said of everything the same person wears
        return _spans(mention, facet, facts.having(facet, values), facts), []
    behind = [owner for owner in owners if owner.end <= mention.start]
    # "A black shirt in linen" is one shirt; "shirts in white and black" may be two.
    if sure or (len(owners) == 1 and behind and not is_plural(owners[0])):
        said.setdefault(owners[0].start, []).append(mention)
    return _spans(mention, facet, ids if owners else _nearest(mention, nouns, ids, facts), facts), []


def _named_before(
    owners: Sequence[Mention],
    sure: bool,
    nouns: Sequence[Mention],
    text: str,
    facts: _Facts,
    said: Mapping[int, Sequence[Mention]],
) -> tuple[Mention, ...]:
    """Of "the shirt is silk", behind a white shirt and a black one: the garment words that "the shirt" may mean."""
    if sure or len(owners) != 1:
        return ()
    noun = owners[0]
    values = noun.values("category") or ()
    if is_plural(noun) or said.get(noun.start) or not _THE.search(text[: noun.start]):
        return ()
    if len(facts.having("category", values)) < 2:
        return ()
    return tuple(one for one in nouns if one.end <= noun.start and set(one.values("category") or ()) & set(values))


def _check_antecedents(
    mention: Mention,
    facet: str,
    values: Sequence[str],
    nouns: Sequence[Mention],
    facts: _Facts,
    said: dict[int, list[Mention]],
) -> tuple[list[Span], list[str]]:
    """A claim that refers back must hold of whatever it may refer to: a reader takes the nearest, or the first."""
    ids: list[int] = []
    for noun in nouns:
        own = facts.having(facet, values, _noun_garments(noun, said.get(noun.start, ()), facts))
        if not own:
            return [], [f'"{mention.surface}" ({facet}) may be read of the {noun.surface}, which has it not']
        ids += own
    return _spans(mention, facet, tuple(dict.fromkeys(ids)), facts), []


def denies(mention: Mention, text: str) -> bool:
    """Whether a sentence says that a garment is not something: it claims what no evidence holds."""
    if not any(facet in _BOUND for facet, _ in mention.claims):
        return False
    return bool(_DENIED_BEFORE.search(text[: mention.start]) or _DENIED_AFTER.match(text, mention.end))


def _check_noun(noun: Mention, said: Sequence[Mention], text: str, facts: _Facts) -> tuple[list[Span], list[str]]:
    values = noun.values("category") or ()
    if not facts.having("category", values):
        return [], [f'no "{noun.surface}" in the evidence']
    ids = _noun_garments(noun, said, facts)
    if not ids:
        return [], [f'no one "{noun.surface}" has all that is said of it']
    if len(ids) < 2 and len(facts.having("category", values)) > 1 and is_plural(noun):
        first = min([noun.start, *(mention.start for mention in said)])
        if _COUNTED.search(text[:first]) or (_PAIR.search(text[:first]) and not _PAIRED.intersection(values)):
            return [], [f'of "{noun.surface}" only one is so']
    return _spans(noun, "category", ids, facts), []


def _grounding(
    facet: str, values: Sequence[str], owners: Sequence[Mention], facts: _Facts, said: Mapping[int, Sequence[Mention]]
) -> tuple[int, ...]:
    """The garments that have it: of the owners, as what stands directly before them tells them apart."""
    if not owners:
        return facts.having(facet, values)
    return tuple(
        dict.fromkeys(
            n
            for owner in owners
            for n in facts.having(facet, values, _noun_garments(owner, said.get(owner.start, ()), facts))
        )
    )


def _noun_garments(noun: Mention, said: Sequence[Mention], facts: _Facts) -> tuple[int, ...]:
    """The garments that a noun with its direct modifiers names: "white shirt" is not the black one."""
    ids = facts.having("category", noun.values("category") or ())
    for mention in said:
        for facet, values in mention.claims:
            if facet in _BOUND:
                ids = facts.having(facet, values, ids)
    return ids


def _nearest(mention: Mention, nouns: Sequence[Mention], ids: tuple[int, ...], facts: _Facts) -> tuple[int, ...]:
    """An unbound claim belongs to the garment spoken of last that has it."""
    for noun in sorted(nouns, key=lambda n: (n.start > mention.start, abs(n.start - mention.start))):
        named = [n for n in facts.having("category", noun.values("category") or ()) if n in ids]
        if named:
            return tuple(named)
    return ids[:1]


def _spans(mention: Mention, facet: str, ids: Sequence[int], facts: _Facts) -> list[Span]:
    if facet not in FACETS:
        return []
    return [Span(start=mention.start, end=mention.end, garment=facts.garments[n].id, facet=facet) for n in ids]


def _coverage(spans: Iterable[Span], facts: _Facts) -> float | None:
    stated = {(span.garment, span.facet) for span in spans}
    known = {(g.id, f) for g, values in zip(facts.garments, facts.values, strict=True) for f in FACETS if f in values}
    return len(stated & known) / len(known) if known else None


def _check_hashtags(tags: Sequence[str], facts: _Facts) -> tuple[tuple[str, ...], list[str]]:
    kept: list[str] = []
    reasons: list[str] = []
    for tag in dict.fromkeys(tags):
        claims = split_tag(tag, facts.extra)
        if words := unfit_tag(tag, facts.audience):
            reasons += [f"{tag}: {words[0]!r} does not suit {facts.audience}"]
        elif claims is None:
            hidden = hidden_claims(tag, facts.extra)
            reasons += [f"{tag}: {r}" for m in hidden for r in _ungrounded((m,), facts)]
        else:
            complaints = _ungrounded(claims, facts)
            reasons += [f"{tag}: {reason}" for reason in complaints]
            kept += [] if complaints else [tag]
    return tuple(kept[:MAX_HASHTAGS]), reasons


def _ungrounded(claims: Sequence[Mention], facts: _Facts) -> list[str]:
    """A tag holds when each of its claims does and one garment has them all."""
    loose: list[str] = []
    reasons: list[str] = []
    ids: tuple[int, ...] = tuple(range(len(facts.garments)))
    bound = False
    for mention in claims:
        free = False
        for facet, values in mention.claims:
            if facet in _TAGGED:
                having = facts.having(facet, values)
                if not having:
                    reasons.append(f'"{mention.surface}" ({facet}) is not in the evidence')
                ids = tuple([n for n in ids if n in having])
            elif facet in _FREE:
                free = True
        if not free:
            bound = True
        elif not _free_standing(mention, facts):
            loose.append(f'"{mention.surface}" is not in the evidence')
    if loose or reasons:
        return loose + reasons
    return ["no one garment has all of it"] if bound and not ids else []
