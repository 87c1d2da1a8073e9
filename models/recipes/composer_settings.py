"""What the recipe of a composer says: `composer.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import yaml

from processors.errors import Poison


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage of training. `rate`: of the query side at its highest; `temperature`: of its contrast."""

    steps: int
    batch: int
    rate: float
    temperature: float


class Losses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights: of query against target, and of target against its caption."""

    cir: float = 1.0
    ctr: float = 0.5


class Negatives(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which negatives stand beside those of the batch or the bank.

    `synthetic`: captions of the target with one attribute replaced, so many a triplet; `crossed`: queries of the batch's images
    with the batch's other words, which must not find the targets.
    """

    synthetic: int = 2
    crossed: bool = True


class Captions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of references whose caption is wrong in one facet, and whose caption is not there."""

    wrong: float = 0.3
    absent: float = 0.15


class ComposerRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`drawn`: series; `street`, `phone`: photos of the training side that are looked at; `stream`: files of triplets, in the data folder."""

    network: Literal["combiner", "transformer"]
    shape: dict[str, int]
    first: Stage
    second: Stage
    seed: int = 7
    threads: int = 1
    members: int = 4
    drawn: int = 0
    street: int = 0
    phone: int = 0
    stream: tuple[str, ...] = ()
    pairs: int = 24000
    target_side: bool = True
    losses: Losses = Losses()
    negatives: Negatives = Negatives()
    captions: Captions = Captions()
    weight_decay: float = 0.02
    save_steps: int = 200


def read_recipe(path: Path) -> ComposerRecipe:
    """Raises `Poison` where the file says what no recipe does, or leaves out what is needed."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text()), ComposerRecipe)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Poison(f"--recipe {path}: {error}") from error


def network_of(path: Path) -> str:
    """Which network a recipe is for; "" where it does not say. Raises `Poison` for what is no YAML."""
    try:
        told = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise Poison(f"--recipe {path}: {error}") from error
    return str(told.get("network", "")) if isinstance(told, dict) else ""
