"""The writer's weights as they are served: adapter merged, linear layers in NF4, written once and kept beside their base.

    base + adapter → merge (float32) → NF4 in blocks of 64 (bitsandbytes; QLoRA, arXiv 2305.14314) → weights.safetensors

Merging and rounding takes as long as all the rest of the writer's start, and needs bitsandbytes and both copies in memory;
reading what came out of it needs neither. A kept folder is complete or absent, named by what it was made from, and has
its hashes in a marker as a base has; a damaged one is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from infra.logs import logger
from models.weights.bases import convert, locked
from models.weights.hashes import (
    MARKER,
    Marker,
    base_problems,
    check_weights,
    fingerprint,
    listed_hash,
    sha256_of,
)
from processors.errors import Fatal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logger("weft.models")

Make: TypeAlias = Callable[[Path, "Path | None", Path], Path]
"""(base file, adapter, folder) → the file that was written there."""

VERSION = "nf4/1"
BLOCK = 64
SOURCE, FILE = "model.safetensors", "weights.safetensors"
CODES, SCALES = ".nf4", ".scales"
KEPT = 3
"""Folders of one base that are kept: of this version, and of others that may still run beside it."""
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""The sixteen values of NF4 (QLoRA, appendix E)."""


@contextlib.contextmanager
def served(base: Path, adapter: Path | None, *, make: Make | None = None) -> Iterator[Mapping[str, Tensor]]:
    """The tensors as they are served, each read when it is asked for; made and kept first if they are not there yet.

    Where nothing can be written beside the base, they are made in a temporary folder each time.

    Args:
        base: a checked base with one `model.safetensors`.
        adapter: LoRA factors of `models.writer.adapters`, or None.
        make: what makes the file; by default a child process, so that neither bitsandbytes nor the base stay in this one.

    Raises:
        Fatal: base or adapter are missing, damaged, or do not fit each other.
    """
    from safetensors import safe_open

    with contextlib.ExitStack() as stack:
        path = keep(base, adapter, make=make)
        if path is None:
            log.info("the model cache cannot be written: the writer's weights are rounded anew", cache=str(base.parent))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-nf4-"))
            path = (make or in_child)(base / SOURCE, adapter, Path(folder))
        file = stack.enter_context(safe_open(path, framework="pt"))
        if (file.metadata() or {}).get("format") != VERSION:
            raise Fatal(f"{path} was not written by this version ({VERSION})")
        yield _Tensors(file)


def keep(base: Path, adapter: Path | None, *, make: Make | None = None) -> Path | None:
    """Make sure that the file is there, as `served` finds it; None where it cannot be written. Raises as that."""
    source = base / SOURCE
    parts = [listed_hash(source), *([check_weights(adapter)] if adapter is not None else [])]
    name = f"{base.name}.nf4-{fingerprint(VERSION, *parts)[7:23]}"
    folder = base.parent / name
    if not _complete(folder):
        if not os.access(base.parent, os.W_OK):
            return None
        with locked(base.parent, name, log.info):
            if not _complete(folder):
                _keep(source, adapter, folder, parts, make or in_child)
    return folder / FILE


def _complete(folder: Path) -> bool:
    if not (folder / MARKER).is_file():
        return False
    problems = base_problems(folder)
    if problems:
        log.warning("the writer's kept weights are made again", problem=str(problems[0]))
    return not problems


def _keep(source: Path, adapter: Path | None, folder: Path, parts: list[str], make: Make) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent) as work:
        ready = Path(work) / "ready"
        ready.mkdir()
        made = make(source, adapter, ready)
        marker = Marker(folder.name, "+".join(parts), "", VERSION, {FILE: sha256_of(made)})
        (ready / MARKER).write_bytes(json.dumps(_as_dict(marker), indent=1).encode())
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)
    _forget_old(folder)


def _as_dict(marker: Marker) -> dict[str, Any]:
    return {name: getattr(marker, name) for name in marker.__struct_fields__}


def _forget_old(folder: Path) -> None:
    """Each version of base, adapter and code leaves 120 MB behind."""
    stem = folder.name.rpartition(".nf4-")[0]
    others = sorted(folder.parent.glob(f"{stem}.nf4-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in [path for path in others if path != folder][KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def in_child(source: Path, adapter: Path | None, folder: Path) -> Path:
    """Make the file in a child process. Raises `Fatal` with the child's last line."""
    check_weights(source)
    convert("nf4", str(source) if adapter is None else f"{source}:{adapter}", folder)
    return folder / FILE


def write_rounded(source: Path, adapter: Path | None, folder: Path) -> Path:
    """Make the file here."""
    from safetensors.torch import save_file

    path = folder / FILE
    save_file(dict(_rounded(source, adapter)), path, metadata={"format": VERSION})
    return path


def _rounded(source: Path, adapter: Path | None) -> Iterator[tuple[str, Tensor]]:
    """Layer by layer: the codes (two a byte) and the scales of each linear weight; everything else as it is."""
    from bitsandbytes.functional import dequantize_blockwise, quantize_4bit

    for name, weight in merged(source, adapter):
        if not is_linear(name):
            yield name, weight.contiguous()
            continue
        codes, state = quantize_4bit(weight, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
        yield name + CODES, codes.reshape(-1)
        yield name + SCALES, (dequantize_blockwise(state.absmax, state.state2) + state.offset).float()


def merged(source: Path, adapter: Path | None) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a base, its linear weights with (alpha / rank) · B·A added, in float32.

    Raises:
        Fatal: the adapter was trained for another architecture.
    """
    from safetensors import safe_open

    from models.writer.adapters import read_adapter

    changes = read_adapter(adapter) if adapter is not None else None
    with safe_open(source, framework="pt") as file:
        names = list(file.keys())
        if changes is not None:
            changes.require([name.removesuffix(".weight") for name in names if is_linear(name)])
        for name in names:
            weight = file.get_tensor(name)
            if is_linear(name):
                weight = weight.float()
                weight = weight if changes is None else changes.added(name.removesuffix(".weight"), weight)
            yield name, weight


def is_linear(name: str) -> bool:
    """Whether a tensor is the weight of a linear layer other than the head."""
    return name.endswith(".weight") and name.split(".")[-2] in LINEAR


def unpacked(codes: Tensor, scales: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """NF4 → (rows, columns) in `dtype`; two codes a byte, the first in the upper four bits, a scale for each 64."""
    import torch

    values = torch.tensor(NF4)
    pairs = torch.cartesian_prod(values, values)  # row n: the values of n's upper and of its lower half
    found = pairs[codes.int()].view(-1, BLOCK) * scales[:, None]
    return found.view(rows, -1).to(dtype)


class _Tensors(Mapping[str, "Tensor"]):
    def __init__(self, file: Any) -> None:
        self._file = file
        self._names = tuple(file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        found: Tensor = self._file.get_tensor(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
