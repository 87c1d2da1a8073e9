"""Approximate indexes: what is chosen, what it finds, its bytes, and the process that builds it."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index_sync import scan
from index_sync.approximate import KINDS, Approximate, ApproximateKind
from index_sync.builder import Job, read_result, write_job
from index_sync.choosing import Budget, choose

ROWS, DIMENSION = 6000, 32


def _clustered(rows: int = ROWS) -> np.ndarray:
    """Half-precision unit vectors in 60 clusters, as embeddings of a catalogue lie."""
    random = np.random.default_rng(3)
    centres = random.standard_normal((60, DIMENSION))
    found = centres[random.integers(0, 60, rows)] + 0.3 * random.standard_normal((rows, DIMENSION))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


class _FreeIndexes:
    """A clock by which a scan takes long and everything after it no time: what is allowed is then chosen by recall."""

    def __init__(self) -> None:
        self._asked = 0

    def __call__(self) -> float:
        self._asked += 1
        return 0.0 if self._asked == 1 else 1000.0 + self._asked * 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_finds_what_its_measurement_says(kind: ApproximateKind) -> None:
    """Asked with other vectors than it was measured with, and after a way through its bytes."""
    vectors = _clustered()
    built = choose(vectors, Budget(0.95, (kind,)), _FreeIndexes())
    assert built is not None
    assert built.measured.kind == kind
    assert built.measured.recall >= 0.95
    again = Approximate.decode(built.encode())
    found = 0
    for query in vectors[7:6000:61].astype(np.float32):
        rows = again.candidates(query, 10)
        assert rows is not None
        assert np.array_equal(rows, built.candidates(query, 10))
        found += len(np.intersect1d(rows, scan.nearest([vectors], query, 10)[2]))
    assert found / (10 * len(range(7, 6000, 61))) >= 0.93


def test_who_asks_for_more_than_was_measured_gets_no_candidates() -> None:
    """Then the rows are scanned; below that, candidates do not depend on how many are asked for within a level."""
    vectors = _clustered()
    built = choose(vectors, Budget(0.9, ("ivf-sq8",)), _FreeIndexes())
    assert built is not None
    query = vectors[5].astype(np.float32)
    assert built.candidates(query, 257) is None
    assert np.array_equal(built.candidates(query, 1), built.candidates(query, 32))


def test_a_scan_is_chosen_where_it_is_better_or_asked_for() -> None:
    """Exact answers only; too few rows; and an index that would not be faster than the scan."""
    vectors = _clustered(2000)
    assert choose(vectors, Budget(1.0)) is None
    assert choose(vectors[:500], Budget(0.9)) is None
    ticks = itertools.chain([0.0, 1e-9], itertools.count(1.0))  # the scan takes no time, everything after it a second
    assert choose(vectors, Budget(0.9, ("ivf-sq8",)), lambda: next(ticks)) is None


def test_bytes_that_are_no_index_are_refused() -> None:
    """Cut, of another kind, or of another version of FAISS: said, and never loaded."""
    built = choose(_clustered(), Budget(0.9, ("ivf-sq8",)), _FreeIndexes())
    assert built is not None
    data = built.encode()
    other = data.replace(built.measured.faiss.encode(), b"0" * len(built.measured.faiss), 1)
    for wrong, said in ((b"", "not an"), (b"x" + data, "not an"), (data[:-100], "FAISS"), (other, "built by FAISS")):
        with pytest.raises(ValueError, match=said):
            Approximate.decode(wrong)


def test_the_builder_is_a_process_that_leaves_an_index(tmp_path: Path) -> None:
    """Rows go in by a file, the index or the word "flat" comes out; a builder that left nothing is an error."""
    vectors = _clustered()
    for name, recall in (("index", 0.5), ("flat", 1.0)):
        folder = tmp_path / name
        folder.mkdir()
        job = Job(ROWS, DIMENSION, recall, ("ivf-sq8",))
        write_job(folder, job, vectors)
        with pytest.raises(ValueError, match="left no index"):
            read_result(folder, job)
        subprocess.run([sys.executable, "-m", "index_sync.builder", str(folder)], check=True, timeout=120)
        found = read_result(folder, job)
        assert found is None or (found.measured.rows, found.measured.kind) == (ROWS, "ivf-sq8")
        assert recall < 1 or found is None
        if found is not None:
            with pytest.raises(ValueError, match="wanted 5"):
                read_result(folder, Job(5, DIMENSION, recall, ("ivf-sq8",)))
