"""`catalog.items` as the index sees it: which views it searches, and what filters may ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from index_sync.entry import Change, Entry, Facets, Payload, ViewInfo, shortened
from processors import chances, product_words, said
from processors.attributes import attributes_of
from processors.chances import Packed
from processors.errors import Code, Poison
from processors.garments import is_of_kind
from processors.identity import key_of
from processors.merchant import seen_kind, told_facets, told_kind
from processors.offers import offer_of
from processors.values import Garment, Metadata
from streams.contract import codecs
from streams.contract.records import Item, View
from streams.engine.message import Message
from streams.roles.essence import essence_of
from streams.roles.sold import sold_garment

CATEGORY, COLOUR, BRAND, PATH, TAG = "category", "colour", "brand", "category_path", "tag"


_RULES = b"4/%d" % product_words.RULES
"""Raise it when another entry is made of the same item: what was indexed by older rules is then written anew."""


def _unknown(_product_id: str) -> bytes:
    return b""


def change_of(message: Message, known: Callable[[str], bytes] = _unknown) -> Change:
    """A record of `catalog.items` as a change of its shard; a null value is a delete.

    Args:
        message: the record.
        known: the essence (`Change.essence`) of the record before it, by product; b"" where nobody knows. Of a record that
            differs from it in columns only, nothing else is decoded.

    Raises:
        Poison: no key, not decodable, of another product than its key, or its vectors have the wrong length.
    """
    if not message.key:
        raise Poison("an item needs the product id as its key", field="key", code=Code.WRONG_KEY)
    try:
        product_id = message.key.decode()
    except UnicodeDecodeError as error:
        raise Poison("is not UTF-8", field="key", code=Code.WRONG_KEY) from error
    if message.value is None:
        return Change(message.offset, product_id, None)
    essence, metadata = essence_of(message.value, _RULES)
    if metadata is not None and essence == known(product_id):
        return Change(message.offset, product_id, None, essence, offer_of(metadata))
    item = codecs.decode_item(message.value)
    if key_of(item.shop, item.product_id) != product_id:
        # Compaction and deletes go by the key: under another name the product could never be removed.
        raise Poison("differs from the record's key", field="product_id", code=Code.WRONG_KEY)
    if item.incomplete is True:
        # Without a photo there is nothing to be found by: until one comes, the product is not in the index.
        return Change(message.offset, product_id, None)
    return Change(message.offset, product_id, entry_of(item), essence)


def entry_of(item: Item) -> Entry:
    """The views of an item with their vectors, and the columns that filters and answers need.

    A garment's view answers for its garment. The whole view answers for each garment by itself, so that "a red
    dress" is not met by a navy dress with a red bag.

    Raises:
        Poison: no views, or a vector that is not `dimension` float32 values.
    """
    if not item.views:
        raise Poison("an item needs at least one view", field="views")
    if any(len(view.vector) != 4 * item.dimension for view in item.views):
        raise Poison(f"vectors are not {item.dimension} float32 values", field="views.vector", code=Code.OUT_OF_RANGE)
    vectors = np.frombuffer(b"".join([view.vector for view in item.views]), dtype="<f4")
    metadata = item.metadata
    shop = _Shop(
        metadata.fabric,
        metadata.gender,
        metadata.brand,
        tuple(metadata.facets.items()),
        metadata.category_path,
        metadata.tags,
        tuple((name, words) for name, value in metadata.more.items() if (words := said.words_of(value))),
    )
    stated, shared = _stated(shop.fabric, shop.gender, shop.facets, shop.path, shop.tags), _shared(shop)
    main = sold_garment(item)
    garments = {g.id: _facets_of(g, shop, metadata.category if g is main else None) for g in item.garments}
    views = tuple(
        ViewInfo(view.id, view.category, _shown_in(view, garments, shared, item), view.photo) for view in item.views
    )
    payload = Payload(
        image=item.image,
        category=main.category if main else item.metadata.category,
        facets=reference_facets(item.metadata, stated, main),
        colours=main.colours if main else (),
        views=views,
        group=metadata.group_id,
        said=said.shown(metadata),
        words=product_words.words_of(metadata),
        chances=_chances(item, main),
        heads=item.facets or msgspec.UNSET,
    )
    return Entry(payload, vectors.reshape(len(item.views), item.dimension), item.encoder, offer_of(metadata))


def stated_facets(metadata: Metadata) -> Mapping[str, str]:
    """What the shop says of a product in canonical spelling, one value a facet. Do not write into it."""
    facets = tuple(metadata.facets.items())
    return _stated(metadata.fabric, metadata.gender, facets, metadata.category_path, metadata.tags)


@lru_cache(maxsize=8192)
def _stated(
    fabric: str, gender: str, facets: tuple[tuple[str, str], ...], path: tuple[str, ...], tags: tuple[str, ...]
) -> Mapping[str, str]:
    # Half the time of a replay went into spelling the same few words.
    metadata = Metadata(fabric=fabric, gender=gender, facets=dict(facets), category_path=path, tags=tags)
    return {facet: attribute.value for facet, attribute in attributes_of(metadata).items()}


def shop_facets(metadata: Metadata, stated: Mapping[str, str]) -> Facets:
    """What the shop says of a product, as it wrote it and in canonical spelling ("Ladies" is also "women")."""
    told = {**metadata.facets, BRAND: metadata.brand, "gender": metadata.gender, "fabric": metadata.fabric}
    found = {
        facet: values
        for facet in {**told, **stated}
        if (values := _distinct((shortened(told.get(facet, "")), stated.get(facet, ""))))
    }
    listed = {name: said.words_of(value) for name, value in metadata.more.items()}
    listed |= {PATH: said.paths_in(metadata.category_path), TAG: metadata.tags}
    for facet, words in listed.items():
        if words:
            found[facet] = _distinct((*found.get(facet, ()), *map(shortened, words)))
    return found


class _Shop(NamedTuple):
    """What the facets of a product's garments have in common, as the shop wrote it."""

    fabric: str
    gender: str
    brand: str
    facets: tuple[tuple[str, str], ...]
    path: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    more: tuple[tuple[str, tuple[str, ...]], ...] = ()


@lru_cache(maxsize=2048)
def _shared(shop: _Shop) -> Facets:
    metadata = Metadata(
        fabric=shop.fabric,
        gender=shop.gender,
        brand=shop.brand,
        facets=dict(shop.facets),
        category_path=shop.path,
        tags=shop.tags,
        more=dict(shop.more),
    )
    return shop_facets(metadata, _stated(shop.fabric, shop.gender, shop.facets, shop.path, shop.tags))


def _facets_of(garment: Garment, shop: _Shop, stated: str | None) -> Facets:
    """Of one garment; `stated`: the category that the shop says, of the garment that it sells; None of the others."""
    own = tuple([(facet, attribute.value) for facet, attribute in garment.attributes.items()])
    names = tuple([colour.name for colour in garment.colours])
    sold = stated is not None and is_of_kind(garment, stated)
    return _garment_facets(shop, garment.category, stated or "", sold, names, own)


# A catalogue says the same of many products: to say it anew was a third of a replay.
@lru_cache(maxsize=4096)
def _garment_facets(
    shop: _Shop, category: str, stated: str, sold: bool, colours: tuple[str, ...], own: tuple[tuple[str, str], ...]
) -> Facets:
    shared = _shared(shop)
    seen: dict[str, tuple[str, ...]] = {facet: (value,) for facet, value in own}
    # The shop's own colour word, where heads read one from the pixels, stands beside the palette's names.
    word = seen.pop(COLOUR, ())
    if sold:
        # The shop's word wins for what it sells; what is worn beside it is only seen.
        kinds = seen.get("kind", ())
        seen = {facet: values for facet, values in seen.items() if facet not in shared}
        said_of = Metadata(category=stated, facets=dict(shop.facets))
        if kind := told_kind(said_of):
            # A category does not replace what a detector of one's own calls the garment: it is found as either.
            narrower = kinds if told_kind(said_of, *kinds) != kind else ()
            seen["kind"] = _distinct((*narrower, kind))
    return {
        **shared,
        **seen,
        CATEGORY: _distinct((category, stated)),
        COLOUR: _distinct((*shared.get(COLOUR, ()), *word, *colours)),
    }


def _shown_in(view: View, garments: Mapping[str, Facets], shared: Facets, item: Item) -> tuple[Facets, ...]:
    """Of each garment that a view shows. A photo in which none was seen (a detail, a swatch) is of what is sold."""
    name = view.id.rpartition("/")[2]
    if name in garments:
        return (garments[name],)
    if isinstance(item.photos, tuple) and garments:
        image = view.photo if isinstance(view.photo, str) else item.image
        seen = next((photo.garments for photo in item.photos if photo.image == image), ())
        shown = tuple(garments[one] for one in seen if one in garments)
        if shown or isinstance(item.sold, str):
            return shown or (garments[str(item.sold)],)
    return _all(garments, shared, item)


def _all(garments: Mapping[str, Facets], shared: Facets, item: Item) -> tuple[Facets, ...]:
    if garments:
        return tuple(garments.values())
    stated = _distinct((item.metadata.category, item.views[0].category))
    return ({**shared, CATEGORY: stated},) if stated else (shared,)


def reference_facets(metadata: Metadata, stated: Mapping[str, str], main: Garment | None) -> dict[str, str]:
    """One value a facet, for the caption of a composed query's reference."""
    found = dict(stated)
    if main is not None:
        found = {facet: attribute.value for facet, attribute in main.attributes.items()} | found
        found[CATEGORY] = main.category
        if main.colours:
            found[COLOUR] = main.colours[0].name
    elif metadata.category:
        found[CATEGORY] = metadata.category
    return found


def _chances(item: Item, main: Garment | None) -> Packed:
    """What the product probably is: by its photos, or (items of before) by what was sure of them; the shop's word replaces it."""
    if isinstance(item.chances, dict):
        seen: Packed = item.chances
    elif main is not None:
        seen = chances.of_attributes(main.attributes, main.colours, main.category)
    else:
        seen = {}
    said_of = item.metadata
    facets = tuple(said_of.facets.items())
    seen_as = seen_kind(main)
    told = _told(said_of.fabric, said_of.gender, facets, said_of.category_path, said_of.tags, said_of.category, seen_as)
    sold = main is None or is_of_kind(main, item.metadata.category)
    return chances.with_stated(seen, told) if sold else seen


@lru_cache(maxsize=8192)
def _told(
    fabric: str,
    gender: str,
    facets: tuple[tuple[str, str], ...],
    path: tuple[str, ...],
    tags: tuple[str, ...],
    category: str,
    seen: str,
) -> Mapping[str, str]:
    """What the shop says, the kind of the product among it. `seen`: what models call the garment. Do not write into it."""
    # A seventh of what a record cost, when it was read anew for each product.
    metadata = Metadata(
        fabric=fabric, gender=gender, facets=dict(facets), category_path=path, tags=tags, category=category
    )
    return {facet: attribute.value for facet, attribute in told_facets(metadata, seen).items()}


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
