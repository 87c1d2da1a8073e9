"""`weft models compare`: a profile that is not there is told by the argument that named it."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from processors.errors import Fatal
from streams.cli import main
from streams.cli.compare import _require_answers


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch"], "PROFILE: there is no profile 'nosuch'"),
        (["fake", "--with", "nosuch"], "--with: there is no profile 'nosuch'"),
    ],
)
def test_the_argument_is_named(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The command has no --profile, and said so of both."""
    monkeypatch.setenv("WEFT_MODEL_CACHE", str(tmp_path))
    rest = ["--products", str(tmp_path / "products.jsonl"), "--images", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["weft", "models", "compare", *arguments, *rest])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(told)
    assert "--profile" not in said


def test_a_writer_that_does_not_answer_is_not_measured(
    tmp_path: Path,
) -> None:
    """Rules wrote for it, and their captions a second were told as the server's, "better"."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        options = {"base_url": f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "model": "m", "retries": 0}
        chosen = SimpleNamespace(profile=str(tmp_path / "profile.yaml"), writer="auto", model_cache=tmp_path)
        said = {"name": "x", "extends": "starter", "parts": {"writer": {"kind": "openai", "options": options}}}
        (tmp_path / "profile.yaml").write_text(yaml.safe_dump(said))
        with pytest.raises(Fatal, match=r"its writer does not answer.*connect"):
            _require_answers(chosen)  # type: ignore[arg-type]
        chosen.writer = "template"
        _require_answers(chosen)  # type: ignore[arg-type]
