"""Both profiles over the same data, batch by batch in turn. What both would say alike is asked of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from models.yardsticks import detection, worn
from models.yardsticks.captions import Captioned, Product, judge
from models.yardsticks.photos import Photos, Tick, UnreadableInput
from processors.errors import Poison
from processors.values import Detection
from streams.contract.codecs import decode_item
from streams.facets.labelled import Labelled
from streams.ops.compare import report, wire
from streams.ops.compare.processes import Process
from streams.ops.compare.report import PARTS, SEEING, Part, Report, Same, Seen, Side
from streams.ops.composed.pairs import Pair, pairs_of, texts_of
from streams.roles.items import WHOLE

A = TypeVar("A")
T = TypeVar("T")
Showing: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]
"""Shows how far a step is: its name, how many things there are."""
BATCH = 16
"""Things that both are asked for before the other begins; rates are told of so many at once."""
WORN_MOST = 200
"""Photos that ask for what is worn in them, at most: their garments are held in memory."""
LIGHT = 0.6
"""As of `weft eval worn`."""


@dataclass(frozen=True, slots=True)
class Given:
    """The data.

    Args:
        products: with what the shop says of them; at least one.
        photos: of these.
        labelled: what of them is labelled, by id.
        scenes: photos with boxes; may be none.
        scene_photos: of these.
        pairs: composed queries of each facet, at most.
        seed: draws them.
        without_photo, not_comparable: see `Report`.
    """

    products: Sequence[Product]
    photos: Photos
    labelled: Mapping[str, Labelled]
    scenes: Sequence[detection.Scene] = ()
    scene_photos: Photos | None = None
    pairs: int = 100
    seed: int = 3
    without_photo: int = 0
    not_comparable: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The figures, and what they are of. `ids`: the products that both saw."""

    report: Report
    ids: tuple[str, ...]
    mine: Side
    theirs: Side


class Comparison:
    """One run.

    Args:
        mine: the process of the profile.
        theirs: of the one that it is compared with.
        given: the data.
        showing: see there.
    """

    def __init__(self, mine: Process, theirs: Process, given: Given, showing: Showing) -> None:
        self._processes = (mine, theirs)
        self._given, self._showing = given, showing
        self._sides = (Side(), Side())
        self._refused: dict[str, UnreadableInput] = {}
        self._left_out: dict[str, str] = {}
        self._same = Same({})
        self._turn = 0

    def run(self) -> Found:
        """Measure everything that the data allow.

        Raises:
            Poison: no photo can be used. Fatal: a process ended.
        """
        parts = self._load()
        self._same = Same({name: part.same for name, part in parts.items()})
        self._see()
        ids = tuple(name for name in self._sides[0].seen if name in self._sides[1].seen)
        if not ids:
            causes = [one.cause for one in self._refused.values()]
            raise Poison(f"no photo could be used by both, such as {causes[0] if causes else 'none'}")
        self._write(ids)
        for side, process in zip(self._sides, self._processes, strict=True):
            side.peak_bytes = process.peak_bytes
            side.near = report.near_of(side, ids)
        pairs = self._ask(ids)
        catalogue = self._scenes()
        return Found(self._report(parts, ids, pairs, catalogue), ids, *self._sides)

    def _both(
        self, same: bool, request: wire.Request, kind: type[A], *, memory: bool = False
    ) -> tuple[tuple[A, float], tuple[A, float]]:
        """What both answer, with the seconds; the one that begins takes turns.

        Args:
            same: one is asked, for both.
            request: the same for both.
            kind: of the answers.
            memory: ask the other one too, for the memory that it takes, and do not count it.
        """
        mine, theirs = self._processes
        if same:
            one = mine.ask(request, kind)
            if memory:
                theirs.ask(request, kind)
            return one, one
        self._turn += 1
        if self._turn % 2:
            first = mine.ask(request, kind)
            return first, theirs.ask(request, kind)
        second = theirs.ask(request, kind)
        return mine.ask(request, kind), second

    def _load(self) -> dict[str, Part]:
        found = []
        with self._showing("loading the models", 2) as tick:
            for process in self._processes:
                found.append(process.ask(wire.Load(), wire.Loaded)[0].parts)
                tick(1)
        one, two = found
        return {name: Part(one[name], two[name], one[name] == two[name]) for name in PARTS}

    # ------------------------------------------------------------------ products

    def _see(self) -> None:
        products, same = self._given.products, self._same.of(*SEEING)
        with self._showing("looking at photos", len(products)) as tick:
            for number, batch in enumerate(_batches(products)):
                asked = wire.Enrich(tuple((one.product_id, one.path) for one in batch), number * BATCH)
                answers = self._both(same, asked, wire.Enriched, memory=not number)
                for side, (found, seconds) in zip(self._sides, answers, strict=True):
                    side.image_rate[number] = (len(found.items), seconds)
                    side.seen |= dict(map(_seen, found.items))
                    self._refused |= {path: UnreadableInput(path, cause) for path, cause in found.refused}
                if same:
                    self._processes[1].ask(wire.Take(answers[0][0].items), wire.Done)
                tick(len(batch))

    def _write(self, ids: Sequence[str]) -> None:
        known = {one.product_id: one for one in self._given.products}
        same = self._same.of(*PARTS)
        for process in self._processes:
            process.ask(wire.Know(), wire.Done)
        with self._showing("captioning", len(ids)) as tick:
            for number, batch in enumerate(_batches(ids)):
                asked = wire.Write(tuple(batch))
                answers = self._both(same, asked, wire.Written, memory=not number)
                for side, (found, seconds) in zip(self._sides, answers, strict=True):
                    side.caption_rate[number] = (len(found.texts), seconds)
                    side.captions |= {one.product: judge(_captioned(known[one.product], one)) for one in found.texts}
                tick(len(batch))

    def _ask(self, ids: Sequence[str]) -> list[Pair]:
        labelled = [self._given.labelled[name] for name in ids if name in self._given.labelled]
        pairs = pairs_of(labelled, self._given.pairs, self._given.seed)
        if not pairs:
            self._left_out["composed"] = "no two products differ in one label only"
            return []
        found: tuple[list[tuple[str, ...]], ...] = ([], [])
        same = self._same.of(*SEEING)
        with self._showing("asking", len(pairs)) as tick:
            for batch in _batches(pairs):
                asked = wire.Ask(tuple((one.reference, texts_of(one.facet, one.value)[0]) for one in batch))
                answers = self._both(same, asked, wire.Hits)
                for kept, (answer, _) in zip(found, answers, strict=True):
                    kept.extend(answer.found)
                tick(len(batch))
        for side, kept in zip(self._sides, found, strict=True):
            side.answers = tuple(kept)
        return pairs

    # ------------------------------------------------------------------ photos with boxes

    def _scenes(self) -> Sequence[worn.Garment]:
        if not self._given.scenes:
            self._left_out |= dict.fromkeys(("detection", "worn"), "no boxes are given (--coco)")
            return ()
        self._detect()
        return self._wear()

    def _detect(self) -> None:
        scenes, same = self._given.scenes, self._same.of("detector")
        kept: tuple[list[tuple[detection.Scene, tuple[Detection, ...]]], ...] = ([], [])
        with self._showing("detecting", len(scenes)) as tick:
            for batch in _batches(scenes):
                asked = wire.Detect(tuple(scene.path for scene in batch))
                answers = self._both(same, asked, wire.Found)
                first, second = (answer.detections for answer, _ in answers)
                for scene, one, two in zip(batch, first, second, strict=True):
                    if one is None or two is None:
                        self._refused[scene.path] = UnreadableInput(scene.path, f"{scene.path} cannot be read")
                    else:
                        kept[0].append((scene, one))
                        kept[1].append((scene, two))
                tick(len(batch))
        for side, rows in zip(self._sides, kept, strict=True):
            if rows:
                side.judged = detection.Judged(tuple(s for s, _ in rows), tuple(f for _, f in rows), ())

    def _wear(self) -> Sequence[worn.Garment]:
        photos, refused = self._given.scene_photos or self._given.photos, list[UnreadableInput]()
        catalogue, asking = worn.made(self._given.scenes[:WORN_MOST], photos, LIGHT, refused)
        same = self._same.of(*SEEING)
        with self._showing("stocking what is worn", len(catalogue)) as tick:
            for batch in _batches(catalogue):
                stock = wire.Stock(tuple((one.product_id, one.data) for one in batch))
                self._both(same, stock, wire.Done)
                tick(len(batch))
        found: tuple[list[worn.Answered], ...] = ([], [])
        with self._showing("asking for what is worn", len(asking)) as tick:
            for some in _batches(asking):
                asked = wire.Show(tuple((one.photo, one.data) for one in some))
                answers = self._both(same, asked, wire.Answered)
                for kept, (answer, _) in zip(found, answers, strict=True):
                    kept.extend(map(_answered, answer.photos))
                tick(len(some))
        for side, kept in zip(self._sides, found, strict=True):
            side.worn = tuple(kept)
        return catalogue

    # ------------------------------------------------------------------ all of it

    def _report(
        self, parts: dict[str, Part], ids: Sequence[str], pairs: Sequence[Pair], catalogue: Sequence[worn.Garment]
    ) -> Report:
        mine, theirs = self._sides
        assert mine.near is not None
        assert theirs.near is not None
        same, given = self._same, self._given
        yardsticks = [
            *report.of_captions(mine, theirs, same),
            *report.of_retrieval(mine, theirs, given.labelled, same),
            *(report.of_composed(mine, theirs, pairs, same) if pairs else ()),
            *(report.of_scenes(mine, theirs, catalogue, same) if given.scenes else ()),
        ]
        return Report(
            profile=self._processes[0].name,
            other=self._processes[1].name,
            parts=parts,
            products=len(ids),
            brands=len({mine.captions[name].captioned.product.brand for name in ids}),
            seed=given.seed,
            yardsticks=tuple(yardsticks),
            speed=tuple(report.speed(mine, theirs, same)),
            peak_bytes=report.Memory(mine.peak_bytes, theirs.peak_bytes),
            neighbours_overlap=float(report.overlaps(mine.near, theirs.near).mean()),
            without_photo=given.without_photo,
            not_comparable=given.not_comparable,
            left_out=self._left_out,
            refused=tuple(self._refused.values()),
        )


def _batches(many: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(many)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _seen(data: bytes) -> tuple[str, Seen]:
    item = decode_item(data)
    whole = next(view for view in item.views if view.id == WHOLE)
    vector = np.frombuffer(whole.vector, "<f4")
    return item.product_id, Seen(item.garments, item.width, item.height, vector, Path(item.image).stem)


def _captioned(product: Product, text: wire.Text) -> Captioned:
    return Captioned(product, text.garments, text.width, text.height, text.caption, text.hashtags, text.writer)


def _answered(shown: wire.Shown) -> worn.Answered:
    return worn.Answered(shown.photo, shown.hits, tuple(worn.Listed(one.box, one.hits) for one in shown.places))
