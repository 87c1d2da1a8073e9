"""For whom a garment is, and the words that its caption may therefore not use: a lexicon for each audience."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Literal, TypeAlias

from processors.values import Evidence
from processors.vocabulary import clean

Audience: TypeAlias = Literal["children", "adults", "anybody"]

_CHILDREN = frozenset(
    [
        "kids",
        "kid",
        "girls",
        "girl",
        "boys",
        "boy",
        "children",
        "child",
        "childrens",
        "toddler",
        "toddlers",
        "baby",
        "babies",
        "infant",
        "infants",
        "newborn",
        "newborns",
        "teen",
        "teens",
        "tween",
        "tweens",
        "youth",
        "junior",
        "juniors",
    ]
)
_ADULTS = frozenset({"women", "men"})

# Phrases; a space stands for one or more spaces or hyphens, and the apostrophe of a genitive before them.
REFUSED: dict[Audience, tuple[str, ...]] = {
    "children": (
        # work
        "office", "offices", "workwear", "workplace", "workday", "workdays", "workweek", "work week", "work day", "for work",
        "to work", "at work", "after work", "and work", "or work", "from work", "work to", "desk to", "business", "boardroom",
        "meeting", "meetings", "desk", "desks", "commute", "commutes", "commuter", "corporate", "professional", "career",
        "careers", "colleague", "colleagues", "coworker", "coworkers", "co worker", "co workers", "boss", "conference", "conferences", "interview", "interviews", "networking", "time off", "nine to five", "9 to 5", "9 5", "errand", "errands",
        # going out
        "dinner", "dinners", "cocktail", "cocktails", "wine", "champagne", "prosecco", "martini", "beer", "gin", "vodka", "whisky", "whiskey", "alcohol", "drinks",
        "bar", "bars", "pub", "pubs", "nightclub", "clubbing", "nightlife", "night out", "nights out", "on the town", "date night",
        "date nights", "first date", "dating", "girls night", "boys night", "happy hour", "happy hours", "after hours", "brunch", "brunches",
        "casino", "after dark", "black tie", "soiree", "red carpet",
        # looks
        "sexy", "sexier", "sexiest", "sex", "sensual", "sensually", "sensuality", "seductive", "seductively", "seduction", "seduce", "seduces", "seducing", "sultry", "flirty", "flirt", "flirting", "flirtatious",
        "alluring", "provocative", "steamy", "racy", "naughty", "hot", "femme fatale", "bombshell", "vixen", "romance",
        "romantic", "lover", "lovers", "flattering", "flatters", "figure", "curves", "curvy", "curve", "cleavage", "slimming",
        "hourglass", "bodycon", "plunging", "low cut", "thigh high", "womanly", "manly", "ladylike", "body hugging", "figure hugging", "irresistible", "temptation", "tempting", "lingerie", "boudoir",
    ),
    "adults": (
        "playground", "playgrounds", "playtime", "play time", "playdate", "playdates", "nursery", "kindergarten", "preschool",
        "recess", "bedtime", "story time", "storytime", "nap time", "naptime", "little ones", "little one", "tiny tots",
        "school run", "first day of school", "back to school", "room to grow", "mini me",
    ),
    "anybody": (),
}  # fmt: skip
"""What is not said of the garments of an audience."""


def audience_of(evidence: Evidence) -> Audience:
    """Whose garments these are; children's as soon as one of them is."""
    said = {
        word
        for garment in evidence.garments
        if (gender := garment.attributes.get("gender")) is not None
        for word in clean(gender.value).split()
    }
    if said & _CHILDREN:
        return "children"
    return "adults" if said & _ADULTS else "anybody"


def unfit(text: str, audience: Audience) -> tuple[str, ...]:
    """The phrases of a text that do not suit the audience, as they stand in it."""
    if not REFUSED[audience]:
        return ()
    return tuple(dict.fromkeys(match.group() for match in _phrases(audience).finditer(text)))


@lru_cache(maxsize=8192)
def unfit_tag(tag: str, audience: Audience) -> tuple[str, ...]:
    """The phrases hidden in a hashtag ("#officelook"). Short ones count only as the whole: "bar" is in "barefoot"."""
    word = "".join(clean(tag.lstrip("#")).split())
    return tuple(
        phrase
        for phrase in REFUSED[audience]
        if word == (joined := phrase.replace(" ", "")) or (len(joined) > 4 and joined in word)
    )


@cache
def _phrases(audience: Audience) -> re.Pattern[str]:
    longest_first = sorted(REFUSED[audience], key=len, reverse=True)
    joined = "|".join(r"(?:['’`]s?)?[\s\-‐-–]+".join(map(re.escape, phrase.split(" "))) for phrase in longest_first)
    return re.compile(rf"(?<![^\W_])(?:{joined})(?![^\W_])", re.IGNORECASE)
