"""`enrich`: an upload becomes an item. Read it from top to bottom:

read (fetch the photo, or recall what is known of it) → decode → keep (in our store) → detect → describe (crops, colours) → embed → item
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec
import structlog

from infra.fetch import Fetcher
from infra.host_answers import NO_VALIDATORS, Validators
from infra.store import ObjectStore
from infra.threads import InThread
from models.ports import Detector, ImageEncoder, Raw, Ready
from processors import crops, decode, evidence, facets, image_parts, merchant, second_look
from processors.colour_shares import colour_shares
from processors.colours import dominant_colours
from processors.errors import Code, Poison
from processors.facets import Head, Heads
from processors.garment_mask import garment_pixels
from processors.garments import main_garment
from processors.identity import key_of
from processors.values import Box, Detection, Garment, Metadata, Pixels, Vector
from streams.contract import codecs
from streams.contract.records import Conflict, Item, Source, Upload, View
from streams.contract.version import VERSION
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.kafka.key_order import Here, PassOn, Place, Superseded, Verdict
from streams.kafka.positions import LETTER, POSITION
from streams.roles import reserve
from streams.roles.memo import Memo, content_hash
from streams.roles.outcome import Deleted, NoEffect, PassedOn, Unchanged, deleted_upload
from streams.roles.remote import Kept, RemotePhotos
from streams.search import query_photos

log = structlog.get_logger("weft.enrich")

SERVING_SIDE = 1024
"""Longest side, in pixels, that is kept of a photo: enough for every model, and it bounds the memory of a batch."""
WHOLE = "whole"
RULES = "5"
"""Raise it when the rules beside the models change what is seen (colours, crops, limits): memos of old rules are not used."""


Enriched: TypeAlias = Item | Unchanged | Deleted | PassedOn | NoEffect


async def _anywhere(_message: Message) -> None:
    """Every place is good."""


def _no_heads() -> Heads | None:
    return None


def _unheard(_facet: str) -> None:
    """Tell nobody."""


async def _here(_message: Message, _product: bytes) -> Verdict:
    return Here()


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an upload but its pixels: all that its item needs beside what the models say.

    `address`: where its photo lies in our store; "" until it was put there.
    """

    product_id: str
    metadata: Metadata
    source: Source
    address: str
    digest: str
    shop: str = ""

    @property
    def product(self) -> str:
        """Its key."""
        return key_of(self.shop, self.product_id)


@dataclass(frozen=True, slots=True)
class Photo:
    """An upload with the bytes of its photo; `suffix` of the key it gets ("" where it lies in our store already)."""

    about: About
    data: bytes
    suffix: str
    uri: str = ""
    validators: Validators = NO_VALIDATORS
    """Of the host of `uri`: what it is asked with when the photo comes again."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded photo, made ready for the detector; `unkept` holds its encoded bytes until they are stored."""

    about: About
    decoded: decode.Decoded
    ready: Ready
    unkept: Photo | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the detector's forward pass gave for a photo."""

    opened: Opened
    raw: Raw


@dataclass(frozen=True, slots=True)
class Described:
    """The garments with their colours, and the views to be embedded: (view id, category, ready for the encoder)."""

    opened: Opened
    garments: tuple[Garment, ...]
    views: tuple[tuple[str, str, Ready], ...]
    shares: Mapping[str, Vector]
    """Garment → what its colour word is read from; empty while no heads are live that read it."""


class PhotoContent(msgspec.Struct, frozen=True):
    """All that the models made of one photo: the memoised part of an item."""

    width: int
    height: int
    garments: tuple[Garment, ...]
    views: tuple[View, ...]
    facets: str = ""
    # Who thought it: a replay by a later version publishes the bytes of the first.
    version: str = VERSION


@dataclass(frozen=True, slots=True)
class Embedded:
    """An item but for its memo being durable."""

    about: About
    content: PhotoContent


@dataclass(frozen=True, slots=True)
class Enrich:
    """The stages of the role; everything it needs is handed in."""

    store: ObjectStore
    fetcher: Fetcher
    remote: RemotePhotos
    detector: Detector
    encoder: ImageEncoder
    memo: Memo
    limits: decode.DecodeLimits
    batch_items: int
    batch_wait_s: float
    keep_metadata: bool = False
    """Whether photos are stored with what is not their picture: place, owner, device (`WEFT_KEEP_PHOTO_METADATA`)."""
    in_thread: InThread = asyncio.to_thread
    """Runs what waits for the store."""
    check_place: Callable[[Message], Awaitable[None]] = _anywhere
    """Raises `Poison` for an upload that was put back and is older than another of its product (streams.kafka.positions)."""
    order: Place = _here
    """Whether this upload is the next of its product (streams.kafka.key_order)."""
    heads: Callable[[], Heads | None] = _no_heads
    """The facet heads that are live (streams.facets.live)."""
    judge: Head | None = None
    """Looks at each box a second time (processors.second_look); None: what the detector says holds."""
    conflicted: Callable[[str], None] = _unheard
    """Told the facet of each conflict between a shop's word and its photo."""

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        items, wait = self.batch_items, self.batch_wait_s
        return (
            IoStage("read", self.read, concurrency=16, size=lambda photo: reserve.held_by(photo.data, SERVING_SIDE)),
            CpuStage(
                "decode",
                self.decode,
                size=_size_of_opened,
                cost=lambda photo: decode.unfolded_pixels(photo.data, SERVING_SIDE),
                max_cost=self.limits.max_pixels,
            ),
            IoStage("keep", self.keep, size=_size_of_opened),
            DeviceStage("detect", self.detect, max_items=items, wait_s=wait),
            CpuStage("describe", self.describe, size=_size_of_views),
            DeviceStage(
                "embed",
                self.embed,
                max_items=items,
                max_cost=items * 4,
                cost=lambda d: len(d.views),
                wait_s=wait,
                size=_size_of_vectors,
            ),
            IoStage("remember", self.remember),
        )

    async def read(self, message: Message) -> Photo | Done[Enriched]:
        """Decode the record and get the photo's bytes; a photo that was seen before needs no model."""
        await self.check_place(message)
        upload = codecs.decode_upload(message)
        found = deleted_upload(message) if upload is None else upload
        elsewhere = await self._elsewhere(message, key_of(found.shop or "", found.product_id))
        if elsewhere is not None:
            return Done(elsewhere)
        if isinstance(found, Deleted):
            return Done(found)
        upload = found
        source = Source(*message.first_source)
        metadata = codecs.metadata_of(upload)
        about = About(upload.product_id, metadata, source, "", "", upload.shop or "")
        photo = await self._photo(upload, about)
        if isinstance(photo, Photo):
            known = await self.memo.recall(_memo_key(photo.about.digest, self._live()), PhotoContent)
            return photo if known is None else Done(await self._first(await self._kept(photo), known))
        about = replace(about, address=self.store.address(photo.key), digest=photo.digest)
        known = await self.memo.recall(_memo_key(photo.digest, self._live()), PhotoContent)
        return (
            Photo(about, await self.remote.load(photo), "") if known is None else Done(await self._first(about, known))
        )

    async def _elsewhere(self, message: Message, product: str) -> PassedOn | NoEffect | None:
        """What becomes of an upload that is not the next of its product; None for one that is."""
        verdict = await self.order(message, product.encode())
        match verdict:
            case PassOn(partition, key):
                return PassedOn(partition, key)
            case Superseded(offset):
                log.info("upload.superseded", product=product, by=offset, offset=message.offset)
                if message.header(LETTER) is not None:
                    # Somebody put it back and waits for it: it does not go in silence.
                    raise Poison(
                        f"superseded: the same product came again at offset {offset}",
                        field=POSITION,
                        code=Code.SUPERSEDED,
                    )
                return NoEffect()
        return None

    async def _photo(self, upload: Upload, about: About) -> Photo | Kept:
        """The bytes as they are stored, with what is known of them; or, where its host says that it is unchanged, where it lies."""
        uri, data, validators = upload.image.uri, upload.image.bytes or b"", NO_VALIDATORS
        if upload.image.bytes is None and uri is None:
            raise Poison("an upload needs uri or bytes", field="image", code=Code.MISSING_FIELD)
        key = None
        if upload.image.bytes is None and uri is not None:
            key = self.store.key_of(uri)
            if key is None:
                answer = await self.remote.get(uri)
                if isinstance(answer, Kept):
                    return answer
                data, validators = answer.data, answer.validators
            else:
                data = await self.fetcher.fetch(uri)
        # A shopper's photo is gone in some hours: a product keeps its own.
        if key and not key.startswith(query_photos.PREFIX) and await asyncio.to_thread(self._is_clean, data):
            address, suffix = self.store.address(key), ""
        else:
            data, kind = await asyncio.to_thread(self._checked, data)
            address, suffix = "", f".{kind}"
        about = replace(about, address=address, digest=hashlib.sha256(data).hexdigest())
        return Photo(about, data, suffix, uri or "", validators)

    def _is_clean(self, data: bytes) -> bool:
        """Whether a photo in our store may stay there as it is, or has to lose something first."""
        return self.keep_metadata or not _tells_more(data)

    async def _kept(self, photo: Photo) -> About:
        """Put a photo of elsewhere into our store, under the hash of the bytes that are stored, so that every delivery gives
        the same address: the one outside may be gone tomorrow.
        """
        if not photo.suffix:
            return photo.about
        key = await self.in_thread(self.store.put_content, photo.data, suffix=photo.suffix, prefix="images")
        await self.remote.remember(photo.uri, key, photo.about.digest, photo.validators)
        return replace(photo.about, address=self.store.address(key))

    def _checked(self, data: bytes) -> tuple[bytes, str]:
        """The bytes to store, and their format. Only what looks like an image is decoded."""
        header = decode.check_header(data, self.limits)
        return data if self.keep_metadata else image_parts.clean(data), header.format

    def decode(self, photo: Photo) -> Opened:
        """Hostile bytes → pixels, within the limits."""
        decoded = decode.decode(photo.data, self.limits, max_side=SERVING_SIDE)
        return Opened(photo.about, decoded, self.detector.prepare(decoded.pixels), photo if photo.suffix else None)

    async def keep(self, opened: Opened) -> Opened:
        """Only a photo whose pixels are there goes into the store: a refused upload leaves nothing behind."""
        if opened.unkept is None:
            return opened
        return replace(opened, about=await self._kept(opened.unkept), unkept=None)

    def detect(self, batch: Sequence[Opened]) -> list[Seen]:
        raws = self.detector.forward([opened.ready for opened in batch])
        return [Seen(opened, raw) for opened, raw in zip(batch, raws, strict=True)]

    def describe(self, seen: Seen) -> Described:
        """Name the colours of each garment on its own pixels, and cut the views: the whole photo and each garment."""
        pixels, scale = seen.opened.decoded.pixels, seen.opened.decoded.scale
        found = crops.worth_keeping(self.detector.finish(pixels, seen.raw), pixels.shape)
        # Named once, here: the ids of the views are those that the captions' evidence points to.
        garments = evidence.build(_garment(one, found, pixels, scale) for one in found).garments
        if not garments and self.judge is not None:
            untold = Detection(second_look.UNTOLD, second_look.subject_box(pixels), 0.0)
            garments = evidence.build([_garment(untold, (), pixels, scale)]).garments
        views = [(WHOLE, garments[0].category if garments else "", self.encoder.prepare(pixels))]
        for garment in garments:
            crop = crops.cut(pixels, _scaled(garment.box, scale))
            views.append((garment.id, garment.category, self.encoder.prepare(crop)))
        return Described(seen.opened, garments, tuple(views), self._shares(garments, pixels, scale))

    def _shares(self, garments: Sequence[Garment], pixels: Pixels, scale: float) -> dict[str, Vector]:
        heads = self.heads()
        if heads is None or facets.COLOUR not in heads.heads:
            return {}
        boxes = {garment.id: _scaled(garment.box, scale) for garment in garments}
        found: dict[str, Vector] = {}
        for garment in garments:
            others = [box for name, box in boxes.items() if name != garment.id]
            own = garment_pixels(pixels, boxes[garment.id], garment.category, others)
            if own is not None:
                found[garment.id] = colour_shares(own)
        return found

    def embed(self, batch: Sequence[Described]) -> list[Embedded]:
        """One pass over all views of all photos; the vectors are dealt back to their photos."""
        readies = [ready for described in batch for _, _, ready in described.views]
        raws = iter(self.encoder.forward(readies))
        return [self._embedded(described, [next(raws) for _ in described.views]) for described in batch]

    def _embedded(self, described: Described, raws: Sequence[Raw]) -> Embedded:
        decoded = described.opened.decoded
        described, raws = self._settled(described, raws)
        vectors = [self.encoder.finish(decoded.pixels, raw) for raw in raws]
        heads = self.heads()
        garments = described.garments if heads is None else self._faceted(described, raws, heads)
        # A kind may have said that a garment is of another category than its box was found as.
        category_of = {WHOLE: garments[0].category if garments else "", **{one.id: one.category for one in garments}}
        views = tuple(
            View(view_id, category_of[view_id], vector.astype("<f4").tobytes())
            for (view_id, _, _), vector in zip(described.views, vectors, strict=True)
        )
        content = PhotoContent(decoded.width, decoded.height, garments, views, "" if heads is None else heads.version)
        return Embedded(described.opened.about, content)

    def _settled(self, described: Described, raws: Sequence[Raw]) -> tuple[Described, Sequence[Raw]]:
        """What is left of the garments after the second look, with the views and the raw results that belong to them."""
        if self.judge is None:
            return described, raws
        ready = {name: (one, raw) for (name, _, one), raw in zip(described.views, raws, strict=True)}
        seen = {name: self.encoder.features(raw) for name, (_, raw) in ready.items()}
        stay = second_look.settle(described.garments, seen[WHOLE], seen, self.judge)
        kept = [(WHOLE, stay[0].garment.category if stay else "", WHOLE)]
        kept += [(one.garment.id, one.garment.category, one.view) for one in stay]
        settled = replace(
            described,
            garments=tuple(one.garment for one in stay),
            views=tuple((name, category, ready[view][0]) for name, category, view in kept),
            shares={one.garment.id: described.shares[one.view] for one in stay if one.view in described.shares},
        )
        return settled, [ready[view][1] for _, _, view in kept]

    def _faceted(self, described: Described, raws: Sequence[Raw], heads: Heads) -> tuple[Garment, ...]:
        """The garments with what the heads read from the pass that gave their vectors."""
        if heads.maker != self.encoder.features_maker:
            return described.garments
        seen = {name: self.encoder.features(raw) for (name, _, _), raw in zip(described.views, raws, strict=True)}
        main = main_garment(described.garments)
        found = []
        for garment in described.garments:
            features = facets.of_garment(seen[garment.id], seen[WHOLE], main=garment is main)
            read = heads.read(features, described.shares.get(garment.id), garment.category)
            category = facets.category_of(garment.category, read)
            attributes = {**garment.attributes, **read}
            found.append(msgspec.structs.replace(garment, category=category, attributes=attributes))
        return tuple(found)

    def _live(self) -> str:
        heads = self.heads()
        return "" if heads is None else heads.version

    async def remember(self, embedded: Embedded) -> Enriched:
        """Keep what the models said, so that a re-delivery publishes the same bytes; the first writer wins."""
        key = _memo_key(embedded.about.digest, embedded.content.facets)
        content = await self.memo.keep(key, embedded.content, PhotoContent)
        return await self._first(embedded.about, content)

    async def _first(self, about: About, content: PhotoContent) -> Item | Unchanged:
        """The item; where the same product came with the same photo and the same words before, that one, with its source.

        Other heads see other facets: under another version it is another item.
        """
        said = msgspec.msgpack.encode([about.product, about.address, about.digest, about.metadata])
        digest = _memo_key(hashlib.sha256(said).hexdigest(), content.facets)
        kept = await self.memo.keep(f"item-{digest}", about.source, Source)
        # Two equal uploads are worked on beside each other: where the younger was remembered first, the older names itself.
        source = kept.or_earlier(about.source)
        item = self._item(replace(about, source=source), content)
        return item if source == about.source else Unchanged(item)

    async def known(self, digest: str) -> PhotoContent | None:
        """What is remembered of the photo of this hash, under the facet heads that are live."""
        return await self.memo.recall(_memo_key(digest, self._live()), PhotoContent)

    async def thought(self, embedded: Embedded) -> Item:
        """The item of a product that was thought about, as it is remembered: whose source stands already (`streams.roles.rethink`)."""
        key = _memo_key(embedded.about.digest, embedded.content.facets)
        return self.item(embedded.about, await self.memo.keep(key, embedded.content, PhotoContent))

    def item(self, about: About, content: PhotoContent) -> Item:
        """The record of a product of whose photo this is known."""
        return self._item(about, content)

    def _item(self, about: About, content: PhotoContent) -> Item:
        conflicts = merchant.conflicts(content.garments, about.metadata)
        for conflict in conflicts:
            self.conflicted(conflict.facet)
        return Item(
            product_id=about.product_id,
            image=about.address,
            width=content.width,
            height=content.height,
            garments=content.garments,
            views=content.views,
            metadata=about.metadata,
            encoder=self.encoder.fingerprint,
            dimension=self.encoder.dimension,
            detector=self.detector.fingerprint,
            source=about.source,
            version=content.version,
            facets=content.facets,
            conflicts=tuple(Conflict(c.garment, c.facet, c.merchant, c.pixels, c.confidence) for c in conflicts),
            shop=about.shop,
        )


def _memo_key(digest: str, version: str) -> str:
    """What is known of a photo under one version of facet heads; other heads say other things of it."""
    return content_hash(digest.encode(), version.encode()) if version else digest


def _scaled(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)


def _tells_more(data: bytes) -> bool:
    """Whether a photo holds more than its picture; what is no photo does not, and is refused where it is decoded."""
    try:
        return image_parts.clean(data) != data
    except Poison:
        return False


def _size_of_opened(opened: Opened) -> int:
    unkept = 0 if opened.unkept is None else len(opened.unkept.data)
    return opened.decoded.pixels.nbytes + reserve.SHOWN_BYTES + unkept


def _size_of_views(described: Described) -> int:
    return described.opened.decoded.pixels.nbytes + sum(reserve.nbytes(ready) for _, _, ready in described.views)


def _size_of_vectors(embedded: Embedded) -> int:
    return sum(len(view.vector) for view in embedded.content.views)


def _garment(one: Detection, found: Sequence[Detection], pixels: Pixels, scale: float) -> Garment:
    """A garment with its colours; its box in pixels of the original photo. `evidence.build` gives it its id."""
    x0, y0, x1, y1 = one.box
    others = [other.box for other in found if other is not one]
    return Garment(
        id="",
        category=one.category,
        box=(round(x0 / scale, 1), round(y0 / scale, 1), round(x1 / scale, 1), round(y1 / scale, 1)),
        confidence=round(one.confidence, 4),
        colours=dominant_colours(pixels, one.box, one.category, others),
    )


def memo_fingerprint(detector: Detector, encoder: ImageEncoder, judge: str = "") -> str:
    """A changed model, or changed rules, think again. `judge`: the version of what looks a second time, or ""."""
    made = " ".join(part for part in (detector.fingerprint, encoder.fingerprint, RULES, judge) if part)
    return "sha256:" + hashlib.sha256(made.encode()).hexdigest()
