"""The edit itself, in a thread: the mask of the garment, the cloth, and the finished files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from msgspec.structs import replace as changed

from models.ports import Detector, Inpaint, Inpainter
from processors import decode, exposure
from processors.detected import garment_of
from processors.editing import cloth, mark, mask, provenance, transfer
from processors.editing.cloth import PATTERNS, Cloth
from processors.editing.mask import EditMask
from processors.errors import Code, Poison
from processors.garments import main_garment
from processors.lab import ciede2000, to_lab
from processors.values import Box, Garment, Mask, Pixels
from streams.contract.edits import EditGarment, EditLineage, EditResult
from streams.contract.records import Source
from streams.contract.version import VERSION
from streams.roles.edit.asked import EDIT_SIDE, REFERENCE_SIDE, EditAsked, Painted, Retrieved, Sketch

METHOD = "transfer"
STEPS = 50
"""Of a diffusion, where the request says nothing."""
NO_LOOK = "the catalogue has no garment for these words, and they name no colour either"


@dataclass(frozen=True, slots=True)
class Painting:
    """Paints. `detector` finds the garment on the photo of a product; None: the whole photo is it. `inpainter`: a model that paints; None: looks
    are transferred.
    """

    limits: decode.DecodeLimits
    detector: Detector | None
    encoder: str
    inpainter: Inpainter | None = None
    profile: str = ""

    @property
    def method(self) -> str:
        """As it stands in results."""
        return METHOD if self.inpainter is None else self.inpainter.method

    def open(self, one: Retrieved) -> Retrieved:
        """Decode the photo of the retrieved garment, and make it ready for the detector. One that does not decode is no look."""
        if not one.photo:
            return one
        try:
            decoded = decode.decode(one.photo, self.limits, max_side=REFERENCE_SIDE)
        except Poison:
            return replace(one, photo=b"", look="")
        shown = None if self.detector is None else self.detector.prepare(exposure.lifted(decoded.pixels))
        return replace(one, opened=decoded, shown=shown)

    def sketch(self, one: Retrieved, watch: Callable[[int, int], None]) -> Retrieved:
        """Make it ready for the model that paints; unchanged where there is none.

        Args:
            one: with its look.
            watch: see `Inpaint`.

        Raises:
            Poison: as `paint`; or the words and garments are more than the model reads.
        """
        if self.inpainter is None:
            return one
        asked = one.seen.asked
        canvas = decode.decode(asked.data, self.limits, max_side=EDIT_SIDE)
        request, found = asked.request, self._cut_out(one)
        job = Inpaint(
            canvas.pixels,
            self._mask(one, canvas),
            ((request.text.strip(), None if found is None else _on_white(*found)),),
            request.seed or 0,
            request.steps or STEPS,
            watch,
        )
        return replace(one, sketch=Sketch(canvas, job, self.inpainter.prepare(job)))

    def paint(self, one: Retrieved) -> Painted:
        """Lay the look onto the garment, or finish what the model painted.

        Raises:
            Poison: the photo does not decode, hardly a pixel of it is the garment's, or there is no look to be had.
        """
        asked = one.seen.asked
        seed = asked.request.seed or 0
        if one.sketch is not None and self.inpainter is not None:
            decoded, region = one.sketch.canvas, one.sketch.job.mask
            pixels = self.inpainter.finish(one.sketch.job, one.sketch.raw)
            wanted = self._of_product(one)
            used = one.sketch.job.worn[0][1] is not None
        else:
            decoded = decode.decode(asked.data, self.limits, max_side=EDIT_SIDE)
            region = self._mask(one, decoded)
            wanted, used = self._cloth(one)
            pixels = transfer.transferred(decoded.pixels, region, wanted, seed)
        inside = region.whole(*decoded.pixels.shape[:2])
        difference = None if wanted is None else _differences(decoded.pixels, pixels, inside, wanted)
        if asked.request.mark:
            pixels = mark.marked(pixels, region)
        mask_file = provenance.mask_png(inside)
        from_words = one.from_words if used else _words(asked)
        references = ((one.look, hashlib.sha256(one.photo).hexdigest()),) if used else ()
        made = provenance.Provenance(
            photo=hashlib.sha256(asked.data).hexdigest(),
            mask=hashlib.sha256(mask_file).hexdigest(),
            words=asked.request.text,
            method=self.method,
            seed=seed,
            references=references,
            from_words=from_words,
            version=VERSION,
            marked=asked.request.mark,
            product=(asked.request.image.product_id or "") if asked.request.image is not None else "",
            shop=asked.request.shop or "",
        )
        image, manifest = provenance.png(pixels, made)
        result = EditResult(
            request_id=asked.request.request_id,
            method=self.method,
            seed=seed,
            garment=None if one.garment is None else _told(one.garment),
            garments=tuple(map(_told, one.seen.garments)),
            retrieved=tuple(changed(hit, used=used and hit.product_id == one.look) for hit in one.hits),
            from_words=from_words,
            width=pixels.shape[1],
            height=pixels.shape[0],
            scale=round(decoded.scale, 6),
            colour_difference=difference,
            shop=asked.request.shop or "",
            lineage=EditLineage(
                Source(*asked.message.source),
                made.photo,
                "" if self.detector is None else self.detector.fingerprint,
                self.encoder,
                one.generation,
                VERSION,
                "" if self.inpainter is None else self.inpainter.fingerprint,
                self.profile,
            ),
            warnings=_warnings(one, changes_cut=self.inpainter is not None),
        )
        return Painted(asked, image, mask_file, manifest, result)

    def _mask(self, one: Retrieved, decoded: decode.Decoded) -> EditMask:
        asked = one.seen.asked
        if asked.mask:
            return _drawn(asked, decoded, self.limits)
        assert one.garment is not None
        others = [_times(other.box, decoded.scale) for other in one.seen.garments if other.id != one.garment.id]
        box = _times(one.garment.box, decoded.scale)
        shown = exposure.lifted(decoded.pixels)
        found = mask.garment(shown, box, one.garment.category, others, one.garment.mask)
        if found is None:
            raise Poison("hardly a pixel of the photo is the garment's", field="image", code=Code.NO_GARMENT)
        return mask.matted(decoded.pixels, found)

    def _cloth(self, one: Retrieved) -> tuple[Cloth, bool]:
        """The cloth, and whether it is (also) that of the retrieved garment."""
        found = self._of_product(one)
        own = _own(one.from_words, one.seen.asked.request.seed or 0)
        if found is None:
            own = own or _own(_words(one.seen.asked), one.seen.asked.request.seed or 0)
            if own is None:
                raise Poison(NO_LOOK, field="text", code=Code.NO_GARMENT)
            return own, False
        if own is None:
            wish = one.seen.asked.wish
            if wish.plain and not one.seen.asked.request.references:
                # Nobody asked for the print of what was looked up: "a red coat" had the white cat of a red T-shirt on its chest.
                found = cloth.plain(found, next(iter(wish.colours), ""))
            return found, True
        if any(word in PATTERNS for word in one.from_words):
            return own, False
        # Its weave and its print, in the colour that the words name and no garment of the catalogue has.
        return cloth.dyed(found, own.mean), True

    def _of_product(self, one: Retrieved) -> Cloth | None:
        found = self._cut_out(one)
        return None if found is None else cloth.of_garment(*found)

    def _cut_out(self, one: Retrieved) -> tuple[Pixels, EditMask] | None:
        """The photo of the look, and the garment's mask on it."""
        if one.opened is None:
            return None
        pixels = one.opened.pixels
        height, width = pixels.shape[:2]
        found = () if self.detector is None else self.detector.finish(pixels, one.raw)
        garments = [garment_of(each) for each in found]
        sold = main_garment(_of_kind(garments, _kinds(one)) or garments)
        box = (0.0, 0.0, float(width), float(height)) if sold is None else sold.box
        others = [each.box for each in garments if each is not sold]
        seen = None if sold is None else sold.mask
        region = mask.garment(pixels, box, one.category if sold is None else sold.category, others, seen)
        return None if region is None else (pixels, region)


def _kinds(one: Retrieved) -> tuple[str, ...]:
    """What is wanted of the look's photo, then what it sells: of a model in a T-shirt and jeans that was found for "trousers", the jeans."""
    if one.seen.asked.request.references:
        return (one.category,)
    return (one.seen.asked.wish.category or ("" if one.garment is None else one.garment.category), one.category)


def _of_kind(garments: Sequence[Garment], kinds: Sequence[str]) -> list[Garment]:
    """Those of the first of the kinds that there is."""
    for kind in kinds:
        if found := [each for each in garments if each.category == kind]:
            return found
    return []


def _on_white(pixels: Pixels, region: EditMask) -> Pixels:
    """The garment alone."""
    alpha = region.alpha[..., None]
    return np.asarray(np.rint(pixels[region.window] * alpha + 255 * (1 - alpha)), np.uint8)


def _differences(before: Pixels, after: Pixels, inside: Mask, wanted: Cloth) -> tuple[float, float]:
    one, other = (
        round(float(ciede2000(to_lab(image)[inside].mean(axis=0), wanted.mean)), 2) for image in (before, after)
    )
    return one, other


def _drawn(asked: EditAsked, decoded: decode.Decoded, limits: decode.DecodeLimits) -> EditMask:
    """The mask that was handed in, at the size of the image."""
    try:
        drawn = decode.decode(asked.mask, limits)
    except Poison as error:
        raise Poison(error.message, field="mask", code=error.code) from error
    if (drawn.width, drawn.height) != (decoded.width, decoded.height):
        raise Poison(
            f"is {drawn.width}x{drawn.height}, the photo {decoded.width}x{decoded.height}",
            field="mask",
            code=Code.OUT_OF_RANGE,
        )
    height, width = decoded.pixels.shape[:2]
    light = cv2.resize(drawn.pixels.max(axis=2), (width, height), interpolation=cv2.INTER_NEAREST)
    found = mask.given(np.asarray(light) > 127)
    if found is None:
        raise Poison("allows hardly a pixel to be changed", field="mask", code=Code.OUT_OF_RANGE)
    return found


def _own(words: tuple[str, ...], seed: int) -> Cloth | None:
    pattern = next((word for word in words if word in PATTERNS), "")
    colours = tuple(word for word in words if word not in PATTERNS)
    return cloth.of_words(colours or (("navy", "white") if pattern else ()), pattern, seed)


def _words(asked: EditAsked) -> tuple[str, ...]:
    wish = asked.wish
    return (*wish.colours, *([wish.pattern] if wish.pattern in PATTERNS else []))


def _warnings(one: Retrieved, *, changes_cut: bool) -> tuple[str, ...]:
    wish, found = one.seen.asked.wish, list[str]()
    if wish.left_out:
        edited = "the garment" if one.garment is None else f"the {one.garment.category}"
        found.append(
            f"the words also name {' and '.join(wish.left_out)}: an edit changes one garment, here {edited}; ask for the others one by one"
        )
    if changes_cut:
        return tuple(found)
    if one.garment is not None and wish.category and one.garment.category not in {wish.category, ""}:
        found.append(
            f"the photo shows no {wish.category}: the look is laid on the {one.garment.category}, whose cut it keeps"
        )
    edit = one.seen.embedded.prepared.reading.edit
    shape = [name for name in ("sleeve", "neckline", "length") if name in edit.set]
    if shape or edit.length:
        found.append("the cut stays as it is: this method changes colour, texture and print only")
    if one.seen.asked.request.steps is not None:
        found.append(
            "steps are of a diffusion; this method has none (a profile with an editor of the kind diffusion, and the extra: "
            "pip install 'weft[edit]')"
        )
    return tuple(found)


def _told(garment: Garment) -> EditGarment:
    return EditGarment(garment.id, garment.category, garment.box)


def _times(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
