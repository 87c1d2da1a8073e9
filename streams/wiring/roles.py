"""Every role, by its name. A new one is added to the table of topics, and as a module of its name here."""

from __future__ import annotations

from importlib import import_module

from streams.contract import topics
from streams.wiring.parts import Role


def role_named(name: str) -> Role:
    """The role of this name (`topics.EVERY`). What it is made of is imported now: a process pays for its own roles only."""
    if name not in topics.EVERY:
        raise KeyError(name)
    role: Role = import_module(f"streams.wiring.{name}").ROLE
    return role
