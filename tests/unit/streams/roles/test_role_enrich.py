"""enrich, stage by stage, with models that only look like models."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from infra.fetch import Fetcher
from infra.host_answers import Fetched, Unchanged, Validators
from infra.memory_store import MemoryStore
from infra.settings import Settings
from infra.store import content_key
from models.fakes import FakeDetector, FakeImageEncoder
from processors.decode import DecodeLimits
from processors.errors import Poison, Retryable
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Item
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted
from streams.roles.remote import ATTEMPTS, RemotePhotos
from streams.roles.told import Told
from streams.search import query_photos


class Web:
    """A `Fetcher` that fails as often as it is told."""

    def __init__(self, data: bytes = b"", failures: int = 0) -> None:
        self.data, self.failures, self.asked = data, failures, 0

    async def fetch(self, uri: str) -> bytes:
        self.asked += 1
        if self.asked <= self.failures:
            raise Retryable(f"{uri} is away")
        return self.data

    async def ask(self, uri: str, _known: Validators) -> Fetched | Unchanged:
        return Fetched(await self.fetch(uri))


class CountingDetector(FakeDetector):
    """Counts what it is given."""

    seen = 0

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.seen += len(batch)
        return super().forward(batch)


def photo(width: int = 96, height: int = 96) -> bytes:
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels[height // 4 : 3 * height // 4, width // 3 : 2 * width // 3] = (200, 20, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def role(web: Web, detector: FakeDetector | None = None, seconds: float = 40.0) -> Enrich:
    store = MemoryStore("test")
    detector, encoder = detector or FakeDetector(), FakeImageEncoder()

    async def no_pause(_seconds: float) -> None:
        return

    return Enrich(
        store=store,
        fetcher=web,  # type: ignore[arg-type]
        remote=RemotePhotos(web, store, seconds=seconds, sleep=no_pause),
        detector=detector,
        encoder=encoder,
        memo=Memo(store, "enrich", memo_fingerprint(detector, encoder)),
        limits=DecodeLimits(),
        batch_items=4,
        batch_wait_s=0.0,
    )


def upload(image: dict[str, str], offset: int = 0) -> Message:
    value = msgspec.json.encode(
        {"product_id": "sku-1", "image": image, "metadata": {"title": "A dress", "mood": "calm"}}
    )
    return Message(topics.UPLOADS, 0, offset, b"sku-1", value)


async def through(enrich: Enrich, message: Message) -> Any:
    """All stages, one after the other, as the engine would."""
    value: Any = message
    for stage in enrich.stages():
        if stage.name in {"detect", "embed"}:
            [value] = stage.run([value])
        else:
            value = stage.run(value)
            if hasattr(value, "__await__"):
                value = await value
        if isinstance(value, Done):
            value = value.result
            break
    return await enrich.stands(value) if isinstance(value, Told) else value


async def test_an_upload_becomes_an_item_with_a_vector_for_each_view() -> None:
    """The whole photo and each garment; boxes in pixels of the original; the photo lies in our own store."""
    enrich = role(Web())
    item = await through(enrich, upload({"bytes": base64.b64encode(photo()).decode()}))
    assert isinstance(item, Item)
    assert [view.id for view in item.views] == ["whole", "g0"]
    assert all(len(view.vector) == 4 * item.dimension for view in item.views)
    assert item.garments[0].colours[0].name == "red"
    x0, _, _, y1 = item.garments[0].box
    assert x0 == pytest.approx(32, abs=3)
    assert y1 == pytest.approx(72, abs=3)
    key = enrich.store.key_of(item.image)
    assert key is not None
    assert enrich.store.get(key) == photo()
    assert item.metadata.facets == {"mood": "calm"}


class SlowWeb(Web):
    """A host that never gets to the end."""

    async def fetch(self, uri: str) -> bytes:
        self.asked += 1
        await asyncio.Event().wait()
        return b""


async def test_a_slow_host_is_bounded_by_the_whole_fetch() -> None:
    """All attempts share one time: a host that trickles must not hold a place for the sum of them."""
    enrich = role(SlowWeb(), seconds=0.05)
    with pytest.raises(Poison, match=r"gave up after 1 attempts: no answer; 0\.05 s are over") as refused:
        await through(enrich, upload({"uri": "https://slow.test/a.jpg"}))
    assert refused.value.field == "image.uri"


def taken_by_somebody(note: str) -> bytes:
    """The photo as a phone writes it: with owner, place and other things, and its way up."""
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, note
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo())).save(buffer, "PNG", exif=exif.tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize("way", ["bytes", "fetched", "stored"])
async def test_photos_are_stored_without_owner_and_place(way: str) -> None:
    """However they came; under the hash of what is stored, so that the same photo of two owners is one, on every delivery."""
    found = []
    for note in ("Jane Q. Owner", "Jane Q. Owner", "another owner"):
        data = taken_by_somebody(note)
        enrich = role(Web(data))
        image = {"uri": "https://shop.test/a.png"}
        if way == "bytes":
            image = {"bytes": base64.b64encode(data).decode()}
        elif way == "stored":
            image = {"uri": enrich.store.uri(enrich.store.put_content(data, ".png", prefix="theirs"))}
        item = await through(enrich, upload(image))
        key = enrich.store.key_of(item.image)
        assert key is not None
        stored = enrich.store.get(key)
        assert note.encode() not in stored
        assert content_key(stored, ".png") == key
        assert Image.open(io.BytesIO(stored)).getexif()[0x0112] == 6
        found.append(encode(item))
    assert len(set(found)) == 1


@pytest.mark.parametrize("data", [b"PK\x03\x04 a zip", b"\xff\xd8\xff\xe0 this is no photo", b""])
async def test_what_is_no_photo_in_our_store_is_refused_by_decoding(data: bytes) -> None:
    """Its letter names the stage in which it failed, whatever cleaning makes of it."""
    enrich = role(Web(data))
    uri = enrich.store.uri(enrich.store.put_content(data, ".jpg", prefix="images"))
    read = await enrich.read(upload({"uri": uri}))
    assert not isinstance(read, Done)
    assert read.photos[0].place.address == enrich.store.relative(uri)
    with pytest.raises(Poison):
        enrich.decode(read)


async def test_a_photo_that_has_nothing_to_lose_keeps_its_address() -> None:
    """What `weft ingest` put into the store is not copied again, by its relative address; nor is anything where metadata is kept."""
    enrich = role(Web(photo()))
    uri = enrich.store.uri(enrich.store.put_content(photo(), ".jpg", prefix="images"))
    assert (await through(enrich, upload({"uri": uri}))).image == enrich.store.relative(uri)
    keeping = replace(role(Web(taken_by_somebody("Jane Q. Owner"))), keep_metadata=True)
    item = await through(keeping, upload({"uri": "https://shop.test/a.png"}))
    assert keeping.store.get(keeping.store.key_of(item.image) or "") == taken_by_somebody("Jane Q. Owner")


async def test_boxes_are_in_pixels_of_a_photo_that_was_shrunk_for_serving() -> None:
    """A 2,400-pixel photo is decoded at a third of its size; what is published is about the photo."""
    item = await through(role(Web()), upload({"bytes": base64.b64encode(photo(2400, 2400)).decode()}))
    assert (item.width, item.height) == (2400, 2400)
    assert item.garments[0].box[3] == pytest.approx(1800, abs=80)


async def test_a_photo_that_was_seen_before_needs_no_model() -> None:
    """Sent again, and delivered again: the same views, whatever is said of it."""
    detector = CountingDetector()
    enrich = role(Web(), detector)
    data = {"bytes": base64.b64encode(photo()).decode()}
    first = await through(enrich, upload(data))
    again = await through(enrich, upload(data, offset=7))
    assert (again.views, again.garments, again.image) == (first.views, first.garments, first.image)
    assert encode(await through(enrich, upload(data))) == encode(first)
    record = msgspec.json.decode(upload(data).value or b"")
    record["metadata"] = {"price": 49.5}
    dearer = await through(enrich, replace(upload(data, offset=8), value=msgspec.json.encode(record)))
    assert (dearer.metadata.price, dearer.source.offset, dearer.views) == (49.5, 8, first.views)
    assert detector.seen == 1


async def test_other_models_think_again() -> None:
    """The memo is kept under the fingerprints of the models that made it."""
    detector = CountingDetector()
    enrich = role(Web(), detector)
    await through(enrich, upload({"bytes": base64.b64encode(photo()).decode()}))
    other = replace(enrich, memo=Memo(enrich.store, "enrich", "sha256:" + "0" * 64))
    await through(other, upload({"bytes": base64.b64encode(photo()).decode()}))
    assert detector.seen == 2


async def test_a_host_that_comes_back_is_waited_for_and_its_photo_kept() -> None:
    """An address outside may be gone tomorrow: the item points into our own store."""
    web = Web(photo(), failures=ATTEMPTS - 1)
    enrich = role(web)
    item = await through(enrich, upload({"uri": "https://cdn.example/a.png"}))
    assert enrich.store.key_of(item.image) is not None


async def test_a_host_that_stays_away_does_not_hold_its_partition_for_ever() -> None:
    """After some attempts the upload is at fault, and says of which field."""
    web = Web(failures=1000)
    with pytest.raises(Poison, match=r"image.uri.*6 attempts"):
        await through(role(web), upload({"uri": "https://cdn.example/a.png"}))
    assert web.asked == ATTEMPTS


async def test_poison_bytes_leave_nothing_in_the_store() -> None:
    """Only what is an image is kept."""
    enrich = role(Web())
    with pytest.raises(Poison):
        await through(enrich, upload({"bytes": base64.b64encode(b"PK\x03\x04 not a photo").decode()}))
    assert list(enrich.store.list()) == []


async def test_a_photo_that_does_not_decode_leaves_nothing_in_the_store() -> None:
    """Its head is that of an image, so it was stored, and stayed there for ever behind its dead letter."""
    enrich = role(Web())
    broken = photo()[:60]
    with pytest.raises(Poison):
        await through(enrich, upload({"bytes": base64.b64encode(broken).decode()}))
    assert list(enrich.store.list()) == []


async def test_what_is_published_is_relative_to_the_store() -> None:
    """A bucket, prefix or folder can move: every hit named an absolute address that was gone afterwards."""
    enrich = role(Web())
    item = await through(enrich, upload({"bytes": base64.b64encode(photo()).decode()}))
    assert item.image == content_key(photo(), ".png")
    again = await through(enrich, upload({"bytes": base64.b64encode(photo()).decode()}, offset=7))
    assert again.image == item.image, "known by its memo"


@pytest.mark.parametrize("form", ["{key}", "memory://test/{key}", "s3://old-bucket/pre/{key}", "file:///old/{key}"])
async def test_a_photo_in_the_store_is_read_by_any_address_it_ever_had(form: str) -> None:
    """Relative as of now, absolute as of before, and absolute where the store lay before it moved."""
    enrich = role(Web())
    store = enrich.store
    store.former = ("s3://old-bucket/pre/", "file:///old/")
    key = store.put_content(photo(), ".png")
    moved = replace(enrich, fetcher=Fetcher(Settings(), store))
    item = await through(moved, upload({"uri": form.format(key=key)}))
    assert item.image == key
    assert list(store.list("images/")) == [key], "nothing was copied"


async def test_a_shoppers_photo_that_becomes_a_product_is_kept_as_one() -> None:
    """Photos of queries are removed after hours; a product's is not."""
    enrich = role(Web())
    key = query_photos.key_for(photo(), ".png", 0.0)
    enrich.store.put(key, photo())
    item = await through(replace(enrich, fetcher=Fetcher(Settings(), enrich.store)), upload({"uri": key}))
    assert item.image == content_key(photo(), ".png")
    assert enrich.store.exists(item.image)


async def test_a_null_is_a_deletion() -> None:
    """Of the product in the key."""
    assert await through(role(Web()), Message(topics.UPLOADS, 0, 1, b"sku-1", None)) == Deleted("sku-1")
