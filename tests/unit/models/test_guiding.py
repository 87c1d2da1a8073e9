"""Grammars as compiled for one tokenizer: what is shared between answers, and what a text may hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.writer.guiding import GrammarError, Guide, Guides
from processors.slots import Node, Slot, any_of, expression, lark, seq
from tests.fixtures import tiny_llama
from tests.unit.processors.test_slots import TREES

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


def test_equal_grammars_are_compiled_once(guides: Guides) -> None:
    one = guides.compiled(lark(seq("black ", any_of(("shoes", "boots")))))
    assert guides.compiled(lark(seq("black ", any_of(("shoes", "boots"))))) is one
    assert guides.compiled(lark(seq("black ", any_of(("shoes", "shorts"))))) is not one


def test_answers_of_one_guide_begin_anew(guides: Guides) -> None:
    guide = guides.compiled(lark(seq("a ", any_of(("bag", "hat")))))
    first, second = guide.begin(), guide.begin()
    assert guides._tokenizer.decode_str(first.forced()) == "a "
    first.take(guides._tokenizer.tokenize_str("h")[0])
    assert guides._tokenizer.decode_str(first.forced()[:-1]) == "at"
    assert guides._tokenizer.decode_str(second.forced()) == "a "
    assert guides._tokenizer.decode_str(guide.begin().forced()) == "a "


@pytest.mark.parametrize(
    "text",
    [
        "A bag.\n#Bag",
        "a 3/4 sleeve",
        r"black\white",
        r"black\/white",
        'a "robe" d’été bouclé',
        "50% & more (new)",
        "[a|b]* {2} ~x ^y $z <end> //",
    ],
)
def test_whatever_a_text_holds_is_what_is_forced(guides: Guides, text: str) -> None:
    assert forced(guides, guides.compiled(lark(text))) == text
    assert forced(guides, guides.compiled(lark(seq(text[:3], Slot(text[3:], (("g0", "category"),)))))) == text


@given(tree=TREES, text=st.text("ab .|", max_size=6))
def test_what_may_be_answered_is_what_an_expression_would_take(guides: Guides, tree: Node, text: str) -> None:
    """The two forms of a tree's texts are one language: neither lets through what the other refuses."""
    whole = seq("<", tree, ">")
    matcher = guides.compiled(lark(whole)).begin()._matcher
    tokens = guides._tokenizer.tokenize_str(f"<{text}>")
    taken = matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
    assert taken == (re.fullmatch(expression(whole), f"<{text}>") is not None)


def test_what_is_no_grammar_is_refused_each_time(guides: Guides) -> None:
    for _ in range(2):
        with pytest.raises(GrammarError):
            guides.compiled('start: T\nT: "a (bag')
