"""A shopper's photo: the garments that are worn in it are found as `enrich` finds them, and each gets a vector of its own.

open (decode, bring to a shop's exposure) → detect → cut → embed → what stays after the second look
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from msgspec import structs

from models.ports import Detector, Raw, SeesFaint
from processors import asked_garments, crops, decode, evidence, exposure, second_look
from processors.detected import garment_of
from processors.errors import Code
from processors.facets import Head
from processors.values import Box, Detection, Garment, Pixels, Vector
from streams.contract.boxes import FIELD
from streams.contract.checks import BadQuery
from streams.roles.compose.asked import QUERY_SIDE, Asked, Prepared
from streams.roles.compose.probable import HeadsOf, Looked, no_heads, told
from streams.roles.compose.shown import Cut, Photo, Worn

MAX_SEARCHED = 6
"""Garments of one photo that are looked at, the surest first."""


def nobody(_maker: str) -> Head | None:
    """There is no second look."""
    return None


@dataclass(frozen=True, slots=True)
class Photos:
    """Reads shoppers' photos.

    Args:
        limits: of a photo.
        detector: None: the whole photo is searched for.
        judge_of: who looks at boxes a second time, by the encoder's `features_maker`; None: what the detector says holds.
        heads_of: who reads the facets of what an edit starts from.
        subjects: whether what a photo shows is judged where no garment was found in it, or hardly any, as `enrich` does. A search compares
            such a photo whole; what is to be edited has to be somewhere.
    """

    limits: decode.DecodeLimits
    detector: Detector | None = None
    judge_of: Callable[[str], Head | None] = nobody
    heads_of: HeadsOf = no_heads
    subjects: bool = False

    def open(self, asked: Asked) -> Photo | None:
        """Decode the photo of a query that has one, and make it ready for the detector.

        Raises:
            Poison: it does not decode.
            BadQuery: nothing of it lies in the box that was asked for.
        """
        data, image = asked.reference.data, asked.query.image
        if not data:
            return None
        decoded = decode.decode(data, self.limits, max_side=QUERY_SIDE)
        bright = exposure.lifted(decoded.pixels)
        if image is not None and image.box is not None:
            return Photo(decoded, bright, boxed=_boxed(asked, decoded, image.box))
        return Photo(decoded, bright, None if self.detector is None else self.detector.prepare(bright))

    def detect(self, batch: Sequence[Prepared]) -> list[Prepared]:
        """One pass over the photos of all queries that have one to be looked at.

        Of one photo the detector keeps one core busy: the encoder looks at the whole photo beside it.
        """
        places = [place for place, one in enumerate(batch) if _waiting(one) is not None]
        done = list(batch)
        if self.detector is None or not places:
            return done
        shown = [photo.ready for one in batch if (photo := _waiting(one)) is not None]
        wholes: list[Raw] = [None] * len(places)
        if len(places) > 1:  # enough for all cores
            raws = self.detector.forward(shown)
        else:
            with ThreadPoolExecutor(1, thread_name_prefix="whole-photo") as beside:
                whole = beside.submit(_whole, batch[places[0]])
                raws, wholes = self.detector.forward(shown), [whole.result()]
        for place, raw, seen in zip(places, raws, wholes, strict=True):
            photo = batch[place].photo
            done[place] = replace(batch[place], photo=None if photo is None else replace(photo, raw=raw, whole=seen))
        return done

    def cut(self, prepared: Prepared) -> Prepared:
        """The views that are embedded: the whole photo, or the part of it that was asked for; and each garment that was found."""
        photo, images = prepared.photo, prepared.asked.space.images
        if photo is None:
            return prepared
        pixels, scale = photo.bright, photo.decoded.scale
        if photo.boxed is not None:
            return replace(prepared, image=images.prepare(crops.cut(pixels, _times(photo.boxed.box, scale))))
        found = self._found(pixels, photo.raw)
        # A shop's own photo of one product is compared whole, as the shop's other photos are.
        sure = asked_garments.sure(found)
        alone = len(sure) <= 1 and second_look.on_plain_ground(pixels)
        found = sure if alone else found
        seen = [garment_of(one, _times(one.box, 1 / scale)) for one in found]
        judged = self.subjects and self.judge_of(images.features_maker) is not None
        if judged and second_look.overlooked(seen, pixels, scale):
            untold = Detection(second_look.UNTOLD, second_look.subject_box(pixels), 0.0)
            seen.append(garment_of(untold, _times(untold.box, 1 / scale)))
        garments = evidence.build(seen).garments
        cuts = tuple(Cut(one, images.prepare(crops.cut(pixels, _times(one.box, scale)))) for one in garments)
        whole = images.prepare(pixels) if photo.whole is None else None
        return replace(prepared, image=whole, photo=replace(photo, ready=None, raw=None, cuts=cuts, alone=alone))

    def _found(self, pixels: Pixels, raw: Raw) -> tuple[Detection, ...]:
        if self.detector is None:
            return ()
        tell = self.detector.faint if isinstance(self.detector, SeesFaint) else self.detector.finish
        return asked_garments.searched(tell(pixels, raw), pixels.shape, MAX_SEARCHED)

    def worn(self, prepared: Prepared, whole: Raw, raws: Sequence[Raw]) -> tuple[Worn, ...]:
        """The garments that stay after the second look, the surest first.

        Args:
            prepared: the query.
            whole: what the encoder gave for its `image`.
            raws: the same for each of the photo's cuts.
        """
        photo, images = prepared.photo, prepared.asked.space.images
        if photo is None:
            return ()
        judge = self.judge_of(images.features_maker)
        pixels = photo.decoded.pixels
        if photo.boxed is not None:
            features = images.features(whole)
            garment = photo.boxed if judge is None else _told(photo.boxed, judge, features)
            return self._faceted(prepared, [Looked(Worn(garment, images.finish(pixels, whole)), features)], None)
        garments = tuple(cut.garment for cut in photo.cuts)
        by_id = {garment.id: raw for garment, raw in zip(garments, raws, strict=True)}
        seen = {name: images.features(raw) for name, raw in by_id.items()}
        stay = tuple(second_look.Settled(one.id, one) for one in garments)
        if judge is not None and garments:
            bottom = photo.decoded.height
            stay = second_look.settle(garments, images.features(whole), seen, judge, bottom=bottom)
        looked = [Looked(Worn(one.garment, images.finish(pixels, by_id[one.view])), seen[one.view]) for one in stay]
        return self._faceted(prepared, looked, images.features(whole))

    def _faceted(self, prepared: Prepared, looked: Sequence[Looked], whole: Vector | None) -> tuple[Worn, ...]:
        photo, maker = prepared.photo, prepared.asked.space.images.features_maker
        heads = self.heads_of(maker)
        asks = prepared.reading.edits or prepared.asked.reference.lent
        if photo is None or heads is None or heads.maker != maker or not asks:
            return tuple(one.worn for one in looked)
        return told(looked, whole, photo.bright, photo.decoded.scale, heads, self.judge_of(maker))


def _whole(prepared: Prepared) -> Raw:
    """What the encoder gives for the whole photo."""
    photo, images = prepared.photo, prepared.asked.space.images
    return None if photo is None else images.forward([images.prepare(photo.bright)])[0]


def _waiting(prepared: Prepared) -> Photo | None:
    photo = prepared.photo
    return photo if photo is not None and photo.ready is not None else None


def _boxed(asked: Asked, decoded: decode.Decoded, box: Box) -> Garment:
    """The garment in a box of the original photo, clipped to it."""
    clipped = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], decoded.width), min(box[3], decoded.height))
    sides = clipped[2] - clipped[0], clipped[3] - clipped[1]
    if min(sides) * decoded.scale < crops.MIN_SIDE:
        least = math.ceil(crops.MIN_SIDE / decoded.scale)
        raise BadQuery(
            f"holds {max(sides[0], 0):g}x{max(sides[1], 0):g} pixels of a photo of {decoded.width}x{decoded.height}: "
            f"a garment needs {least} a side",
            code=Code.OUT_OF_RANGE,
            query_id=asked.query.query_id,
            field=FIELD,
        )
    return Garment("g0", second_look.UNTOLD, clipped, 1.0)


def _told(garment: Garment, judge: Head, features: Vector) -> Garment:
    """With the category that its own pixels show, where they show one; the box was a person's, so it stays whatever it holds."""
    settled = second_look.settle((garment,), features, {garment.id: features}, judge)
    return structs.replace(garment, category=settled[0].garment.category) if settled else garment


def _times(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
