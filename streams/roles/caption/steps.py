"""What a product is between two stages of the role `caption`, and what is remembered of its caption."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from models.ports import WriterRequest
from processors.kit import PLAIN, Kit
from processors.values import Attribute, CaptionText, Evidence, StyleExample
from streams.contract.records import ContextUse, Item, Source
from streams.contract.version import VERSION
from streams.engine.message import Message
from streams.roles.context.articles import Applied


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a product's caption is remembered. `facts`: its text. `sight`: the caption with all that it shows."""

    facts: str
    sight: str


@dataclass(frozen=True, slots=True)
class Read:
    """An item with what it says by itself, and the keys of its memos; `plain`: those of the texts that nobody asked for anew."""

    item: Item
    event: str
    own: Evidence
    tone: str
    keys: Keys
    plain: Keys
    kit: Kit = PLAIN
    waits: tuple[str, ...] = ()
    """Why it has to wait, whatever it says: its upload names a kit that nobody has."""
    applied: tuple[Applied, ...] = ()
    """Articles that apply to it."""
    early: Message | None = None
    """The record, where it was sent again for articles that are not known yet."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An item with its evidence, made ready for the language model."""

    read: Read
    request: WriterRequest


class Written(msgspec.Struct, frozen=True):
    """What was written of some facts, and what neighbours had said to it: remembered under `Keys.facts`.

    `attributes`: of each garment, in order. `refused`: why each earlier draft was not used.
    """

    text: CaptionText
    attributes: tuple[dict[str, Attribute], ...]
    style_examples: tuple[StyleExample, ...]
    version: str = VERSION
    refused: tuple[tuple[str, ...], ...] = ()


class Shown(msgspec.Struct, frozen=True):
    """A caption as it was first published: remembered under `Keys.sight`.

    `source`: of the upload that it was first made for; `event`: the id of the item that it was first made for.
    """

    source: Source
    event: str
    written: Written
    caption: str = ""
    """The text with what articles say in it; "" where none does."""
    context: tuple[ContextUse, ...] = ()
