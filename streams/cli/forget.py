"""`weft forget`: products out of everything that keeps them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from infra.stores import open_store
from processors.identity import checked_shop
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.numbers import finite
from streams.cli.output import print_json, print_table, rows_table, say


@app.command()
def forget(
    products: Annotated[list[str] | None, typer.Argument(help="Products to forget.")] = None,
    shop: OfShop = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Look through every place afterwards, and count what is still there.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, callback=finite, help="Longest wait for the roles, in seconds.")
    ] = 60.0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Forget products, or (--shop alone) a whole shop: list each place with its state, and until when it keeps what."""
    from streams.kafka.store_claim import check
    from streams.ops.forget import Forget
    from streams.ops.forget_places import Report

    if not products and shop is None:
        say("say which: PRODUCT..., or --shop for all products of a shop")
        raise typer.Exit(Exit.USAGE)
    of, settings = checked_shop(shop, "--shop"), client_settings(data_dir)

    async def work() -> Report:
        store = await asyncio.to_thread(open_store, settings)
        await check(settings, store)
        return await Forget(settings, store, products or (), of, say, timeout).run(prove=prove)

    report = run(work())
    if as_json:
        print_json(report)
    else:
        rows = [(p.place, p.state, p.found or "", p.until or "", p.note) for p in report.places]
        print_table(rows_table(("place", "state", "left", "until", "note"), rows, ids=("place",)))
    if prove and not report.settled:
        raise typer.Exit(Exit.REJECTED)
