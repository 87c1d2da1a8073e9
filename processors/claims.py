"""Finding claims in a sentence and in a hashtag. Nothing is judged here; `processors.verify` does that."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from processors.evidence import stateable
from processors.values import Evidence
from processors.vocabulary import Claim, Forms, base_forms, canonical, clean

Extra = tuple[tuple[str, str], ...]
"""(facet, surface) pairs that one evidence pack adds to the lists."""

# Words of hashtags that claim nothing. A tag that cannot be cut into these and claims is dropped.
NEUTRAL_WORDS = frozenset(
    """
    a all and at big best beautiful bold calm casual chic city classic classics clean comfort comfy cool colour color
    colours colors combo core cosy creative curated daily date day days detail details do dream dressed dressing drop
    easy edit effortless elegance elegant elevated essential essentials every everyday evening fabric fabrics fall
    fashion fashionista fave favourite favourites feed feel feels finds find first fit fits for fresh friday from fun
    garment get go good goals great happy hello here holiday home i ideas idea in inspiration inspired inspo instant
    is it joy just know keep label layer layers layering life lifestyle like line live look lookbook looks love
    loves lover lovers made make match me mix modern mood moment monday morning must my neat new news night
    now of off office ohsosimple on one online ootd our out outfit outfits piece pieces play pretty ready real refined
    right round season seasons set share sharp shop shopping shopnow shopthelook simple slow small smart smile spring
    staple staples statement stay steps story street streetstyle streetwear style styled styles styleinspo styling
    stylish stylist summer sunday sunny swap texture the this tidy timeless to today together touch travel trend trends
    trendy try tuesday up us vibe vibes walk want wardrobe wear wearing wears week weekday weekdays weekend weekends
    add basic basics days editorial edits gift happy luxury quiet tip tips twist tow finds insta feelgood arrivals
    inspos person people note dayout moods reads rack rail shopper
    well what whats winter wishlist with work workwear world wow year you your shade hue tone tones
    wearit keeper keepers arrival arrivals wednesday thursday saturday closet capsule fresh minimal outings outing
    """.split()  # noqa: SIM905 (a paragraph reads better than a list of 250 strings)
)


class Mention(msgspec.Struct, frozen=True):
    """text[start:end] claims `claims` (several for "jeans"); `surface` is its cleaned form."""

    start: int
    end: int
    surface: str
    claims: tuple[Claim, ...]

    def values(self, facet: str) -> tuple[str, ...] | None:
        """The values any of which makes the claim about `facet` true; None when it claims nothing about it."""
        for name, values in self.claims:
            if name == facet:
                return values
        return None


def extra_of(evidence: Evidence) -> Extra:
    """What this pack adds to the lists: values of its own that no list knows ("bouclé"), printable ones only."""
    added: set[tuple[str, str]] = set()
    for garment in evidence.garments:
        pairs = [("category", garment.category), *(("colour", colour.name) for colour in garment.colours)]
        pairs += [(facet, found.value) for facet, found in garment.attributes.items() if facet in ("fabric", "pattern")]
        for facet, value in pairs:
            text = stateable(facet, value)
            if text and text not in base_forms():
                added.add((facet, text))
    return tuple(sorted(added))


@lru_cache(maxsize=256)
def forms(extra: Extra) -> Forms:
    """The lists with one pack's additions."""
    added: Forms = {}
    for facet, surface in extra:
        added[surface] = (*added.get(surface, ()), (facet, (canonical(facet, surface),)))
    return {**base_forms(), **added}


@lru_cache(maxsize=256)
def _pattern(extra: Extra) -> re.Pattern[str]:
    surfaces = sorted(forms(extra), key=lambda s: (-len(s), s))
    # "v neck" is also written "v-neck"; a possessive belongs to its word ("women's").
    joined = "|".join(r"[\s\-‐-–]+".join(map(re.escape, surface.split(" "))) for surface in surfaces)
    return re.compile(rf"(?<![^\W_])(?:{joined})(?:['’]s?(?![^\W_]))?(?![^\W_])", re.IGNORECASE)


@lru_cache(maxsize=256)  # a query is read for its facets and again for its words
def mentions(text: str, extra: Extra = ()) -> tuple[Mention, ...]:
    """Every claim in a sentence, left to right, longest surface first ("navy blue" is one, "blue" no second)."""
    table = forms(extra)
    found: list[Mention] = []
    for match in _pattern(extra).finditer(text):
        words = re.sub(r"['’]s?$", "", match.group())
        claims = table.get(clean(words))
        # Case folding may match a letter that `clean` spells otherwise (the Kelvin sign): no such word is ours.
        if claims is not None:
            found.append(Mention(start=match.start(), end=match.end(), surface=clean(words), claims=claims))
    return _imitations(text, found)


_IMITATION_BEFORE = re.compile(
    r"(?<![^\W_])(?:faux|fake|imitation|artificial|synthetic|simulated|mock|vegan|pu|man-?made)[\s\-‐-–]+$",
    re.IGNORECASE,
)
_IMITATION_AFTER = re.compile(
    r"(?:[\-‐-–](?:look|like|effect)|[\s\-‐-–]+(?:imitation|substitute|alternative|look-?alike))(?![^\W_])",
    re.IGNORECASE,
)
_LOOK = re.compile(r"\s+(?:look|effect)\s+$", re.IGNORECASE)


def _imitations(text: str, found: list[Mention]) -> tuple[Mention, ...]:
    """The mentions with each imitation of a fabric as one claim of its own: "imitation silk" claims no silk."""
    kept: list[Mention] = []
    for place, mention in enumerate(found):
        values = mention.values("fabric") if len(mention.claims) == 1 else None
        before = _IMITATION_BEFORE.search(text[: mention.start])
        following = found[place + 1] if place + 1 < len(found) else None
        # "denim look" before a garment is said of it; "this denim look" says denim.
        looks = following is not None and _LOOK.fullmatch(text[mention.end : following.start])
        after = _IMITATION_AFTER.match(text, mention.end)
        if not values or not _imitable(values[0]) or not (before or after or looks):
            kept.append(mention)
            continue
        start = before.start() if before else mention.start
        end = after.end() if after else mention.end
        while kept and kept[-1].start >= start:
            kept.pop()  # the "synthetic" of synthetic silk is no fabric beside it
        surface = clean(text[start:end])
        kept.append(Mention(start=start, end=end, surface=surface, claims=(("fabric", (f"faux {values[0]}",)),)))
    return tuple(kept)


def _imitable(value: str) -> bool:
    return not value.startswith("faux ") and value not in _SYNTHETICS


_SYNTHETICS = frozenset({"synthetic", "polyester", "nylon", "acrylic", "polyurethane"})


@lru_cache(maxsize=256)
def _tag_words(extra: Extra) -> Forms:
    table: Forms = dict.fromkeys(NEUTRAL_WORDS, ())
    for surface, claims in forms(extra).items():
        table[surface.replace(" ", "")] = claims
    return table


@lru_cache(maxsize=256)
def _longest(extra: Extra) -> int:
    return max(map(len, _tag_words(extra)))


@lru_cache(maxsize=8192)
def split_tag(tag: str, extra: Extra = ()) -> tuple[Mention, ...] | None:
    """The claims in a compound hashtag ("#navydress" -> navy, dress), or None when it is not made of known words.

    The fewest words win, so "#denimblue" is a colour and no fabric.
    """
    text = "".join(clean(tag.lstrip("#")).split())
    table = _tag_words(extra)
    longest = _longest(extra)
    best: list[tuple[int, tuple[Mention, ...]] | None] = [(0, ())] + [None] * len(text)
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - longest), end):
            before, word = best[start], text[start:end]
            if before is None or word not in table:
                continue
            here = best[end]
            if here is None or before[0] + 1 < here[0]:
                claims = table[word]
                said = (Mention(start=start, end=end, surface=word, claims=claims),) if claims else ()
                best[end] = (before[0] + 1, before[1] + said)
    final = best[len(text)]
    return None if final is None or not text else final[1]


def hidden_claims(tag: str, extra: Extra = ()) -> tuple[Mention, ...]:
    """Claims that a tag of unknown words begins or ends with ("#redcarpetready" -> red)."""
    text = "".join(clean(tag.lstrip("#")).split())
    found: list[Mention] = []
    for word, claims in _tag_words(extra).items():
        if claims and len(word) >= 3 and text.startswith(word):
            found.append(Mention(start=0, end=len(word), surface=word, claims=claims))
        elif claims and len(word) >= 3 and text.endswith(word):
            found.append(Mention(start=len(text) - len(word), end=len(text), surface=word, claims=claims))
    return tuple(found)
