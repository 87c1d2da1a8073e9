"""A label's letters before it is read: without the marks of HTML, of invisible signs and of accents."""

from __future__ import annotations

import html
import re
import unicodedata

from processors import label_words as words

_FRACTIONS = str.maketrans({"½": "1/2", "¼": "1/4", "¾": "3/4"})


def unescaped(text: str) -> str:
    """The text without the marks of HTML and what nobody sees (soft hyphens, blanks of no width)."""
    text = re.sub(r"<[^<>]{0,200}>", " ", html.unescape(html.unescape(text)))
    text = text.translate(_FRACTIONS)
    text = unicodedata.normalize("NFC", re.sub("[™®©℠]", " ", text))
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def spelt_out(text: str) -> str:
    """Signs that deny or doubt as words, letters with points as one word ("P.U." is PU), wide letters as plain ones."""
    text = re.sub(r"[❌✗✘✖⛔🚫¬]|(?<!\w)!(?=\w)|≠", " not ", text)
    text = unicodedata.normalize(
        "NFKC", re.sub(r"\blike[ -]new\b", " ", text, flags=re.IGNORECASE).replace("?", " perhaps ")
    )
    letters = r"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_])"
    return re.sub(letters, lambda match: match.group().replace(".", ""), text)


def says_nothing(whole: str) -> bool:
    """Whether a cleaned label is a placeholder, sends the reader elsewhere, or holds no letter."""
    plain = bare(whole)
    first = next((p for p in ("n a ", "na ", "tbc ", "tbd ", "tba ", "unknown ") if plain.startswith(p)), "")
    if first and says_nothing(plain.removeprefix(first)):
        return True  # "N/A - see description"
    return plain in words.PLACEHOLDERS or f"{plain} ".startswith(words.REFERRALS) or not any(c.isalpha() for c in whole)


def latin(text: str) -> bool:
    """Whether all letters are Latin."""
    return all(unicodedata.name(c, "").startswith("LATIN") for c in text if c.isalpha())


_STROKES = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ß": "ss"})
"""Letters whose mark Unicode does not part from them."""


def bare(text: str) -> str:
    """Without accents ("algodón" is written "algodon" as often); "ß" as "ss"."""
    if text.isascii():
        return text
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return plain.translate(_STROKES)
