"""How the role `index` is built."""

from __future__ import annotations

import socket
import uuid

from streams.kafka.dead_letters import dead_letters
from streams.roles.index.role import IndexConfig, IndexRole
from streams.wiring.parts import Parts, Ready, Role


async def run_index(parts: Parts, ready: Ready) -> None:
    """`catalog.items` → the shards; `search.probes` → `search.hits`."""
    config = IndexConfig(
        owner=f"{socket.gethostname()}-{uuid.uuid4().hex}", snapshot_seconds=parts.settings.snapshot_seconds
    )
    role = IndexRole(
        config,
        store=parts.store,
        sender=parts.sender,
        dead_letter=dead_letters(parts.sender),
        settings=parts.settings,
        observer=parts.engine_of("index").observer,
        ready=lambda: ready("index"),
        in_thread=parts.in_thread,
    )
    await role.run(parts.stop)


ROLE = Role("index", run_index)
