"""docs/clusters.md: the rights that it lists are those that the roles need, and that `weft doctor` asks for."""

from __future__ import annotations

import re
from pathlib import Path

from streams.contract.topics import ROLES, TOPICS
from streams.kafka.names import GROUPS
from streams.kafka.rights import _needed

PAGE = (Path(__file__).parents[3] / "docs" / "clusters.md").read_text()


def test_the_table_of_rights_is_what_the_roles_need() -> None:
    """Each topic with who reads and who writes it, each group with its role; no more and no less."""
    rows = re.findall(r"^\| (group )?`([^`]+)` \| ([^|]*)\| ([^|]*)\|$", PAGE, re.MULTILINE)
    table = {
        (bool(group), name): tuple({role for role in cell.strip().split(", ") if role} for cell in (read, write))
        for group, name, read, write in rows
    }
    roles = set(ROLES)
    wanted: dict[tuple[bool, str], tuple[set[str], ...]] = {
        (False, spec.name): (roles & set(spec.read_by), roles & set(spec.written_by))
        for spec in TOPICS
        if _needed(spec)
    }
    wanted |= {(True, group): ({group.removeprefix("weft-")}, set()) for group in GROUPS}
    assert table == wanted
    assert {group.removeprefix("weft-") for group in GROUPS} == roles
