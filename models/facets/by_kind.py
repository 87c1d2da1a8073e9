"""Facet heads by their kind in a profile (`models.profiles.kinds`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.profiles.kinds import Place
    from models.profiles.profile import Part
    from processors.facets import Heads


def starter(_part: Part, _place: Place) -> Heads:
    """Those that ship with Weft; they are applied to the features of the encoder that they were fitted for, and no other."""
    from models.facets.facet_heads import load_shipped

    return load_shipped().heads


def none(_part: Part, _place: Place) -> None:
    """None until `weft facets fit` has made some."""
