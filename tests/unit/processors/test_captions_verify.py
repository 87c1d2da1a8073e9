"""What the verifier lets through and what it does not."""

import msgspec
import pytest

from processors.audience import audience_of, unfit
from processors.caption_grammar import compose
from processors.captions import TONES, judge, parse, template_caption, verify
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
    bare = Evidence((msgspec.structs.replace(PACK.garments[0], attributes={}),))
    assert isinstance(judge(RAW, bare), CaptionText)
    assert isinstance(judge(RAW.replace("dress", "skirt"), bare), Rejected)


# ---------------------------------------------------------------- what refers back


TWO = Evidence((garment(0, "dress", "grey", fabric="linen"), garment(1, "bag", "black", fabric="leather")))
PAIR = Evidence((garment(0, "dress", "grey", fabric="linen"), garment(1, "shoe", "black", fabric="leather")))
TWINS = Evidence((garment(0, "shirt", "white", fabric="silk"), garment(1, "shirt", "red", fabric="cotton")))


@pytest.mark.parametrize(
    ("text", "pack"),
    [
        ("A dress in grey. And yes, it is black.", TWO),
        ("A grey dress with a black bag. And yes, it is black.", TWO),
        ("A grey dress with a black bag, and it is black.", TWO),
        ("A grey dress with a black bag. It is made of leather.", TWO),
        ("A grey dress with a black bag. Made of leather, full of ideas.", TWO),
        ("A grey dress with a black bag. The fabric is leather.", TWO),
        ("A grey dress and a black bag. Both are black.", TWO),
        ("A grey dress and a black bag, all in black.", TWO),
        ("A grey dress and a black bag: they are black.", TWO),
        ("A grey dress. This one is black. A bag comes along.", TWO),
        ("A grey dress. Its black is bold, next to the bag.", TWO),
        ("It is black: a grey dress with a bag.", TWO),
        ("A grey dress with black shoes. It is black.", PAIR),
        ("A grey dress with black shoes. They are grey.", PAIR),
        ("Black shoes and a grey dress. These come in linen.", PAIR),
        ("A white shirt. It is made of cotton.", TWINS),
        ("Black: the dress. Grey: the bag.", TWO),
        ("In black – this dress, with a bag.", TWO),
        ("In black, this dress meets a bag.", TWO),
    ],
)
def test_a_pronoun_takes_no_other_garments_fact(text: str, pack: Evidence) -> None:
    """What refers back must be true of all that it may mean."""
    verdict = verify(ParsedCaption(text, TAGS), pack)
    assert isinstance(verdict, Rejected), verdict
    assert any("may be read of" in reason or "is not said of" in reason for reason in verdict.reasons), verdict.reasons


@pytest.mark.parametrize(
    ("text", "pack"),
    [
        ("A grey dress. And yes, it is linen. A black bag joins in.", TWO),
        ("A grey dress with black shoes. It is made of linen.", PAIR),
        ("A grey dress with black shoes. They are made of leather.", PAIR),
        ("A grey dress with a black bag. The dress is cut from linen.", TWO),
        ("A grey dress, made of linen, with a black bag.", TWO),
        ("It is a grey dress with a black bag.", TWO),
        ("A black bag keeps it good company, and it is a grey dress.", TWO),
        ("A white shirt. It is made of silk.", TWINS),
        ("Grey: the dress. Black: the bag.", TWO),
        ("A bag in soft black – the dress is grey.", TWO),
        ("A bag in black, the dress in grey.", TWO),
        ("In grey, the dress meets a black bag.", TWO),
    ],
)
def test_a_pronoun_that_can_mean_one_garment_only_may_stay(text: str, pack: Evidence) -> None:
    """Its number tells, or nothing else was named yet, or the fact stands at a noun."""
    verdict = verify(ParsedCaption(text, TAGS), pack)
    assert isinstance(verdict, CaptionText), verdict


def test_the_rule_based_writer_makes_no_such_pronoun() -> None:
    """Its own words pass as they are: nothing had to be left out for the verifier."""
    for pack in (TWO, PAIR, TWINS):
        for tone in TONES:
            for seed in range(40):
                sentences, tags = compose(pack, tone, seed)
                assert isinstance(verify(ParsedCaption(sentences, tags), pack), CaptionText), sentences


# ---------------------------------------------------------------- what is denied, and imitations


@pytest.mark.parametrize(
    "text",
    ["A bag without leather.", "A leather-free bag.", "A non-leather bag.", "A bag that isn't made of leather.",
     "A vegan leather bag.", "A faux leather bag.", "A leather-look bag.", "A bag in imitation leather."],
)  # fmt: skip
def test_a_denied_or_imitated_fabric_is_not_the_fabric(text: str) -> None:
    """The pack's bag is of leather: to say that it is not is as wrong as to say that another is."""
    assert isinstance(verify(ParsedCaption(text, TAGS), TWO), Rejected)


def test_an_imitation_is_grounded_by_itself_only() -> None:
    """A faux leather bag is no leather bag, in sentences and in hashtags."""
    pack = Evidence((garment(0, "bag", "black", fabric="faux leather"), garment(1, "hat", "red", fabric="faux silk")))
    for text in (
        "A black faux leather bag.",
        "A bag in vegan leather.",
        "A red faux silk hat.",
        "A hat in imitation silk.",
    ):
        assert isinstance(verify(ParsedCaption(text, (*TAGS, "#fauxleatherbag")), pack), CaptionText), text
    for text in ("A black leather bag.", "A red silk hat.", "A synthetic hat."):
        assert isinstance(verify(ParsedCaption(text, TAGS), pack), Rejected), text
    assert isinstance(verify(ParsedCaption("A black bag.", (*TAGS, "#leatherbag")), pack), Rejected)


# ---------------------------------------------------------------- for whom


def shorts(gender: str) -> Evidence:
    return Evidence((garment(0, "shorts", "blue", gender=gender),))


UNFIT = ("Ready for the office.", "From desk to dinner.", "Made for a date-night.", "Sexy and bold.", "Good for after work.",
         "A cocktail or two?", "They flatter: a flattering cut.", "A lover of business.")  # fmt: skip


@pytest.mark.parametrize("gender", ["girls", "boys", "kids"])
@pytest.mark.parametrize("text", UNFIT)
def test_childrens_clothes_get_no_adult_phrases(gender: str, text: str) -> None:
    """The verifier refuses them by name; of grown-ups' clothes the same text is fine."""
    verdict = verify(ParsedCaption(f"Blue shorts. {text}", TAGS), shorts(gender))
    assert isinstance(verdict, Rejected)
    assert any("does not suit children" in reason for reason in verdict.reasons)
    assert isinstance(verify(ParsedCaption(f"Blue shorts. {text}", TAGS), shorts("women")), CaptionText)


def test_hashtags_suit_the_audience_too() -> None:
    """An adult tag is left out of a draft, and what only looks like one stays."""
    raw = "Blue girls' shorts for play. Easy to wear. " + " ".join(
        (*TAGS, "#officestyle", "#workwear", "#girlsfashion")
    )
    verdict = judge(raw, shorts("girls"))
    assert isinstance(verdict, CaptionText)
    assert verdict.hashtags == (*TAGS, "#girlsfashion")
    grown = judge(raw.replace("#girlsfashion", "#womensfashion").replace("girls'", "women's"), shorts("women"))
    assert isinstance(grown, CaptionText)
    assert "#officestyle" in grown.hashtags


def test_grown_ups_get_no_childrens_phrases() -> None:
    """The lexicon has two sides."""
    text = "Blue shorts. Off to the playground!"
    assert isinstance(verify(ParsedCaption(text, TAGS), shorts("men")), Rejected)
    assert isinstance(verify(ParsedCaption(text, TAGS), shorts("boys")), CaptionText)


@pytest.mark.parametrize("gender", ["girls", "boys", "kids"])
def test_the_rule_based_writer_knows_its_audience(gender: str) -> None:
    """Every tone, by itself; also where nothing of a child's garment can be printed."""
    for tone in TONES:
        for seed in range(60):
            sentences, tags = compose(shorts(gender), tone, seed)
            assert unfit(sentences, "children") == ()
            assert isinstance(verify(ParsedCaption(sentences, tags), shorts(gender)), CaptionText), sentences
            odd = Evidence((garment(0, "7%", gender=gender),))
            assert unfit(template_caption(odd, tone, seed).caption, "children") == ()


LOOK = Evidence((garment(0, "dress", "grey", fabric="linen"), garment(1, "bag", "black", fabric="leather")))


@pytest.mark.parametrize(
    "text",
    [
        "The dress and bag are black.",
        "The grey dress and the black bag are both leather.",
        "The dress and the bag come in black.",
        "Black is its colour: a grey dress and a bag.",
        "Not your average leather: a grey dress and a bag.",
    ],
)
def test_what_is_said_of_two_garments_must_hold_of_both(text: str) -> None:
    """A verb with two subjects, a pronoun before its garment, a denial with words between."""
    assert isinstance(verify(ParsedCaption(text, TAGS), LOOK), Rejected)


@pytest.mark.parametrize(
    "text",
    [
        "A grey dress and a bag in black.",
        "A grey dress and a black bag. The bag is leather.",
        "The grey dress is linen and the bag is black.",
    ],
)
def test_what_is_said_of_one_garment_of_two(text: str) -> None:
    """It is bound to that one, and passes."""
    assert isinstance(verify(ParsedCaption(text, TAGS), LOOK), CaptionText)


@pytest.mark.parametrize(
    "text",
    [
        "girls\u2019 night",
        "happy hours",
        "a night on the town",
        "9-5",
        "seducing",
        "bodycon",
        "plunging",
        "job interviews",
        "co-workers",
    ],
)
def test_phrases_that_suit_no_child(text: str) -> None:
    """In the plural, with an apostrophe, in other words."""
    assert unfit(f"Ready for {text}.", "children")
    assert unfit(f"Ready for {text}.", "adults") == ()


@pytest.mark.parametrize("gender", ["teen", "newborn", "youth", "girls"])
def test_children_of_every_age_are_children(gender: str) -> None:
    """Whatever word an older event has for them."""
    assert audience_of(Evidence((garment(0, "dress", gender=gender),))) == "children"


SAME_KIND = Evidence(
    (
        garment(0, "shirt", "white", fabric="linen"),
        garment(1, "shirt", "black", fabric="silk"),
        garment(2, "pants", "grey"),
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "A black shirt in linen.",
        "A white shirt made of silk.",
        "A shirt in white and black.",
        "Two white shirts.",
        "Both black shirts are here.",
        "Two shirts, both white.",
        "The shirts are both in black.",
        "A white shirt, a black shirt and matching trousers.",
        "A white shirt and trousers in the same colour.",
        "A total black look with a white shirt.",
        "A pair of white shirts.",
        "The pair of black shirts.",
        "A set of white shirts.",
        "Shirts in white.",
        "Shirts made of silk.",
        "A white shirt. The shirt is silk.",
        "A white shirt and a black one: this shirt is in linen and silk.",
        "A black silk shirt over a white shirt. That shirt is linen.",
    ],
)
def test_garments_of_one_kind_do_not_lend_each_other_their_facts(text: str) -> None:
    """The linen is the white shirt's, and only one of them is black."""
    assert isinstance(verify(ParsedCaption(text, TAGS), SAME_KIND), Rejected)


@pytest.mark.parametrize(
    "text",
    [
        "A white shirt in linen, a black shirt in silk and grey trousers.",
        "Shirts in white and black.",
        "White and black shirts.",
        "Two shirts, one white, one black.",
        "A black silk shirt with grey trousers.",
        "A white shirt. The shirt is linen.",
        "A black shirt with grey trousers; the shirt is made of silk.",
        "The black shirt is silk, the white shirt is linen.",
        "A pair of shirts, one white, one black.",
        "A pair of grey trousers with a white shirt.",
        "Shirts in white linen and black silk.",
    ],
)
def test_garments_of_one_kind_may_each_have_their_own(text: str) -> None:
    verdict = verify(ParsedCaption(text, TAGS), SAME_KIND)
    assert isinstance(verdict, CaptionText), verdict


def test_garments_of_one_colour_match() -> None:
    pack = Evidence((garment(0, "jacket", "black"), garment(1, "pants", "black", "grey")))
    verdict = verify(ParsedCaption("A black jacket with matching trousers.", TAGS), pack)
    assert isinstance(verdict, CaptionText), verdict
