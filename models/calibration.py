"""The calibration of the neighbours' votes, kept with the weights: `models/starter/attributes.json`.

Five numbers a facet and the fingerprint of the encoder they were fitted for; no product and no label.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from models.weights.hashes import check_weights
from processors.attributes import DEFAULT_CALIBRATION, Calibration, Calibrations
from processors.errors import Fatal

FILE = "attributes.json"


class Fitted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One facet; see `processors.attributes.Calibration`."""

    tau: float
    theta: float
    k: int
    min_votes: int
    floor: float = DEFAULT_CALIBRATION.floor


class CalibrationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`attributes.json`."""

    encoder: str
    facets: dict[str, Fitted]
    recipe: str


def load(path: Path, default: Calibration) -> Calibrations:
    """The shipped calibration, or `default` for everything where none is shipped.

    Args:
        path: `attributes.json`, listed in the manifest beside it.
        default: for encoders and facets that were not calibrated.

    Raises:
        Fatal: the file is damaged, not listed, or says what cannot be.
    """
    if not path.is_file():
        return Calibrations("", {}, default)
    check_weights(path)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=CalibrationFile)
    except msgspec.DecodeError as error:
        raise Fatal(f"{path} is no calibration: {error}") from error
    for facet, fitted in found.facets.items():
        counts = fitted.tau >= 0 and 0 <= fitted.theta <= 1 and fitted.k >= 1 and fitted.min_votes >= 1
        if not (counts and -1 <= fitted.floor <= 1):
            raise Fatal(f"{path}: {facet} has an impossible calibration: {fitted}")
    return Calibrations(
        found.encoder,
        {facet: Calibration(f.tau, f.theta, f.k, f.min_votes, f.floor) for facet, f in found.facets.items()},
        default,
    )


def save(path: Path, calibrations: Calibrations, recipe: str) -> None:
    """Write the file; `models.recipes.ship` lists it in the manifest."""
    facets = {f: Fitted(c.tau, c.theta, c.k, c.min_votes, c.floor) for f, c in calibrations.facets.items()}
    document = CalibrationFile(calibrations.encoder, facets, recipe)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
