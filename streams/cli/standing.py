"""`weft standing`: queries that stand, and what meets them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.settings import Settings
from processors.errors import Poison
from processors.identity import checked_shop
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.client import parsed_box, parsed_filters
from streams.cli.exits import Exit
from streams.cli.numbers import finite
from streams.cli.output import out, print_json, say, shown
from streams.contract import codecs, topics
from streams.contract.records import ImageRef, Match, Query
from streams.engine.message import Message
from streams.kafka.client import Client, Reader

standing_app = typer.Typer(
    no_args_is_help=True, help="Queries that stand: save, list and remove them, and see what meets them."
)
app.add_typer(standing_app, name="standing")

Name = Annotated[str, typer.Argument(help="Name of the query: its key on search.standing.")]
_OF_QUERY = ("watching", "refused", "suspended")


@standing_app.command()
def add(
    name: Name,
    image: Annotated[Path | None, typer.Option(help="A photo: products like it.")] = None,
    box: Annotated[
        str | None, typer.Option(help="x0,y0,x1,y1 in pixels of the photo: the one garment of it that is meant.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="A product of the catalogue: products like it.")] = None,
    text: Annotated[str | None, typer.Option(help="What to look for, or what to change.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="facet=value, price<=50, price=20..50; repeatable.")
    ] = None,
    min_relevance: Annotated[
        float,
        typer.Option(
            callback=finite, help="How likely right a product must be, 0..1; 0: .5, as for a confident result."
        ),
    ] = 0.0,
    fields: Annotated[
        list[str] | None, typer.Option("--field", help="Tell what the shop says here ('*': all); repeatable.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, callback=finite, help="Seconds to wait until it is watched for; 0: not at all.")
    ] = 60.0,
    shop: OfShop = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Save a query. From then on search.matches tells of each product that begins, or ceases, to meet it. With --json: one Match."""
    if image is not None and product is not None:
        say("--image and --product exclude each other")
        raise typer.Exit(Exit.USAGE)
    query = Query(
        query_id=name,
        image=None if product is None else ImageRef(product_id=product),
        text=text,
        filters=parsed_filters(filters or []),
        min_relevance=min_relevance,
        fields=tuple(fields or ()),
        shop=checked_shop(shop, "--shop") or None,
    )
    part = None if box is None else parsed_box(box, image)
    said = run(_add(client_settings(data_dir), query, image, part, wait))
    if said is None:
        say(
            f"saved {name}"
            + (f"; nobody watches for it after {wait:.0f} s: is the role standing running?" if wait else "")
        )
        raise typer.Exit(Exit.TIMEOUT if wait else Exit.OK)
    if as_json:
        print_json(said)
    elif said.state == "watching":
        say(f"saved {name}; it is watched for" + (f"; not followed: {', '.join(said.ignored)}" if said.ignored else ""))
    if said.state != "watching":
        say(
            f"{said.state}: {'' if said.error is None else f'{said.error.code}: {said.error.field} {said.error.message}'}"
        )
        raise typer.Exit(Exit.REJECTED)


@standing_app.command()
def remove(name: Name, data_dir: DataDir = None) -> None:
    """End a standing query: nothing is told of it any more."""
    run(_save(client_settings(data_dir), name, None))
    say(f"removed {name}")


@standing_app.command("list")
def list_queries(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """The standing queries, with what has become of each and how many products meet it now. With --json: one a line."""
    for one in run(_listed(client_settings(data_dir))):
        _tell(one, f"{one.query_id}: {one.state}, {one.products} products; {one.asks}", as_json=as_json)


@standing_app.command()
def matches(
    name: Annotated[str | None, typer.Argument(help="Of this query alone.")] = None,
    follow: Annotated[bool, typer.Option(help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """What meets standing queries now (search.matches); with --follow, also what comes. With --json: one Match a line."""

    async def work() -> None:
        def tell(raw: Message) -> None:
            match = match_in(raw)
            if match is not None and name in {None, match.query_id}:
                _tell(match, _line(match), as_json=as_json)

        async with Reader(client_settings(data_dir), topics.MATCHES) as reader:
            for raw in await last_of_each(reader.to_end()):
                tell(raw)
            if follow:
                async for raw in reader.follow():
                    tell(raw)

    run(work())


async def last_of_each(records: AsyncIterator[Message]) -> list[Message]:
    """The last record of every key, deletions too, in the order they came. What was taken back lies on a compacted topic
    beside its deletion until that is compacted, and meets nothing any more.
    """
    last: dict[bytes | None, Message] = {}
    async for raw in records:
        last.pop(raw.key, None)
        last[raw.key] = raw
    return list(last.values())


def _tell(value: object, line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        out.print(shown(line), soft_wrap=True)


def match_in(raw: Message) -> Match | None:
    """The match in a record; None for a deletion, and for what is none."""
    try:
        return None if raw.value is None else codecs.decode_match(raw.value)
    except Poison:
        return None


def _line(match: Match) -> str:
    hit = match.hit
    relevance = "" if hit is None or isinstance(hit.relevance, msgspec.UnsetType) else f" ({hit.relevance:.2f})"
    return f"{match.at} {match.query_id}: {match.product_id or 'the query'} {match.state}{relevance} {match.reason}".rstrip()


async def _add(
    settings: Settings, query: Query, image: Path | None, box: tuple[float, float, float, float] | None, wait: float
) -> Match | None:
    if image is not None:
        from streams.ops.ask import photo_to_ask_with

        given = await photo_to_ask_with(image, settings, time.time())
        query = msgspec.structs.replace(query, image=msgspec.structs.replace(given, box=box))
    async with Reader(settings, topics.MATCHES, from_end=True) as reader:
        await _save(settings, query.query_id, query)
        try:
            async with asyncio.timeout(wait or 0.001):
                async for raw in reader.follow():
                    match = match_in(raw)
                    if match is not None and match.query_id == query.query_id and match.state in _OF_QUERY:
                        return match
        except TimeoutError:
            return None
    return None


async def _save(settings: Settings, query_id: str, query: Query | None) -> None:
    async with Client(settings) as client:
        await client.save_query(query_id, query)


class Listed(msgspec.Struct, frozen=True):
    """A standing query, as `weft standing list --json` prints it. `state`: "saved" until the role has read it."""

    query_id: str
    state: str
    products: int
    asks: str
    error: str = ""


async def _listed(settings: Settings) -> list[Listed]:
    from streams.kafka.key_order import LastSaid

    saved: dict[str, Query | str] = {}
    last_said = LastSaid()
    async with Reader(settings, topics.STANDING) as reader:
        async for raw in reader.to_end():
            if not last_said.counts(raw):
                continue
            key = (raw.key or b"").decode(errors="replace")
            saved.pop(key, None)
            if raw.value is not None:
                try:
                    saved[key] = codecs.decode_standing(raw)
                except Poison as error:
                    saved[key] = str(error)
    async with Reader(settings, topics.MATCHES) as reader:
        last = [match_in(raw) for raw in await last_of_each(reader.to_end())]
    found = []
    for query_id, query in saved.items():
        own = [match for match in last if match is not None and match.query_id == query_id]
        states = [match for match in own if match.state in _OF_QUERY]
        newest = max(states, key=lambda match: match.at, default=None)
        met = sum(match.state in {"met", "there"} for match in own)
        cause = newest.error.message if newest is not None and newest.error is not None else ""
        asks = query if isinstance(query, str) else _asks(query)
        found.append(Listed(query_id, "saved" if newest is None else newest.state, met, asks, cause))
    return found


def _asks(query: Query) -> str:
    image = query.image
    parts = [
        "" if image is None else f"like {image.product_id}" if image.product_id else "like a photo",
        query.text or "",
        msgspec.json.encode(query.filters).decode() if query.filters else "",
        "" if query.shop is None else f"of {query.shop}",
    ]
    return ", ".join(part for part in parts if part)
