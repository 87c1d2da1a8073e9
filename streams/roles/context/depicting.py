"""Which product's photo is a picture of an article that names none: read it from top to bottom:

follow the articles → see their pictures → follow the products, once there are pictures → for each product near one: retrieve, compare,
prove → publish what changed on `catalog.pictured`, and have the product captioned anew

Nothing of it is kept but what is published: a start reads the topics again, and looks again at products that are near a picture and have no record.
One worker does it for all, the one that holds the articles.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.logs import logger
from processors.context.pictures import ALIKE, Candidate, Judged, judged, nearest, together
from processors.errors import Poison, Retryable
from processors.geometry import Match
from processors.identity import split
from processors.values import Vector
from streams.contract.records import Pictured, PictureIn, View
from streams.engine.backoff import Backoff
from streams.engine.message import Message
from streams.roles.context.articles import Articles
from streams.roles.context.pictured import PicturedView

log = logger("weft.context")

MOST_PICTURES = 20_000
"""Of all articles: 6 KB of vectors each. Further ones are not looked at, and the log says so."""
NEAR = 32
"""Products that are looked at because of a picture that came: the nearest by our encoder."""
AT_ONCE = 16
"""Products whose results are published, and asked for, together: asking reads a part of the topic."""
KEPT = 64
"""Photos whose local features are kept: 2.5 MB each."""
WHOLE = "whole"


class Eyes(Protocol):
    """What sees a photo: fetches and decodes it, runs both encoders, compares. Each raises `Poison`, `NotFound` or `Retryable`."""

    @property
    def makers(self) -> tuple[str, str]:
        """Fingerprints of both encoders, ours first."""
        ...

    async def vectors(self, address: str) -> tuple[Vector, Vector]:
        """Of a photo, by either encoder, of length 1."""
        ...

    async def match(self, photo: str, picture: str) -> Match:
        """How a picture fits a photo, mirrored or not."""
        ...


class Publish(Protocol):
    """Writes what stands under a product; returns the record's offset once it is durable. `told`: its caption was asked for."""

    async def __call__(self, product: str, found: Pictured | None, /, *, told: bool) -> int: ...


Again = Callable[[Mapping[bytes, tuple[int, int]], Mapping[int, int], Mapping[int, int]], Awaitable[int]]
"""Send items that lie there once more, for articles and records of `catalog.pictured` that lie there (partition → offset)."""


class _Seen(msgspec.Struct, frozen=True):
    """Of an item, what is compared."""

    image: str
    views: tuple[View, ...]
    encoder: str


_SEEN = msgspec.msgpack.Decoder(_Seen)


@dataclass(frozen=True, slots=True)
class Product:
    """A product's photo. `vector`: ours, float16; None where it is another encoder's."""

    image: str
    vector: NDArray[np.float16] | None
    place: tuple[int, int]


@dataclass(slots=True)
class Gallery:
    """The pictures of one shop's articles, with both encoders' vectors."""

    vectors: dict[str, tuple[Vector, Vector]] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _matrices: tuple[NDArray[np.float32], ...] = ()

    def put(self, picture: str, vectors: tuple[Vector, Vector]) -> None:
        """One more."""
        self.vectors[picture], self._matrices = vectors, ()

    def drop(self, picture: str) -> None:
        """One less."""
        self.vectors.pop(picture, None)
        self._matrices = ()

    def nearest(self, encoder: int, asked: Vector) -> list[tuple[str, float]]:
        """The pictures that an encoder (0: ours) names."""
        if not self._matrices:
            self._names = sorted(self.vectors)
            self._matrices = tuple(np.stack([self.vectors[name][n] for name in self._names]) for n in (0, 1))
        return nearest(self._names, self._matrices[encoder], asked)

    def alike(self, picture: str, asked: tuple[Vector, Vector]) -> bool:
        """Whether a picture is near enough to a photo to be compared, by both encoders."""
        pairs = zip(self.vectors[picture], asked, ALIKE, strict=True)
        return all(float(own @ other) >= least for own, other, least in pairs)


class Depicting:
    """Keeps `catalog.pictured` true.

    Args:
        articles: the view; tell of its changes by `articles_changed`.
        pictured: what stands; written here.
        eyes: see there.
        publish, again: see there.
        backoff: waits between attempts when the store or the broker is away.
    """

    def __init__(
        self,
        articles: Articles,
        pictured: PicturedView,
        eyes: Eyes,
        publish: Publish,
        again: Again,
        backoff: Backoff | None = None,
    ) -> None:
        self._articles, self._pictured, self._eyes = articles, pictured, eyes
        self._publish, self._again, self._backoff = publish, again, backoff or Backoff()
        self._galleries: dict[str, Gallery] = {}
        self._unseen: set[tuple[str, str]] = set()  # pictures that are none, or cannot be had: not asked for again
        self._products: dict[str, Product] = {}
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._owed: set[str] = set()  # of these something else stands, and nobody was asked for a caption yet
        self._last = 0  # offset of the last record that was written
        self._changed, self._work = True, asyncio.Event()
        self._work.set()

    def articles_changed(self) -> None:
        """The articles are others than before."""
        self._changed = True
        self._work.set()

    def apply(self, message: Message, *, look: bool = True) -> None:
        """Take in one record of `catalog.items`. `look`: at once; else `look_at_all` follows."""
        key = (message.key or b"").decode("utf-8", "replace")
        before = self._products.get(key)
        product = _product(message, self._eyes.makers[0])
        if product is None:
            self._products.pop(key, None)
        else:
            self._products[key] = product
        same = before is not None and product is not None and before.image == product.image
        if look and not (same and _alike(before, product)):
            self._ask(key)

    def look_at_all(self) -> None:
        """At all products that are known, but for those whose record says what it would say again; and at those that are gone."""
        for key, product in self._products.items():
            if not self._pictured.of(key, product.image):
                self._ask(key)
        for key in self._pictured.products():
            known = self._products.get(key)
            if known is None or not self._pictured.of(key, known.image):
                self._ask(key)
        for key in self._pictured.untold():  # a worker ended between writing it and asking for the caption
            self._owed.add(key)
            self._last = max(self._last, self._pictured.places.get(0, 0))
            self._ask(key)

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._work.wait()
            self._work.clear()
            attempt = 0
            while self._changed or self._waiting:
                try:
                    await self.step()
                    attempt = 0
                except Retryable as error:
                    attempt += 1
                    log.warning("pictures.wait", cause=str(error))
                    await asyncio.sleep(self._backoff.delay(attempt))

    async def step(self) -> None:
        """What changed about the pictures, and the next few products. Raises `Retryable`: nothing of it is lost."""
        if self._changed:
            await self._see_pictures()
        batch = list(self._waiting)[:AT_ONCE]
        for key in batch:
            found = await self._found(key)
            if found != self._pictured.get(key):
                self._last = await self._publish(key, found, told=False)
                self._pictured.put(key, found)
                self._owed.add(key)
        await self._tell()
        for key in batch:
            self._waiting.pop(key, None)

    async def _tell(self) -> None:
        """Have the products captioned anew of which something else stands now; and write that it was done, for whoever starts next."""
        anew = {key.encode(): self._products[key].place for key in self._owed if key in self._products}
        if anew:
            await self._again(anew, self._articles.places, {0: self._last})
        for key in sorted(self._owed):
            await self._publish(key, self._pictured.get(key), told=True)
            self._owed.discard(key)

    def _ask(self, key: str) -> None:
        self._waiting[key] = None
        self._work.set()

    # ------------------------------------------------------------------ pictures

    async def _see_pictures(self) -> None:
        self._changed = False
        wanted = set(self._articles.pictures())
        held = {(shop, name) for shop, gallery in self._galleries.items() for name in gallery.vectors}
        for shop, name in held - wanted:
            self._galleries[shop].drop(name)
            for key in self._pictured.showing(shop, name):
                self._ask(key)
        try:
            for shop, name in sorted(wanted - held - self._unseen):
                await self._see(shop, name)
        except Retryable:
            self._changed = True
            raise

    async def _see(self, shop: str, name: str) -> None:
        if sum(len(one.vectors) for one in self._galleries.values()) >= MOST_PICTURES:
            log.warning("a picture is not looked at: there are too many", picture=name)
            self._unseen.add((shop, name))
            return
        try:
            vectors = await self._eyes.vectors(name)
        except Poison as error:
            log.warning("no picture", picture=name, cause=str(error))
            self._unseen.add((shop, name))
            return
        self._galleries.setdefault(shop, Gallery()).put(name, vectors)
        known = set(self._pictured.showing(shop, name))
        for key in self._near(shop, vectors[0]):
            if key not in known or not self._pictured.of(key, self._products[key].image):
                self._ask(key)

    def _near(self, shop: str, picture: Vector) -> list[str]:
        """The products of a shop that are near a picture by our encoder; those whose vector is another's all of them."""
        mine = [(key, one) for key, one in self._products.items() if split(key)[0] == shop]
        known = [(key, one.vector) for key, one in mine if one.vector is not None]
        others = [key for key, one in mine if one.vector is None]
        if not known:
            return others
        scores = np.stack([vector for _, vector in known]).astype(np.float32) @ picture
        order = np.argsort(-scores, kind="stable")[:NEAR]
        return [known[n][0] for n in order if scores[n] >= ALIKE[0]] + others

    # ------------------------------------------------------------------ products

    async def _found(self, key: str) -> Pictured | None:
        """What is to stand under a product."""
        product, shop = self._products.get(key), split(key)[0]
        gallery = self._galleries.get(shop)
        if product is None or gallery is None or not gallery.vectors:
            return None
        try:
            candidates = await self._candidates(product, gallery)
            found = [await self._eyes.match(product.image, one.picture) for one in candidates]
        except Poison as error:
            log.info("no photo", product=key, cause=str(error))
            return None
        pictures = tuple(self._said(one) for one in judged(candidates, found) if one.match.proved)
        return Pictured(split(key)[1], product.image, pictures, shop) if pictures else None

    async def _candidates(self, product: Product, gallery: Gallery) -> Sequence[Candidate]:
        ours = None if product.vector is None else product.vector.astype(np.float32)
        second: Vector | None = None
        if ours is None:
            ours, second = await self._eyes.vectors(product.image)
        if max((score for _, score in gallery.nearest(0, ours)), default=-1.0) < ALIKE[0]:
            return ()  # nothing is near: the photo is not even read
        if second is None:
            _, second = await self._eyes.vectors(product.image)
        asked = (ours, second)
        named = together([gallery.nearest(0, ours), gallery.nearest(1, second)])
        return [one for one in named if gallery.alike(one.picture, asked)]

    def _said(self, one: Judged) -> PictureIn:
        makers, candidate, match = self._eyes.makers, one.candidate, one.match
        likeness = {makers[n]: score for n, score in sorted(candidate.likeness.items())}
        assert match.kind is not None
        return PictureIn(
            candidate.picture, match.kind, candidate.score, likeness, match.confidence, match.inliers, one.swapped
        )


def _product(message: Message, maker: str) -> Product | None:
    """None of a product that is gone, or has no photo."""
    if message.value is None:
        return None
    try:
        seen = _SEEN.decode(message.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not seen.image:
        return None
    whole = next((view.vector for view in seen.views if view.id == WHOLE), None)
    vector = np.frombuffer(whole, "<f4").astype(np.float16) if whole and seen.encoder == maker else None
    return Product(seen.image, vector, (message.partition, message.offset))


def _alike(one: Product | None, other: Product | None) -> bool:
    if one is None or other is None or (one.vector is None) != (other.vector is None):
        return False
    return one.vector is None or other.vector is None or bool(np.array_equal(one.vector, other.vector))
