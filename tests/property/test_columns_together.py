"""Columns that arrive together leave what the same uploads leave field by field: states with their stamps, records with their ids."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from processors.errors import Poison
from processors.identity import key_of
from processors.offers import COLUMN_NAMES
from streams.contract import topics
from streams.contract.codecs import decode_upload
from streams.contract.metadata import metadata_of
from streams.contract.part_of_columns import part_of_columns
from streams.engine.message import Message
from streams.roles.outcome import Stands
from streams.roles.told import ToldColumns
from streams.roles.work import About
from tests.unit.streams.roles.test_taking_in import inline, picture
from tests.unit.streams.roles.test_taking_in_together import Many

PHOTO = inline(picture())
VALUES: dict[str, list[Any]] = {
    "price": [1, 2, 2.0, None],
    "sale_price": [1.5, None],
    "stock": [0, 3, None],
    "availability": ["in stock", "sold out"],
    "sizes": [["M"], ["M", "L"], "S, M", None],
}


@dataclass(frozen=True)
class Step:
    """`kind`: of the upload; `back`: ms by which its time lies behind."""

    kind: str
    said: dict[str, Any]
    product: int = 0
    back: int = 0


columns = st.fixed_dictionaries({}, optional={name: st.sampled_from(of) for name, of in VALUES.items()})
steps = st.builds(
    Step,
    st.sampled_from(["columns"] * 9 + ["newer"] * 4 + ["word", "version", "whole", "gone"]),
    columns.filter(bool),
    st.integers(0, 1),
    st.sampled_from([0, 0, 0, 5_000]),
)
batches = st.lists(st.tuples(st.integers(0, 1), st.lists(steps, min_size=1, max_size=8)), min_size=1, max_size=5)


def record(step: Step, partition: int, offset: int) -> Message:
    product = f"sku-{step.product}"
    given: dict[str, Any] = {"product_id": product, "metadata": step.said}
    if step.kind == "word":
        given["metadata"] = {**step.said, "season": "summer"}
    if step.kind == "version":
        given["version"] = offset % 4
    if step.kind == "newer":
        given["version"] = float(offset // 3)
    if step.kind == "whole":
        given["image"] = PHOTO
    value = None if step.kind == "gone" else msgspec.json.encode(given)
    return Message(topics.UPLOADS, partition, offset, product.encode(), value, (), 10_000 + offset - step.back)


async def history(parts: list[tuple[int, list[Step]]], *, by_field: bool) -> tuple[Any, ...]:
    """What two products become, each with a photo before."""
    shop, ways, offset = Many(), set[str](), 0
    for number in range(2):
        whole = Step("whole", {"title": "A dress", "price": 1}, number)
        await shop.take(record(whole, 0, number))
    for partition, some in parts:
        messages = [record(step, partition, 2 + offset + n) for n, step in enumerate(some)]
        offset += len(some)
        results = []
        for m, one in zip(messages, await shop.enrich.read_all(messages), strict=True):
            outcome = await shop.worked_out(m) if one is None else one.result
            if isinstance(outcome, ToldColumns):
                outcome = outcome.told(m) if by_field else outcome
                ways.add("columns")
            results.append((m, outcome))
        found = await shop.taking_in.publish_all(results)
        if found is None:
            ways.add("one by one")
            found = [await shop.publish(message, outcome) for message, outcome in results]
        shop.sender.deliver()
        await asyncio.gather(*{id(one): one for deliveries in found for one in deliveries}.values())
    products = [(await shop.products.now(f"sku-{number}")).kept for number in range(2)]
    kept = [(await shop.successor().products.now(f"sku-{number}")).kept for number in range(2)]
    told = [one if isinstance(one, Stands) else msgspec.to_builtins(getattr(one, "record", None)) for one in shop.told]
    return products, kept, shop.sender.sent, told, ways


ROW = [Step("columns", {"price": 2}), Step("columns", {"stock": 3}, back=5_000), Step("columns", {"price": 2})]


@settings(max_examples=60, deadline=None)
@example([(0, ROW)])
@example([(0, [Step("gone", {"price": 1}), *ROW, Step("whole", {"price": 1}), *ROW])])
@example(
    [(0, [Step("newer", {"price": 2}), Step("newer", {"price": 2}), Step("newer", {"price": None}), *ROW]), (0, ROW)]
)
@example(
    [(0, [Step("newer", {"price": None}), Step("columns", {"price": 3})]), (0, [Step("version", {"price": 1}), *ROW])]
)
@example([(1, [Step("columns", {"price": 2})]), (0, [*ROW, Step("columns", {"price": 2}, back=5_000)])])
@example([(0, [*ROW, Step("version", {"price": 1}), *ROW]), (0, ROW)])
@example(
    [
        (1, [Step("columns", {"price": 2})]),
        (0, [Step("columns", {"stock": 3}), Step("columns", {"price": 1}, back=5_000)]),
    ]
)
@given(batches)
def test_a_row_of_columns_is_what_its_uploads_say(parts: list[tuple[int, list[Step]]]) -> None:
    """In any order, beside words, versions, whole uploads and deletions, of two partitions, with times that lie behind."""
    found = asyncio.run(history(parts, by_field=False))
    assert found == asyncio.run(history(parts, by_field=True))


def test_rows_are_read_as_columns() -> None:
    """The property would hold, too, if nothing ever was; and of a row one item is published."""
    *_, sent, told, ways = asyncio.run(history([(0, ROW)], by_field=False))
    assert ways == {"columns"}
    assert len(sent) == 3
    assert sum(isinstance(one, Stands) for one in told) == 1


@pytest.mark.parametrize("key", [b"sku-1", b"//one/sku-1"])
def test_columns_of_a_shop_are_of_its_product(key: bytes) -> None:
    """Under either key; and an id that looks like a shop's product is none."""
    value = msgspec.json.encode({"product_id": "sku-1", "shop": "one", "metadata": {"price": 5}})
    assert part_of_columns(Message(topics.UPLOADS, 0, 0, key, value)) == ("//one/sku-1", {"price": 5}, None)
    value = msgspec.json.encode({"product_id": "//one/sku-1", "metadata": {"price": 5}})
    found = part_of_columns(Message(topics.UPLOADS, 0, 0, b"//one/sku-1", value))
    assert found == ("/////one/sku-1", {"price": 5}, None)


@given(
    columns | st.just({"price": True}) | st.just({"price": 1, "title": "A dress"}),
    st.sampled_from(["sku-1", "//one/sku-1", "", "ü"]),
    st.sampled_from(["id", "product", "other"]),
    st.fixed_dictionaries(
        {},
        optional={"shop": st.sampled_from(["one", "a/b", "", None]), "version": st.sampled_from([3, "4.5", "x", None])},
    ),
)
def test_what_is_read_as_columns_is_what_any_upload_says(
    said: dict[str, Any], product: str, under: str, more: dict[str, Any]
) -> None:
    """Product, columns and version; of what is refused nothing is read."""
    keys = {"id": product, "product": key_of(more.get("shop") or "", product), "other": "sku-2"}
    value = msgspec.json.encode({"product_id": product, "metadata": said, **more})
    message = Message(topics.UPLOADS, 0, 0, keys[under].encode(), value)
    try:
        upload = decode_upload(message)
        assert upload is not None
        metadata_of(upload)
    except Poison:
        assert part_of_columns(message) is None
        return
    about = About.of(message, upload)
    found = part_of_columns(message)
    assert found is None or found == (about.product, about.metadata, about.version)
    if said and COLUMN_NAMES.issuperset(said) and keys[under]:
        assert found is not None


def test_what_is_more_than_columns_is_read_as_any_upload() -> None:
    """A version that is none, an empty shop, haste, words, a photo, another key, a header that asks for something, a value that is refused."""

    def is_part(*, key: bytes = b"sku-1", headers: Any = (), **fields: Any) -> bool:
        value = msgspec.json.encode({"product_id": "sku-1", "metadata": {"price": 5}, **fields})
        return part_of_columns(Message(topics.UPLOADS, 0, 0, key, value, headers)) is not None

    json = ("content-type", b"application/json")
    assert is_part()
    assert is_part(headers=(json, ("traceparent", b"00-1-2-01")))
    assert is_part(version="2026-01-31T12:00:00Z")
    assert is_part(metadata={"price": None, "stock": "in stock", "sizes": ["M"]})
    for more in (
        {"version": "yesterday"},
        {"shop": ""},
        {"priority": "high"},
        {"group_id": "wrap"},
        {"metadata": {"price": 5, "title": "A dress"}},
        {"metadata": {}},
        {"metadata": None},
        {"image": PHOTO},
        {"metadata": {"price": -1}},
        {"metadata": {"price": True}},
        {"metadata": {"stock": {"at": 5}}},
        {"product_id": "sku-2"},
    ):
        assert not is_part(**more), more
    for key in (b"", b"other", b"//one/sku-1"):
        assert not is_part(key=key)
    assert not is_part(key=b"//two/sku-1", shop="one")
    assert not is_part(key=b"x" * 2000, product_id="x" * 2000)
    for headers in ((json, ("weft_answer", b"1")), (("content-type", b"application/cloudevents+json"),)):
        assert not is_part(headers=headers)
    assert part_of_columns(Message(topics.UPLOADS, 0, 0, b"sku-1", None)) is None
    assert part_of_columns(Message(topics.UPLOADS, 0, 0, b"sku-1", b'{"product_id": "sku-1", "metadata"')) is None
