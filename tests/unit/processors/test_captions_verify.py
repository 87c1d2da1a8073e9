"""What the verifier lets through and what it does not."""

import pytest

from processors.captions import judge, parse, verify
from processors.values import Attribute, CaptionText, Colour, Evidence, Garment
from processors.verify import ParsedCaption, Rejected

TAGS = ("#newin", "#ootd", "#fashion", "#styleinspo", "#lookbook", "#outfitideas", "#wardrobe", "#shopthelook")


def garment(n: int, category: str, *colours: str, **attributes: str) -> Garment:
    return Garment(
        id=f"g{n}",
        category=category,
        box=(0, 0, 10, 10),
        confidence=0.9 - n / 10,
        colours=tuple(Colour(name=name, hex="#000000", share=0.5) for name in colours),
        attributes={facet: Attribute(value=value, confidence=0.8) for facet, value in attributes.items()},
    )


PACK = Evidence(
    (
        garment(0, "dress", "red", fabric="linen", gender="women", pattern="striped", sleeve="long"),
        garment(1, "shoe", "navy"),
        garment(2, "bag", "white", fabric="bouclé"),
    )
)


def check(text: str, *tags: str) -> CaptionText | Rejected:
    return verify(ParsedCaption(text, (*tags, *TAGS)), PACK)


@pytest.mark.parametrize(
    "text",
    [
        "A red linen dress for women.",
        "A women's striped red linen dress with long sleeves, worn with navy shoes and a white bag.",
        "The dress is cut from linen. The shoes are navy.",
        "A dress in red linen with shoes in navy.",
        "A red gown with blue footwear.",  # navy is a blue, a gown a dress
        "A white bouclé bag keeps the dress company all day long.",
        "A long-sleeved dress, all stripes.",
        "She wears a red dress.",
    ],
)
def test_a_grounded_sentence_passes(text: str) -> None:
    """Synonyms, plurals, families of colours and both word orders are grounded."""
    assert isinstance(check(text), CaptionText), check(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A red dress with a hat.", "hat"),
        ("A red dress and jeans.", "jeans"),
        ("A green dress.", "green"),
        ("A silk dress.", "silk"),
        ("A dress for men.", "men"),
        ("He wears a dress.", "he"),
        ("A dress with gold embroidery.", "embroidery"),
        ("A floral dress.", "floral"),
        ("A dress with short sleeves.", "short sleeves"),
        ("A v-neck dress.", "v neck"),
        ("A midi dress.", "midi"),
        ("A short red dress.", "short"),
        ("A red dress and a leather belt.", "belt"),
        ("A red dress with sneakers.", "sneakers"),
        ("A dark red dress.", "dark red"),
        ("A RED DRESS WITH A SCARF.", "scarf"),
        ("A periwinkle dress.", "periwinkle"),
        ("A navy dress.", "navy"),  # only the shoes are
        ("A dress in navy.", "navy"),
        ("Red shoes under a dress.", "red"),
        ("A linen bag and a dress.", "linen"),
        ("Striped shoes and a dress.", "striped"),
        ("A navy, linen dress.", "navy"),
    ],
)
def test_an_ungrounded_claim_is_rejected_by_name(text: str, word: str) -> None:
    """The reason names the word, so that a person sees why a draft was thrown away."""
    verdict = check(text)
    assert isinstance(verdict, Rejected), verdict
    assert any(word in reason for reason in verdict.reasons), verdict.reasons


@pytest.mark.parametrize(
    "tag", ["#navydress", "#hatlover", "#silkstyle", "#mensfashion", "#redshoes", "#jeans", "#redcarpethats"]
)
def test_hashtags_are_claims_too(tag: str) -> None:
    """A compound tag is cut into words, and its words must hold of one garment."""
    verdict = check("A red dress.", tag)
    assert isinstance(verdict, Rejected)
    assert any(tag in reason for reason in verdict.reasons)


def test_grounded_tags_stay_and_unreadable_ones_go() -> None:
    """A tag of unknown words cannot be checked: it is dropped, not published."""
    verdict = check("A red dress.", "#reddress", "#xqzzyw", "#womenslinendress", "#navyshoes")
    assert isinstance(verdict, CaptionText)
    assert verdict.hashtags[:3] == ("#reddress", "#womenslinendress", "#navyshoes")
    assert "#xqzzyw" not in verdict.hashtags


def test_modifiers_of_one_noun_must_hold_of_one_garment() -> None:
    """A red cotton shirt and a white silk shirt do not make a red silk shirt."""
    pack = Evidence((garment(0, "shirt", "red", fabric="cotton"), garment(1, "shirt", "white", fabric="silk")))
    wrong = verify(ParsedCaption("A red silk shirt.", TAGS), pack)
    right = verify(ParsedCaption("A white silk shirt.", TAGS), pack)
    assert isinstance(wrong, Rejected)
    assert isinstance(right, CaptionText)
    assert {span.garment for span in right.spans} == {"g1"}
    assert right.coverage == 0.5


def test_spans_point_at_the_words() -> None:
    """Each claim's span covers exactly its words and names its garment."""
    verdict = check("A women's red linen dress meets navy shoes.")
    assert isinstance(verdict, CaptionText)
    said = {(verdict.caption[s.start : s.end], s.garment, s.facet) for s in verdict.spans}
    assert said == {
        ("women's", "g0", "gender"),
        ("red", "g0", "colour"),
        ("linen", "g0", "fabric"),
        ("dress", "g0", "category"),
        ("navy", "g1", "colour"),
        ("shoes", "g1", "category"),
    }
    # category, colour, fabric, gender of g0; category, colour of g1; category, colour, fabric of g2
    assert verdict.coverage == pytest.approx(6 / 9)


def test_jeans_need_pants_and_denim() -> None:
    """A word with two claims needs both."""
    tags = TAGS
    cotton = verify(ParsedCaption("Blue jeans.", tags), Evidence((garment(0, "pants", "blue", fabric="cotton"),)))
    denim = verify(ParsedCaption("Blue jeans.", tags), Evidence((garment(0, "pants", "blue", fabric="denim"),)))
    assert isinstance(cotton, Rejected)
    assert isinstance(denim, CaptionText)
    assert denim.coverage == 1.0


def test_a_blend_is_not_its_best_part() -> None:
    """A fabric of two words is one claim; half of it is another."""
    pack = Evidence((garment(0, "shirt", "white", fabric="Cotton Blend"),))
    assert isinstance(
        verify(ParsedCaption("A white cotton blend shirt.", (*TAGS, "#cottonblendshirt")), pack), CaptionText
    )
    assert isinstance(verify(ParsedCaption("A white cotton shirt.", TAGS), pack), Rejected)


def test_a_caption_must_name_a_garment() -> None:
    """A text about nothing is no caption of a photo with garments."""
    assert isinstance(check("A lovely thing for a lovely day."), Rejected)


def test_too_few_hashtags_are_rejected_and_too_many_cut() -> None:
    """8 to 18 hashtags."""
    assert isinstance(verify(ParsedCaption("A red dress.", TAGS[:7]), PACK), Rejected)
    many = tuple(f"#{word}" for word in WORDS.split())
    verdict = verify(ParsedCaption("A red dress.", (*TAGS, *many)), PACK)
    assert isinstance(verdict, CaptionText)
    assert len(verdict.hashtags) == 18


WORDS = "new look style day week mood vibe fun city chic edit trend wear life love wow"
RAW = "A red dress for the day. Wear it often. " + " ".join(TAGS)


@pytest.mark.parametrize(
    "raw", [RAW, "Caption: " + RAW, f'"{RAW}', RAW.replace(". #", ".\n\nHashtags: #"), RAW.upper()]
)
def test_parse_reads_what_models_write(raw: str) -> None:
    """A prefix, quotes, a "Hashtags:" label or capitals do not matter."""
    parsed = parse(raw)
    assert isinstance(parsed, ParsedCaption), parsed
    assert parsed.hashtags == TAGS
    assert parsed.caption.lower() == "a red dress for the day. wear it often."


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "no hashtags"),
        ("A red dress. Nice and simple.", "no hashtags"),
        ("#a #b #c", "characters"),
        ("A red dress without an end #ootd", "no end"),
        ("A single sentence is not enough here. #ootd", "1 sentences"),
        ("One is here. Two is here. Three is here. Four is here. #ootd", "4 sentences"),
        ("A <b>red</b> dress. Wear it often. #ootd", "markup"),
        ("See https://a.example today. Wear it often. #ootd", "markup"),
        ("A red dress. Wear it. #ootd and then some more words", "among the hashtags"),
        ("Sleeves are here to stay my friend. Sleeves are here to stay my friend. #ootd", "repeats"),
    ],
)
def test_parse_refuses_rubbish_with_a_reason(raw: str, reason: str) -> None:
    """Each refusal says what was wrong."""
    parsed = parse(raw)
    assert isinstance(parsed, Rejected)
    assert reason in parsed.reasons[0]


def test_judge_is_parse_then_verify() -> None:
    """One call from raw text to verdict."""
    assert isinstance(judge(RAW, PACK), CaptionText)
    assert isinstance(judge(RAW.replace("dress", "skirt"), PACK), Rejected)
