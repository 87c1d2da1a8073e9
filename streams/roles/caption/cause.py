"""Of what a caption is made: everything that an item says but its columns, and everything that the worker adds to it.

A caption is a function of that, once it is written: of an item with the cause of the caption that stands, nothing needs to be
decoded, remembered or compared. Articles are no part of it: of products whose articles change the role `context` sends the items
again, and says so in a header.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from streams.engine.message import ANSWER, CONTEXT, EDITION, PRIORITY, Message
from streams.roles.essence import essence_of
from streams.roles.outcome import Causes

_ASKS_FOR_MORE = frozenset({ANSWER, CONTEXT, EDITION, PRIORITY})
"""Headers of items of which more is wanted than that their caption stands."""


def cause_of(made_by: Any) -> Causes:
    """What tells the cause of a record of `catalog.items`; b"" of a deletion, of what is no item, and of one that asks for more.

    Args:
        made_by: all that makes another caption of the same item: writer, votes, policies, kits, rules, code. As MessagePack has it.
    """
    rules = blake2b(msgspec.msgpack.encode(made_by)).digest()

    def cause(message: Message) -> bytes:
        if message.value is None or any(name in _ASKS_FOR_MORE for name, _ in message.headers):
            return b""
        return essence_of(message.value, rules)[0]

    return cause
