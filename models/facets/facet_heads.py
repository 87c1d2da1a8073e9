"""Heads of facets as bytes: one safetensors file whose header says, in JSON, what its tensors mean and what each value is worth."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors import colour_shares
from processors.errors import Fatal, Poison
from processors.facets import Head, Heads, Layer, Line
from processors.weighed import Weighed

FORMAT, LAYERED = "weft-facets 1", "weft-facets 2"
"""Of linear heads, and of some that read a layer, which code from before there were any refuses."""
MAX_BYTES = 64 * 2**20
LAYER = "layer"
"""Its tensors' name; no facet is called so."""
SHIPPED = "facets.safetensors"
"""Below `models/starter`."""


class ValueWorth(msgspec.Struct, frozen=True):
    """What one value was worth on products of brands that took no part in the fit that judged them.

    Args:
        labelled: products that the shop gives this value.
        said: those of which it was the likeliest value.
        stated: those of them at or above the threshold.
        right: those of the stated where the shop says so too.
        threshold: the probability from which it is stated; above 1: never.
    """

    value: str
    labelled: int
    said: int
    stated: int
    right: int
    threshold: float


class BinWorth(msgspec.Struct, frozen=True):
    """Predictions of one tenth of probability: how many, how sure on average, how often right."""

    count: int
    confidence: float
    accuracy: float


class FacetWorth(msgspec.Struct, frozen=True):
    """One facet. `accuracy`: of the likeliest value, stated or not; `in_two`: right among the two likeliest."""

    facet: str
    labelled: int
    accuracy: float
    in_two: float
    stated: int
    right: int
    right_in_two: int
    values: tuple[ValueWorth, ...]
    bins: tuple[BinWorth, ...] = ()


class Card(msgspec.Struct, frozen=True):
    """What is known of a version beside its weights. `made`: RFC 3339, UTC; `source`: "shop" or the name of a recipe."""

    made: str
    source: str
    products: int
    brands: int
    held_out: str
    seconds: float
    facets: tuple[FacetWorth, ...]
    notes: tuple[str, ...] = ()


class _Described(msgspec.Struct, frozen=True):
    """One head in the header; its tensors are `FACET.weight` and `FACET.bias`."""

    values: tuple[str, ...]
    thresholds: tuple[float, ...]
    categories: tuple[tuple[str, ...], ...]
    covers: tuple[tuple[str, ...], ...] = ()
    layered: bool = False
    lines: tuple[Line, ...] = ()
    weighed: tuple[Weighed, ...] = ()


class _Header(msgspec.Struct, frozen=True):
    format: str
    maker: str
    shares: str
    heads: dict[str, _Described]
    card: Card


@dataclass(frozen=True, slots=True)
class Version:
    """Heads that can be applied, and their card."""

    heads: Heads
    card: Card


def version_of(data: bytes) -> str:
    """The name of a version: a hash of its bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode(maker: str, heads: dict[str, Head], card: Card, layer: Layer | None = None) -> bytes:
    """The file. Weights are kept in half precision: they are fitted on standardised features, and folded when read."""
    from safetensors.numpy import save

    tensors = {}
    parts: dict[str, Head | Layer] = {**heads}
    if layer is not None:
        parts[LAYER] = layer
        tensors[f"{LAYER}.shares"] = layer.shares.astype(np.float32)
    for name, part in parts.items():
        # One scale a row keeps small weights of features with a large spread out of half precision's denormals.
        scale = np.maximum(np.abs(part.weight).max(1), 1e-12).astype(np.float32)
        tensors[f"{name}.weight"] = (part.weight / scale[:, None]).astype(np.float16)
        tensors[f"{name}.scale"] = scale
        tensors[f"{name}.bias"] = part.bias.astype(np.float32)
    described = {
        f: _Described(h.values, h.thresholds, h.categories, h.covers, h.layered, h.lines, h.weighed)
        for f, h in heads.items()
    }
    header = _Header(FORMAT if layer is None else LAYERED, maker, colour_shares.VERSION, described, card)
    return bytes(save(tensors, {"weft": msgspec.json.encode(header).decode()}))


def decode(data: bytes, *, name: str) -> Version:
    """The heads of a file.

    Args:
        data: its bytes.
        name: how it is called in messages.

    Raises:
        Poison: it is damaged, of another format, or its parts do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + length])["__metadata__"]["weft"]
        header = msgspec.json.decode(text, type=_Header)
        tensors = load(data)
    except (ValueError, KeyError, TypeError, SafetensorError, msgspec.DecodeError) as error:
        raise Poison(f"{name} holds no facet heads: {type(error).__name__}: {error}") from error
    if header.format not in {FORMAT, LAYERED} or header.shares != colour_shares.VERSION:
        raise Poison(f"{name} is {header.format!r} over colour shares {header.shares}; this Weft reads {LAYERED!r}")
    heads = {}

    def read(part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weight = tensors[f"{part}.weight"].astype(np.float32) * tensors[f"{part}.scale"][:, None]
        bias = tensors[f"{part}.bias"]
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise Poison(f"{name}: the head of {part} is not finite")
        return weight, bias

    try:
        for facet, said in header.heads.items():
            heads[facet] = Head(
                said.values,
                *read(facet),
                said.thresholds,
                said.categories,
                said.covers,
                layered=said.layered,
                lines=said.lines,
                weighed=said.weighed,
            )
        layer = Layer(*read(LAYER), tensors[f"{LAYER}.shares"]) if header.format == LAYERED else None
        found = Heads(version_of(data), header.maker, heads, layer)
    except (KeyError, ValueError, IndexError, Fatal) as error:
        raise Poison(f"{name}: a head does not fit what is said of it: {error}") from error
    return Version(found, header.card)


def load_shipped() -> Version:
    """The heads that ship with Weft, compared with the manifest.

    Raises:
        Fatal: the file is missing or damaged.
    """
    from models.weights.hashes import check_weights
    from models.weights.starter import shipped_path

    path = shipped_path(SHIPPED)
    check_weights(path)
    try:
        return decode(path.read_bytes(), name=str(path))
    except Poison as error:
        raise Fatal(str(error)) from error
