"""caption, stage by stage: whose word counts, and what happens when the language model does not behave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from models.ports import WriterRequest
from processors.attributes import Calibration, Calibrations
from processors.values import Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item, Source, View
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted


class Scripted(FakeWriter):
    """Writes what it is told, draft after draft; counts its batches."""

    def __init__(self, *drafts: str) -> None:
        self.drafts, self.batches = list(drafts), 0

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.batches += 1
        draft = self.drafts.pop(0)
        if draft == "crash":
            raise RuntimeError("the model library fell over")
        return [draft for _ in batch]

    def finish(self, _request: WriterRequest, raw: str, /) -> str:
        return raw


GOOD = "A red dress for every day. It is easy to wear.\n#reddress #dress #newin #style #ootd #fashion #look #wardrobe"
LIE = "A blue silk coat for every day. It is easy to wear.\n#bluecoat #coat #newin #style #ootd #fashion #look #outfit"


def item(product_id: str, *, angle: float = 0.0, **metadata: str) -> Item:
    vector = np.array([np.cos(angle), np.sin(angle)], dtype="<f4").tobytes()
    garment = Garment("g0", "dress", (0, 0, 50, 90), 0.9, (Colour("red", "#c8141e", 1.0),))
    return Item(
        product_id=product_id,
        image="file:///x",
        width=60,
        height=100,
        garments=(garment,),
        views=(View("whole", "dress", vector), View("g0", "dress", vector)),
        metadata=Metadata(**metadata),
        encoder="sha256:e",
        dimension=2,
        detector="sha256:d",
        source=Source(topics.UPLOADS, 0, 5),
        version="0",
    )


def message(of: Item, offset: int = 0) -> Message:
    return Message(topics.ITEMS, 0, offset, of.product_id.encode(), encode(of))


def captioner(writer: FakeWriter, neighbourhood: Neighbourhood | None = None) -> Captioner:
    memo = Memo(MemoryStore("test"), "caption", writer.fingerprint)
    return Captioner(writer, neighbourhood or Neighbourhood(), memo, Calibration(), batch_items=4, batch_wait_s=0.0)


async def through(role: Captioner, of: Message) -> Any:
    read = await role.read(of)
    if isinstance(read, Done):
        return read.result
    [written] = role.write([role.pack(read)])
    return await role.remember(written)


async def test_a_grounded_draft_goes_out_as_it_is() -> None:
    """Each claim with its span and its garment."""
    caption = await through(captioner(Scripted(GOOD)), message(item("sku-1")))
    assert isinstance(caption, Caption)
    assert caption.writer == "llm"
    stated = {caption.caption[span.start : span.end].lower(): span.facet for span in caption.spans}
    assert stated == {"red": "colour", "dress": "category"}
    assert caption.lineage.source == Source(topics.UPLOADS, 0, 5)


async def test_a_draft_that_claims_too_much_gets_a_second_chance() -> None:
    """Once more, with another seed."""
    writer = Scripted(LIE, GOOD)
    caption = await through(captioner(writer), message(item("sku-1")))
    assert (caption.writer, writer.batches) == ("llm", 2)


async def test_two_bad_drafts_leave_it_to_the_rules() -> None:
    """Nothing ungrounded goes out, and the caption says who wrote it."""
    caption = await through(captioner(Scripted(LIE, LIE)), message(item("sku-1")))
    assert caption.writer == "template"
    assert "silk" not in caption.caption.lower()
    assert "dress" in caption.caption.lower()


async def test_a_model_that_falls_over_leaves_it_to_the_rules() -> None:
    """The product gets its caption all the same."""
    caption = await through(captioner(Scripted("crash", "crash")), message(item("sku-1")))
    assert caption.writer == "template"


async def test_what_was_written_once_is_published_again_as_it_was() -> None:
    """A re-delivered item has the same bytes, whatever its offset and whatever the model would say now."""
    role = captioner(Scripted(GOOD))
    first = await through(role, message(item("sku-1"), offset=3))
    again = await through(role, message(item("sku-1"), offset=9))
    assert encode(again) == encode(first)


def neighbourhood() -> Neighbourhood:
    found = Neighbourhood()
    for number in range(4):
        found.apply(
            message(item(f"linen-{number}", angle=0.01 * number, fabric="linen", gender="women"), offset=number)
        )
    return found


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
    near = Neighbourhood()
    for n in range(4):
        near.apply(message(item(f"n{n}", angle=0.01 * n, fabric="linen"), n))
    ours = captioner(FakeWriter(), near)
    strict = Calibrations("sha256:other", {"fabric": Calibration(theta=1.0, min_votes=9)})
    used = replace(ours, calibration=strict, uncalibrated=set())
    for name in ("sku-1", "sku-2"):
        read = await used.read(message(item(name)))
        assert used.pack(read).request.evidence.garments[0].attributes["fabric"].value == "linen"  # type: ignore[arg-type]
    assert used.uncalibrated == {"sha256:e"}
    fitted = replace(ours, calibration=replace(strict, encoder="sha256:e"), uncalibrated=set())
    read = await fitted.read(message(item("sku-1")))
    assert "fabric" not in fitted.pack(read).request.evidence.garments[0].attributes  # type: ignore[arg-type]
    assert fitted.uncalibrated == set()
