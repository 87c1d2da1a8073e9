"""Grammars as compiled for one tokenizer: what is shared between answers, and what an expression may hold."""

from __future__ import annotations

import pytest

from models.writer.guiding import GrammarError, Guide, Guides
from tests.fixtures import tiny_llama

END = 1


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> Guides:
    base = tiny_llama.build(tmp_path_factory.mktemp("tiny"))
    return Guides(base / "tokenizer.json", 258, END)


def forced(guides: Guides, guide: Guide) -> str:
    """All that a grammar with one text forces, the end among it."""
    tokens = guide.begin().forced()
    assert tokens[-1] == END
    text: str = guides._tokenizer.decode_str(tokens[:-1])
    return text


def test_equal_expressions_are_compiled_once(guides: Guides) -> None:
    one = guides.compiled(r"black (?:shoes|boots)")
    assert guides.compiled(r"black (?:shoes|boots)") is one
    assert guides.compiled(r"black (?:shoes|shorts)") is not one


def test_answers_of_one_guide_begin_anew(guides: Guides) -> None:
    guide = guides.compiled(r"a (?:bag|hat)")
    first, second = guide.begin(), guide.begin()
    assert guides._tokenizer.decode_str(first.forced()) == "a "
    first.take(guides._tokenizer.tokenize_str("h")[0])
    assert guides._tokenizer.decode_str(first.forced()[:-1]) == "at"
    assert guides._tokenizer.decode_str(second.forced()) == "a "
    assert guides._tokenizer.decode_str(guide.begin().forced()) == "a "


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("A bag\\.\n\\#Bag", "A bag.\n#Bag"),
        ("a 3/4 sleeve", "a 3/4 sleeve"),
        (r"black\\white", r"black\white"),
        (r"black\\/white", r"black\/white"),
        ('a "robe" d’été bouclé', 'a "robe" d’été bouclé'),
        (r"50\% \& more \(new\)", "50% & more (new)"),
    ],
)
def test_whatever_a_text_holds_is_what_is_forced(guides: Guides, expression: str, text: str) -> None:
    assert forced(guides, guides.compiled(expression)) == text


def test_what_is_no_expression_is_refused_each_time(guides: Guides) -> None:
    for _ in range(2):
        with pytest.raises(GrammarError):
            guides.compiled("a (bag")
