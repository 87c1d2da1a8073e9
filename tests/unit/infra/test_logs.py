"""Logs: where they go, in which form, and that no secret is in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from infra.logs import configure, logger
from infra.secrets import redacted

SIGNED = (
    "https://s3.test/bucket/a.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F2026&X-Amz-Expires=300"
    "&X-Amz-Signature=0123456789abcdef"
)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    """Logging is the process's own: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    names = ("urllib3", "aiokafka", "asyncio", "PIL", "faust", "mode")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers, root.level = handlers, level
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_with_level_time_and_fields() -> None:
    """One JSON document a line, with the event's own fields."""
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    structlog.get_logger("weft.test").info("batch done", items=8, tokens=120)
    (line,) = _lines(stream)
    assert (line["event"], line["level"], line["items"], line["tokens"]) == ("batch done", "info", 8, 120)
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_librarys_logs_go_the_same_way() -> None:
    """A library's message has the same form; what is below the level is not written."""
    stream = io.StringIO()
    configure("warning", "json", stream=stream)
    logging.getLogger("some.library").warning("slow: %s", "broker")
    logging.getLogger("some.library").info("chatter")
    structlog.get_logger().info("chatter")
    assert [(line["event"], line["logger"]) for line in _lines(stream)] == [("slow: broker", "some.library")]


def test_console_is_for_people() -> None:
    """The console form is no JSON."""
    stream = io.StringIO()
    configure("info", "console", stream=stream)
    structlog.get_logger().info("ready", role="enrich")
    assert "ready" in stream.getvalue()
    assert "role=enrich" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_no_secret_in_any_place() -> None:
    """Signed addresses, passwords and keys are masked in events, fields, nested fields, arguments and tracebacks."""
    stream = io.StringIO()
    configure("debug", "json", stream=stream)
    log = structlog.get_logger()
    log.info("fetched %s", SIGNED)
    log.info("connect", kafka_sasl_password="hunter2", options={"s3_secret_key": "hunter2", "urls": [SIGNED]})
    log.info("broker", url="kafka://me:hunter2@broker:9092", header="Authorization: AWS4-HMAC hunter2")
    logging.getLogger("lib").warning("PUT %s failed, password=hunter2", SIGNED)
    try:
        raise ValueError(f"cannot read {SIGNED} with secret='hunter2'")
    except ValueError as error:
        log.exception("failed", cause=error)
        logging.getLogger("lib").exception("failed")
    text = stream.getvalue()
    assert "ValueError" in text
    assert not [secret for secret in ("hunter2", "0123456789abcdef", "AKIAEXAMPLE") if secret in text]
    assert "X-Amz-Expires=300" in text, "what is no secret stays readable"


def test_redaction_keeps_plain_text() -> None:
    """Ordinary messages, addresses and counts are not touched."""
    for text in (
        "navy linen dress",
        "https://shop.test/a.jpg?size=20",
        "key images/ab/cd.jpg",
        "12 tokens",
        "a@b.test",
    ):
        assert redacted(text) == text


@given(st.text(st.characters(codec="ascii", exclude_characters="&\"'<>", categories=["L", "N", "P"]), min_size=8))
def test_a_signature_never_survives(secret: str) -> None:
    """Whatever the signature is made of, it is gone."""
    assert f"Signature={secret}" not in redacted(f"GET https://s3.test/a?X-Amz-Signature={secret} failed")


def test_what_nobody_set_up_leaves_stdout_to_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """A tool's warnings go to stderr, with secrets taken out: its stdout is read by other programs."""
    structlog.reset_defaults()
    logger("weft.client").warning("skipped: not a caption", address=SIGNED)
    logger("weft.client").debug("chatter")
    out, err = capsys.readouterr()
    assert out == ""
    assert "skipped: not a caption" in err
    assert "0123456789abcdef" not in err
    assert "chatter" not in err
