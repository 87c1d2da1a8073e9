"""From what a query starts from and asks for to the one vector that the shards search for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.ports import Raw, Ready
from processors import fusion
from processors.values import MAX_QUERY_TEXT, Vector
from streams.roles.compose import garments
from streams.roles.compose.asked import Embedded, Prepared
from streams.roles.compose.photos import Photos
from streams.roles.compose.reading import Reading
from streams.search.spaces import Space

SLERP = 0.5
"""Where on the arc from image to text a query without a known reference lies (docs/models/encoder.md)."""


def texts_of(
    space: Space, facets: Mapping[str, str], reading: Reading, *, known: bool = False
) -> tuple[tuple[Ready, ...], bool]:
    """The texts to embed; and whether they are a direction: (the edited caption, the reference's caption).

    Where the space has no text tower, words beside a photo or a product (`known`) act as facets and filters alone; words that
    stand alone are refused (`Poison`).
    """
    if known and space.refuses_words:
        return (), False
    captions = fusion.captions_for(facets, reading.edit) if facets else None
    if captions is not None:
        return (_worded(space, captions[1]), _worded(space, captions[0])), True
    return ((_worded(space, reading.typed),) if reading.typed else ()), False


def embed(batch: Sequence[Prepared], photos: Photos) -> list[Embedded]:
    """One pass of each encoder over all queries; around a swap there may be encoders of two generations."""
    spaces = {prepared.asked.space.images.fingerprint: prepared.asked.space for prepared in batch}
    found: dict[int, Embedded] = {}
    for maker, space in spaces.items():
        own = [p for p in batch if p.asked.space.images.fingerprint == maker]
        found |= zip(map(id, own), _embed(space, own, photos), strict=True)
    return [found[id(prepared)] for prepared in batch]


def fused(embedded: Embedded) -> Vector:
    """The query's vector: by direction where the reference's attributes are known, else between image and text."""
    image = embedded.image if embedded.image is not None else embedded.prepared.asked.reference.vector
    if image is None:
        return embedded.texts[0]
    if not embedded.texts:
        return image
    if embedded.prepared.directed:
        return fusion.fuse_direction(image, embedded.texts[0], embedded.texts[1])
    return fusion.fuse_slerp(image, embedded.texts[0], SLERP)


def _embed(space: Space, batch: Sequence[Prepared], photos: Photos) -> list[Embedded]:
    views = [_views(prepared) for prepared in batch]
    raws: list[Raw] = space.images.forward([ready for own in views for ready in own])
    texts: list[Raw] = space.texts.forward([ready for p in batch for ready in p.texts])
    next_raw, next_text = iter(raws), iter(texts)
    return [
        _embedded(
            prepared,
            [next(next_raw) for _ in own],
            tuple(space.texts.finish("", next(next_text)) for _ in prepared.texts),
            photos,
        )
        for prepared, own in zip(batch, views, strict=True)
    ]


def _views(prepared: Prepared) -> list[Ready]:
    """The photo, unless that was looked at beside the detector, and its garments."""
    if prepared.photo is None:
        return []
    whole = [] if prepared.image is None else [prepared.image]
    return [*whole, *(cut.ready for cut in prepared.photo.cuts)]


def _embedded(prepared: Prepared, raws: Sequence[Raw], texts: tuple[Vector, ...], photos: Photos) -> Embedded:
    photo = prepared.photo
    if photo is not None and photo.whole is not None:
        raws = [photo.whole, *raws]
    if photo is None or not raws:
        return Embedded(prepared, None, texts)
    whole = prepared.asked.space.images.finish(photo.decoded.pixels, raws[0])
    worn = photos.worn(prepared, raws[0], raws[1:])
    query = prepared.asked.query
    lead = garments.lead_of(worn, (*query.edits, query.text or ""))
    if lead is None:
        return Embedded(prepared, whole, texts)
    if photo.alone:
        return Embedded(prepared, whole, texts, worn, lead.garment.id)
    beside = None if texts or photo.boxed is not None else whole
    return Embedded(prepared, lead.vector, texts, worn, lead.garment.id, beside)


def _worded(space: Space, text: str) -> Ready:
    # A text within its limit may outgrow it in our own words ("sleeveless" is "without sleeves").
    return space.texts.prepare(text[:MAX_QUERY_TEXT])
