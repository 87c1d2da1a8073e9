"""Photos in: put images into the object store, announce them on `catalog.uploads`, and wait for what comes of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from infra.fetch import read_regular
from infra.settings import Settings
from infra.store import ObjectStore
from processors import image_parts
from processors.decode import DecodeLimits, decode
from processors.errors import Code, Poison
from processors.identity import key_of, split
from processors.image_header import sniff
from processors.photo_roles import MAIN, ROLES
from streams.contract import topics
from streams.contract.cloudevents import origin_ms
from streams.contract.codecs import decode_upload
from streams.contract.metadata import metadata_of
from streams.contract.records import Caption, ImageRef, Upload, UploadPhoto
from streams.engine.message import Message
from streams.kafka.client import Client, Reader, Sent, caption_in
from streams.kafka.positions import is_number
from streams.kafka.producer import MAX_RECORD_BYTES

_ADDRESS_BYTES = 2**13
CHECK_SIDE = 64
"""Longest side, in pixels, that a photo is decoded to where only its wholeness matters."""
BATCH = 32
"""Uploads in flight to the broker at once: bounds the memory of an ingest of any size."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One product to ingest: its image on this machine or (`path` is None) at an address, and what the shop says of it. With neither
    it is an update of what is said alone.

    `further`: photos beside it, files and addresses. `equal`: none of them was named as the product's image: which it is
    goes by what the files' names say that they show. `roles`: what photos show, where the shop says so.
    """

    product_id: str
    path: Path | None
    metadata: dict[str, Any]
    address: str = ""
    further: tuple[Path | str, ...] = ()
    equal: bool = False
    roles: Mapping[Path | str, str] = field(default_factory=dict)

    @property
    def places(self) -> tuple[Path | str, ...]:
        """All of its photos, the one of `path` or `address` first."""
        first = self.address if self.path is None else self.path
        return (first, *self.further) if first else self.further


@dataclass(frozen=True, slots=True)
class RefusedProduct:
    """A product that did not make it, at whatever stage."""

    product_id: str
    stage: str
    cause: str


Outcome = Caption | RefusedProduct


def announce(
    photo: Photo, store: ObjectStore, max_bytes: int, *, max_pixels: int | None = None, keep_metadata: bool = False
) -> Upload:
    """Put the photos of a product into the store under their content hashes and make its upload record. Blocking.

    What is not its picture (place, owner, device) is left out, unless `keep_metadata`.

    Raises:
        Poison: the file cannot be read, is empty, larger than `max_bytes`, no image at all or one that does not decode, or
            what is said of the product can never become a record; nothing was written.
        Retryable: the disk or the store is in trouble.
    """
    # As long as no address in the store is known; those of other hosts the engine fetches.
    _check(_upload(photo, ["file:///" if isinstance(place, Path) else place for place in photo.places]))
    read: dict[Path, tuple[bytes, str]] = {}
    for path in (place for place in photo.places if isinstance(place, Path)):
        try:
            read[path] = read_photo(path, max_bytes, max_pixels=max_pixels, keep_metadata=keep_metadata)
        except Poison as error:
            raise error if not photo.further else Poison(f"{path.name}: {error.message}", field=error.field) from None

    def address(place: Path | str) -> str:
        if isinstance(place, str):
            return place
        data, kind = read[place]
        return store.address(store.put_content(data, suffix=f".{kind}", prefix="images"))

    return _upload(photo, [address(place) for place in photo.places])


def _upload(photo: Photo, uris: Sequence[str]) -> Upload:
    if not photo.places:
        return Upload(product_id=photo.product_id, metadata=photo.metadata)
    roles = [
        photo.roles.get(place) or (role_in(place.stem) if isinstance(place, Path) else None) for place in photo.places
    ]
    if not photo.further:
        return Upload(product_id=photo.product_id, image=ImageRef(uri=uris[0]), metadata=photo.metadata)
    images = [UploadPhoto(uri=uri, role=role) for uri, role in zip(uris, roles, strict=True)]
    if (photo.equal or photo.places[0] in photo.roles) and roles.count(MAIN) <= 1:
        return Upload(product_id=photo.product_id, metadata=photo.metadata, images=tuple(images))
    beside = tuple(msgspec.structs.replace(one, role=None if one.role == MAIN else one.role) for one in images[1:])
    return Upload(product_id=photo.product_id, image=ImageRef(uri=uris[0]), metadata=photo.metadata, images=beside)


def role_in(name: str) -> str | None:
    """What a photo shows, where the last word of its file's name says so: "sku-1_back", "Detail 2"."""
    words = re.findall(r"[a-z]+", name.casefold())
    return words[-1] if words and words[-1] in ROLES else None


def read_photo(
    path: Path, max_bytes: int, *, max_pixels: int | None = None, keep_metadata: bool = False
) -> tuple[bytes, str]:
    """The bytes of a photo that decodes, as they are to be stored, and their format ("jpeg"). Blocking.

    A folder of a shop holds anything under any name. What the engine is going to refuse is refused here, before it is
    stored: of a refused upload no photo is left behind.

    Raises:
        Poison: the file cannot be read, is larger than `max_bytes` or `max_pixels`, or holds no whole image.
    """
    data = read_regular(path, max_bytes, field="image")
    kind = sniff(data)
    limits = DecodeLimits(max_bytes=max_bytes)
    decode(data, limits if max_pixels is None else replace(limits, max_pixels=max_pixels), max_side=CHECK_SIDE)
    return data if keep_metadata else image_parts.clean(data), str(kind)


def _check(upload: Upload) -> None:
    """What `enrich` would refuse is refused here, before a record that no broker takes ends the whole ingest."""
    try:
        key = upload.product_id.encode()
    except UnicodeEncodeError:
        raise Poison("is not valid Unicode", field="product_id", code=Code.MALFORMED) from None
    value = msgspec.json.encode(upload)
    checked = decode_upload(Message(topics.UPLOADS, 0, 0, key, value))
    if checked is not None:
        metadata_of(checked)
    if len(value) + len(key) > MAX_RECORD_BYTES - _ADDRESS_BYTES:
        raise Poison(f"is larger than {MAX_RECORD_BYTES} bytes in all", field="metadata", code=Code.OUT_OF_RANGE)


@dataclass(slots=True)
class Ingest:
    """One ingest under way: what was sent and not yet answered, and what came of the rest."""

    client: Client
    store: ObjectStore
    settings: Settings
    on_sent: Callable[[Upload], None] = lambda _: None
    on_outcome: Callable[[Outcome], None] = lambda _: None
    outcomes: list[Outcome] = field(default_factory=list)
    waiting: dict[str, Sent] = field(default_factory=dict)
    answer: bool = False
    """Whether a caption is to come of each upload, also where it stands already."""
    shop: str = ""
    """Whose products they are."""
    urgent: bool = False
    """Whether they are done before their turn."""

    async def send(self, photos: Iterable[Photo]) -> None:
        """Send every photo; a photo refused on this side is an outcome already."""
        batch: list[Upload] = []
        for photo in photos:
            try:
                limit, pixels = self.settings.max_image_bytes, self.settings.max_image_pixels
                keep = self.settings.keep_photo_metadata
                sending = asyncio.to_thread(announce, photo, self.store, limit, max_pixels=pixels, keep_metadata=keep)
                batch.append(self._marked(await sending))
            except Poison as error:
                self._settle(RefusedProduct(photo.product_id, "ingest", str(error)))
            if len(batch) >= BATCH:
                await self._flush(batch)
                batch = []
        await self._flush(batch)

    def _marked(self, upload: Upload) -> Upload:
        priority = "high" if self.urgent else "normal"
        return msgspec.structs.replace(upload, shop=self.shop or None, priority=priority)

    async def send_and_wait(self, photos: Iterable[Photo], timeout_s: float) -> list[Outcome]:
        """Send every photo and wait for one outcome each.

        Raises:
            TimeoutError: not all outcomes came in time; `waiting` names those that did not.
        """
        self.answer = True
        async with (
            Reader(self.settings, topics.CAPTIONS, from_end=True) as captions,
            Reader(self.settings, topics.DEAD_LETTERS, from_end=True) as dead,
            asyncio.timeout(timeout_s),
        ):
            arrived: asyncio.Queue[Message] = asyncio.Queue(maxsize=1000)
            async with asyncio.TaskGroup() as group:
                tails = [group.create_task(_pump(reader, arrived)) for reader in (captions, dead)]
                await self.send(photos)
                while self.waiting:
                    outcome = self._outcome(await arrived.get())
                    if outcome is not None:
                        del self.waiting[key_of(self.shop, outcome.product_id)]
                        self._settle(outcome)
                for tail in tails:
                    tail.cancel()
        return self.outcomes

    async def _flush(self, batch: Sequence[Upload]) -> None:
        for upload, sent in zip(batch, await self.client.upload(batch, answer=self.answer), strict=True):
            self.waiting[sent.product] = sent
            self.on_sent(upload)

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.on_outcome(outcome)

    def _outcome(self, raw: Message) -> Outcome | None:
        """What a record says of a product we wait for; None when it is about another, or about an older upload."""
        product = (raw.key or b"").decode("utf-8", "replace")
        sent = self.waiting.get(product)
        if sent is None:
            return None
        if raw.topic == topics.CAPTIONS:
            caption = caption_in(raw)
            if caption is None or key_of(caption.shop, caption.product_id) != product:
                return None
            # Of a product that came as it was before, the caption names the upload that it was made for.
            newer = caption.lineage.source.offset >= sent.offset or origin_ms(raw) >= sent.timestamp_ms
            return caption if newer else None
        failed = _header(raw, "__connect.errors.topic")
        if failed == topics.UPLOADS:
            offset = _header(raw, "__connect.errors.offset")
            if not is_number(offset) or int(offset) < sent.offset:
                return None
        elif failed != topics.ITEMS:
            return None  # not a letter of ours, whoever wrote it
        stage, cause = _header(raw, "__connect.errors.stage"), _header(raw, "__connect.errors.exception.message")
        return RefusedProduct(split(product)[1], stage, cause)


def _header(message: Message, name: str) -> str:
    return (message.header(name) or b"").decode("utf-8", "replace")


async def _pump(reader: Reader, arrived: asyncio.Queue[Message]) -> None:
    async for raw in reader.follow():
        await arrived.put(raw)
