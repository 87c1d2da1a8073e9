"""Words before a garment that no list knows."""

from __future__ import annotations

import pytest

from processors.captions import template_caption
from processors.claims import mentions
from processors.noun_phrases import unknown_words
from processors.values import Attribute, Colour, Evidence, Garment
from processors.verify import ParsedCaption, Rejected, verify

TAGS = tuple(
    f"#{word}" for word in ("shirt", "newin", "ootd", "fashion", "wardrobe", "outfitideas", "styletips", "shopthelook")
)
PACK = Evidence(
    (
        Garment(
            "g0", "shirt", (0, 0, 9, 9), 0.9, (Colour("white", "#ffffff", 1.0),), {"fabric": Attribute("cotton", 1.0)}
        ),
    )
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A converse shirt in white.", ("converse",)),
        ("A white converse shirt.", ("converse",)),
        ("Converse shoes in white.", ("Converse",)),
        ("Worn with nappa shoes and a bumble bag.", ("nappa", "bumble")),
        ("A white cotton shirt.", ()),
        ("Consider white trousers.", ()),
        ("The shirt meets black shoes.", ()),
        ("A simple, everyday white shirt for men.", ()),
        ("A pair of white shoes.", ()),
        ("Meet a women's white shirt.", ()),
        ("Nothing here is accidental, least of all a white shirt.", ()),
    ],
)
def test_words_that_no_list_knows(text: str, words: tuple[str, ...]) -> None:
    """Brands and inventions are found; articles, verbs, claims and words that claim nothing are not."""
    assert unknown_words(text, mentions(text)) == words


def test_a_draft_with_such_a_word_is_refused() -> None:
    """Nobody can say whether a shirt is a "converse" one; without the word the same draft goes out."""
    refused = verify(ParsedCaption("A white converse shirt.", TAGS), PACK)
    assert isinstance(refused, Rejected)
    assert any('"converse"' in reason for reason in refused.reasons)
    assert not isinstance(verify(ParsedCaption("A white shirt.", TAGS), PACK), Rejected)


@pytest.mark.parametrize("tone", ["plain", "warm", "editorial", "playful"])
def test_the_grammar_writes_none(tone: str) -> None:
    """Two hundred captions of the rule-based writer are verified, each with its garment."""
    for seed in range(200):
        text = template_caption(PACK, tone, seed)
        assert "shirt" in text.caption or "top" in text.caption, text.caption
        assert unknown_words(text.caption, mentions(text.caption)) == (), text.caption
