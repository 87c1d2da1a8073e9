"""Triplets of the stream job as training pictures: what `weft triplets export` wrote, with the vectors of its items."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from models.recipes.composer_gather import HELD_OUT_MODULUS, PICTURES
from processors.errors import Poison


class ExportedSide(msgspec.Struct, frozen=True):
    """One garment. `vector`: little-endian float32; `encoder`: the fingerprint of its space."""

    product_id: str
    facets: dict[str, str]
    vector: bytes
    encoder: str
    shop: str = ""


class ExportedTriplet(msgspec.Struct, frozen=True):
    """One line of the file."""

    id: str
    reference: ExportedSide
    target: ExportedSide
    modification: str


def gather(path: Path, encoder: str, run: Path) -> int:
    """Keep the vectors of a file of triplets as a part of the run's pictures; returns how many pictures.

    Each triplet is a series of two. Triplets are held out by their reference, one in five by the CRC-32 of its id.

    Args:
        path: JSON lines.
        encoder: the fingerprint of the space; triplets of another are left out.
        run: folder of the run.

    Raises:
        FileNotFoundError: there is no such file.
        Poison: a line is no triplet; it is named.
    """
    sides: dict[bool, list[tuple[int, ExportedSide]]] = {False: [], True: []}
    with path.open("rb") as file:
        for number, line in enumerate(file):
            try:
                triplet = msgspec.json.decode(line, type=ExportedTriplet)
            except msgspec.DecodeError as error:
                raise Poison(f"{path}, line {number + 1}: {error}") from error
            if triplet.reference.encoder == triplet.target.encoder == encoder:
                held_out = zlib.crc32(triplet.reference.product_id.encode()) % HELD_OUT_MODULUS == 0
                sides[held_out] += [(number, triplet.reference), (number, triplet.target)]
    (run / PICTURES).mkdir(parents=True, exist_ok=True)
    for held_out, some in sides.items():
        if some:
            name = f"{'held-out-' if held_out else ''}stream-{zlib.crc32(path.name.encode()):08x}"
            _keep(run / PICTURES / f"{name}.npz", some, encoder)
    return sum(map(len, sides.values()))


def _keep(out: Path, some: list[tuple[int, ExportedSide]], encoder: str) -> None:
    rows: list[dict[str, Any]] = [{"series": number, "facets": side.facets} for number, side in some]
    vectors = np.stack([np.frombuffer(side.vector, "<f4") for _, side in some]).astype(np.float16)
    aside = out.with_suffix(".part.npz")
    np.savez(aside, vectors=vectors, rows=json.dumps(rows), encoder=encoder)
    aside.replace(out)
