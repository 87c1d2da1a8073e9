"""`weft shelf`: labelled products as neighbours of every caption worker, and which version counts."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.logs import configure
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from models.yardsticks.captions import Product
from models.yardsticks.photos import Photos, UnreadableInput
from processors.errors import Poison
from processors.identity import checked_shop
from streams.cli.app import AsJson, DataDir, app, client_settings
from streams.cli.exits import Exit
from streams.cli.live_version import tell
from streams.cli.output import out, print_json, print_table, rows_table, say
from streams.cli.progress import progress
from streams.ops.tables import read_table
from streams.shelf import shelf, versions

shelf_app = typer.Typer(
    help="Labelled products whose facts and words captions may learn from: build, list, show, use, rollback.",
    no_args_is_help=True,
)
app.add_typer(shelf_app, name="shelf")

MOST_NAMED = 20


class Listed(msgspec.Struct, frozen=True):
    """One line of `weft shelf list --json`, and what `build` and `show` print."""

    version: str
    live: bool
    card: shelf.Card


@shelf_app.command("build")
def build(
    products: Annotated[Path, typer.Argument(help="Table of the products, in a form that `weft ingest` reads.")],
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos: named by `image`, or by the ids.")],
    shop: Annotated[
        str | None, typer.Option(help="Whose products they are; products of other shops are no neighbours.")
    ] = None,
    publish: Annotated[bool, typer.Option(help="Make the version live; without, it is only stored.")] = True,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Look at the photos, keep what the shop says of each product beside its vector, and publish all as a version."""
    chosen = client_settings(data_dir)
    configure(chosen.log_level, chosen.log_format)
    store, photos = open_store(chosen), Photos.open(images)
    asked, left_out = _asked(products, photos)
    refused: list[UnreadableInput] = []
    encoder, rows = asyncio.run(_rows(chosen, asked, photos, refused, left_out, checked_shop(shop, "--shop")))
    card = shelf.Card(
        encoder=encoder,
        made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        source=products.name,
        products=len(rows),
        labelled=sum(bool(row.labels) for row in rows),
        with_text=sum(bool(row.text) for row in rows),
        left_out=dict(left_out),
    )
    if not rows:
        raise Poison(f"{products}: no product of it can stand on a shelf ({_reasons(card)})", field="products")
    version = versions.put(store, shelf.encode(card, rows))
    live = versions.use(store, version) if publish else versions.read_live(store)
    for one in refused[:MOST_NAMED]:
        say(one.cause)
    _show(Listed(version, live.version == version, card), as_json=as_json)
    if refused:
        raise typer.Exit(Exit.REJECTED)


def _asked(products: Path, photos: Photos) -> tuple[list[Product], Counter[str]]:
    table, problem = read_table(products, products.name)
    if problem:
        raise Poison(f"{products}: {problem}", field="products")
    asked: list[Product] = []
    left_out: Counter[str] = Counter()
    for row in table:
        name = row.product_id or row.image
        path = None if row.problem or not name else photos.find(row.image or name)
        if row.problem or not name:
            left_out["unreadable rows"] += 1
        elif path is None:
            left_out["without a photo"] += 1
        else:
            asked.append(Product(name, path, "", {}, frozenset(), dict(row.metadata)))
    return asked, left_out


async def _rows(
    settings: Settings,
    asked: list[Product],
    photos: Photos,
    refused: list[UnreadableInput],
    left_out: Counter[str],
    shop: str,
) -> tuple[str, list[shelf.Row]]:
    from streams.wiring.yardsticks import models_of, photo_trial

    encoder, rows = "", {}
    async with photo_trial(settings, models_of(settings)) as trial:
        with progress("looking at photos", len(asked)) as tick:
            items = await trial.enriched(asked, photos, refused, tick, metadata=True)
    for _, item in items:
        encoder = item.encoder
        row = shelf.row_of(msgspec.structs.replace(item, shop=shop))
        if row is None:
            left_out["nothing said of them"] += 1
        else:
            rows[row.product] = row
    left_out["unreadable photos"] = len(refused)
    return encoder, list(rows.values())


@shelf_app.command("list")
def list_versions(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show every version in the store, the live one first."""
    store = open_store(client_settings(data_dir))
    live = versions.read_live(store).version
    found = [Listed(version, version == live, _card(store, version)) for version in versions.listed(store)]
    found.sort(key=lambda one: (not one.live, one.card.made))
    if as_json:
        print_json(found)
        return
    rows = [
        ("live" if one.live else "", one.version, one.card.made, one.card.products, one.card.source) for one in found
    ]
    print_table(rows_table(("", "version", "made", "products", "from"), rows, ids=("version",)))


@shelf_app.command("show")
def show(
    version: Annotated[str, typer.Argument(help="A version, or the beginning of it; by default the live one.")] = "",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what a version consists of."""
    store = open_store(client_settings(data_dir))
    live = versions.read_live(store).version
    if not (version or live):
        say("no version of the shelf is live: `weft shelf build` makes one")
        raise typer.Exit(Exit.FAILED)
    chosen = versions.find(store, version) if version else live
    _show(Listed(chosen, chosen == live, _card(store, chosen)), as_json=as_json)


@shelf_app.command("use")
def use(
    version: Annotated[str, typer.Argument(help="A version, or the beginning of it.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a version live: caption workers take it up within seconds, without a restart."""
    store = open_store(client_settings(data_dir))
    tell(versions.use(store, versions.find(store, version)), as_json=as_json)


@shelf_app.command("rollback")
def rollback(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Make the version live that was so before the one of now."""
    tell(versions.roll_back(open_store(client_settings(data_dir))), as_json=as_json)


def _card(store: ObjectStore, version: str) -> shelf.Card:
    return shelf.decode(versions.read(store, version), version).card


def _show(found: Listed, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    card = found.card
    state = "live" if found.live else "not live"
    out.print(f"{found.version} ({state}): {card.products} products of {card.source}, made {card.made}", soft_wrap=True)
    out.print(f"{card.labelled} with facts, {card.with_text} with text; left out: {_reasons(card) or 'none'}")


def _reasons(card: shelf.Card) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in card.left_out.items() if count)
