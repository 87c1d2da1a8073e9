"""The rule file that says which captions wait for a person: `hold.json` beside this, or the one of a setting."""

from __future__ import annotations

from pathlib import Path

import msgspec

from processors.errors import BadSetting
from processors.hold import Rule

SHIPPED = Path(__file__).parent / "hold.json"


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: rules in the order in which their reasons are told. No rule: every caption is ready."""

    rules: tuple[Rule, ...]


def load(path: Path | None) -> tuple[Rule, ...]:
    """The rules of a file, or those that are shipped.

    Raises:
        BadSetting: the file cannot be read, is no rule file, or holds a rule that cannot be meant; names file and cause.
    """
    path = path or SHIPPED
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RuleFile).rules
    except OSError as error:
        raise BadSetting(f"WEFT_HOLD_RULES: {path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"WEFT_HOLD_RULES: {path} is no rule file: {error}") from error
    problem = next((problem for rule in found if (problem := rule.problem())), "")
    if problem:
        raise BadSetting(f"WEFT_HOLD_RULES: {path}: {problem}")
    return found
