"""`weft delete`, `query`: what a user of a running Weft does."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from infra.settings import Settings
from infra.stores import absolute
from processors.conditions import parted
from processors.errors import Poison
from processors.identity import checked_shop
from processors.offers import NUMBERS, column_named, split_sizes
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.numbers import finite
from streams.cli.output import garment_lines, result_notes, result_table, say, show
from streams.contract.records import Hit, ImageRef, Query, Result, Variant
from streams.kafka.client import Client, new_query_id

T = TypeVar("T", Hit, Variant)


@app.command()
def delete(
    product_ids: Annotated[list[str], typer.Argument(help="Products to forget, everywhere.")],
    shop: OfShop = None,
    data_dir: DataDir = None,
) -> None:
    """Delete products: from the items, the captions and the index."""

    async def work() -> None:
        async with Client(client_settings(data_dir)) as client:
            await client.delete(product_ids, shop=checked_shop(shop, "--shop"))

    run(work())
    say(f"asked for {len(product_ids)} products to be deleted")


@app.command()
def query(
    image: Annotated[Path | None, typer.Option(help="A photo to start from.")] = None,
    box: Annotated[
        str | None, typer.Option(help="x0,y0,x1,y1 in pixels of the photo: the one garment of it that is meant.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="A product of the catalogue to start from.")] = None,
    text: Annotated[str | None, typer.Option(help="What to look for, or what to change.")] = None,
    top_k: Annotated[int, typer.Option(help="How many products.")] = 10,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="facet=value, price<=50, price=20..50; repeatable.")
    ] = None,
    min_relevance: Annotated[
        float, typer.Option(callback=finite, help="Leave out hits that are less likely right, 0..1.")
    ] = 0.0,
    sort: Annotated[
        str | None, typer.Option(help="price, -price, launched or -launched, within bands of scores.")
    ] = None,
    score_band: Annotated[
        float, typer.Option(callback=finite, help="How far scores may lie apart to be sorted together.")
    ] = 0.05,
    offset: Annotated[int, typer.Option(help="How many products to pass over: of the pages before.")] = 0,
    collapse: Annotated[
        bool, typer.Option("--collapse/--no-collapse", help="One product a group, the others as its variants.")
    ] = True,
    collapse_duplicates: Annotated[
        bool, typer.Option("--collapse-duplicates", help="One product of those that show the same photo, as well.")
    ] = False,
    facets: Annotated[list[str] | None, typer.Option("--facet", help="Count this facet; repeatable.")] = None,
    fields: Annotated[
        list[str] | None, typer.Option("--field", help="Show what the shop says here ('*': all); repeatable.")
    ] = None,
    deadline_ms: Annotated[int, typer.Option(help="How long the answer may take.")] = 5000,
    shop: OfShop = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Ask for products: by photo, by product, by words, or by both ("this, but navy")."""
    if image is not None and product is not None:
        say("--image and --product exclude each other")
        raise typer.Exit(Exit.USAGE)
    if collapse_duplicates and not collapse:
        say("--collapse-duplicates and --no-collapse exclude each other")
        raise typer.Exit(Exit.USAGE)
    asked = Query(
        query_id=new_query_id(),
        image=None if product is None else ImageRef(product_id=product),
        text=text,
        filters=parsed_filters(filters or []),
        top_k=top_k,
        deadline_ms=deadline_ms,
        offset=offset,
        min_relevance=min_relevance,
        sort=sort,
        score_band=score_band,
        collapse="duplicates" if collapse_duplicates else collapse,
        facets=tuple(facets or ()),
        fields=tuple(fields or ()),
        shop=checked_shop(shop, "--shop") or None,
    )
    part = None if box is None else parsed_box(box, image)
    result = run(_query(asked, image, part, data_dir))
    show(result, result_table(result, offset), as_json=as_json)
    if not as_json:
        for line in (*garment_lines(result), *result_notes(result)):
            say(line)
    for warning in result.warnings:
        say(f"warning: {warning.message}")
    if result.error is not None:
        say(f"refused: {result.error.code}: {result.error.message}")
        raise typer.Exit(Exit.REJECTED)


def parsed_box(text: str, image: Path | None) -> tuple[float, float, float, float]:
    """`--box 10,20,110,220`; whether it lies in the photo, the query's own check tells."""
    if image is None:
        say("--box is of a photo: give one with --image")
        raise typer.Exit(Exit.USAGE)
    try:
        x0, y0, x1, y1 = (float(side) for side in text.split(","))
    except ValueError:
        say(f"--box {text}: write x0,y0,x1,y1 in pixels, as in --box 96,120,310,402")
        raise typer.Exit(Exit.USAGE) from None
    return x0, y0, x1, y1


_OPERATORS = {"<=": "lte", ">=": "gte", "<": "lt", ">": "gt"}
_FILTER = re.compile(r"(?P<name>[^<>=]+)(?P<operator><=|>=|<|>|=)(?P<value>.+)", re.DOTALL)


def parsed_filters(pairs: list[str]) -> dict[str, Any]:
    """`["gender=women", "gender=unisex", "price<=50"]` → `{"gender": ("women", "unisex"), "price": {"lte": 50.0}}`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, condition = _condition(pair)
        before = found.get(name)
        if before is None:
            found[name] = condition
        elif isinstance(condition, tuple) and isinstance(before, tuple):
            found[name] = (*before, *condition)
        elif isinstance(condition, dict) and isinstance(before, dict):
            found[name] = _both(before, condition)
        else:
            raise _wrong(pair, "a range and a value of one field exclude each other")
    try:
        parted(found)
    except Poison as error:
        say(f"--filter: {error}")
        raise typer.Exit(Exit.USAGE) from None
    return found


def _condition(pair: str) -> tuple[str, dict[str, Any] | tuple[str, ...]]:
    """The field that a condition is about, and its values or its range."""
    match = _FILTER.fullmatch(pair)
    if match is None or not match["name"].strip() or not match["value"].strip():
        raise _wrong(pair, "write facet=value, as in --filter category=dress, or price<=50")
    name, operator, value = match["name"].strip(), match["operator"], match["value"].strip()
    if operator != "=":
        return name, {_OPERATORS[operator]: _bound(name, value)}
    ends = value.split("..") if column_named(name) in NUMBERS else [value]
    if len(ends) == 2:
        if not any(ends):
            raise _wrong(pair, "write a bound, as in price=20.., price=..50 or price=20..50")
        return name, {bound: _bound(name, end) for bound, end in zip(("gte", "lte"), ends, strict=True) if end}
    values = split_sizes(value) if column_named(name) == "size" else (value,)
    if not values:
        raise _wrong(pair, "names no size")
    return name, values


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What both ranges hold: of two bounds of one kind the stricter counts, whichever comes first."""
    found = {**one, **other}
    for bound in one.keys() & other.keys():
        ends = [one[bound], other[bound]]
        if any(isinstance(end, str) for end in ends):  # a day, or no number: then the check tells of it
            ends = [end for end in ends if isinstance(end, str)]
        found[bound] = min(ends) if bound.startswith("l") else max(ends)
    return found


def _bound(name: str, text: str) -> float | str:
    """A number where it is one; the query's own check tells what else is wrong."""
    try:
        return text if column_named(name) == "launched" or "_" in text else float(text)
    except ValueError:
        return text


def _wrong(pair: str, message: str) -> typer.Exit:
    say(f"--filter {pair}: {message}")
    return typer.Exit(Exit.USAGE)


async def _query(
    asked: Query, image: Path | None, box: tuple[float, float, float, float] | None, data_dir: Path | None
) -> Result:
    settings = client_settings(data_dir)
    if image is not None:
        from streams.ops.ask import photo_to_ask_with

        given = await photo_to_ask_with(image, settings, time.time())
        asked = msgspec.structs.replace(asked, image=msgspec.structs.replace(given, box=box))
    async with Client(settings) as client:
        return _resolved(await client.query(asked), settings)


def _resolved(result: Result, settings: Settings) -> Result:
    """With addresses that a person's tools can open: in events they are relative to the store."""

    def opened(found: T) -> T:
        return msgspec.structs.replace(found, image=absolute(settings, found.image))

    def shown(hit: Hit) -> Hit:
        photo = absolute(settings, hit.photo) if hit.photo else ""
        return msgspec.structs.replace(opened(hit), photo=photo, variants=tuple(map(opened, hit.variants)))

    garments = tuple(msgspec.structs.replace(one, hits=tuple(map(shown, one.hits))) for one in result.garments)
    return msgspec.structs.replace(result, hits=tuple(map(shown, result.hits)), garments=garments)
