"""docs/settings.md, written from `Settings`: `python -m infra.settings` writes it, `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path, PurePath
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

Every setting is an environment variable, read once when a command starts. This page is written from
`infra/settings.py` by `python -m infra.settings`; do not edit it.

Lists are JSON: `WEFT_ALLOWED_HOSTS='["images.example.com", "*.cdn.example.com", "shop.example.com:8443"]'`; and so are
tables: `WEFT_TOPIC_NAMES='{"catalog.uploads": "shop.photos"}'`.
A variable that is set to nothing counts as not set. Numbers have an end: seconds up to 1,000,000, hours and days likewise.
Secrets are never logged. `WEFT_DATA_DIR` relative means relative to where the command is started.

| variable | kind | default | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    from infra.settings import Settings

    rows = [_row(f"WEFT_{name.upper()}", field) for name, field in Settings.model_fields.items()]
    return _HEAD + "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say whether it is current (exit status 1: it is not)."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m infra.settings [--check]\n")
        return 2
    if not arguments:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text("utf-8") == page():
        return 0
    sys.stderr.write(f"docs/{PAGE.name} is not current: run `python -m infra.settings`\n")
    return 1


def _row(variable: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{variable}` | {_kind(field.annotation)} | {_default(field.default)} | {meaning} |"


def _kind(annotation: Any) -> str:
    if annotation is SecretStr:
        return "secret"
    text = (
        annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else str(annotation)
    )
    for long, short in (("pathlib.Path", "Path"), (" | None", ""), ("typing.", ""), ("NoneType", "")):
        text = text.replace(long, short)
    return {
        "str": "text",
        "int": "integer",
        "float": "number",
        "bool": "true/false",
        "Path": "path",
        "tuple[str, ...]": "list of text",
        "tuple[Path, ...]": "list of paths",
        "dict[str, str]": "table",
    }.get(text, text)


def _default(value: Any) -> str:
    if value is None or value in ("", (), {}) or isinstance(value, SecretStr):
        return "empty"
    if isinstance(value, PurePath):
        home = Path.home()
        return f"`~/{value.relative_to(home)}`" if value.is_relative_to(home) else f"`{value}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
