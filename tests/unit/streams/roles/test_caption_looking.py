"""caption with a writer that looks at the photo: who is handed pixels, and what happens when there are none."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from infra.store import NotFound
from models.fakes import FakeWriter
from models.ports import View, Writer, WriterRequest
from processors.decode import DecodeLimits
from processors.errors import Poison
from processors.values import Colour, Garment
from streams.engine.inline import run_inline
from streams.roles.caption.kits import Kits
from streams.roles.caption.kits import parse as parse_kit
from streams.roles.caption.looking import looking
from streams.roles.caption.role import Captioner
from streams.roles.caption.steps import Read
from streams.roles.outcome import Makeshift
from tests.unit.streams.roles.test_role_caption import captioner, item, message


class Looking(FakeWriter):
    """A writer that looks: it writes only of what it was shown."""

    fingerprint = "sha256:looking"
    looks: View = "garment"

    def prepare(self, item: WriterRequest, /) -> WriterRequest:
        if item.pixels is None:
            raise Poison("no photo", field="image")
        self.seen = item.pixels
        return item


def shown(side: int = 40) -> bytes:
    """A white photo with a red square in its lower right quarter."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    pixels[side // 2 :, side // 2 :] = (200, 20, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


async def test_pixels_are_loaded_for_a_writer_that_looks_and_for_no_other() -> None:
    """The garment's part of the photo reaches it; for others, for kits in another language and by rule no photo is read."""
    asked: list[str] = []

    async def read_photo(address: str) -> bytes:
        asked.append(address)
        return shown()

    def role(writer: Writer, view: View, **more: Any) -> Captioner:
        return replace(captioner(writer), look=looking(read_photo, view, DecodeLimits()), **more)

    garment = Garment("g0", "dress", (20.0, 20.0, 40.0, 40.0), 0.9, (Colour("red", "#c8141e", 1.0),))
    of = message(msgspec.structs.replace(item("sku-1"), garments=(garment,)))
    blind = role(FakeWriter(), "")
    [plain] = await run_inline(blind.stages(), [of], lambda _: None)
    assert (asked, plain.writer) == ([], "llm")
    eye = Looking()
    [caption] = await run_inline(role(eye, "garment").stages(), [of], lambda _: None)
    assert (asked, caption.writer) == (["file:///x"], "llm")
    assert eye.seen.shape[0] <= 24, "a part of the photo"
    assert (eye.seen == (200, 20, 30)).all(axis=2).mean() > 0.8
    kits = Kits({"default": parse_kit("locale: de", "default")})
    for other in (role(Looking(), "garment", by_rule=True), role(Looking(), "garment", kits=kits)):
        [caption] = await run_inline(other.stages(), [of], lambda _: None)
        assert (len(asked), caption.writer) == (1, "template")


async def test_a_photo_that_is_gone_costs_the_draft_and_is_not_remembered() -> None:
    """The caption comes by rule, says so, and is asked for again with the next delivery; a store that is away is waited for."""
    photos: dict[str, bytes] = {}

    async def read_photo(address: str) -> bytes:
        if address not in photos:
            raise NotFound(address)
        return photos[address]

    role = replace(captioner(Looking()), look=looking(read_photo, "photo", DecodeLimits()))
    [first] = await run_inline(role.stages(), [message(item("sku-1"))], lambda _: None)
    assert isinstance(first, Makeshift)
    assert (first.writer, first.provenance and first.provenance.refused) == ("template", (("failed",),))
    photos["file:///x"] = shown()
    [again] = await run_inline(role.stages(), [message(item("sku-1"))], lambda _: None)
    assert again.writer == "llm"


async def test_another_photo_with_the_same_facts_is_another_caption() -> None:
    """Of a writer that looks; of others it is the same text."""

    async def read_photo(_address: str) -> bytes:
        return shown()

    def keys(writer: Writer, image: str) -> str:
        read = captioner(writer).read(message(msgspec.structs.replace(item("sku-1"), image=image)))
        assert isinstance(read, Read)
        return read.keys.facts

    assert keys(Looking(), "file:///x") != keys(Looking(), "file:///y")
    assert keys(FakeWriter(), "file:///x") == keys(FakeWriter(), "file:///y")
