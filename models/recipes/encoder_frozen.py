"""The frozen part of the encoder's training, computed once for every view and kept on disk in chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from models import encoder_net
from models.images import letterbox
from models.recipes import encoder_data
from models.recipes.encoder_facets import Known, Pictures, encode_pictures

CHUNK = 512


@dataclass(frozen=True, slots=True)
class Views:
    """Everything that training needs of the pictures, in memory: what the frozen part made of them and what is known."""

    maps: NDArray[np.float16]
    middle: NDArray[np.float16]
    cells: NDArray[np.uint8]
    known: list[tuple[Known, ...]]
    pictures: Pictures
    origin: NDArray[np.str_]
    label: NDArray[np.str_]
    held_out: NDArray[np.bool_]

    def rows(self, *, held_out: bool, origin: str = "") -> NDArray[np.int64]:
        """Row numbers of one side of the split, of one origin or of all."""
        return np.flatnonzero((self.held_out == held_out) & ((self.origin == origin) | (not origin)))


def extract(views: Iterator[encoder_data.View], run: Path, trunk: Any, *, first: int = 0) -> None:
    """Write the frozen part's maps in chunks, numbered from `first`; chunks that exist are only counted."""
    run.mkdir(parents=True, exist_ok=True)
    started, done = time.monotonic(), 0
    for number, part_of in enumerate(_chunks(views), first):
        path = run / f"views-{number:03d}.npz"
        if path.exists():
            continue
        images = torch.from_numpy(np.stack([letterbox(view.pixels, encoder_net.SIDE) for view in part_of]))
        maps, cells = [], []
        with torch.inference_mode():
            for part in images.split(16):  # type: ignore[no-untyped-call]
                # bfloat16: three times as fast here, and its noise is far below that of the augmentation.
                with torch.autocast("cpu", torch.bfloat16):
                    maps.append(trunk.stem(part.contiguous(memory_format=torch.channels_last)).half())
                shares = encoder_net.colour_cells(part, trunk.get_buffer("anchors"))
                cells.append((shares * 255).round().byte())
        known = msgspec.json.encode(
            [[(garment.facets, garment.colours) for garment in view.garments] for view in part_of]
        )
        aside = path.with_suffix(".partial.npz")
        np.savez(
            aside,
            maps=torch.cat(maps).contiguous().numpy(),
            cells=torch.cat(cells).numpy(),
            known=np.frombuffer(known, np.uint8),
            origin=np.array([view.origin for view in part_of]),
            label=np.array([view.label for view in part_of]),
            held_out=np.array([view.held_out for view in part_of]),
        )
        aside.rename(path)
        done += len(part_of)
        print(f"chunk {number}: {done} views, {done / (time.monotonic() - started):.1f} a second", flush=True)
    (run / "extracted").touch()


def deepen(run: Path, trunk: Any) -> None:
    """Beside each chunk of `extract`, the last frozen block's output."""
    for path in sorted(run.glob("views-???.npz")):
        target = run / path.name.replace("views-", "middle-").replace(".npz", ".npy")
        if not target.exists():
            maps = torch.from_numpy(np.load(path)["maps"])
            with torch.inference_mode():
                parts = [trunk.middle(part.float()).half() for part in maps.split(64)]  # type: ignore[no-untyped-call]
            np.save(target.with_suffix(".partial.npy"), torch.cat(parts).contiguous().numpy())
            target.with_suffix(".partial.npy").rename(target)


def load_views(run: Path) -> Views:
    """Read all chunks of `extract` and `deepen`."""
    parts = [dict(np.load(path)) for path in sorted(run.glob("views-???.npz"))]
    raw = [
        msgspec.json.decode(part["known"].tobytes(), type=list[list[tuple[dict[str, str], tuple[str, ...]]]])
        for part in parts
    ]
    known = [tuple(Known(facets, colours) for facets, colours in garments) for part in raw for garments in part]
    return Views(
        np.concatenate([part["maps"] for part in parts]),
        np.concatenate([np.load(path) for path in sorted(run.glob("middle-???.npy"))]),
        np.concatenate([part["cells"] for part in parts]),
        known,
        encode_pictures(known),
        np.concatenate([part["origin"] for part in parts]),
        np.concatenate([part["label"] for part in parts]),
        np.concatenate([part["held_out"] for part in parts]),
    )


def _chunks(views: Iterator[encoder_data.View]) -> Iterator[list[encoder_data.View]]:
    gathered: list[encoder_data.View] = []
    for view in views:
        gathered.append(view)
        if len(gathered) == CHUNK:
            yield gathered
            gathered = []
    if gathered:
        yield gathered
