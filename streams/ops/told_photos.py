"""Photos that a row of JSON tells of as an upload does: {"uri": …, "role": …}, one or a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from processors.photo_roles import ROLES

_ADDRESS = ("uri", "url", "src", "path", "file")
"""Names under which the address, or the file, stands; the first that is there counts."""


def photos_in(
    cells: Mapping[str, Any], holds_photos: Callable[[str], bool]
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Cells with plain addresses in place of such photos; photo → its role; and what was left out of what they say.

    Args:
        cells: of a row.
        holds_photos: whether a column is one of photos.
    """
    plain, roles, notes = dict(cells), dict[str, str](), list[str]()
    for name, value in cells.items():
        if not holds_photos(name) or not isinstance(value, list | Mapping):
            continue
        found = []
        for address, role in _told(value if isinstance(value, list) else [value], name, notes):
            found.append(address)
            if role in ROLES:
                roles[address] = role
            elif role:
                notes.append(f"the role {role[:50]!r} of {address!r} is none of {', '.join(ROLES)}, and is left out")
        plain[name] = found
    return plain, roles, notes


def _told(value: list[Any], column: str, notes: list[str]) -> Iterator[tuple[str, str]]:
    for one in value:
        if isinstance(one, str):
            yield one, ""
            continue
        address = next((one[name] for name in _ADDRESS if one.get(name)), None) if isinstance(one, Mapping) else None
        if isinstance(address, str):
            role = one.get("role")
            yield address, "" if role is None else str(role).strip().casefold()
        else:
            notes.append(f"a photo in {column} has no {_ADDRESS[0]}, and is left out")
