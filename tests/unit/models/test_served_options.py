"""Options of a server: checked by name, and the key is shown to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.served.options import KeyFile, options_of
from processors.errors import BadSetting

GOOD = {"base_url": "http://llm:8000/v1/", "model": "m"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"base_url": "ftp://llm/v1"}, "base_url"),
        ({"base_url": "http://me:secret@llm/v1"}, "base_url"),
        ({"base_url": "http://llm/v1?key=secret"}, "base_url"),
        ({"base_url": "http://llm:port/v1"}, "base_url"),
        ({"base_url": "llm:8000"}, "base_url"),
        ({"base_url": "http://my secret/v1"}, "base_url"),
        ({"base_url": "http://llm/v1\nX-Key: secret"}, "base_url"),
        ({"base_url": "http://llm\t/v1"}, "base_url"),
        ({"base_url": "http://llm\\secret/v1"}, "base_url"),
        ({"base_url": "http://llm%20x/v1"}, "base_url"),
        ({"base_url": "http://llm:0/v1"}, "base_url"),
        ({"base_url": "http://llm:99999/v1"}, "base_url"),
        ({"base_url": "http://.../v1"}, "base_url"),
        ({"base_url": f"http://{'a' * 64}/v1"}, "base_url"),
        ({"key_file": "/run/key\0"}, "key_file"),
        ({"concurrency": -1}, "concurrency"),
        ({"connect_seconds": float("nan")}, "connect_seconds"),
        ({"answer_seconds": float("inf")}, "answer_seconds"),
        ({"answer_seconds": -1.0}, "answer_seconds"),
        ({"model": ""}, "model"),
        ({"model": " "}, "model"),
        ({"concurrency": 0}, "concurrency"),
        ({"temperature": "hot"}, "temperature"),
        ({"guided": "lark"}, "guided"),
        ({"extra": {"stream": True}}, "extra"),
        ({"extra": {"n": 4}}, "extra"),
        ({"extra": "{n: 4"}, "extra"),
        ({"extra": "[4]"}, "extra"),
        ({"key_file": "key.txt"}, "key_file"),
        ({"deadline_seconds": 1.0}, "deadline_seconds"),
        ({"api_key": "secret"}, "api_key"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], named: str) -> None:
    """A sentence with the option's name, and no secret in it."""
    with pytest.raises(BadSetting) as refused:
        options_of({**GOOD, **change})
    assert named in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_address_has_one_form() -> None:
    """Two ways to write it ask the same."""
    assert options_of(GOOD).base_url == options_of({**GOOD, "base_url": " http://LLM:8000/v1 "}).base_url
    for one in (
        "https://[::1]:8/v1",
        "http://llm_1.shop.:80/a/b",
        "http://bücher.example/v1",
        "http://10.0.0.1:65535/v1",
    ):
        assert options_of({**GOOD, "base_url": one}).base_url == one


def test_extra_fields_may_be_json_in_a_text() -> None:
    """A profile's options are texts and numbers."""
    options = options_of({**GOOD, "extra": '{"chat_template_kwargs": {"enable_thinking": false}}'})
    assert options.extra == {"chat_template_kwargs": {"enable_thinking": False}}


def test_the_key_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A key that is replaced, or written late, needs no restart."""
    path = tmp_path / "key"
    key = KeyFile(str(path))
    with pytest.raises(BadSetting, match="cannot be read"):
        key.header()
    path.write_text("sk-one\n")
    assert key.header() == {"Authorization": "Bearer sk-one"}
    path.write_text("sk-other-one\n")
    assert key.header() == {"Authorization": "Bearer sk-other-one"}
    path.write_text("")  # it is just being written
    assert key.header() == {"Authorization": "Bearer sk-other-one"}
    path.write_text("sk-third")
    assert key.header() == {"Authorization": "Bearer sk-third"}
    path.write_text("sk-other-one")
    assert key.header() == {"Authorization": "Bearer sk-other-one"}
    assert "sk-" not in repr(key)
    assert key.hidden("bad key sk-other-one") == "bad key ***"


@pytest.mark.parametrize("text", ["", "two keys\n", "a\nb", "k" * 9000, "schlüssel"])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    """A line break in it would be another header."""
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(BadSetting, match="does not hold one key"):
        KeyFile(str(path)).header()


def test_what_changes_a_text_is_told_from_what_does_not() -> None:
    """Another model, sampling or form is another maker of captions; another place, key or pace is not."""
    base = options_of(GOOD).output
    for change in (
        {"model": "n"},
        {"temperature": 0.2},
        {"top_p": 0.5},
        {"max_tokens": 99},
        {"guided": "vllm"},
        {"revision": "2"},
        {"extra": {"top_k": 4}},
        {"seeded": False},
    ):
        assert options_of({**GOOD, **change}).output != base
    for change in ({"base_url": "https://other/v2"}, {"concurrency": 9}, {"retries": 0}, {"input_price": 3.0}):
        assert options_of({**GOOD, **change}).output == base
