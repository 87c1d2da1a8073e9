"""Prices as shops write them: "1.299,00", "Rs. 1499", "1 299 kr", "€ 1,299.00", "1'299.–", "79.00 EUR"."""

from __future__ import annotations

import re
import unicodedata

# Digits, with separators between them: points, commas, apostrophes of three kinds, single blanks.
_NUMBER = re.compile(r"[0-9]+(?:[.,'’‘ ][0-9]+)*")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[ '’‘][0-9]{3})+(?:[.,][0-9]+)?")
_THOUSANDS = {
    mark: re.compile(rf"[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{2,3}})*{re.escape(mark)}[0-9]{{3}}") for mark in ".,"
}
_MOST_DIGITS = 15
# Before a number: it is one end of a range only.
_BOUNDS = frozenset({"from", "ab", "bis", "to", "under", "over", "desde", "dès", "från", "fra", "vanaf", "da"})


def price_of(text: str) -> float | None:
    """The one price in a text; None where there is none, or more than one (a range, "2 for 30"), or a negative one.

    A single point or comma before exactly three digits parts thousands ("1.299", "1,299"), as prices have two decimals.
    """
    text = unicodedata.normalize("NFKC", text).strip()
    numbers = _NUMBER.findall(text)
    if len(numbers) != 1 or len(text) > 100:
        return None
    (number,) = numbers
    before = text.partition(number)[0]
    if re.search(r"[-−–]\s*\D?\s*$", before) or _BOUNDS & set(re.findall(r"\w+", before.casefold())):
        return None
    return _value(number)


def _value(number: str) -> float | None:
    if " " in number or any(mark in number for mark in "'’‘"):
        if not _GROUPED.fullmatch(number):
            return None
        number = re.sub(r"[ '’‘]", "", number).replace(",", ".")
    elif "." in number and "," in number:
        decimal = max(".,", key=number.rindex)
        thousands = "," if decimal == "." else "."
        whole, _, fraction = number.rpartition(decimal)
        if not _THOUSANDS[thousands].fullmatch(whole):
            return None
        number = f"{whole.replace(thousands, '')}.{fraction}"
    elif mark := next((mark for mark in ".," if mark in number), ""):
        if _THOUSANDS[mark].fullmatch(number) and not number.startswith("0"):
            number = number.replace(mark, "")
        elif number.count(mark) > 1:
            return None
        number = number.replace(mark, ".")
    return float(number) if len(number) <= _MOST_DIGITS else None
