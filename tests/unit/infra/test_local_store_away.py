"""A local store whose folder is away: everything waits for it, nothing is said to be missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local_store import LocalStore
from infra.store import ETag
from processors.errors import Retryable

CALLS: dict[str, Callable[[LocalStore], object]] = {
    "put": lambda s: s.put("a/k", b"1"),
    "create": lambda s: s.create("a/k", b"1"),
    "swap": lambda s: s.swap("a/k", b"1", ETag("0" * 64)),
    "get": lambda s: s.get("a/k"),
    "exists": lambda s: s.exists("a/k"),
    "delete": lambda s: s.delete("a/k"),
    "list": lambda s: list(s.list()),
}


@pytest.mark.parametrize("instead", ["nothing", "a file", "an empty folder"])
@pytest.mark.parametrize("name", CALLS)
def test_while_the_folder_is_away_every_call_is_retryable(tmp_path: Path, name: str, instead: str) -> None:
    """A volume that is not mounted leaves nothing, or an empty mount point: no upload may become a dead letter for it."""
    root, away = tmp_path / "store", tmp_path / "away"
    store = LocalStore(root)
    store.put("a/k", b"1")
    root.rename(away)
    if instead == "a file":
        root.write_bytes(b"")
    elif instead == "an empty folder":
        root.mkdir()
    with pytest.raises(Retryable):
        CALLS[name](store)
    if instead == "a file":
        root.unlink()
    elif instead == "an empty folder":
        root.rmdir()
    away.rename(root)
    assert store.get("a/k") == b"1"


def test_a_role_that_starts_while_a_file_lies_there_is_told_to_come_back(tmp_path: Path) -> None:
    """It is nobody's key that is wrong: the process is started again, and finds the folder."""
    root = tmp_path / "store"
    root.write_bytes(b"not a folder")
    with pytest.raises(Retryable, match="away"):
        LocalStore(root)
    root.unlink()
    LocalStore(root).put("a/k", b"1")
