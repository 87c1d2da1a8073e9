"""Edits in which a product has a part: those of its photo, and those that have its look.

Their manifests say so. An edit's mask is named there; its image is the one of the same hour that holds the manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec

from infra.store import ObjectStore
from processors.errors import Poison
from processors.identity import key_of
from streams.contract import topics
from streams.contract.edits import EditRequest, EditResult
from streams.engine.message import Message
from streams.ops.forget_look import Meant
from streams.ops.forget_memos import read_all
from streams.ops.forget_places import Place
from streams.roles.edit.role import PREFIX

EDITS = (topics.EDIT_REQUESTS, topics.EDIT_RESULTS)
"""Read-only."""


class _Ingredient(msgspec.Struct, frozen=True):
    title: str = ""
    hash: str = ""
    shop: str = ""


class _Data(msgspec.Struct, frozen=True):
    label: str
    data: msgspec.Raw


class _Hash(msgspec.Struct, frozen=True):
    hash: str = ""


class _Manifest(msgspec.Struct, frozen=True):
    assertions: tuple[_Data, ...] = ()


class _Edit(NamedTuple):
    """An edit, as its manifest tells it. `hour`: the prefix of its keys."""

    key: str
    hour: str
    manifest: bytes
    ingredients: tuple[_Ingredient, ...]
    mask: str


def edits_of(store: ObjectStore, meant: Meant, digests: Collection[str]) -> list[str]:
    """The keys of their images, masks and manifests. Blocking; reads every manifest, and the images of the hours that it finds some in.

    Args:
        store: where edits lie.
        meant: which products.
        digests: hashes of their photos that no other product has.
    """
    keys = list(store.list(PREFIX))
    edits = list(_edits(store, [key for key in keys if key.endswith(".json")]))
    ours = [one for one in edits if _has_part(one, meant, digests)]
    if not ours:
        return []
    others = {f"{one.hour}-{one.mask}.png" for one in edits if not _has_part(one, meant, digests)}
    masks = {f"{one.hour}-{one.mask}.png" for one in ours} - others
    hours = {one.hour for one in ours}
    images = [key for key in keys if key.endswith(".png") and _hour(key) in hours and key not in masks | others]
    found = {one.key for one in ours} | (masks & set(keys))
    for key, data in read_all(store, images):
        if any(one.hour == _hour(key) and one.manifest in data for one in ours):
            found.add(key)
    return sorted(found)


def names_one(record: Message, meant: Meant, digests: Collection[str]) -> bool:
    """Whether a record of `EDITS` names one of the products, or shows that its photo was edited."""
    try:
        if record.topic == topics.EDIT_REQUESTS:
            asked = msgspec.json.decode(record.value or b"", type=EditRequest)
            own = None if asked.image is None else asked.image.product_id
            named = [*asked.references, *(one for one in (asked.product, own) if one)]
            return any(meant(key_of(asked.shop or "", one)) for one in named)
        result = msgspec.json.decode(record.value or b"", type=EditResult)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Poison):
        return False
    photo = "" if result.lineage is None else result.lineage.input
    return photo in digests or any(meant(key_of(result.shop, hit.product_id)) for hit in result.retrieved)


def place_of(left: Collection[str], *, prove: bool) -> Place:
    """What is said of the store's edits."""
    note = "made while they were removed: run it again" if left else ""
    return Place("edits", "kept" if prove and left else "gone", len(left), None, note)


def _edits(store: ObjectStore, keys: list[str]) -> Iterator[_Edit]:
    for key, data in read_all(store, keys):
        try:
            found = {one.label: one.data for one in msgspec.json.decode(data, type=_Manifest).assertions}
            ingredients = msgspec.json.decode(found["c2pa.ingredient.v3"], type=tuple[_Ingredient, ...])
            mask = msgspec.json.decode(found["weft.mask"], type=_Hash).hash
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
            continue  # gone meanwhile, or nothing that the role wrote
        yield _Edit(key, _hour(key), data, ingredients, mask)


def _has_part(edit: _Edit, meant: Meant, digests: Collection[str]) -> bool:
    return any(one.hash in digests or (one.title and meant(key_of(one.shop, one.title))) for one in edit.ingredients)


def _hour(key: str) -> str:
    return key.rpartition("-")[0]
