"""What a text adds to a caption: sentences, chunks, grounding, and the choice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.context.chunks import LEAST, MAX_CHARACTERS, MOST, Chunk, choose, windows
from processors.context.facts import Chosen, Told, holds, select
from processors.context.grounding import ungrounded
from processors.context.hostile import quotable
from processors.context.sentences import sentences
from processors.kit import Kit
from processors.values import Attribute, Colour, Evidence, Garment
from tests.unit.streams.roles.test_caption_kits import INJECTIONS

STATEMENTS = ("This dress is made of gold", "100% pure vegan silk, waterproof", "made in Italy by hand since 1899")
RED_DRESS = Evidence((Garment("g0", "dress", (0, 0, 1, 1), 0.9, (Colour("red", "#c8141e", 1.0),)),))


def told(text: str, about: str = "product", evidence: Evidence = RED_DRESS, **more: object) -> Told:
    chunks = windows(sentences(text))
    scored = choose(chunks, [0.3] * len(chunks))
    return select([Chosen("a1", about, scored)], evidence, **more)  # type: ignore[arg-type]


def said(text: str, about: str = "product", evidence: Evidence = RED_DRESS, **more: object) -> list[str]:
    return [fact.said for fact in told(text, about, evidence, **more).facts]


def test_sentences_end_where_they_end() -> None:
    """Not at abbreviations, initials and decimals; headings, bullets and wrapped lines are what they are."""
    text = "Our story\n\nCut by J. Moreau of Moreau\n& Co. in Porto. It weighs 3.5 oz. It lasts!\n- 100% linen\n- Wash cold"
    assert sentences(text) == (
        "Our story",
        "Cut by J. Moreau of Moreau & Co. in Porto.",
        "It weighs 3.5 oz.",
        "It lasts!",
        "100% linen",
        "Wash cold",
    )


@pytest.mark.parametrize(
    ("line", "stands"),
    [
        ("From the mill", False),
        ("A letter from our workshop", False),
        ("Hand-stitched seams throughout", True),
        ("From the mill of Ada Moreau in Porto", True),
        ("It comes from an old mill.", True),
    ],
)
def test_a_heading_is_no_sentence_of_a_caption(line: str, stands: bool) -> None:
    """A line without a full stop is stated where it names something, or says how something was made; "From the mill" says neither."""
    found = said(f"{line}\n\nIt was woven by Nora Quill in Tartu in 1957.")
    assert "It was woven by Nora Quill in Tartu in 1957." in found
    assert any(one.startswith(line.rstrip(".")) for one in found) == stands


def test_near_duplicate_chunks_are_one() -> None:
    """A paragraph that stands in a text twice is one chunk's worth of windows."""
    once = "The mill stands in Biella. It spins merino from New Zealand. The dye comes from madder roots. "
    [first, *rest] = windows(sentences(once * 2))
    assert first.text == once.strip()
    assert first.text not in [chunk.text for chunk in rest]


def test_the_best_chunks_with_the_first_and_the_last() -> None:
    """As many as the paper keeps, in the order of the text, within a bound."""
    chunks = [Chunk(n, (f"Sentence {n}.",)) for n in range(40)]
    kept = choose(chunks, [n / 40 for n in range(40)])
    assert [one.chunk.number for one in kept] == [0, *range(30, 40)]
    assert len(choose(chunks[:8], [0.1] * 8)) == LEAST + 1
    assert len(choose(chunks, [0.0] * 40, keep=3)) == 4
    long = [Chunk(n, ("x" * 2500,)) for n in range(8)]
    assert sum(len(one.chunk.text) for one in choose(long, [0.5] * 8)) <= MAX_CHARACTERS
    assert choose([], []) == ()
    assert MOST == 10


def test_a_fact_is_chosen_among_pleasantries() -> None:
    """Who, where and when before what says nothing; "the dress" is "it" behind a caption that has named it."""
    text = "We love this piece. It feels like summer. The dress was woven by Atelier Moreau in Porto in 1974. Enjoy it every day."
    assert said(text) == ["It was woven by Atelier Moreau in Porto in 1974."]
    found = told(text)
    assert holds(found.facts[0], "A red dress. " + found.facts[0].said)
    assert "Porto in 1974" in found.facts[0].text
    assert {reason for _, _, reason in found.refused} == {"names nothing and tells nothing of how it was made"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Our blue coats come from Biella.", []),
        ("It is made of blue denim from Kojima.", []),
        ("Maison Delcourt cut this skirt in Lyon.", ["Maison Delcourt cut it in Lyon."]),
        ("The skirt's buttons are carved in Bergamo.", ["Its buttons are carved in Bergamo."]),
        ("This Aurora skirt was cut in Porto.", ["This Aurora piece was cut in Porto."]),
        ("The Aurora dress was cut in Porto.", ["The Aurora dress was cut in Porto."]),
        ("These boots were stitched in Fez.", ["They were stitched in Fez."]),
        ("Now 20% off: made in Porto.", []),
        ("Where was it made in Porto?", []),
        ("Das Kleid wurde von der Weberei Lang in Bregenz gewebt und ist aus Leinen.", []),
    ],
)
def test_what_does_not_fit_the_product_is_left_or_mended(text: str, wanted: list[str]) -> None:
    """Another garment, another colour, an offer, a question, another language."""
    assert said(text) == wanted


def test_a_brand_s_text_speaks_of_many_products() -> None:
    """What it says of garments and fabrics must be true of this one; what it says of itself may be said."""
    assert said("Every linen piece is washed in Porto.", "brand") == []
    linen = Evidence((Garment("g0", "dress", (0, 0, 1, 1), 0.9, (), {"fabric": Attribute("linen", 1.0)}),))
    assert said("Every linen piece is washed in Porto.", "brand", linen) == ["Every linen piece is washed in Porto."]
    assert said("Our bags are sewn in Ubrique.", "brand") == []
    assert said("Moreau was founded in 1921 by Ada Moreau.", "brand") == ["Moreau was founded in 1921 by Ada Moreau."]


def test_what_the_shop_says_of_the_fabric_is_not_contradicted() -> None:
    """The shop's own word; a guess by other products' votes gives way to the text."""
    text = "It is woven from organic silk in Como."
    stated = Attribute("linen", 1.0, source="merchant")
    guess = Attribute("linen", 0.6, ("sku-7",), source="neighbours")
    for attribute, wanted in ((stated, []), (guess, [text])):
        pack = Evidence((Garment("g0", "dress", (0, 0, 1, 1), 0.9, (), {"fabric": attribute}),))
        assert said(text, evidence=pack) == wanted


def test_at_most_two_sentences_within_the_room_that_there_is() -> None:
    """The weightiest first, and nothing that the caption says already."""
    text = "Cut by Ada Moreau in Porto. Dyed in 1999 in Lyon. Sewn by Lucia Rossi in Biella. Finished in Fez."
    assert len(said(text)) == 2
    assert said(text, room=10) == []
    assert said("Cut by Ada Moreau in Porto.", said="A dress. Cut by Ada Moreau in Porto.") == []
    assert said("Cut by Ada Moreau in Porto.", allowed=[Kit(banned=("porto",)).allows]) == []


@pytest.mark.parametrize("text", INJECTIONS)
def test_an_order_in_a_text_is_never_quoted(text: str) -> None:
    """Beside a fact, whatever stands there changes nothing; what is a plain statement of the product is the merchant's own."""
    fact = "It was cut by Ada Moreau in Porto."
    found = said(f"{fact} A quiet piece.\n\n{text}\n\nIt is kept simple.")
    assert fact in found
    if text not in STATEMENTS:
        assert found == [fact]
        assert not any(quotable(sentence) and said(sentence) for sentence in sentences(text))


def test_names_numbers_and_claims_must_stand_in_a_chunk() -> None:
    """Word for word, and a claim with its object."""
    chunk = "Woven in 1923 at the Harris Mill on the Isle of Lewis, of organic wool; made in Scotland."
    assert ungrounded("It was woven at the Harris Mill in 1923, of organic wool.", [chunk]) == ()
    assert ungrounded("It was made in Italy by Ada Rossi in 1950, of vegan wool.", [chunk]) == (
        "made in Italy",
        "Italy",
        "Ada Rossi",
        "1950",
        "vegan",
    )
    assert ungrounded("It was made in Scotland.", [chunk]) == ()
    assert ungrounded("It is Harris tweed.", [chunk]) == ()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=600), st.sampled_from(["product", "brand", "collection"]))
def test_whatever_the_text_nothing_ungrounded_is_said(text: str, about: str) -> None:
    """Every name, number and claim of every chosen sentence stands in its chunk, and it is printable."""
    for fact in told(text, about).facts:
        assert ungrounded(fact.said, [fact.text]) == ()
        assert fact.said.isprintable()
        assert holds(fact, f"A dress. {fact.said}")
