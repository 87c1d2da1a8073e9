"""A training as it stands, in one file: what learns and the moments of its optimiser, so that a killed one goes on where it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

MODEL = "model."


def save_training(
    path: Path,
    model: Mapping[str, Tensor],
    learning: Iterable[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    told: Mapping[str, str],
) -> None:
    """Write it aside, and rename it: whoever is killed meanwhile leaves the one before.

    Args:
        path: a safetensors file.
        model: what learns, by name.
        learning: the parameters of the optimiser, in an order that is the same at `resumed`.
        optimizer: its moments are kept by the place of each parameter in that order.
        told: what else the next step depends on.
    """
    tensors = {f"{MODEL}{name}": one.detach().clone().contiguous() for name, one in model.items()}
    for place, parameter in enumerate(learning):
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"adam.{place}.{key}"] = torch.as_tensor(value).detach().clone()
    aside = path.with_suffix(".part")
    save_file(tensors, aside, metadata=dict(told))
    aside.replace(path)


def kept_training(path: Path, device: str = "cpu") -> tuple[dict[str, str], dict[str, Tensor]]:
    """What `save_training` wrote: `told`, and all tensors by their names in the file, on this device."""
    with safe_open(path, framework="pt", device=device) as file:
        return dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict


def take_moments(
    tensors: Mapping[str, Tensor], learning: Iterable[torch.nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Give the optimiser the moments that were kept. Its count of steps lies on the CPU, wherever the parameters are."""
    for place, parameter in enumerate(learning):
        prefix = f"adam.{place}."
        state: dict[str, Any] = {n.removeprefix(prefix): one for n, one in tensors.items() if n.startswith(prefix)}
        if "step" in state:
            state["step"] = state["step"].cpu()
        if state:
            optimizer.state[parameter] = state


def take_model(tensors: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> None:
    """Copy what was kept into what learns, by name. Raises `KeyError` where one is missing."""
    with torch.no_grad():
        for name, parameter in model.items():
            parameter.copy_(tensors[f"{MODEL}{name}"])
