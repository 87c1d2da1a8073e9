"""Writers by their kind in a profile (`models.profiles.kinds`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.weights.starter import resolve

if TYPE_CHECKING:
    from models.ports import Storyteller, Writer
    from models.profiles.kinds import Place
    from models.profiles.profile import Part
    from models.writer.blip_writer import BlipWriter
    from models.writer.hf_writer import HfWriter

ADAPTER = "writer.safetensors"
"""What a run of `weft train writer` leaves."""


def starter(_part: Part, place: Place) -> HfWriter:
    """SmolLM2 with our adapter. Its base is read, and checked, only when it is rounded."""
    paths = resolve(place.cache, ("writer",))
    return _local(paths.writer_base, paths.writer_adapter, place)


def trained(part: Part, place: Place) -> HfWriter:
    """The same language model with the adapter of a run of `weft train writer`."""
    return _local(resolve(place.cache, ()).writer_base, place.path(part) / ADAPTER, place)


def transformers(part: Part, place: Place) -> HfWriter:
    """An instruct model in a folder, its linear layers in NF4."""
    return _local(place.path(part), None, place)


def blip(part: Part, place: Place) -> BlipWriter:
    """BLIP in a folder, which writes from pixels."""
    from models.writer.blip_writer import TEMPERATURE, BlipWriter

    view, temperature = part.options.get("view", "photo"), part.options.get("temperature", TEMPERATURE)
    return BlipWriter.load(place.path(part), device=place.device, view=view, temperature=temperature)


def rules(_part: Part, _place: Place) -> Writer:
    """No model."""
    from models.writer.by_rule import RuleWriter

    return RuleWriter()


def stories(adapter: Path, place: Place) -> Storyteller:
    """SmolLM2 with the adapter of a run of `weft train writer --recipe context`. Raises `Fatal`: it is missing, damaged or another's."""
    from models.writer.story_writer import StoryWriter

    base = resolve(place.cache, ()).writer_base
    return StoryWriter.load(base, adapter, device=place.device, choices=place.measured)


def _local(base: Path, adapter: Path | None, place: Place) -> HfWriter:
    from models.writer.hf_writer import HfWriter

    return HfWriter.load(
        base,
        adapter,
        device=place.device,
        batch=place.batch,
        choices=place.measured,
        grounded=place.grounded,
    )
