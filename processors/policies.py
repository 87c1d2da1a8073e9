"""Who may decide each facet of a garment: the shop, the photo, labelled neighbours, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from processors.errors import Fatal

Policy: TypeAlias = Literal["merchant", "pixels", "neighbours", "never"]
"""`merchant`: the shop's own word only. `pixels`: what models saw in the photo only. `neighbours`: the shop's word, else the
vote of similar labelled products. `never`: it is stated of no garment, whoever says so."""

DEFAULTS: Mapping[str, Policy] = {
    "colour": "pixels",
    "fabric": "merchant",
    "gender": "neighbours",
    "pattern": "merchant",
    "sleeve": "merchant",
    "neckline": "merchant",
    "length": "merchant",
    "origin": "merchant",
    "care": "merchant",
}


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
        Fatal: a facet or a policy that does not exist, or votes on the colour, which every photo tells by itself.
    """
    found: dict[str, Policy] = dict(DEFAULTS)
    for facet, name in chosen.items():
        if facet not in DEFAULTS:
            raise Fatal(f"WEFT_FACET_POLICY: there is no facet {facet!r}: say one of {', '.join(DEFAULTS)}")
        policy = next((known for known in get_args(Policy) if known == name), None)
        if policy is None or (facet == "colour" and policy == "neighbours"):
            allowed = [known for known in get_args(Policy) if facet != "colour" or known != "neighbours"]
            raise Fatal(f"WEFT_FACET_POLICY: {facet} is {name!r}: say one of {', '.join(allowed)}")
        found[facet] = policy
    return Policies(found)
