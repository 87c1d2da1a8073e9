"""`weft eval`: hold a profile's models against a yardstick, on anybody's data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.settings import Settings
from models.yardsticks.photos import Photos, UnreadableInput
from streams.cli.app import app, settings
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say
from streams.cli.progress import progress

eval_app = typer.Typer(help="Measure a profile's models on your own data.", no_args_is_help=True)
app.add_typer(eval_app, name="eval")

MOST_NAMED = 20
"""Inputs that are named one by one on stderr."""

ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", help="Which models: starter, starter-bf16 or full.", show_default="WEFT_PROFILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for pictures of curves and of the worst mistakes.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="Measure the first N only; 0: all.")]


@eval_app.command("detector")
def detector(
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos.")],
    coco: Annotated[Path, typer.Option(help="COCO file with the boxes; categories go by their names.")],
    out_dir: OutOption = None,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mean average precision by the rules of COCO, overall and for each class."""
    from models.yardsticks import detection, tables

    chosen = chosen_settings(profile)
    photos = Photos.open(images)
    scenes, missing, others = detection.scenes_of(tables.read_coco(coco), photos)
    scenes = scenes[:limit] if limit else scenes
    for name in others:
        say(f"{coco}: the category {name!r} is none of ours; its boxes are left out")
    from streams.wiring.yardsticks import models_of, unsure_detector

    with progress("detecting", len(scenes)) as tick:
        judged = detection.detect(unsure_detector(chosen), scenes, photos, batch=chosen.batch_items, tick=tick)
    found = detection.report(judged, missing, others)
    if out_dir is not None:
        from models.guard import Guarded
        from models.yardsticks import charts_detection

        served = Guarded(models_of(chosen).detector, name="detector")
        with progress("detecting as served", len(judged.scenes)) as tick:
            serving = detection.detect(served, judged.scenes, photos, batch=chosen.batch_items, tick=tick)
        _drawn(charts_detection.draw(judged, serving, found, photos, _folder(out_dir)))
    rows = [(n, s.instances, _percent(s.map50), _percent(s.map50_95)) for n, s in found.per_class.items()]
    total = ("all", found.instances, _percent(found.map50, found.map50_ci), _percent(found.map50_95, found.map50_95_ci))
    _show(found, rows_table(("class", "instances", "mAP@.5", "mAP@.5:.95"), [*rows, total]), as_json=as_json)
    finish(found.missing, found.refused, images)


@eval_app.command("encoder")
def encoder(
    gallery: Annotated[Path, typer.Option(help="labels.csv (photos in photos/ beside it), or another form.")],
    queries: Annotated[Path, typer.Option(help="The same for the photos that ask.")],
    images: Annotated[Path | None, typer.Option(help="Folder or zip of the photos, for COCO and products.")] = None,
    field: Annotated[str, typer.Option(help="For products: the field that is the class.")] = "articleType",
    out_dir: OutOption = None,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """R@1 and 10-NN: is the nearest photo, are the ten nearest, of the query's class? No photo finds itself."""
    from models.yardsticks import retrieval, tables

    chosen = chosen_settings(profile)
    shelf, shown, lost = tables.read_labelled(gallery, images, field)
    asking, asked, lost_too = tables.read_labelled(queries, images, field)
    asked = asked[:limit] if limit else asked
    from models.guard import Guarded
    from streams.wiring.yardsticks import models_of

    model = Guarded(models_of(chosen).image_encoder, name="image encoder")
    refused: list[UnreadableInput] = []
    with progress("embedding the gallery", len(shown)) as tick:
        known = retrieval.embed(model, shelf, shown, refused, tick=tick)
    with progress("embedding the queries", len(asked)) as tick:
        wanted = retrieval.embed(model, asking, asked, refused, tick=tick)
    answers = retrieval.answer(wanted, known)
    found = retrieval.report(wanted, known, answers, tuple(dict.fromkeys([*lost, *lost_too])), refused)
    if out_dir is not None:
        from models.yardsticks import charts_retrieval

        _drawn(charts_retrieval.draw(wanted, known, answers, found, (asking, shelf), _folder(out_dir)))
    rows: list[Sequence[object]] = [(name, "", _percent(share)) for name, share in found.per_class.items()]
    rows.append(("all", _percent(found.r1, found.r1_ci), _percent(found.knn10, found.knn10_ci)))
    _show(found, rows_table((f"{found.queries} queries", "R@1", "10-NN"), rows), as_json=as_json)
    finish(found.missing, found.refused, queries)


@eval_app.command("colour")
def colour(
    products: Annotated[Path, typer.Option(help="products.jsonl or .jsonl.gz with id and baseColour.")],
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos, named by the products' ids.")],
    out_dir: OutOption = None,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Is the first colour named, is one of the two, what the shop calls it? Detector, mask and names as served."""
    from models.guard import Guarded
    from models.yardsticks import colour as yardstick
    from models.yardsticks import tables

    chosen = chosen_settings(profile)
    photos = Photos.open(images)
    listed = tables.read_products(products)
    tables.require_field(products, listed, "baseColour")
    asked, missing, beyond = yardstick.ask(listed, photos)
    asked = asked[:limit] if limit else asked
    from streams.wiring.yardsticks import models_of

    detector = Guarded(models_of(chosen).detector, name="detector")
    refused: list[UnreadableInput] = []
    with progress("naming colours", len(asked)) as tick:
        named = yardstick.name_all(detector, photos, asked, refused, batch=chosen.batch_items, tick=tick)
    found = yardstick.report(named, len(missing), refused, beyond)
    if missing:
        say(f"{images} has no photo of {len(missing)} of the {len(listed)} products, such as {missing[0]}")
    if out_dir is not None:
        from models.yardsticks import charts_colour

        _drawn(charts_colour.draw(named, found, photos, _folder(out_dir)))
    rows: list[Sequence[object]] = [(name, n, _percent(share), "") for name, (share, n) in found.per_colour.items()]
    rows.append(("all", found.items, _percent(found.top1, found.top1_ci), _percent(found.top2, found.top2_ci)))
    _show(found, rows_table(("the shop's colour", "items", "first", "either"), rows), as_json=as_json)
    finish((), found.refused, images)


@eval_app.command("writer")
def writer(
    packs: Annotated[int, typer.Option(min=1, help="How many unseen packs.")] = 500,
    base: Annotated[bool, typer.Option("--base", help="Measure the language model without our adapter, too.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Captions written at once.")] = 32,
    seed: Annotated[int, typer.Option(help="Other seeds, other packs.")] = 11,
    out_dir: OutOption = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Captions of unseen packs: how much they cover, what they invent, how varied they are, who had to write them."""
    from models.recipes.writer_data import cases
    from models.yardsticks import writing
    from streams.wiring.yardsticks import base_writer, models_of

    chosen = chosen_settings(profile)
    unseen = cases(packs, seed=seed)
    plain = None
    if base:
        with progress("writing without the adapter", packs) as tick:
            without = writing.write(base_writer(chosen), unseen, batch=batch, tick=tick)
        plain = writing.report(without)
    from models.guard import GuardedWriter
    from models.ports import view_of
    from models.served.failures import Unanswered
    from processors.errors import BadSetting, Fatal

    asked = models_of(chosen).writer
    if view_of(asked):
        raise BadSetting(
            "--profile: packs are drawn without photos; a writer that looks at them is judged by `weft eval captions`"
        )
    with progress("writing", packs) as tick:
        try:
            written = writing.write(GuardedWriter(asked), unseen, batch=batch, tick=tick)
        except Unanswered as cause:
            raise Fatal(f"the writer's server: {cause}; nothing was measured") from cause
    found = writing.report(written, plain)
    if out_dir is not None:
        from models.yardsticks import charts_writing

        _drawn(charts_writing.draw(written, found, _folder(out_dir)))
    _show(found, _writer_table(found), as_json=as_json)


def _writer_table(found: Any) -> Table:
    columns = [("published", found.published), ("first drafts", found.drafts)]
    if found.base is not None:
        columns += [("base, published", found.base.published), ("base, first drafts", found.base.drafts)]
    names = (
        *("coverage", "coverage_of_pack", "ungrounded_per_caption", "untrue_per_caption", "accepted", "readable"),
        *("words", "sentences", "hashtags", "repetition", "distinct2", "self_bleu", "same_as_another"),
    )
    rows: list[Sequence[object]] = [(n, *(f"{getattr(s, n):.3f}" for _, s in columns)) for n in names]
    ruled = [found, found] if found.base is None else [found, found, found.base, found.base]
    rows.append(("template_share", *("" if n % 2 else f"{f.template_share:.3f}" for n, f in enumerate(ruled))))
    return rows_table((f"{found.captions} packs", *(name for name, _ in columns)), rows)


@eval_app.command("attributes")
def attributes(
    products: Annotated[Path, typer.Option(help="products.jsonl[.gz] with id, brandName, gender, articleAttributes.")],
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos, named by the products' ids.")],
    out_dir: OutOption = None,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fabric and gender by the neighbours' vote, on brands that no neighbour is of: right, unknown, calibrated?"""
    from models.yardsticks import attributes as yardstick
    from models.yardsticks import tables

    chosen = chosen_settings(profile)
    photos = Photos.open(images)
    listed, lost = yardstick.products_of(tables.read_products(products), photos)
    listed = listed[:limit] if limit else listed
    from models.guard import Guarded
    from streams.wiring.yardsticks import calibration_of, models_of

    models = models_of(chosen)
    detector = Guarded(models.detector, name="detector")
    encoder = Guarded(models.image_encoder, name="image encoder")
    refused: list[UnreadableInput] = []
    with progress("embedding", len(listed)) as tick:
        embedded = yardstick.embed(detector, encoder, photos, listed, refused, batch=chosen.batch_items, tick=tick)
    calibration = calibration_of(chosen, encoder.fingerprint)
    found = yardstick.report(embedded, calibration, lost, refused)
    if lost:
        say(f"{images} has no photo of {lost} of the products")
    if out_dir is not None:
        from models.yardsticks import charts_attributes

        _drawn(charts_attributes.draw(found, lambda facet: calibration.of(facet).theta, _folder(out_dir)))
    names = ("accuracy", "unknown", "ece", "forced_accuracy", "majority", "queries")
    both = [(facet, getattr(found, facet)) for facet in yardstick.FACETS if getattr(found, facet) is not None]
    rows = [(name, *(f"{getattr(report, name):.3f}" for _, report in both)) for name in names]
    _show(found, rows_table((f"{found.queries} products", *(facet for facet, _ in both)), rows), as_json=as_json)
    finish((), found.refused, images)


def chosen_settings(profile: str | None, said_as: str = "--profile") -> Settings:
    """The settings of the environment, with the profile of the command line, where it was given as `said_as`."""
    from models.profiles.profile import FAKE
    from processors.errors import BadSetting
    from streams.wiring.weights import profile_of

    base = settings()
    chosen = base if profile is None else base.model_copy(update={"profile": profile})
    try:
        if chosen.profile != FAKE:
            profile_of(chosen)
    except BadSetting as error:
        said = str(error) if profile is None else str(error.__cause__ or error)
        say(said if profile is None else f"{said_as}: {said}")
        raise typer.Exit(Exit.USAGE) from None
    return chosen


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _drawn(paths: Sequence[Path]) -> None:
    for path in paths:
        say(f"drawn: {path}")


def _percent(share: float, interval: tuple[float, float] | None = None) -> str:
    """.567, or .567 (.53 to .60)."""
    text = f"{share:.3f}"
    return text if interval is None else f"{text} ({interval[0]:.3f} to {interval[1]:.3f})"


def _show(found: Any, table: Table, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_table(table)


def finish(missing: Sequence[str], refused: Sequence[UnreadableInput], where: Path) -> None:
    """Name what could not be measured, and say by exit code that there was something."""
    lines = [f"missing: {where} has no photo {name}" for name in missing]
    lines += [f"refused: {item.cause}" for item in refused]
    for line in lines[:MOST_NAMED]:
        say(line)
    if len(lines) > MOST_NAMED:
        say(f"… and {len(lines) - MOST_NAMED} more; --json names them all")
    if missing or refused:
        raise typer.Exit(Exit.REJECTED)


from streams.cli import (  # noqa: E402, F401 - of `eval_app`
    evaluate_captions,
    evaluate_composed,
    evaluate_context,
    evaluate_edit,
    evaluate_relevance,
    evaluate_search,
    evaluate_worn,
)
