"""`weft models compare`: a profile that is not there is told by the argument that named it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.cli import main


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
