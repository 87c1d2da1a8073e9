"""Captioners by their kind in a profile (`models.profiles.kinds`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from processors.errors import Fatal

if TYPE_CHECKING:
    from models.ports import Captioner
    from models.profiles.kinds import Place
    from models.profiles.profile import Part


def rules(_part: Part, _place: Place) -> Captioner:
    """No model: what is known for sure."""
    from models.captioner.by_evidence import RuleCaptioner

    return RuleCaptioner()


def writer(_part: Part, place: Place) -> Captioner:
    """The profile's writer."""
    from models.captioner.by_evidence import captioner_by

    if place.writer is None:
        raise Fatal("a captioner of the kind writer needs the writer of its profile")
    return captioner_by(place.writer())


def transformers(part: Part, place: Place) -> Captioner:
    """A vision-language model in a folder."""
    from models.captioner.vision import VisionCaptioner

    return VisionCaptioner.load(place.path(part), device=place.device)
