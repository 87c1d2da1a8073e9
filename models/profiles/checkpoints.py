"""Checkpoints that somebody else made: which of their files are taken, and which are refused before anything reads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from processors.errors import Fatal

SAFE = (".safetensors", ".json", ".txt", ".model", ".jinja", ".yaml", ".yml", ".vocab")
"""Weights without code, configuration, and what tokenizers are made of."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".h5", ".msgpack")
MOST_FILES = 200


def copy_checkpoint(source: Path, ready: Path, progress: Callable[[str], None]) -> None:
    """Copy what may be loaded of a folder; say what is left out.

    Raises:
        Fatal: there is no such folder, it holds no safetensors, or its weights are pickles.
    """
    if not source.is_dir():
        raise Fatal(f"{source} is no folder" if source.exists() else f"there is no {source}")
    files = sorted(path for path in source.rglob("*") if path.is_file() and not _hidden(path, source))
    if len(files) > MOST_FILES:
        raise Fatal(f"{source} holds {len(files)} files: it is no checkpoint")
    if not any(path.suffix == ".safetensors" for path in files):
        pickles = [path.name for path in files if path.suffix in PICKLES]
        why = (
            f"{pickles[0]} may be a pickle, and Weft opens none: save it as safetensors"
            if pickles
            else "it holds no safetensors"
        )
        raise Fatal(f"{source}: {why}")
    for path in files:
        name = path.relative_to(source)
        if path.suffix not in SAFE or path.name == "weft-artefact.json":
            if path.suffix in {*PICKLES, ".py"}:
                progress(f"left out: {name} ({'code' if path.suffix == '.py' else 'maybe a pickle'})")
            continue
        (ready / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, ready / name)


def copy_run(source: Path, name: str, ready: Path) -> bool:
    """Copy the weights that a run of `weft train` has left, given as its folder or as the file; False: it is none.

    Args:
        source: what was given.
        name: of the file.
        ready: an empty folder.
    """
    file = source if source.is_file() else source / name
    if file.suffix != ".safetensors" or not file.is_file() or (source.is_dir() and (source / "config.json").is_file()):
        return False
    shutil.copyfile(file, ready / name)
    return True


def _hidden(path: Path, source: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(source).parts)
