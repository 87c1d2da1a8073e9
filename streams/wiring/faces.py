"""What sees faces, for the role `edit`."""

from __future__ import annotations

from infra.logs import logger
from infra.settings import Settings
from models.guard import Guarded, Observe
from models.ports import FaceDetector
from models.profiles.profile import FAKE
from models.weights import face_model
from processors.values import Detection, Pixels

log = logger("weft")


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
