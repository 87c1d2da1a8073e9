"""The composers by name: what each needs, and how those that are trained are loaded.

A name is what a query, a collection or an arm of a test says. `facets` and `direction` are of the role `compose` itself and need no
weights. Any other is a `models.ports.Composer`; with `facets+` before it, its vector takes the place of the image in the inner
product over facets, so that what the words say of facets counts beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.ports import Composer
from processors.errors import Fatal

FACETS, DIRECTION = "facets", "direction"
COMBINER, TRANSFORMER, FASHION_BLIP2 = "combiner", "transformer", "fashion-blip2"
WITH_FACETS = "facets+"


@dataclass(frozen=True, slots=True)
class Kind:
    """One composer.

    Args:
        name: as in settings.
        sides: "query": it works in the space of the encoder that serves, and is exchanged without another index. "both": the
            vectors of the index are its own, so another target side is another generation.
        trained: whether there are weights to load.
        why: one sentence.
    """

    name: str
    sides: Literal["query", "both"]
    trained: bool
    why: str


COMPOSERS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(FACETS, "query", False, "the image, and what garments probably are, in one inner product"),
        Kind(DIRECTION, "query", False, "the image, moved by the difference of two captions"),
        Kind(COMBINER, "query", True, "v = MLP([text; image]), q = norm(v + λ text + (1 − λ) image)"),
        Kind(TRANSFORMER, "query", True, "two layers over the tokens image, caption and text"),
        Kind(FASHION_BLIP2, "both", True, "BLIP-2 with adapters; twelve heads that are compared one by one"),
    )
}
"""Read-only."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A name that was read: the composer, and whether facets count beside it."""

    kind: Kind
    with_facets: bool

    @property
    def name(self) -> str:
        """As it was written."""
        return f"{WITH_FACETS}{self.kind.name}" if self.with_facets and self.kind.trained else self.kind.name


def choice_of(name: str) -> Choice:
    """Read a name ("facets", "combiner", "facets+combiner").

    Raises:
        ValueError: there is no such composer; the sentence lists them.
    """
    bare = name.removeprefix(WITH_FACETS)
    kind = COMPOSERS.get(bare)
    prefixed = bare != name
    # The vectors of a space of its own have no facets' weights fitted for them.
    if kind is None or (prefixed and (not kind.trained or kind.sides == "both")):
        raise ValueError(f"no composer is called {name!r}; there are {', '.join(names())}")
    return Choice(kind, prefixed or bare == FACETS)


def names() -> tuple[str, ...]:
    """All that `choice_of` reads."""
    beside = tuple(f"{WITH_FACETS}{k.name}" for k in COMPOSERS.values() if k.trained and k.sides == "query")
    return (*COMPOSERS, *beside)


def load(name: str, path: Path, *, encoder: str = "", device: str = "cpu") -> Composer:
    """Load a trained composer.

    Args:
        name: one of `COMPOSERS` that is trained; with or without `facets+`.
        path: its weights: a file; of `fashion-blip2` the folder.
        encoder: fingerprint of the image encoder that serves; "": not compared.
        device: see `models.device.choose`.

    Raises:
        Fatal: the weights are missing, damaged, of another composer, or for another encoder.
        ValueError: there is no such composer, or it has no weights.
    """
    kind = choice_of(name).kind
    if not kind.trained:
        raise ValueError(f"the composer {name!r} has no weights to load")
    found = _loaded(kind, path, device)
    if found.name != kind.name:
        raise Fatal(f"{path} holds the composer {found.name!r}, not {kind.name!r}")
    if kind.sides == "query" and encoder and found.target != encoder:
        raise Fatal(
            f"{path} was trained for the encoder {found.target}, and {encoder} serves: train it anew (`weft train composer`)"
        )
    return found


def _loaded(kind: Kind, path: Path, device: str) -> Composer:
    if kind.name == FASHION_BLIP2:
        from models.composers import fashion_blip2

        return fashion_blip2.FashionBlip2Composer(fashion_blip2.load(path, device=device), device)
    from models.composers.vector_composer import VectorComposer

    return VectorComposer.load(path, device=device)
