"""What `weft models show` tells of a profile, and `weft doctor` of the one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from models.profiles.kinds import KINDS, notes
from models.profiles.profile import Profile


class ShownPart(msgspec.Struct, frozen=True):
    """A part as it serves. `profile`: whose file names it; `about`: what its kind is."""

    part: str
    kind: str
    profile: str
    where: str
    sha256: str
    options: Mapping[str, Any]
    about: str
    licence: str
    why: str
    source: str


class ShownProfile(msgspec.Struct, frozen=True):
    """What `weft models show --json` prints."""

    name: str
    called: str
    file: str
    extends: str
    about: str
    parts: tuple[ShownPart, ...]
    notes: tuple[str, ...]


def shown(profile: Profile, cache: Path) -> ShownProfile:
    """The parts that serve now, and what follows from their company."""
    parts = []
    for name in profile.parts:
        part = profile.part(name, cache)
        about = KINDS[name][part.kind].about
        where = part.path or ", ".join(part.needs)
        parts.append(
            ShownPart(
                name,
                part.kind,
                part.profile,
                where,
                part.sha256,
                part.options,
                about,
                part.licence,
                part.why,
                part.source,
            )
        )
    return ShownProfile(
        profile.name, profile.called, profile.file, profile.extends, profile.about, tuple(parts), notes(profile, cache)
    )
