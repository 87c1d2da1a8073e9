"""`weft captions`: what the captions say, and asking for other ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import captions_table, out, print_json, print_table, say, shown
from streams.contract import topics
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
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the captions as they stand; with --follow, every one from the first on, until Ctrl-C."""
    if context.invoked_subcommand is None:
        run(_follow(as_json=as_json, data_dir=data_dir) if follow else _captions(as_json=as_json, data_dir=data_dir))


async def _captions(*, as_json: bool, data_dir: Path | None) -> None:
    async with Client(client_settings(data_dir)) as client:
        found = await client.captions()
    if as_json:
        for caption in found.values():
            print_json(caption)
    else:
        print_table(captions_table(found.values()))


async def _follow(*, as_json: bool, data_dir: Path | None) -> None:
    async with Reader(client_settings(data_dir), topics.CAPTIONS) as reader:
        async for raw in reader.follow():
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
                    f"[bold]{shown(caption.product_id)}[/]",
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
    wanted = Wanted(product or (), facets, writer, status, conditions)

    def on_asked(product_id: str) -> None:
        if as_json:
            print_json({"product_id": product_id})

    count = run(rewrite(client_settings(data_dir), wanted, dry_run=dry_run, on_asked=on_asked))
    say(f"{'would ask' if dry_run else 'asked'} for new captions of {count} products")
