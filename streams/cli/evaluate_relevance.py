"""`weft eval relevance`: is a result sure where something fits, and unsure where nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from infra.logs import configure
from infra.settings import Settings
from models.yardsticks import detection, tables, worn
from models.yardsticks import relevance as yardstick
from models.yardsticks.photos import Photos, UnreadableInput
from processors.relevance import knows
from processors.values import Pixels
from streams.cli.evaluate import JsonOption, LimitOption, ProfileOption, chosen_settings, eval_app, finish
from streams.cli.output import print_json, print_table, rows_table, say
from streams.cli.progress import progress
from streams.contract.records import ImageRef, Query, Result

_DEADLINE_MS = 60_000


@eval_app.command("relevance")
def relevance(
    images: Annotated[Path, typer.Option(help="Folder, or zip, of photos of dressed people.")],
    coco: Annotated[Path, typer.Option(help="COCO file with the boxes of what is worn in them.")],
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Only photos whose number in the file five divides; else only the others."),
    ] = False,
    fit: Annotated[Path | None, typer.Option(help="Write the curves that fit these queries to this file.")] = None,
    limit: LimitOption = 0,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Half of the photos, cut into garments, are the catalogue; the others ask, and words, and photos and words of nothing."""
    configure("ERROR")
    chosen, photos, listed = chosen_settings(profile), Photos.open(images), tables.read_coco(coco)
    held = {image.file_name for image in listed.images if (int(image.id) % 5 == 0) is held_out}
    scenes, missing, _ = detection.scenes_of(listed, photos)
    scenes = tuple(one for one in scenes if one.path.rpartition("/")[2] in held)
    scenes = scenes[:limit] if limit else scenes
    refused: list[UnreadableInput] = []
    catalogue, asking = worn.made(scenes, photos, 1.0, refused)
    encoder, judged = asyncio.run(_measure(chosen, catalogue, asking, seed=1 if held_out else 0))
    if fit is not None:
        from models.recipes import relevance as recipe

        told = f"weft eval relevance --fit on {len(asking)} photos"
        curves = recipe.fit([one for one in judged if one.kind != "absent"])
        curves.setdefault("product", curves["photo"])
        fit.write_bytes(recipe.write(curves, encoder, told))
        say(f"wrote {fit}")
    found = yardstick.report(encoder, judged)
    if as_json:
        print_json(found)
    else:
        rows = [
            (kind, one.good, f"{one.unsure_of_good:.3f}", one.nothing, f"{one.unsure_of_nothing:.3f}")
            for kind, one in found.kinds.items()
        ]
        print_table(rows_table(("kind", "good", "unsure of these", "of nothing", "unsure of these"), rows))
    finish(missing, refused, images)


async def _measure(
    chosen: Settings, catalogue: Sequence[worn.Garment], asking: Sequence[worn.Asked], seed: int
) -> tuple[str, list[yardstick.Judgement]]:
    from streams.wiring.yardsticks import search_trial

    half = max((one.photo for one in asking), default=0) // 2
    shop = [one for one in catalogue if one.photo <= half]
    sold = sorted({one.category for one in shop})
    nothing = yardstick.NOTHING[seed::2]
    judged: list[yardstick.Judgement] = []
    async with search_trial(chosen) as trial:
        with progress("making the catalogue", len(shop)) as tick:
            await trial.stock([(one.product_id, one.data) for one in shop], tick)

        async def ask(kind: str, queries: Sequence[Query], *, fits: bool) -> None:
            with progress(f"asking: {kind}, {'good' if fits else 'nothing'}", len(queries)) as tick:
                results = await trial.ask(queries, tick)
            judged.extend(_judged(kind, one, result, fits=fits) for one, result in zip(queries, results, strict=True))

        await ask("photo", [_photo(f"p{one.photo}", one.data) for one in asking if one.photo > half], fits=True)
        noise = yardstick.noise(80, seed)
        await ask("photo", [_photo(f"n{n}", _png(one)) for n, one in enumerate(noise)], fits=False)
        await ask("words", [_words(text) for text in yardstick.words_for(sold)], fits=True)
        await ask("words", [_words(text) for text in nothing], fits=False)
        shirts = {one.product_id for one in shop if one.category == "shirt"}
        trial.bank = trial.bank.only(shirts)
        absent = [name for name in ("shoe", "bag", "pants", "hat", "sunglass") if shirts]
        await ask("absent", [_words(text) for text in yardstick.words_for(["shirt"])] if shirts else [], fits=True)
        await ask("absent", [_words(text) for text in ["winter boots", *yardstick.words_for(absent)]], fits=False)
        return trial.compose.images.fingerprint, judged


def _photo(name: str, data: bytes) -> Query:
    return Query(name, ImageRef(bytes=data), deadline_ms=_DEADLINE_MS)


def _words(text: str) -> Query:
    return Query(text, text=text, deadline_ms=_DEADLINE_MS)


def _png(pixels: Pixels) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    return data.tobytes()


def _judged(kind: str, query: Query, result: Result, *, fits: bool) -> yardstick.Judgement:
    seen = any(one.category for one in result.garments) if query.image is not None else knows(query.text or "")
    # The inner product alone is what relevance goes by; facets of the words are in the score besides.
    best = max((hit.score if hit.similarity is None else hit.similarity for hit in result.hits), default=-1.0)
    # What is refused is told to say nothing.
    confident = False if result.error is not None else result.confident
    return yardstick.Judgement(kind, fits, best, seen, confident)
