"""Rewrite `models/starter/manifest.json` from the files that lie there: `python -m models.recipes.ship`.

Run it after a recipe has exported its weights; nothing that the manifest does not list is ever loaded.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from models.profiles.reading import find
from models.weights.hashes import MANIFEST, Manifest, Shipped, sha256_of, weight_files
from models.weights.starter import STARTER_FOLDER
from processors.errors import Fatal

RECIPES = {
    "attributes": "models/recipes/attributes.py",
    "composer": "models/recipes/composer.py",
    "detector": "models/recipes/detector.py",
    "encoder": "models/recipes/encoder.py",
    "facets": "models/recipes/facets.py",
    "relevance": "models/recipes/relevance.py",
    "writer": "models/recipes/writer.py",
}


def manifest(folder: Path) -> Manifest:
    """Describe every weight file below `folder`. Raises `Fatal` for a file that belongs to no artefact of the starter."""
    return _manifest(folder, weight_files(folder))


def list_run(weights: Path) -> Path:
    """List what a run exported, alone, in a manifest of the run's folder: nothing unlisted is ever loaded. Returns it."""
    _write(weights.parent, _manifest(weights.parent, [weights]))
    return weights


def _manifest(folder: Path, paths: list[Path]) -> Manifest:
    licences = {artefact.name: artefact.licence for artefact in find("starter", STARTER_FOLDER).artefacts}
    # A few numbers, no weights: no artefacts of the profile.
    licences |= dict.fromkeys(("attributes", "relevance"), "AGPL-3.0-or-later")
    licences["composer"] = "Apache-2.0"  # as the encoder on whose vectors it works
    files = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        part = name.split("/")[0].split(".")[0].split("-")[0]
        if part not in RECIPES:
            raise Fatal(f"{path} belongs to no part of the starter profile ({', '.join(RECIPES)})")
        files[name] = Shipped(sha256_of(path), path.stat().st_size, licences[part], RECIPES[part])
    return Manifest(files)


def write(folder: Path) -> Manifest:
    """Write the manifest aside and rename it."""
    described = manifest(folder)
    _write(folder, described)
    return described


def _write(folder: Path, described: Manifest) -> None:
    aside = folder / f"{MANIFEST}.partial"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
    os.replace(aside, folder / MANIFEST)  # noqa: PTH105 - over the old one, in one step


if __name__ == "__main__":
    for name, shipped in write(STARTER_FOLDER).files.items():
        print(f"{shipped.sha256[:12]}  {shipped.bytes:>10,}  {shipped.licence:<20}  {name}")
