"""By which rule a draft of a language model was refused: a few names, for counting; the reasons themselves are for reading."""

from __future__ import annotations

import re
from collections.abc import Iterable

FAILED, HUNG = "failed", "hung"
"""The model raised an error; it did not answer in time. No draft was there to be refused."""

_RULES: tuple[tuple[str, str], ...] = (
    ("audience", r"does not suit"),
    ("denied", r"is denied$"),
    ("unknown_word", r"is no word that says anything known"),
    ("binding", r"no one \".*\" has all|may be read of the|no one garment has all"),
    ("ungrounded", r"in the evidence|by the evidence"),
    ("names_none", r"names none of the garments"),
    ("hashtags", r"hashtags"),
    ("left_out", r"leaves out the|another garment is named before"),
    ("no_fabric", r"which is no fabric"),
    ("kit", r"the kit"),
    ("form", r"characters of caption|control characters|has no end|sentences, |repeats itself"),
)
RULES: tuple[str, ...] = (*(rule for rule, _ in _RULES), FAILED, HUNG, "other")
_PATTERNS = tuple((rule, re.compile(pattern)) for rule, pattern in _RULES)


def rule_of(reason: str) -> str:
    """The rule behind a reason of `processors.captions.judge` or of a kit, one of `RULES`."""
    if reason in (FAILED, HUNG):
        return reason
    return next((rule for rule, pattern in _PATTERNS if pattern.search(reason)), "other")


def rules_of(reasons: Iterable[str]) -> tuple[str, ...]:
    """The rules behind the reasons of one draft, each once, in their order."""
    return tuple(dict.fromkeys(map(rule_of, reasons)))


NOTHING_WRONG = "of which nothing is wrong"
"""Behind the reason against a draft that is too short, and true ("A top.", where only that is known)."""


def is_readable(reasons: Iterable[str]) -> bool:
    """Whether a refused draft was a caption at all: something that it says was wrong, or too little, not only its form.

    What is true and short is all that the model says of such evidence, whenever it is asked: a re-delivery publishes the same bytes without it.
    """
    reasons = tuple(reasons)
    return any(NOTHING_WRONG in one for one in reasons) or not set(rules_of(reasons)) <= {
        "form",
        "hashtags",
        FAILED,
        HUNG,
    }
