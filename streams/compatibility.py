"""Whether what conforms to an old JSON Schema still conforms to a new one, and still holds what its readers expect."""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Removed fields, new required fields, and narrowed types, values or bounds: each a sentence with its path."""
    return _compare(old, new, "$", _Roots(old, new))


class _Roots:
    """Where references lead, and which pairs are being compared already (schemas may be recursive)."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old.get("$defs", {}), new.get("$defs", {})
        self.seen: set[tuple[str, str]] = set()

    def old(self, schema: Schema) -> Schema:
        return _resolve(schema, self._old)

    def new(self, schema: Schema) -> Schema:
        return _resolve(schema, self._new)


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
    if "anyOf" in old or "anyOf" in new:
        return [
            f"{path}: {_label(roots.old(before))} is not accepted any more"
            for before in _alternatives(old)
            if not any(_compare(before, after, path, _fresh(roots)) == [] for after in alternatives)
        ]
    return [
        *_types(old, new, path),
        *_bounds(old, new, path),
        *_fields(old, new, path, roots),
        *_elements(old, new, path, roots),
    ]


def _fresh(roots: _Roots) -> _Roots:
    """Alternatives are tried independently: a pair that failed in one must be compared again in the next."""
    copy = _Roots({}, {})
    copy.__dict__.update(roots.__dict__)
    copy.seen = set(roots.seen)
    return copy


def _alternatives(schema: Schema) -> list[Schema]:
    found = schema.get("anyOf", [schema])
    return list(found)


def _label(schema: Schema) -> str:
    return str(schema.get("title") or schema.get("type") or schema.get("enum") or "anything")


def _types(old: Schema, new: Schema, path: str) -> list[str]:
    found: list[str] = []
    if "type" in new:
        before = {old["type"]} if isinstance(old.get("type"), str) else set(old.get("type", ["anything"]))
        after = {new["type"]} if isinstance(new["type"], str) else set(new["type"])
        lost = before - after - ({"integer"} if "number" in after else set())
        if lost:
            found.append(f"{path}: {', '.join(sorted(lost))} became {', '.join(sorted(after))}")
    for keyword in ("enum", "const"):
        if keyword in new:
            after_values = new[keyword] if keyword == "enum" else [new[keyword]]
            before_values = old.get("enum", [old["const"]] if "const" in old else None)
            if before_values is None or any(value not in after_values for value in before_values):
                found.append(f"{path}: only {after_values} is accepted now")
    return found + [
        f"{path}: must now have {keyword} {new[keyword]}"
        for keyword in ("pattern", "format", "contentEncoding")
        if keyword in new and new[keyword] != old.get(keyword)
    ]


def _bounds(old: Schema, new: Schema, path: str) -> list[str]:
    raised = [
        f"{path}: {keyword} {new[keyword]} is narrower than before"
        for keyword in _LOWER
        if keyword in new and new[keyword] > old.get(keyword, float("-inf"))
    ]
    lowered = [
        f"{path}: {keyword} {new[keyword]} is narrower than before"
        for keyword in _UPPER
        if keyword in new and new[keyword] < old.get(keyword, float("inf"))
    ]
    return raised + lowered


def _fields(old: Schema, new: Schema, path: str, roots: _Roots) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{path}.{name}: the field was removed" for name in before if name not in after]
    required = set(new.get("required", [])) - set(old.get("required", []))
    found += [f"{path}.{name}: the field is required now" for name in sorted(required)]
    for name in before:
        if name in after:
            found += _compare(before[name], after[name], f"{path}.{name}", roots)
    values_before, values_after = old.get("additionalProperties"), new.get("additionalProperties")
    if values_after is False and values_before is not False:
        found.append(f"{path}: unknown fields are refused now")
    elif isinstance(values_after, dict):
        found += _compare(values_before if isinstance(values_before, dict) else {}, values_after, f"{path}.*", roots)
    return found


def _elements(old: Schema, new: Schema, path: str, roots: _Roots) -> list[str]:
    found: list[str] = []
    before, after = old.get("prefixItems", []), new.get("prefixItems", [])
    for number, schema in enumerate(after):
        found += _compare(before[number] if number < len(before) else {}, schema, f"{path}[{number}]", roots)
    items_before, items_after = old.get("items"), new.get("items")
    if items_after is False and items_before is not False:
        found.append(f"{path}: more elements are refused now")
    elif isinstance(items_after, dict):
        found += _compare(items_before if isinstance(items_before, dict) else {}, items_after, f"{path}[]", roots)
    return found
