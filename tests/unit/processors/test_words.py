"""Words of products and of queries: folding, stems, compounds, languages, names, typing errors."""

from __future__ import annotations

import pytest

from processors.product_words import MOST_TOLD, words_of
from processors.query_terms import (
    WEIGHT,
    NameCount,
    WordCounts,
    codes_in,
    names_taken,
    together,
    weights_of,
    words_asked,
)
from processors.values import Metadata
from processors.words import chunks, code_key, language_of, name_keys, one_typo_away, stems, terms_of


def found_by(query: str, text: str) -> bool:
    """Whether a product of this title is found by the first word of a query."""
    words = words_of(Metadata(title=text))
    asked = words_asked(query)
    assert asked is not None
    return bool({asked.words[0].word, *asked.words[0].stems, *asked.words[0].parts} & set(words.own.split()))


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("ete", "Robe d'été"),
        ("ÉTÉ", "robe d'ete"),
        ("t-shirt", "Adidas Tshirts"),
        ("tshirt", "Adidas T-Shirt"),
        ("t shirt", "Adidas t-shirts"),
        ("levis", "Levi's 501"),
        ("levi’s", "Levis 501"),
        ("h&m", "H&M dress"),
        ("501", "Levi's 501 Jeans"),
        ("kleid", "Gestreifte Kleider aus Leinen"),
        ("Kleider", "Leinenkleid, Kleid mit Gürtel"),
        ("robes", "Robe en lin pour femme"),
        ("vestidos", "Vestido de lino para mujer"),
        ("camicie", "Camicia di lino da donna"),
        ("jurken", "Gestreepte jurk van linnen"),
        ("sukienki", "Sukienka z lnu"),
        ("dresses", "Linen dress"),
        ("ワンピース", "夏のワンピース"),
    ],
)
def test_a_word_is_found_across_accents_endings_and_ways_to_write_it(query, title):
    """In one language or another: the same word, otherwise written."""
    assert found_by(query, title)


@pytest.mark.parametrize(("query", "title"), [("men", "Women Shirt"), ("red", "Reduced rate"), ("25", "Size 2.5")])
def test_another_word_is_not_found(query, title):
    """A stem is no prefix."""
    assert not found_by(query, title)


def test_numbers_stay_whole_and_in_parts():
    """2.5 is no 25; the parts of a code are found, and the code."""
    assert [chunk.word for chunk in chunks("2.5 AB-123")] == ["2.5", "ab123"]
    assert {"ab123", "ab", "123"} <= set(terms_of("ab-123"))


def test_the_language_is_told_by_function_words_alone():
    """A title without any tells none, and is stemmed by all."""
    assert language_of("Ein Kleid aus Leinen mit Knöpfen für den Sommer") == "german"
    assert language_of("Une robe en lin pour la plage") == "french"
    assert language_of("Palm Tree Girls Skirt") == ""
    assert "kleid" in stems("kleider")


def test_terms_stand_under_their_heaviest_weight():
    """What a product is called is not counted again where it is written about; long texts have an end."""
    words = words_of(
        Metadata(
            title="Linen dress",
            brand="Acme & Sons",
            description="A dress of linen with pockets. " + " ".join(f"word{n}" for n in range(1000)),
            tags=("holiday", "linen"),
            facets={"collection": "Riviera", "SKU": "AB 123", "care": "wash cold"},
        )
    )
    assert {"linen", "dress", "acme", "sons", "riviera"} <= set(words.own.split())
    assert "holiday" in words.said.split()
    assert "linen" not in words.said.split() + words.told.split()
    assert "pocket" in words.told.split()
    assert "with" not in words.told.split()
    assert len(words.told.split()) <= MOST_TOLD
    assert (words.brand, words.collection, words.codes) == ("Acme & Sons", "Riviera", "ab123")


def test_a_name_is_found_by_its_first_words_too():
    """ "Adidas" asks for Adidas Originals; "and" and "&" are one."""
    assert dict(name_keys("ADIDAS Originals")) == {"adidasoriginals": True, "adidas": False}
    assert "ginijony" in dict(name_keys("Gini and Jony"))
    assert "ginijony" in dict(name_keys("Gini & Jony"))


def test_one_letter_is_forgiven_and_no_more():
    """Left out, put in, exchanged, or another."""
    near = one_typo_away("adidas")
    assert {"addidas", "adida", "adiads", "adidaz"} <= near
    assert "adidas" not in near
    assert "addidass" not in near


def test_ids_are_the_whole_text_or_words_with_digits():
    """No word of a sentence is an id."""
    assert codes_in("SKU-1") == ("sku-1",)
    assert codes_in("the dress AB-1234, please") == ("thedressab-1234,please", "ab-1234")
    assert code_key(" Ab 12 ") == "ab12"


def counts(*names, products=100, having=(10, 10), typos=("", "")):
    return WordCounts(products, having, typos, tuple(names))


def test_a_name_is_taken_where_most_products_with_the_word_have_it():
    """Turtle is a brand; of a "turtle neck" half are somebody else's."""
    taken = counts(NameCount("brand", 0, 1, "Turtle", True, 9, 10))
    assert [name.value for name in names_taken(taken)] == ["Turtle"]
    assert names_taken(counts(NameCount("brand", 0, 1, "Turtle", True, 4, 10))) == ()
    # The first word of a name must be nobody else's.
    assert names_taken(counts(NameCount("brand", 0, 1, "Classic Polo", False, 7, 10))) == ()


def test_the_longest_name_wins():
    """Of "united colors of benetton" no part is another brand."""
    long = NameCount("brand", 0, 4, "United Colors of Benetton", True, 5, 5)
    assert names_taken(counts(NameCount("brand", 3, 4, "Benetton", True, 9, 9), long)) == (long,)


def test_rare_words_weigh_more_and_a_query_of_common_words_little():
    """All words together add less than the weight, and a vague query less than one that says something."""
    asked = words_asked("riviera dress")
    rare, common = weights_of(asked, counts(having=(1, 60)))
    assert rare > 4 * common
    vague = sum(weights_of(words_asked("blue shirt"), counts(having=(50, 60))))
    assert vague < rare + common < WEIGHT


def test_a_word_that_some_worker_has_is_no_typing_error_of_another():
    """The counts of two workers: one guessed what the other knows."""
    one = counts(having=(5, 3), typos=("adidas", ""))
    other = counts(having=(2, 4))
    both = together([one, other])
    assert (both.products, both.having, both.typos) == (200, (2, 7), ("", ""))
    same = together([one, one])
    assert (same.having, same.typos) == ((10, 6), ("adidas", ""))


def test_words_of_an_edit_are_names_only():
    """Beside a reference "in navy" is no keyword, and no word has a weight."""
    asked = words_asked("but in navy from Acme", names_only=True)
    assert not any(weights_of(asked, counts(having=(1,) * 5, typos=("",) * 5)))
    assert [word.word for word in asked.words if word.claimed] == ["navy"]
