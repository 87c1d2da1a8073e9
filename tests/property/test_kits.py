"""Whatever the evidence and whatever the kit: what a brand limits and bans, and what is true of the product."""

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.captions import TONES
from processors.channels import LIMITS
from processors.kit import UNMET, Kit, by_rule, folded, other_texts, unmet
from processors.languages.grammar import ORDERED
from processors.values import Evidence
from processors.verify import NAMES_NONE, ParsedCaption, Rejected, verify
from tests.property.test_captions import PACKS

LOCALES = st.sampled_from(["en", "de", "fr", "es"])
ORDERS = st.lists(st.sampled_from(ORDERED), unique=True).map(tuple)
BANNED = st.lists(
    st.sampled_from(["navy", "dress", "Kleid", "robe", "cheap*", "leather", "new", "neu", "a", "with", "men"]),
    max_size=3,
)
KITS = st.builds(
    Kit,
    tone=st.sampled_from(TONES),
    locale=LOCALES,
    required=st.sampled_from([(), ("Free returns",)]),
    banned=BANNED.map(tuple),
    max_chars=st.fixed_dictionaries({}, optional={name: st.integers(8, 300) for name in LIMITS}),
    max_hashtags=st.none() | st.integers(0, 18),
    emoji=st.sampled_from(["never", "some"]),
    order=ORDERS,
)


@settings(max_examples=80, deadline=None)
@given(PACKS, KITS, st.integers(0, 2**31))
def test_texts_keep_to_the_kit_or_say_that_they_do_not(pack: Evidence, kit: Kit, seed: int) -> None:
    """Limits and bans hold in every text; a caption in which they cannot be met is one to be held."""
    caption = by_rule(pack, kit.tone, seed, kit)
    others = other_texts(pack, kit)
    for name, text in {
        "caption": caption.caption,
        "title": others.title,
        "alt": others.alt,
        "meta": others.meta,
    }.items():
        assert len(text) <= kit.limit(name)
    for text in (caption.caption, others.title, others.alt, others.description, others.meta):
        assert kit.allows(text.replace("Free returns", ""))
    assert len(caption.hashtags) <= (18 if kit.max_hashtags is None else kit.max_hashtags)
    if unmet(kit, caption, pack) != (UNMET,):
        assert all(folded(phrase) in folded(caption.caption) for phrase in kit.required)
    assert caption == by_rule(pack, kit.tone, seed, kit), "the same for the same arguments"


@settings(max_examples=100, deadline=None)
@given(PACKS, st.sampled_from(TONES), ORDERS, st.integers(0, 2**31))
def test_english_by_grammar_passes_the_verifier(pack: Evidence, tone: str, order: tuple[str, ...], seed: int) -> None:
    """What the grammar says is in the pack: the verifier, which reads its words, finds no other claim."""
    caption = by_rule(pack, tone, seed, Kit(order=order))
    verdict = verify(ParsedCaption(caption.caption, ("#newin",) * 8), pack)
    reasons = verdict.reasons if isinstance(verdict, Rejected) else ()
    assert [reason for reason in reasons if "hashtags" not in reason and reason != NAMES_NONE] == []
