"""`weft train`: run a recipe, go on with one that was stopped, and show how it goes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from processors.errors import BadSetting, Poison
from streams.cli.app import app
from streams.cli.exits import Exit
from streams.cli.numbers import finite
from streams.cli.output import err, print_json, print_table, rows_table, say

RECIPES = Path(import_module("models").__path__[0]) / "recipes"
LINE_SECONDS = 15.0
LOOK_SECONDS = 0.5


class Part(StrEnum):
    """What can be trained."""

    composer = "composer"
    detector = "detector"
    edit_adapter = "edit-adapter"
    encoder = "encoder"
    facets = "facets"
    writer = "writer"


class Trained(msgspec.Struct, frozen=True):
    """`weft train --json`. `seconds` are of training over all calls of the run; `resumed_at`: steps done before this one."""

    part: str
    recipe: str
    run: str
    weights: str
    bytes: int
    steps: int
    seconds: float
    images: int
    loss: float | None
    resumed_at: int
    plot: str | None


@app.command()
def train(
    part: Annotated[Part, typer.Argument(help="Which model.")],
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="YAML file, or the name of one that ships (writer: blip, context, second); by default the one the shipped weights are from."
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/PART.")] = None,
    data: Annotated[Path, typer.Option(envvar="WEFT_DATA", help="Folder with street/, phone/ …")] = Path(
        "../shared/data"
    ),
    minutes: Annotated[
        float | None, typer.Option(min=0.01, callback=finite, help="Train so long instead of the recipe's time.")
    ] = None,
    products: Annotated[
        Path | None, typer.Option(help="encoder, writer: a shop's products.jsonl[.gz], to learn from.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder, or zip, of the photos of --products or --coco.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="encoder, writer: labels.csv (image,label), its photos in photos/ beside it.")
    ] = None,
    coco: Annotated[Path | None, typer.Option(help="detector: your own boxes, a COCO file; with --images.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="encoder, writer: weights that an earlier run exported, to go on from; detector: a folder that `weft models add` made."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Train by a recipe; goes on where a run was stopped. Weights, progress.jsonl and loss.png lie in the run's folder."""
    from models.yardsticks.training import loss_plot, read_progress

    boxes = _boxes(part, coco, images, start, products or labels)
    shop = {} if boxes is not None else _shop(part, products, images, labels, start)
    usual = f"{part.value}-shop.yaml" if part is Part.encoder and (products or labels) else f"{part.value}.yaml"
    usual = usual if boxes is None else "detector_shop.yaml"
    followed = RECIPES / usual if recipe is None else _named(part, recipe)
    folder = Path("runs") / part.value if run is None else run
    if not followed.is_file():
        say(f"--recipe: {followed} is no file")
        raise typer.Exit(Exit.USAGE)
    folder.mkdir(parents=True, exist_ok=True)
    before = read_progress(folder)
    try:
        with _followed(part.value, folder), contextlib.redirect_stdout(sys.stderr):
            if boxes is not None:
                weights = _train_on_boxes(*boxes, start, folder, followed, minutes)
            else:
                weights = _train(part, followed, folder, data, minutes, shop)
    finally:
        steps = read_progress(folder)
        plot = loss_plot(steps, f"{part.value} by {followed.name}", folder / "loss.png") if steps else None
    last = steps[-1] if steps else None
    done = Trained(
        part=part.value,
        recipe=str(followed),
        run=str(folder),
        weights=str(weights),
        bytes=weights.stat().st_size,
        steps=last.step if last else 0,
        seconds=last.seconds if last else 0.0,
        images=last.images if last else 0,
        loss=last.loss if last else None,
        resumed_at=before[-1].step if before else 0,
        plot=None if plot is None else str(plot),
    )
    if as_json:
        print_json(done)
    else:
        rows = [(name, getattr(done, name)) for name in Trained.__struct_fields__]
        print_table(rows_table(("trained", ""), rows))


def _named(part: Part, recipe: Path) -> Path:
    """The recipe of a name ("context"): `writer-context.yaml`; a path stays one."""
    shipped = RECIPES / f"{part.value}-{recipe}.yaml"
    return shipped if not recipe.exists() and recipe.name == str(recipe) and shipped.is_file() else recipe


def _boxes(
    part: Part, coco: Path | None, images: Path | None, start: Path | None, others: Path | None
) -> tuple[Path, Path] | None:
    """The shop's own boxes and their photos, where a detector is to learn from them."""
    if coco is None and part is Part.detector and start is not None:
        raise BadSetting("--start: a detector starts from another with --coco and --images")
    if coco is None:
        return None
    if part is not Part.detector or images is None or others is not None:
        raise BadSetting("--coco: goes with --images, and with `weft train detector` alone")
    return coco, images


def _shop(
    part: Part, products: Path | None, images: Path | None, labels: Path | None, start: Path | None
) -> dict[str, Any]:
    """What a recipe is given of a shop: nothing, where nothing was said."""
    said = {"--products": products, "--images": images, "--labels": labels, "--start": start}
    given = [name for name, path in said.items() if path is not None]
    if not given:
        return {}
    if part is Part.facets:
        raise BadSetting(
            f"{given[0]}: a shop's own labels are learnt by `weft facets fit --products FILE --images DIR`"
        )
    if part not in {Part.encoder, Part.writer}:
        raise BadSetting(f"{given[0]}: the recipe of {part.value} does not take it")
    if start is not None and not start.is_file():
        raise BadSetting(f"--start: {start} is no file")
    from models.recipes.shop import Shop

    return {"shop": Shop(products, images, labels, "" if start is None else str(start))}


def _train(
    part: Part, recipe: Path, run: Path, data: Path, minutes: float | None, shop: dict[str, Any] | None = None
) -> Path:
    module = import_module(f"models.recipes.{part.value.replace('-', '_')}")
    try:
        weights = module.train(recipe, run, data, minutes, **(shop or {}))
    except FileNotFoundError as error:
        raise Poison(f"{error.filename or error}: not found, and the recipe needs it (--data is {data})") from error
    return Path(weights)


def _train_on_boxes(
    coco: Path, images: Path, start: Path | None, run: Path, recipe: Path, minutes: float | None
) -> Path:
    from models.recipes.detector_shop import Recipe
    from models.recipes.detector_shop import train as learn

    try:
        settings = msgspec.yaml.decode(recipe.read_bytes(), type=Recipe)
    except msgspec.MsgspecError as error:
        raise BadSetting(f"--recipe: {recipe}: {error}") from error
    return learn(coco, images, start, run, settings, minutes)


@contextlib.contextmanager
def _followed(what: str, run: Path) -> Iterator[None]:
    """A line on stderr that follows `progress.jsonl` while the block runs."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(what, run, ended), name="progress")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(what: str, run: Path, ended: threading.Event) -> None:
    from models.yardsticks.training import read_progress

    told, size = time.monotonic() - LINE_SECONDS, -1
    with err.status(f"{what}: starting") if err.is_terminal else contextlib.nullcontext() as status:
        while not ended.wait(LOOK_SECONDS):
            path = run / "progress.jsonl"
            now = path.stat().st_size if path.is_file() else 0
            if now == size or (status is None and time.monotonic() - told < LINE_SECONDS):
                continue
            steps = read_progress(run)
            if not steps:
                continue
            size, told, last = now, time.monotonic(), steps[-1]
            recent = sum(step.loss for step in steps[-20:]) / len(steps[-20:])
            line = f"{what}: step {last.step}, {last.images} examples, {last.seconds / 60:.1f} min, loss {recent:.4f}"
            if status is None:
                say(line)
            else:
                status.update(line)
