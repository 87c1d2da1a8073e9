"""What is done about a draft beside checking its claims: its grammar mended, its empty sentences dropped, its gaps named."""

from __future__ import annotations

import re
from collections.abc import Sequence

from processors.caption_grammar import LENGTHS, written_noun
from processors.claims import Extra, extra_of, mentions
from processors.evidence import attribute, colours, worth_stating
from processors.kinds import claims_of
from processors.values import Evidence, Garment
from processors.vocabulary import CATEGORY_NOUNS, CLOTH, EXTRA_FACETS, FACETS, canonical, clean

_SENTENCE = re.compile(r"[^.!?…]*[.!?…]+[\"'”’)]*\s*|[^.!?…]+$")
_STATING = frozenset((*FACETS, *EXTRA_FACETS))
_TEE = re.compile(r"(?<![^\W_])t-(shirts?)(?![^\W_])")
_WITH_WITH = re.compile(r"(?<![^\W_])(with\s+[\w-]+\s+sleeves)\s+with\s+(?=an?\s)", re.IGNORECASE)
_BARE_NECK = re.compile(r"(?<![^\W_])(with\s+)(?=(?!an?\s|the\s)[\w-]+(?:\s|-)neck(?:line)?(?![^\W_]))", re.IGNORECASE)
_NECK_WITH = re.compile(
    r"(?<![^\W_])(with\s+an?\s+[\w-]+(?:\s|-)neck(?:line)?)\s+with\s+(?=[\w-]+\s+sleeves(?![^\W_]))", re.IGNORECASE
)
# The facts that a sentence may say a garment is made of.
_MADE = re.compile(
    r"(?<![^\W_])(?:made|cut|crafted|woven|sewn|knitted)\s+(?:up\s+)?(?:of|from|out of)\s+(?:an?\s+)?$", re.IGNORECASE
)
# "Made of blended, for women": words that tell how a cloth is want one (`CLOTH`); "made of blended cotton" has its own.
_MADE_OF_HOW = re.compile(
    r"(?<![^\W_])((?:(?:made|cut|crafted|woven|sewn|knitted)\s+(?:up\s+)?(?:of|from|out of)|comes?\s+in)\s+(?:soft\s+)?"
    rf"(?:{'|'.join([*CLOTH, 'knitted'])}))(?=\s*(?:[.,;:!?…]|$)|\s+(?:and|for|with|from)(?![^\W_]))",
    re.IGNORECASE,
)
# "Made of wool blend": a blend has an article.
_MADE_OF_BLEND = re.compile(
    r"(?<![^\W_])((?:(?:made|cut|crafted|woven|sewn|knitted)\s+(?:up\s+)?(?:of|from|out of)|comes?\s+in)\s+)(?=(?:soft\s+)?[^\W\d_]+\s+blend(?![^\W_]))",
    re.IGNORECASE,
)
# The frames in which what a product is worn with has a verb: "Then come a jacket, and the line is complete."
_VERBS = (
    re.compile(r"(?P<before>^Then )(?P<verb>comes?)(?= (?P<others>.+), and the line is (?:complete|resolved))"),
    re.compile(
        r"(?P<before>^(?P<others>.+) )(?P<verb>keeps?|rounds?|answers?|finish(?:es)?)"
        r"(?= (?:(?:it|them) (?:good company|off)|in kind|the thought)(?![^\W_]))"
    ),
)
_ARTICLE = re.compile(r"(?<![^\W_])(an?)(\s+)(?=([^\W\d_]+))", re.IGNORECASE)
# "A kids' navy shoes"; but "a pair of shoes", "a bag with shoes".
_ARTICLE_OF_SEVERAL = re.compile(
    r"(?<![^\W_])an?\s+(?=(?:(?!(?:of|with|and|in|for|on|to|by)(?![^\W_]))[\w’'-]+\s+){0,5}$)", re.IGNORECASE
)
# Vowels that are spoken as "you" or "one", and an h that is not spoken.
_LIKE_A = re.compile(r"(?:uni(?!n|m)|use|eu|one(?![^\W_])|once|ufo)", re.IGNORECASE)
_LIKE_AN = re.compile(r"(?:hour|heir|honest|honou?r)", re.IGNORECASE)
# The frames of the tone "plain" that the shipped adapter learnt before product copy: they say nothing of the product.
_BEFORE = re.compile(
    r"(?:This is|These are|Here (?:is|are)|Shown here:|Pictured:|On view:|In this photo:|The main piece:|The look starts with)"
    r"\s+(?=\w)"
)
_BEHIND = re.compile(
    r"(?:,? (?:ready to wear|for everyday wear|simple and neat|simple to style|shown as worn|easy to place|to wear often|for regular use)"
    r"| makes? up the (?:main part|centre|heart) of this look| makes? up the main piece| leads? this (?:outfit|look))(?=[.!]$)"
)
# A detail belongs to a garment, not to all that is worn: "The outfit also has a round neckline."
_OF_ALL = re.compile(
    r"(?:and\s+)?(?:the|this)\s+(?:whole\s+|complete\s+|overall\s+)?"
    r"(?:outfit|look|set|ensemble|combination|pairing|style|scene|picture|photo|image|frame)(?![^\W_])"
    r"(?:\s+(also))?\s+(has|is|comes|features|includes|shows|brings|adds|carries|keeps)(?![^\W_])",
    re.IGNORECASE,
)
_SEVERAL = {"has": "have", "is": "are", "carries": "carry"}
# What stands before a garment that was not told yet: "a", "another", "a second piece, a".
_ANOTHER = re.compile(r"(?<![^\W_])(?:an?|another|second)(?:\s+[\w’'-]+){0,4}\s+$", re.IGNORECASE)
# What may stand before a garment that wants its article, and after its noun ("a shirt collar" is no shirt).
_WANTS = re.compile(r"(?:^|(?<![^\W_])(?:with|to|alongside|beside|plus|add|meet|and))\s*$", re.IGNORECASE)
_ENDS = re.compile(
    r"\s*(?:$|[.,;:!?…]|(?:with|in|next|and|or|worn|for|from|made|of|alongside|beside|plus|over|under|by|is|has|that|which|to)(?![^\W_]))",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[\s,]*(?:and[\s]+)?", re.IGNORECASE)
# The facets in the order in which a shop writes them.
_ORDER = ("pattern", "sleeve", "neckline", "length", "fabric", "gender")


def bared(text: str) -> str:
    """The text without the empty frames around its facts: "Pictured: a navy shirt, ready to wear." is "A navy shirt."."""
    sentences = [_BEHIND.sub("", _BEFORE.sub("", sentence, count=1)) for sentence in _sentences(text)]
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE.findall(text) if sentence.strip()]


def mended(text: str, evidence: Evidence | None = None) -> str:
    """The text with the articles and lengths that its words want: "an olive bag", "navy shoes", "a knee-length skirt".

    `evidence`: whose words count as garments and lengths, beside those of the lists; None: the lists' alone, and any length.
    """
    text = _TEE.sub("T-\\1", text)
    text = _BARE_NECK.sub(r"\1a ", text)
    text = _MADE_OF_BLEND.sub(r"\1a ", _MADE_OF_HOW.sub(r"\1 fabric", text))
    text = _NECK_WITH.sub(r"\1 and ", _WITH_WITH.sub(r"\1 and ", text))
    lengths = LENGTHS if evidence is None else {attribute(one, "length") for one in evidence.garments} & LENGTHS
    for length in sorted(lengths):
        text = re.sub(
            rf"(?<![^\W_])({length})(?=\s+(?!length|high|socks)[^\W\d_])", r"\1-length", text, flags=re.IGNORECASE
        )
    nouns = () if evidence is None else extra_of(evidence)
    text = " ".join(_with_verbs(_with_articles(sentence, nouns), nouns) for sentence in _sentences(text))
    text = _ARTICLE.sub(_article, text)
    return re.sub(r"(^|[.!?…][\"'”’)]*\s+)([^\W\d_])", lambda match: match.group(1) + match.group(2).upper(), text)


def _with_articles(sentence: str, nouns: Extra = ()) -> str:
    """The sentence with "a" before each single garment that has no article ("Dress next to black hat." wants two), and none before several."""
    found = mentions(sentence, nouns)
    for number in reversed(range(len(found))):
        noun = found[number]
        word = sentence[noun.start : noun.end].lower()
        if noun.values("category") is None or word.endswith("wear") or not _ENDS.match(sentence[noun.end :]):
            continue
        if _plural(word):
            sentence = _ARTICLE_OF_SEVERAL.sub("", sentence[: noun.start]) + sentence[noun.start :]
            continue
        start = noun.start
        for before in reversed(found[:number]):
            if before.values("category") is not None or not _BETWEEN.fullmatch(sentence[before.end : start]):
                break
            start = before.start
        if _WANTS.search(sentence[:start]):
            rest = sentence[start:]
            first = not sentence[:start].strip()
            lowered = rest if re.match(r"[A-Z](?![a-z])", rest) else rest[:1].lower() + rest[1:]
            sentence = f"{sentence[:start]}{'A' if first else 'a'} {lowered if first else rest}"
    return sentence


def _with_verbs(sentence: str, nouns: Extra) -> str:
    """The sentence with the verb that what the product is worn with wants: "a jacket comes", "a jacket and shoes come"."""
    for frame in _VERBS:
        match = frame.search(sentence)
        if match is None or "pair of" in match["others"]:  # a pair is one, and its shoes are several
            continue
        found = [one for one in mentions(match["others"], nouns) if one.values("category") is not None]
        if not found:
            continue
        verb = re.sub(r"(?<=finish)es$|s$", "", match["verb"])
        if len(found) == 1 and not _plural(match["others"][found[0].start : found[0].end].lower()):
            verb += "es" if verb == "finish" else "s"
        sentence = f"{sentence[: match.start('verb')]}{verb}{sentence[match.end('verb') :]}"
    return sentence


def worded(text: str, evidence: Evidence) -> str:
    """The text with the product under the noun that a shop writes: its kind where that is known, else the widest word of its category.

    A model that learnt before there were kinds calls a T-shirt a shirt, and cloth without a pattern solid.
    """
    stating = worth_stating(evidence)
    if not stating:
        return text
    product = stating[0]
    noun = written_noun(product)
    for mention in reversed(mentions(text, extra_of(evidence))):
        values = mention.values("category")
        plain = mention.surface in CATEGORY_NOUNS.get(product.category, ()) and values == (product.category,)
        word = text[mention.start : mention.end]
        if noun and plain and mention.surface != clean(noun) and _alike(word, noun):
            text = (
                text[: mention.start]
                + (noun[:1].upper() + noun[1:] if word[0].isupper() else noun)
                + text[mention.end :]
            )
    for colour in colours(product):
        text = re.sub(rf"(?<![^\W_]){re.escape(colour)} solid(?![^\W_])", f"plain {colour}", text, flags=re.IGNORECASE)
    return re.sub(r"(?<![^\W_])([Ss])olid(?![^\W_])", lambda match: "Plain" if match.group(1) == "S" else "plain", text)


def _alike(word: str, noun: str) -> bool:
    """Both of one garment, or both of a pair: "shoes" may be sandals, and "a top" no trousers."""
    return _plural(word.lower()) == _plural(noun)


def _plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "'s", "’s"))


def of_mixtures(tags: Sequence[str], evidence: Evidence) -> dict[str, str]:
    """Of hashtags that name the fibre of a mixture, what they should say: "#wooltrousers" of trousers of a wool blend is "#woolblendtrousers"."""
    fabrics = [attribute(garment, "fabric") for garment in evidence.garments]
    fibres = [fabric.removesuffix(" blend").replace(" ", "") for fabric in fabrics if fabric.endswith(" blend")]
    return {
        tag: f"#{fibre}blend{tag[len(fibre) + 1 :]}"
        for fibre in fibres
        for tag in tags
        if tag.startswith(f"#{fibre}") and not tag.startswith(f"#{fibre}blend")
    }


def made_of_no_fabric(text: str, evidence: Evidence) -> tuple[str, ...]:
    """What a sentence says a garment is made of, and is no fabric ("made of polo collar")."""
    return tuple(
        mention.surface
        for mention in mentions(text, extra_of(evidence))
        if mention.values("fabric") is None and _MADE.search(text[: mention.start])
    )


def _article(match: re.Match[str]) -> str:
    word = match.group(3)
    vowel = word[0].lower() in "aeiou" and not _LIKE_A.match(word)
    right = "an" if vowel or _LIKE_AN.match(word) else "a"
    # A capital stands at the start of a sentence; of "V" and other letters' names nothing is known here.
    return (
        (right.capitalize() if match.group(1)[0].isupper() else right) + match.group(2)
        if len(word) > 1
        else match.group()
    )


def factual(text: str, evidence: Evidence) -> str:
    """The sentences that state something of a garment; all of them where none does, or where nothing is known.

    A garment that is told a second time as if it were another ("… a second piece, a turquoise shirt") is not: two boxes of
    a shirt are one shirt (`worth_stating`). What is said of the whole outfit without a garment is the product's, where it has
    it: "The outfit also has a round neckline." is "It also has a round neckline."; else it is nobody's, and left out.
    """
    extra = extra_of(evidence)
    kept: list[str] = []
    told: set[str] = set()
    for sentence in (_of_product(sentence, evidence) for sentence in _sentences(text)):
        found = mentions(sentence, extra)
        named = {value for mention in found for value in mention.values("category") or ()}
        again = any(
            told & set(mention.values("category") or ()) and _ANOTHER.search(sentence[: mention.start])
            for mention in found
        )
        if any(facet in _STATING for mention in found for facet, _ in mention.claims) and not again:
            kept.append(sentence)
            told |= named
    return " ".join(kept) if kept and evidence.garments else text


def _of_product(sentence: str, evidence: Evidence) -> str:
    """A sentence about the outfit that names no garment, with the product for its subject; "" where the product has not all of it."""
    subject = _OF_ALL.match(sentence)
    stating = worth_stating(evidence)
    found = mentions(sentence, extra_of(evidence))
    if subject is None or not stating or any(mention.values("category") is not None for mention in found):
        return sentence
    product = stating[0]
    claims = [(facet, values) for mention in found for facet, values in mention.claims if facet in _STATING]
    own = {facet: {canonical(facet, attribute(product, facet))} - {""} for facet, _ in claims}
    own["colour"] = {canonical("colour", name) for name in colours(product)}
    if not all(own[facet].intersection(values) for facet, values in claims):
        return ""
    verb = subject.group(2).lower()
    plural = _plural(written_noun(product))
    also = " also" if subject.group(1) else ""
    verb = _SEVERAL.get(verb, verb.removesuffix("s")) if plural else verb
    return f"{'They' if plural else 'It'}{also} {verb}{sentence[subject.end() :]}"


def left_out(text: str, evidence: Evidence) -> tuple[str, ...]:
    """What a caption does not say though it is known: a fact of the product, the first garment of the pack, or another garment that
    is surely seen (`worth_stating`); () for a complete one.
    """
    stating = worth_stating(evidence)
    if not stating:
        return ()
    found = mentions(text, extra_of(evidence))
    product = stating[0]

    def says(facet: str, value: str) -> bool:
        known = any(canonical(facet, value) in (mention.values(facet) or ()) for mention in found)
        # A value that no list knows ("hip") counts as said where its words stand.
        return not value or known or f" {clean(value)} " in f" {clean(text)} "

    reasons = [f'is made of "{word}", which is no fabric' for word in made_of_no_fabric(text, evidence)]
    reasons += [f"leaves out the {facet}" for facet in _ORDER if not says(facet, attribute(product, facet))]
    reasons += [f'leaves out the colour "{name}"' for name in colours(product) if not says("colour", name)]
    named = [values for mention in found if (values := mention.values("category")) is not None]
    if named and not set(named[0]) & _names(product):
        reasons.append(f'another garment is named before the "{clean(product.category)}"')
    told = {value for values in named for value in values}
    reasons += [f'leaves out the "{clean(one.category)}"' for one in stating[1:] if not told & _names(one)]
    return tuple(reasons)


def _names(garment: Garment) -> set[str]:
    kind = garment.attributes.get("kind")
    own = (
        {value for facet, values in claims_of(kind.value) if facet == "category" for value in values} if kind else set()
    )
    return {clean(garment.category), canonical("category", garment.category), *own}
