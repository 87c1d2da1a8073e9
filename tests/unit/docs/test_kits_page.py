"""docs/kits.md: its kit is one, and its examples are what comes out."""

from __future__ import annotations

import re
from pathlib import Path

from processors.channels import LIMITS, caption_by_grammar, channels
from processors.languages import LANGUAGES
from processors.languages.grammar import ORDERED
from processors.values import Evidence
from streams.roles.caption.kits import parse
from tests.unit.processors.test_languages import DRESS, SHOES

PAGE = (Path(__file__).parents[3] / "docs" / "kits.md").read_text()


def test_the_kit_of_the_page_is_one() -> None:
    """And says all that a kit can say."""
    [text] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    kit = parse(text, "acme")
    assert (kit.tone, kit.locale, kit.max_hashtags, kit.emoji) == ("warm", "de-AT", 8, "some")
    assert set(kit.max_chars) == set(LIMITS)
    assert all(f"`{fact}`" in PAGE for fact in ORDERED)
    assert all(f"`{name}` ({limit:,}" in PAGE or f"`{name}` ({limit:,})" in PAGE for name, limit in LIMITS.items())


def test_the_examples_are_what_comes_out() -> None:
    """Title, alt text, caption and description in every language."""
    pack = Evidence((DRESS, SHOES))
    for locale in LANGUAGES:
        found = channels(pack, locale)
        told = {"title": found.title, "alt": found.alt, "description": found.description}
        told["caption"] = caption_by_grammar(pack, locale, "plain", 0).text
        for name, text in told.items():
            assert f"| {locale} | {name} | {text} |" in PAGE
