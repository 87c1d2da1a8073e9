"""A process that cannot go on ends, whatever its threads and its loop do."""

from __future__ import annotations

import subprocess
import sys

import pytest

HUNG_MAIN = (
    "import threading; from infra.ending import leave_for_sure; leave_for_sure(4, 0.1); threading.Event().wait()"
)
HUNG_THREAD = """
import threading
from infra.ending import leave_for_sure
threading.Thread(target=threading.Event().wait).start()
leave_for_sure(1, 0.1)
"""
LOOP = """
import asyncio, time
from infra.ending import loop_watched
async def main():
    with loop_watched(1.0):
        await asyncio.sleep({well})
        time.sleep({hung})
asyncio.run(main())
print("ended by itself")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("code", "status"), [(HUNG_MAIN, 4), (HUNG_THREAD, 1)], ids=["main", "thread"])
def test_what_hangs_does_not_keep_a_process_that_has_ended(code: str, status: int) -> None:
    """Python waits for every thread; a batch in a driver never returns. The exit code says why it ended."""
    assert run(code).returncode == status


def test_a_loop_that_stands_still_ends_the_process() -> None:
    """Its partitions are another worker's by then; a loop that turns is left alone, for as long as it likes."""
    hung = run(LOOP.format(well=0.1, hung=50))
    assert hung.returncode == 1
    assert "WEFT_POLL_SECONDS" in hung.stdout + hung.stderr
    well = run(LOOP.format(well=3.0, hung=0.1))
    assert (well.returncode, well.stdout) == (0, "ended by itself\n")
