"""A shop's own data for the recipes: `products.jsonl[.gz]` with photos, and `labels.csv` (`image,label`, photos in `photos/` beside it).

One brand in five is held out, by a hash of its name; of rows without a brand (or all of one) a product in five. What a shop says is
read as `weft eval captions` reads it; of a facet that its word leaves open nothing is taught.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.recipes.encoder_data import View, is_held_out
from models.recipes.encoder_facets import COLOURS, VALUES, Known
from models.yardsticks import tables
from models.yardsticks.detection import category_of
from models.yardsticks.photos import Photos
from models.yardsticks.shop_words import truth_of
from processors.errors import Poison
from processors.palette import SYNONYMS
from processors.vocabulary import clean

ORIGIN = "shop"
_BRAND = ("brand", "brandname", "vendor")
_TYPE = ("articletype", "article type", "product type", "category", "type")
_COLOUR = ("basecolour", "base colour", "colour", "color")


@dataclass(frozen=True, slots=True)
class Shop:
    """What the command line gives.

    Args:
        products: `products.jsonl` or `.jsonl.gz`; None: none.
        images: folder or zip of their photos.
        labels: `labels.csv`; None: none.
        start: weights to start from: a file, or "" for the recipe's own.
    """

    products: Path | None = None
    images: Path | None = None
    labels: Path | None = None
    start: str = ""

    @property
    def given(self) -> bool:
        """Whether there are data of a shop at all."""
        return self.products is not None or self.labels is not None


NO_SHOP = Shop()


@dataclass(frozen=True, slots=True)
class ShopItem:
    """One product. `label`: the shop's own type; `brand` "" where nobody says; `known`: what may be taught of it."""

    name: str
    photo: str
    label: str
    brand: str
    known: Known
    held_out: bool


@dataclass(slots=True)
class ShopItems:
    """All that can teach, and how many rows cannot, by reason. `photos`: of each item, by its number."""

    items: list[ShopItem] = field(default_factory=list)
    photos: list[Photos | None] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: set[str] = field(default_factory=set)

    def views(self, *, held_out: bool) -> Iterator[View]:
        """The photos of one side of the split, each as one garment."""
        return (view for _, view in self.shown(held_out=held_out))

    def shown(self, *, held_out: bool) -> Iterator[tuple[ShopItem, View]]:
        """The same with what each is of; photos that cannot be decoded are passed over (`unreadable`)."""
        for item, photos in zip(self.items, self.photos, strict=True):
            if item.held_out != held_out or photos is None:
                continue
            try:
                pixels = photos.load(item.photo).decoded.pixels
            except Poison:
                self.unreadable.add(item.photo)
                continue
            height, width = pixels.shape[:2]
            inner = (0.0, 0.0, float(width), float(height))
            yield item, View(pixels, (item.known,), ORIGIN, item.label, held_out, inner)

    def brands(self, *, held_out: bool) -> Counter[str]:
        """Items of each brand on one side."""
        return Counter(item.brand or "no brand" for item in self.items if item.held_out == held_out)


def read(shop: Shop, *, need_photos: bool = True) -> ShopItems:
    """Read what is given.

    Args:
        shop: the tables.
        need_photos: leave rows without a photo out; a writer needs none.

    Raises:
        Poison: a table cannot be read, or nothing of it can teach.
    """
    rows: list[tuple[str, Photos | None, str, Mapping[str, Any]]] = []
    left_out: Counter[str] = Counter()
    if shop.products is not None:
        photos = Photos.open(shop.images) if shop.images is not None else None
        if photos is None and need_photos:
            raise Poison(f"{shop.products} says nothing of where its photos are: give --images", field="--images")
        for product in tables.read_products(shop.products):
            fields = _opened(product)
            named = str(fields.get("image") or product["id"])
            path = photos.find(named) if photos is not None else None
            rows.append((str(product["id"]), photos, path or "", fields))
    if shop.labels is not None:
        folder = Photos.open(shop.images if shop.products is None and shop.images else shop.labels.parent / "photos")
        for image, label in tables.read_labels(shop.labels):
            rows.append((image, folder, folder.find(image) or "", {"articleType": label}))
    found = ShopItems(left_out=left_out)
    for name, at, path, said in rows:
        item = None if need_photos and not path else _item(name, path, said)
        if item is None:
            left_out["without a photo" if need_photos and not path else "of no type that Weft has a category for"] += 1
        else:
            found.items.append(item)
            found.photos.append(at)
    if not found.items:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "no rows"
        raise Poison(f"nothing of the shop's data can teach: {why}")
    return _split(found)


def _opened(product: Mapping[str, Any]) -> dict[str, Any]:
    """Its fields, those one level deep ("articleAttributes") among them."""
    flat: dict[str, Any] = {}
    for name, value in product.items():
        flat.update({str(k): v for k, v in value.items()} if isinstance(value, dict) else {name: value})
    return {name: value for name, value in flat.items() if isinstance(value, str | int | float) and value != "NA"}


def _item(name: str, path: str, fields: Mapping[str, Any]) -> ShopItem | None:
    given = {clean(key): str(value) for key, value in fields.items()}
    brand = next((given[key] for key in _BRAND if given.get(key)), "")
    label = next((given[key] for key in _TYPE if given.get(key)), "")
    truth = dict(truth_of({key: str(value) for key, value in fields.items()}, brand))
    category = next(iter(truth.get("category", ())), "") or category_of(label) or ""
    if not category:
        return None
    facets = {"category": category}
    for facet in ("kind", "pattern", "sleeve", "neckline", "length", "fabric"):
        values = [value for value in VALUES[facet] if value in truth.get(facet, ())]
        if len(values) == 1:  # "Printed" may be floral or dotted: open
            facets[facet] = values[0]
    return ShopItem(name, path, clean(label) or category, brand, Known(facets, _colours(given)), held_out=False)


def _colours(given: Mapping[str, str]) -> tuple[str, ...]:
    word = clean(next((given[key] for key in _COLOUR if given.get(key)), ""))
    name = SYNONYMS.get(word, word)
    if name not in COLOURS:
        name = next((part for part in word.split() if part in COLOURS), "")
    return (name,) if name else ()


def _split(found: ShopItems) -> ShopItems:
    """By brand where there are several and both sides get some; else by product."""
    brands = {item.brand for item in found.items} - {""}
    by_brand = len({is_held_out(brand) for brand in brands}) == 2

    def held_out(item: ShopItem) -> bool:
        return is_held_out(item.brand if by_brand and item.brand else item.name)

    found.items = [ShopItem(one.name, one.photo, one.label, one.brand, one.known, held_out(one)) for one in found.items]
    return found
