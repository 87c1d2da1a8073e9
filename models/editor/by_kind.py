"""Editors by their kind in a profile (`models.profiles.kinds`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.ports import Inpainter
    from models.profiles.kinds import Place
    from models.profiles.profile import Part


def transfer(_part: Part, _place: Place) -> Inpainter | None:
    """No model: `processors.editing` does it."""
    return None


def diffusion(part: Part, place: Place) -> Inpainter:
    """Fashion-RAG in a folder of diffusers' layout."""
    from models.editor.diffusion_editor import DiffusionEditor

    return DiffusionEditor.load(place.path(part), device=place.device)
