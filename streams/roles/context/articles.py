"""The articles as they stand: a view of `catalog.articles` in memory, by what they apply to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from infra.logs import logger
from processors.context.facts import About
from processors.errors import Poison
from processors.said import evidence_of
from processors.values import Metadata
from processors.vocabulary import clean
from streams.contract.articles import article_key, decode_article
from streams.contract.records import Article, PictureIn
from streams.engine.message import Message
from streams.roles.context.view import View

log = logger("weft.context")

MAX_ARTICLES = 50_000
MAX_CHARACTERS = 200_000_000
"""Of all articles together. Past either bound a new article is not taken in, and the log says so."""
MOST_APPLIED = 16
"""Articles that one caption looks at, of the product first; a brand with a hundred stories would cost a hundred passes."""
_ORDER: tuple[About, ...] = ("product", "photo", "collection", "brand")

Target: TypeAlias = tuple[About, str, str]
"""What, whose shop, and its id or (`clean`) name."""


@dataclass(frozen=True, slots=True)
class Known:
    """An article of the view. `fingerprint`: of all in it that a caption could say; `at`: time and offset of its record."""

    article: Article
    fingerprint: str
    at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Applied:
    """An article that applies to a product, and by what of it. `picture`: where the article does not name it, but shows its photo."""

    known: Known
    about: About
    picture: PictureIn | None = None


def targets_of(article: Article) -> tuple[Target, ...]:
    """All that an article applies to."""
    about, shop = article.applies_to, article.shop or ""
    found: list[Target] = []
    if about.product is not None:
        found.append(("product", shop, about.product))
    if about.collection is not None:
        found.append(("collection", shop, clean(about.collection)))
    if about.brand is not None:
        found.append(("brand", shop, clean(about.brand)))
    return tuple(found)


def places_of(shop: str, product_id: str, metadata: Metadata) -> tuple[Target, ...]:
    """What articles of a product may be told to apply to, the narrowest first."""
    collection = next(iter(evidence_of(metadata).get("collection", ())), "")
    found: list[Target] = [("product", shop, product_id)]
    found += [("collection", shop, clean(collection))] if collection else []
    return (*found, ("brand", shop, clean(metadata.brand))) if metadata.brand else tuple(found)


class Articles(View):
    """One writer (`apply`), many readers."""

    def __init__(self, most: int = MAX_ARTICLES, characters: int = MAX_CHARACTERS) -> None:
        super().__init__()
        self._most, self._characters = most, characters
        self._known: dict[str, Known] = {}
        self._by_target: dict[Target, tuple[Known, ...]] = {}
        self._by_picture: dict[tuple[str, str], tuple[Known, ...]] = {}
        self._held = 0

    def __len__(self) -> int:
        return len(self._known)

    def apply(self, message: Message) -> None:
        """Take in one record; what is no article is left to the role `context`, which reports it."""
        try:
            key, article = article_key(message), decode_article(message)
        except Poison as error:
            log.info("no article", offset=message.offset, cause=str(error))
        else:
            self._take(key or (article.id if article is not None else ""), article, message)
        self.noted(message)

    def of(
        self, shop: str, product_id: str, metadata: Metadata, pictures: Sequence[PictureIn] = ()
    ) -> tuple[Applied, ...]:
        """The articles that apply to a product, those of itself first; each once. Cheap where there is none.

        `pictures`: those of articles that are proved to be the product's photo.
        """
        if not self._known:
            return ()
        found: dict[str, Applied] = {}
        for place in places_of(shop, product_id, metadata):
            for known in self._by_target.get(place, ()):
                found.setdefault(known.article.id, Applied(known, place[0]))
        if pictures:
            found |= self._shown(shop, pictures, found)
            order = {name: n for n, name in enumerate(found)}
            found = dict(sorted(found.items(), key=lambda one: (_ORDER.index(one[1].about), order[one[0]])))
        return tuple(found.values())[:MOST_APPLIED]

    def _shown(self, shop: str, pictures: Sequence[PictureIn], found: dict[str, Applied]) -> dict[str, Applied]:
        """The articles that show a photo and name no product. One that names a brand or a collection is about its products alone."""
        shown: dict[str, Applied] = {}
        for picture in pictures:
            for known in self._by_picture.get((shop, picture.picture), ()):
                about = known.article.applies_to
                if known.article.id in found or (about.brand is None and about.collection is None):
                    # With one picture the text is about what it shows; with several, about one of many.
                    alone = len(known.article.images or ()) == 1
                    shown.setdefault(known.article.id, Applied(known, "product" if alone else "photo", picture))
        return shown

    def pictures(self) -> Iterable[tuple[str, str]]:
        """Whose, and the address, of every picture of an article that names no product."""
        return self._by_picture.keys()

    def _take(self, key: str, article: Article | None, message: Message) -> None:
        at = (message.timestamp_ms, message.offset)
        name = _name(key, article)
        before = self._known.get(name)
        if before is not None and before.at > at:
            return  # of several partitions that were read beside each other
        if article is None:
            self._remove(name)
            return
        length = len(article.text)
        if before is None and (len(self._known) >= self._most or self._held + length > self._characters):
            log.warning("an article is not taken in: there are too many", article=article.id, articles=len(self._known))
            return
        self._remove(name)
        known = Known(article, _fingerprint(article), at)
        self._known[name] = known
        self._held += length
        for target in targets_of(article):
            others = (*self._by_target.get(target, ()), known)
            # In an order that does not depend on when each came: the same articles make the same caption.
            self._by_target[target] = tuple(sorted(others, key=lambda one: one.article.id))
        for picture in _pictures(article):
            others = (*self._by_picture.get(picture, ()), known)
            self._by_picture[picture] = tuple(sorted(others, key=lambda one: one.article.id))

    def _remove(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is None:
            return
        self._held -= len(known.article.text)
        for target in targets_of(known.article):
            others = tuple(one for one in self._by_target.get(target, ()) if one is not known)
            if others:
                self._by_target[target] = others
            else:
                self._by_target.pop(target, None)
        for picture in _pictures(known.article):
            others = tuple(one for one in self._by_picture.get(picture, ()) if one is not known)
            if others:
                self._by_picture[picture] = others
            else:
                self._by_picture.pop(picture, None)


def _pictures(article: Article) -> tuple[tuple[str, str], ...]:
    """Those that may say whom an article is about: of one that names its product, none."""
    if article.applies_to.product is not None:
        return ()
    return tuple((article.shop or "", picture) for picture in dict.fromkeys(article.images or ()))


def together(applied: Iterable[Applied]) -> str:
    """Changes with every article that applies, and with nothing else; "" for none."""
    parts = [
        f"{one.about} {one.known.fingerprint}"
        + ("" if one.picture is None else f" {msgspec.json.encode(one.picture).decode()}")
        for one in applied
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() if parts else ""


def _name(key: str, article: Article | None) -> str:
    """Under the same key a later record replaces an earlier one, as it does on the topic."""
    return key or (article.id if article is not None else "")


def _fingerprint(article: Article) -> str:
    said = [article.id, article.text, str(article.version or ""), article.locale or ""]
    return hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest()
