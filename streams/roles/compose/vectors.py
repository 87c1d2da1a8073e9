"""From what a query starts from and asks for to the one vector that the shards search for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.ports import Raw, Ready
from processors import fusion
from processors.values import MAX_QUERY_TEXT, Vector
from streams.roles.compose.asked import Embedded, Prepared
from streams.roles.compose.reading import Reading
from streams.search.spaces import Space

SLERP = 0.5
"""Where on the arc from image to text a query without a known reference lies (docs/models/encoder.md)."""


def texts_of(space: Space, facets: Mapping[str, str], reading: Reading) -> tuple[tuple[Ready, ...], bool]:
    """The texts to embed; and whether they are a direction: (the edited caption, the reference's caption)."""
    captions = fusion.captions_for(facets, reading.edit) if facets else None
    if captions is not None:
        return (_worded(space, captions[1]), _worded(space, captions[0])), True
    return ((_worded(space, reading.typed),) if reading.typed else ()), False


def embed(batch: Sequence[Prepared]) -> list[Embedded]:
    """One pass of each encoder over all queries; around a swap there may be encoders of two generations."""
    spaces = {prepared.asked.space.images.fingerprint: prepared.asked.space for prepared in batch}
    found: dict[int, Embedded] = {}
    for maker, space in spaces.items():
        own = [p for p in batch if p.asked.space.images.fingerprint == maker]
        found |= zip(map(id, own), _embed(space, own), strict=True)
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


def _embed(space: Space, batch: Sequence[Prepared]) -> list[Embedded]:
    images: list[Raw] = space.images.forward([p.image for p in batch if p.image is not None])
    texts: list[Raw] = space.texts.forward([ready for p in batch for ready in p.texts])
    next_image, next_text = iter(images), iter(texts)
    return [
        Embedded(
            prepared,
            None if prepared.pixels is None else space.images.finish(prepared.pixels, next(next_image)),
            tuple(space.texts.finish("", next(next_text)) for _ in prepared.texts),
        )
        for prepared in batch
    ]


def _worded(space: Space, text: str) -> Ready:
    # A text within its limit may outgrow it in our own words ("sleeveless" is "without sleeves").
    return space.texts.prepare(text[:MAX_QUERY_TEXT])
