"""What stands for the cluster, the facet heads and what is known of products where nobody hands them to `Enrich`: a photo that is looked at by itself."""

from __future__ import annotations

from processors.facets import Heads
from streams.engine.message import ANSWER, Message
from streams.kafka.key_order import Here, Verdict
from streams.roles.product_states import Kept


async def anywhere(_message: Message) -> None:
    """Every place is good."""


def no_heads() -> Heads | None:
    return None


def unheard(_facet: str) -> None:
    """Tell nobody."""


async def here(_message: Message, _product: bytes) -> Verdict:
    return Here()


async def unknown(_product_id: str) -> Kept:
    return Kept()


def is_waited_for(message: Message) -> bool:
    return message.header(ANSWER) is not None


async def none(_product_id: str) -> Kept | None:
    return None
