"""Every role, in the order in which a record passes them. A new one is added here, and in the table of topics."""

from __future__ import annotations

from streams.wiring import caption, compose, enrich, index
from streams.wiring.parts import Role

ROLES: tuple[Role, ...] = (enrich.ROLE, caption.ROLE, index.ROLE, compose.ROLE)
BY_NAME: dict[str, Role] = {role.name: role for role in ROLES}
"""Read-only: the roles by their names."""
