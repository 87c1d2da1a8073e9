"""`weft captions`: what the captions say, and asking for other ones."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from processors.identity import checked_shop, key_of, shop_of, split
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import captions_table, out, print_json, print_table, say, shown
from streams.contract import topics
from streams.contract.records import Caption
from streams.kafka.client import Client, Reader, caption_in

captions_app = typer.Typer(
    help="Show the captions as they stand; with --follow, every one from the first on, until Ctrl-C.",
    invoke_without_command=True,
)
app.add_typer(captions_app, name="captions")


@captions_app.callback()
def captions(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing captions as they come.")] = False,
    shop: Annotated[str | None, typer.Option("--shop", help="Only of this shop's products.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the captions as they stand; with --follow, every one from the first on, until Ctrl-C."""
    if context.invoked_subcommand is None:
        checked_shop(shop, "--shop")
        work = _follow if follow else _captions
        run(work(shop, as_json=as_json, data_dir=data_dir))


async def _captions(shop: str | None, *, as_json: bool, data_dir: Path | None) -> None:
    async with Client(client_settings(data_dir)) as client:
        everything = (await client.captions()).values()
    found = [caption for caption in everything if shop in {None, caption.shop}]
    if as_json:
        for caption in found:
            print_json(caption)
    else:
        print_table(captions_table(found))


async def _follow(shop: str | None, *, as_json: bool, data_dir: Path | None) -> None:
    async with Reader(client_settings(data_dir), topics.CAPTIONS) as reader:
        async for raw in reader.follow():
            if shop not in {None, shop_of((raw.key or b"").decode("utf-8", "replace"))}:
                continue
            if raw.value is None:
                say(f"deleted: {(raw.key or b'').decode('utf-8', 'replace')}")
                continue
            caption = caption_in(raw)
            if caption is None:
                continue
            if as_json:
                print_json(caption)
            else:
                for text in (
                    f"[bold]{shown(key_of(caption.shop, caption.product_id))}[/]",
                    shown(caption.caption),
                    shown(" ".join(caption.hashtags)),
                ):
                    out.print(text, soft_wrap=True)


@captions_app.command("rewrite")
def captions_rewrite(
    product: Annotated[list[str] | None, typer.Option(help="Of this product; repeatable.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="facet=value, repeatable: category=dress.")
    ] = None,
    writer: Annotated[str, typer.Option(help="Of captions by this writer: llm or template.")] = "",
    status: Annotated[str, typer.Option(help="Of captions that are ready, or on hold.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Of every product.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name the products.")] = False,
    shop: OfShop = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Ask for new texts of products whose facts are as they were. Each costs the language model a caption."""
    from processors.conditions import parted
    from streams.cli.client import parsed_filters
    from streams.ops.rewrite import Wanted, rewrite

    if writer not in {"", "llm", "template"} or status not in {"", "ready", "hold"}:
        say("--writer is llm or template, --status ready or hold")
        raise typer.Exit(Exit.USAGE)
    if not everything and not (product or filters or writer or status):
        say("say which: --product, --filter, --writer, --status, or --all")
        raise typer.Exit(Exit.USAGE)
    facets, conditions = parted(parsed_filters(filters or []))
    wanted = Wanted(product or (), facets, writer, status, conditions, checked_shop(shop, "--shop"))

    def on_asked(product: str) -> None:
        if as_json:
            of, product_id = split(product)
            print_json({"product_id": product_id, **({"shop": of} if of else {})})

    count = run(rewrite(client_settings(data_dir), wanted, dry_run=dry_run, on_asked=on_asked))
    say(f"{'would ask' if dry_run else 'asked'} for new captions of {count} products")


@captions_app.command("export")
def captions_export(
    to: Annotated[str, typer.Option("--format", help="csv, shopify, merchant or jsonl.")] = "jsonl",
    changed_since: Annotated[
        str,
        typer.Option(help="What changed at this time (2026-01-31T12:00:00Z) or later, or in this span: 90m, 24h, 7d."),
    ] = "",
    status: Annotated[str, typer.Option(help="ready: what may go out; hold: what waits for a person; all.")] = "ready",
    file: Annotated[Path | None, typer.Option("--out", help="Into this file, whole or not at all.")] = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Only of this shop's products.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write the captions for a shop's system, with who wrote each; no format overwrites texts that were edited there."""
    from infra.whole_file import whole_file
    from streams.ops.caption_export import FORMATS, chosen, since, standing

    if to not in FORMATS or status not in {"ready", "hold", "all"}:
        say(f"--format is one of {', '.join(FORMATS)}, --status ready, hold or all")
        raise typer.Exit(Exit.USAGE)
    since_ms = since(changed_since, time.time())
    checked_shop(shop, "--shop")
    rows = chosen(run(standing(client_settings(data_dir), shop)), since_ms=since_ms, status=status)
    parts = FORMATS[to](rows)
    if file is None:
        sys.stdout.writelines(parts)
        sys.stdout.flush()
    else:
        with whole_file(file) as opened:
            opened.writelines(part.encode() for part in parts)
    gone = sum(row.caption is None for row in rows)
    say(f"{len(rows) - gone} captions" + (f", {gone} deleted products" if gone else ""))


@app.command("claims")
def claims(
    source: Annotated[
        str,
        typer.Option(
            "--source",
            help="merchant, pixels, neighbours, seen (detector and pixels), or a product whose label was a vote.",
        ),
    ],
    facet: Annotated[list[str] | None, typer.Option("--facet", help="Of this facet only; repeatable: fabric.")] = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Only of this shop's products.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List every live text that rests on a source, with what it states because of it."""
    from streams.cli.output import rows_table
    from streams.ops.claims import SOURCES, claims_on, is_source

    checked_shop(shop, "--shop")
    everything = run(_standing(data_dir))
    if not is_source(everything, source):
        say(f"no source is called {shown(source)}: {', '.join(SOURCES)}, or a product that has a caption")
        raise typer.Exit(Exit.USAGE)
    standing = [one for one in everything if shop in {None, one.shop}]
    found = list(claims_on(standing, source, frozenset(facet or ())))
    if as_json:
        for one in found:
            print_json(one)
    else:
        rows = [
            (key_of(one.shop, one.product_id), f"{one.garment} {one.facet}", one.value, one.caption) for one in found
        ]
        print_table(rows_table(("product", "fact", "value", "caption"), rows))
    say(f"{len(found)} claims in {len({(one.shop, one.product_id) for one in found})} captions rest on {shown(source)}")


async def _standing(data_dir: Path | None) -> list[Caption]:
    async with Client(client_settings(data_dir)) as client:
        return list((await client.captions()).values())
