"""`enrich`: an upload becomes an item. Read it from top to bottom:

read (fetch the photos, or recall what is known of them) → decode → keep (in our store) → detect → describe (crops, colours) →
embed → remember; what is known of the product is joined with it where it is published (streams.roles.taking_in)
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from infra.fetch import Fetcher
from infra.logs import logger
from infra.store import ObjectStore
from infra.threads import InThread
from models.ports import Detector, ImageEncoder
from processors import decode
from processors.errors import Code, Poison
from processors.facets import Head, Heads
from processors.identity import key_of
from processors.product import Change, PhotoPlace, Product, says_otherwise
from streams.contract import codecs
from streams.contract.metadata import check_metadata, metadata_of
from streams.contract.part_of_columns import part_of_columns
from streams.contract.records import Item, Upload
from streams.contract.versions import stamp_of
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.kafka.key_order import Here, PassOn, Place, Superseded
from streams.kafka.positions import LETTER, POSITION
from streams.roles.arrived import Part, Simple, done_of, loud_of
from streams.roles.by_itself import anywhere, here, is_waited_for, no_heads, none, unheard, unknown
from streams.roles.given import GivenPhotos, of_field
from streams.roles.items import Items, PhotoContent, memo_key
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted, NoEffect, PassedOn, deleted_upload
from streams.roles.product_states import Kept
from streams.roles.remote import RemotePhotos
from streams.roles.seeing import (
    SERVING_SIDE,
    Seeing,
    pixels_of_photos,
    size_of_opened,
    size_of_photos,
    size_of_vectors,
    size_of_views,
)
from streams.roles.told import Told, ToldColumns
from streams.roles.work import About, Described, Embedded, Known, Opened, Photo, Seen, Stored, Work

log = logger("weft.enrich")

RULES = "10"
"""Raise it when the rules beside the models change what is seen (colours, crops, limits): memos of old rules are not used."""


Enriched: TypeAlias = Told | ToldColumns | Deleted | PassedOn | NoEffect


_HERE = Here()
AT_A_TIME = 256
"""Uploads that are looked at before others have their turn on the event loop: some milliseconds."""


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
    check_place: Callable[[Message], Awaitable[None]] = anywhere
    """Raises `Poison` for an upload that was put back and is older than another of its product (streams.kafka.positions)."""
    order: Place = here
    """Whether this upload is the next of its product (streams.kafka.key_order)."""
    heads: Callable[[], Heads | None] = no_heads
    """The facet heads that are live (streams.facets.live)."""
    profile: str = ""
    """Whose models it runs, for lineage; "" for the starter's."""
    judge: Head | None = None
    """Looks at each box a second time (processors.second_look); None: what the detector says holds."""
    conflicted: Callable[[str], None] = unheard
    """Told the facet of each conflict between a shop's word and its photo."""
    kept: Callable[[str], Awaitable[Kept]] = unknown
    """What is known of a product whose upload is on its way (streams.roles.products)."""
    kept_all: Callable[[Iterable[str]], Awaitable[Mapping[str, Kept]]] | None = None
    """The same of many at once; None: each upload is read by itself."""
    earlier: Callable[[str], Awaitable[Kept | None]] = none
    """What is known of one that has no state, and of which a part comes (streams.roles.earlier)."""
    wanted: Callable[[Message], bool] = is_waited_for
    """Whether an item is to come of an upload even where it stands."""

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        items, wait = self.batch_items, self.batch_wait_s
        return (
            IoStage(
                "read",
                self.read,
                concurrency=16,
                size=size_of_photos,
                run_all=None if self.kept_all is None else self.read_all,
            ),
            CpuStage(
                "decode",
                self.decode,
                size=size_of_opened,
                cost=pixels_of_photos,
                max_cost=self.limits.max_pixels,
            ),
            IoStage("keep", self.keep, size=size_of_opened),
            DeviceStage(
                "detect", self.detect, max_items=items, max_cost=items, cost=lambda work: len(work.new()), wait_s=wait
            ),
            CpuStage("describe", self.describe, size=size_of_views),
            DeviceStage(
                "embed",
                self.embed,
                max_items=items,
                max_cost=items * 4,
                cost=lambda work: sum(len(photo.views) for photo in work.new()),
                wait_s=wait,
                size=size_of_vectors,
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
        metadata_of(found)  # what is wrong with it is told before anything is fetched
        about = About.of(message, found)
        kept = await self.kept(about.product)
        if kept.product == Product() and (about.partial or not about.pictured):
            kept = await self.earlier(about.product) or kept
        if about.pictured:
            given = await self.photos.of(found, kept.product)
        else:
            given = [Stored(place) for place in kept.product.photos]
        told = self._told(about, [one.place for one in given], {})
        if all(isinstance(one, Stored) for one in given) and self._changes_nothing(message, told, kept):
            return Done(told)
        photos = [await self._recalled(one) for one in given]
        if any(isinstance(photo, Photo) for photo in photos):
            return Work(about, tuple(photos))
        known = [photo for photo in photos if isinstance(photo, Known)]
        return Done(self._told(about, [one.place for one in known], _contents(known)))

    async def read_all(self, messages: Sequence[Message]) -> Sequence[Done[Enriched] | None]:
        """Uploads that arrived together, of products that are known: what they say, where no photo has to be got for it."""
        assert self.kept_all is not None  # asked for only then
        parts, found = await self._in_order(messages)
        kept = await self.kept_all({*(one.product for one in parts), *(one.product for one in found)})
        for one in found:
            self._say(one, kept[one.product])
        loud = loud_of(parts, kept, self.items.maker(self.live()))
        digests = {p.digest for one in found if one.told and not one.quiet for p in one.places or ()}
        digests.update(place.digest for product in loud for place in kept[product].product.photos)
        live = self.live()
        keys = {digest: memo_key(digest, live) for digest in digests}
        recalled = await self.memo.recall_all(set(keys.values()), PhotoContent)
        known = {digest: recalled[key] for digest, key in keys.items() if key in recalled}
        there = await self.photos.there(place for one in found if one.about.pictured for place in one.places or ())
        done: dict[int, Done[Enriched] | None] = {one.message.offset: one.done(known, there) for one in found}
        done.update(done_of(parts, kept, loud, known))
        return [done.get(message.offset) for message in messages]

    async def _in_order(self, messages: Iterable[Message]) -> tuple[list[Part], list[Simple]]:
        """Those of which nothing is out of the ordinary, and that are the next of their products: parts of columns, and others."""
        parts: list[Part] = []
        others: list[Simple] = []
        for number, m in enumerate(messages, 1):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            if self.wanted(m):
                continue
            if (part := part_of_columns(m)) is not None:
                if await self.order(m, part[0].encode()) == _HERE:
                    parts.append(Part(m, *part))
            elif (upload := self._simple(m)) is not None:
                about = About.of(m, upload)
                if await self.order(m, about.product.encode()) == _HERE:
                    others.append(Simple(m, about, upload, about.product))
        return parts, others

    def _say(self, one: Simple, kept: Kept) -> None:
        """Work out what it says of what is known of its product."""
        if kept.product == Product() and (one.about.partial or not one.about.pictured):
            return  # what is known by its item is looked for
        pictured = one.about.pictured
        one.places = self.photos.lying(one.upload, kept.product) if pictured else kept.product.photos
        if one.places is not None:
            one.told = self._told(one.about, one.places, {})
            one.quiet = self._changes_nothing(one.message, one.told, kept)

    def _simple(self, message: Message) -> Upload | None:
        """The upload, where it is whole and nothing about it is out of the ordinary."""
        if not message.value or any(name.startswith("weft_") for name, _ in message.headers):
            return None
        try:
            upload = codecs.decode_upload(message)
            if upload is not None:
                check_metadata(upload)
        except Poison:
            return None  # `read` tells
        return upload

    def _changes_nothing(self, message: Message, told: Told, kept: Kept) -> bool:
        """Whether the product, as it is known now, is what the upload says, and its item stands: then no photo is looked at.

        It is looked at once more in the upload's turn (streams.roles.taking_in): others may be on their way before it.
        """
        change = told.change
        if change.photos is None and change.metadata is not None and says_otherwise(kept.product, change.metadata):
            return False
        if self.wanted(message) or kept.source == told.source:
            return False  # its item is published in any case
        if not (kept.product.alive and kept.digest and kept.made == self.items.maker(self.live())):
            return False
        after = kept.product.after(told.change, stamp_of(kept.product, message, told.change.version))
        return after.is_as(kept.product)

    async def _recalled(self, one: Photo | Stored) -> Photo | Known:
        """What is known of a photo, or the photo where nothing is."""
        content = await self.known(one.place.digest)
        if isinstance(one, Stored):
            return await self.photos.load(one) if content is None else Known(one.place, content)
        return one if content is None else Known(await self.photos.keep(one), content)

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
                if versioned or (await self.kept(product)).product.touched is not None:
                    return None  # what the younger one left as it was may be this one's
                log.info("upload.superseded", product=product, by=offset, offset=message.offset)
                return NoEffect()
        return None

    def decode(self, work: Work[Photo]) -> Work[Opened]:
        """Hostile bytes → pixels, within the limits."""
        return work.with_new([self._opened(photo) for photo in work.new()])

    def _opened(self, photo: Photo) -> Opened:
        with of_field(photo.field):
            decoded = decode.decode(photo.data, self.limits, max_side=SERVING_SIDE)
        return Opened(photo.place, decoded, self.detector.prepare(decoded.pixels), photo if photo.suffix else None)

    async def keep(self, work: Work[Opened]) -> Work[Opened]:
        """Only photos whose pixels are there go into the store, all of them: a refused upload leaves nothing behind."""
        return work.with_new(
            [
                opened
                if opened.unkept is None
                else replace(opened, place=await self.photos.keep(opened.unkept), unkept=None)
                for opened in work.new()
            ]
        )

    def detect(self, batch: Sequence[Work[Opened]]) -> list[Work[Seen]]:
        """One pass over all photos of all uploads."""
        raws = iter(self.detector.forward([opened.ready for work in batch for opened in work.new()]))
        return [work.with_new([Seen(opened, next(raws)) for opened in work.new()]) for work in batch]

    def describe(self, work: Work[Seen]) -> Work[Described]:
        """Name the colours of each garment on its own pixels, and cut the views: the whole photo and each garment."""
        return work.with_new([self.seeing.described(seen) for seen in work.new()])

    def embed(self, batch: Sequence[Work[Described]]) -> list[Work[Embedded]]:
        """One pass over all views of all photos; the vectors are dealt back to their photos."""
        raws = self.seeing.raws([described for work in batch for described in work.new()])
        return [
            work.with_new([self.seeing.embedded(described, next(raws)) for described in work.new()]) for work in batch
        ]

    def live(self) -> str:
        """The version of facet heads that is live; "" for none."""
        heads = self.heads()
        return "" if heads is None else heads.version

    async def remember(self, work: Work[Embedded]) -> Enriched:
        """Keep what the models said, so that a re-delivery publishes the same bytes; the first writer wins."""
        photos = await self.thought(work.photos)
        return self._told(work.about, [photo.place for photo in photos], _contents(photos))

    def _told(self, about: About, places: Sequence[PhotoPlace], contents: Mapping[str, PhotoContent]) -> Told:
        """What the upload says."""
        given = tuple(places) if about.pictured else None
        change = Change(about.metadata, given, about.version, about.partial)
        return Told(about.product, change, contents, about.source)

    async def stands(self, told: Told) -> Item | NoEffect:
        """The item of the product that an upload is of, as it is known now; of one of which nothing is known, by what it
        says itself: for uploads that are thought again.
        """
        product = (await self.kept(told.product)).product
        found, contents = await self._with_contents(told, product.photos)
        if product.touched is None or not found:
            if not told.change.photos:
                return NoEffect()
            said = {name: value for name, value in (told.change.metadata or {}).items() if value is not None}
            return self._item(told, said, told.change.photos, contents)
        return self._item(told, product.metadata, product.photos, contents)

    def _item(
        self, told: Told, said: dict[str, Any], photos: Sequence[PhotoPlace], contents: Mapping[str, PhotoContent]
    ) -> Item:
        metadata = metadata_of(Upload(told.product, metadata=said))
        return self.items.item(told.product, metadata, photos, contents, told.source)

    async def _with_contents(self, told: Told, photos: Sequence[PhotoPlace]) -> tuple[bool, Mapping[str, PhotoContent]]:
        """What was seen of these photos, and of those of the upload; and whether that is known of all of these."""
        contents = dict(told.contents)
        for place in photos:
            content = contents.get(place.digest) or await self.known(place.digest)
            if content is not None:
                contents[place.digest] = content
        return all(place.digest in contents for place in photos), contents

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
    def seeing(self) -> Seeing:
        """What the models make of photos."""
        return Seeing(self.detector, self.encoder, self.heads, self.judge)

    @property
    def photos(self) -> GivenPhotos:
        """Gets the photos of uploads."""
        return GivenPhotos(self.store, self.fetcher, self.remote, self.limits, self.keep_metadata, self.in_thread)

    @property
    def items(self) -> Items:
        """Makes items of what the models said."""
        return Items(self.memo, self.detector, self.encoder, self.conflicted, self.profile)


def _contents(photos: Sequence[Known]) -> dict[str, PhotoContent]:
    return {photo.place.digest: photo.content for photo in photos}


def memo_fingerprint(detector: Detector, encoder: ImageEncoder, judge: str = "") -> str:
    """A changed model, or changed rules, think again. `judge`: the version of what looks a second time, or ""."""
    made = " ".join(part for part in (detector.fingerprint, encoder.fingerprint, RULES, judge) if part)
    return "sha256:" + hashlib.sha256(made.encode()).hexdigest()
