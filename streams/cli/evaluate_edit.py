"""`weft eval edit`: what edits of garments are worth, on photos with boxes and on drawn garments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.logs import configure
from models.yardsticks.photos import UnreadableInput
from streams.cli.evaluate import JsonOption, LimitOption, ProfileOption, chosen_settings, eval_app, finish
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say
from streams.cli.progress import progress

WHERE = Path()


@eval_app.command("edit")
def edit(
    images: Annotated[Path | None, typer.Option(help="Folder, or zip, of photos of people.")] = None,
    coco: Annotated[Path | None, typer.Option(help="COCO file with the boxes of what is worn in them.")] = None,
    drawn: Annotated[int, typer.Option(min=0, help="How many drawn garments are edited as well.")] = 100,
    seed: Annotated[int, typer.Option(help="Other seeds, other wishes and other drawn garments.")] = 77,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page with every edit.")] = None,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Distances and scores over the profile's own encoder (named so), SSIM and greatest difference outside the mask, colours."""
    if (images is None) != (coco is None):
        say("give both of --images and --coco, or neither")
        raise typer.Exit(Exit.USAGE)
    configure("ERROR")
    from models.guard import Guarded
    from models.yardsticks import detection, editing, tables
    from models.yardsticks.photos import Photos
    from streams.wiring.yardsticks import models_of

    models, refused, clock = models_of(chosen_settings(profile)), list[UnreadableInput](), editing.Clock()
    embeds = editing.Embeds(models.image_encoder, Guarded(models.text_encoder, name="text encoder"))
    edits, missing, without = editing.Transfer(), tuple[str, ...](), 0
    with progress("editing drawn garments", drawn) as tick:
        of_drawn = editing.drawn(edits, drawn, seed, tick) if drawn else (0, 0)
    cases: list[editing.Case] = []
    if images is not None and coco is not None:
        photos = Photos.open(images)
        scenes, missing, _ = detection.scenes_of(tables.read_coco(coco), photos)
        things, without = editing.worn_in(scenes[:limit] if limit else scenes, photos, refused, clock)
        with progress("editing photos", len(things)) as tick:
            cases = editing.measured(edits, things, embeds, clock, seed=seed, tick=tick)
    found = editing.report(edits, embeds, cases, of_drawn, clock, without=without, missing=missing, refused=refused)
    if page is not None:
        from models.yardsticks import editing_page

        editing_page.write(page, found, cases)
    if as_json:
        print_json(found)
    else:
        rows = [
            (name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
            for name, value in msgspec.structs.asdict(found).items()
            if isinstance(value, (int, float, str))
        ]
        rows += [(f"{stage}, processor seconds", f"{value:.4f}") for stage, value in found.seconds.items()]
        print_table(rows_table(("measured", "value"), rows))
    finish(found.missing, found.refused, images or WHERE)
