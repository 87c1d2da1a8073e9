"""What the models make of photos: garments with their colours, views, vectors, and what the facet heads read. Pure, but for the models.

`enrich` runs it stage by stage; what each stage holds in memory is told here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from models.ports import Detector, ImageEncoder, Raw
from processors import chances, crops, decode, evidence, facets, hem, second_look
from processors.chances import Packed
from processors.colour_shares import colour_shares, look_of
from processors.colours import dominant_colours
from processors.detected import garment_of
from processors.facets import Head, Heads
from processors.garment_mask import CutOut, garment_pixels
from processors.garments import main_garment
from processors.values import Box, Detection, Garment, Pixels, Vector
from streams.contract.records import View
from streams.roles import reserve
from streams.roles.items import WHOLE, PhotoContent
from streams.roles.work import Described, Embedded, Opened, Photo, Seen, Work

SERVING_SIDE = 1024
"""Longest side, in pixels, that is kept of a photo: enough for every model, and it bounds the memory of a batch."""


@dataclass(frozen=True, slots=True)
class Seeing:
    """One photo after another.

    Args:
        detector: finds garments.
        encoder: makes vectors of views.
        heads: the facet heads that are live; None while there are none.
        judge: looks at each box a second time (`processors.second_look`); None: what the detector says holds.
    """

    detector: Detector
    encoder: ImageEncoder
    heads: Callable[[], Heads | None]
    judge: Head | None

    def described(self, seen: Seen) -> Described:
        pixels, scale = seen.opened.decoded.pixels, seen.opened.decoded.scale
        found = crops.worth_keeping(self.detector.finish(pixels, seen.raw), pixels.shape)
        # Named once, here: the ids of the views are those that the captions' evidence points to.
        cut_out: CutOut = {}
        seen_as = [garment_seen(one, found, pixels, scale, cut_out) for one in found]
        if self.judge is not None and second_look.overlooked(seen_as, pixels, scale):
            untold = Detection(second_look.UNTOLD, second_look.subject_box(pixels), 0.0)
            seen_as.append(garment_seen(untold, (), pixels, scale, cut_out))
        garments = evidence.build(seen_as).garments
        whole = self.encoder.prepare(pixels)
        views = [(WHOLE, garments[0].category if garments else "", whole)]
        for garment in garments:
            box = _scaled(garment.box, scale)
            # A garment that fills its photo is seen once for both.
            fills = crops.padded(box, pixels.shape) == (0, 0, pixels.shape[1], pixels.shape[0])
            ready = whole if fills else self.encoder.prepare(crops.cut(pixels, box))
            views.append((garment.id, garment.category, ready))
        return Described(seen.opened, garments, tuple(views), self._shares(garments, pixels, scale, cut_out))

    def raws(self, several: Sequence[Described]) -> Iterator[list[Raw]]:
        """What the encoder makes of the views of each photo, in one pass; a view that stands for two is computed once."""
        readies = {id(ready): ready for described in several for _, _, ready in described.views}
        found = dict(zip(readies, self.encoder.forward(list(readies.values())), strict=True))
        return ([found[id(ready)] for _, _, ready in described.views] for described in several)

    def _shares(self, garments: Sequence[Garment], pixels: Pixels, scale: float, cut_out: CutOut) -> dict[str, Vector]:
        if self.heads() is None:
            return {}
        boxes = {garment.id: _scaled(garment.box, scale) for garment in garments}
        found: dict[str, Vector] = {}
        for garment in garments:
            others = [box for name, box in boxes.items() if name != garment.id]
            own = garment_pixels(pixels, boxes[garment.id], garment.category, others, garment.mask, cut_out)
            if own is not None:
                found[garment.id] = colour_shares(own)
        return found

    def embedded(self, described: Described, raws: Sequence[Raw]) -> Embedded:
        decoded = described.opened.decoded
        described, raws = self._settled(described, raws)
        worn = hem.worn_over(described.garments, decoded.pixels, decoded.scale)
        described = replace(described, garments=worn)
        vectors = [self.encoder.finish(decoded.pixels, raw) for raw in raws]
        heads = self.heads()
        garments: tuple[Garment, ...] = described.garments
        known: dict[str, Packed] = {}
        if heads is not None and heads.maker == self.encoder.features_maker:
            garments, known = self._faceted(described, raws, heads)
        # A kind may have said that a garment is of another category than its box was found as.
        category_of = {WHOLE: garments[0].category if garments else "", **{one.id: one.category for one in garments}}
        views = tuple(
            View(view_id, category_of[view_id], vector.astype("<f4").tobytes())
            for (view_id, _, _), vector in zip(described.views, vectors, strict=True)
        )
        version = "" if heads is None else heads.version
        content = PhotoContent(decoded.width, decoded.height, garments, views, version, known)
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

    def _faceted(
        self, described: Described, raws: Sequence[Raw], heads: Heads
    ) -> tuple[tuple[Garment, ...], dict[str, Packed]]:
        """The garments with what the heads read from the pass that gave their vectors; and what each probably is."""
        seen = {name: self.encoder.features(raw) for (name, _, _), raw in zip(described.views, raws, strict=True)}
        main = main_garment(described.garments)
        found, known = [], {}
        for garment in described.garments:
            features = facets.of_garment(seen[garment.id], seen[WHOLE], main=garment is main)
            shares = described.shares.get(garment.id)
            # What a detector of one's own calls it is by its user's map.
            named = "kind" in garment.attributes
            category = garment.category
            doubted = garment is main and not named and category in facets.RECONSIDERED
            # In the street heads take dresses for tunics: half of those that ten photos showed.
            if doubted and second_look.on_plain_ground(described.opened.decoded.pixels):
                kinds = heads.kinds(features, shares)
                category = facets.reconsidered(category, kinds, shipped=heads.under is None)
            read = heads.read(features, shares, category, look_of(shares, garment.colours))
            category = category if named else facets.category_of(category, read)
            attributes = {**read, **garment.attributes}
            found.append(msgspec.structs.replace(garment, category=category, attributes=attributes))
            known[garment.id] = chances.read(heads, self.judge, features, shares, category, garment.colours)
        return tuple(found), known


def _scaled(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)


def size_of_photos(work: Work[Photo]) -> int:
    return sum(reserve.held_by(photo.data, SERVING_SIDE) for photo in work.new())


def pixels_of_photos(work: Work[Photo]) -> int:
    return max((decode.unfolded_pixels(photo.data, SERVING_SIDE) for photo in work.new()), default=1)


def size_of_opened(work: Work[Opened]) -> int:
    def size(opened: Opened) -> int:
        unkept = 0 if opened.unkept is None else len(opened.unkept.data)
        return opened.decoded.pixels.nbytes + reserve.SHOWN_BYTES + unkept

    return sum(map(size, work.new()))


def size_of_views(work: Work[Described]) -> int:
    return sum(
        described.opened.decoded.pixels.nbytes + sum(reserve.nbytes(ready) for _, _, ready in described.views)
        for described in work.new()
    )


def size_of_vectors(work: Work[Embedded]) -> int:
    return sum(len(view.vector) for photo in work.photos for view in photo.content.views)


def garment_seen(
    one: Detection, found: Sequence[Detection], pixels: Pixels, scale: float, cut_out: CutOut | None = None
) -> Garment:
    """A garment with its colours; its box in pixels of the original photo. `evidence.build` gives it its id."""
    x0, y0, x1, y1 = one.box
    others = [other.box for other in found if other is not one]
    return garment_of(
        one,
        (round(x0 / scale, 1), round(y0 / scale, 1), round(x1 / scale, 1), round(y1 / scale, 1)),
        dominant_colours(pixels, one.box, one.category, others, one.mask, cut_out),
    )
