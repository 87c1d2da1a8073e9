"""What the documents name exists: commands and options, targets, topics, settings, metrics, modules, files, links.

And the other way round: every command, option, topic and setting that exists is written down. The commands of the
README are run in tests/integration/test_cli.py.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from infra.settings import Settings
from streams.cli.app import COMMANDS as LISTED
from streams.cli.app import app
from streams.contract import codecs
from streams.contract.topics import TOPICS
from streams.engine.message import Message

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HISTORY = {"LOG.md"}  # names what was there at the time
EVENTS = (ROOT / "docs" / "events.md").read_text()


def commands() -> dict[str, Any]:
    """Every command of `weft` by its words ("dlq list")."""
    for module in {module for module, _ in LISTED.values()}:
        importlib.import_module(f"streams.cli.{module}")

    found: dict[str, Any] = {}

    def walk(prefix: str, command: Any) -> None:
        if hasattr(command, "commands"):
            if prefix and command.invoke_without_command:  # a group that is a command by itself, as `weft captions`
                found[prefix] = command
            for name, inner in command.commands.items():
                walk(f"{prefix} {name}".strip(), inner)
        else:
            found[prefix] = command

    walk("", typer.main.get_command(app))
    return found


COMMANDS = commands()


def code(text: str) -> Iterator[str]:
    """Lines of shell blocks, and inline code."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(text, words after `weft`) of every call of `weft` on a page."""
    for text in code(page.read_text()):
        found = re.search(r"(?:^|[\s/;|(])weft ([a-z].*)", f" {text}")
        if found:
            yield text, re.sub(r"\s*[&;#].*$|\|\s.*$", "", found[1].replace("\\|", "|")).split()


def command_of(words: list[str]) -> list[str]:
    """The commands that the first words name: "topics create|list" names two; [] where they name none."""
    first = words[0]
    options = [f"{first} {second}" for second in words[1].split("|")] if len(words) > 1 else []
    nested = [name for name in options if name in COMMANDS]
    if nested:
        return nested if len(nested) == len(options) else []
    return [first] if first in COMMANDS else []


def flags_of(command: Any) -> set[str]:
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_call_of_weft_on_a_page_can_be_made(page: Path) -> None:
    """The command exists, and so does each option that is shown with it."""
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    for text, words in calls(page):
        if words[0].startswith("-") or (len(words) == 1 and words[0] in groups):
            continue
        named = command_of(words)
        assert named, f"{page.name}: `{text}` names no command"
        known = set.union(*(flags_of(COMMANDS[name]) for name in named)) | {"--help", "-h"}
        shown = {flag for word in words for flag in re.findall(r"--[a-z][a-z-]*", word)}
        assert shown <= known, f"{page.name}: `{text}` has unknown {sorted(shown - known)}"


def test_every_command_and_option_is_documented() -> None:
    """docs/cli.md names every command, and every option that is not a debugging one."""
    page = (ROOT / "docs" / "cli.md").read_text()
    documented = {name for _, words in calls(ROOT / "docs" / "cli.md") for name in command_of(words)}
    missing = sorted(set(COMMANDS) - documented)
    assert not missing, f"docs/cli.md does not show {missing}"
    options = [
        (name, parameter.opts)
        for name, command in COMMANDS.items()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden
    ]
    unnamed = [f"weft {name} {flags[0]}" for name, flags in options if not any(flag in page for flag in flags)]
    assert not unnamed, f"docs/cli.md has no {unnamed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_modules_files_and_links_exist(page: Path) -> None:
    """`make X`, `python -m a.b`, paths in code, and links to other pages."""
    if page.name in HISTORY:
        pytest.skip(f"{page.name} tells what was done and when")
    text = page.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in code(text):
        for target in re.findall(r"(?:^|[;&(] ?)make ([a-z]+)", line):
            assert target in targets, f"make {target}"
        for module in re.findall(
            r"python -m ((?:streams|models|infra|index_sync|processors|benchmarks|tests)[\w.]*)", line
        ):
            assert importlib.util.find_spec(module), module
        for path in re.findall(
            r"(?<![\w./-])((?:streams|models|infra|index_sync|processors|benchmarks|tests|docs)/[\w./-]+)", line
        ):
            assert (ROOT / path.rstrip("./")).exists() or re.search(r"\.(safetensors|png)$", path), path
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), f"link to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_on_a_page_exist(page: Path) -> None:
    """A `WEFT_…` that nothing reads is a promise that nobody keeps."""
    known = {f"WEFT_{name.upper()}" for name in Settings.model_fields}
    elsewhere = "\n".join(
        path.read_text() for room in ("infra", "streams", "tests") for path in (ROOT / room).rglob("*.py")
    )
    for name in set(re.findall(r"WEFT_[A-Z0-9_]+[A-Z0-9]", page.read_text())):
        assert name in known or f'"{name}"' in elsewhere, name


def test_the_table_of_topics_is_the_table_in_the_code() -> None:
    """Name, key and clean-up of every topic stand in docs/events.md, and no other topic does."""
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| [^|]+ \| (\w+) \|$", EVENTS, re.MULTILINE)
    table = {name: (key, cleanup) for names, key, cleanup in rows for name in re.findall(r"`([^`]+)`", names)}
    keys = {"weft.dead-letters": "original key", "weft.dead-letters.done": "letter id"}
    assert table == {spec.name: (keys.get(spec.name, spec.key), spec.cleanup) for spec in TOPICS}


def examples() -> Iterator[tuple[str, str]]:
    """(heading, JSON) of every example in docs/events.md."""
    for section in re.split(r"^## ", EVENTS, flags=re.MULTILINE)[1:]:
        for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL):
            yield section.splitlines()[0], block


def test_the_examples_of_events_decode() -> None:
    """Each JSON example is accepted by the codec of its topic."""
    found = list(examples())
    kinds = []
    for heading, block in found:
        value = block.replace("…", "x").encode()
        if heading == "Upload":
            assert codecs.decode_upload(Message("catalog.uploads", 0, 0, None, value))
        elif heading == "Caption":
            assert codecs.decode_caption(value)
        elif heading == "Query and Result" and b'"hits"' in value:
            assert codecs.decode_result(value)
        elif heading == "Query and Result":
            assert codecs.decode_query(Message("search.queries", 0, 0, None, value))
        else:
            continue
        kinds.append(heading)
    assert {"Upload", "Caption", "Query and Result"} <= set(kinds)


def test_shell_blocks_are_shell() -> None:
    """Quotes close, so that a block can be pasted."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                shlex.split(line, comments=True)
