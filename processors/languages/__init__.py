"""Captions in several languages, by grammar: the words of each, and the phrases that are made of facts with them."""

from __future__ import annotations

from processors.languages.english import English
from processors.languages.french import French
from processors.languages.german import German
from processors.languages.grammar import Words
from processors.languages.spanish import Spanish

LANGUAGES: dict[str, Words] = {words.code: words for words in (English(), German(), French(), Spanish())}
"""By code (ISO 639-1)."""


def language_of(locale: str) -> str:
    """The language of a locale ("de-AT", "de_CH" → "de"), lower case."""
    return locale.replace("_", "-").partition("-")[0].lower()
