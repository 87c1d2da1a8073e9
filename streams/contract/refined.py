"""What the types of the records do not say, and the codecs hold all the same: ranges, one-of, and null for what is not set.

The schemas are read by two drafts of JSON Schema: 2020-12 (docs/schemas) and, in the AsyncAPI document, draft-07. Nothing
here means one thing in the one and another in the other: a box is an array of four numbers, not a `prefixItems`, which
draft-07 skips, so that `items: false` beside it would forbid every box.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from processors.identity import MAX_SHOP_BYTES
from processors.photo_roles import MAX_PHOTOS
from processors.values import MAX_QUERY_TEXT
from streams.contract.edits import MAX_REFERENCES, MAX_SEED
from streams.contract.lenders import MAX_IMAGES
from streams.contract.limits import (
    MAX_DEADLINE_MS,
    MAX_FACETS,
    MAX_FILTER_VALUES,
    MAX_ID_BYTES,
    MAX_TOP_K,
    MAX_URI_BYTES,
)
from streams.contract.topics import CLIENT, ITEMS, TOPICS

Schema: TypeAlias = dict[str, Any]

_ID = {"minLength": 1, "maxLength": MAX_ID_BYTES}
_SHOP = {"minLength": 1, "maxLength": MAX_SHOP_BYTES}
_SHARE = {"minimum": 0, "maximum": 1}
_COUNT = {"minimum": 0}
_SIDE = {"minimum": 1}

# Record → field → keywords. Lengths are in characters here and in bytes in the codecs, where that is said.
_BOUNDS: dict[str, dict[str, Schema]] = {
    "Upload": {"product_id": _ID, "shop": _SHOP, "images": {"minItems": 1, "maxItems": MAX_PHOTOS}},
    "UploadPhoto": {"uri": {"minLength": 1, "maxLength": MAX_URI_BYTES}, "bytes": {"minLength": 1}},
    "ImageRef": {
        "uri": {"minLength": 1, "maxLength": MAX_URI_BYTES},
        "bytes": {"minLength": 1},
        "product_id": _ID,
    },
    "QueryImage": {
        "uri": {"minLength": 1, "maxLength": MAX_URI_BYTES},
        "bytes": {"minLength": 1},
        "product_id": _ID,
    },
    "Query": {
        "query_id": _ID,
        "shop": _SHOP,
        "text": {"maxLength": MAX_QUERY_TEXT},
        "images": {"maxItems": MAX_IMAGES},
        "previous": _ID,
        "filters": {"maxProperties": MAX_FACETS},
        "top_k": {"minimum": 1, "maximum": MAX_TOP_K},
        "deadline_ms": {"minimum": 1, "maximum": MAX_DEADLINE_MS},
        "min_relevance": _SHARE,
        "min_offsets": {"propertyNames": {"pattern": f"^{ITEMS.replace('.', '[.]')}-(0|[1-9][0-9]*)$"}},
    },
    "EditRequest": {
        "request_id": _ID,
        "shop": _SHOP,
        "product": _ID,
        "text": {"maxLength": MAX_QUERY_TEXT, "pattern": r"\S"},
        "references": {"maxItems": MAX_REFERENCES},
        "seed": {"minimum": 0, "maximum": MAX_SEED},
        "deadline_ms": {"minimum": 1, "maximum": MAX_DEADLINE_MS},
    },
    "Result": {"took_ms": _COUNT},
    "Shards": {"answered": _COUNT, "of": _COUNT},
    "Source": {"partition": _COUNT, "offset": _COUNT},
    "Item": {"width": _COUNT, "height": _COUNT, "dimension": _SIDE},
    "ItemPhoto": {"width": _SIDE, "height": _SIDE},
    "Vote": {"confidence": _SHARE},
    "Garment": {"confidence": _SHARE},
    "Attribute": {"confidence": _SHARE},
    "Colour": {"share": _SHARE},
    "Span": {"start": _COUNT, "end": _COUNT},
    "Caption": {"coverage": _SHARE},
    "LetterDone": {"redrives": _COUNT},
}
# The same for the values of a table, whatever their names.
_VALUES: dict[str, dict[str, Schema]] = {
    "Query": {"filters": {"maxItems": MAX_FILTER_VALUES}, "min_offsets": _COUNT},
    "Result": {"applied_offsets": _COUNT},
}
_UPLOAD_IMAGE = "UploadImage"


def refined(components: dict[str, Schema], prefix: str) -> dict[str, Schema]:
    """The schemas of all records, by name, with everything that the codecs hold.

    Args:
        components: as msgspec gives them; they are not changed.
        prefix: of references: "#/$defs/" or "#/components/schemas/".
    """
    found = {name: _plain(schema) for name, schema in components.items()}
    for name, fields in _BOUNDS.items():
        for field, bounds in fields.items() if name in found else ():
            _bound(found[name]["properties"][field], bounds)
    for name, fields in _VALUES.items():
        for field, bounds in fields.items() if name in found else ():
            _bound(found[name]["properties"][field]["additionalProperties"], bounds)
    for name in _from_outside() & found.keys():
        _allow_null(found[name])
    if "Query" in found:
        _refine_query(found)
    if "ImageRef" in found:
        whole = found["ImageRef"]
        if "Upload" in found:
            _refine_upload(found, whole, prefix)
        whole["oneOf"] = [_given(source) for source in ("uri", "bytes", "product_id")]
        if not {"Query", "EditRequest"} & found.keys():
            del found["ImageRef"]
    return found


def _refine_query(found: dict[str, Schema]) -> None:
    """A query asks for something; and each of its images is one."""
    found["Query"]["anyOf"] = [
        {"required": ["image"], "properties": {"image": {"type": "object"}}},
        {"required": ["images"], "properties": {"images": {"type": "array", "minItems": 1}}},
        {"required": ["text"], "properties": {"text": {"type": "string", "pattern": r"\S"}}},
    ]
    found["QueryImage"]["oneOf"] = [_given(source) for source in ("uri", "bytes", "product_id")]


def _refine_upload(found: dict[str, Schema], image: Schema, prefix: str) -> None:
    """A photo of an upload is no product of the catalogue; and an upload says something."""
    found[_UPLOAD_IMAGE] = _image_of_upload(image)
    found["Upload"]["properties"]["image"] = {"anyOf": [{"$ref": f"{prefix}{_UPLOAD_IMAGE}"}, {"type": "null"}]}
    found["Upload"]["anyOf"] = [
        {"required": [field], "properties": {field: {"type": kind}}}
        for field, kind in (("image", "object"), ("images", "array"), ("metadata", "object"))
    ]
    found["UploadPhoto"]["oneOf"] = [_given("uri"), _given("bytes")]


def _from_outside() -> set[str]:
    """The records that clients write: those of their topics, and what these are made of."""
    records = {spec.record.__name__ for spec in TOPICS if spec.record is not None and CLIENT in spec.written_by}
    return records | {"ImageRef", "QueryImage", "UploadPhoto"}


def _image_of_upload(image: Schema) -> Schema:
    only = {"type": "null", "description": "In a query only."}
    fields = image["properties"] | {"product_id": only, "box": only}
    about = "Exactly one of: an address, or the bytes in base64 (up to 1 MiB)."
    one_of = [_given("uri"), _given("bytes")]
    return {**image, "title": _UPLOAD_IMAGE, "description": about, "properties": fields, "oneOf": one_of}


def _given(field: str) -> Schema:
    """The field is there, and not null."""
    return {"required": [field], "properties": {field: {"type": "string"}}}


def _bound(schema: Schema, bounds: Schema) -> None:
    """Put the keywords where the type is: of `anyOf` with null, into the other one."""
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
    choices[0].update(bounds)


def _allow_null(record: Schema) -> None:
    """Null means not set: in every optional field, and among the values of a table."""
    required = record.get("required", [])
    for name, schema in record["properties"].items():
        if name not in required:
            _or_null(schema)
            if isinstance(values := schema.get("additionalProperties"), dict):
                _or_null(values)


def _or_null(schema: Schema) -> None:
    if isinstance(kind := schema.get("type"), str):
        schema["type"] = [kind, "null"]


def _plain(schema: Any) -> Any:
    """A copy without what only one of the two drafts, or only OpenAPI, understands."""
    if isinstance(schema, list):
        return [_plain(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: _plain(inner) for name, inner in schema.items()}
    first = copy.get("prefixItems")
    if first and copy.get("items") is False and all(element == first[0] for element in first):
        del copy["prefixItems"]
        copy["items"] = first[0]
    return copy


def plain_union(schema: Schema, *, discriminator: bool) -> Schema:
    """A record that is one of several: AsyncAPI's `discriminator` is the name of the field, OpenAPI's an object."""
    copy: Schema = _plain(schema)
    field = copy.pop("discriminator", {}).get("propertyName")
    return copy | ({"discriminator": field} if field and discriminator else {})
