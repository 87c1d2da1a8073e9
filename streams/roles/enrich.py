"""`enrich`: an upload becomes an item. Read it from top to bottom:

read (fetch the photos, or recall what is known of them) → decode → keep (in our store) → detect → describe (crops, colours) →
embed → remember; what is known of the product is joined with it where it is published (streams.roles.taking_in)
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec
import structlog

from infra.fetch import Fetcher
from infra.host_answers import NO_VALIDATORS
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from models.ports import Detector, ImageEncoder, Raw
from processors import crops, decode, evidence, facets, image_parts, second_look
from processors.colour_shares import colour_shares
from processors.colours import dominant_colours
from processors.errors import Code, Poison
from processors.facets import Head, Heads
from processors.garment_mask import garment_pixels
from processors.garments import main_garment
from processors.identity import key_of
from processors.product import Change, PhotoPlace, Product
from processors.values import Box, Detection, Garment, Pixels, Vector
from streams.contract import codecs
from streams.contract.records import Item, Source, Upload, UploadPhoto, View
from streams.contract.versions import version_of
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.kafka.key_order import Here, PassOn, Place, Superseded, Verdict
from streams.kafka.positions import LETTER, POSITION
from streams.roles import reserve
from streams.roles.items import WHOLE, Items, PhotoContent, memo_key
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted, NoEffect, PassedOn, Unchanged, deleted_upload
from streams.roles.remote import Kept, RemotePhotos
from streams.roles.taking_in import Told
from streams.roles.work import About, Described, Embedded, Known, Opened, Photo, Seen, Work
from streams.search import query_photos

log = structlog.get_logger("weft.enrich")

SERVING_SIDE = 1024
"""Longest side, in pixels, that is kept of a photo: enough for every model, and it bounds the memory of a batch."""
RULES = "6"
"""Raise it when the rules beside the models change what is seen (colours, crops, limits): memos of old rules are not used."""


Enriched: TypeAlias = Told | Deleted | PassedOn | NoEffect


async def _anywhere(_message: Message) -> None:
    """Every place is good."""


def _no_heads() -> Heads | None:
    return None


def _unheard(_facet: str) -> None:
    """Tell nobody."""


async def _here(_message: Message, _product: bytes) -> Verdict:
    return Here()


async def _unknown(_product_id: str) -> Product:
    return Product()


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
    product: Callable[[str], Awaitable[Product]] = _unknown
    """What is known of a product, for uploads that say a part of it (streams.roles.products)."""

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        items, wait = self.batch_items, self.batch_wait_s
        return (
            IoStage("read", self.read, concurrency=16, size=_size_of_photos),
            CpuStage(
                "decode",
                self.decode,
                size=_size_of_opened,
                cost=_pixels_of_photos,
                max_cost=self.limits.max_pixels,
            ),
            IoStage("keep", self.keep, size=_size_of_opened),
            DeviceStage(
                "detect", self.detect, max_items=items, max_cost=items, cost=lambda work: len(work.new()), wait_s=wait
            ),
            CpuStage("describe", self.describe, size=_size_of_views),
            DeviceStage(
                "embed",
                self.embed,
                max_items=items,
                max_cost=items * 4,
                cost=lambda work: sum(len(photo.views) for photo in work.new()),
                wait_s=wait,
                size=_size_of_vectors,
            ),
            IoStage("remember", self.remember),
        )

    async def read(self, message: Message) -> Work[Photo] | Done[Enriched]:
        """Decode the record and get the photos' bytes; a photo that was seen before needs no model."""
        upload = codecs.decode_upload(message)
        if upload is None or upload.version is None:
            await self.check_place(message)
        found = deleted_upload(message) if upload is None else upload
        elsewhere = await self._elsewhere(message, found)
        if elsewhere is not None:
            return Done(elsewhere)
        if isinstance(found, Deleted):
            return Done(found)
        codecs.metadata_of(found)  # what is wrong with it is told before anything is fetched
        pictured = found.image is not None or found.images is not None
        about = About(
            found.product_id,
            codecs.fields_of(found),
            version_of(found.version),
            pictured,
            found.metadata is None,
            Source(*message.first_source),
            found.shop or "",
        )
        photos = await (self._given(found) if pictured else self._standing(about.product))
        work: Work[Photo] = Work(about, tuple(photos))
        if any(isinstance(photo, Photo) for photo in photos):
            return work
        return Done(await self._told(about, [photo for photo in photos if isinstance(photo, Known)]))

    async def _elsewhere(self, message: Message, found: Upload | Deleted) -> PassedOn | NoEffect | None:
        """What becomes of an upload that is not the next of its product; None for one that is, or may still count."""
        product = key_of(found.shop or "", found.product_id)
        verdict = await self.order(message, product.encode())
        match verdict:
            case PassOn(partition, key):
                return PassedOn(partition, key)
            case Superseded(offset):
                versioned = isinstance(found, Upload) and found.version is not None
                if message.header(LETTER) is not None and not versioned:
                    # Somebody put it back and waits for it: it does not go in silence.
                    raise Poison(
                        f"superseded: the same product came again at offset {offset}",
                        field=POSITION,
                        code=Code.SUPERSEDED,
                    )
                if versioned or (await self.product(product)).touched is not None:
                    return None  # what the younger one left as it was may be this one's
                log.info("upload.superseded", product=product, by=offset, offset=message.offset)
                return NoEffect()
        return None

    async def _given(self, upload: Upload) -> list[Photo | Known]:
        """The photos of an upload, each once."""
        found: dict[str, Photo | Known] = {}
        for field, given in codecs.photos_of(upload):
            with _of_field(field):
                photo = await self._photo(given, field)
            if photo.place.digest not in found:
                found[photo.place.digest] = photo
        return list(found.values())

    async def _standing(self, product: str) -> list[Photo | Known]:
        """The photos that the product has, for an upload that gives none."""
        found: list[Photo | Known] = []
        for place in (await self.product(product)).photos:
            content = await self._recall(place)
            found.append(Photo(place, await self._load(place), "") if content is None else Known(place, content))
        return found

    async def _load(self, place: PhotoPlace) -> bytes:
        key = self.store.key_of(place.address) or place.address
        try:
            return await self.in_thread(self.store.get, key)
        except NotFound:
            raise Poison(
                f"the photo {place.address} of the product is not in the store any more: send it again",
                field="image",
                code=Code.NOT_FOUND,
            ) from None

    async def _recall(self, place: PhotoPlace) -> PhotoContent | None:
        return await self.known(place.digest)

    async def _photo(self, given: UploadPhoto, field: str) -> Photo | Known:
        """A photo as it is stored, or what is known of it; where its host says that it is unchanged, it is not loaded."""
        got = await self._bytes_or_place(given, field)
        if isinstance(got, Kept):
            place = PhotoPlace(self.store.address(got.key), got.digest, given.role or "")
            content = await self._recall(place)
            if content is not None:
                return Known(place, content)
            return Photo(place, await self.remote.load(got), "", field=field)
        content = await self._recall(got.place)
        return got if content is None else Known(await self._kept(got), content)

    async def _bytes_or_place(self, given: UploadPhoto, field: str) -> Photo | Kept:
        uri, data, validators = given.uri, given.bytes or b"", NO_VALIDATORS
        if given.bytes is None and uri is None:
            raise Poison("a photo needs uri or bytes", field=field, code=Code.MISSING_FIELD)
        key = None
        if given.bytes is None and uri is not None:
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
        place = PhotoPlace(address, hashlib.sha256(data).hexdigest(), given.role or "")
        return Photo(place, data, suffix, uri or "", validators, field)

    def _is_clean(self, data: bytes) -> bool:
        """Whether a photo in our store may stay there as it is, or has to lose something first."""
        return self.keep_metadata or not _tells_more(data)

    async def _kept(self, photo: Photo) -> PhotoPlace:
        """Put a photo of elsewhere into our store, under the hash of the bytes that are stored, so that every delivery gives
        the same address: the one outside may be gone tomorrow.
        """
        if not photo.suffix:
            return photo.place
        key = await self.in_thread(self.store.put_content, photo.data, suffix=photo.suffix, prefix="images")
        await self.remote.remember(photo.uri, key, photo.place.digest, photo.validators)
        return msgspec.structs.replace(photo.place, address=self.store.address(key))

    def _checked(self, data: bytes) -> tuple[bytes, str]:
        """The bytes to store, and their format. Only what looks like an image is decoded."""
        header = decode.check_header(data, self.limits)
        return data if self.keep_metadata else image_parts.clean(data), header.format

    def decode(self, work: Work[Photo]) -> Work[Opened]:
        """Hostile bytes → pixels, within the limits."""
        return work.with_new([self._opened(photo) for photo in work.new()])

    def _opened(self, photo: Photo) -> Opened:
        with _of_field(photo.field):
            decoded = decode.decode(photo.data, self.limits, max_side=SERVING_SIDE)
        return Opened(photo.place, decoded, self.detector.prepare(decoded.pixels), photo if photo.suffix else None)

    async def keep(self, work: Work[Opened]) -> Work[Opened]:
        """Only photos whose pixels are there go into the store, all of them: a refused upload leaves nothing behind."""
        return work.with_new(
            [
                opened if opened.unkept is None else replace(opened, place=await self._kept(opened.unkept), unkept=None)
                for opened in work.new()
            ]
        )

    def detect(self, batch: Sequence[Work[Opened]]) -> list[Work[Seen]]:
        """One pass over all photos of all uploads."""
        raws = iter(self.detector.forward([opened.ready for work in batch for opened in work.new()]))
        return [work.with_new([Seen(opened, next(raws)) for opened in work.new()]) for work in batch]

    def describe(self, work: Work[Seen]) -> Work[Described]:
        """Name the colours of each garment on its own pixels, and cut the views: the whole photo and each garment."""
        return work.with_new([self._described(seen) for seen in work.new()])

    def _described(self, seen: Seen) -> Described:
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

    def embed(self, batch: Sequence[Work[Described]]) -> list[Work[Embedded]]:
        """One pass over all views of all photos; the vectors are dealt back to their photos."""
        readies = [ready for work in batch for described in work.new() for _, _, ready in described.views]
        raws = iter(self.encoder.forward(readies))
        return [
            work.with_new(
                [self._embedded(described, [next(raws) for _ in described.views]) for described in work.new()]
            )
            for work in batch
        ]

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
        return Embedded(described.opened.place, content)

    def _settled(self, described: Described, raws: Sequence[Raw]) -> tuple[Described, Sequence[Raw]]:
        """What is left of the garments after the second look, with the views and the raw results that belong to them."""
        if self.judge is None:
            return described, raws
        ready = {name: (one, raw) for (name, _, one), raw in zip(described.views, raws, strict=True)}
        seen = {name: self.encoder.features(raw) for name, (_, raw) in ready.items()}
        height = described.opened.decoded.height
        stay = second_look.settle(described.garments, seen[WHOLE], seen, self.judge, bottom=height)
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

    def live(self) -> str:
        """The version of facet heads that is live; "" for none."""
        heads = self.heads()
        return "" if heads is None else heads.version

    async def remember(self, work: Work[Embedded]) -> Enriched:
        """Keep what the models said, so that a re-delivery publishes the same bytes; the first writer wins."""
        return await self._told(work.about, await self.thought(work.photos))

    async def _told(self, about: About, photos: Sequence[Known]) -> Told:
        """What the upload says; where that is all there is to say, with the item that it makes by itself."""
        places = tuple(photo.place for photo in photos)
        contents = {photo.place.digest: photo.content for photo in photos}
        change = Change(about.metadata, places if about.pictured else None, about.version, about.partial)
        item = None
        if about.pictured:
            metadata = codecs.metadata_of(Upload(about.product_id, metadata=about.metadata))
            item = await self.items.made(about.product, metadata, places, contents, about.source)
        return Told(about.product, change, contents, about.source, item)

    async def stands(self, told: Told) -> Item | Unchanged | NoEffect:
        """The item of the product that an upload is of, as it is known now: for uploads that are thought again."""
        product = await self.product(told.product)
        contents = dict(told.contents)
        for place in product.photos:
            content = contents.get(place.digest) or await self._recall(place)
            if content is not None:
                contents[place.digest] = content
        if product.touched is None or any(place.digest not in contents for place in product.photos):
            return told.item or NoEffect()
        metadata = codecs.metadata_of(Upload(told.product, metadata=product.metadata))
        return self.items.item(told.product, metadata, product.photos, contents, told.source)

    async def known(self, digest: str) -> PhotoContent | None:
        """What is remembered of the photo of this hash, under the facet heads that are live."""
        return await self.memo.recall(memo_key(digest, self.live()), PhotoContent)

    async def thought(self, photos: Sequence[Embedded | Known]) -> list[Known]:
        """The photos, as what was thought of them is remembered."""
        found = []
        for photo in photos:
            content = photo.content
            if isinstance(photo, Embedded):
                key = memo_key(photo.place.digest, photo.content.facets)
                content = await self.memo.keep(key, photo.content, PhotoContent)
            found.append(Known(photo.place, content))
        return found

    @property
    def items(self) -> Items:
        """Makes items of what the models said."""
        return Items(self.memo, self.detector, self.encoder, self.conflicted)


@contextmanager
def _of_field(field: str) -> Iterator[None]:
    """What is wrong with a photo is told of the field that gave it: "images[2].uri"."""
    try:
        yield
    except Poison as error:
        inner = error.field.partition(".")[2] if error.field.partition(".")[0] == "image" else error.field
        named = error.field if field == "image" else f"{field}.{inner}" if inner else field
        raise Poison(error.message, field=named, code=error.code) from error


def _scaled(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)


def _tells_more(data: bytes) -> bool:
    """Whether a photo holds more than its picture; what is no photo does not, and is refused where it is decoded."""
    try:
        return image_parts.clean(data) != data
    except Poison:
        return False


def _size_of_photos(work: Work[Photo]) -> int:
    return sum(reserve.held_by(photo.data, SERVING_SIDE) for photo in work.new())


def _pixels_of_photos(work: Work[Photo]) -> int:
    return max((decode.unfolded_pixels(photo.data, SERVING_SIDE) for photo in work.new()), default=1)


def _size_of_opened(work: Work[Opened]) -> int:
    def size(opened: Opened) -> int:
        unkept = 0 if opened.unkept is None else len(opened.unkept.data)
        return opened.decoded.pixels.nbytes + reserve.SHOWN_BYTES + unkept

    return sum(map(size, work.new()))


def _size_of_views(work: Work[Described]) -> int:
    return sum(
        described.opened.decoded.pixels.nbytes + sum(reserve.nbytes(ready) for _, _, ready in described.views)
        for described in work.new()
    )


def _size_of_vectors(work: Work[Embedded]) -> int:
    return sum(len(view.vector) for photo in work.photos for view in photo.content.views)


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
