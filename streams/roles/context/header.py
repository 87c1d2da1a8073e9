"""The value of the header `CONTEXT`: what an item was sent again for, so that its caption waits until it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

ARTICLES, PICTURED = "articles", "pictured"
Place: TypeAlias = tuple[str, int]
"""Of a view, by its name, and a partition."""


def places_in(header: bytes | None) -> dict[Place, int]:
    """Topic and partition → offset, of the header ("0:12/mark" or "0:12/mark/0:3"); what cannot be read is none."""
    parts = (header or b"").decode("ascii", "replace").split("/")
    found: dict[Place, int] = {}
    for name, said in zip((ARTICLES, "", PICTURED), parts, strict=False):
        for part in said.split(",") if name else ():
            partition, _, offset = part.partition(":")
            if partition.isdigit() and offset.isdigit():
                found[name, int(partition)] = int(offset)
    return found


def header_of(articles: Mapping[int, int], mark: str, pictured: Mapping[int, int] | None = None) -> str:
    """The value of the header: what an item was sent again for. `mark`: a value that was not used before."""
    said = [",".join(f"{partition}:{offset}" for partition, offset in sorted(articles.items())), mark]
    if pictured:
        said.append(",".join(f"{partition}:{offset}" for partition, offset in sorted(pictured.items())))
    return "/".join(said)
