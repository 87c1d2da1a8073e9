"""A shopper's words before they are read as an edit: other languages put into English, slips of a finger mended, what differs and counts.

The rules that read an edit (`processors.edit_text`) know English. "In rot, ohne Streifen" left them nothing but a vector of words that
the encoder never saw, and so the photo's own neighbours, red or not.
"""

from __future__ import annotations

import re
from functools import cache

from processors import label_words
from processors.function_words import FUNCTION_WORDS
from processors.label_text import bare
from processors.vocabulary import base_forms
from processors.words import one_typo_away

_WORD = re.compile(r"[^\W_]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOST = 4
"""Words of the longest phrase in the tables."""
_SPELT: dict[str, dict[str, str]] = {
    "sleeve": {
        "long": "long-sleeves", "short": "short-sleeves", "sleeveless": "sleeveless", "three-quarter": "three-quarter-sleeves",
    },
    "neckline": {"round": "round-neck", "v": "v-neck", "collar": "collar"},
}  # fmt: skip
"""How `processors.claims` reads a value, where the value alone is no claim of its facet."""
_MORE = {
    "armellose": "sleeveless", "armellosen": "sleeveless", "langarmelige": "long-sleeves", "langarmlige": "long-sleeves",
    "langen armeln": "long-sleeves", "langem arm": "long-sleeves", "kurzen armeln": "short-sleeves", "kurzem arm": "short-sleeves",
    "ohne armel": "sleeveless", "a manches longues": "long-sleeves", "a manches courtes": "short-sleeves",
    "streifen": "stripes", "karos": "checks", "punkte": "dots", "punkten": "dots", "blumen": "flowers", "blumenmuster": "floral",
    "fleurs": "floral", "muster": "pattern", "motif": "pattern", "motifs": "pattern", "estampado": "print", "stampa": "print",
    "kapuze": "hood", "capuche": "hood", "capucha": "hood", "cappuccio": "hood", "rollkragen": "high-neck",
    "dunkler": "darker", "heller": "lighter", "langer": "longer", "kurzer": "shorter", "plus court": "shorter", "plus courte": "shorter",
    "plus long": "longer", "plus longue": "longer", "plus fonce": "darker", "plus foncee": "darker", "plus clair": "lighter", "plus claire": "lighter",
    "mas corto": "shorter", "mas corta": "shorter", "mas largo": "longer", "mas larga": "longer", "mas oscuro": "darker", "mas claro": "lighter",
    "billiger": "cheaper", "gunstiger": "cheaper", "moins cher": "cheaper", "moins chere": "cheaper", "mas barato": "cheaper", "mas barata": "cheaper",
    "s il vous plait": "", "por favor": "", "per favore": "", "robe": "dress", "chemise": "shirt", "chemises": "shirt", "blusa": "shirt", "blusas": "shirt", "veste": "jacket", "vestes": "jacket",
    "mantel": "coat", "abrigo": "coat", "abrigos": "coat", "cappotto": "coat", "cappotti": "coat", "stiefel": "boots", "bottes": "boots",
    "botas": "boots", "stivali": "boots", "laarzen": "boots", "turnschuhe": "sneakers", "sandalen": "sandals", "sandales": "sandals",
    "kapuzenpullover": "hoodie", "andere farbe": "different colour", "anderen farbe": "different colour", "anderer farbe": "different colour", "autre couleur": "different colour",
    "otro color": "different colour", "altro colore": "different colour", "andere kleur": "different colour",
}  # fmt: skip
"""Phrases of an edit that no label has."""
_REFUSALS = dict.fromkeys(_words("ohne sans sin senza zonder sem kein keine keinen keiner nicht niet"), "without") | {
    "pas de": "without",
    "pas": "without",
}
_JOINING = dict.fromkeys(("und", "et", "y"), "and") | dict.fromkeys(("oder", "ou"), "or") | dict.fromkeys(("aber", "mais", "pero", "sondern"), "but") | dict.fromkeys(_words("gleiche gleichen gleicher dasselbe dieselbe denselben meme memes mismo misma stesso stessa zelfde"), "same")  # fmt: skip
_NOTHING = _words(
    "bitte svp merci gracias grazie farbe farben couleur colore kleur nur ich mochte hatte gern gerne je voudrais veux quiero quisiera vorrei ik wil"
)
_HOMOGRAPHS = _words(
    "rot rote lin marine wit barn dam dame dames mies ull uni hut tas raso seta manner rosa fille lang creme pois vit viola oliv lino lila "
    "herr arma col schwarze grise blu nero negra blanca"
)
"""Words of other languages that are English words or names, too: read only where no word of the text is plainly English."""
_BESIDE_OTHERS = _words("robe oliver lisa lana bianca rossa")
"""English garments that are others elsewhere, and names: read so beside a word of another language only."""
_SHARED = _words(
    "orange beige khaki turquoise mint violet indigo magenta lavender denim chiffon satin nylon polyester paisley unisex kids jeans jean"
)
"""English words of facets that other languages say, too."""
_UNSURE = frozenset({"leer", "dam", "nina", "nino", "bebe", "baby", "skai", "tas"})
"""Words of the tables that are too often something else in a sentence."""
_CORRECTED = _words(
    "black white green yellow orange purple brown beige burgundy maroon charcoal turquoise lavender khaki striped stripes stripe checked checks "
    "dotted floral printed plain sleeve sleeves sleeved sleeveless collar neckline cotton linen leather denim jacket trousers skirt without "
    "pattern colour color"
)
_LONGEST = max(map(len, _CORRECTED)) + 1
"""What a slip is mended to, and the most letters that one may have: all words one typing error away from three thousand letters took half a second."""
_NO_SLIPS = _words(
    "back blacks blank blown brow browne browns brows cellar check cheeks chicks colon colors colours colton conor denis flora greed greek greene "
    "greens greer greet linden liner lines marion marlon pain painted patterns plains plan pointed printer stride strides strife strike strikes "
    "strip strips strive style while whites write bleak shirt shirts whiter greener browner blacker skirts jackets slacks"
)
"""English words one letter away from those: the words among the 30,000 pieces of a sentence encoder that are."""
_SLIPS = {
    "stripped": "striped",
    "bleu": "blue",
    "navi": "navy",
    "gray": "grey",
    "sleave": "sleeve",
    "sleaves": "sleeves",
}
_ANOTHER = re.compile(
    r"(?<!no )\b(?:(?:in|with|of|a|an|any|some|the|has|have) ){0,4}(?:different|other|another|alternative|not (?:the same|this|that)) "
    r"(colou?r|shade|pattern|print|fabric|material|neck(?:line)?|sleeve(?: length)?)s?\b(?: than (?:this|that|it|these)\b)?(?! than\b)",
    re.IGNORECASE,
)
_NAMED = {
    "shade": "colour",
    "color": "colour",
    "print": "pattern",
    "material": "fabric",
    "neck": "neckline",
    "sleeve length": "sleeve",
}
_COUNT = re.compile(
    r"\b(?:\d{1,2}|two|three|four|five|six|a couple|a few|a pair)(?: pairs?| pieces?)? of (?=these\b|those\b|this\b|that\b|them\b)",
    re.IGNORECASE,
)


def in_english(text: str) -> str:
    """The text with the words of other languages that name a facet, and what joins them, in English; any other text as it is."""
    found = [(match.start(), match.end(), bare(match.group().casefold())) for match in _WORD.finditer(text)]
    words = [word for _, _, word in found]
    spans = list(_foreign(words))
    if not spans:
        return text
    by_start = {start: (stop, value) for start, stop, value in spans}
    pieces: list[str] = []
    at = place = 0
    while place < len(words):
        stop, value = by_start.get(place, (place + 1, None))
        if value is None:
            value = _joined(words[place])
        if value is not None:
            pieces.append(text[at : found[place][0]])
            pieces.append(value)
            at = found[stop - 1][1]
        place = stop
    return " ".join("".join([*pieces, text[at:]]).replace("'", " ").split())


def corrected(text: str) -> str:
    """The text with slips mended in words that say a colour, a pattern, a sleeve …: "gren" is green, "slevees" are sleeves.

    A word that is one in English stays, and so does one of three letters.
    """
    return _WORD.sub(lambda match: _mended(match.group()), text)


def differing(text: str) -> tuple[tuple[str, ...], str]:
    """The facets that are to differ in whatever way, and the text without them."""
    nouns = [match[1].lower() for match in _ANOTHER.finditer(text)]
    return tuple(dict.fromkeys(_NAMED.get(noun, noun) for noun in nouns)), _ANOTHER.sub(" , ", text)


def counted(text: str) -> tuple[tuple[str, ...], str]:
    """How many are wanted, which no search can follow, and the text without it: a bare "2" would act on the vector."""
    return tuple(match.group().strip().lower() for match in _COUNT.finditer(text)), _COUNT.sub(" ", text)


# ---------------------------------------------------------------- inside


def _foreign(words: list[str]) -> list[tuple[int, int, str]]:
    """(first, behind the last, English) of the phrases that the tables know, the longest first."""
    if _english() & frozenset(words):
        return []  # "Fila Men Blanc Black Sweater" is a name in an English title
    table = _table()
    spans: list[tuple[int, int, str]] = []
    place = 0
    while place < len(words):
        for length in range(min(_MOST, len(words) - place), 0, -1):
            phrase = " ".join(words[place : place + length])
            if phrase in table:
                spans.append((place, place + length, table[phrase]))
                place += length
                break
        else:
            place += 1
    sure = [span for span in spans if " ".join(words[span[0] : span[1]]) not in _HOMOGRAPHS | _BESIDE_OTHERS]
    if not sure:
        spans = [span for span in spans if words[span[0]] not in _BESIDE_OTHERS]
    taken = {place for start, stop, _ in spans for place in range(start, stop)}
    plain = all(place in taken or _joins(word) for place, word in enumerate(words))
    return spans if plain else sure


def _joins(word: str) -> bool:
    """Whether a word may stand in a sentence of another language."""
    return _joined(word) is not None or word.isdigit() or word == "in"


def _joined(word: str) -> str | None:
    """What joins the words of a sentence, in English; "" for what says nothing; None for any other word."""
    for table in (_REFUSALS, _JOINING):
        if word in table:
            return table[word]
    return "" if word in _NOTHING or word in _function_words() else None


@cache
def _function_words() -> frozenset[str]:
    others = (words for language, words in FUNCTION_WORDS.items() if language != "english")
    return frozenset().union(*others) - FUNCTION_WORDS["english"] - frozenset(base_forms())


@cache
def _english() -> frozenset[str]:
    """Words that no other language has: of its grammar, and of colours, patterns, fabrics and audiences."""
    others = frozenset().union(*(words for language, words in FUNCTION_WORDS.items() if language != "english"))
    said = {
        surface
        for surface, claims in base_forms().items()
        if " " not in surface
        and any(facet in ("colour", "pattern", "gender", "fabric") and values for facet, values in claims)
    }
    foreign = {word for values in label_words.FOREIGN.values() for word in values}
    return (FUNCTION_WORDS["english"] - others) | (frozenset(said) - foreign - _SHARED)


@cache
def _table() -> dict[str, str]:
    """Phrase without accents → what the rules for edits read."""
    known = {word for surface in base_forms() for word in (surface, *surface.split())}
    found: dict[str, str] = {"pas de": "without"}
    for facet, values in label_words.FOREIGN.items():
        if facet == "length":
            continue
        for word, value in values.items():
            said = _SPELT.get(facet, {}).get(value, "" if facet in _SPELT else value)
            if not said or word in _UNSURE:
                continue
            forms = (word, *_inflected(word)) if facet in ("colour", "pattern") else (word,)
            for form in forms:
                if form not in known:
                    found.setdefault(form, said)
    return found | _MORE


def _inflected(word: str) -> list[str]:
    """A German adjective's endings, a French one's, and those of Spanish, Italian and Portuguese words in -o."""
    if " " in word or len(word) < 3:
        return []
    if word.endswith("o"):
        return [word[:-1] + ending for ending in ("a", "os", "as", "i", "e")]
    return [word + ending for ending in ("e", "es", "en", "er", "em", "s")]


def _mended(word: str) -> str:
    lowered = word.lower()
    if lowered in _SLIPS:
        return _SLIPS[lowered]
    if (
        not 4 <= len(word) <= _LONGEST
        or not (word.isascii() and word.isalpha())
        or lowered in _NO_SLIPS | _CORRECTED
        or lowered in _known_words()
    ):
        return word
    found = {one for one in one_typo_away(lowered) & _CORRECTED if one[0] == lowered[0]}
    # "Stripe" and "stripes" are one guess.
    least = min(found, key=len, default="")
    return least if found and all(one.startswith(least[:4]) for one in found) else word


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for surface in base_forms() for word in surface.split())
