"""Which profile the settings name, and whether its weights are there; no model is imported for it."""

from __future__ import annotations

from infra.settings import Settings
from models.weights.profiles import PROFILES, Profile, require
from processors.errors import BadSetting

FAKE = "fake"
"""The profile of `streams.wiring.models.FakeLoader`."""


def require_weights(settings: Settings) -> None:
    """Before anything is started: the weights of the profile are there. Raises `Missing`, which says how to get them."""
    if settings.profile != FAKE:
        require(profile_of(settings), settings.model_cache)


def profile_of(settings: Settings) -> Profile:
    """The profile that `WEFT_PROFILE` names. Raises `BadSetting` where there is none of that name."""
    found = PROFILES.get(settings.profile)
    if found is None:
        raise BadSetting(f"WEFT_PROFILE is {settings.profile!r}: say {' or '.join(PROFILES)}")
    return found
