"""What the object store keeps of a product beside its photos: memos. They have no names that say whose they are, so all are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from infra.store import NotFound, ObjectStore
from streams.contract.records import Source
from streams.roles.caption.steps import Shown, Written
from streams.roles.memo import content_hash
from streams.roles.products import PREFIX

T = TypeVar("T")

MEMOS, CAPTIONS, NEIGHBOURS = "memo/", "memo/caption/", "neighbours/"
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Traces:
    """By what memos of the products are told.

    Args:
        sources: (partition, offset) of their uploads.
        texts: their captions.
        digests: hashes of their photos that no other product has.
        cited: ids that other products of the same shop may cite.
        shop: whose they are; "" for none.
        shops: (partition, offset) of every upload that is kept → its shop.
        standing: hashes of their keys.
    """

    sources: Collection[tuple[int, int]]
    texts: Collection[str]
    digests: Collection[str]
    cited: Collection[str]
    shop: str
    shops: Mapping[tuple[int, int], str]
    standing: Collection[str]
    versions: Collection[str] = field(default=())
    """Of facet heads: what was seen on a photo is kept for each."""


def memos_of(store: ObjectStore, traces: Traces) -> list[str]:
    """The keys of all memos that hold something of the products, or cite them. Blocking; reads every memo of a caption."""
    names = {*traces.digests, *(content_hash(d.encode(), v.encode()) for d in traces.digests for v in traces.versions)}
    found = [key for key in store.list(f"{PREFIX}/") if key.rpartition("/")[2] in traces.standing]
    small: list[str] = []
    captions: list[str] = []
    for key in store.list(MEMOS):
        stage, name = key.split("/")[1], key.rpartition("/")[2]
        if name in names or (stage.startswith("standing-") and name in traces.standing):
            found.append(key)
        elif key.startswith(CAPTIONS):
            captions.append(key)
        elif stage == "enrich" and name.startswith("item-"):
            small.append(key)
    found += [
        key
        for key, data in read_all(store, small)
        if (s := decoded(data, Source)) and (s.partition, s.offset) in traces.sources
    ]
    return found + _captions(store, captions, traces)


def _captions(store: ObjectStore, keys: list[str], traces: Traces) -> list[str]:
    """Of `Shown` the upload says whose it is; of `Written` only its text, which is that of some `Shown`."""
    texts, found = set(traces.texts), []
    written: list[tuple[str, str]] = []
    for key, data in read_all(store, keys):
        shown = decoded(data, Shown)
        if shown is not None:
            place = (shown.source.partition, shown.source.offset)
            theirs = traces.shops.get(place, traces.shop) == traces.shop
            if place in traces.sources or (theirs and cites(shown.written, traces.cited)):
                texts.add(shown.written.text.caption)
                found.append(key)
        elif (plain := decoded(data, Written)) is not None:
            written.append((key, plain.text.caption))
    return found + [key for key, text in written if text in texts]


def cites(written: Written, ids: Collection[str]) -> bool:
    """Whether a product voted, or lent its tone."""
    voters = {n for garment in written.attributes for attribute in garment.values() for n in attribute.neighbours}
    return not voters.isdisjoint(ids) or any(example.product_id in ids for example in written.style_examples)


def read_all(store: ObjectStore, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    def one(key: str) -> tuple[str, bytes]:
        try:
            return key, store.get(key)
        except NotFound:
            return key, b""

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="forget") as pool:
        yield from pool.map(one, keys)


def decoded(data: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def remove(store: ObjectStore, keys: Iterable[str], on_removed: Callable[[str], None] = lambda _: None) -> int:
    """Delete objects; how many. Blocking."""
    count = 0
    for key in keys:
        store.delete(key)
        on_removed(key)
        count += 1
    return count
