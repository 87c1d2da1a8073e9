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
_BOUNDS = frozenset(
    """
    from ab bis to under over desde dès från fra vanaf da partir starting starts up upto min max minimum maximum mind
    more less than below above hasta jusqu von til till tot od do fino save saves saving off discount
    """.split()  # noqa: SIM905
)
# Behind a number: the same, or no price at all.
_BOUNDS_BEHIND = re.compile(
    r"\s*(?:\+|%|(?:and|or|&) (?:up|more|less|under|over|above|below)\b|upwards?\b|off\b)", re.IGNORECASE
)
_TAX = re.compile(
    r"[0-9]+(?:[.,][0-9]+)?\s*%\s*(?:mwst|ust|vat|tva|iva|btw|moms|gst|tax)\b|(?:mwst|ust|vat|tva|iva|btw|moms|gst|tax)\.?:?\s*[0-9]+(?:[.,][0-9]+)?\s*%",
    re.IGNORECASE,
)
# "12€99", as French shops write it.
_SIGN_BETWEEN = re.compile(r"(?<![0-9.,])([0-9]+)\s?(?:€|\$|£|EUR)\s?([0-9]{2})(?![0-9.,])")
# Hundredths by their own name: "99 ct", "99¢", "99p".
_CENTS = re.compile(
    r"\s*(?:¢|(?:ct|cts|cents?|pence|p|centimes|centimos|øre|öre|ore|gr|grosze)\b\.?)\s*$", re.IGNORECASE
)
# Their small coins are thousandths.
_THREE_DECIMALS = re.compile(r"(?:\b|(?<=[0-9]))(?:KWD|BHD|OMR|JOD|TND|LYD|IQD|KD|BD|JD|DT)(?:\b|(?=[0-9]))")


def price_of(text: str) -> float | None:
    """The one price in a text; None where there is none, or more than one (a range, "2 for 30"), or a negative one.

    A single point or comma before exactly three digits parts thousands ("1.299", "1,299"), as prices have two decimals;
    it does not in a currency that has three ("1.299 KWD").
    """
    text = _SIGN_BETWEEN.sub(r"\1.\2", _TAX.sub(" ", _western(text)))
    numbers = _NUMBER.findall(text)
    if len(numbers) != 1 or len(text) > 100:
        return None
    (number,) = numbers
    before, _, behind = text.partition(number)
    if re.search(r"[-−–]\s*\D?\s*$", before) or _BOUNDS & set(re.findall(r"[^\W\d_]+", before.casefold())):
        return None
    if re.search(r"[<>≤≥]", text) or _BOUNDS_BEHIND.match(behind) or re.match(r"[kKmM](?![^\W\d_])", behind):
        return None
    if re.search(r"\(\s*\D?\s*$", before) and re.match(r"\s*\D?\s*\)", behind):
        return None  # a bookkeeper's minus
    if re.search(r"(?:^|[^\w.,])[.,]$", before):
        number = f"0.{number}" if number.isdigit() else ""  # ".99"
    value = _value(number, thousandths=bool(_THREE_DECIMALS.search(text))) if number else None
    in_cents = value is not None and number.isdigit() and _CENTS.match(behind) and not currency_in(text)
    return value / 100 if in_cents and value is not None else value


_CODES = frozenset(
    """
    aed aud bgn brl cad chf clp cny cop czk dkk egp eur gbp hkd huf idr ils inr jpy krw kwd mad mxn myr ngn nok nzd pen php
    pkr pln ron rub sar sek sgd thb try twd uah usd vnd zar
    """.split()  # noqa: SIM905
)
_SIGNS = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₺": "TRY",
    "₽": "RUB",
    "₩": "KRW",
    "₫": "VND",
    "₴": "UAH",
    "₪": "ILS",
    "zł": "PLN",
}


def currency_in(text: str) -> str:
    """The ISO code of the currency that a price names, or "" (a "$" or "kr" is that of many)."""
    words: list[str] = [word for word in re.findall(r"[^\W\d_]+", text.casefold()) if word in _CODES]
    if words:
        return words[0].upper()
    return next((code for sign, code in _SIGNS.items() if sign in text), "")


def _western(text: str) -> str:
    """The text with the digits and the separators 0 to 9, "." and ",", whatever alphabet it was written in."""
    text = unicodedata.normalize("NFKC", text).replace("٫", ".").replace("٬", ",").strip()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")  # marks of direction
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def _value(number: str, *, thousandths: bool = False) -> float | None:
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
        decimals = thousandths and number.count(mark) == 1
        if _THOUSANDS[mark].fullmatch(number) and not number.startswith("0") and not decimals:
            number = number.replace(mark, "")
        elif number.count(mark) > 1:
            return None
        number = number.replace(mark, ".")
    return float(number) if len(number) <= _MOST_DIGITS else None
