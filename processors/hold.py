"""Whether a caption may go out as it is: rules over its evidence and its text, each with the reason that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from processors.policies import DEFAULTS
from processors.values import CaptionText, Evidence, WriterKind

EVERY_FACET = "*"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Holds a caption when all of its conditions are true; None is no condition.

    Args:
        reason: what the caption's `reasons` then name ("low_confidence").
        garments_at_most: so many garments were found, or fewer.
        inferred: one of these facets was decided by other products' votes; "*" is every facet.
        confidence_below: 0..1; of the garments that the sentences name, the detector or a decided facet was less sure.
        coverage_below: 0..1; less of the pack is stated. Of a pack without coverage it is never true.
        writer: who wrote it ("template": the rule-based writer).
    """

    reason: str
    garments_at_most: int | None = None
    inferred: tuple[str, ...] | None = None
    confidence_below: float | None = None
    coverage_below: float | None = None
    writer: tuple[str, ...] | None = None

    def problem(self) -> str:
        """What is wrong with the rule as such, or ""."""
        if not self.reason or not self.reason.replace("_", "").isalnum():
            return f"reason {self.reason!r} is no name of letters, digits and _"
        conditions = (self.garments_at_most, self.inferred, self.confidence_below, self.coverage_below, self.writer)
        if all(condition is None for condition in conditions):
            return f"{self.reason}: a rule without a condition would hold everything"
        if self.garments_at_most is not None and self.garments_at_most < 0:
            return f"{self.reason}: garments_at_most is {self.garments_at_most}, and must be 0 or more"
        # A name that does not exist would make a rule that never holds anything.
        for name, said, known in (
            ("inferred", self.inferred, (*DEFAULTS, EVERY_FACET)),
            ("writer", self.writer, get_args(WriterKind)),
        ):
            if said is not None and (not said or not set(said) <= set(known)):
                return f"{self.reason}: {name} is {list(said)}, and must name some of {', '.join(known)}"
        for name, share in (("confidence_below", self.confidence_below), ("coverage_below", self.coverage_below)):
            if share is not None and not 0 <= share <= 1:
                return f"{self.reason}: {name} is {share}, and must be 0 to 1"
        return ""

    def holds(self, evidence: Evidence, text: CaptionText, *, chosen: bool = False) -> bool:
        """Whether this rule stops the caption. `chosen`: it was to be written by rule, so who wrote it says nothing."""
        checks = (
            self.garments_at_most is None or len(evidence.garments) <= self.garments_at_most,
            self.inferred is None or bool(_facets(inferred(evidence)) & _wanted(self.inferred, evidence)),
            self.confidence_below is None or lowest_confidence(evidence, text) < self.confidence_below,
            self.coverage_below is None or (text.coverage is not None and text.coverage < self.coverage_below),
            self.writer is None or (text.writer in self.writer and not chosen),
        )
        return all(checks)


def reasons(rules: Sequence[Rule], evidence: Evidence, text: CaptionText, *, chosen: bool = False) -> tuple[str, ...]:
    """Why the caption is held, in the order of the rules; () when it is ready. `chosen`: as for `Rule.holds`."""
    return tuple(dict.fromkeys(rule.reason for rule in rules if rule.holds(evidence, text, chosen=chosen)))


def inferred(evidence: Evidence) -> tuple[str, ...]:
    """The facets that votes decided, by garment: "g0.fabric"."""
    return tuple(
        f"{garment.id}.{facet}"
        for garment in evidence.garments
        for facet, attribute in sorted(garment.attributes.items())
        if attribute.neighbours
    )


def lowest_confidence(evidence: Evidence, text: CaptionText) -> float:
    """Of the garments that the sentences name: the detector's, or that of a decided facet; 1 when none is named."""
    named = {span.garment for span in text.spans}
    said = [garment for garment in evidence.garments if garment.id in named]
    found = [garment.confidence for garment in said]
    found += [attribute.confidence for garment in said for attribute in garment.attributes.values()]
    return min(found, default=1.0)


def _facets(places: Sequence[str]) -> set[str]:
    return {place.partition(".")[2] for place in places}


def _wanted(facets: Sequence[str], evidence: Evidence) -> set[str]:
    return _facets(inferred(evidence)) if EVERY_FACET in facets else set(facets)
