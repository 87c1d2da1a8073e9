"""What is special to the store in a local folder: files, links, crashes, disks in trouble."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local_store import LocalStore
from processors.errors import Poison, Retryable


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    """Neither a linked file nor a linked folder lets a key read or write outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store = LocalStore(tmp_path / "store")
    (store.root / "folder").symlink_to(outside)
    (store.root / "file").symlink_to(outside / "secret")
    (store.root / "loop").symlink_to(store.root / "loop")
    for key in ["folder/secret", "file", "folder/new", "loop"]:
        with pytest.raises(Poison, match="leads out of the store"):
            store.get(key)
        with pytest.raises(Poison, match="leads out of the store"):
            store.put(key, b"x")
    assert list(store.list("folder/")) == []
    assert [p.name for p in outside.iterdir()] == ["secret"]


def test_a_clash_of_file_and_folder_is_poison(tmp_path: Path) -> None:
    """`a` and `a/b` cannot both be files; neither order of writing destroys the first."""
    store = LocalStore(tmp_path)
    store.put("a", b"1")
    store.put("b/c", b"2")
    for write in (lambda: store.put("a/b", b""), lambda: store.create("a/x/y", b""), lambda: store.put("b", b"")):
        with pytest.raises(Poison, match="folder of another key"):
            write()
    assert (store.get("a"), store.get("b/c")) == (b"1", b"2")


def test_it_is_plain_files_that_people_can_read(tmp_path: Path) -> None:
    """An object is the file of that name; a file that someone drops in is an object; no unfinished write is left."""
    store = LocalStore(tmp_path)
    store.put("a/b.txt", b"hello")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"hello"
    (tmp_path / "a" / "c.txt").write_bytes(b"dropped")
    assert store.get("a/c.txt") == b"dropped"
    assert list((tmp_path / ".weft" / "aside").iterdir()) == []


def test_a_damaged_store_is_retryable(tmp_path: Path) -> None:
    """Without its own folder, which a full restore or a remount brings back, nothing is written or said to be missing."""
    store = LocalStore(tmp_path)
    (tmp_path / ".weft" / "aside").rmdir()
    with pytest.raises(Retryable, match="No such file"):
        store.put("a", b"1")
    with pytest.raises(Retryable, match="is away"):
        store.get("a")


def test_stale_unfinished_writes_are_removed_young_ones_are_kept(tmp_path: Path) -> None:
    """Leftovers of a killed process do not pile up, and those of a living one are not touched."""
    aside = LocalStore(tmp_path).root / ".weft" / "aside"
    (aside / "old").write_bytes(b"x")
    (aside / "young").write_bytes(b"x")
    os.utime(aside / "old", (0, 0))
    LocalStore(tmp_path)
    assert [p.name for p in aside.iterdir()] == ["young"]


_WRITER = """
import sys
from pathlib import Path
from infra.local_store import LocalStore
store = LocalStore(Path(sys.argv[1]))
print("ready", flush=True)
for n in range(10**9):
    store.put("k", bytes([n % 251]) * 300_000)
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_object_and_no_lock(tmp_path: Path) -> None:
    """`kill -9` in the middle of writes: the object is one of the versions, whole, and the next writer is not blocked."""
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(4):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        data = LocalStore(tmp_path).get("k")
        assert len(data) == 300_000
        assert len(set(data)) == 1
    LocalStore(tmp_path).put("k", b"next")


def test_two_processes_share_the_compare_and_swap(tmp_path: Path) -> None:
    """Two stores over one folder (as two roles have) exclude each other's stale swaps."""
    one, two = LocalStore(tmp_path), LocalStore(tmp_path)
    tag = one.put("manifest", b"0")
    assert two.swap("manifest", b"two", tag) is not None
    assert one.swap("manifest", b"one", tag) is None
    assert one.get("manifest") == b"two"
