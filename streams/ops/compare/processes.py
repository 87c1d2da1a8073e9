"""The processes of the two profiles, as the one that asks them sees them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, cast

from infra.spawn import python_argv
from processors import errors
from processors.errors import Fatal, WeftError
from streams.ops.compare import wire

A = TypeVar("A")


@dataclass(slots=True)
class Process:
    """One profile at work. `name`: of the profile; `peak_bytes`: as the last answer told."""

    name: str
    child: subprocess.Popen[bytes]
    peak_bytes: int = 0

    def ask(self, request: wire.Request, kind: type[A]) -> tuple[A, float]:
        """The answer, and the seconds that the work took.

        Raises:
            WeftError: what the process met, with the profile's name before it; Fatal: it ended.
        """
        try:
            wire.send(cast("IO[bytes]", self.child.stdin), request)
            reply = wire.read_reply(cast("IO[bytes]", self.child.stdout))
        except BrokenPipeError:
            reply = None
        if reply is None:
            raise Fatal(f"{self.name}: its process ended with {self.child.wait()} in the middle of the work")
        self.peak_bytes = reply.peak_bytes
        if isinstance(reply.answer, wire.Failed):
            raise _error(self.name, reply.answer)
        assert isinstance(reply.answer, kind)
        return reply.answer, reply.seconds


def _error(name: str, failed: wire.Failed) -> WeftError:
    """As the class that it had there; `Fatal` where it was none of ours."""
    kind = getattr(errors, failed.kind, None)
    text = f"{name}: {failed.message}" if kind else f"{name}: {failed.kind}: {failed.message}"
    known = isinstance(kind, type) and issubclass(kind, WeftError)
    return cast("WeftError", kind(text)) if known and kind is not None else Fatal(text)


@contextmanager
def running(profile: str, called: str, images: Path, scenes: Path) -> Iterator[Process]:
    """The process of a profile; it is ended with the block, whatever it does then, and with us (its requests end).

    Args:
        profile: as in `WEFT_PROFILE`.
        called: how people call it.
        images: folder or zip of the products' photos.
        scenes: of those with boxes.
    """
    child = subprocess.Popen(  # noqa: S603 - this interpreter
        python_argv("streams.ops.compare.side", str(images.absolute()), str(scenes.absolute())),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "WEFT_PROFILE": profile},
        start_new_session=True,
    )
    try:
        yield Process(called, child)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what it was never told
                    continue
