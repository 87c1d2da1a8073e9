"""The documents that other people's tools read: AsyncAPI by its own parser, schemas in both drafts, limits as the codecs."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from processors.errors import Code, Poison
from processors.values import Colour, Evidence, Garment
from streams.contract import codecs
from streams.contract.records import Caption, Lineage, Query, QueryError, Result, Shards, Source, Upload
from streams.contract.refined import refined
from streams.contract.schemas import DOCS, published, with_schema
from streams.contract.topics import CAPTIONS, DEAD_LETTERS, QUERIES, RESULTS, TOPICS, UPLOADS
from streams.engine.message import Message
from streams.kafka.dead_letters import CODE, WITHHELD, letter_of
from tests.fixtures.asyncapi import NotHere, parse
from tests.unit.streams.kafka.test_event_headers_and_letters import failed

NAMES = {UPLOADS: "Upload", QUERIES: "Query", CAPTIONS: "Caption", RESULTS: "Result"}


@cache
def document() -> dict[str, Any]:
    """Read once it is needed: every process of the suite collects this file, and one runs it."""
    return yaml.safe_load((DOCS / "asyncapi.yaml").read_text())


def validators(topic: str) -> list[Any]:
    """The schema of a topic as docs/schemas has it (2020-12), and as the AsyncAPI document has it (draft-07)."""
    later = json.loads((DOCS / "schemas" / f"{topic}.json").read_text())
    earlier = {"$ref": f"#/components/schemas/{NAMES[topic]}", "components": document()["components"]}
    return [jsonschema.Draft202012Validator(later), jsonschema.Draft7Validator(earlier)]


@pytest.mark.slow
def test_the_official_parser_takes_the_document() -> None:
    """No error and no warning; where it cannot be run, the reason is printed."""
    try:
        found = parse(DOCS / "asyncapi.yaml")
    except NotHere as reason:
        pytest.skip(f"AsyncAPI's parser: {reason}")
    assert [one for one in found.diagnostics if int(one["severity"]) < 2] == []
    assert found.parsed


@pytest.mark.slow
def test_the_official_parser_finds_what_is_wrong(tmp_path: Any) -> None:
    """The check can fail: a discriminator as OpenAPI writes it is told."""
    broken = json.loads(json.dumps(document()))
    broken["components"]["messages"]["search_probes"]["payload"]["discriminator"] = {"propertyName": "type"}
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(broken))
    try:
        found = parse(tmp_path / "broken.yaml")
    except NotHere as reason:
        pytest.skip(f"AsyncAPI's parser: {reason}")
    assert not found.parsed
    assert any("discriminator" in str(one["path"]) for one in found.diagnostics)


@pytest.mark.parametrize("topic", with_schema())
def test_every_schema_means_the_same_in_both_drafts(topic: str) -> None:
    """No keyword that draft-07 skips or reads otherwise."""
    schema = published(topic)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert not [word for word in ('"prefixItems"', '"propertyName"', '"dependentRequired"') if word in text]


UPLOAD: dict[str, Any] = {"product_id": "a", "image": {"uri": "s3://x/y.jpg"}}
QUERY: dict[str, Any] = {"query_id": "q", "text": "red"}


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        (UPLOADS, UPLOAD),
        (UPLOADS, {**UPLOAD, "metadata": None}),
        (UPLOADS, {**UPLOAD, "image": {"uri": None, "bytes": "eHk=", "product_id": None}}),
        (UPLOADS, {**UPLOAD, "colourway": 1}),
        (QUERIES, QUERY),
        (QUERIES, {**QUERY, "image": {"product_id": "a"}}),
        (QUERIES, {"query_id": "q", "image": {"uri": "s3://x", "bytes": None}, "text": None}),
        (QUERIES, {**QUERY, "filters": None, "top_k": None, "deadline_ms": None, "min_offsets": None}),
        (QUERIES, {**QUERY, "filters": {"brand": None}, "min_offsets": {"catalog.items-0": 3}}),
        (QUERIES, {**QUERY, "text": "x" * 2000, "top_k": 1000, "deadline_ms": 600_000}),
    ],
)
def test_what_the_codec_takes_is_valid(topic: str, record: dict[str, Any]) -> None:
    """In both drafts: a client that validates before it sends is not stopped."""
    for validator in validators(topic):
        validator.validate(record)
    message = Message(topic, 0, 0, value=msgspec.json.encode(record))
    assert codecs.decode_upload(message) if topic == UPLOADS else codecs.decode_query(message)


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        (UPLOADS, {**UPLOAD, "image": {}}),
        (UPLOADS, {**UPLOAD, "image": None}),
        (UPLOADS, {**UPLOAD, "image": {"uri": None}}),
        (UPLOADS, {**UPLOAD, "image": {"uri": "s3://x", "bytes": "eHk="}}),
        (UPLOADS, {**UPLOAD, "image": {"product_id": "a"}}),
        (UPLOADS, {**UPLOAD, "image": {"uri": "x" * 4097}}),
        (UPLOADS, {**UPLOAD, "product_id": ""}),
        (UPLOADS, {**UPLOAD, "product_id": "x" * 513}),
        (QUERIES, {"query_id": "q"}),
        (QUERIES, {"query_id": "q", "text": None, "image": None}),
        (QUERIES, {"query_id": "q", "text": "  "}),
        (QUERIES, {**QUERY, "image": {"uri": "s3://x", "product_id": "a"}}),
        (QUERIES, {**QUERY, "text": "x" * 2001}),
        (QUERIES, {**QUERY, "top_k": 0}),
        (QUERIES, {**QUERY, "top_k": 1001}),
        (QUERIES, {**QUERY, "deadline_ms": 600_001}),
        (QUERIES, {**QUERY, "min_offsets": {"catalog.items-0": -1}}),
        (QUERIES, {**QUERY, "filters": {f"f{n}": ["v"] for n in range(101)}}),
        (QUERIES, {**QUERY, "filters": {"colour": ["v"] * 1001}}),
    ],
)
def test_what_the_codec_refuses_is_not_valid(topic: str, record: dict[str, Any]) -> None:
    """One-of and ranges stand in the schema, in both drafts."""
    for validator in validators(topic):
        assert not validator.is_valid(record), validator
    message = Message(topic, 0, 0, value=msgspec.json.encode(record))
    with pytest.raises(Poison):
        codecs.decode_upload(message) if topic == UPLOADS else codecs.decode_query(message)


def test_what_we_write_is_valid() -> None:
    """Boxes above all: draft-07 took `items: false` for "no elements"."""
    garment = Garment("g0", "dress", (1.0, 2.0, 30.5, 40.0), 0.9, (Colour("navy", "#1f2a44", 0.8),))
    lineage = Lineage(Source(UPLOADS, 0, 1), "", "", "", "", "0")
    error = QueryError(Code.BAD_IMAGE, "x", "image")
    records: list[tuple[str, Any]] = [
        (CAPTIONS, Caption("a", "A dress", ("#dress",), Evidence((garment,)), (), None, "llm", lineage)),
        (RESULTS, Result("q", (), False, "g", {"catalog.items-0": 1}, Shards(1, 1), 3, error, (error,))),
        (UPLOADS, msgspec.convert(UPLOAD, Upload)),
        (QUERIES, msgspec.convert(QUERY, Query)),
    ]
    for topic, record in records:
        document = json.loads(codecs.encode(record))
        for validator in validators(topic):
            validator.validate(document)
    wrong = json.loads(codecs.encode(records[0][1]))
    for box in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, "4"]):
        wrong["evidence"]["garments"][0]["box"] = box
        assert not any(validator.is_valid(wrong) for validator in validators(CAPTIONS))


def test_an_unknown_code_is_not_valid() -> None:
    """The codes of results are an enum."""
    result = Result("q", (), False, "g", {}, Shards(0, 1), 3, QueryError("bad_query", "x"))
    assert not any(validator.is_valid(json.loads(codecs.encode(result))) for validator in validators(RESULTS))


def test_a_letter_claims_no_headers_that_it_has_not() -> None:
    """The document names what a dead letter carries, and no `ce_*`: those are of the record that failed, if it had any."""
    message = document()["components"]["messages"]["weft_dead_letters"]
    named = set(message["headers"]["properties"])
    letter = letter_of(failed(Poison("x", code=Code.BAD_IMAGE)))
    assert {name for name, _ in letter.headers} == named - {WITHHELD}
    assert CODE in named
    others = [spec.name for spec in TOPICS if spec.name != DEAD_LETTERS]
    for name in others:
        headers = document()["components"]["messages"][name.replace(".", "_").replace("-", "_")]["headers"][
            "properties"
        ]
        assert {"ce_id", "ce_specversion", "ce_type", "ce_source", "content-type", "tracestate"} <= set(headers)


def test_refining_changes_nothing_that_it_was_given() -> None:
    """The types alone are compared with released versions."""
    given = {"Colour": {"properties": {"share": {"type": "number"}}}}
    before = json.dumps(given)
    assert refined(given, "#/$defs/")["Colour"]["properties"]["share"]["maximum"] == 1
    assert json.dumps(given) == before
