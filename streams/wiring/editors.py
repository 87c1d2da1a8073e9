"""The models of the role `edit` alone: what sees faces, and what paints garments where the profile has a model for it."""

from __future__ import annotations

from collections.abc import Callable

from infra.logs import logger
from infra.settings import Settings
from models.guard import Guarded, GuardedInpainter, Observe
from models.ports import FaceDetector, Inpainter
from models.profiles import kinds
from models.profiles.profile import FAKE
from models.weights import face_model
from processors.values import Detection, Pixels
from streams.wiring.models import place_of
from streams.wiring.weights import profile_of

log = logger("weft")


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


def face_detector(settings: Settings, observe: Observe) -> FaceDetector | None:
    """Loaded and warm; None where consent is no matter of faces, or their weights were not fetched, which is logged.

    Raises:
        Fatal: the weights are damaged.
    """
    if settings.edit_consent != "faces":
        return None
    if settings.profile == FAKE:
        from models.fakes import FakeFaceDetector

        return FakeFaceDetector()
    path = face_model.there(settings.model_cache)
    if path is None:
        log.warning(
            "edit.no_face_detector",
            advice="run `weft models pull starter`; until then every photo needs `consent: true`",
        )
        return None
    from models.detector.face_detector import CenterFace

    found = Guarded[Pixels, tuple[Detection, ...]](CenterFace.load(path), name="face detector", observe=observe)
    found.warm_up()
    return found
