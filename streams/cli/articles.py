"""`weft articles`: a brand's own texts, which captions draw on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.settings import Settings
from processors.errors import Poison
from processors.identity import checked_shop, key_of
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import out, print_json, print_table, rows_table, say, shown
from streams.contract import topics
from streams.contract.articles import decode_article
from streams.contract.records import Article
from streams.kafka.client import Client, Reader

if TYPE_CHECKING:
    from streams.ops.article_files import Given

articles_app = typer.Typer(
    no_args_is_help=True,
    help="A brand's own texts, which captions draw on: send a folder of them, list, show and take them back.",
)
app.add_typer(articles_app, name="articles")

Id = Annotated[str, typer.Argument(help="Its id.")]


@articles_app.command("ingest")
def ingest_articles(
    folder: Annotated[Path, typer.Argument(help="Of Markdown, HTML, text and PDF files, with pictures beside them.")],
    product: Annotated[str | None, typer.Option(help="The product that they are about, where they do not say.")] = None,
    brand: Annotated[str | None, typer.Option(help="The brand, likewise.")] = None,
    collection: Annotated[str | None, typer.Option(help="The collection, likewise.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check them; send nothing.")] = False,
    shop: OfShop = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Send every article of a folder. With --json: one Article a line."""
    from streams.ops.article_files import Given

    given = Given(product, brand, collection, checked_shop(shop, "--shop") or None)
    sent, refused = run(_ingest(client_settings(data_dir), folder, given, dry_run=dry_run, as_json=as_json))
    say(f"{'read' if dry_run else 'sent'} {sent} articles" + (f"; {refused} files were refused" if refused else ""))
    if refused:
        raise typer.Exit(Exit.REJECTED)


@articles_app.command("list")
def list_articles(shop: OfShop = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """The articles as they stand, with what each applies to. With --json: one Article a line."""
    found = run(_standing(client_settings(data_dir), checked_shop(shop, "--shop")))
    if as_json:
        for article in found.values():
            print_json(article)
        return
    rows = [
        (one.id, _about(one), one.kind or "", one.title or "", str(len(one.text)), str(len(one.images or ())))
        for one in found.values()
    ]
    print_table(rows_table(("id", "about", "kind", "title", "characters", "pictures"), rows, ids=("id",)))


@articles_app.command("show")
def show_article(article_id: Id, shop: OfShop = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """One article, with its text. With --json: the Article."""
    found = run(_standing(client_settings(data_dir), checked_shop(shop, "--shop"))).get(article_id)
    if found is None:
        raise Poison(f"there is no article {article_id!r}", field="id")
    if as_json:
        print_json(found)
        return
    for name, text in (("article", found.id), ("about", _about(found)), ("title", found.title or "")):
        out.print(f"[bold]{name}[/] {shown(text)}", soft_wrap=True)
    out.print(shown(found.text), soft_wrap=True)


@articles_app.command("delete")
def delete_articles(
    article_ids: Annotated[list[str], typer.Argument(help="Articles to take back.")],
    shop: OfShop = None,
    data_dir: DataDir = None,
) -> None:
    """Take articles back: captions no longer say what they say."""

    async def work() -> None:
        async with Client(client_settings(data_dir)) as client:
            for article_id in article_ids:
                await client.save_article(article_id, None, shop=checked_shop(shop, "--shop"))

    run(work())
    say(f"took {len(article_ids)} articles back")


def _about(article: Article) -> str:
    about = article.applies_to
    given = (("product", about.product), ("brand", about.brand), ("collection", about.collection))
    return ", ".join(f"{name} {value}" for name, value in given if value is not None) or "what its pictures show"


async def _ingest(settings: Settings, folder: Path, given: Given, *, dry_run: bool, as_json: bool) -> tuple[int, int]:
    from infra.stores import open_store
    from streams.ops.article_files import Refused, articles_in, stored

    sent = refused = 0
    client = None if dry_run else await Client(settings).__aenter__()
    try:
        store = None if dry_run else await asyncio.to_thread(open_store, settings)
        for loaded in await asyncio.to_thread(lambda: list(articles_in(folder, given))):
            if isinstance(loaded, Refused):
                say(f"refused: {loaded.path.relative_to(folder)}: {loaded.reason}")
                refused += 1
                continue
            article = loaded.article
            if client is not None and store is not None:
                try:
                    article = await asyncio.to_thread(stored, loaded, store, settings.max_image_bytes)
                except Poison as error:
                    say(f"refused: {loaded.path.relative_to(folder)}: {error}")
                    refused += 1
                    continue
                await client.save_article(article.id, article, shop=article.shop or "")
            sent += 1
            if as_json:
                print_json(article)
    finally:
        if client is not None:
            await client.__aexit__(None, None, None)
    return sent, refused


async def _standing(settings: Settings, shop: str) -> dict[str, Article]:
    found: dict[str, Article] = {}

    async def records() -> AsyncIterator[tuple[str, Article | None]]:
        async with Reader(settings, topics.ARTICLES) as reader:
            async for raw in reader.to_end():
                try:
                    yield (raw.key or b"").decode(), decode_article(raw)
                except (Poison, UnicodeDecodeError):
                    continue  # the role `context` has made a dead letter of it

    async for key, article in records():
        found.pop(key, None)
        if article is not None and (article.shop or "") == shop:
            found[key] = article
    return {one.id: one for key, one in found.items() if key in {one.id, key_of(shop, one.id)}}
