"""`weft store`: which store this is, and whether it is the cluster's."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from infra import store_identity
from infra.settings import Settings
from infra.stores import open_store
from processors.errors import Fatal
from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.output import out, print_json, rows_table, say
from streams.kafka.producer import open_producer
from streams.kafka.store_claim import Claim, claims, has_items

if TYPE_CHECKING:
    from streams.ops.store_sweep import Swept

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
        bool, typer.Option("--dry-run", help="Say what nothing names any more; remove nothing, and note nothing.")
    ] = False,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="How long it must have been so, since an earlier run saw it: 12h, 7d.")
    ] = "7d",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove what nothing names any more, and nothing named when an earlier run looked: the first run only notes."""
    from streams.ops.dlq_letters import seconds_of
    from streams.ops.store_gc import garbage

    settings = client_settings(data_dir)
    if not dry_run:
        _swept(run(_sweep(settings, seconds_of(older_than))), older_than, as_json=as_json)
        return
    found = run(garbage(settings, open_store(settings)))
    if as_json:
        print_json(found)
        return
    for one in found.objects:
        say(f"{one.kind}: {one.key}")
    say(f"{sum(found.counts.values())} of {found.looked} photos, memos and objects of the index are named by nothing")


async def _sweep(settings: Settings, older_than_s: float) -> Swept:
    """Only in the store that the cluster calls its own: another cluster's photos are named by none of these topics."""
    from streams.ops.store_names import open_records
    from streams.ops.store_sweep import Sweep

    store = await asyncio.to_thread(open_store, settings)
    known, identity = await claims(settings), await asyncio.to_thread(store_identity.read, store)
    if identity is None or identity.id != next(iter(known), ""):
        raise Fatal(f"{settings.resolved_store_url} is not known to be this cluster's store (`weft store show`)")
    async with open_records(settings, store) as records:
        return await Sweep(store, records, older_than_s, time.time).run()


def _swept(done: Swept, older_than: str, *, as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    for key in done.removed:
        say(f"removed: {key}")
    say(f"{sum(done.counts.values())} of {done.looked} photos, memos and objects of the index removed")
    if done.waiting:
        say(f"{done.waiting} are named by nothing, and not yet for {older_than}: say it again then")
    if done.put_back:
        say(f"{done.put_back} were named after all, and are back")
    if done.aside:
        say(f"{done.aside} lie aside: the roles have not read all of their topics; say it again once they have")
