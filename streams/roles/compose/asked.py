"""What the stages of `compose` hand on: a query that was checked, then read and worded, then embedded."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.ports import Ready
from processors.chances import Packed
from processors.values import Vector
from streams.contract.records import Query
from streams.engine.message import Message
from streams.roles import reserve
from streams.roles.compose.reading import Reading
from streams.roles.compose.shown import Photo, Worn
from streams.search.merging import Page, page_of
from streams.search.spaces import Space
from streams.search.twins import Twins

QUERY_SIDE = 768
"""Longest side, in pixels, that is kept of a query's photo: of a person in it, shoes are a twentieth."""
MARGIN_S = 0.05
"""Kept back from the deadline for publishing the result."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the query starts from: a product of the catalogue (its key), a photo, or nothing but words."""

    product: str = ""
    vector: Vector | None = None
    facets: tuple[tuple[str, str], ...] = ()
    data: bytes = b""
    group: str = ""
    chances: Packed = field(default_factory=dict)
    """What it probably is (`processors.chances`)."""
    heads: str = ""
    """The version of the facet heads that told it."""
    lent: Packed = field(default_factory=dict)
    """What other products lend it, facet by facet."""
    pays: float | None = None
    """What a shopper pays for it; None where nobody says."""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked query. `deadline` in seconds since the epoch; `started` likewise."""

    message: Message
    query: Query
    started: float
    deadline: float
    reference: Reference
    space: Space
    """The generation that answers this query, from its first look-up to its last hit, whatever is swapped in meanwhile."""
    composer: str = "facets"
    """Who composes its image and its words (`models.composers.registry`)."""
    twins: Twins | None = None
    """Who shows the same photo, where these are to be one hit."""

    @property
    def page(self) -> Page:
        """The page that it asks for."""
        return page_of(self.query, self.twins)


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that the encoders must embed for one query."""

    asked: Asked
    reading: Reading
    photo: Photo | None
    image: Ready | None  # of the whole photo, or of the part of it that was asked for
    texts: tuple[Ready, ...]
    directed: bool  # texts = (edited caption, reference caption); otherwise texts = (what was typed,)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A query with its vectors.

    Attributes:
        image: of what the words are about: the garment of the photo that they name, its main one, or the whole photo.
        worn: the garments of the photo, the surest first.
        lead: the one of them that the words are about; "" for none.
        whole: of the whole photo, where it is searched for beside its garments.
    """

    prepared: Prepared
    image: Vector | None
    texts: tuple[Vector, ...]
    worn: tuple[Worn, ...] = ()
    lead: str = ""
    whole: Vector | None = None
    composed: bool = False
    """Whether `image` is a composer's vector of image and words already."""


def size_of_photo(asked: Asked) -> int:
    """Bytes that a query holds until its photo is decoded."""
    data = asked.reference.data
    return reserve.held_by(data, QUERY_SIDE) if data else 0


def size_of_pixels(prepared: Prepared) -> int:
    """Bytes that a query holds until it is answered."""
    # The photo's own bytes stay with the question it belongs to.
    photo, pixels = prepared.photo, 0
    if photo is not None:
        own = photo.decoded.pixels.nbytes + (0 if photo.bright is photo.decoded.pixels else photo.bright.nbytes)
        pixels = own + reserve.SHOWN_BYTES
    return len(prepared.asked.reference.data) + pixels
