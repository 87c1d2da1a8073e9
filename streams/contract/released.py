"""The schemas of released versions of the events, frozen under `docs/schemas/released/<version>`.

`python -m streams.contract.released` fails when the code of now and the code of a released version of the same major number would
not read each other's events: in a rolling upgrade both are at work on one topic. `--freeze` adds the version of now. Kept are
the types: the limits that `streams.contract.refined` states were held by the codecs before a schema said so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.contract.compatibility import breaking_changes, unreadable_changes
from streams.contract.schemas import API_VERSION, DOCS, schema_of, with_schema
from streams.contract.topics import BY_NAME, CLIENT

ACCEPTED = frozenset({"1.0.0 catalog.captions: $.coverage: null is new, and old readers refuse it"})
"""Changes that were decided on although old readers stumble over them, each as the sentence that would be told.

`coverage` was 1.0 of a pack in which nothing was found, which readers took for a caption that states everything. No role
reads `catalog.captions`; an old `weft captions` shows such a caption as unreadable.
"""


def folder(docs: Path, version: str = API_VERSION) -> Path:
    """Where the schemas of a version lie."""
    return docs / "schemas" / "released" / version


def incompatible(docs: Path = DOCS) -> list[str]:
    """Why code of now and of a released version would misread each other's events, as sentences."""
    found: list[str] = []
    for released in sorted(folder(docs, "").glob(f"{API_VERSION.partition('.')[0]}.*")):
        for path in sorted(released.glob("*.json")):
            found += [f"{released.name} {path.stem}: {reason}" for reason in _differences(path)]
    return [sentence for sentence in found if sentence not in ACCEPTED]


def freeze(docs: Path = DOCS) -> list[str]:
    """Keep the schemas of now as those of `API_VERSION`; returns what is wrong, and then writes nothing.

    What is released is never changed: somebody runs it.
    """
    target = folder(docs)
    files = {target / f"{topic}.json": json.dumps(schema_of(topic), indent=2) + "\n" for topic in with_schema()}
    if target.exists() and any(not path.exists() or path.read_text() != text for path, text in files.items()):
        return [f"{API_VERSION} is released, and differs from now: raise API_VERSION in streams/contract/schemas.py"]
    target.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text)
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """0: each reads the other; 1: not, or the version is frozen already."""
    parser = argparse.ArgumentParser(prog="python -m streams.contract.released", description=__doc__)
    parser.add_argument("--freeze", action="store_true", help="keep the schemas of now as released")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the docs folder")
    options = parser.parse_args(arguments)
    wrong = incompatible(options.docs) or (freeze(options.docs) if options.freeze else [])
    sys.stderr.writelines(f"{sentence}\n" for sentence in wrong)
    return 1 if wrong else 0


def _differences(path: Path) -> list[str]:
    if path.stem not in with_schema():
        return ["the topic is gone"]
    old: dict[str, Any] = json.loads(path.read_text())
    new = schema_of(path.stem)
    reasons = breaking_changes(old, new)
    # Clients take up a new field when they like; all the rest is written by one role and read by another.
    from_outside = CLIENT in BY_NAME[path.stem].written_by
    return reasons if from_outside else reasons + unreadable_changes(old, new)


if __name__ == "__main__":
    sys.exit(main())
