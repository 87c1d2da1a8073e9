"""The words of a product as the index keeps them, made of what the shop says and of nothing else.

Three weights: `own` is what a product is called (title, brand, collection), `said` what it is filed under (tags, categories, short
fields), `told` what is written about it (description, caption, long fields).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from processors import said
from processors.values import Metadata
from processors.vocabulary import clean
from processors.words import code_key, language_of, pieces, terms_of, told_terms_of

RULES = 1
"""Raise it when other words are made of the same product: snapshots of before are then read again from the topic."""
MOST_TOLD = 256
"""Terms of what is written about a product."""
MOST_CHARACTERS = 2_000
"""Of a description that are looked at."""
_SHORT = 128
_COLLECTIONS = frozenset({"collection", "product collection", "line", "product line"})
_CODES = frozenset(
    {
        *("sku", "ean", "gtin", "upc", "mpn", "isbn", "barcode", "code", "ref", "reference"),
        *(
            f"{thing} {word}"
            for thing in ("style", "article", "item", "product", "model", "part")
            for word in ("code", "number", "id")
        ),
    }
)


class Words(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Terms between blanks, each under the heaviest of its three weights; names as the shop writes them; codes folded."""

    own: str = ""
    said: str = ""
    told: str = ""
    brand: str = ""
    collection: str = ""
    codes: str = ""


def words_of(metadata: Metadata) -> Words:
    """The words of a product."""
    language = _language(metadata.description[:MOST_CHARACTERS]) or _language(metadata.title)
    facets = metadata.facets
    collection = next((value for name, value in facets.items() if clean(name) in _COLLECTIONS), "")
    own = {term: None for text in (metadata.title, metadata.brand, collection) for term in _terms(text, language)}
    short = [metadata.category, *metadata.category_path, *metadata.tags, metadata.gender, metadata.fabric]
    short += [value for value in facets.values() if len(value) <= _SHORT]
    short += [word for value in metadata.more.values() for word in said.words_of(value)]
    filed = {term: None for text in short for term in _terms(text, language) if term not in own}
    long = [metadata.description[:MOST_CHARACTERS], *(value for value in facets.values() if len(value) > _SHORT)]
    told = {term: None for text in long for term in _told(text, language) if term not in own and term not in filed}
    codes = [code_key(value) for name, value in facets.items() if len(value) <= _SHORT and clean(name) in _CODES]
    return Words(
        " ".join(own),
        " ".join(filed),
        " ".join(list(told)[:MOST_TOLD]),
        metadata.brand,
        collection[:_SHORT],
        " ".join(dict.fromkeys(filter(None, codes))),
    )


# Shops say the same of many products: sizes of one style, a brand's story.
@lru_cache(maxsize=4096)
def _language(text: str) -> str:
    return language_of(text) if text else ""


@lru_cache(maxsize=8192)
def _terms(text: str, language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(term for piece in pieces(text) for term in terms_of(piece, language)))


@lru_cache(maxsize=4096)
def _told(text: str, language: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(term for piece in pieces(text) for term in told_terms_of(piece, language)))
