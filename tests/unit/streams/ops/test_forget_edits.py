"""Edits in which a product has a part are found in the store and on their topics, and no others."""

from __future__ import annotations

import msgspec

from infra.store import content_digest
from streams.contract import topics
from streams.contract.edits import EditResult
from streams.engine.message import Message
from streams.ops.forget_edits import edits_of, names_one, place_of
from streams.ops.forget_look import meant_by
from streams.ops.forget_memos import remove
from tests.unit.streams.roles.test_role_edit import RED, Catalogue, request, shop_of_dresses


def kept(catalogue: Catalogue) -> set[str]:
    return set(catalogue.store.list("edits/"))


def files(result: EditResult) -> set[str]:
    return {result.image, result.mask, result.manifest}


async def test_edits_with_its_look_and_of_its_photo_go_and_others_stay() -> None:
    """Images, masks and manifests; a mask that another edit shares stays for that one."""
    catalogue = shop_of_dresses()
    catalogue.add("green-1", (30, 140, 60), "green", "dress")
    look, other, own = await catalogue.run(
        request(0, "a"),
        request(1, "b", text="a green dress"),
        request(2, "c", image={"product_id": "red-1"}, text="blue"),
    )
    assert look.mask == other.mask == own.mask, "all garments lie alike"
    digest = content_digest(catalogue.products["red-1"][2])
    found = edits_of(catalogue.store, meant_by(("red-1",), ""), {digest})
    assert set(found) == (files(look) | files(own)) - {other.mask}
    assert place_of(found, prove=True).state == "kept"
    remove(catalogue.store, found)
    assert kept(catalogue) == files(other)
    assert edits_of(catalogue.store, meant_by(("red-1",), ""), {digest}) == []
    assert place_of((), prove=True).state == "gone"


async def test_a_shops_product_is_not_that_of_another_shop() -> None:
    """Though both have one id."""
    catalogue = Catalogue()
    catalogue.add("red-1", RED, "red", "dress")
    [result] = await catalogue.run(request(0, "a"))
    assert edits_of(catalogue.store, meant_by(("red-1",), "north"), ()) == []
    assert set(edits_of(catalogue.store, meant_by(("red-1",), ""), ())) == files(result)


async def test_what_is_no_manifest_is_left_alone() -> None:
    """Whatever lies there."""
    catalogue = shop_of_dresses()
    for key, data in (("edits/x.json", b"{"), ("edits/y.json", b'{"assertions": []}'), ("edits/z.json", b"\xff")):
        catalogue.store.put(key, data)
    assert edits_of(catalogue.store, meant_by((), ""), ()) == []


async def test_records_that_name_a_product_are_told() -> None:
    """By the product of a request, its references, what was retrieved, and the photo that was edited."""
    meant, digest = meant_by(("red-1",), ""), "d" * 64
    for fields in ({"product": "red-1", "image": None}, {"image": {"product_id": "red-1"}}, {"references": ["red-1"]}):
        assert names_one(request(**fields), meant, {digest})  # type: ignore[arg-type]
    assert not names_one(request(references=["red-2"]), meant, {digest})
    assert not names_one(request(references=["red-1"], shop="north"), meant, {digest})
    assert not names_one(Message(topics.EDIT_REQUESTS, 0, 0, b"k", b"{"), meant, {digest})
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request())
    record = Message(topics.EDIT_RESULTS, 0, 0, b"e1", msgspec.json.encode(result))
    assert names_one(record, meant, ())
    assert not names_one(record, meant_by(("blue-1",), ""), ())
    assert result.lineage is not None
    assert names_one(record, meant_by(("blue-1",), ""), {result.lineage.input})
