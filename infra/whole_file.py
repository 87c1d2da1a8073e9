"""A file that somebody named, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from processors.errors import BadSetting


@contextmanager
def whole_file(path: Path, *, parents: bool = False) -> Iterator[IO[bytes]]:
    """Open it for bytes; it appears under its name once all of it is on the disk. Where the block raises, what was there stays.

    What is no regular file (`/dev/null`, `/dev/stdout`, a pipe) is written to as it stands: a rename would put a file in its
    place, for all programs of the machine. Of a symbolic link, what it leads to is replaced, and not the link.

    Args:
        path: of the file.
        parents: folders that are missing are made.

    Raises:
        BadSetting: nothing can be written there.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                yield file
            return
        found = path.resolve()
        if parents:
            found.parent.mkdir(parents=True, exist_ok=True)
        part = found.with_name(f".{found.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(found)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise BadSetting(f"{path} cannot be written: {error.strerror or error}") from error
