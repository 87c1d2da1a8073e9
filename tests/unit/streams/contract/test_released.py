"""Code of now and code of a released version read each other's events; a change that ends that is caught."""

import base64
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from processors.values import Attribute, Colour, Evidence, Garment, Metadata, Span, StyleExample
from streams.contract import codecs, probes, records, released, topics
from streams.contract.compatibility import breaking_changes, unreadable_changes
from streams.contract.schemas import API_VERSION, DOCS, schema_of, with_schema
from streams.engine.message import Message

EVENTS = Path(__file__).parents[4] / "tests" / "released"
VERSIONS = sorted(path.stem for path in EVENTS.glob("*.json"))
SCHEMAS = sorted((DOCS / "schemas" / "released").glob("*/*.json"))

DECODE = {
    topics.UPLOADS: lambda value: codecs.decode_upload(Message("t", 0, 0, value=value)),
    topics.ITEMS: codecs.decode_item,
    topics.CAPTIONS: codecs.decode_caption,
    topics.QUERIES: lambda value: codecs.decode_query(Message("t", 0, 0, value=value)),
    topics.RESULTS: codecs.decode_result,
    topics.PROBES: codecs.decode_probe,
    topics.HITS: codecs.decode_answer,
    topics.CONTROL: codecs.decode_generation,
}


def test_now_and_the_released_versions_read_each_other():
    """The check of `make lint`, on this tree; and there is something to check against."""
    assert released.main([]) == 0
    assert len(SCHEMAS) >= len(DECODE)


def written_then(version: str) -> list[tuple[str, bytes]]:
    """Real bytes, kept when the version was released."""
    events = json.loads((EVENTS / f"{version}.json").read_text())["events"]
    return [(topic, base64.b64decode(value)) for topic, values in events.items() for value in values]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_released_version_wrote_is_read_and_loses_nothing(version):
    """Every field of then is still there, with its value."""
    for topic, value in written_then(version):
        record = DECODE[topic](value)
        decode = msgspec.json.decode if value.startswith(b"{") else msgspec.msgpack.decode
        then, now = decode(value), msgspec.to_builtins(record, builtin_types=(bytes,))
        if topic in {topics.UPLOADS, topics.QUERIES}:  # inline bytes are base64 in JSON
            now = json.loads(codecs.encode(record))
        assert_kept(then, now, topic)


def assert_kept(then, now, path):
    if isinstance(then, dict):
        for name, value in then.items():
            assert name in now, f"{path}.{name}"
            assert_kept(value, now[name], f"{path}.{name}")
    elif isinstance(then, list):
        assert len(then) == len(now), path
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            assert_kept(one, other, f"{path}[{number}]")
    else:
        assert then == now, path


GARMENT = Garment(
    "g0", "dress", (1.0, 2.0, 3.0, 4.0), 0.9, (Colour("navy", "#1f2a44", 1.0),), {"fabric": Attribute("linen", 1.0)}
)
SOURCE = records.Source(topics.UPLOADS, 0, 1)
WRITTEN_NOW = [
    (
        topics.ITEMS,
        records.Item(
            "a", "file:///x", 8, 8, (GARMENT,), (records.View("g0", "dress", b"\0" * 8),), Metadata(price=1.5), "e", 2,
            "d", SOURCE, "9",
        ),
    ),
    (
        topics.CAPTIONS,
        records.Caption(
            "a", "A navy dress.", ("#dress",), Evidence((GARMENT,), (StyleExample("b", "x"),)),
            (Span(2, 6, "g0", "colour"),), 1.0, "llm", records.Lineage(SOURCE, "d", "e", "w", "p", "9"),
        ),
    ),
    (topics.RESULTS, records.Result("q", (records.Hit("a", 0.5, "i", "dress"),), False, "g", {}, records.Shards(1, 1), 3)),
    (topics.RESULTS, records.Result("q", (), True, "", {}, records.Shards(0, 1), 3, records.QueryError("c", "m"))),
    (topics.PROBES, probes.LookupProbe("p", "a", 1.0)),
    (topics.PROBES, probes.SearchProbe("p", b"\0" * 4, "e", 3, 1.0, {"f": ("v",)}, {}, ("a",))),
    (topics.HITS, probes.Hits("p", 0, 1, "g", 3, True, (records.Hit("a", 0.5, "i", "dress"),))),
    (topics.HITS, probes.Found("p", 0, 1, "g", 3, False)),
    (topics.CONTROL, records.Generation("c", "g", "live")),
]  # fmt: skip


@pytest.mark.parametrize(
    "path", [p for p in SCHEMAS if topics.CLIENT not in topics.BY_NAME[p.stem].written_by], ids=lambda p: p.stem
)
def test_what_is_written_now_is_read_by_the_released_version(path):
    """Held against the schema of then, which ignores fields that it does not know."""
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text()))
    found = [record for topic, record in WRITTEN_NOW if topic == path.stem]
    assert found or path.stem not in DECODE
    for record in found:
        validator.validate(json.loads(msgspec.json.encode(record)))


# ---------------------------------------------------------------- what is caught


def against(tmp_path: Path, topic: str, change) -> list[str]:
    """What is said when the released schema of `topic` was `change`d."""
    schema = schema_of(topic)
    change(schema["$defs"])
    path = released.folder(tmp_path, f"{API_VERSION.partition('.')[0]}.0.0") / f"{topic}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema))
    return released.incompatible(tmp_path)


def had_a_field(defs):
    defs["Caption"]["properties"]["colourway"] = {"type": "string"}


def did_not_require(defs):
    defs["Caption"]["required"].remove("coverage")


def required_more(defs):
    defs["Evidence"].setdefault("required", []).append("style_examples")


def had_another_type(defs):
    defs["Caption"]["properties"]["coverage"] = {"type": "string"}


def had_a_narrower_type(defs):
    defs["Caption"]["properties"]["coverage"] = {"type": "integer"}


def had_fewer_values(defs):
    defs["Caption"]["properties"]["writer"] = {"enum": ["llm"]}


def had_more_values(defs):
    defs["Caption"]["properties"]["writer"] = {"enum": ["human", "llm", "template"]}


def knew_no_null(defs):
    defs["Metadata"]["properties"]["price"] = {"type": "number"}


def knew_nothing_of_it(defs):
    del defs["Caption"]["properties"]["hashtags"]
    defs["Caption"]["required"].remove("hashtags")


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        (topics.CAPTIONS, had_a_field),
        (topics.CAPTIONS, did_not_require),
        (topics.CAPTIONS, required_more),
        (topics.CAPTIONS, had_another_type),
        (topics.CAPTIONS, had_a_narrower_type),
        (topics.CAPTIONS, had_fewer_values),
        (topics.CAPTIONS, had_more_values),
        (topics.CAPTIONS, knew_nothing_of_it),
        (topics.ITEMS, knew_no_null),
    ],
)
def test_a_change_that_ends_it_is_caught(tmp_path, topic, change):
    """Either side may be the older one: what the new code refuses, and what the old code would stumble over."""
    [sentence, *_] = against(tmp_path, topic, change)
    assert sentence.startswith(f"1.0.0 {topic}: $")


def test_a_new_kind_of_message_is_caught():
    """Readers of then know one member of the union only."""
    new = schema_of(topics.PROBES)
    old = json.loads(json.dumps(new))
    old["anyOf"] = [one for one in old["anyOf"] if not one["$ref"].endswith("LookupProbe")]
    assert unreadable_changes(old, new) == ["$: LookupProbe is new, and old readers refuse it"]
    assert breaking_changes(old, new) == []


def had_less(defs):
    del defs["Evidence"]["properties"]["style_examples"]


def took_only_long_ids(defs):
    defs["Upload"]["properties"]["product_id"] = {"type": "string", "minLength": 3}


@pytest.mark.parametrize(("topic", "change"), [(topics.CAPTIONS, had_less), (topics.UPLOADS, took_only_long_ids)])
def test_what_harms_nobody_passes(tmp_path, topic, change):
    """Old readers ignore a new optional field; what clients may send can become wider, for old clients do not send it."""
    assert against(tmp_path, topic, change) == []


def test_a_topic_that_is_gone_is_caught(tmp_path):
    """Its readers wait for ever."""
    path = released.folder(tmp_path, "1.0.0") / "catalog.gone.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert released.incompatible(tmp_path) == ["1.0.0 catalog.gone: the topic is gone"]


def test_another_major_number_may_break(tmp_path):
    """That is what it is for: then old and new never share a topic."""
    path = released.folder(tmp_path, "0.9.0") / "catalog.gone.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert released.incompatible(tmp_path) == []


def test_what_is_released_stays_as_it_is(tmp_path):
    """Freezing twice is nothing new; freezing something else under the same number is refused, and writes nothing."""
    assert released.main(["--freeze", "--docs", str(tmp_path)]) == 0
    assert released.main(["--freeze", "--docs", str(tmp_path)]) == 0
    path = released.folder(tmp_path) / f"{topics.CAPTIONS}.json"
    assert {file.stem for file in path.parent.iterdir()} == set(with_schema())
    schema = json.loads(path.read_text())
    schema["description"] = "other words"
    path.write_text(json.dumps(schema))
    assert released.main(["--freeze", "--docs", str(tmp_path)]) == 1
    assert json.loads(path.read_text()) == schema
