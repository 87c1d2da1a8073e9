"""The labelled neighbours of the caption role: a bounded view of `catalog.items`, kept beside the language model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import structlog

from index_sync.bank import LabelledBank, Neighbour
from processors import attributes, policies
from processors.errors import Poison
from processors.garments import is_of_kind, kind_of, main_garment
from processors.values import CATEGORIES, Metadata, Vector
from streams.contract import codecs
from streams.contract.records import Item
from streams.engine.message import Message

log = structlog.get_logger("weft.caption")

KIND_CAPACITY = 10_000
"""Labelled products of one kind of garment that are kept; the one written longest ago gives way. There are eleven kinds."""
MAX_ENCODERS = 2
"""While a catalogue is embedded anew, items of the old and of the new encoder are about; older ones are history."""
SNIPPET = 200
"""Characters of the shop's own copy that are kept as an example of its tone."""


class Neighbourhood:
    """One bank for each encoder and kind of garment. One writer (`apply`), many readers.

    Vectors of different makers never meet; nor do shoes and dresses, for the nearest dress of a catalogue of dresses knows
    nothing of a shoe.

    Args:
        voted: the facets that neighbours may decide; a product that knows none of them is no neighbour.
        capacity: products of each kind.
    """

    def __init__(self, voted: Sequence[str] = policies.Policies().voted(), capacity: int = KIND_CAPACITY) -> None:
        self._voted = tuple(voted)
        self._capacity = capacity
        self._banks: OrderedDict[str, dict[str, LabelledBank]] = OrderedDict()

    def apply(self, message: Message) -> None:
        """Take in one record of `catalog.items`. What cannot be read is left to the pipeline, which reports it."""
        product_id = (message.key or b"").decode("utf-8", "replace")
        if message.value is None:
            self._remove(product_id, message.offset)
            return
        try:
            item = codecs.decode_item(message.value)
            self._add(item, message.offset)
        except Poison as error:
            log.info("no neighbour", product_id=product_id, cause=str(error))

    def find(self, encoder: str, kind: str, vector: Vector, k: int, exclude: str) -> Sequence[Neighbour]:
        """The `k` nearest labelled products of the same encoder and kind (see `kind_of_item`), nearest first.

        Without `exclude`, the product that asks.
        """
        bank = self._banks.get(encoder, {}).get(_shelf(kind))
        return () if bank is None else bank.neighbours(vector, k, exclude)

    def _add(self, item: Item, version: int) -> None:
        labels = labels_of(item.metadata, self._voted)
        garment = main_garment(item.garments, item.metadata.category)
        # Labelled once and no more, or seen as another kind than before: what the shop took back must not vote, and what it
        # says of a dress says nothing of the shoes, where only those were found.
        told = bool(labels) and (garment is None or is_of_kind(garment, item.metadata.category))
        kind = _shelf(kind_of_item(item))
        self._remove(item.product_id, version, but=(item.encoder, kind) if told else None)
        if not told:
            return
        vector = vector_of(item, "whole" if garment is None else garment.id)
        if vector is None:
            raise Poison("the item has no vector of its main garment", field="views")
        text = item.metadata.description or item.metadata.title
        self._bank(item, kind).add(item.product_id, version, vector, labels, text[:SNIPPET])

    def _bank(self, item: Item, kind: str) -> LabelledBank:
        if item.encoder not in self._banks:
            self._banks[item.encoder] = {}
            while len(self._banks) > MAX_ENCODERS:
                self._banks.popitem(last=False)
        kinds = self._banks[item.encoder]
        if kind not in kinds:
            # As a new dict: `find` reads in another thread.
            kinds = self._banks[item.encoder] = {**kinds, kind: LabelledBank(item.dimension, self._capacity)}
        return kinds[kind]

    def _remove(self, product_id: str, version: int, but: tuple[str, str] | None = None) -> None:
        for encoder, kinds in self._banks.items():
            for kind, bank in kinds.items():
                if (encoder, kind) != but:
                    bank.remove(product_id, version)


def kind_of_item(item: Item) -> str:
    """The kind of garment that a product is: what was found, else what the shop says; "" when neither tells."""
    garment = main_garment(item.garments, item.metadata.category)
    return kind_of(item.metadata.category) if garment is None else garment.category


def _shelf(kind: str) -> str:
    """The name of a kind's bank: all that is no class of the detector shares one, so that their number is bounded."""
    return kind if kind in CATEGORIES else ""


def vector_of(item: Item, view_id: str) -> Vector | None:
    """The vector of one view of an item: float32, (dimension,)."""
    view = next((view for view in item.views if view.id == view_id), None)
    return None if view is None else np.frombuffer(view.vector, dtype="<f4")


def labels_of(metadata: Metadata, voted: Sequence[str]) -> dict[str, str]:
    """What a labelled product may teach its neighbours."""
    return {facet: a.value for facet, a in attributes.attributes_of(metadata).items() if facet in voted}
