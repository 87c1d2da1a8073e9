"""`weft delete`, `query`: what a user of a running Weft does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.settings import Settings
from infra.stores import absolute
from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import result_table, say, show
from streams.contract.records import ImageRef, Query, Result
from streams.kafka.client import Client, new_query_id


@app.command()
def delete(
    product_ids: Annotated[list[str], typer.Argument(help="Products to forget, everywhere.")],
    data_dir: DataDir = None,
) -> None:
    """Delete products: from the items, the captions and the index."""

    async def work() -> None:
        async with Client(client_settings(data_dir)) as client:
            await client.delete(product_ids)

    run(work())
    say(f"asked for {len(product_ids)} products to be deleted")


@app.command()
def query(
    image: Annotated[Path | None, typer.Option(help="A photo to start from.")] = None,
    product: Annotated[str | None, typer.Option(help="A product of the catalogue to start from.")] = None,
    text: Annotated[str | None, typer.Option(help="What to look for, or what to change.")] = None,
    top_k: Annotated[int, typer.Option(help="How many products.")] = 10,
    filters: Annotated[list[str] | None, typer.Option("--filter", help="facet=value, repeatable.")] = None,
    deadline_ms: Annotated[int, typer.Option(help="How long the answer may take.")] = 5000,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Ask for products: by photo, by product, by words, or by both ("this, but navy")."""
    if image is not None and product is not None:
        say("--image and --product exclude each other")
        raise typer.Exit(Exit.USAGE)
    asked = Query(
        query_id=new_query_id(),
        image=None if product is None else ImageRef(product_id=product),
        text=text,
        filters=parsed_filters(filters or []),
        top_k=top_k,
        deadline_ms=deadline_ms,
    )
    result = run(_query(asked, image, data_dir))
    show(result, result_table(result), as_json=as_json)
    for warning in result.warnings:
        say(f"warning: {warning.message}")
    if result.error is not None:
        say(f"refused: {result.error.code}: {result.error.message}")
        raise typer.Exit(Exit.REJECTED)


def parsed_filters(pairs: list[str]) -> dict[str, tuple[str, ...]]:
    """`["gender=women", "gender=unisex"]` → `{"gender": ("women", "unisex")}`."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        facet, equals, value = pair.partition("=")
        if not (facet and equals and value):
            say(f"--filter {pair}: write facet=value, as in --filter category=dress")
            raise typer.Exit(Exit.USAGE)
        found[facet] = (*found.get(facet, ()), value)
    return found


async def _query(asked: Query, image: Path | None, data_dir: Path | None) -> Result:
    settings = client_settings(data_dir)
    if image is not None:
        from streams.ops.ask import photo_to_ask_with

        asked = msgspec.structs.replace(asked, image=await photo_to_ask_with(image, settings, time.time()))
    async with Client(settings) as client:
        return _resolved(await client.query(asked), settings)


def _resolved(result: Result, settings: Settings) -> Result:
    """With addresses that a person's tools can open: in events they are relative to the store."""
    hits = (msgspec.structs.replace(hit, image=absolute(settings, hit.image)) for hit in result.hits)
    return msgspec.structs.replace(result, hits=tuple(hits))
