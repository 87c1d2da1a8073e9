"""The generated schemas and documents, and the check that a change breaks nobody."""

import json
from copy import deepcopy
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from streams.contract import schemas
from streams.contract.compatibility import breaking_changes
from streams.contract.records import ImageRef, Query, Upload
from streams.contract.topics import TOPICS, UPLOADS


def test_the_committed_documents_are_up_to_date():
    """`python -m streams.contract.schemas --check` passes on this tree."""
    assert schemas.main(["--check"]) == 0


@pytest.mark.parametrize("topic", sorted(schemas.with_schema()))
def test_every_schema_is_a_schema(topic):
    """Valid JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schemas.schema_of(topic))


def test_records_conform_to_their_schema():
    """What we write validates; what EVENTS.md shows validates; a missing field does not."""
    validator = jsonschema.Draft202012Validator(schemas.schema_of(UPLOADS))
    validator.validate(json.loads(msgspec.json.encode(Upload("a", ImageRef(bytes=b"x")))))
    validator.validate({"product_id": "sku-1", "image": {"uri": "s3://x"}, "metadata": {"price": 79.0}, "extra": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"image": {"uri": "s3://x"}})
    shown = jsonschema.Draft202012Validator(schemas.published(UPLOADS))
    shown.validate({"product_id": "sku-1", "metadata": {"brand": None}, "version": "2026-01-31T12:00:00Z"})
    shown.validate({"product_id": "sku-1", "images": [{"uri": "s3://x", "role": "back"}, {"bytes": "aGk="}]})
    for wrong in ({}, {"images": []}, {"images": [{"role": "back"}]}, {"image": {"product_id": "sku-2"}}):
        with pytest.raises(jsonschema.ValidationError):
            shown.validate({"product_id": "sku-1", **wrong})


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    """All topics are channels, and no $ref dangles."""
    document = yaml.safe_load(schemas.render()["asyncapi.yaml"])
    assert {channel["address"] for channel in document["channels"].values()} == {spec.name for spec in TOPICS}

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def changed(change):
    """The Query schema before, and after `change` was made to its definition."""
    before = schemas.schema_of("search.queries")
    after = deepcopy(before)
    change(after["$defs"]["Query"], after["$defs"])
    return breaking_changes(before, after)


def remove(query, _):
    del query["properties"]["text"]


def require(query, _):
    query["required"].append("text")


def require_new(query, _):
    query["properties"]["shop"] = {"type": "string"}
    query["required"].append("shop")


def narrow_type(query, _):
    query["properties"]["text"] = {"type": "string"}


def change_type(query, _):
    query["properties"]["top_k"] = {"type": "string"}


def narrow_values(query, _):
    query["properties"]["query_id"] = {"enum": ["a", "b"]}


def narrow_bound(query, _):
    query["properties"]["top_k"]["maximum"] = 100


def narrow_elements(query, _):
    query["properties"]["filters"]["additionalProperties"]["anyOf"][0]["items"] = {"type": "integer"}


def narrow_nested(_, definitions):
    del definitions["ImageRef"]["properties"]["bytes"]


def close(query, _):
    query["additionalProperties"] = False


@pytest.mark.parametrize(
    "change",
    [
        remove,
        require,
        require_new,
        narrow_type,
        change_type,
        narrow_values,
        narrow_bound,
        narrow_elements,
        narrow_nested,
        close,
    ],
)
def test_breaking_changes_are_found(change):
    """Removed, newly required, or narrowed: somebody's message would be refused, or somebody's field be gone."""
    assert changed(change)


def add_optional(query, _):
    query["properties"]["branch_of_trade"] = {"type": "string", "default": ""}


def widen(query, _):
    query["properties"]["top_k"] = {"type": "number"}


def allow_null(query, _):
    query["properties"]["query_id"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def relax(query, _):
    query["required"].clear()


def describe(query, _):
    query["description"] = "other words"


@pytest.mark.parametrize("change", [add_optional, widen, allow_null, relax, describe])
def test_harmless_changes_pass(change):
    """New optional fields and wider types break nobody."""
    assert changed(change) == []


def test_every_schema_is_compatible_with_itself():
    """Recursion, unions and tags included."""
    for topic in schemas.with_schema():
        assert breaking_changes(schemas.schema_of(topic), schemas.schema_of(topic)) == []


def test_a_breaking_change_is_not_written(tmp_path: Path):
    """The generator refuses to overwrite a committed schema with one that breaks it, unless told to."""
    assert schemas.main(["--docs", str(tmp_path)]) == 0
    path = tmp_path / "schemas" / "search.queries.json"
    committed = json.loads(path.read_text())
    committed["$defs"]["Query"]["properties"]["branch"] = {"type": "string"}
    path.write_text(json.dumps(committed))
    assert schemas.main(["--docs", str(tmp_path)]) == 1
    assert '"branch"' in path.read_text()
    assert schemas.main(["--docs", str(tmp_path), "--allow-breaking"]) == 0
    assert '"branch"' not in path.read_text()
    assert schemas.main(["--docs", str(tmp_path), "--check"]) == 0
    assert msgspec.json.decode(path.read_bytes())["$defs"]["Query"]["title"] == Query.__name__
