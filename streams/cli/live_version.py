"""What the commands of things with versions (`weft facets`, `weft shelf`) say of the one that is live."""

from __future__ import annotations

import msgspec

from streams.cli.output import print_json, say
from streams.facets.kept_versions import Live


class State(msgspec.Struct, frozen=True):
    """What `use --json` and `rollback --json` print; "" where no version is live."""

    live: str
    before: tuple[str, ...]


def tell(live: Live, *, as_json: bool) -> None:
    """One document, or a line."""
    if as_json:
        print_json(State(live.version, live.before))
    say(f"live: {live.version or 'none'}")
