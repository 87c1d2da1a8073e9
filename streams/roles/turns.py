"""One product among results that are published at once: what each of them makes of it, and which of them have an item.

Columns are what comes thousands of times a second, so a row of them is joined into one state: what is looked at for each is whether
it says anything new. `Product.after` of each by itself would give the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from processors.product import MAX_REMOVED, Product, Said, Stamp
from streams.contract.records import Source
from streams.engine.message import Message
from streams.roles.items import PhotoContent
from streams.roles.product_states import Kept, Known
from streams.roles.told import ToldColumns

DELETED = b"deleted"
"""In place of the hash of an item, where a deletion stands."""
NOT_MADE = b"not made"
"""In place of the hash of an item that is not made yet, or never, as the next columns of its product are published with it."""


@dataclass(slots=True)
class Change:
    """A result that changes its product, or may not be passed over. `kept`: what it leaves. `columns`: whether it says columns only.

    `repeat`: whether its item is published even where it stands.
    """

    message: Message
    kept: Kept
    repeat: bool
    changed: bool
    columns: bool


@dataclass(slots=True)
class _Row:
    """Columns that follow each other. `said`: name → value, and when it was said last; `at`: when anything was; `news`: the last that
    changed anything.
    """

    at: Stamp
    said: dict[str, tuple[Any, Stamp]] = field(default_factory=dict)
    news: Message | None = None


@dataclass(slots=True)
class Turn:
    """`known`: before the results; `kept`: after those that were looked at, once `close` was called."""

    known: Known
    kept: Kept
    changes: list[Change] = field(default_factory=list)
    changed: bool = False
    contents: dict[str, PhotoContent] = field(default_factory=dict)
    _row: _Row | None = None

    def add(self, change: Change) -> None:
        """Of prices and stock that arrive together only the last has an item; whatever else changed has one of its own."""
        if self.changes and self.changes[-1].columns and change.columns:
            before = self.changes.pop()
            change.repeat |= before.repeat
            change.changed |= before.changed
        self.changes.append(change)
        self.kept = change.kept

    def says(self, message: Message, told: ToldColumns, maker: str, topic: str) -> bool | None:
        """Take the columns of a record in (`streams.contract.part_of_columns`); whether they say anything new.

        None: they were not taken in, as their place among what was said before has to be worked out field by field.

        Args:
            message: the record; those of a product in the order of their partition.
            told: what it says.
            maker: what makes items now.
            topic: the id of the topic of items.
        """
        row, product = self._row, self.kept.product
        latest = product.latest if row is None else row.at.version
        version = latest if told.version is None else told.version
        at = Stamp(version, max(message.timestamp_ms, 0), message.partition, message.offset)
        if row is None and not (stands(self.kept, topic, maker) and self.kept.source and _is_newest(at, product)):
            return None
        said, in_row, news, newer = (
            product.said,
            {} if row is None else row.said,
            False,
            row is None or row.at.before(at),
        )
        for name, value in told.columns.items():
            if (last := in_row.get(name)) is not None:
                news |= last[0] != value
            elif (known := said.get(name)) is None:
                news |= value is not None
            else:
                newer &= known.at.partition == at.partition and known.at.before(at)
                news |= known.value != value
        if not newer:
            self.close(maker, topic)
            return None
        if row is None:
            row = self._row = _Row(at)
        for name, value in told.columns.items():
            row.said[name] = value, at
        row.at = at
        if news:
            row.news = message
        return news

    def close(self, maker: str, topic: str) -> None:
        """What was taken in by `says` is in `kept` and `changes` from now on; arguments as there."""
        row, self._row = self._row, None
        if row is None:
            return
        before, at = self.kept.product, row.at
        said = dict(before.said)
        for name, (value, when) in row.said.items():
            if value is None and when.version is None:
                said.pop(name, None)  # nothing older can come any more
            else:
                said[name] = Said(value, when)
        seen = {**before.seen, at.partition: at.offset}
        product = msgspec.structs.replace(before, said=said, touched=at, latest=at.version, seen=seen)
        if row.news is None:
            self.changed |= at.version is not None  # a newer version has to be known, though it says the same
            self.kept = msgspec.structs.replace(self.kept, product=product)
            return
        self.changed = True
        kept = Kept(product, NOT_MADE, topic, maker, Source(*row.news.source))
        self.add(Change(row.news, kept, repeat=True, changed=True, columns=True))


def _is_newest(at: Stamp, product: Product) -> bool:
    """Whether a record counts after all that was said of its product, by its version and its place in the partition alone."""
    if product.has_seen(at.partition, at.offset) or len(product.said) > MAX_REMOVED // 2:
        return False
    others = (product.replaced, product.deleted, product.touched)
    return all(one is None or (one.partition == at.partition and one.before(at)) for one in others)


def stands(kept: Kept, topic: str, maker: str) -> bool:
    """Whether what is known of a product was made into its item, which stands on this very topic, by what would make it now."""
    return (kept.topic, kept.made) == (topic, maker) and kept.digest not in {b"", DELETED} and kept.product.alive
