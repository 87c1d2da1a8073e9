"""Files that users name: whole or not at all, and nothing else of the machine is replaced."""

import os
import threading
from pathlib import Path

import pytest

from infra.whole_file import whole_file
from processors.errors import BadSetting


def write(path: Path, data: bytes) -> None:
    with whole_file(path) as file:
        file.write(data)


def test_it_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    """Until then what was there stands; folders that are missing are made where that is asked for, and nothing is left beside it."""
    path = tmp_path / "new" / "out.jsonl"
    with pytest.raises(BadSetting, match="cannot be written"):
        write(path, b"first")
    with whole_file(path, parents=True) as file:
        file.write(b"first")
    with whole_file(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """And no part of itself."""
    path = tmp_path / "out"
    write(path, b"first")

    def half() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    """As does /dev/null, which a rename by root makes a file of, for every program of the machine."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    write(path, b"lines")
    reader.join(timeout=30)
    assert read == [b"lines"]
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    """The link stays: who made it wants the file where it leads."""
    link, path = tmp_path / "link", tmp_path / "out"
    link.symlink_to(path)
    write(link, b"data")
    assert link.is_symlink()
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize("place", ["a file/out", "folder"])
def test_what_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    """A folder, or a folder that is a file."""
    (tmp_path / "a file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadSetting, match="cannot be written"):
        write(tmp_path / place, b"data")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a file", "folder"]
