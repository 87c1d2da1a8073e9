"""`weft store`: which store this is, and whether it is the cluster's."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer

from infra import store_identity
from infra.settings import Settings
from infra.stores import open_store
from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import out, print_json, rows_table, say
from streams.kafka.producer import open_producer
from streams.kafka.store_claim import Claim, claims, has_items

store_app = typer.Typer(help="The object store: its id, and where it lay.", no_args_is_help=True)
app.add_typer(store_app, name="store")


class StoreState(msgspec.Struct, frozen=True):
    """What `weft store show --json` prints; `store` and `cluster` are ids, "" where there is none yet."""

    url: str
    store: str
    places: tuple[str, ...]
    cluster: str
    same: bool


@store_app.command("show")
def show(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the store's id and places, and the id that the cluster names."""
    state = run(_state(client_settings(data_dir)))
    if as_json:
        print_json(state)
        return
    rows = [
        ("url", state.url),
        ("id", state.store or "(none yet)"),
        ("lay or lies at", " ".join(state.places)),
        ("the cluster's", state.cluster or "(none yet)"),
    ]
    out.print(rows_table(("", ""), rows))


async def _state(settings: Settings) -> StoreState:
    store = await asyncio.to_thread(open_store, settings)
    identity = await asyncio.to_thread(store_identity.read, store)
    cluster = next(iter(await claims(settings)), "")
    mine = identity.id if identity else ""
    places = identity.places if identity else ()
    return StoreState(settings.resolved_store_url, mine, places, cluster, same=bool(mine) and mine == cluster)


@store_app.command("adopt")
def adopt(data_dir: DataDir = None) -> None:
    """Make the store of the settings the cluster's. What only the store of before holds is lost to the cluster."""
    settings = client_settings(data_dir)

    async def work() -> store_identity.Identity:
        store = await asyncio.to_thread(open_store, settings)
        async with open_producer(settings) as sender:
            return await Claim(store, sender, lambda: claims(settings), lambda: has_items(settings)).adopt()

    identity = run(work())
    say(f"the cluster's store is now {identity.id} at {settings.resolved_store_url}")


@store_app.command("gc")
def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what nothing names any more; remove nothing.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say what lies in the store that nothing names any more. Nothing is removed: only --dry-run is there."""
    from streams.ops.store_gc import garbage

    if not dry_run:
        say("say --dry-run: what is unnamed is told, and removed by nobody yet")
        raise typer.Exit(Exit.USAGE)
    settings = client_settings(data_dir)
    found = run(garbage(settings, open_store(settings)))
    if as_json:
        print_json(found)
        return
    for one in found.objects:
        say(f"{one.kind}: {one.key}")
    say(f"{sum(found.counts.values())} of {found.looked} photos and objects of the index are named by nothing")
