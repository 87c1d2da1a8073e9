"""docs/models/servers.md says of each option what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from models.profiles.kinds import KINDS
from models.served import answers, breaker, client
from models.served.options import Guided, ServerOptions, options_of

PAGE = (Path(__file__).parents[3] / "docs" / "models" / "servers.md").read_text()


def test_the_table_of_options_is_the_one_of_the_code() -> None:
    """Every option, in the order of the code, with its default; and which are a writer's only."""
    part = PAGE.split("<!-- options:")[1]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", part, re.MULTILINE)
    defaults = msgspec.structs.asdict(options_of({"base_url": "http://x/v1", "model": "m"}))
    assert [name for name, _, _ in rows] == list(ServerOptions.__struct_fields__)
    for name, default, meaning in rows:
        if name not in ("base_url", "model"):
            value = defaults[name]
            said = str(value).lower() if isinstance(value, bool) else str(value)
            assert default == (said or '""'), name
        assert ("writers only" in meaning) is (name not in KINDS["captioner"]["openai"].options), name


def test_every_way_to_hold_an_answer_is_told() -> None:
    """A row for each value of `guided`."""
    told = re.findall(r"^\| ([\w.-]+) \| [^|]* \| [^|]* \| [^|]* \|$", PAGE.split("## Holding")[1], re.MULTILINE)
    assert set(Guided.__args__) <= set(told)


def test_its_figures_are_those_of_the_code() -> None:
    """Limits, and how long a server is left alone."""
    assert (answers.MOST_BYTES, client.MOST_HEADERS, client.LONGEST_HEADER) == (2**20, 64, 8190)
    assert (breaker.MOST_FAILURES, breaker.FIRST_PAUSE_S, breaker.LONGEST_PAUSE_S, breaker.LASTING_PAUSE_S) == (
        5,
        2,
        60,
        15,
    )
    for said in ("1 MB is read", "64 of 8 KB", "After five failed", "after 2, 4, … 60 s (15 s"):
        assert said in PAGE
