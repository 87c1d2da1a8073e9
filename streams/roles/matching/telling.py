"""What is published on `search.matches`: the same bytes and ids however often a record is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from processors.errors import Poison
from processors.identity import split
from streams.contract import codecs, topics
from streams.contract.cloudevents import Headers, output_headers, rfc3339
from streams.contract.records import Hit, Match, QueryError, Source
from streams.engine.message import Message, derived_id
from streams.kafka.producer import Sender
from streams.roles.matching.pairs import pair_key, query_key

STAGE = "standing"


@dataclass(frozen=True, slots=True)
class Event:
    """One record of `search.matches`; `match` None: nothing is to stand under the key any more."""

    key: str
    match: Match | None
    headers: Headers


def of_product(
    message: Message,
    saved: Message,
    query_id: str,
    product: str,
    state: str,
    hit: Hit | None = None,
    reason: str = "",
    source: Source | None = None,
) -> Event:
    """What a product's record has made of a pair.

    Args:
        message: of `catalog.items`.
        saved: the query's record.
        query_id: of the query.
        product: its key.
        state: "met", "there" or "left".
        hit: of the product, where it meets the query.
        reason: why it left: "changed", "deleted", or "query" (that was saved anew).
        source: the product's record, where `message` is not it.
    """
    shop, product_id = split(product)
    match = Match(
        query_id=query_id,
        state=state,
        at=rfc3339(message.timestamp_ms),
        product_id=product_id,
        shop=shop,
        hit=hit,
        reason=reason,
        source=source or Source(*message.source),
        saved=Source(*saved.source),
    )
    return Event(pair_key(query_id, product), match, _headers(message, f"{query_id}/{saved.identity}/{state}"))


def of_query(
    saved: Message,
    query_id: str,
    state: str,
    partitions: Sequence[int],
    *,
    ignored: tuple[str, ...] = (),
    error: Poison | None = None,
) -> Event:
    """What has become of a standing query at the worker that holds these partitions."""
    match = Match(
        query_id=query_id,
        state=state,
        at=rfc3339(saved.timestamp_ms),
        saved=Source(*saved.source),
        ignored=ignored,
        error=None if error is None else QueryError(error.code, error.message, error.field),
        partitions=tuple(sorted(partitions)),
    )
    first = min(partitions, default=0)
    return Event(query_key(query_id, first), match, _headers(saved, f"{state}/{first}"))


def gone(message: Message, key: str) -> Event:
    """Nothing stands under a key of `search.matches` any more, because of this record."""
    return Event(key, None, _headers(message, f"gone/{key}"))


def _headers(message: Message, step: str) -> Headers:
    given = output_headers(message, stage=STAGE, topic=topics.MATCHES)
    return tuple((n, derived_id(v.decode(), step).encode()) if n == "ce_id" else (n, v) for n, v in given)


async def publish(sender: Sender, events: Sequence[Event]) -> None:
    """Hand events to the broker in order; returns when it has all of them.

    Raises:
        KafkaError, Retryable: it does not have some of them; all may be sent again.
    """
    waiting = []
    for event in events:
        value = None if event.match is None else codecs.encode(event.match)
        waiting.append(await sender.send(topics.MATCHES, key=event.key.encode(), value=value, headers=event.headers))
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(found, BaseException):
            raise found
