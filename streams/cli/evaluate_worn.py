"""`weft eval worn`: garments of a catalogue worn in photos of people, found by the whole photo and garment by garment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra.logs import configure
from infra.settings import Settings
from models.yardsticks import detection, tables
from models.yardsticks import worn as yardstick
from models.yardsticks.photos import Photos, UnreadableInput
from streams.cli.evaluate import JsonOption, LimitOption, ProfileOption, chosen_settings, eval_app, finish
from streams.cli.numbers import finite
from streams.cli.output import print_json, print_table, rows_table
from streams.cli.progress import progress
from streams.contract.records import ImageRef, Query, Result


@eval_app.command("worn")
def worn(
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos.")],
    coco: Annotated[Path, typer.Option(help="COCO file with the boxes of what is worn in them.")],
    light: Annotated[
        float, typer.Option(min=0.05, max=1.0, callback=finite, help="How much of its light a photo keeps.")
    ] = 0.6,
    every: Annotated[int, typer.Option(min=1, help="Only photos whose number in the file this divides.")] = 1,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Each garment, cut out of its photo, is a product; the photo, mirrored and darkened, asks. Is what is worn first, in ten?"""
    configure("ERROR")
    chosen, photos, listed = chosen_settings(profile), Photos.open(images), tables.read_coco(coco)
    scenes, missing, _ = detection.scenes_of(listed, photos)
    numbers = {image.file_name: str(image.id) for image in listed.images}
    scenes = tuple(one for one in scenes if _number(numbers.get(one.path.rpartition("/")[2], "0")) % every == 0)
    scenes = scenes[:limit] if limit else scenes
    refused: list[UnreadableInput] = []
    catalogue, asking = yardstick.made(scenes, photos, light, refused)
    whole, garments = asyncio.run(_measure(chosen, catalogue, asking))
    found = yardstick.report(catalogue, light, whole, garments, missing, refused)
    if as_json:
        print_json(found)
    else:
        names = ("first", "ten", "garment_first", "garment_ten", "in_ten")
        rows = [(n, f"{getattr(found.whole, n):.3f}", f"{getattr(found.garments, n):.3f}") for n in names]
        rows += [("missed", "", f"{found.missed:.3f}")]
        rows += [(f"first, {name}", "", f"{share:.3f}") for name, share in found.first_by_category.items()]
        print_table(rows_table((f"{found.photos} photos, {found.catalogue} garments", "whole photo", "garments"), rows))
    finish(found.missing, found.refused, images)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


async def _measure(
    chosen: Settings, catalogue: Sequence[yardstick.Garment], asking: Sequence[yardstick.Asked]
) -> tuple[list[yardstick.Answered], list[yardstick.Answered]]:
    from streams.wiring.yardsticks import search_trial

    async with search_trial(chosen) as trial:
        with progress("making the catalogue", len(catalogue)) as tick:
            await trial.stock([(one.product_id, one.data) for one in catalogue], tick)
        queries = [Query(f"q-{one.photo}", ImageRef(bytes=one.data), top_k=10, deadline_ms=60_000) for one in asking]
        with progress("asking with whole photos", len(queries)) as tick:
            whole = await trial.ask(queries, tick, whole=True)
        with progress("asking garment by garment", len(queries)) as tick:
            apart = await trial.ask(queries, tick)
    photos = [one.photo for one in asking]
    return _answered(photos, whole), _answered(photos, apart)


def _answered(photos: Sequence[int], results: Sequence[Result]) -> list[yardstick.Answered]:
    return [
        yardstick.Answered(
            photo,
            tuple(hit.product_id for hit in result.hits),
            tuple(yardstick.Listed(one.box, tuple(hit.product_id for hit in one.hits)) for one in result.garments),
        )
        for photo, result in zip(photos, results, strict=True)
    ]
