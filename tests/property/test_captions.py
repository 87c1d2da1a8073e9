"""Whatever the evidence and whatever the model wrote."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from processors.captions import TONES, judge, parse, settle, template_caption
from processors.evidence import build, render
from processors.palette import PALETTE
from processors.values import CATEGORIES, Attribute, CaptionText, Colour, Evidence, Garment
from processors.verify import MAX_HASHTAGS, MIN_HASHTAGS, ParsedCaption, Rejected, verify
from processors.vocabulary import FABRIC_WORDS, FACETS

VALUES = {
    "fabric": st.sampled_from(sorted(FABRIC_WORDS)) | st.text(max_size=30),
    "gender": st.sampled_from(["women", "Men", "unisex", "Girls", "kids"]) | st.text(max_size=10),
    "pattern": st.sampled_from(["striped", "floral", "solid", "Dots"]) | st.text(max_size=10),
    "sleeve": st.sampled_from(["long", "short sleeves", "sleeveless"]) | st.text(max_size=10),
    "neckline": st.sampled_from(["v", "crew neck", "collar"]) | st.text(max_size=10),
    "length": st.sampled_from(["midi", "maxi", "short"]) | st.text(max_size=10),
}
NAMES = st.sampled_from([name for name, _ in PALETTE]) | st.text(max_size=12)
COLOURS = st.builds(Colour, name=NAMES, hex=st.just("#123456"), share=st.floats(0, 1))
ATTRIBUTES = st.fixed_dictionaries(
    {}, optional={facet: st.builds(Attribute, value=v, confidence=st.just(0.5)) for facet, v in VALUES.items()}
)
COORDINATES = st.floats(0, 500)
GARMENTS = st.builds(
    Garment,
    id=st.just(""),
    category=st.sampled_from(CATEGORIES) | st.text(max_size=12),
    box=st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES),
    confidence=st.floats(0, 1),
    colours=st.lists(COLOURS, max_size=3).map(tuple),
    attributes=ATTRIBUTES,
)
PACKS = st.lists(GARMENTS, max_size=6).map(build)


def _garment(category: str, *colours: str) -> Garment:
    return Garment("", category, (0, 0, 0, 0), 0.0, tuple(Colour(name, "#123456", 0.0) for name in colours))


@settings(max_examples=150, deadline=None)
@given(PACKS, st.sampled_from(TONES), st.integers())
@example(build([_garment("sunglass"), _garment("A"), _garment("sunglass", "A")]), "plain", 0)
@example(build([_garment("dress", "The"), _garment("with")]), "plain", 0)
def test_the_rule_based_writer_always_answers_and_is_always_grounded(pack: Evidence, tone: str, seed: int) -> None:
    """Any pack at all: 8 to 18 hashtags, spans on real words, and the verifier agrees with every word."""
    caption = template_caption(pack, tone, seed)
    assert MIN_HASHTAGS <= len(caption.hashtags) <= MAX_HASHTAGS
    assert caption.writer == "template"
    assert (caption.coverage is None) == (not pack.garments), "an empty pack has no coverage, any other has one"
    assert 0 <= (caption.coverage or 0.0) <= 1
    ids = {garment.id for garment in pack.garments}
    for span in caption.spans:
        assert 0 <= span.start < span.end <= len(caption.caption)
        assert span.garment in ids
        assert span.facet in FACETS
    again = verify(ParsedCaption(caption.caption, caption.hashtags), pack)
    if isinstance(again, Rejected):  # nothing of the pack was printable: no garment is named, and nothing else is wrong
        assert again.reasons == ("names none of the garments",)


@settings(max_examples=150, deadline=None)
@given(PACKS, st.text(max_size=300))
def test_no_text_whatever_breaks_the_flow(pack: Evidence, raw: str) -> None:
    """Rubbish is rejected with a reason, never an exception; what passes is grounded."""
    assert parse(raw)
    verdict = judge(raw, pack)
    if isinstance(verdict, Rejected):
        assert verdict.reasons
    assert isinstance(settle([raw], pack, "plain", 1).caption, CaptionText)


@settings(max_examples=100, deadline=None)
@given(PACKS, st.sampled_from(TONES), st.integers(0, 99), st.sampled_from(["scarf", "umbrella", "tuxedo"]))
def test_a_planted_garment_is_found(pack: Evidence, tone: str, seed: int, planted: str) -> None:
    """A good caption with one more garment in it is no good caption."""
    caption = template_caption(pack, tone, seed)
    if planted in render(pack):
        return
    text = f"{caption.caption} It comes with a {planted} thing."
    assert isinstance(verify(ParsedCaption(text, caption.hashtags), pack), Rejected)


@settings(max_examples=100, deadline=None)
@given(st.lists(GARMENTS, max_size=6))
def test_build_orders_and_is_idempotent(garments: list[Garment]) -> None:
    """Ids g0, g1 … follow the confidence; building again changes nothing; the render is short and one line a garment."""
    pack = build(garments)
    assert [g.id for g in pack.garments] == [f"g{n}" for n in range(len(pack.garments))]
    assert sorted((g.confidence for g in pack.garments), reverse=True) == [g.confidence for g in pack.garments]
    assert build(pack.garments) == pack
    assert 1 <= len(render(pack).splitlines()) <= 4
