"""What paints garments for the role `edit`, where the profile has a model for it."""

from __future__ import annotations

from collections.abc import Callable

from infra.settings import Settings
from models.guard import GuardedInpainter, Observe
from models.ports import Inpainter
from models.profiles import kinds
from models.profiles.profile import FAKE
from streams.wiring.models import place_of
from streams.wiring.weights import profile_of


def inpainter_of(settings: Settings, observe: Observe, urgent: Callable[[], None]) -> GuardedInpainter | None:
    """Loaded and warm; None: looks are transferred, without a model.

    Args:
        settings: of the process.
        observe: of its timings.
        urgent: called between two steps: serves what cannot wait.

    Raises:
        Fatal: the extra `edit` is not installed, or weights are missing, damaged, or do not fit.
    """
    if settings.profile == FAKE:
        return None
    part = profile_of(settings).part("editor", settings.model_cache)
    found: Inpainter | None = kinds.load("editor", part, place_of(settings))
    if found is None:
        return None
    guarded = GuardedInpainter(found, observe=observe)
    guarded.warm_up()
    guarded.give_way_to(urgent)
    return guarded
