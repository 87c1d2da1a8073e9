"""`weft ingest`: photos, folders and feeds in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from processors.errors import Poison
from processors.identity import checked_shop
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.numbers import finite
from streams.cli.output import captions_table, err, print_json, print_table, say, shown
from streams.contract.records import Caption, Upload
from streams.kafka.client import Client

if TYPE_CHECKING:
    from streams.ops.feed import Plan
    from streams.ops.ingest import Outcome, Photo, RefusedProduct


@app.command()
def ingest(
    path: Annotated[
        Path,
        typer.Argument(help="An image, a folder of images with products.csv, .tsv, .jsonl, .xlsx or .xml, or a feed."),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for every caption.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, callback=finite, help="Longest wait for all captions, in seconds.")
    ] = 600.0,
    full: Annotated[
        bool, typer.Option("--full", help="This is the whole catalogue: send what differs, delete what is gone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --full: only say what would be done.")] = False,
    by_folder: Annotated[
        bool, typer.Option("--by-folder", help="Each folder that photos lie in is one product with all of them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --full: delete however much is gone.")] = False,
    shop: OfShop = None,
    priority: Annotated[
        str, typer.Option(help="high: they are done before what waits already; normal: in their turn.")
    ] = "normal",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Send photos. With --json: one Upload a line as they are sent, or with --wait one Caption a line; with --full the counts."""
    if (dry_run or force) and not full:
        say("--dry-run and --force belong to --full")
        raise typer.Exit(Exit.USAGE)
    if priority not in {"normal", "high"}:
        say("--priority is normal or high")
        raise typer.Exit(Exit.USAGE)
    shop_named, urgent = checked_shop(shop, "--shop"), priority == "high"
    job = _Job(client_settings(data_dir), wait, timeout, as_json, shop_named, urgent, by_folder=by_folder)
    run(job.full(path, dry_run=dry_run, force=force) if full else job.some(path))
    for item in job.refused:
        say(f"refused: {item.product_id} at {item.stage}: {item.cause}")
    if job.refused or job.kept:
        raise typer.Exit(Exit.REJECTED)


class _Job:
    """One run of the command. `refused`: what did not make it; `kept`: what is gone from the feed and was not deleted."""

    def __init__(
        self,
        settings: Settings,
        wait: bool,
        timeout_s: float,
        as_json: bool,
        shop: str = "",
        urgent: bool = False,
        *,
        by_folder: bool = False,
    ) -> None:
        self._shop, self._urgent, self._by_folder = shop, urgent, by_folder
        self._settings, self._wait, self._timeout_s, self._as_json = settings, wait, timeout_s, as_json
        self._says_uploads = as_json and not wait
        self.refused: list[RefusedProduct] = []
        self.kept = 0
        self._sent = 0
        self._words: tuple[str, ...] = ()

    async def some(self, path: Path) -> None:
        """Send what is there."""
        photos = self._photos(path, updates=True)
        async with Client(self._settings) as client:
            await self._send(client, await self._store(), photos)
        what = "photos" if any(photo.places for photo in photos) else "updates"
        say(f"sent {self._sent} of {len(photos)} {what}")

    async def full(self, path: Path, *, dry_run: bool, force: bool) -> None:
        """Send what differs from the catalogue, then delete what is gone."""
        from streams.ops import feed

        self._says_uploads = False
        photos = await asyncio.to_thread(self._photos, path)
        known = await feed.known_products(self._settings, self._shop)
        store = await self._store()
        images_of = feed.images_in(store, self._settings)
        plan = await asyncio.to_thread(feed.plan, photos, self.refused, self._words, known, images_of)
        self.refused = list(plan.refused)
        withheld = plan.too_many_gone and not force
        if dry_run:
            self._tell(plan, await feed.model_seconds(self._scrape(), plan), dry_run=True)
        else:
            self._tell(plan, None, dry_run=False)
            async with Client(self._settings) as client:
                await self._send(client, store, plan.to_send)
                if not withheld:
                    await client.delete(plan.gone, shop=self._shop)
            say(f"sent {self._sent}, deleted {0 if withheld else len(plan.gone)}")
        if withheld:
            self.kept = len(plan.gone)
            verb = "would be" if dry_run else "was"
            say(
                f"{len(plan.gone)} of {plan.known} products are not in {path.name}, more than {feed.MAX_GONE:.0%}: none "
                f"{verb} deleted; --force deletes them"
            )

    def _tell(self, plan: Plan, seconds: float | None, *, dry_run: bool) -> None:
        counts: dict[str, Any] = dict(plan.counts())
        if self._as_json:
            if not self._wait or dry_run:
                print_json(counts | ({"model_seconds": seconds} if dry_run else {}))
            return
        say(", ".join(f"{count} {what}" for what, count in counts.items()))
        if dry_run:
            cost = "unknown (no photo was worked on yet, or no stack of `weft up` to ask)"
            say(f"model seconds: {cost if seconds is None else f'{seconds:.0f}'}")

    def _scrape(self) -> str:
        from streams.ops import stack_file

        stack = stack_file.read(self._settings.data_dir)
        return stack.scrape if stack is not None else ""

    def _photos(self, path: Path, *, updates: bool = False) -> list[Photo]:
        """What is to be sent; what is left out beside it is said at once. `updates`: whether a list of prices is some."""
        from streams.ops.ingest import Photo, RefusedProduct
        from streams.ops.sources import walk

        catalogue = walk(path, by_folder=self._by_folder, updates=updates)
        self.refused = [RefusedProduct(row.where, "ingest", row.cause) for row in catalogue.rejected]
        self._words = tuple(word for row in catalogue.rejected for word in row.words)
        for row in catalogue.noted:
            say(f"left out: {row.where}: {row.cause}")
        if not catalogue.sources:
            for item in self.refused:  # why there are none
                say(f"refused: {item.product_id} at {item.stage}: {item.cause}")
            raise Poison(f"no JPEG, PNG, WebP or GIF images in {path}", field="path")
        return [
            Photo(s.product_id, s.path, dict(s.metadata), s.address, s.further, s.equal, s.roles)
            for s in catalogue.sources
        ]

    async def _store(self) -> ObjectStore:
        from streams.kafka.store_claim import check

        store = await asyncio.to_thread(open_store, self._settings)
        await check(self._settings, store)
        return store

    async def _send(self, client: Client, store: ObjectStore, photos: list[Photo]) -> None:
        from streams.ops.ingest import Ingest

        job = Ingest(
            client, store, self._settings, self._on_sent, self._on_outcome, shop=self._shop, urgent=self._urgent
        )
        if not self._wait:
            await job.send(photos)
            return
        try:
            await job.send_and_wait(photos, self._timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{len(job.waiting)} of {self._sent} products have no caption yet") from None
        if not self._as_json:
            print_table(captions_table(o for o in job.outcomes if isinstance(o, Caption)))

    def _on_sent(self, upload: Upload) -> None:
        self._sent += 1
        if self._says_uploads:
            print_json(upload)

    def _on_outcome(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Caption):
            self.refused.append(outcome)
        elif self._as_json:
            print_json(outcome)
        else:
            err.print(f"[green]✓[/] {shown(outcome.product_id)}", highlight=False)
