"""The builder: a process of its own that finds the best index for the rows of one segment, and ends.

    python -m index_sync.builder FOLDER

FOLDER holds `rows.f16` (float16, little-endian, row by row) and `job.json` (`Job`); the builder leaves `index.bin`
(`Approximate.encode`), or `flat` where a scan is better. One job a process: what FAISS took goes back when it ends, and a
builder that dies costs nothing but this index. It never works beside its parent's threads: one thread, the lowest priority.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import numpy as np

from index_sync.approximate import Approximate, ApproximateKind
from index_sync.entry import Half

ROWS, JOB, INDEX, FLAT = "rows.f16", "job.json", "index.bin", "flat"
NICE = 19
_BLOCK = 16_384


class Job(msgspec.Struct, frozen=True):
    """What is to be built: of how many rows, and what is asked of the index (`index_sync.choosing.Budget`)."""

    rows: int
    dimension: int
    recall: float
    kinds: tuple[ApproximateKind, ...]


def write_job(folder: Path, job: Job, vectors: Half) -> None:
    """Lay a job out for a builder. Blocking; a disk that is full raises `OSError`."""
    with (folder / ROWS).open("wb") as file:
        for start in range(0, len(vectors), _BLOCK):
            file.write(np.ascontiguousarray(vectors[start : start + _BLOCK], dtype="<f2").data)
    (folder / JOB).write_bytes(msgspec.json.encode(job))


def read_result(folder: Path, job: Job) -> Approximate | None:
    """What the builder left: an index, or None where a scan is better.

    Raises:
        ValueError: it left neither, or an index of other rows.
    """
    if (folder / FLAT).exists():
        return None
    if not (folder / INDEX).exists():
        raise ValueError("the builder left no index")
    found = Approximate.decode((folder / INDEX).read_bytes())
    if (found.measured.rows, found.measured.dimension) != (job.rows, job.dimension):
        raise ValueError(f"the builder left an index of {found.measured.rows} rows, wanted {job.rows}")
    return found


def build(folder: Path) -> None:
    """Do the job that lies in a folder."""
    from index_sync.choosing import Budget, choose

    job = msgspec.json.decode((folder / JOB).read_bytes(), type=Job)
    vectors = np.memmap(folder / ROWS, dtype="<f2", mode="r", shape=(job.rows, job.dimension))
    found = choose(vectors, Budget(job.recall, job.kinds))
    if found is None:
        (folder / FLAT).touch()
        return
    part = folder / f"{INDEX}.part"
    part.write_bytes(found.encode())
    part.replace(folder / INDEX)


def main(argv: list[str]) -> int:
    """The entry point of the process."""
    os.nice(NICE)
    build(Path(argv[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
