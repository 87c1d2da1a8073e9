"""`weft explain`: what it shows is what the role did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from processors.values import Attribute
from streams.contract.records import Caption
from streams.ops.caption_explain import explain
from streams.ops.claims import SOURCES, claims_on, is_source
from streams.roles.caption.kits import Kits, parse
from tests.unit.streams.roles.test_role_caption import GOOD, LIE, Scripted, captioner, item, message, through

LINEN = GOOD.replace("A red dress", "A red linen dress")


async def published(*drafts: str, **kits: str) -> tuple[Caption, Any]:
    """A caption as the role publishes it, and the same role once more."""

    def role() -> Any:
        return replace(captioner(Scripted(*drafts)), kits=Kits({name: parse(kit, name) for name, kit in kits.items()}))

    caption = await through(role(), message(item("sku-1", fabric="linen")))
    assert isinstance(caption, Caption)
    return caption, role()


async def test_a_second_draft_that_holds() -> None:
    """Both drafts with what was wrong with the first, by whom each fact was said, and the same text again."""
    caption, role = await published(LIE, LINEN)
    told = explain(role, message(item("sku-1", fabric="linen")), caption)
    assert told is not None
    assert (told.decided, told.same, told.caption) == ("draft 2", True, caption.caption)
    assert any("silk" in reason for reason in told.drafts[0].refused)
    assert told.drafts[1].refused == ()
    sources = {fact.facet: (fact.value, fact.source, fact.stated) for fact in told.facts}
    assert sources["fabric"] == ("linen", "merchant", True)
    assert sources["colour"] == ("red", "seen", True)
    assert "linen" in told.prompt[1]["content"]
    assert told.metadata == {"fabric": "linen"}


async def test_no_draft_that_holds() -> None:
    """The rules decide, as in the role, with the same words."""
    caption, role = await published(LIE, LIE)
    told = explain(role, message(item("sku-1", fabric="linen")), caption)
    assert told is not None
    assert (told.decided, told.same, len(told.drafts)) == ("rules", True, 2)


async def test_a_kit_by_grammar_asks_no_model() -> None:
    """Neither a prompt nor a draft; another kit than then is told."""
    caption, role = await published(default="locale: de")
    told = explain(role, message(item("sku-1", fabric="linen")), caption)
    assert told is not None
    assert (told.decided, told.prompt, told.drafts, told.same) == ("grammar", (), (), True)
    french = replace(role, kits=Kits({"default": parse("locale: fr", "default")}))
    other = explain(french, message(item("sku-1", fabric="linen")), caption)
    assert other is not None
    # Which of the frames is drawn by the seed, which any rule of a channel changes.
    assert (other.same, other.caption in {"Robe rouge en lin.", "Robe rouge. En lin."}) == (False, True), other.caption


def test_a_deleted_product_has_nothing_to_explain() -> None:
    """None, and no error."""
    assert explain(captioner(Scripted()), replace(message(item("sku-1")), value=None), None) is None


async def test_claims_that_rest_on_a_source() -> None:
    """What sentences state, by who said it; what a caption knows and does not say is no claim."""
    caption, _ = await published(LINEN)
    assert [(one.facet, one.value) for one in claims_on([caption], "merchant")] == [("fabric", "linen")]
    assert {one.facet for one in claims_on([caption], "seen")} == {"category", "colour"}
    assert list(claims_on([caption], "neighbours")) == []
    voted = Attribute("linen", 0.8, neighbours=("sku-7",), source="neighbours")
    garment = msgspec.structs.replace(caption.evidence.garments[0], attributes={"fabric": voted})
    inferred = msgspec.structs.replace(caption, evidence=msgspec.structs.replace(caption.evidence, garments=(garment,)))
    assert [one.value for one in claims_on([inferred, caption], "sku-7", frozenset({"fabric"}))] == ["linen"]
    assert list(claims_on([inferred], "sku-7", frozenset({"colour"}))) == []
    silent = msgspec.structs.replace(inferred, caption="A red dress.", spans=())
    assert list(claims_on([silent], "sku-7")) == []


async def test_a_source_is_a_known_one_or_a_product() -> None:
    """A word that is neither is misspelt, and no empty list."""
    caption, _ = await published(LINEN)
    voted = Attribute("linen", 0.8, neighbours=("//shop/sku-7",), source="neighbours")
    garment = msgspec.structs.replace(caption.evidence.garments[0], attributes={"fabric": voted})
    inferred = msgspec.structs.replace(caption, evidence=msgspec.structs.replace(caption.evidence, garments=(garment,)))
    assert all(is_source([], source) for source in SOURCES)
    assert is_source([inferred], "sku-1")
    assert is_source([inferred], "//shop/sku-7"), "it may have been deleted since"
    assert not any(is_source([inferred], word) for word in ("merchnat", "Merchant", "", "sku-7"))


@pytest.mark.parametrize(
    ("locale", "text", "said"),
    [
        ("en", "A plain red dress with long sleeves.", {"pattern", "sleeve"}),
        ("de", "Einfarbiges rotes Kleid mit langen Ärmeln.", {"pattern", "sleeve"}),
        ("fr", "Robe rouge unie, à manches longues.", {"pattern", "sleeve"}),
        ("es", "Vestido rojo liso, de manga larga.", {"pattern", "sleeve"}),
        ("en", "A red dress.", set()),
        ("de", "Rotes Kleid.", set()),
    ],
)
async def test_what_a_language_writes_for_a_value_is_stated(locale: str, text: str, said: set[str]) -> None:
    """Solid cloth is "plain", and in German "einfarbig": a claim that rests on the photo as any other."""
    caption, _ = await published(LINEN)
    seen = {
        facet: Attribute(value, 0.9, source="pixels") for facet, value in (("pattern", "solid"), ("sleeve", "long"))
    }
    garment = msgspec.structs.replace(caption.evidence.garments[0], attributes=seen)
    pack = msgspec.structs.replace(caption.evidence, garments=(garment,))
    shown = msgspec.structs.replace(caption, evidence=pack, caption=text, spans=(), locale=locale)
    assert {one.facet for one in claims_on([shown], "pixels")} == said
