"""The curves of relevance, kept with the weights: `models/starter/relevance.json`. Numbers and the encoder's fingerprint; no data."""

from __future__ import annotations

from pathlib import Path

import msgspec

from models.weights.hashes import check_weights
from processors.errors import Fatal
from processors.relevance import Curve, Relevance

FILE = "relevance.json"


class FittedCurve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `processors.relevance.Curve`."""

    slope: float
    middle: float
    blind: float = 1.0
    agreeing: float = 0.0


class RelevanceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`relevance.json`; `recipe` says what it was fitted on."""

    encoder: str
    kinds: dict[str, FittedCurve]
    recipe: str


def load(path: Path) -> Relevance:
    """The shipped curves; none where none are shipped.

    Args:
        path: `relevance.json`, listed in the manifest beside it.

    Raises:
        Fatal: the file is damaged, not listed, or says what cannot be.
    """
    if not path.is_file():
        return Relevance()
    check_weights(path)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RelevanceFile)
    except msgspec.DecodeError as error:
        raise Fatal(f"{path} holds no curves of relevance: {error}") from error
    for kind, fitted in found.kinds.items():
        if not (fitted.slope > 0 and 0 <= fitted.blind <= 1):
            raise Fatal(f"{path}: {kind} has an impossible curve: {fitted}")
    return Relevance(found.encoder, {k: Curve(f.slope, f.middle, f.blind, f.agreeing) for k, f in found.kinds.items()})
