"""What a shop says is in the evidence and in the text: its colours, kinds and own words; prices and stock are not."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.fakes import FakeWriter
from processors.policies import policies_of
from processors.values import Attribute, Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption
from streams.engine.message import EDITION, Message
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.outcome import Deleted, NoEffect, Unchanged
from tests.unit.streams.roles.test_role_caption import (
    GOOD,
    LIE,
    VOTED,
    Scripted,
    captioner,
    item,
    later,
    message,
    outcome,
    through,
)


async def test_the_evidence_says_who_decided_each_facet() -> None:
    """The shop's word first, then what the photo shows, then the neighbours; the caption may state all of it."""
    policies = policies_of({"fabric": "neighbours"})
    neighbourhood = Neighbourhood(policies.voted())
    for n in range(6):
        neighbourhood.apply(message(item(f"n{n}", angle=0.01 * n, fabric="linen"), n))
    seen = item("p")
    seen = msgspec.structs.replace(
        seen,
        facets="sha256:heads",
        metadata=Metadata(category="Dresses", facets={"pattern": "Stripes"}),
        garments=(
            msgspec.structs.replace(
                seen.garments[0],
                attributes={
                    "pattern": Attribute("dotted", 0.9, source="pixels"),
                    "sleeve": Attribute("long", 0.9, source="pixels"),
                    "neckline": Attribute("v", 0.9, source="pixels"),
                },
            ),
        ),
    )
    draft = (
        "A red striped linen dress with long sleeves and a v neckline. It is easy to wear.\n"
        "#reddress #dress #newin #style #ootd #fashion #look #wardrobe"
    )
    caption = await through(captioner(Scripted(draft), neighbourhood), message(seen))
    assert isinstance(caption, Caption)
    decided = caption.evidence.garments[0].attributes
    assert {facet: (a.value, a.source) for facet, a in decided.items()} == {
        "kind": ("dress", "merchant"),
        "pattern": ("striped", "merchant"),
        "sleeve": ("long", "pixels"),
        "neckline": ("v", "pixels"),
        "fabric": ("linen", "neighbours"),
    }
    assert caption.writer == "llm"
    assert caption.lineage.facets == "sha256:heads"


async def test_a_kind_is_named_by_the_rule_based_writer() -> None:
    """A cardigan is called so, and its pattern, sleeves and neck are said (a polo collar by its name); the verifier knows what a kind claims."""
    seen = item("p", kind="shirt")
    attributes = {
        facet: Attribute(value, 0.9, source="pixels")
        for facet, value in {
            "kind": "cardigan",
            "pattern": "striped",
            "sleeve": "long",
            "neckline": "polo collar",
        }.items()
    }
    seen = msgspec.structs.replace(seen, garments=(msgspec.structs.replace(seen.garments[0], attributes=attributes),))
    caption = await through(captioner(Scripted("no caption", "no caption")), message(seen))
    assert caption.writer == "template"
    for word in ("cardigan", "striped", "long sleeves", "a polo collar"):
        assert word in caption.caption


async def test_a_shops_own_colour_word_replaces_the_palettes() -> None:
    """The first colour under the word that heads read; the second stays."""
    seen = item("p")
    two = (Colour("burgundy", "#800020", 0.7), Colour("white", "#ffffff", 0.3))
    word = {"colour": Attribute("teal", 0.9, source="pixels")}
    seen = msgspec.structs.replace(
        seen, garments=(msgspec.structs.replace(seen.garments[0], colours=two, attributes=word),)
    )
    caption = await through(captioner(Scripted("no caption", "no caption")), message(seen))
    assert [colour.name for colour in caption.evidence.garments[0].colours] == ["teal", "white"]
    assert "teal" in caption.caption


@pytest.mark.parametrize("words", [("Emerald", "Forest green"), ("Rust", "Terracotta")])
async def test_captions_of_siblings_differ_in_what_differs(words: tuple[str, str]) -> None:
    """Two shades that pixels call alike: the shop tells its group's products apart, and each caption states its own colour."""
    role = captioner(FakeWriter())
    texts = []
    for word in words:
        of = item(f"wrap-{word}", group_id="wrap", facets={"color": word}, category="dress")
        caption = await through(role, message(of))
        assert word.lower() in caption.caption.lower()
        assert caption.evidence.garments[0].colours[0].name == word.lower()
        texts.append(caption.caption)
    assert texts[0] != texts[1]


async def test_the_shops_colour_leads_and_a_changed_word_writes_anew() -> None:
    """It wins over the photo's, unless the policy is to believe pixels only: there another word is no other caption."""
    role = captioner(FakeWriter())
    emerald = item("alone", facets={"color": "Emerald"}, category="dress")
    caption = await through(role, message(emerald))
    assert caption.evidence.garments[0].colours[0].name == "emerald"
    navy = later(emerald, 9, facets={"color": "navy"})
    assert await outcome(role, message(navy, 9)) is None, "the model is asked"
    assert "navy" in (await through(role, message(navy, 9))).caption
    pixels = replace(captioner(FakeWriter()), policies=policies_of({"colour": "pixels"}))
    first = await through(pixels, message(emerald))
    assert first.evidence.garments[0].colours[0].name == "red"
    again = await outcome(pixels, message(navy, 9))
    assert isinstance(again, Unchanged)
    assert encode(again.record) == encode(first)


async def test_prices_and_stock_are_no_part_of_a_caption() -> None:
    """Other columns ask no model, and change no byte."""
    role = captioner(Scripted(GOOD))
    first = await through(role, message(item("sku-1", price=79.0, group_id="g")))
    other = item("sku-1", price=20.0, sale_price=9.0, in_stock=False, sizes=("S",), launched="2026-01-01", group_id="g")
    again = await through(role, message(other, offset=1))
    assert encode(again) == encode(first)


async def test_the_shops_own_words_are_evidence() -> None:
    """Brand, collection, path and tags are shown; what they wholly say of a facet is the shop's word, and what clashes is not."""
    role = captioner(Scripted(*[LIE] * 4))
    metadata = {
        "brand": "Acme",
        "facets": {"Collection": "Riviera"},
        "category_path": ("Women", "Dresses"),
        "tags": ("linen", "new in"),
    }
    caption = await through(role, message(item("sku-1", **metadata)))
    assert caption.evidence.said == {
        "brand": ("Acme",), "collection": ("Riviera",), "category_path": ("Women", "Dresses"), "tags": ("linen", "new in"),
    }  # fmt: skip
    told = caption.evidence.garments[0].attributes
    assert (told["fabric"].value, told["fabric"].source, told["gender"].value) == ("linen", "merchant", "women")
    assert "linen" in caption.caption.lower()
    clash = await through(role, message(item("sku-2", tags=("linen", "cotton"))))
    assert "fabric" not in clash.evidence.garments[0].attributes


async def test_a_product_that_nobody_has_seen_has_no_caption_and_no_vote() -> None:
    """It is incomplete until a photo comes; what it taught before, it teaches no more."""
    neighbourhood = Neighbourhood(VOTED.voted())
    role = captioner(FakeWriter(), neighbourhood)
    neighbourhood.apply(message(item("sku-1", fabric="linen", category="dress")))
    vector = np.array([1.0, 0.0], dtype=np.float32)
    assert [n.product_id for n in neighbourhood.find("sha256:e", "", "dress", vector, 3, "other")] == ["sku-1"]
    bare = msgspec.structs.replace(
        item("sku-1", fabric="linen"), image="", width=0, height=0, garments=(), views=(), incomplete=True
    )
    assert await through(role, message(bare, 1)) == NoEffect()
    neighbourhood.apply(message(bare, 1))
    assert list(neighbourhood.find("sha256:e", "", "dress", vector, 3, "other")) == []


async def test_a_caption_is_of_the_garment_that_the_photos_agree_on() -> None:
    """Not of the largest box, which may lie in another photo."""
    coat = Garment("g1", "jacket", (0, 0, 59, 99), 0.8, (Colour("black", "#000000", 1.0),), {}, "images/model.jpg")
    base = item("sku-1")
    both = msgspec.structs.replace(base, garments=(*base.garments, coat), sold="g0")
    caption = await through(captioner(FakeWriter()), message(both))
    first, second = caption.evidence.garments
    assert (first.category, second.category, second.photo) == ("dress", "jacket", "images/model.jpg")


async def test_items_that_arrive_together_find_the_captions_that_are_known() -> None:
    """As one by one, and without the writer; what is new, bad or wanted anew is left to be read by itself."""
    writer = Scripted(GOOD, GOOD)
    role = captioner(writer)
    for product in ("sku-1", "sku-2"):
        await through(role, message(item(product)))
    priced = [message(later(item(product), 8, fabric="")) for product in ("sku-1", "sku-2")]
    bad = Message(topics.ITEMS, 0, 3, b"sku-1", b"no item")
    anew = replace(priced[0], headers=((EDITION, b"1"),))
    gone = Message(topics.ITEMS, 0, 4, b"sku-1", None)
    found = await role.read_all([*priced, bad, message(item("sku-3")), anew, gone])
    assert [one is None for one in found] == [False, False, True, True, True, False]
    assert [one.result for one in found[:2] if one] == [await outcome(role, one) for one in priced]
    assert found[-1] is not None
    assert found[-1].result == Deleted("sku-1")
