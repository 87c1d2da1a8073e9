"""`weft models add writer ADDRESS`: the server is tried first, and a profile is written only of one that writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.profiles import kinds
from models.profiles.adding import Asked, add
from models.profiles.kinds import Place
from models.profiles.reading import find
from models.served.by_kind import writer
from models.served.options import ServerOptions
from models.served.writer import ServedWriter
from processors.errors import BadSetting, Fatal
from tests.fakes.llm_server import MODEL, LlmServer, Reply, completion


def added(cache: Path, address: str, part: str = "writer", **asked: Any) -> Any:
    return add(Asked(part, address, **{"model": MODEL, **asked}), cache, progress=lambda _: None)


def yes(_: Any) -> Reply:
    return completion("Yes, of course.")


def test_a_server_becomes_the_writer_of_a_profile(tmp_path: Path) -> None:
    """Its address, model, key's file and options; never the key."""
    key = tmp_path / "key"
    key.write_text("sk-secret-of-the-shop")
    with LlmServer(yes, key="sk-secret-of-the-shop") as fake:
        options = {"concurrency": "8", "temperature": "0.5", "guided": "vllm", "seeded": "false"}
        found = added(tmp_path, fake.base_url, key_file=key, options=options)
    assert (found.part, found.kind, found.was) == ("writer", "openai", "starter")
    assert "sk-secret" not in Path(found.file).read_text()
    part = find("own", tmp_path).part("writer", tmp_path)
    made = kinds.load("writer", part, Place(tmp_path))
    assert isinstance(made, ServedWriter)
    assert made.options.key_file == str(key)
    assert (made.options.concurrency, made.options.temperature, made.options.seeded) == (8, 0.5, False)
    assert made.grounded


def test_a_server_becomes_the_captioner_of_a_profile(tmp_path: Path) -> None:
    """It is sent a small photo first."""
    with LlmServer(yes) as fake:
        assert added(tmp_path, fake.base_url, "captioner").kind == "openai"
        assert "image_url" in str(fake.completions[0].body)


@pytest.mark.parametrize(
    ("asked", "answer", "said"),
    [
        ({"model": ""}, yes, "--model"),
        ({"model": "bigger"}, yes, f"it has {MODEL}"),
        ({"options": {"temprature": "1"}}, yes, "temprature"),
        ({"options": {"concurrency": "many"}}, yes, "concurrency"),
        ({"options": {"guided": "regex"}}, yes, "guided"),
        ({"kind": "transformers"}, yes, "--kind"),
        ({}, lambda _: Reply(body=b"<html>"), "no completion"),
        ({}, lambda _: Reply(403, b"{}"), "key"),
    ],
)
def test_what_does_not_write_changes_nothing(tmp_path: Path, asked: dict[str, Any], answer: Any, said: str) -> None:
    """A profile that would fail at the next start is not written."""
    with LlmServer(answer) as fake, pytest.raises((Fatal, BadSetting), match=said):
        added(tmp_path, fake.base_url, **asked)
    assert not (tmp_path / "profiles" / "own" / "profile.yaml").exists()


def test_the_kind_alone_is_no_server(tmp_path: Path) -> None:
    """`weft models add writer openai` names no address."""
    with pytest.raises(Fatal):
        added(tmp_path, "openai")


def test_the_profile_knows_every_option() -> None:
    """What the client takes may stand in a profile, and nothing else."""
    assert set(kinds.KINDS["writer"]["openai"].options) == set(ServerOptions.__struct_fields__)


def test_a_grammar_that_the_server_is_not_told_is_refused(tmp_path: Path) -> None:
    """WEFT_WRITER=grounded promises what only the server can hold."""
    with LlmServer(yes) as fake:
        added(tmp_path, fake.base_url)
    part = find("own", tmp_path).part("writer", tmp_path)
    with pytest.raises(BadSetting, match="guided"):
        writer(part, Place(tmp_path, grounded=True))


def test_doctor_says_what_is_wrong_with_a_server(tmp_path: Path) -> None:
    """The same look, later: the model was taken off."""
    with LlmServer(yes) as fake:
        added(tmp_path, fake.base_url)
        part = find("own", tmp_path).part("writer", tmp_path)
        assert kinds.examine("writer", part, Place(tmp_path)) == ()
        fake.models = ("another",)
        [said] = kinds.examine("writer", part, Place(tmp_path))
    assert "model not found" in said
    assert "it has another" in said
