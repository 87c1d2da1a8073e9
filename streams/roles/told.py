"""What uploads say of their products, as it leaves the stages of `enrich`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from processors.product import Change
from streams.contract.records import Source
from streams.engine.message import Message
from streams.roles.items import PhotoContent


@dataclass(frozen=True, slots=True)
class Told:
    """What an upload says, and what the models made of its photos: of those it gives, or else of those the product had.

    `product`: its key (`processors.identity`). `contents`: by the photos' digests; what is not there is looked up where it is needed.
    """

    product: str
    change: Change
    contents: Mapping[str, PhotoContent]
    source: Source


class ToldColumns(msgspec.Struct, frozen=True, gc=False):
    """What a part says that gives columns alone (`streams.contract.part_of_columns`), of a product that is known.

    `contents`: as of `Told`; one for all of its product that have arrived together.
    """

    product: str
    columns: dict[str, Any]
    contents: Mapping[str, PhotoContent]
    version: int | float | None = None

    def told(self, message: Message) -> Told:
        """The same as any upload says it."""
        return Told(
            self.product, Change(self.columns, version=self.version), self.contents, Source(*message.first_source)
        )
