"""JSON Schemas and the AsyncAPI document of every topic, generated from the records.

`python -m streams.contract.schemas` writes `docs/schemas/*.json` and `docs/asyncapi.yaml`, and refuses a change that would break
a reader or writer of today (`--allow-breaking` says that it is meant). `--check` only compares, for CI.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from processors.errors import Code
from streams.contract.cloudevents import STRUCTURED
from streams.contract.compatibility import breaking_changes
from streams.contract.refined import plain_union, refined
from streams.contract.topics import BY_NAME, CLIENT, EVERY, TOPICS, TopicSpec, read_by, written_by

API_VERSION = "1.0.0"  # of the events, not of the code
DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCS = Path(__file__).parents[2] / "docs"

_HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": "Id of the event; derived from topic, partition and offset when absent.",
    "ce_type": "Kind of the event.",
    "ce_source": "Who made it.",
    "ce_time": "RFC 3339, UTC.",
    "traceparent": "W3C trace context.",
    "tracestate": "W3C trace context; goes with traceparent.",
}
_ALSO = f", or {STRUCTURED}: then the value is the whole event, its record under `data` or `data_base64`."
_DEFS, _COMPONENTS = "#/$defs/", "#/components/schemas/"
_ERROR_HEADERS = {
    "topic": "Where the record lay, as it is called in events.md.",
    "partition": "Its partition there.",
    "offset": "Its offset there.",
    "stage": "The stage of the role that refused it.",
    "exception.class.name": "The class of the cause, in the place where Kafka Connect has it.",
    "exception.message": "The field and the cause, for a person.",
    "attempts": "How often it was tried.",
    "timestamp": "The timestamp of the record itself, in milliseconds since 1970.",
}


def with_schema() -> tuple[str, ...]:
    """The topics whose values have a schema: all but those of raw bytes."""
    return tuple(spec.name for spec in TOPICS if spec.record is not None)


def schema_of(topic: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the values of a topic, by the types of its records.

    It is what a reader of another version stumbles over. Bytes in MessagePack records are shown as base64.
    """
    return _schema_of(topic, refine=False)


def published(topic: str) -> dict[str, Any]:
    """The same with ranges, one-of and nulls, as it is written to docs/schemas (`streams.contract.refined`)."""
    return _schema_of(topic, refine=True)


def _schema_of(topic: str, *, refine: bool) -> dict[str, Any]:
    spec = BY_NAME[topic]
    (schema,), components = msgspec.json.schema_components([spec.record], ref_template=f"{_DEFS}{{name}}")
    if refine:
        schema, components = plain_union(schema, discriminator=False), refined(components, _DEFS)
    return {
        "$schema": DIALECT,
        "$id": f"weft:{topic}",
        "description": spec.summary,
        **schema,
        "$defs": {name: components[name] for name in sorted(components)},
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document of the system."""
    _, components = msgspec.json.schema_components(
        [spec.record for spec in TOPICS if spec.record is not None], ref_template=f"{_COMPONENTS}{{name}}"
    )
    components = refined(components, _COMPONENTS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Weft",
            "version": API_VERSION,
            "description": "CloudEvents 1.0 in Kafka binary mode, on input in structured mode too; every header is optional on input. "
            "A null value is a deletion. weft.dead-letters holds the records that failed, with the headers they came with.",
            "license": {"name": "AGPL-3.0-or-later"},
        },
        "defaultContentType": "application/json",
        "channels": {_name(spec.name): _channel(spec) for spec in TOPICS},
        "operations": {
            f"{role}_{action}_{_name(topic)}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{_name(topic)}"},
                "summary": f"{role} {'publishes to' if action == 'send' else 'consumes'} {topic}",
            }
            for role in EVERY
            for action, names in (("send", written_by(role)), ("receive", read_by(role)))
            for topic in names
        },
        "components": {
            "messages": {_name(spec.name): _message(spec) for spec in TOPICS},
            "schemas": {name: components[name] for name in sorted(components)},
        },
    }


def render() -> dict[str, str]:
    """Every generated file: path below `docs`, and its text."""
    files = {f"schemas/{topic}.json": json.dumps(published(topic), indent=2) + "\n" for topic in with_schema()}
    return {**files, "asyncapi.yaml": _yaml(asyncapi())}


def breaking(docs: Path) -> list[str]:
    """How the records of now would break those who rely on the committed schemas, as sentences."""
    found: list[str] = []
    for topic in with_schema():
        path = docs / "schemas" / f"{topic}.json"
        if path.exists():
            found += [
                f"{topic}: {change}" for change in breaking_changes(json.loads(path.read_text()), published(topic))
            ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """0: written, or up to date; 1: out of date, or a breaking change."""
    parser = argparse.ArgumentParser(prog="python -m streams.contract.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the files are out of date")
    parser.add_argument("--allow-breaking", action="store_true", help="the breaking change is meant")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the docs folder")
    options = parser.parse_args(arguments)
    docs: Path = options.docs
    if not options.allow_breaking and (changes := breaking(docs)):
        _say("breaking changes:", *(f"  {change}" for change in changes))
        return 1
    files = render()
    stale = [name for name, text in files.items() if not (docs / name).exists() or (docs / name).read_text() != text]
    if options.check:
        _say(*(f"docs/{name} is out of date: run `python -m streams.contract.schemas`" for name in stale))
        return 1 if stale else 0
    for name in stale:
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
        _say(f"wrote docs/{name}")
    return 0


# ---------------------------------------------------------------- inside


def _say(*lines: str) -> None:
    sys.stderr.writelines(f"{line}\n" for line in lines)


def _name(topic: str) -> str:
    return topic.replace(".", "_").replace("-", "_")


def _channel(spec: TopicSpec) -> dict[str, Any]:
    policy = {"cleanup.policy": [spec.cleanup]}
    kafka: dict[str, Any] = {"topic": spec.name, "topicConfiguration": policy, "bindingVersion": "0.5.0"}
    if spec.partitions is not None:
        kafka["partitions"] = spec.partitions
    return {
        "address": spec.name,
        "messages": {_name(spec.name): {"$ref": f"#/components/messages/{_name(spec.name)}"}},
        "bindings": {"kafka": kafka},
    }


def _message(spec: TopicSpec) -> dict[str, Any]:
    headers = _HEADERS | {"content-type": f"{spec.content_type}{_ALSO if CLIENT in spec.written_by else ''}"}
    message: dict[str, Any] = {
        "name": spec.event_type,
        "contentType": spec.content_type,
        "summary": spec.summary,
    }
    if spec.record is not None:
        (payload,), _ = msgspec.json.schema_components([spec.record], ref_template=f"{_COMPONENTS}{{name}}")
        payload = plain_union(payload, discriminator=True)
        message["payload"] = {"anyOf": [payload, {"type": "null"}]} if spec.tombstones else payload
    else:
        # A letter is the record that failed, with that record's own headers: no event of ours, and no claim to be one.
        headers = {f"__connect.errors.{name}": text for name, text in _ERROR_HEADERS.items()}
        headers |= {
            "weft_code": f"One of: {', '.join(code.value for code in Code)}.",
            "weft_withheld": "What of the record is not shown.",
        }
    key = {"type": "string", "description": spec.key}
    return {
        **message,
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in headers.items()},
        },
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Repeats instead of `&anchors`, which some readers do not know."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    text = yaml.dump(document, Dumper=Plain, sort_keys=False, allow_unicode=True, width=120)
    return f"# Generated by `python -m streams.contract.schemas`; do not edit.\n{text}"


if __name__ == "__main__":
    sys.exit(main())
