"""The models as `weft eval` measures them: the profile's own, but a detector that keeps nearly everything it sees."""

from __future__ import annotations

from infra.settings import Settings
from models.guard import Guarded, GuardedWriter, ignore
from models.ports import Detector
from models.weights.profiles import PROFILES, STARTER, Artefact, resolve, shipped_path
from processors.attributes import Calibration, Calibrations
from processors.errors import Fatal
from processors.values import Detection, Pixels
from streams.wiring.models import Models, calibrations

UNSURE = 0.001
"""The integral of average precision wants every detection, however unsure."""
SUPPRESSION = 0.6
"""As served (MODELS.md): of two boxes of one class that overlap more, the surer one stays."""


def models_of(settings: Settings) -> Models:
    """The serving models of the profile."""
    return Models(settings, lambda _name: ignore)


def unsure_detector(settings: Settings) -> Guarded[Pixels, tuple[Detection, ...]]:
    """The profile's detector with a confidence near zero, and without the suppression across classes."""
    if settings.profile == "fake":
        from models.fakes import FakeDetector

        return Guarded(FakeDetector(), name="detector")
    from models.device import choose, use_threads
    from models.weights.hashes import check_weights
    from models.yolo_detector import YoloDetector

    path = shipped_path(_artefact(settings.profile, "detector").source)
    check_weights(path)
    use_threads(settings.threads)
    detector: Detector = YoloDetector.load(
        path, confidence=UNSURE, iou=SUPPRESSION, duplicate_iou=1.0, device=choose(settings.device)
    )
    return Guarded(detector, name="detector")


def calibration_of(settings: Settings, encoder: str) -> Calibration | Calibrations:
    """How the role `caption` counts votes on vectors of `encoder` (`streams.wiring.caption`)."""
    found = calibrations(settings)
    return found if found.fits(encoder) else found.default


def base_writer(settings: Settings) -> GuardedWriter:
    """The starter's language model without our adapter. Raises `Fatal` for a profile whose writer has none."""
    if settings.profile != STARTER.name:
        raise Fatal(f"the writer of the profile {settings.profile!r} has no adapter of ours: --base is for the starter")
    from models.device import choose, use_threads
    from models.hf_writer import HfWriter

    use_threads(settings.threads)
    base = resolve(STARTER, settings.model_cache).writer_base
    return GuardedWriter(HfWriter.load(base, None, device=choose(settings.device)))


def _artefact(profile: str, name: str) -> Artefact:
    if profile not in PROFILES:
        raise Fatal(f"WEFT_PROFILE: there is no profile {profile!r}; there are {', '.join(PROFILES)}")
    found = next((a for a in PROFILES[profile].artefacts if a.name == name and a.kind == "package"), None)
    if found is None:
        raise Fatal(f"the profile {profile!r} ships no {name} of its own")
    return found
