"""Who may decide each facet of a garment: the shop, the photo, labelled neighbours, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from processors.errors import BadSetting

Policy: TypeAlias = Literal["merchant", "seen", "pixels", "neighbours", "never"]
"""`merchant`: the shop's own word only. `seen`: the shop's word, else what models saw in the photo. `pixels`: what models saw
only. `neighbours`: the shop's word, else the vote of similar labelled products. `never`: it is stated of no garment, whoever says so."""

DEFAULTS: Mapping[str, Policy] = {
    "colour": "seen",
    "fabric": "merchant",
    "gender": "neighbours",
    "kind": "seen",
    "pattern": "seen",
    "sleeve": "seen",
    "neckline": "seen",
    "length": "seen",
    "origin": "merchant",
    "care": "merchant",
}


_NOT_OF_COLOUR: tuple[Policy, ...] = ("neighbours",)
"""Every photo tells its colour by itself: the others say who names it."""


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of each facet; see `Policy`. Facets that are not named here follow `merchant`."""

    by_facet: Mapping[str, Policy] = field(default_factory=lambda: dict(DEFAULTS))

    def of(self, facet: str) -> Policy:
        """The policy of a facet."""
        return self.by_facet.get(facet, "merchant")

    def voted(self) -> tuple[str, ...]:
        """The facets that neighbours may decide, by name."""
        return tuple(sorted(facet for facet, policy in self.by_facet.items() if policy == "neighbours"))


def policies_of(chosen: Mapping[str, str]) -> Policies:
    """The defaults with some of them replaced.

    Raises:
        BadSetting: a facet or a policy that does not exist, or votes on the colour, which every photo tells by itself.
    """
    found: dict[str, Policy] = dict(DEFAULTS)
    for facet, name in chosen.items():
        if facet not in DEFAULTS:
            raise BadSetting(f"WEFT_FACET_POLICY: there is no facet {facet!r}: say one of {', '.join(DEFAULTS)}")
        policy = next((known for known in get_args(Policy) if known == name), None)
        refused = _NOT_OF_COLOUR if facet == "colour" else ()
        if policy is None or policy in refused:
            allowed = [known for known in get_args(Policy) if known not in refused]
            raise BadSetting(f"WEFT_FACET_POLICY: {facet} is {name!r}: say one of {', '.join(allowed)}")
        found[facet] = policy
    return Policies(found)
