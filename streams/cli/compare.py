"""`weft models compare`: two profiles on the same data, before anybody switches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processors.errors import Fatal, Poison
from streams.cli.app import AsJson
from streams.cli.models import models_app
from streams.cli.output import print_json, print_table, rows_table, say

if TYPE_CHECKING:
    from infra.settings import Settings
    from models.yardsticks.paired import Compared, Figure
    from streams.ops.compare.report import Report
    from streams.ops.compare.run import Given


@models_app.command("compare")
def models_compare(
    profile: Annotated[str, typer.Argument(help="The profile in question: its name, or its file.")],
    products: Annotated[
        Path, typer.Option(help="Table of the products, in a form that `weft ingest` reads, or .jsonl.gz.")
    ],
    images: Annotated[Path, typer.Option(help="Folder, or zip, of the photos: named by `image`, or by the ids.")],
    other: Annotated[str, typer.Option("--with", help="The profile that it is compared with.")] = "starter",
    coco: Annotated[
        Path | None, typer.Option(help="COCO file with the boxes of garments: detection, and what is worn, too.")
    ] = None,
    coco_images: Annotated[
        Path | None, typer.Option(help="Folder, or zip, of its photos, where they are not in --images.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Products, and photos with boxes, at most; 0: all.")] = 0,
    pairs: Annotated[int, typer.Option(min=1, help="Composed queries of each facet, at most.")] = 100,
    seed: Annotated[int, typer.Option(help="Other seeds, other composed queries.")] = 3,
    page: Annotated[
        Path | None, typer.Option("--html", help="A page of the figures and of the largest differences, as pictures.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every yardstick of both, side by side with intervals; speed and memory of each, in processes of their own."""
    from models.profiles.profile import FAKE
    from streams.cli.evaluate import chosen_settings, finish
    from streams.cli.progress import progress
    from streams.ops.compare.processes import running
    from streams.ops.compare.run import Comparison
    from streams.wiring.weights import profile_of, require_weights

    called = []
    for name, said_as in ((profile, "PROFILE"), (other, "--with")):
        chosen = chosen_settings(name, said_as)
        require_weights(chosen)
        _require_answers(chosen)
        called.append(FAKE if name == FAKE else profile_of(chosen).called)
    given = _given(products, images, coco, coco_images, limit, pairs, seed)
    if page is not None and not page.absolute().parent.is_dir():
        raise Poison(f"{page.parent} is no folder", field="--html")
    scenes = images if coco is None else coco_images or images
    mine, theirs = running(profile, called[0], images, scenes), running(other, called[1], images, scenes)
    with mine as one, theirs as two:
        found = Comparison(one, two, given, progress).run()
    if page is not None:
        from streams.ops.compare import page as compare_page

        compare_page.write(page, found, given.photos)
        say(f"written: {page}")
    if as_json:
        print_json(found.report)
    else:
        _print(found.report)
    finish((), found.report.refused, images)


def _require_answers(chosen: Settings) -> None:
    """Ask the server of a profile's writer for a few words. Raises `Fatal`: rules would write instead, and be measured as its captions a second."""
    from models.profiles.kinds import Place, examine
    from models.profiles.profile import FAKE
    from streams.wiring.weights import writer_part, writes_by_rule

    if chosen.profile == FAKE or writes_by_rule(chosen):
        return
    for wrong in examine("writer", writer_part(chosen), Place(chosen.model_cache)):
        raise Fatal(f"{chosen.profile}: its writer does not answer, so nothing would be measured: {wrong}")


def _given(
    products: Path, images: Path, coco: Path | None, coco_images: Path | None, limit: int, pairs: int, seed: int
) -> Given:
    from models.yardsticks import captions as yardstick
    from models.yardsticks import detection, tables
    from models.yardsticks.photos import Photos
    from streams.cli.evaluate import MOST_NAMED
    from streams.cli.evaluate_captions import rows_of
    from streams.facets.labelled import read_labelled
    from streams.ops.compare.run import Given

    photos = Photos.open(images)
    listed, missing, beyond = yardstick.products_of(rows_of(products), photos)
    asked = yardstick.spread(listed, limit)
    say(f"{len(asked)} products of {len({one.brand for one in asked})} brands")
    if missing:
        say(f"{images} has no photo of {len(missing)} of the products, such as {missing[0]}")
    labelled = {one.product_id: one for one in read_labelled(products, photos).products}
    scenes: tuple[detection.Scene, ...] = ()
    scene_photos = photos
    if coco is not None:
        scene_photos = photos if coco_images is None else Photos.open(coco_images)
        scenes, lost, others = detection.scenes_of(tables.read_coco(coco), scene_photos)
        scenes = scenes[:limit] if limit else scenes
        for name in lost[:MOST_NAMED]:
            say(f"{coco}: there is no photo {name}")
        for name in others:
            say(f"{coco}: the category {name!r} is none of ours; its boxes are left out")
    return Given(
        asked,
        photos,
        labelled,
        scenes,
        scene_photos,
        pairs=pairs,
        seed=seed,
        without_photo=len(missing),
        not_comparable=beyond,
    )


def _print(found: Report) -> None:
    headers = ("", found.profile, found.other, "difference", "", "of")
    print_table(rows_table(headers, [_row(one, ".3f") for one in found.yardsticks]))
    rows = [_row(one, ".2f") for one in found.speed]
    peaks = (found.peak_bytes.profile, found.peak_bytes.other)
    rows.append(("peak memory", *(f"{peak / 2**20:,.0f} MiB" for peak in peaks), "", "", ""))
    print_table(rows_table(headers, rows))
    same = [name for name, part in found.parts.items() if part.same]
    if same:
        say(f"the same in both, and measured once where nothing else is in it: {', '.join(same)}")
    for name, why in found.left_out.items():
        say(f"{name} was not measured: {why}")


def _row(one: Compared, form: str) -> Sequence[object]:
    def shown(figure: Figure) -> str:
        return f"{figure.value:{form}} ({figure.ci[0]:{form}} to {figure.ci[1]:{form}})"

    name = one.name if one.better == "more" else f"{one.name}, less is better"
    verdict = "measured once" if one.once else one.verdict if one.beyond_noise else "within noise"
    apart = "" if one.once else shown(one.difference)
    return (name, shown(one.profile), shown(one.other), apart, verdict, f"{one.items} {one.of}")
