"""Choices that only a measurement can make, measured once on a machine and kept: which of several ways is fastest here.

Kept, because another way rounds otherwise: a process that measured anew and chose otherwise would write other texts for
the same requests. A choice lies in a small JSON file under everything that it was made for, so that another processor or
another version measures for itself.
"""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from infra.logs import logger
from models.weights.hashes import fingerprint

log = logger("weft.models")

T = TypeVar("T", bound=msgspec.Struct)

ROUNDS = 5
MARGIN = 0.9
"""The usual way is left only for one that takes less than this share of its time: near ties are noise."""


class Choice(msgspec.Struct, frozen=True):
    """What was measured (best of some rounds, milliseconds) and chosen; `measured` is empty where nothing could be kept."""

    chosen: str
    measured: dict[str, float]


class Kept:
    """Answers that are worked out once on a machine.

    Args:
        folder: of the files; None: nothing is kept.
        about: what all of them depend on, by name ("torch": "2.8"); each answer adds its own.
    """

    def __init__(self, folder: Path | None, about: Mapping[str, str]) -> None:
        self._folder = folder
        self._about = dict(about)

    @property
    def lasting(self) -> bool:
        """Whether there is a place where an answer can be kept."""
        if self._folder is None:
            return False
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder.is_dir() and os.access(self._folder, os.W_OK)

    def recall(
        self, name: str, kind: type[T], make: Callable[[], T], keep: Callable[[T], bool] = lambda _: True, **about: str
    ) -> T:
        """The kept answer, or what `make` says, which is kept (if it is to be, by `keep`); of two processes that ask at once the
        first one's.
        """
        if not self.lasting or self._folder is None:
            return make()
        parts = self._about | about
        path = self._folder / f"{name}-{fingerprint(*(f'{k}={v}' for k, v in sorted(parts.items())))[7:23]}.json"
        known = self._read(path, kind)
        if known is not None:
            return known
        made = make()
        return self._keep(path, kind, made, parts) if keep(made) else made

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            return msgspec.convert(msgspec.json.decode(path.read_bytes())["answer"], kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
            log.warning("a kept measurement cannot be read and is made again", path=str(path), cause=str(error))
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def _keep(self, path: Path, kind: type[T], answer: T, parts: Mapping[str, str]) -> T:
        text = msgspec.json.format(msgspec.json.encode({"about": parts, "answer": answer}), indent=1)
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}.") as file:
                file.write(text)
                file.flush()
                Path(file.name).chmod(0o644)
                os.link(file.name, path)
        except FileExistsError:
            return self._read(path, kind) or answer
        except OSError as error:
            log.warning("a measurement cannot be kept", path=str(path), cause=str(error))
        return answer


def fastest(
    ways: Mapping[str, Callable[[], object]], *, rounds: int = ROUNDS, clock: Callable[[], float] = time.perf_counter
) -> Choice:
    """Run each a few times in turn; the usual way (the first) unless another is clearly faster."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = clock()
            way()
            best[name] = min(best[name], clock() - started)
    usual, quickest = next(iter(ways)), min(best, key=lambda name: best[name])
    chosen = quickest if best[quickest] < MARGIN * best[usual] else usual
    return Choice(chosen, {name: round(1000 * seconds, 3) for name, seconds in best.items()})


def kept_for(folder: Path | None, weights: str) -> Kept:
    """What is kept of a network with these weights (their hash): by the processor and torch as well."""
    import torch

    return Kept(folder, {"processor": processor(), "torch": str(torch.__version__), "weights": weights})


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
