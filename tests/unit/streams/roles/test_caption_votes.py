"""Whose word counts for a facet: the shop's, the pixels', the labelled neighbours' of the same kind, or nobody's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from models.fakes import FakeWriter
from processors.attributes import Calibration, Calibrations
from processors.policies import Policies, policies_of
from processors.values import Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.outcome import Deleted
from tests.unit.streams.roles.test_role_caption import (
    GOOD,
    VOTED,
    Scripted,
    captioner,
    item,
    message,
    neighbourhood,
    through,
)


async def test_neighbours_tell_what_the_photo_does_not() -> None:
    """With their names, and with their confidence."""
    caption = await through(captioner(Scripted(GOOD), neighbourhood()), message(item("sku-1")))
    fabric = caption.evidence.garments[0].attributes["fabric"]
    assert fabric.value == "linen"
    assert set(fabric.neighbours) == {f"linen-{n}" for n in range(4)}


async def test_the_shops_own_word_counts_more_than_the_neighbours() -> None:
    """It knows what it sells."""
    caption = await through(captioner(Scripted(GOOD), neighbourhood()), message(item("sku-1", fabric="wool")))
    fabric = caption.evidence.garments[0].attributes["fabric"]
    assert (fabric.value, fabric.neighbours) == ("wool", ())


async def test_vectors_of_another_encoder_are_no_neighbours() -> None:
    """Vectors of different makers never meet."""
    other = msgspec.structs.replace(item("sku-1"), encoder="sha256:another")
    caption = await through(captioner(Scripted(GOOD), neighbourhood()), message(other))
    assert caption.evidence.garments[0].attributes == {}


async def test_a_deleted_product_votes_no_more() -> None:
    """And a shop that takes a label back is no witness either."""
    found = neighbourhood()
    found.apply(Message(topics.ITEMS, 0, 10, b"linen-0", None))
    found.apply(message(item("linen-1"), offset=11))
    caption = await through(captioner(Scripted(GOOD), found), message(item("sku-1")))
    assert caption.evidence.garments[0].attributes == {}, "two witnesses are too few"


async def test_a_null_is_a_deletion() -> None:
    """Of the caption, too."""
    assert await through(captioner(Scripted()), Message(topics.ITEMS, 0, 1, b"sku-1", None)) == Deleted("sku-1")


async def test_votes_of_an_encoder_that_was_not_calibrated_follow_the_defaults() -> None:
    """Another space: the fitted numbers are not used, and the log says so once."""
    near = Neighbourhood(VOTED.voted())
    for n in range(4):
        near.apply(message(item(f"n{n}", angle=0.01 * n, fabric="linen"), n))
    ours = captioner(FakeWriter(), near)
    strict = Calibrations("sha256:other", {"fabric": Calibration(theta=1.0, min_votes=9)})
    used = replace(ours, calibration=strict, uncalibrated=set())
    for name in ("sku-1", "sku-2"):
        read = used.read(message(item(name)))
        assert used.pack(read).request.evidence.garments[0].attributes["fabric"].value == "linen"  # type: ignore[arg-type]
    assert used.uncalibrated == {"sha256:e"}
    fitted = replace(ours, calibration=replace(strict, encoder="sha256:e"), uncalibrated=set())
    read = fitted.read(message(item("sku-1")))
    assert "fabric" not in fitted.pack(read).request.evidence.garments[0].attributes  # type: ignore[arg-type]
    assert fitted.uncalibrated == set()


# ---------------------------------------------------------------- who may say what


SILK = (
    "A silk red dress for every day. It is easy to wear.\n#reddress #dress #newin #style #ootd #fashion #look #wardrobe"
)


def silk_tops() -> Neighbourhood:
    """A catalogue whose labels are all on silk tops, as near to everything as can be."""
    found = Neighbourhood(VOTED.voted())
    for number in range(5):
        found.apply(message(item(f"top-{number}", kind="shirt", fabric="silk"), offset=number))
    return found


async def evidence_of(role: Captioner, of: Item) -> dict[str, Any]:
    read = role.read(message(of))
    assert not isinstance(read, Done)
    return role.pack(read).request.evidence.garments[0].attributes


@pytest.mark.parametrize("kind", ["shoe", "pants", "dress", "bag"])
async def test_only_the_same_kind_of_garment_votes(kind: str) -> None:
    """Labels that are all on silk tops make no shoe and no pair of jeans silk, however near the vectors are."""
    role = captioner(FakeWriter(), silk_tops())
    assert await evidence_of(role, item("sku-1", kind=kind)) == {}
    assert (await evidence_of(role, item("sku-2", kind="shirt")))["fabric"].value == "silk"


async def test_a_label_of_another_kind_than_the_garment_found_does_not_vote() -> None:
    """A silk top of which only the shoes were found does not teach shoes, and does not make its own shoes silk."""
    near = Neighbourhood(VOTED.voted())
    for number in range(5):
        near.apply(message(item(f"top-{number}", kind="shoe", fabric="silk", category="Shirts"), offset=number))
    role = captioner(FakeWriter(), near)
    assert await evidence_of(role, item("sku-1", kind="shoe")) == {}
    said = await evidence_of(role, item("sku-2", kind="shoe", fabric="silk", gender="women", category="Shirts"))
    assert set(said) == {"gender"}


async def test_a_product_that_changed_its_kind_votes_as_what_it_is_now() -> None:
    """Its older self is gone from the older kind, too."""
    near = silk_tops()
    for number in range(5):
        near.apply(message(item(f"top-{number}", kind="dress", fabric="silk"), offset=10 + number))
    role = captioner(FakeWriter(), near)
    assert await evidence_of(role, item("sku-1", kind="shirt")) == {}
    assert (await evidence_of(role, item("sku-2", kind="dress")))["fabric"].value == "silk"


async def test_far_neighbours_do_not_vote() -> None:
    """They are the nearest there are, and still another thing: below the floor their agreement says nothing."""
    role = replace(captioner(FakeWriter(), silk_tops()), calibration=Calibration(floor=0.7))
    assert await evidence_of(role, item("sku-1", kind="shirt", angle=1.2)) == {}
    assert (await evidence_of(role, item("sku-2", kind="shirt", angle=0.3)))["fabric"].value == "silk"


async def test_the_fabric_is_the_merchants_by_default() -> None:
    """The gender may be voted on; the fabric only the shop can know."""
    near = Neighbourhood()
    for number in range(4):
        near.apply(message(item(f"n{number}", fabric="linen", gender="women"), offset=number))
    role = replace(captioner(FakeWriter(), near), policies=Policies())
    assert set(await evidence_of(role, item("sku-1"))) == {"gender"}
    assert set(await evidence_of(role, item("sku-2", fabric="wool"))) == {"gender", "fabric"}


async def test_never_is_never() -> None:
    """Not even the shop's own word, and not even what is seen."""
    role = replace(captioner(FakeWriter()), policies=policies_of({"fabric": "never", "colour": "never"}))
    read = role.read(message(item("sku-1", fabric="wool")))
    assert not isinstance(read, Done)
    [garment] = role.pack(read).request.evidence.garments
    assert (garment.attributes, garment.colours) == ({}, ())


async def test_the_merchants_colour_instead_of_the_pixels() -> None:
    """By policy; what the palette does not know is no colour."""
    role = replace(captioner(FakeWriter()), policies=policies_of({"colour": "merchant"}))
    for given, expected in (("Navy Blue", ["navy"]), ("Sundown", []), ("not black", [])):
        of = msgspec.structs.replace(item("sku-1"), metadata=Metadata(facets={"Color": given}))
        read = role.read(message(of))
        assert not isinstance(read, Done)
        assert [colour.name for colour in role.pack(read).request.evidence.garments[0].colours] == expected


async def test_other_products_stay_out_of_the_event_where_a_setting_says_so() -> None:
    """Neither their ids nor their sentences; that a fact was inferred is still told."""
    near = Neighbourhood(VOTED.voted())
    for number in range(4):
        near.apply(message(item(f"secret-{number}", fabric="silk", description="Hush-hush copy."), offset=number))
    told = await through(captioner(Scripted(SILK), near), message(item("sku-1")))
    assert b"secret-" in encode(told)
    assert b"Hush-hush" in encode(told)
    quiet = replace(captioner(Scripted(SILK), near), publish_neighbours=False)
    caption = await through(quiet, message(item("sku-1")))
    assert b"secret-" not in encode(caption)
    assert b"Hush-hush" not in encode(caption)
    assert caption.evidence.garments[0].attributes["fabric"].value == "silk"
    assert caption.provenance.inferred == ("g0.fabric",)
    assert (caption.status, caption.reasons) == ("hold", ("inferred_facts",))
