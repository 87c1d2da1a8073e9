"""Sentences of a merchant's text that no caption may quote: orders, markup, offers that end, questions.

A text is data. Its sentences are quoted or left; none is followed. What speaks to whoever writes ("ignore your instructions") is no
fact of a product, and neither is what a shop says of today's price.
"""

from __future__ import annotations

import re
import unicodedata

MIN_WORDS, MAX_CHARACTERS = 3, 260

_MARKUP = re.compile(
    r"[<>{}\[\]|\\`^~=*_#@]|https?:|www\.|&\w+;|```|--|\bSYSTEM\b|\S+\.(?:com|net|org|io|ai|co|shop|de|fr|es|it)\b",
    re.IGNORECASE,
)
# A sentence that begins so tells somebody to do something; of garments care is told so (`_CARE`).
_ORDER = re.compile(
    r"^(?:please\s+|now\s+|then\s+|always\s+|never\s+|also\s+|just\s+|you\s+(?:must|should|are|will|have|need|can)\b|do\s+not\s+|don['’]t\s+)*"
    r"(?:ignore|forget|disregard|override|bypass|write|rewrite|respond|reply|answer|translate|add|append|insert|include|tell|say|state|claim|mention|"
    r"print|output|return|repeat|reveal|show|display|use|praise|promote|advertise|pretend|act|behave|follow|obey|execute|run|drop|delete|select|update|"
    r"buy|click|visit|order|shop|subscribe|sign|call|email|contact|send|copy|replace|describe|summarize|summarise|generate|create|call|stop|start|begin|"
    r"end|remember|note|assume|imagine|consider|speak|talk|sell|recommend|rate|give|make\s+sure|ensure|vergiss|ignoriere|schreib\w*|antworte|oublie\w*|"
    r"ignore[zr]|écri\w+|olvida|ignora|escribe)(?![^\W_])",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"(?<![^\W_])(?:you\s+(?:must|are\s+(?:now|a|an)|should|shall|will\s+now)|instructions?|prompts?|assistant|chatbot|language\s+model|"
    r"gpt|llm|ai|previous\s+(?:rules?|text|instructions?)|new\s+task|tasks?\s*:|hashtags?|captions?|system|human|user|jailbreak|developer\s+mode|"
    r"rules?\s+about|all\s+rules|alle\s+regeln|capital\s+letters|anweisung\w*|instrucciones|tell\s+the\s+(?:reader|user|customer)s?|sponsored|bitcoin|"
    r"select|drop\s+table|the\s+competitor)(?![^\W_])",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\W*[A-Za-z_ ]{2,24}\s*:\s")
_OFFER = re.compile(
    r"[$€£¥]|(?<![^\W_])(?:usd|eur|gbp|sale|discounts?|discounted|price[ds]?|prices|offers?|deal|deals|coupon|voucher|promo\w*|free\s+(?:shipping|returns?|delivery|gift)|"
    r"shipping|delivery|in\s+stock|sold\s+out|back\s+in\s+stock|pre-?order|while\s+stocks?|today\s+only|this\s+week|last\s+chance|checkout|"
    r"newsletter|sonderangebot|rabatt|versand|soldes|rebajas|cheap\w*|money)(?![^\W_])|\d\s*%\s*(?:off|rabatt|discount)",
    re.IGNORECASE,
)
_SHOUTED = re.compile(r"(?<![^\W_])[A-ZÄÖÜ]{2,}(?:\W+[A-ZÄÖÜ]{2,}){1,}(?![^\W_])")


def quotable(sentence: str) -> bool:
    """Whether a sentence may stand in a caption at all, whatever it is about."""
    words = re.findall(r"[^\W_]+", sentence)
    if len(words) < MIN_WORDS or len(sentence) > MAX_CHARACTERS:
        return False
    if sentence.rstrip("\"'”’»)")[-1:] in ("?", ":", "…", ",", ";"):
        return False
    if not _plain(sentence) or not _paired(sentence):
        return False
    return not any(pattern.search(sentence) for pattern in (_MARKUP, _ORDER, _ADDRESSED, _LABEL, _OFFER, _SHOUTED))


def _plain(sentence: str) -> bool:
    """Letters, digits and what sentences are written with: no controls, no marks of direction, no pictures."""
    return sentence.isprintable() and all(
        unicodedata.category(letter)[0] in "LNPZM" or letter in "+°$€£™®©×" for letter in sentence
    )


def _paired(sentence: str) -> bool:
    return (
        sentence.count("(") == sentence.count(")")
        and sentence.count('"') % 2 == 0
        and sentence.count("“") == sentence.count("”")
        and sentence.count("«") == sentence.count("»")
    )
