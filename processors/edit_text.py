"""What a shopper asks to be changed, read by rules: "the same but in red, with long sleeves, no buttons".

Encoders ignore negation ("no stripes" lands next to stripes), so everything refused is taken out of the text and becomes
a filter where the index knows the facet; what no facet can express is named in `ignored`, never silently searched for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, TypeAlias

from processors.claims import Mention, mentions
from processors.shopper_words import counted, differing
from processors.vocabulary import known_values

Values: TypeAlias = dict[str, tuple[str, ...]]

# Rewritten before reading, so that one word says what several said. NOT opens a refusal, LESS a weaker one.
_REWRITES: tuple[tuple[str, str], ...] = (
    (r"[’`]", "'"),
    # "Instead of blue I would like it in green": what is wanted then is not refused.
    (r"(?<=\w) (?=(?:i|we)(?:'d| would)? (?:like|want|prefer|need|love)\b)", " , "),
    # A reason says what somebody likes, not what is asked for.
    (r"\b(?:because|since (?:i|my|she|he|we|they)\b|so that|as (?:i|my|she|he|we|they) )[^.;!?]*", " "),
    (r"\bnot (?:only|just)\b|\bno problem if\b", " "),
    (r"\bwhy not\b|\b(?:can't|cant|cannot|can not|couldn't|could not) (?:find|see|get)\b", " "),
    (r"\b(?:no longer|not any ?more|no more)\b(?= \w)", " NOT "),
    (
        r"\b(?:all|anything|everything|every (?:colou?r|one|fabric|pattern)|any (?:colou?r|one|fabric|pattern)) but\b",
        " NOT ",
    ),
    (r"\b(?:colou?rs?|fabrics?|patterns?) (?:other )?than\b|\bother (?:colou?rs?|fabrics?|patterns?) than\b", " NOT "),
    (r"\b([^\W\d_]+)[- ]free\b(?! (?:size|shipping|delivery))", r" NOT \1 , "),
    (r"\bfree (?:of|from)\b", " NOT "),
    (r"\bnon[- ]([^\W\d_]+)", r" NOT \1 , "),
    (r"\bnot (?:so|too|as|that|very)\b|\bless\b|\bfewer\b", " LESS "),
    (
        r"\b(?:does|do|did|should|must|is|are|was|can|could|may|might|wo|would)(?: not|n't)(?: (?:have|be|want|like))?\b",
        " NOT ",
    ),
    (r"\b(?:can't|cant|cannot|wont)(?: (?:have|be))?\b", " NOT "),
    (r"\b(?:i )?(?:dont|don't|do not) want\b", " NOT "),
    (
        r"\b(?:i )?(?:hates?|dislikes?|avoid|exclud(?:e|es|ing)|skip|neither|nor|nothing|none of|sick of|tired of|ohne|sans|sin)\b",
        " NOT ",
    ),
    (r"\b(?:barely|hardly)\b", " LESS "),
    (r"\b(?:instead of|rather than|other than|anything but|except(?: for)?|minus|lack(?:s|ing)?|never)\b", " NOT "),
    (
        r"\b(?:without|with no|with not|(?:has|have) no|but no|but not|no|not|non|remove|drop|lose)(?: (?:with|in|have|having|has|of|a|an|any))*\b",
        " NOT ",
    ),
    (r"LESS +(?:bright|light|pale)(?:er)?(?: in)?(?: colou?r(?:ed)?s?)?\b", " DARKER "),
    (r"LESS +dark(?:er)?(?: in)?(?: colou?r(?:ed)?s?)?\b", " LIGHTER "),
    # "Make the sleeves long", "change the neckline to a v", "with sleeves that are short": the facet's noun behind its value.
    (
        r"\bsleeves?(?: length)?(?: (?:should be|that are|which are|are|were|be|in|into|to|at|:|of))* (?:a )?(long|short|three[- ]quarter|cap|puff)(?:er)?(?: (?:ones?|length))?\b(?![- ]sleeve)",
        r" \1-sleeves ",
    ),
    (
        r"\b(?:neck(?:line)?|collar):?(?: (?:should be|that is|which is|is|was|be|in|into|to|of))* (?:a |an )?(round|v|crew|scoop|square|boat|high)(?: (?:shaped|one))?(?![- ](?:neck|collar))\b",
        r" \1-neck ",
    ),
    (
        r"\b(?:neck(?:line)?|collar):?(?: (?:should be|that is|which is|is|was|be|in|into|to|of))+ (?:a |an )?(polo|mandarin)\b(?![- ](?:neck|collar))",
        r" \1-collar ",
    ),
    (r"\bshirt[- ]collar(?:ed|s)?\b", " collar "),
    (r"\b(?:half|1/2|½)[ -]sleeve[sd]?\b", " short-sleeves "),
    (r"(?<![\w/])(?:3/4|¾|three[- ]quarter)[ -](?:length )?sleeve[sd]?\b", " three-quarter-sleeves "),
    (r"\bwine[- ]red\b", " burgundy "),
    (r"\b(red|green|blue|pink|brown|yellow)d?(?:er|r)\b", r" \1 "),
    (r"\bbrighter\b(?! (?:in )?(?:colou?r|shade|tone))", " LIGHTER "),
    (
        r"\bfor (?:my |your |his |her |our |a |the )?(?:\w+[- ]year[- ]old )?(?:husband|boyfriend|dad|father|brother|grandfather|grandpa|uncle|fianc[ée])\b",
        " for men ",
    ),
    (
        r"\bfor (?:my |your |his |her |our |a |the )?(?:\w+[- ]year[- ]old )?(?:wife|girlfriend|mum|mom|mother|sister|grandmother|grandma|aunt|fianc[ée]e)\b",
        " for women ",
    ),
    (
        r"\bfor (?:my |your |his |her |our |a |the )?(?:(?:little|\w+[- ]year[- ]old) )?(?:son|nephew|grandson)\b",
        " for boys ",
    ),
    (
        r"\bfor (?:my |your |his |her |our |a |the )?(?:(?:little|\w+[- ]year[- ]old) )?(?:daughter|niece|granddaughter)\b",
        " for girls ",
    ),
    (
        r"\b(?:(?:that|which|to) )?(?:go(?:es)?|match(?:es)?|pairs?|fits?|suits?) (?:well )?(?:with )?(?:this|it|that|these)\b|\bmatching\b",
        " ",
    ),
    (r"LESS +(?:formal|dressy|fancy|elegant|smart)\b", " casual "),
    (r"LESS +(?:casual|sporty|plain-looking)\b", " elegant "),
    (r"(?:LESS|NOT) +(?:tight|fitted|slim)\b", " loose "),
    (r"LESS +(?:loose|baggy|wide|oversized)\b", " slim fit "),
    (r"\bplain\b", " solid "),
    (r"\bsleeve ?less\b", " sleeveless "),
    (r"\b(?:long(?:er)?|full)[ -]sleeve[sd]?\b", " long-sleeves "),
    (r"\bshort(?:er)?[ -]sleeve[sd]?\b", " short-sleeves "),
    (r"\b(?:light(?:er)?|bright(?:er)?|pale(?:r)?)(?: in)? (?:colou?r(?:ed)?|shade|tone)s?\b", " LIGHTER "),
    (r"\bdark(?:er)?(?: in)? (?:colou?r(?:ed)?|shade|tone)s?\b", " DARKER "),
)
_ADJECTIVES = {"lighter": "light", "darker": "dark", "paler": "pale", "brighter": "bright", "deeper": "deep"}
_NEGATION, _LESS = "NOT", "LESS"
# What ends a refusal: "no buttons, red" is red.
_STOPS = frozenset(
    {",", ";", ".", ":", "!", "?", "but", "with", "yet", "plus", "then", "more", "has", "have", "is", "and"}
)
# Words of a request that describe nothing.
_FILLER = frozenset(
    """
    a an the this that these those it its it's same similar one ones like as but and or in on of for to with without
    please make want would i i'd i'm me my show find get give need looking something anything some any just only also
    very more be is are was has have do does can could you your version style kind type item product colour color
    colored coloured colours colors shade tone tones pattern patterns patterned print prints design material fabric
    made from at all too so now then instead exactly exact bit little slightly somewhat bitte thanks thank still keep kept change changed into than see switch swap get wish
    neckline neck sleeve sleeves shaped should could would
    """.split()  # noqa: SIM905 (a paragraph reads better than a list of a hundred strings)
)
_POINTERS = frozenset({"this", "that", "same", "these", "the"})
_PATTERN_NOUNS = frozenset({"pattern", "patterns", "print", "prints", "design", "printed", "patterned"})
_PRICE = re.compile(
    r"\b(?:cheap(?:er)?|less expensive|affordable|budget|pric(?:e|ier)|expensive|on sale|discount(?:ed)?)\b"
    r"|(?:\b(?:under|below|over|above|less than|more than)\s*)?[$€£]\s?\d+(?:[.,]\d+)?"
    r"|\b(?:under|below|less than)\s+\d+(?:[.,]\d+)?\b"
)
_FILTERED = frozenset({"category", "colour", "fabric", "gender", "pattern", "sleeve", "neckline", "length"})


@dataclass(frozen=True, slots=True)
class ParsedEdit:
    """An edit as rules understood it.

    Args:
        text: the wishes in the shopper's own words, without refusals and politeness; "" when nothing is left.
        set: facet → the wanted value ("colour": "red"; two colours as "red and white").
        exclude: facet → refused values, for the index ("not blue" refuses every shade of blue).
        less: facet → values to move away from without refusing them ("less floral").
        shade: "lighter" or "darker" than the reference.
        length: "longer" or "shorter" than the reference.
        rest: wishes that are no facet ("more elegant", "ruffles"), kept as words.
        ignored: what was asked for and cannot be followed (refused details, prices, counts).
        another: facets that are to differ from the reference's, in whatever way ("in a different colour").
    """

    text: str
    set: dict[str, str] = field(default_factory=dict)
    exclude: Values = field(default_factory=dict)
    less: Values = field(default_factory=dict)
    shade: Literal["", "lighter", "darker"] = ""
    length: Literal["", "longer", "shorter"] = ""
    rest: str = ""
    ignored: tuple[str, ...] = ()
    another: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Unit:
    """A claim of the vocabulary, a word or a punctuation mark, and how it is meant."""

    text: str
    mention: Mention | None = None
    polarity: Literal["", "NOT", "LESS"] = ""
    pointed: bool = False  # "this dress": the reference itself, no wish


def parse_edit(text: str) -> ParsedEdit:
    """Read an edit. Never fails: what is not understood stays in `text` and `rest` as it was written."""
    another, text = differing(text)
    counts, text = counted(text)
    prices = tuple(match.group().strip() for match in _PRICE.finditer(text.lower()))
    units = _units(_rewritten(_PRICE.sub(" ", text.lower())))
    wanted = [u for u in units if not u.polarity]
    exclude, lifted, ignored = _refusals(u for u in units if u.polarity == _NEGATION)
    less, _, vague = _refusals(u for u in units if u.polarity == _LESS)
    chosen = {**lifted, **_wishes(wanted)}
    words = [u.text for u in wanted if u.mention is None]
    return ParsedEdit(
        text=_plain(units),
        set=chosen,
        exclude=_minus(exclude, chosen),
        less=_minus(less, chosen),
        shade="lighter" if "lighter" in words else "darker" if "darker" in words else "",
        length="longer" if "longer" in words else "shorter" if "shorter" in words else "",
        rest=" ".join(_rest(wanted)),
        ignored=(*ignored, *(f"less {word}" for word in vague), *prices, *counts),
        another=tuple(facet for facet in another if facet not in chosen),
    )


def joined(edits: Sequence[ParsedEdit]) -> ParsedEdit:
    """Several turns as one edit: of a facet the latest wish counts; what is wished for later is not refused any more, and the other way."""
    chosen: dict[str, str] = {}
    exclude: Values = {}
    less: Values = {}
    shade: Literal["", "lighter", "darker"] = ""
    length: Literal["", "longer", "shorter"] = ""
    another: tuple[str, ...] = ()
    for edit in edits:
        another = tuple(dict.fromkeys(f for f in (*another, *edit.another) if f not in edit.set))
        for given, more in ((exclude, edit.exclude), (less, edit.less)):
            for facet, values in more.items():
                given[facet] = tuple(dict.fromkeys((*given.get(facet, ()), *values)))
                chosen = {f: v for f, v in chosen.items() if f != facet or v not in values}
        chosen |= edit.set
        shade = "" if "colour" in edit.set else shade
        length = "" if "length" in edit.set else length
        shade, length = edit.shade or shade, edit.length or length
    return ParsedEdit(
        text=", ".join(edit.text for edit in edits if edit.text),
        set=chosen,
        exclude=_minus(exclude, chosen),
        less=_minus(less, chosen),
        shade=shade,
        length=length,
        rest=" ".join(edit.rest for edit in edits if edit.rest),
        ignored=tuple(dict.fromkeys(word for edit in edits for word in edit.ignored)),
        another=another,
    )


# One value for another of the same facet.
_SWAPS = (
    re.compile(r"\b(?:swap|change|replace|exchange|switch|turn)(?: out)? ([^,;.]+?) (?:for|to|into|with|by) ([^,;.]+)"),
    re.compile(r"\bfrom ([^,;.]+?) (?:to|into) ([^,;.]+)"),
)
_BY_ARROW = re.compile(r"([^,;.→]+?) ?(?:→|->|=>|➡\ufe0f?) ?([^,;.→]+)")
_ARROWS = ("→", "->", "=>", "➡")


def _swapped(match: re.Match[str]) -> str:
    """The first value refused, where the second is of the same kind ("made from cotton to last" swaps nothing)."""
    old, new = ({facet for mention in mentions(side) for facet, _ in mention.claims} for side in match.groups())
    return f" NOT {match[1]} , {match[2]}" if old & new else match.group()


def _rewritten(text: str) -> str:
    for swap in _SWAPS:
        text = swap.sub(_swapped, text)
    # Where there is no arrow, each word is tried for all that may stand before one.
    if any(arrow in text for arrow in _ARROWS):
        text = _BY_ARROW.sub(_swapped, text)
    for pattern, replacement in _rewrites():
        text = pattern.sub(replacement, text)
    text = _coloured_step().sub(lambda m: _ADJECTIVES[m.group(1)], text)
    return _STEP.sub(lambda m: m.group().lower(), text)


_STEP = re.compile(r"\b(?:LIGHTER|DARKER)\b")


@cache
def _rewrites() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in _REWRITES)


@cache
def _coloured_step() -> re.Pattern[str]:
    """A step before a colour: "darker red" is a colour of its own, "darker" alone is a step from the reference.

    Made once: to spell five hundred names of colours anew was nine tenths of reading a query.
    """
    words = "|".join(_ADJECTIVES)
    colours = "|".join(re.escape(name) for name in sorted(known_values("colour"), key=len, reverse=True))
    return re.compile(rf"\b({words})(?= (?:{colours})\b)")


def _units(text: str) -> list[_Unit]:
    """The text cut into claims, words and marks, left to right, each with its polarity."""
    units: list[_Unit] = []
    polarity: Literal["", "NOT", "LESS"] = ""
    for piece, mention in _pieces(text):
        if piece == "NOT":
            polarity = "NOT"
        elif piece == "LESS":
            polarity = "LESS"
        elif polarity and mention is None and piece in _STOPS and not _continues(units, text, piece):
            polarity = ""
        else:
            units.append(_Unit(piece, mention, polarity, pointed=_pointed(units)))
    return units


def _pieces(text: str) -> Iterable[tuple[str, Mention | None]]:
    at = 0
    for mention in mentions(text):
        yield from ((word, None) for word in _words(text[at : mention.start]))
        yield mention.surface, mention
        at = mention.end
    yield from ((word, None) for word in _words(text[at:]))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['-][^\W_]+)*|[,;.:!?]", text)


def _continues(units: list[_Unit], text: str, stop: str) -> bool:
    """Whether "and" goes on refusing: "not black and white" refuses both, two claims of one facet."""
    if stop != "and" or not units or units[-1].mention is None:
        return False
    facet = units[-1].mention.claims[0][0]
    following = re.search(rf"\b{re.escape(units[-1].text)}s? and (.*)", text)
    after = mentions(following.group(1)) if following else ()
    return bool(after) and after[0].start == 0 and after[0].claims[0][0] == facet


def _pointed(units: list[_Unit]) -> bool:
    """Whether "this", "that", "same" or "the" stands just before, adjectives between."""
    for unit in reversed(units[-3:]):
        if unit.mention is None:
            return unit.text in _POINTERS
    return False


def _wishes(units: Iterable[_Unit]) -> dict[str, str]:
    """Facet → wanted value. Several colours are joined; of anything else the last wish wins."""
    wanted: dict[str, str] = {}
    colours: list[str] = []
    for unit in units:
        if unit.mention is None:
            continue
        for facet, values in unit.mention.claims:
            if not values or (unit.pointed and facet in ("category", "kind")):
                continue
            if facet == "colour":
                colours.append(values[0])
            else:
                wanted[facet] = values[0]
    if colours:
        wanted["colour"] = " and ".join(dict.fromkeys(colours))
    return wanted


def _refusals(units: Iterable[_Unit]) -> tuple[Values, dict[str, str], list[str]]:
    """(facet → refused values, facet → value that the refusal amounts to, refused words that are no facet)."""
    refused: dict[str, list[str]] = {}
    amounts: dict[str, str] = {}
    other: list[str] = []
    before: _Unit | None = None
    for unit in units:
        facet, values = _refused(unit)
        if unit.text in _PATTERN_NOUNS:
            # "no floral pattern" refuses flowers; "no pattern" refuses all of them.
            if before is None or before.mention is None or before.mention.values("pattern") is None:
                amounts["pattern"] = "solid"
                refused.setdefault("pattern", []).extend(sorted(known_values("pattern") - {"solid"}))
        elif unit.text in ("sleeve", "sleeves"):
            amounts["sleeve"] = "sleeveless"
        elif facet in _FILTERED and values:
            refused.setdefault(facet, []).extend(values)
        elif unit.mention is not None or unit.text not in _FILLER | _STOPS:
            other.append(unit.text)
        before = unit
    return {facet: tuple(dict.fromkeys(values)) for facet, values in refused.items()}, amounts, other


def _refused(unit: _Unit) -> tuple[str, tuple[str, ...]]:
    """What refusing a claim refuses: of "jeans" the denim, of "coat" the coats and not every jacket."""
    if unit.mention is None or not unit.mention.claims:
        return "", ()
    facet, values = unit.mention.claims[-1]
    return ("category", values) if facet == "kind" else (facet, values)


def _minus(refused: Values, chosen: dict[str, str]) -> Values:
    """The refusals less what is wanted: "navy, not blue" still wants navy."""
    kept = {}
    for facet, values in refused.items():
        wanted = chosen.get(facet, "").split(" and ")
        left = tuple(value for value in values if value not in wanted)
        if left:
            kept[facet] = left
    return kept


def _rest(units: list[_Unit]) -> Iterable[str]:
    """Words that are wishes but no facet, each with the "more" before it."""
    steps = {"lighter", "darker", "longer", "shorter"}
    for place, unit in enumerate(units):
        free = unit.mention is None and unit.text not in _FILLER | _STOPS | steps
        detail = unit.mention is not None and not any(values for _, values in unit.mention.claims)
        if free or detail:
            before = units[place - 1].text if place else ""
            yield f"more {unit.text}" if before == "more" else unit.text


def _plain(units: list[_Unit]) -> str:
    """The wishes as one line, without leading and trailing filler ("the same but in red" → "red")."""
    words = [unit.text for unit in units if not unit.polarity]
    edge = _FILLER | _STOPS - {"more"}
    while words and words[0] in edge - {"more"}:
        words.pop(0)
    while words and words[-1] in edge:
        words.pop()
    return re.sub(r" ([,;.:!?])", r"\1", " ".join(words))
