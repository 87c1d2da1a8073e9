"""The part of `weft eval context` that looks for photos by pictures, and the figures in a document."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infra.settings import Settings
from models.yardsticks import context as facts
from models.yardsticks import context_pictures
from models.yardsticks.context import ContextReport
from models.yardsticks.context_pictures import PicturesReport, Yardstick
from models.yardsticks.photos import Photos
from processors.drawn import catalogue
from processors.errors import Poison
from processors.values import Pixels
from streams.cli.output import print_table, rows_table, say
from streams.cli.progress import progress

DRAWN_SIDE = 480
CHANGES = 4
_MARKED = "<!-- weft eval context: {name} -->\n"
_END = "<!-- end -->"


def looked_for(settings: Settings, count: int, photos: Path | None, seed: int) -> PicturesReport:
    """Photos among their changed selves, by both encoders of the profile. Raises `Poison`: a photo cannot be read."""
    from streams.wiring.yardsticks import models_of

    models = models_of(settings)
    pixels = _drawn(count, seed) if photos is None else _photos(photos, count, seed)
    with progress("looking", CHANGES * len(pixels)) as tick:
        return Yardstick((models.image_encoder, models.second_encoder), pixels, seed, tick).run()


def _drawn(count: int, seed: int) -> list[Pixels]:
    return [np.asarray(one.pixels) for one in catalogue(seed, count, size=DRAWN_SIDE)]


def _photos(path: Path, count: int, seed: int) -> list[Pixels]:
    """So many of a folder, each of another content."""
    photos = Photos.open(path)
    names = sorted(photos)
    random.Random(seed).shuffle(names)
    found: dict[str, Pixels] = {}
    for name in names:
        if len(found) == count:
            break
        picture = photos.load(name)
        found.setdefault(picture.digest, picture.decoded.pixels)
    return list(found.values())


def show_pictures(found: PicturesReport) -> None:
    """As tables."""
    names = ("ours", "second", "both", "geometry", "named", "proved", "wrong")
    rows: list[Sequence[object]] = [
        (change, *(f"{getattr(one, name):.3f}" for name in names)) for change, one in found.changes.items()
    ]
    print_table(rows_table(("changed to", *names), rows))
    more: list[Sequence[object]] = [
        ("false pairs", f"{found.false_pairs:.4f} of {found.pairs}"),
        ("plain: abstain", f"{found.abstains:.3f} of {found.plain}"),
        *((f"ms {name}", value) for name, value in found.milliseconds.items()),
    ]
    print_table(rows_table((f"{found.photos} photos", ""), more))


def check_marks(file: Path, *, facts: bool, pictures: bool, photos: Path | None) -> None:
    """Raise `Poison` where a document lacks a mark, before minutes are spent on its figures."""
    wanted = [name for name, asked in (("facts", facts), (_name_of(photos), pictures)) if asked]
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise Poison(f"{file}: {error.strerror}", field="--write") from error
    for name in wanted:
        _between(text, name, "", file)


def _name_of(photos: Path | None) -> str:
    return "drawn pictures" if photos is None else "pictures"


def write_figures(
    file: Path, found: ContextReport | None, seen: PicturesReport | None, photos: Path | None, *, by_rule: bool
) -> None:
    """Put the figures between their marks in a document. Raises `Poison` where it has no such marks."""
    try:
        text = file.read_text(encoding="utf-8")
        if found is not None:
            text = _between(text, "facts", facts.page(found, "rule" if by_rule else "the language model"), file)
        if seen is not None:
            of = "drawn products" if photos is None else "photos of catalogues"
            text = _between(text, _name_of(photos), context_pictures.page(seen, of), file)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Poison(f"{file}: {error.strerror}", field="--write") from error
    say(f"written: {file}")


def _between(text: str, name: str, figures: str, file: Path) -> str:
    mark = _MARKED.format(name=name)
    pattern = re.compile(re.escape(mark) + r".*?" + re.escape(_END), re.DOTALL)
    if not pattern.search(text):
        raise Poison(f"{file} has no marks {mark.strip()!r} … {_END!r}", field="--write")
    return pattern.sub(lambda _: f"{mark}{figures}{_END}", text, count=1)
