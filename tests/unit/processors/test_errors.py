"""The codes: those that are raised, those of the schema and those of the document are the same."""

import json
import re
from pathlib import Path

from processors.errors import RESULT_CODES, Code, Poison

DOCS = Path(__file__).parents[3] / "docs"


def documented() -> dict[str, str]:
    """Code → where it may stand, of the table in docs/events.md."""
    section = (DOCS / "events.md").read_text().partition("\n## Codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| [^|]+ \|$", section, re.MULTILINE)
    return dict(rows)


def test_the_documented_codes_are_the_real_ones():
    """Each code has its row, in the order of the enum, and no row is of a code that is gone."""
    assert list(documented()) == [code.value for code in Code]


def test_the_document_says_which_codes_a_result_has():
    """And which only dead letters have."""
    assert {name for name, where in documented().items() if "results" in where} == set(RESULT_CODES)


def test_the_schema_lists_the_codes_of_results():
    """A generator of clients finds them there."""
    schema = json.loads((DOCS / "schemas" / "search.results.json").read_text())
    assert schema["$defs"]["QueryError"]["properties"]["code"]["enum"] == list(RESULT_CODES)


def test_poison_carries_its_code():
    """Beside the sentence and the field; without one it is plainly invalid."""
    assert Poison("x", field="image", code=Code.BAD_IMAGE).code == "bad_image"
    assert Poison("x").code is Code.INVALID
