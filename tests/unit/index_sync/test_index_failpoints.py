"""SIGKILL at every step of a shard's life."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_shard_that_is_killed_at_any_step_comes_back_with_an_equal_digest(tmp_path: Path) -> None:
    """Seals, merges, uploads, manifests, swaps and clean-up: before each, and after it while nobody has heard of it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fixtures.index_failpoints", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 80
