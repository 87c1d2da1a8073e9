"""Prices, sizes and stock in the words of a query: "a linen dress under 50 € in M" asks for what no photo shows.

What is read becomes conditions on products that know the column, and is taken out of the text, which is embedded without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from processors.conditions import Condition, within
from processors.offers import size_key

_SIGNS = {
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
    "quid": "GBP", "usd": "USD", "chf": "CHF", "francs": "CHF", "inr": "INR", "₹": "INR", "rs": "INR", "rupees": "INR",
    "$": "", "dollar": "", "dollars": "", "bucks": "",
}  # fmt: skip
_SIGN = "|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))
# Not a price: "50 cm", "50 %", "the 50s", "50/50".
_NO_PRICE = r"(?!\s*(?:%|percent|cm\b|mm\b|m\b|inch|years?\b|yrs?\b|kg\b|g\b|den\b|denier|ml\b|°|pieces\b|items\b)|[\w/:]|[.,]\d)"


def _amount(name: str) -> str:
    before, behind = f"(?P<{name}_before>{_SIGN})", f"(?P<{name}_behind>{_SIGN})"
    return rf"(?:{before}\s?)?(?P<{name}>\d{{1,3}}(?:,\d{{3}})+|\d{{1,3}}(?:\.\d{{3}})+|\d{{1,7}})(?P<{name}_cents>[.,]\d{{1,2}})?(?:\s?{behind}(?!\w))?{_NO_PRICE}"


_NONE = "(?:no|not|nothing|none|never|isn't|aren't)"
_PRICES: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), first, second)
    for pattern, first, second in (
        (rf"\b(?:between|from)\s+{_amount('a')}\s*(?:and|to|-|–)\s*{_amount('b')}", "gte", "lte"),
        (rf"(?<![\w.,/-])(?=[^\d\s]|\d+(?:[.,]\d+)?\s*(?:-|–|to)\s*\S*\d+(?:[.,]\d+)?\s?(?:{_SIGN})(?!\w)){_amount('a')}\s*(?:-|–|to)\s*{_amount('b')}", "gte", "lte"),
        # What is denied comes first: "not under 50" holds "under 50".
        (rf"\b(?:up to|at most|{_NONE}\s+(?:more than|over|above|dearer than)|max(?:imum|\.)?(?: of)?|within)\s+{_amount('a')}", "lte", ""),
        (rf"\b(?:at least|{_NONE}\s+(?:less than|under|below|beneath|cheaper than)|min(?:imum|\.)?(?: of)?|starting (?:at|from))\s+{_amount('a')}", "gte", ""),
        (rf"(?<!\w)(?:<=|=<|≤)\s*{_amount('a')}", "lte", ""),
        (rf"(?<!\w)(?:>=|=>|≥)\s*{_amount('a')}", "gte", ""),
        (rf"(?<!\w)(?:(?:under|below|less than|cheaper than|beneath)\s+|<\s*){_amount('a')}", "lt", ""),
        (rf"(?<![\w.,/-]){_amount('a')}\s+(?:or less|or under|or below|and under|and below|max(?:imum)?)\b", "lte", ""),
        (rf"(?<!\w)(?:(?:over|above|more than|dearer than)\s+|>\s*){_amount('a')}", "gt", ""),
        (rf"(?<![\w.,/-]){_amount('a')}\s+(?:or more|or over|or above|and up|and over|and above)\b", "gte", ""),
    )
)  # fmt: skip
_LETTERS = r"(?:X{1,4}[SL]|[2-6]X[SL]|[SML])"
_ONE_SIZE = rf"(?:{_LETTERS}|(?:extra |x-)?(?:small|large)|medium|one size|\d{{1,2}}(?:\.5|/\d{{2}})?)"
_AND = r"\s*(?:,|/|\bor\b|\band\b)\s*"
_TOLD = r"(?<!\bnot )(?<!n't )(?<!\bno longer )(?<!\bexcept )(?<!\banything but )(?<!\bnot in )(?<!\bnot a )(?<!\bnot in a )"
"""Not denied: "not in M" and "not in stock" would ask for the opposite of what they say. They stay in the text."""
_SIZES = (
    re.compile(rf"{_TOLD}\b(?:in |a |of )*sizes?\s*:?\s+(?P<sizes>{_ONE_SIZE}(?:{_AND}{_ONE_SIZE})*)(?![\w/.])", re.IGNORECASE),
    # One letter must be a capital: "in s" is a slip of a finger, "in M" a size.
    re.compile(rf"{_TOLD}\b[Ii]n (?:an? )?(?P<sizes>{_LETTERS}(?:{_AND}{_LETTERS})*)(?![\w/.'-])"),
    re.compile(_TOLD + r"\bin (?:an? )?(?P<sizes>x{1,4}[sl]|[2-6]x[sl])(?![\w/.'-])"),
    re.compile(rf"{_TOLD}\bin (?P<sizes>(?:3[2-9]|4\d|5[0-6])(?:{_AND}(?:3[2-9]|4\d|5[0-6]))*){_NO_PRICE}"),
)  # fmt: skip
_STOCK = re.compile(
    _TOLD + r"\b(?:(?:that (?:is|are) )?in stock|available (?:now|today)|not sold out|which (?:is|are) in stock)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Words:
    """What was read: the text without it, and the conditions, all of them lenient."""

    text: str
    conditions: tuple[Condition, ...] = ()


def read(text: str) -> Words:
    """Read prices, sizes and stock. Never fails: what is not understood stays in the text."""
    found: list[Condition] = []
    # No price is without a digit; to look for none by each pattern was a tenth of reading a query.
    for pattern, first, second in _PRICES if any(map(str.isdigit, text)) else ():
        match = pattern.search(text)
        if match is None:
            continue
        bounds = {first: _number(match, "a")}
        if second:
            bounds[second] = _number(match, "b")
            if bounds[first] > bounds[second]:
                continue
        found.append(within("price", bounds, lenient=True))
        currency = next((sign for name in "ab" for sign in _signs(match, name)), "")
        if currency:
            found.append(Condition("currency", words=(currency,), lenient=True))
        text = _without(text, match)
    for pattern in _SIZES:
        match = pattern.search(text)
        if match is not None:
            sizes = tuple(
                dict.fromkeys(size_key(one) for one in re.split(_AND, match["sizes"], flags=re.IGNORECASE) if one)
            )
            found.append(Condition("size", words=sizes, lenient=True))
            text = _without(text, match)
            break
    match = _STOCK.search(text)
    if match is not None:
        found.append(Condition("in_stock", words=("true",), lenient=True))
        text = _without(text, match)
    return Words(text, tuple(found))


_NOT_DENIED = r"(?<!\bnot )(?<!n't )(?<!\bno )(?<!\bnothing )"
_THAN = r"(?! than\s*\S?\d)(?: than (?:this|that|it|these)(?: one)?)?"
_CHEAPER = re.compile(
    rf"{_NOT_DENIED}\b(?:cheaper|less (?:expensive|pricey|dear)|more affordable|lower[- ]priced?|at a lower price|for less(?: money)?)\b{_THAN}"
    rf"|\b(?:not|isn't|nothing) (?:(?:so|as|that|too|quite so) )?(?:expensive|pricey|dear)\b{_THAN}",
    re.IGNORECASE,
)
_DEARER = re.compile(rf"{_NOT_DENIED}\b(?:more expensive|pricier|dearer|higher[- ]priced?)\b{_THAN}", re.IGNORECASE)


def compared(text: str, pays: float, currency: str = "") -> Words:
    """Read "cheaper" and "more expensive" beside a product that costs `pays`. Never fails: any other text stays as it is.

    A product without a price is neither, so these are not lenient: of a shop that tells prices it would be shown as cheaper.
    """
    for pattern, bound in ((_CHEAPER, "lt"), (_DEARER, "gt")):
        match = pattern.search(text)
        if match is not None:
            found = [within("price", {bound: pays})]
            if currency:
                found.append(Condition("currency", words=(currency,), lenient=True))
            return Words(_without(text, match), tuple(found))
    return Words(text)


def _number(match: re.Match[str], name: str) -> float:
    cents = (match[f"{name}_cents"] or "").replace(",", ".")
    return float(re.sub("[.,]", "", match[name]) + cents)


def _signs(match: re.Match[str], name: str) -> list[str]:
    if name not in match.re.groupindex:
        return []
    given = [match[f"{name}_before"], match[f"{name}_behind"]]
    return [sign for one in given if one and (sign := _SIGNS[one.lower()])]


def _without(text: str, match: re.Match[str]) -> str:
    return f"{text[: match.start()].rstrip()} {text[match.end() :].lstrip()}".strip()
