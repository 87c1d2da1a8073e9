"""`edit`: a photo and words become a photo with another garment. Read it from top to bottom:

    read (check it, get the photo) → open → detect → cut → embed (the words, the garments) → retrieve (choose the garment, ask the
    index, get the look) → look → find (the garment on the look's photo) → [sketch → diffuse, where a model paints] → paint → store (and
    publish)

A request is never left without a result: what cannot be done gets one that says why. A null record takes a request back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from infra.logs import logger
from infra.store import ObjectStore
from infra.threads import InThread
from models.ports import Detector, FaceDetector, ImageEncoder, Inpainter, TextEncoder
from processors import decode, fusion
from processors.editing import allowed, wishes
from processors.errors import EDIT_CODES, Code, Poison
from processors.facets import Head
from processors.values import Garment
from streams.contract.boxes import FIELD
from streams.contract.edit_codecs import BadEdit, decode_request, request_id_of
from streams.contract.edits import (
    STEPS,
    EditError,
    EditProgress,
    EditResult,
)
from streams.contract.records import ImageRef, Query
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.roles.compose import garments, vectors
from streams.roles.compose.asked import QUERY_SIDE, Asked, Prepared, Reference
from streams.roles.compose.photos import Photos, nobody
from streams.roles.compose.reading import read_words
from streams.roles.edit import consent
from streams.roles.edit.asked import (
    EDIT_SIDE,
    EditAsked,
    EditPrepared,
    EditSeen,
    Painted,
    Retrieved,
    Track,
    size_of_asked,
    size_of_painted,
    size_of_prepared,
    size_of_retrieved,
)
from streams.roles.edit.by_model import ByModel, Tell
from streams.roles.edit.cancels import Cancels
from streams.roles.edit.painting import Painting
from streams.roles.edit.retrieval import Hits, Retrieval, missing
from streams.search import query_photos
from streams.search.spaces import Space

log = logger("weft.edit")

PREFIX = "edits/"
"""Where images, masks and manifests lie in the store, by day and hour and the hash of their bytes; and then are gone."""
CONCURRENCY = 32

Publish = Callable[[Message, EditResult], Awaitable[None]]
"""Publishes a result and returns when the broker has it."""


async def _at_once() -> None:
    """Nothing has to be waited for."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The stages of the role; everything it needs is handed in.

    Args:
        images: looks at the garments of the photo.
        texts: embeds the words.
        detector: finds garments; None: only a box or a mask can say what is to be edited.
        retrieval: finds and loads the look.
        store: where results go.
        publish: see `Publish`.
        tell: see `Tell`.
        now: seconds since the epoch.
        limits: of a photo.
        batch_items: largest batch of the device.
        in_thread: runs what waits for the store.
        space: the generation that answers now, with its encoders.
        judge_of: who looks at boxes a second time, by the encoder's `features_maker`.
        begin: what has to be there before the first request is read.
        consent: "faces": a photo that is not the shop's own needs `consent: true` where a face is seen; "always": in any case; "stated":
            it must not be false.
        faces: sees them; None: nobody can say that there is none.
        inpainter: paints; None: looks are transferred.
        profile: whose models it runs, for lineage.
    """

    images: ImageEncoder
    texts: TextEncoder
    detector: Detector | None
    retrieval: Retrieval
    store: ObjectStore
    publish: Publish
    tell: Tell
    now: Callable[[], float]
    limits: decode.DecodeLimits
    batch_items: int
    in_thread: InThread
    space: Callable[[], Space]
    judge_of: Callable[[str], Head | None] = nobody
    consent: str = "stated"
    faces: FaceDetector | None = None
    inpainter: Inpainter | None = None
    profile: str = ""
    begin: Callable[[], Awaitable[None]] = _at_once
    cancels: Cancels = field(default_factory=Cancels)

    @property
    def photos(self) -> Photos:
        """Reads shoppers' photos."""
        return Photos(self.limits, self.detector, self.judge_of, subjects=True)

    @property
    def _seer(self) -> FaceDetector:
        return consent.check_seer(self.faces)

    @property
    def painting(self) -> Painting:
        """Paints."""
        return Painting(self.limits, self.detector, self.images.fingerprint, self.inpainter, self.profile)

    def stages(self) -> tuple[Stage, ...]:
        """The role's story. Results leave from `store`: an edit that takes long delays no other."""
        pixels = self.limits.max_pixels
        return (
            IoStage("read", self.answering(self.read), concurrency=CONCURRENCY, size=size_of_asked),
            CpuStage(
                "open",
                self.open,
                size=size_of_prepared,
                cost=lambda asked: decode.unfolded_pixels(asked.data, QUERY_SIDE),
                max_cost=pixels,
            ),
            DeviceStage("detect", self.detect, max_items=self.batch_items, wait_s=0.002),
            CpuStage("cut", self.cut, size=size_of_prepared),
            DeviceStage("embed", self.embed, max_items=self.batch_items, wait_s=0.002),
            IoStage("retrieve", self.retrieve, concurrency=CONCURRENCY, size=size_of_retrieved),
            CpuStage("look", self.look, size=size_of_retrieved),
            DeviceStage("find", self.find, max_items=self.batch_items, wait_s=0.002, known=_nothing_to_find),
            *(
                ()
                if self.inpainter is None
                else ByModel(self.inpainter, self.painting, self._check, self.tell).stages(self.batch_items)
            ),
            CpuStage(
                "paint",
                self.paint,
                size=size_of_painted,
                # One large photo at a time: each pixel of the garment takes about a hundred bytes while it is painted.
                cost=lambda one: decode.unfolded_pixels(one.seen.asked.data, EDIT_SIDE) + EDIT_SIDE**2,
                max_cost=max(pixels, 2 * EDIT_SIDE**2),
            ),
            IoStage("store", self.finish, concurrency=CONCURRENCY),
        )

    def answering(
        self, step: Callable[[Message], Awaitable[EditAsked | Done[None]]]
    ) -> Callable[[Message], Awaitable[EditAsked | Done[None]]]:
        """Wrap `read`: a bad request is no dead letter, its asker waits."""

        async def run(message: Message) -> EditAsked | Done[None]:
            try:
                return await step(message)
            except Poison as error:
                await self.refuse(message, error)
            return Done(None)

        return run

    # ------------------------------------------------------------------ the stages

    async def read(self, message: Message) -> EditAsked | Done[None]:
        """Check the request, and get its photo; a null record takes back what was asked under its key."""
        if not message.value:
            log.info(
                "edit.taken_back",
                key=(message.key or b"")[:80].decode(errors="replace"),
                requests=self.cancels.cancel(message),
            )
            return Done(None)
        self.cancels.begin(message)
        await self.begin()
        started = self.now()
        request = decode_request(message)
        if reason := allowed.refused(request.text):
            raise Poison(reason, field="text", code=Code.REFUSED_WORDS)
        looking = consent.looked_for(request, self.consent)
        if looking:
            consent.check_seer(self.faces)
        deadline = min(max(message.timestamp_ms / 1000, 0.0), started) + request.deadline_ms / 1000
        # Who points at a garment means that one by all of the words.
        pointed = request.garment is not None or request.box is not None or request.mask is not None
        words, others = (request.text, ()) if pointed else wishes.first_of(request.text, garments.named)
        wish = replace(wishes.wish_of(fusion.parse_edit(words), garments.named(words)), left_out=others)
        query = Query(query_id=request.request_id, text=words, shop=request.shop)
        asked = Asked(message, query, started, deadline, Reference(), self.space())
        track = Track(since=started, loop=asyncio.get_running_loop())
        one = EditAsked(message, request, asked, wish, b"", track, look_for_faces=looking)
        self._check(one)
        try:
            async with asyncio.timeout(max(deadline - self.now(), 0.0)):
                data = await self._bytes_of(asked, request.image, "image")
                drawn = b"" if request.mask is None else await self._bytes_of(asked, request.mask, "mask")
        except TimeoutError:
            raise Poison("the photo did not come before the deadline", code=Code.DEADLINE_EXCEEDED) from None
        query = structs.replace(query, image=ImageRef(bytes=data, box=request.box))
        asked = replace(asked, query=query, reference=Reference(data=data))
        one = replace(one, query=asked, mask=drawn)
        await self._told(one, "read")
        return one

    def open(self, asked: EditAsked) -> EditPrepared:
        """Decode the photo, and read the words."""
        self._check(asked)
        query = asked.query
        photo = self.photos.open(query)
        reading = read_words(query.query, alone=True)
        texts, directed = vectors.texts_of(query.space, {}, reading)
        shown = None if photo is None or not asked.look_for_faces else self._seer.prepare(photo.bright)
        return EditPrepared(asked, Prepared(query, reading, photo, None, texts, directed), shown)

    def detect(self, batch: Sequence[EditPrepared]) -> list[EditPrepared]:
        """One pass of the detector over the photos, after those that must show no face were looked at."""
        waiting = [one for one in batch if one.shown is not None]
        raws = iter(self._seer.forward([one.shown for one in waiting]) if waiting else ())
        looked = [one if one.shown is None else replace(one, shown=None, faces=next(raws)) for one in batch]
        found = self.photos.detect([one.prepared for one in looked])
        return [replace(one, prepared=prepared) for one, prepared in zip(looked, found, strict=True)]

    def cut(self, one: EditPrepared) -> EditPrepared:
        """Cut the garments out. Raises `Poison` where a face is seen for which nobody gave consent."""
        self._check(one.asked)
        if one.faces is not None and one.prepared.photo is not None:
            consent.check_faces(len(self._seer.finish(one.prepared.photo.bright, one.faces)))
        prepared = self.photos.cut(one.prepared)
        one.asked.track.done("see", self.now())
        return EditPrepared(one.asked, prepared)

    def embed(self, batch: Sequence[EditPrepared]) -> list[EditSeen]:
        """One pass of each encoder."""
        found = vectors.embed([one.prepared for one in batch], self.photos)
        return [EditSeen(one.asked, embedded) for one, embedded in zip(batch, found, strict=True)]

    async def retrieve(self, seen: EditSeen) -> Retrieved:
        """Choose the garment, ask the index for the words' look, and load the photo of the best that has one."""
        asked = seen.asked
        self._check(asked)
        garment = self._garment(seen)
        await self._told(asked, "seen")
        if not seen.embedded.texts:
            raise Poison("says nothing of what the garment is to become", field="text", code=Code.EMPTY_QUERY)
        asked.track.done("embed", self.now())
        named = bool(asked.request.references)
        hits = await (self.retrieval.named(asked) if named else self.retrieval.search(seen, garment))
        found = await self._with_photo(Retrieved(seen, garment, hits.found, hits.generation), hits)
        asked.track.done("retrieve", self.now())
        await self._told(asked, "retrieved")
        return found

    def look(self, one: Retrieved) -> Retrieved:
        """Decode the photo of the look."""
        self._check(one.seen.asked)
        return self.painting.open(one)

    def find(self, batch: Sequence[Retrieved]) -> list[Retrieved]:
        """One pass of the detector over the photos of the looks."""
        if self.detector is None:
            return list(batch)
        waiting = [one for one in batch if one.shown is not None]
        raws = iter(self.detector.forward([one.shown for one in waiting]) if waiting else ())
        return [one if one.shown is None else replace(one, shown=None, raw=next(raws)) for one in batch]

    def paint(self, one: Retrieved) -> Painted:
        """Lay the look onto the garment."""
        self._check(one.seen.asked)
        painted = self.painting.paint(one)
        one.seen.asked.track.done("paint", self.now())
        return painted

    async def finish(self, one: Painted) -> None:
        """Store image, mask and manifest, and publish the result."""
        asked, track = one.asked, one.asked.track
        self._check(asked)
        await self._told(asked, "painted")

        async def kept(data: bytes, suffix: str, kind: str) -> str:
            key = query_photos.key_for(data, suffix, asked.started, PREFIX)
            await self.in_thread(lambda: self.store.put(key, data, content_type=kind))
            return self.store.address(key)

        mask, manifest = (
            await kept(one.mask, ".png", "image/png"),
            await kept(one.manifest, ".json", "application/json"),
        )
        image = await kept(one.image, ".png", "image/png")  # last: whoever finds it finds the others
        track.done("store", self.now())
        await self._told(asked, "stored")
        result = structs.replace(
            one.result,
            image=image,
            mask=mask,
            manifest=manifest,
            stages_ms=dict(track.stages_ms),
            took_ms=max(0, round((self.now() - asked.started) * 1000)),
        )
        await asyncio.gather(*track.told)
        await self.publish(asked.message, result)
        log.info(
            "edit.done",
            request=result.request_id,
            seed=result.seed,
            method=result.method,
            words=asked.request.text[:200],
            consent=asked.request.consent,
            image=image,
            lineage=structs.asdict(result.lineage) if result.lineage is not None else None,
            retrieved=[hit.product_id for hit in result.retrieved if hit.used],
        )
        self.cancels.end(asked.message)

    # ------------------------------------------------------------------ trouble

    async def refuse(self, message: Message, cause: Poison) -> None:
        """Answer with an error."""
        named = cause.request_id if isinstance(cause, BadEdit) else request_id_of(message)
        code = _code(cause)
        log.info(
            "edit.refused", request=named, code=code.value, cause=str(cause), source="/".join(map(str, message.source))
        )
        error = EditError(code.value, str(cause), cause.field)
        await self.publish(message, EditResult(request_id=named, error=error))
        self.cancels.end(message)

    async def failed(self, failure: Failure) -> Sequence[Awaitable[object]]:
        """What the engine gives up on: a result with an error instead of a dead letter."""
        await self.refuse(failure.message, failure.error)
        return ()

    # ------------------------------------------------------------------ inside

    def _check(self, asked: EditAsked) -> None:
        self.cancels.check(asked.message)
        if self.now() >= asked.deadline:
            raise Poison("the deadline passed before the edit was done", code=Code.DEADLINE_EXCEEDED)

    def _garment(self, seen: EditSeen) -> Garment | None:
        """What is edited; None where the mask alone says it."""
        request, found = seen.asked.request, seen.garments
        if request.garment is not None:
            named = next((one for one in found if one.id == request.garment), None)
            if named is None:
                ids = ", ".join(f"{one.id} ({one.category})" for one in found) or "none"
                raise Poison(
                    f"there is no garment {request.garment[:40]!r}; there are: {ids}",
                    field="garment",
                    code=Code.NO_GARMENT,
                )
            return named
        if request.box is not None:
            return found[0] if found else None
        chosen = wishes.chosen(found, seen.asked.wish)
        if chosen is None and request.mask is None:
            wanted = seen.asked.wish.category or "garment"
            raise Poison(
                f"the photo shows no {wanted} (seen: {wishes.shown(found)})", field="image", code=Code.NO_GARMENT
            )
        return chosen

    async def _with_photo(self, one: Retrieved, hits: Hits) -> Retrieved:
        for hit in hits.found:
            try:
                photo = await self.retrieval.photo(hit.image)
            except Poison as error:
                log.warning("edit.no_photo", product=hit.product_id, cause=str(error))
                continue
            return replace(
                one, look=hit.product_id, category=hit.category, photo=photo, from_words=missing(one.seen, hits)
            )
        return one

    async def _bytes_of(self, asked: Asked, image: ImageRef | None, name: str) -> bytes:
        if image is None or image.bytes is not None:
            return b"" if image is None or image.bytes is None else image.bytes
        try:
            if image.product_id is not None:
                found = await self.retrieval.product(asked, image.product_id, f"{name}.product_id", "product")
                return await self.retrieval.photo(found.image)
            return await self.retrieval.given(image.uri or "")
        except Poison as error:
            code = error.code if error.code is Code.UNKNOWN_PRODUCT else Code.BAD_IMAGE
            raise Poison(error.message, field=error.field or name, code=code) from error

    async def _told(self, asked: EditAsked, step: str) -> None:
        progress = EditProgress(asked.request.request_id, step, STEPS.index(step) + 1, len(STEPS))
        asked.track.told.append(asyncio.ensure_future(await self.tell(asked.message, progress)))


def _nothing_to_find(one: Retrieved) -> Retrieved | None:
    return one if one.shown is None else None


def _code(cause: Poison) -> Code:
    if cause.field == FIELD:
        return cause.code
    if cause.field.partition(".")[0] == "image" and cause.code not in {
        Code.NO_GARMENT,
        Code.UNKNOWN_PRODUCT,
        Code.MISSING_FIELD,
    }:
        return Code.BAD_IMAGE
    return cause.code if cause.code in EDIT_CODES else Code.INVALID
