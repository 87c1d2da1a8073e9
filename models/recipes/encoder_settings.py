"""The settings of a run of the encoder's training, as `encoder.yaml` has them."""

from __future__ import annotations

import msgspec


class WarmUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the new layers, on features of the frozen base."""

    steps: int
    batch: int
    rate: float


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Top learning rates."""

    trunk: float
    new: float


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a run, as the YAML file beside this one has them."""

    seed: int
    threads: int
    drawn: int
    street_every: int
    side: int
    first_trained: int
    start: str
    warm_up: WarmUp
    steps: int
    batch: dict[str, int]
    mixed: int
    canonical: int
    rates: Rates
    weight_decay: float
    ema: float
    weights: dict[str, float]
    save_seconds: float
