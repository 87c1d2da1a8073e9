"""How the role `index` is built."""

from __future__ import annotations

import socket
import uuid

from streams.kafka.dead_letters import dead_letters
from streams.roles.index.role import IndexConfig, IndexRole
from streams.roles.index.upkeep import Wanted, clear_folder
from streams.wiring.parts import Parts, Ready, Role


async def run_index(parts: Parts, ready: Ready) -> None:
    """`catalog.items` → the shards; `search.probes` → `search.hits`."""
    config = IndexConfig(
        owner=f"{socket.gethostname()}-{uuid.uuid4().hex}",
        snapshot_seconds=parts.settings.snapshot_seconds,
        standbys=parts.settings.index_standbys,
    )
    # A folder of this process: another index worker of this machine may be building in its own.
    folder = parts.settings.data_dir.absolute() / "index-work" / config.owner
    role = IndexRole(
        config,
        store=parts.store,
        sender=parts.sender,
        dead_letter=dead_letters(parts.sender),
        settings=parts.settings,
        observer=parts.engine_of("index").observer,
        ready=lambda: ready("index"),
        in_thread=parts.in_thread,
        upkeep=Wanted(parts.settings.index_recall, parts.settings.index_types, folder),
    )
    try:
        await role.run(parts.stop)
    finally:
        await parts.in_thread(clear_folder, folder)


ROLE = Role("index", run_index)
