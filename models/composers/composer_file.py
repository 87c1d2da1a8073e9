"""Trained composers as bytes: one safetensors file whose header says, in JSON, what network it is, and for which encoder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.errors import Poison

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "weft-composer 1"
MAX_BYTES = 64 * 2**20


class ComposerCard(msgspec.Struct, frozen=True):
    """What is known of a trained composer beside its weights.

    Args:
        made: RFC 3339, UTC.
        recipe: its YAML file's name.
        triplets: how many it was trained on, by origin ("drawn", "street", "phone", "stream").
        steps: of each stage.
        held_out: name of the figure → figure, on triplets that it was not trained on.
        notes: what else is to be known.
    """

    made: str
    recipe: str
    triplets: dict[str, int]
    steps: tuple[int, ...]
    held_out: dict[str, float] = {}
    notes: tuple[str, ...] = ()


class ComposerHeader(msgspec.Struct, frozen=True):
    """The header of the file. `network`: one of `networks.NETWORKS`; `encoder`: the fingerprint of the space it works in."""

    format: str
    network: str
    shape: dict[str, int]
    encoder: str
    card: ComposerCard


def encode(header: ComposerHeader, tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The file; weights are kept in half precision."""
    from safetensors.numpy import save

    halves = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    return bytes(save(halves, {"weft": msgspec.json.encode(header).decode()}))


def decode(data: bytes, *, name: str) -> tuple[ComposerHeader, dict[str, NDArray[np.float32]]]:
    """Header and weights of a file.

    Args:
        data: its bytes.
        name: how it is called in messages.

    Raises:
        Poison: it is damaged or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + length])["__metadata__"]["weft"]
        header = msgspec.json.decode(text, type=ComposerHeader)
        tensors = {key: tensor.astype(np.float32) for key, tensor in load(data).items()}
    except (ValueError, KeyError, TypeError, SafetensorError, msgspec.DecodeError) as error:
        raise Poison(f"{name} holds no composer: {type(error).__name__}: {error}") from error
    if header.format != FORMAT:
        raise Poison(f"{name} is {header.format!r}; this Weft reads {FORMAT!r}")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise Poison(f"{name}: its weights are not finite")
    return header, tensors
