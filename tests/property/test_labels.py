"""Whatever qualifies a label, and whatever it qualifies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.attributes import attributes_of, normalised
from processors.claims import mentions
from processors.edit_text import parse_edit
from processors.label_words import FOREIGN
from processors.labels import read_label
from processors.values import Metadata
from processors.vocabulary import (
    FABRIC_WORDS,
    GENDER_WORDS,
    IMITATED,
    LENGTH_WORDS,
    NECKLINE_WORDS,
    PATTERN_WORDS,
    SLEEVE_WORDS,
    canonical,
    known_values,
)

TABLES = {
    "fabric": FABRIC_WORDS,
    "gender": {name: words for name, (_, words) in GENDER_WORDS.items() if name not in ("she", "he")},
    "pattern": PATTERN_WORDS,
    "sleeve": SLEEVE_WORDS,
    "neckline": NECKLINE_WORDS,
    "length": LENGTH_WORDS,
}
WORDS = sorted({(facet, word) for facet, table in TABLES.items() for words in table.values() for word in words.split()})
NEGATED = (
    "non-{}", "non {}", "not {}", "no {}", "without {}", "{}-free", "{} free", "free of {}", "free from any {}", "not for {}",
    "w/o {}", "contains no {}", "isn't {}", "never {}", "anything but {}", "instead of {}", "ohne {}", "sans {}", "sin {}",
    "{}: no", "{} (not)", "0% {}", "No {}!", "NOT {}", "not at all {}", "neither {}",
)  # fmt: skip
IMITATED_BY = (
    "faux {}", "fake {}", "imitation {}", "artificial {}", "vegan {}", "mock-{}", "simulated {}", "man-made {}", "{}-look",
    "{} look", "{}-like", "{} effect", "{} alternative", "{} (faux)", "{} (imitation)", "{}: fake", "Faux-{}", "FAUX {}",
)  # fmt: skip


def values_of(word: str, facet: str) -> set[str]:
    """All that stands for the word itself: no qualified label may be one of these."""
    return {canonical(facet, word), word, word.replace("-", " ")}


@settings(max_examples=300)
@given(st.sampled_from(WORDS), st.sampled_from(NEGATED))
def test_what_is_denied_is_not_the_value(word: tuple[str, str], form: str) -> None:
    """Unknown, or another value ("no print" is solid, "without sleeves" sleeveless); never what was denied."""
    facet, surface = word
    read = read_label(facet, form.format(surface))
    assert read not in values_of(surface, facet)
    assert read in {"", "solid", "sleeveless"}


@settings(max_examples=300)
@given(st.sampled_from(WORDS), st.sampled_from(IMITATED_BY))
def test_an_imitation_is_not_the_value(word: tuple[str, str], form: str) -> None:
    """A fabric's is a value of its own, or what is synthetic anyhow; another facet's is none."""
    facet, surface = word
    read = read_label(facet, form.format(surface))
    synthetic = canonical(facet, surface) in ("polyester", "nylon", "acrylic", "synthetic", "viscose")
    if canonical(facet, surface) == "blended":
        return  # no one material, so that nothing can imitate it
    if facet == "fabric" and not synthetic:
        assert read == "" or read.startswith("faux "), read
    assert synthetic or read not in values_of(surface, facet)


@given(
    st.sampled_from(IMITATED), st.sampled_from(["faux {}", "PU {}", "vegan {}", "{}-look", "imitation {}", "{}-effect"])
)
def test_one_imitation_is_one_value_wherever_it_is_read(fabric: str, form: str) -> None:
    """The label, the caption's claim, the shopper's wish and the vote speak of the same."""
    text = form.format(fabric)
    assert read_label("fabric", text) == f"faux {fabric}"
    assert attributes_of(Metadata(fabric=text))["fabric"].value == f"faux {fabric}"
    assert attributes_of(Metadata(facets={"Material": text}))["fabric"].value == f"faux {fabric}"
    claims = [m.values("fabric") for m in mentions(f"A {text.lower()} bag.") if m.values("fabric")]
    assert claims == [(f"faux {fabric}",)]
    assert parse_edit(f"the same in {text}").set["fabric"] == f"faux {fabric}"


@pytest.mark.parametrize(
    "label",
    ["synthetisches Leder", "synthetisch leer", "syntetiskt läder", "veganskt läder", "vegansk læder", "wegańska skóra", "veganistisch leer",
     "cuir végétalien", "cuir artificiel", "cuir d'imitation", "künstliches Leder", "kunstmatig leer", "imitacja skóry", "sintetik deri",
     "Polyurethan-Leder", "Öko-Leder", "leather made of PU", "leather from apples", "regenerated leather"],
)  # fmt: skip
def test_imitations_are_known_in_every_inflection(label: str) -> None:
    """An adjective of another language has as many endings as the language has cases; its stem says it."""
    assert read_label("fabric", label) == "faux leather"


@pytest.mark.parametrize(
    "form",
    ["P.U. {}", "imit. {}", "pseudo{}", "faux{}", "vegan{}", "{}look", "{}like", "alternative {}", "{} vegan-friendly", "looks like {}",
     "as soft as {}", "inspired by {}", "resembles {}", "{} PU", "sztuczna {}", "fau\u00adx {}", "ｆａｕｘ {}", "<b>faux</b>&nbsp;{}",
     "cork {}", "eco-{}", "{} (PU)", "falso {}", "konst{}"],
)  # fmt: skip
def test_imitations_of_leather_in_many_spellings(form: str) -> None:
    """Points between letters, words written together, marks of HTML, letters that nobody sees, what it is made of."""
    assert read_label("fabric", form.format("leather")) == "faux leather"


@pytest.mark.parametrize(
    "form",
    ["{}less", "{}-less", "{} less", "non{}", "{}free", "{}frei", "{}?", "maybe {}", "almost {}", "{}: none", "{}: false", "{}, nein", "❌ {}", "🚫{}", "{} ✗", "!{}",
     "{}: 0", "&#10060; {}", "no&nbsp;{}", "no\u200b {}"],
)  # fmt: skip
def test_denials_and_doubts_in_many_spellings(form: str) -> None:
    """Signs, words written together, answers behind a colon; who asks whether it is leather does not say so."""
    assert read_label("fabric", form.format("leather")) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("98% cotton, 2% elastane", "cotton blend"), ("98% cotton 2% elastane", "cotton blend"), ("Cotton 98% / Elastane 2%", "cotton blend"),
        ("99.5% cotton .5% elastane", "cotton blend"), ("98 % Baumwolle, 2 % Elasthan", "cotton blend"), ("60% organic cotton 40% recycled polyester", "cotton blend"),
        ("97% cotton, 3% other fibres", "cotton blend"), ("95% viscose, 5% spandex. Machine wash", "viscose blend"), ("70% PU leather, 30% cotton", "faux leather blend"),
        ("50% cotton, 50% polyester", "cotton polyester"), ("100% cotton, 0% elastane", "cotton"), ("0% cotton 100% polyester", "polyester"), ("60% cotton 40% cotton", "cotton"),
        ("shell: 100% wool lining: 100% silk", "wool"), ("100% cotton 100% wool", "100 cotton 100 wool"), ("80% wool 20% non-leather", "wool"), ("50% silk 50% cotton trim", "silk"),
        ("1234% cotton 3% wool", "1234 cotton 3 wool"),
    ],
)  # fmt: skip
def test_a_composition_is_a_blend_of_what_leads(text: str, value: str) -> None:
    """The label that the law asks for: no caption says cotton of what has elastane in it, and none says nothing; parts and sums of no garment stay as they were."""
    assert read_label("fabric", text) == value


@pytest.mark.parametrize(
    ("facet", "text", "value"),
    [
        ("fabric", "eco cotton", "cotton"), ("fabric", "bio cotton (eco)", "cotton"), ("fabric", "cotton poly", "cotton poly"),
        ("fabric", "60/40 cotton/poly", "60 40 cotton poly"), ("fabric", "5% silk", "silk blend"), ("fabric", "<1% silk", "silk blend"),
        ("fabric", "ekologisk bomull", "cotton"), ("fabric", "ökologische Baumwolle", "cotton"), ("fabric", "cotton less than 2% lycra", "cotton less than 2 lycra"), ("fabric", "ultra suede", "faux suede"),
        ("fabric", "N/A - see desc", ""), ("origin", "N/A - see description", ""), ("origin", "not known", ""), ("origin", "not Italy", ""), ("care", "do not bleach", "do not bleach"),
        ("neckline", "kragenlos", ""), ("neckline", "collar-less", "collarless"), ("neckline", "vneck", "v"), ("sleeve", "L/S", "long"), ("sleeve", "sleeves", ""),
        ("pattern", "ungemustert", "solid"), ("pattern", "printless", "solid"), ("category", "Dressing gown", ""), ("category", "Evening gown", "dress"),
        ("colour", "same as photo", ""), ("fabric", "95% cotton", "cotton"), ("fabric", "Leather, like new", "leather"), ("fabric", "cotton 0%, polyester 100%", "polyester"), ("fabric", "art silk", "faux silk"),
        ("fabric", "Cotton &amp; Linen", "cotton linen"), ("fabric", "cotton with no lining", "cotton"), ("fabric", "leather™", "leather"),
        ("fabric", "micro suede", "faux suede"), ("fabric", "konstläder", "faux leather"), ("fabric", "T.B.C.", ""), ("colour", "n.v.t.", ""),
        ("colour", "eco black", "black"), ("colour", "black look", "black"), ("colour", "almost black", ""),
        ("colour", "Black 000", "black"), ("pattern", "faux snake print", ""),
        ("sleeve", "3/4 sleeve", "three-quarter"), ("sleeve", "half sleeve", "short"), ("length", "above knee", "short"),
        ("length", "below the knee", "midi"), ("gender", "m/f", "unisex"), ("gender", "tween", "kids"), ("gender", "Maternity", "women"),
        ("fabric", "shell 100% cotton, lining 100% polyester", "cotton"), ("fabric", "Shell: 100% wool Lining: 100% silk", "wool"),
        ("fabric", "Obermaterial: 100% Wolle, Futter: 100% Polyester", "wool"), ("fabric", "100% polyester lining 100% cotton shell", "cotton"),
        ("fabric", "lining (100% silk)", ""), ("fabric", "lining / silk", ""), ("fabric", "leather (lining), cotton (shell)", "cotton"),
        ("fabric", "may contain wool", ""), ("fabric", "silk or similar", ""), ("fabric", "lace-up", ""), ("fabric", "lace up leather boots", "leather"),
        ("fabric", "katoen-vrij", ""), ("fabric", "uten bomull", ""), ("fabric", "bawełna", "cotton"), ("fabric", "fun fur", "faux fur"),
        ("fabric", "0 leather", ""), ("fabric", "#VALUE!", ""), ("fabric", "silk-screened", ""),
        ("sleeve", "3/4", "three-quarter"), ("sleeve", "3/4-Arm", "three-quarter"), ("sleeve", "manches 3/4", "three-quarter"),
        ("sleeve", "1/2", "short"), ("sleeve", "half", "short"), ("sleeve", "maniche lunghe", "long"), ("sleeve", "mouwloos", "sleeveless"),
        ("colour", "#ff0000", ""), ("colour", "C01", ""), ("colour", "hellblau", "light blue"), ("colour", "wie abgebildet", ""),
        ("colour", "as shown in the picture", ""), ("colour", "color may vary", ""), ("colour", "BLK", "black"),
        ("gender", "anyone but men", ""), ("gender", "both", "unisex"), ("gender", "m/w", "unisex"), ("gender", "women, girls, boys", ""),
        ("gender", "Women's and girls'", "women and girls"),
        ("category", "Kleider", "dress"), ("category", "shoe care", ""), ("category", "Dress accessories", ""), ("category", "bag charm", ""),
        ("gender", "unisexe", "unisex"), ("gender", "men: 0", ""), ("gender", "women; men: none", "women"),
        ("fabric", "façon cuir", "faux leather"), ("fabric", "símil cuero", "faux leather"), ("fabric", "imitação de couro", "faux leather"),
        ("fabric", "eko-skóra", "faux leather"), ("fabric", "type cuir", "faux leather"), ("fabric", "cuerina", "faux leather"),
        ("fabric", "konstskinn", "faux leather"), ("fabric", "rexine", "faux leather"), ("fabric", "leather feeling", "faux leather"),
        ("fabric", "anti-leather", ""), ("fabric", "anti-static cotton", "cotton"), ("fabric", "laine : non", ""), ("fabric", "non-wool cotton", ""),
        ("fabric", "libre de lana", ""), ("fabric", "deri değil", ""), ("fabric", "sabra silk", "faux silk"), ("fabric", "plant-based wool", "faux wool"),
        ("fabric", "bio-based polyester", "polyester"), ("fabric", "cotton (TBC)", ""), ("fabric", "tbd cotton", ""), ("fabric", "cotton, lining tbc", "cotton"),
        ("fabric", "ull", "wool"), ("fabric", "lã", "wool"), ("pattern", "Check", "checked"), ("pattern", "check description", ""),
        ("pattern", "Houndstooth", "houndstooth"), ("pattern", "argyle", "argyle"), ("pattern", "dot", "dotted"), ("pattern", "windowpane", "checked"),
        ("sleeve", "¾", "three-quarter"), ("sleeve", "½ sleeve", "short"), ("gender", "dam/herr", "unisex"), ("gender", "Flickor", "girls"),
        ("gender", "boyfriend fit", ""), ("gender", "everyone except men", ""), ("gender", "homme: non", ""), ("origin", "Italy?", ""),
        ("origin", "Italy", "italy"), ("category", "hat box", ""), ("category", "trouser press", ""),
    ],
)  # fmt: skip
def test_labels_as_shops_write_them(facet: str, text: str, value: str) -> None:
    """Each was read as another value."""
    assert read_label(facet, text) == value


@settings(max_examples=200)
@given(
    st.sampled_from(WORDS), st.sampled_from(["{}", " {} ", "{}.", "100% {}", "pure {}", "({})", "genuine {}", "{}, {}"])
)
def test_the_value_itself_is_still_read(word: tuple[str, str], form: str) -> None:
    """Marks, numbers and praise change nothing."""
    facet, surface = word
    if read_label(facet, surface) == "":
        return  # "silky", "feminine": as a label no value
    assert read_label(facet, form.format(surface, surface)) == read_label(facet, surface)
    assert read_label(facet, surface) in known_values(facet)


@settings(max_examples=200)
@given(st.sampled_from(sorted(TABLES)), st.text(max_size=60))
def test_any_text_is_read_without_an_error_and_to_the_same_value_again(facet: str, text: str) -> None:
    """Idempotent: what was read once (an attribute of an older event) reads as itself."""
    once = read_label(facet, text)
    assert read_label(facet, once) == once
    assert normalised(facet, text) == once


@pytest.mark.parametrize("facet", sorted(TABLES))
@pytest.mark.parametrize(
    "text",
    ["TBC", "n/a", "N.A.", "unknown", "-", "--", "various", "other", "see description", "See label.", "?", "…", "tbd", " ",
     "0", "100%", "none", "null", "not specified", "not applicable", "Not Known", "keine Angabe", "k.A.", "otros", "…!",
     "wird noch bekanntgegeben", "fabric unknown", "to follow", "ditto", "same as above", "pending", "unsure", "sold out", "à définir", "por confirmar", "da definire", "nader te bepalen"],
)  # fmt: skip
def test_a_placeholder_is_no_value(facet: str, text: str) -> None:
    """Of no facet."""
    assert read_label(facet, text) == ""


@pytest.mark.parametrize(("facet", "word"), [(facet, word) for facet, table in FOREIGN.items() for word in table])
def test_a_word_of_another_language_is_a_value_of_ours_or_none(facet: str, word: str) -> None:
    """Never itself: a caption would print it."""
    read = read_label(facet, word)
    assert read == "" or read in known_values(facet) | {"faux suede", "faux fur"}
    if " " not in word:  # "sans manches" denies already
        assert read_label(facet, f"non-{word}") == ""
    for other in TABLES:
        assert read_label(other, word) in {"", *known_values(other)}
