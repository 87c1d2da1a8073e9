"""Whether code of two versions reads each other's events, by their JSON Schemas.

`breaking_changes`: does the new code read what the old one wrote, and does what it writes still hold what readers of
the old expect? `unreadable_changes`: does the old code read what the new one writes? During a rolling upgrade both run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

OPEN_ENUM = "x-open-enum"
"""Beside an `enum`: those are the values of now, and readers take any other too. Such a list may grow and shrink."""

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


@dataclass(frozen=True, slots=True)
class _Words:
    """How a difference is told: of the old schema's events to the new one, or the other way round."""

    alternative: str = "is not accepted any more"
    type: str = "{one} became {other}"
    values: str = "only {other} is accepted now"
    keyword: str = "must now have {keyword} {other}"
    bound: str = "{keyword} {other} is narrower than before"
    required: str = "the field is required now"
    closed: str = "unknown fields are refused now"
    elements: str = "more elements are refused now"


_FORWARD = _Words(
    alternative="is new, and old readers refuse it",
    type="may be {one} now, and old readers take only {other}",
    values="old readers take only {other}",
    keyword="old readers want {keyword} {other}",
    bound="old readers want {keyword} {other}",
    required="the field may be missing now, and old readers require it",
    closed="old readers refuse unknown fields",
    elements="old readers refuse more elements",
)


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Removed fields, new required fields, and narrowed types, values or bounds: each a sentence with its path."""
    return _compare(old, new, "$", _Roots(old.get("$defs", {}), new.get("$defs", {}), _Words(), keep_fields=True))


def unreadable_changes(old: Schema, new: Schema) -> list[str]:
    """Widened types, values or bounds, and fields that may be missing now: what readers of `old` stumble over.

    A new field is none: readers ignore the fields that they do not know.
    """
    return _compare(new, old, "$", _Roots(new.get("$defs", {}), old.get("$defs", {}), _FORWARD, keep_fields=False))


@dataclass(slots=True)
class _Roots:
    """Where references lead, and which pairs are being compared already (schemas may be recursive)."""

    before: dict[str, Schema]
    after: dict[str, Schema]
    words: _Words
    keep_fields: bool
    seen: set[tuple[str, str]] = field(default_factory=set)

    def old(self, schema: Schema) -> Schema:
        return _resolve(schema, self.before)

    def new(self, schema: Schema) -> Schema:
        return _resolve(schema, self.after)


def _resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema


def _compare(old: Schema, new: Schema, path: str, roots: _Roots) -> list[str]:
    pair = (str(old.get("$ref")), str(new.get("$ref")))
    if "$ref" in old and "$ref" in new:
        if pair in roots.seen:
            return []
        roots.seen.add(pair)
    old, new = roots.old(old), roots.new(new)
    alternatives = _alternatives(new)
    if _is_union(old) or _is_union(new):
        return [
            f"{path}: {_label(roots.old(before))} {roots.words.alternative}"
            for before in _alternatives(old)
            if not any(_compare(before, after, path, _fresh(roots)) == [] for after in alternatives)
        ]
    return [
        *_types(old, new, path, roots.words),
        *_bounds(old, new, path, roots.words),
        *_choices(old, new, path, roots.words),
        *_fields(old, new, path, roots),
        *_elements(old, new, path, roots),
    ]


def _fresh(roots: _Roots) -> _Roots:
    """Alternatives are tried independently: a pair that failed in one must be compared again in the next."""
    return replace(roots, seen=set(roots.seen))


def _is_union(schema: Schema) -> bool:
    """Whether `anyOf` is all there is to it; beside properties it only says which of them must be there."""
    return "anyOf" in schema and "properties" not in schema


def _alternatives(schema: Schema) -> list[Schema]:
    return list(schema["anyOf"]) if _is_union(schema) else [schema]


def _choices(old: Schema, new: Schema, path: str, words: _Words) -> list[str]:
    """Rules beside the properties: one of these fields."""
    return [
        f"{path}: {words.keyword.format(keyword=keyword, other=', '.join(str(one.get('required')) for one in new[keyword]))}"
        for keyword in ("anyOf", "oneOf")
        if keyword in new and new[keyword] != old.get(keyword) and not _is_union(new)
    ]


def _label(schema: Schema) -> str:
    return str(schema.get("title") or schema.get("type") or schema.get("enum") or "anything")


def _types(old: Schema, new: Schema, path: str, words: _Words) -> list[str]:
    found: list[str] = []
    if "type" in new:
        before = {old["type"]} if isinstance(old.get("type"), str) else set(old.get("type", ["anything"]))
        after = {new["type"]} if isinstance(new["type"], str) else set(new["type"])
        lost = before - after - ({"integer"} if "number" in after else set())
        if isinstance(old.get("type"), list):
            lost -= {"null"}  # the codec takes null for "not set" in every optional field, whatever the schema says
        if lost:
            told = words.type.format(one=", ".join(sorted(lost)), other=", ".join(sorted(after)))
            found.append(f"{path}: {told}")
    for keyword in ("enum", "const"):
        if keyword in new and not new.get(OPEN_ENUM):
            after_values = new[keyword] if keyword == "enum" else [new[keyword]]
            before_values = old.get("enum", [old["const"]] if "const" in old else None)
            if before_values is None or any(value not in after_values for value in before_values):
                found.append(f"{path}: {words.values.format(other=after_values)}")
    return found + [
        f"{path}: {words.keyword.format(keyword=keyword, other=new[keyword])}"
        for keyword in ("pattern", "format", "contentEncoding")
        if keyword in new and new[keyword] != old.get(keyword)
    ]


def _bounds(old: Schema, new: Schema, path: str, words: _Words) -> list[str]:
    raised = [
        f"{path}: {words.bound.format(keyword=keyword, other=new[keyword])}"
        for keyword in _LOWER
        if keyword in new and new[keyword] > old.get(keyword, float("-inf"))
    ]
    lowered = [
        f"{path}: {words.bound.format(keyword=keyword, other=new[keyword])}"
        for keyword in _UPPER
        if keyword in new and new[keyword] < old.get(keyword, float("inf"))
    ]
    return raised + lowered


def _fields(old: Schema, new: Schema, path: str, roots: _Roots) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{path}.{name}: the field was removed" for name in before if roots.keep_fields and name not in after]
    required = set(new.get("required", [])) - set(old.get("required", []))
    found += [f"{path}.{name}: {roots.words.required}" for name in sorted(required)]
    for name in before:
        if name in after:
            found += _compare(before[name], after[name], f"{path}.{name}", roots)
    values_before, values_after = old.get("additionalProperties"), new.get("additionalProperties")
    if values_after is False and values_before is not False:
        found.append(f"{path}: {roots.words.closed}")
    elif isinstance(values_after, dict):
        found += _compare(values_before if isinstance(values_before, dict) else {}, values_after, f"{path}.*", roots)
    return found


def _elements(old: Schema, new: Schema, path: str, roots: _Roots) -> list[str]:
    found: list[str] = []
    before, after = old.get("prefixItems", []), new.get("prefixItems", [])
    items_before, items_after = old.get("items"), new.get("items")
    rest = items_before if isinstance(items_before, dict) else {}
    for number, schema in enumerate(after):
        found += _compare(before[number] if number < len(before) else rest, schema, f"{path}[{number}]", roots)
    if items_after is False and items_before is not False and old.get("maxItems", float("inf")) > len(after):
        found.append(f"{path}: {roots.words.elements}")
    elif isinstance(items_after, dict) and items_before is False:
        # As many elements as there are, and no more: each of them must be one of the new kind.
        for number, schema in enumerate(before):
            found += _compare(schema, items_after, f"{path}[{number}]", roots)
    elif isinstance(items_after, dict):
        found += _compare(items_before if isinstance(items_before, dict) else {}, items_after, f"{path}[]", roots)
    return found
