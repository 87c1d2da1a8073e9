"""Writing what `index.control` says of generations."""

from __future__ import annotations

import time

from streams.contract import codecs, topics
from streams.contract.cloudevents import rfc3339
from streams.contract.records import Generation
from streams.kafka.producer import Sender
from streams.search.generations import COLLECTION


def now_text() -> str:
    """The present, RFC 3339, UTC."""
    return rfc3339(round(time.time() * 1000))


def pointer(live: str, previous: str, answered: tuple[str, ...] = ()) -> Generation:
    """The record that makes a generation the one that answers. `answered`: those that did before `previous`."""
    return Generation(COLLECTION, live, "live", previous=previous, answered=answered, ready=True, at=now_text())


async def publish(sender: Sender, record: Generation) -> None:
    """Write a record of `index.control`; returns when the broker has it."""
    key, value = record.collection.encode(), codecs.encode(record)
    await (await sender.send(topics.CONTROL, key=key, value=value, partition=0))
