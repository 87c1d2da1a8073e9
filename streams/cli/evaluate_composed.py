"""`weft eval composed`: "this, but in navy" asked of a catalogue's own pairs, against the shop's own words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from infra.fetch import Fetcher
from infra.logs import configure
from infra.memory_store import MemoryStore
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from models.yardsticks.captions import Product
from models.yardsticks.photos import Photos, UnreadableInput
from processors.errors import Poison
from streams.cli.app import DataDir, client_settings
from streams.cli.evaluate import JsonOption, LimitOption, ProfileOption, chosen_settings, eval_app
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say
from streams.cli.progress import progress
from streams.facets.labelled import Labelled, read_labelled

if TYPE_CHECKING:
    from models.ports import Composer
    from streams.ops.composed.trial import ComposedReport


@eval_app.command("composed")
def composed(
    products: Annotated[
        Path, typer.Option(help="The shop's table with its labels: CSV, TSV, JSON lines (also .gz), Excel.")
    ],
    images: Annotated[
        Path, typer.Option(help="Folder, or zip, of the photos, named by id or by the table's image column.")
    ],
    limit: LimitOption = 0,
    pairs: Annotated[int, typer.Option(min=1, help="Queries of each facet, at most.")] = 300,
    seed: Annotated[int, typer.Option(help="Other seeds, other pairs.")] = 3,
    facets: Annotated[
        bool, typer.Option("--facets", help="Apply the facet heads that are live in the stack's store.")
    ] = False,
    composer: Annotated[
        Path | None,
        typer.Option(help="Weights of a trained composer, measured beside the rest (`weft train composer`)."),
    ] = None,
    data_dir: DataDir = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pairs of one type and audience that differ in one facet: is a right product first, in ten, in fifty? Photos only."""
    from streams.ops.composed.pairs import pairs_of

    chosen = chosen_settings(profile)
    configure(chosen.log_level, chosen.log_format)  # what roles log must not stand in the JSON document
    photos = Photos.open(images)
    table = read_labelled(products, photos)
    listed = table.products[:limit] if limit else table.products
    if not pairs_of(listed, 1, seed):
        raise _no_pairs(products)
    heads_of = open_store(client_settings(data_dir)) if facets else None
    measured = asyncio.run(_run(chosen, listed, photos, heads_of, pairs, seed, composer))
    if measured is None:
        raise _no_pairs(products)
    found = msgspec.structs.replace(measured, left_out=dict(table.left_out))
    if as_json:
        print_json(found)
    else:
        _print(found)
    for line in found.refused_photos[:20]:
        say(f"refused: {line}")
    if found.refused_photos:
        raise typer.Exit(Exit.REJECTED)


def _no_pairs(products: Path) -> Poison:
    return Poison(f"{products}: no two products with a photo differ in one facet only", field="products")


async def _run(
    settings: Settings,
    listed: Sequence[Labelled],
    photos: Photos,
    heads_of: ObjectStore | None,
    most: int,
    seed: int,
    weights: Path | None = None,
) -> ComposedReport | None:
    """All figures; None where of no pair both photos can be used."""
    from streams.ops.composed.local import LocalSearch
    from streams.ops.composed.pairs import pairs_of
    from streams.ops.composed.trained import Trained
    from streams.ops.composed.trial import measure, queries_of
    from streams.wiring.composers import reranker_of
    from streams.wiring.yardsticks import models_of, photo_trial

    models = models_of(settings)
    trained = (
        None if weights is None else Trained(_loaded(weights, models.image_encoder.fingerprint), models.text_encoder)
    )
    refused: list[UnreadableInput] = []
    asked = [Product(one.product_id, one.photo, one.brand, {}, frozenset(), {}) for one in listed]
    async with photo_trial(settings, models, heads_of) as trial:
        with progress("looking at photos", len(asked)) as tick:
            items = await trial.enriched(asked, photos, refused, tick)
    known = {one.product_id: one for one in listed}
    there = {item.product_id for _, item in items}
    wanted = pairs_of([one for one in listed if one.product_id in there], most, seed)
    if not wanted:
        return None
    async with Fetcher(settings, MemoryStore("eval")) as fetcher:
        search = LocalSearch(
            (item for _, item in items), models.image_encoder, models.text_encoder, fetcher, reranker_of(settings)
        )
        with progress("asking", queries_of(wanted)) as tick:
            found = await measure(search, models.text_encoder, known, wanted, seed=seed, tick=tick, trained=trained)
    return msgspec.structs.replace(found, refused_photos=tuple(one.cause for one in refused))


def _loaded(weights: Path, encoder: str) -> Composer:
    """A composer in the encoder's space. Raises `Fatal` for any other."""
    from models.composers.vector_composer import VectorComposer
    from processors.errors import Fatal

    found = VectorComposer.load(weights)
    if found.target != encoder:
        raise Fatal(f"{weights} was trained for the encoder {found.target}, and {encoder} serves")
    return found


def _print(found: ComposedReport) -> None:
    facets = list(next(iter(found.methods.values())))
    rows: list[Sequence[object]] = [
        (name, *(f"{recall.r1:.3f} / {recall.r10:.3f} / {recall.r50:.3f}" for recall in by_facet.values()))
        for name, by_facet in found.methods.items()
    ]
    counts = next(iter(found.methods.values()))
    print_table(rows_table(("R@1 / R@10 / R@50", *(f"{name} ({counts[name].queries})" for name in facets)), rows))
    wordings = ", ".join(f"{share:.3f}" for share in found.paraphrases)
    lines: list[Sequence[object]] = [
        ("products", str(found.products)),
        ("facet heads", found.heads or "none"),
        ("R@10 in six wordings", f"{wordings}; spread {found.spread:.3f}"),
        ("facet read in", f"{found.understood:.3f} of the wordings"),
        ("refused, of the first ten", f"{found.refused.share:.3f} of {found.refused.queries} queries"),
        ("first hit of the category", f"{found.first_category:.3f}"),
    ]
    print_table(rows_table(("", ""), lines))
