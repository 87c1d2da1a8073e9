"""`weft eval captions`: what captions state of real photos, against the shop's own words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.logs import configure
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from models.guard import Guarded
from models.profiles.profile import FAKE
from models.yardsticks import captions as yardstick
from models.yardsticks import writers as yardsticks
from models.yardsticks.photos import Photos, UnreadableInput
from processors.errors import BadSetting, Missing, Poison
from processors.values import Vector
from streams.cli.app import DataDir, client_settings
from streams.cli.evaluate import (
    MOST_NAMED,
    JsonOption,
    LimitOption,
    ProfileOption,
    chosen_settings,
    eval_app,
    finish,
)
from streams.cli.output import print_json, print_table, rows_table, say
from streams.cli.progress import progress
from streams.contract.records import Item
from streams.ops.tables import read_table


@eval_app.command("captions")
def captions(
    products: Annotated[
        Path, typer.Option(help="Table of the products, in a form that `weft ingest` reads, or .jsonl.gz.")
    ],
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos: named by `image`, or by the ids.")],
    limit: LimitOption = 0,
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Caption a second time with the shop's words; figures beside the first.")
    ] = False,
    facets: Annotated[
        bool, typer.Option("--facets", help="Apply the facet heads that are live in the stack's store.")
    ] = False,
    writers: Annotated[
        str, typer.Option(help=f"Writers side by side, of {', '.join(yardsticks.WRITERS)}: comma-separated, or all.")
    ] = "",
    data_dir: DataDir = None,
    page: Annotated[Path | None, typer.Option("--html", help="A page of photos and captions, the worst first.")] = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """What captions state of the shop's own words: photos alone, through the stages of enrich and caption as served."""
    chosen = chosen_settings(profile)
    beside = _writers(writers, chosen)
    configure(chosen.log_level, chosen.log_format)  # what roles log must not stand in the JSON document
    photos = Photos.open(images)
    listed, missing, beyond = yardstick.products_of(rows_of(products), photos)
    asked = yardstick.spread(listed, limit)
    brands = sorted({one.brand or "none" for one in asked})
    say(f"{len(asked)} products of {len(brands)} brands: {', '.join(brands)}")
    if missing:
        say(f"{images} has no photo of {len(missing)} of the products, such as {missing[0]}")
    refused: list[UnreadableInput] = []
    heads_of = open_store(client_settings(data_dir)) if facets else None
    alone, told, compared = asyncio.run(
        _run(chosen, asked, photos, refused, metadata=metadata, heads_of=heads_of, writers=beside)
    )
    found = yardstick.report(alone, told if metadata else None, len(missing), beyond, refused)
    if beside:
        found = yardsticks.WritersReport(**msgspec.structs.asdict(found), writers=compared)
    if page is not None:
        from models.yardsticks import captions_page

        captions_page.write(page, found, alone, told, photos)
        say(f"written: {page}")
    if as_json:
        print_json(found)
    else:
        _print(found)
    finish((), found.refused, images)


def rows_of(products: Path) -> list[tuple[str, str, dict[str, str | float]]]:
    """(id, image, fields) of every product; rows that cannot be used are named. Raises `Poison` for the table as a whole."""
    table, problem = read_table(products, products.name)
    if problem:
        raise Poison(f"{products}: {problem}")
    bad = [row for row in table if row.problem]
    for row in bad[:MOST_NAMED]:
        say(f"{row.where}: {row.problem}")
    rows = [(row.product_id or row.image, row.image, dict(row.metadata)) for row in table if not row.problem]
    return [row for row in rows if row[0]]


async def _run(
    settings: Settings,
    asked: Sequence[yardstick.Product],
    photos: Photos,
    refused: list[UnreadableInput],
    *,
    metadata: bool,
    heads_of: ObjectStore | None,
    writers: Sequence[str] = (),
) -> tuple[list[yardstick.Judged], list[yardstick.Judged], dict[str, yardsticks.WriterScores]]:
    """The captions of the photos alone, (with `metadata`) of the same with what the shop says, and the figures of other writers."""
    from streams.wiring.yardsticks import caption_trial, models_of

    judged: list[list[yardstick.Judged]] = []
    compared: dict[str, yardsticks.WriterScores] = {}
    models = models_of(settings)
    embed = Guarded(models.text_encoder, name="text encoder").run
    async with caption_trial(settings, heads_of, models=models) as trial:
        for told in (False, True) if metadata else (False,):
            what = " with metadata" if told else ""
            complaints: list[UnreadableInput] = []
            with progress(f"enriching{what}", len(asked)) as tick:
                items = await trial.enriched(asked, photos, complaints, tick, metadata=told)
            if not told:
                refused += complaints
            with progress(f"captioning{what}", len(items)) as tick:
                judged.append([yardstick.judge(one) for one in await trial.captioned(items, tick)])
            if not told:
                for name in writers:
                    compared[name] = await _compared(settings, name, items, photos, embed)
    return judged[0], judged[1] if metadata else [], compared


async def _compared(
    settings: Settings,
    name: str,
    items: Sequence[tuple[yardstick.Product, Item]],
    photos: Photos,
    embed: Callable[[Sequence[str]], list[Vector]],
) -> yardsticks.WriterScores:
    """The same items by another writer, loaded for it alone."""
    from streams.wiring.yardsticks import caption_trial

    async with caption_trial(asking(settings, name)) as trial:
        trial.show(items, photos)
        with progress(f"captioning, {name}", len(items)) as tick:
            started = time.perf_counter()
            made = await trial.captioned(items, tick)
            seconds = time.perf_counter() - started
    return yardsticks.scores(yardsticks.Run([yardstick.judge(one) for one in made], seconds), embed)


def _writers(text: str, settings: Settings) -> tuple[str, ...]:
    """The writers of `--writers`, in the order of `WRITERS`; of all, those whose weights are here. Raises `Missing` where one that is named is not."""
    from streams.wiring.weights import require_weights

    asked = {one.strip() for one in text.split(",") if one.strip()}
    if asked == {"all"}:
        lacking = without(settings, yardsticks.WRITERS)
        for name, why in lacking.items():
            say(f"without {name}: {why}")
        return tuple(name for name in yardsticks.WRITERS if name not in lacking)
    if unknown := sorted(asked.difference(yardsticks.WRITERS)):
        raise typer.BadParameter(f"{unknown[0]!r}: say {', '.join(yardsticks.WRITERS)}, or all", param_hint="--writers")
    for name in asked:
        require_weights(asking(settings, name))
    return tuple(name for name in yardsticks.WRITERS if name in asked)


def asking(settings: Settings, name: str) -> Settings:
    """The settings with another writer: a language model where the profile's own is BLIP is that of the profile below."""
    from streams.wiring.weights import kind_of, profile_of

    told: dict[str, object] = {"writer": name}
    if name in ("free", "grounded") and settings.profile != FAKE and kind_of(settings, "writer") == "blip":
        told["profile"] = profile_of(settings).extends or settings.profile
    return settings.model_copy(update=told)


def without(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Writers that cannot be asked here, and why."""
    from streams.wiring.weights import require_weights

    found: dict[str, str] = {}
    for name in names:
        try:
            require_weights(asking(settings, name))
        except (Missing, BadSetting) as error:
            found[name] = str(error)
    return found


def _print(found: yardstick.CaptionsReport) -> None:
    columns: list[tuple[str, yardstick.CaptionsReport | yardstick.CaptionScores]] = [("photo alone", found)]
    if found.with_metadata is not None:
        columns.append(("with metadata", found.with_metadata))
    names = ("coverage", "wrong_per_caption", "nothing_found", "category_found", "words", "distinct2", "template_share")
    rows: list[Sequence[object]] = [(name, *(f"{getattr(c, name):.3f}" for _, c in columns)) for name in names]
    rows += [(f"{f}: right / stated / of", *(_counts(c.facets[f]) for _, c in columns)) for f in found.facets]
    print_table(rows_table((f"{found.captions} captions", *(name for name, _ in columns)), rows))

    if isinstance(found, yardsticks.WritersReport):
        _print_writers(found.writers)


def _print_writers(writers: Mapping[str, yardsticks.WriterScores]) -> None:
    names = [
        name for name in yardsticks.WriterScores.__struct_fields__ if not name.endswith("_ci") and name != "captions"
    ]
    rows = [(name, *(_figure(getattr(one, name)) for one in writers.values())) for name in names]
    print_table(rows_table(("the same products", *writers), rows))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _counts(score: yardstick.FacetScore) -> str:
    return f"{score.right} / {score.stated} / {score.of}" + (f", {score.wrong} wrong" if score.wrong else "")
