"""The labelled neighbours of the caption role: a bounded view of `catalog.items`, kept beside the language model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import structlog

from index_sync.bank import LabelledBank, Neighbour
from processors import attributes
from processors.errors import Poison
from processors.garments import main_garment
from processors.values import Metadata, Vector
from streams.contract import codecs
from streams.contract.records import Item
from streams.engine.message import Message

log = structlog.get_logger("weft.caption")

VOTED = ("fabric", "gender")
"""The facets that a photo alone does not tell, and neighbours do."""
MAX_ENCODERS = 2
"""While a catalogue is embedded anew, items of the old and of the new encoder are about; older ones are history."""
SNIPPET = 200
"""Characters of the shop's own copy that are kept as an example of its tone."""


class Neighbourhood:
    """One bank for each encoder: vectors of different makers never meet. One writer (`apply`), many readers."""

    def __init__(self, capacity: int = 50_000) -> None:
        self._capacity = capacity
        self._banks: OrderedDict[str, LabelledBank] = OrderedDict()

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

    def find(self, encoder: str, vector: Vector, k: int, exclude: str) -> Sequence[Neighbour]:
        """The `k` nearest labelled products of the same encoder, nearest first, without `exclude`."""
        bank = self._banks.get(encoder)
        return () if bank is None else bank.neighbours(vector, k, exclude)

    def _add(self, item: Item, version: int) -> None:
        labels = labels_of(item.metadata)
        if not labels:
            # It was labelled once, perhaps: what the shop took back must not vote.
            self._remove(item.product_id, version)
            return
        garment = main_garment(item.garments, item.metadata.category)
        vector = vector_of(item, "whole" if garment is None else garment.id)
        if vector is None:
            raise Poison("the item has no vector of its main garment", field="views")
        bank = self._banks.get(item.encoder)
        if bank is None:
            bank = self._banks[item.encoder] = LabelledBank(item.dimension, self._capacity)
            while len(self._banks) > MAX_ENCODERS:
                self._banks.popitem(last=False)
        text = item.metadata.description or item.metadata.title
        bank.add(item.product_id, version, vector, labels, text[:SNIPPET])

    def _remove(self, product_id: str, version: int) -> None:
        for bank in self._banks.values():
            bank.remove(product_id, version)


def vector_of(item: Item, view_id: str) -> Vector | None:
    """The vector of one view of an item: float32, (dimension,)."""
    view = next((view for view in item.views if view.id == view_id), None)
    return None if view is None else np.frombuffer(view.vector, dtype="<f4")


def labels_of(metadata: Metadata) -> dict[str, str]:
    """What a labelled product may teach its neighbours."""
    return {facet: a.value for facet, a in attributes.attributes_of(metadata).items() if facet in VOTED}
