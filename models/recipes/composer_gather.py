"""Look at the pictures of `composer_data` once and keep their vectors: `RUN/pictures/*.npz`; a run that is stopped goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.ports import ImageEncoder
from models.recipes import composer_data
from models.recipes.composer_data import Picture
from models.recipes.facets_data import names_of
from processors import crops
from processors.errors import Poison
from processors.values import Vector

Series: TypeAlias = list[Picture]
BATCH = 16
HELD_OUT_MODULUS = 5
PICTURES = "pictures"


class Sources(Protocol):
    """What of a recipe says how much is looked at."""

    @property
    def seed(self) -> int: ...
    @property
    def members(self) -> int: ...
    @property
    def drawn(self) -> int: ...
    @property
    def street(self) -> int: ...
    @property
    def phone(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Part:
    """Series that are looked at and kept at once. `share`: how much of its source comes before it."""

    name: str
    make: Callable[[np.random.Generator], Iterable[Series]]
    share: float


@dataclass(frozen=True, slots=True)
class Pictures:
    """All that were looked at.

    Args:
        vectors: (n, dimension) float32, unit.
        facets: of each.
        series: number of its series, equal within one.
        origins: "drawn", "street", "phone" or "stream".
        held_out: (n,) bool.
    """

    vectors: NDArray[np.float32]
    facets: tuple[dict[str, str], ...]
    series: NDArray[np.int64]
    origins: tuple[str, ...]
    held_out: NDArray[np.bool_]


def parts(sources: Sources, data: Path, *, size: int = 32) -> list[Part]:
    """Every part of every source, of both sides of the split; a little of each source comes first."""
    found: list[Part] = []
    for held_out in (False, True):
        prefix = "held-out-" if held_out else ""
        drawn = [n for n in range(sources.drawn) if (n % HELD_OUT_MODULUS == 0) == held_out]
        found += _cut(f"{prefix}drawn", drawn, lambda n, _rng: [composer_data.drawn_series(n, sources.members)], size)
        if not (sources.street or sources.phone):
            continue
        names = names_of(data, modulus=HELD_OUT_MODULUS, held_out=held_out)
        labels = names.labels

        def street(name: str, rng: np.random.Generator, labels: dict[str, int] = labels) -> Iterable[Series]:
            return composer_data.street_series(data, name, labels, rng, sources.members)

        def phone(one: tuple[str, str], rng: np.random.Generator) -> Iterable[Series]:
            return [composer_data.phone_series(data, *one, rng, sources.members)]

        some = sources.phone // HELD_OUT_MODULUS if held_out else sources.phone
        few = sources.street // HELD_OUT_MODULUS if held_out else sources.street
        found += _cut(f"{prefix}street", names.street[:few], street, max(1, size // 4))
        found += _cut(f"{prefix}phone", names.phone[:some], phone, size)
    return sorted(found, key=lambda part: part.share)


def _cut(
    source: str, items: Sequence[Any], make: Callable[[Any, np.random.Generator], Iterable[Series]], size: int
) -> list[Part]:
    def part(start: int) -> Part:
        some = items[start : start + size]
        return Part(
            f"{source}-{start:05}",
            lambda rng: chain.from_iterable(make(one, rng) for one in some),
            start / len(items),
        )

    return [part(start) for start in range(0, len(items), size)]


def gather(
    sources: Sources,
    encoder: Callable[[], ImageEncoder],
    run: Path,
    data: Path,
    minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look at every part that is not kept yet, for so many minutes at most.

    Args:
        sources: how much of each.
        encoder: loads it; asked only where something is left to look at.
        run: folder of the run.
        data: folder with `street/` and `phone/`.
        minutes: None: until all is seen.
        clock: seconds.
    """
    folder = run / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    began, loaded = clock(), None
    for part in parts(sources, data):
        out = folder / f"{part.name}.npz"
        if out.exists() or (minutes is not None and clock() - began > 60 * minutes):
            continue
        loaded = loaded or encoder()
        count = _look(part, loaded, sources.seed, out)
        print(f"{part.name}: {count} pictures, {clock() - began:.0f} s", flush=True)


def _look(part: Part, encoder: ImageEncoder, seed: int, out: Path) -> int:
    rng = np.random.default_rng([seed, *part.name.encode()])
    rows: list[dict[str, Any]] = []
    views: list[Any] = []
    vectors: list[Vector] = []
    for number, series in enumerate(part.make(rng)):
        for one in series:
            try:
                view = encoder.prepare(crops.cut(one.pixels, one.box))
            except Poison:
                continue  # a box without area: nothing of the garment is seen
            rows.append({"series": number, "facets": one.facets})
            views.append(view)
    for start in range(0, len(views), BATCH):
        vectors += [
            encoder.finish(np.zeros((1, 1, 3), np.uint8), raw) for raw in encoder.forward(views[start : start + BATCH])
        ]
    found = np.stack(vectors).astype(np.float16) if vectors else np.zeros((0, encoder.dimension), np.float16)
    aside = out.with_suffix(".part.npz")
    np.savez(aside, vectors=found, rows=json.dumps(rows), encoder=encoder.fingerprint)
    aside.replace(out)
    return len(rows)


def read_pictures(run: Path, encoder: str) -> Pictures:
    """All that were kept.

    Args:
        run: folder of the run.
        encoder: the fingerprint of the space.

    Raises:
        FileNotFoundError: nothing is kept, or nothing of this encoder.
    """
    vectors, facets, series, origins, held = [], [], [], [], []
    count = 0
    for path in sorted((run / PICTURES).glob("*.npz")):
        if path.stem.endswith(".part"):
            continue
        with np.load(path, allow_pickle=False) as file:
            if str(file["encoder"]) != encoder or not len(file["vectors"]):
                continue
            rows = json.loads(str(file["rows"]))
            vectors.append(file["vectors"].astype(np.float32))
        name = path.stem.removeprefix("held-out-")
        for row in rows:
            facets.append(row["facets"])
            series.append(count + row["series"])
            origins.append(name.split("-")[0])
            held.append(name != path.stem)
        count += 1 + max(row["series"] for row in rows)
    if not vectors:
        raise FileNotFoundError(2, "no pictures of this encoder are kept", str(run / PICTURES))
    both = np.concatenate(vectors)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return Pictures(both, tuple(facets), np.array(series), tuple(origins), np.array(held, np.bool_))
