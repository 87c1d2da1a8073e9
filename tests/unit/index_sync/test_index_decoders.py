"""Decoders that several threads use are prepared before the first of them does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# In a fresh process: msgspec prepares a type at its first use, for ever. `get_class_annotations` is how it begins.
SHARDS_IN_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from infra.memory_store import MemoryStore

import numpy as np
from index_sync.entry import Entry, Payload, ViewInfo

prepared = []
def watch(frame, event, _):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        prepared.append(1)

store = MemoryStore()
entry = Entry(Payload("i", "dress", {}, (), (ViewInfo("whole", "dress"),)), np.eye(1, 4, dtype=np.float32), "e")

def shard(partition):
    sys.setprofile(watch)
    place = SnapshotLocation("c", "g", "t", partition)
    for owner in ("a", "b"):
        found = recover(store, place, lambda: Shard(partition, "", 0), LogBounds(0, 1), owner=owner, now=1.0)
        if owner == "a":
            found.shard.apply(0, "p", entry)
            found.writer.save(found.shard.cut(), 1.0)
    sys.setprofile(None)
    return found.shard.live

with ThreadPoolExecutor(4) as threads:
    assert list(threads.map(shard, range(4))) == [1] * 4
assert not prepared, f"{len(prepared)} types were first decoded in a thread"
"""


def test_shards_are_taken_over_in_threads_without_preparing_a_type() -> None:
    """Found by the chaos harness: an index worker died of a null pointer in msgspec, at its start, without a word."""

    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SHARDS_IN_THREADS], check=False, capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
