"""Edits that cannot or may not be made get a result that says why: consent, deadlines, requests that were taken back."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.errors import Code
from streams.contract import topics
from streams.engine.message import Message
from tests.unit.streams.roles.test_role_edit import BLUE, NOW, photo, request, shop_of_dresses

BLANK = io.BytesIO()
Image.fromarray(np.full((200, 150, 3), 225, np.uint8)).save(BLANK, "PNG")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"image": {"bytes": b"no image"}}, Code.BAD_IMAGE, "image"),
        ({"image": {"bytes": photo(BLUE, "JPEG")[:-900]}}, Code.BAD_IMAGE, "image"),
        ({"image": None}, Code.MISSING_FIELD, "image"),
        ({"image": {}}, Code.BAD_IMAGE, "image"),
        ({"text": ""}, Code.EMPTY_QUERY, "text"),
        ({"text": "  "}, Code.EMPTY_QUERY, "text"),
        ({"text": 3}, Code.WRONG_TYPE, "text"),
        ({"text": "x" * 5000}, Code.OUT_OF_RANGE, "text"),
        ({"image": {"bytes": BLANK.getvalue()}}, Code.NO_GARMENT, "image"),
        ({"text": "red shoes"}, Code.NO_GARMENT, "image"),
        ({"garment": "g7"}, Code.NO_GARMENT, "garment"),
        ({"image": {"product_id": "gone"}}, Code.UNKNOWN_PRODUCT, "image.product_id"),
        ({"references": ["gone"]}, Code.UNKNOWN_PRODUCT, "references[0]"),
        ({"references": ["a", "b", "c", "d"]}, Code.OUT_OF_RANGE, "references"),
        ({"mask": {"bytes": photo(BLUE)[:60]}}, Code.BAD_IMAGE, "mask"),
        ({"text": "naked"}, Code.REFUSED_WORDS, "text"),
        ({"text": "a dress like Taylor Swift"}, Code.REFUSED_WORDS, "text"),
        ({"consent": False}, Code.CONSENT_NEEDED, "consent"),
        ({"deadline_ms": 0}, Code.OUT_OF_RANGE, "deadline_ms"),
        ({"seed": -1}, Code.OUT_OF_RANGE, "seed"),
        ({"box": [9, 9, 3, 3]}, Code.OUT_OF_RANGE, "image.box"),
    ],
)
async def test_what_cannot_be_done_gets_a_result_that_says_why(fields: dict[str, Any], code: Code, field: str) -> None:
    """One result, with the code and the field; and nothing is stored."""
    catalogue = shop_of_dresses()
    before = set(catalogue.store.list())
    [result] = await catalogue.run(request(**fields))
    assert result.request_id == "e1"
    assert result.error is not None
    assert (result.error.code, result.error.field) == (code, field)
    assert set(catalogue.store.list()) == before


async def test_bytes_that_are_no_request_are_answered_under_their_key() -> None:
    """So is one without an id."""
    catalogue = shop_of_dresses()
    broken = Message(topics.EDIT_REQUESTS, 0, 0, b"k1", b'{"request_id', timestamp_ms=int(NOW * 1000))
    [result] = await catalogue.run(broken)
    assert result.request_id == "k1"
    assert result.error is not None
    assert result.error.code == Code.MALFORMED


async def test_a_deadline_that_has_passed_is_told() -> None:
    """No model is asked for what nobody waits for any more."""
    catalogue = shop_of_dresses()
    old = Message(
        topics.EDIT_REQUESTS, 0, 0, b"e1", request(deadline_ms=1000).value, timestamp_ms=int(NOW * 1000) - 5000
    )
    [result] = await catalogue.run(old)
    assert result.error is not None
    assert result.error.code == Code.DEADLINE_EXCEEDED


async def test_a_null_record_takes_a_request_back() -> None:
    """While the index is asked: the request gets one result, `cancelled`; a later one under the same key is done."""
    catalogue = shop_of_dresses()
    catalogue.hold = asyncio.Event()
    null = Message(topics.EDIT_REQUESTS, 0, 1, b"e1", None, timestamp_ms=int(NOW * 1000))

    async def release() -> None:
        await catalogue.asked.wait()
        while not catalogue.role.cancels.gone:  # noqa: ASYNC110 - the null has been read then
            await asyncio.sleep(0.001)
        assert catalogue.hold is not None
        catalogue.hold.set()

    releasing = asyncio.create_task(release())
    await catalogue.run(request(0), null, before_last=catalogue.asked)
    await releasing
    [result] = catalogue.results
    assert result.error is not None
    assert result.error.code == Code.CANCELLED
    catalogue.hold = None
    catalogue.results.clear()
    [again] = await catalogue.run(request(2))
    assert again.image
