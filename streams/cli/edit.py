"""`weft edit`: a garment of a photo becomes what words say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from msgspec import structs

from infra.stores import absolute, open_store
from processors.errors import Retryable
from processors.identity import checked_shop
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.client import parsed_box
from streams.cli.exits import Exit
from streams.cli.output import new_table, print_json, print_table, say, shown
from streams.contract.edits import EditRequest, EditResult
from streams.contract.records import ImageRef


@app.command()
def edit(
    text: Annotated[str, typer.Option(help="What the garment is to become.")],
    image: Annotated[Path | None, typer.Option(help="The photo.")] = None,
    product: Annotated[str | None, typer.Option(help="A product of the catalogue, instead of a photo.")] = None,
    garment: Annotated[str | None, typer.Option(help="Which garment, as a result names it: g0.")] = None,
    box: Annotated[str | None, typer.Option(help="x0,y0,x1,y1 in pixels of the photo: the garment.")] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="A product whose look is wanted, instead of those the words find; up to 3.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Where patterns begin; the same seed gives the same bytes.")] = None,
    consent: Annotated[
        bool | None, typer.Option("--consent/--no-consent", help="Who is to be seen on the photo has agreed.")
    ] = None,
    mark: Annotated[bool, typer.Option(help="Write on the garment that it was edited.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write the image (PNG).")] = None,
    deadline_ms: Annotated[int, typer.Option(help="How long it may take.")] = 60_000,
    shop: OfShop = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Give a garment the colour, texture and print of one of the catalogue; its folds and its light stay."""
    if (image is None) == (product is None):
        say("give one of --image and --product")
        raise typer.Exit(Exit.USAGE)
    asked = EditRequest(
        request_id="",
        text=text,
        product=product,
        garment=garment,
        box=None if box is None else parsed_box(box, image),
        references=tuple(reference or ()),
        seed=seed,
        consent=consent,
        mark=mark,
        deadline_ms=deadline_ms,
        shop=checked_shop(shop, "--shop") or None,
    )
    result = run(_edit(asked, image, data_dir, out))
    if as_json:
        print_json(result)
    else:
        _print(result, out)
    if result.error is not None:
        say(f"refused: {result.error.code}: {result.error.message}")
        raise typer.Exit(Exit.REJECTED)


async def _edit(asked: EditRequest, image: Path | None, data_dir: Path | None, out: Path | None) -> EditResult:
    import asyncio

    from streams.kafka.client import Client, new_query_id
    from streams.ops.ask import photo_to_ask_with

    settings = client_settings(data_dir)
    given: ImageRef | None = None
    if image is not None:
        given = await photo_to_ask_with(image, settings, time.time())
    asked = structs.replace(asked, request_id=new_query_id().replace("q-", "e-", 1), image=given)
    async with Client(settings) as client:
        result = await client.edit(asked)
    if out is not None and result.image:
        store = await asyncio.to_thread(open_store, settings)
        key = store.key_of(result.image)
        if key is None:
            raise Retryable(f"{result.image} is not in the store of this stack")
        data = await asyncio.to_thread(store.get, key)
        await asyncio.to_thread(out.write_bytes, data)
    return structs.replace(
        result,
        **{
            name: absolute(settings, address)
            for name in ("image", "mask", "manifest")
            if (address := getattr(result, name))
        },
    )


def _print(result: EditResult, out: Path | None) -> None:
    table = new_table("product", "score", "category", "used", ids=("product",))
    for one in result.retrieved:
        table.add_row(shown(one.product_id), f"{one.score:.3f}", shown(one.category), "yes" if one.used else "")
    if result.retrieved:
        print_table(table)
    if result.image:
        say(f"{'written to ' + str(out) if out is not None else result.image} ({result.method}, {result.took_ms} ms)")
        if result.garment is not None:
            say(f"edited: {result.garment.id} ({result.garment.category})")
        if result.from_words:
            say(f"by the words alone, as no garment of the catalogue has it: {', '.join(result.from_words)}")
    for warning in result.warnings:
        say(f"warning: {warning}")
