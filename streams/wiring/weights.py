"""What can be told of settings before anything is started: names, rules, the profile and its weights; no model is imported for it."""

from __future__ import annotations

from infra.settings import Settings
from models.weights.profiles import PROFILES, Profile, require
from processors.errors import BadSetting
from processors.policies import policies_of
from streams.roles.caption import rules

FAKE = "fake"
"""The profile of `streams.wiring.models.FakeLoader`."""


def require_weights(settings: Settings) -> None:
    """Before anything is started: `check_settings`, and the weights of the profile are there. Raises `Missing`, which says how to get them."""
    check_settings(settings)
    if settings.profile != FAKE:
        require(profile_of(settings), settings.model_cache)


def check_settings(settings: Settings) -> None:
    """Refuse what a role would refuse once it is wired: a stack would start it anew for ever.

    Raises:
        BadSetting: names the setting.
    """
    policies_of(settings.facet_policy)
    rules.load(settings.hold_rules)


def profile_of(settings: Settings) -> Profile:
    """The profile that `WEFT_PROFILE` names. Raises `BadSetting` where there is none of that name."""
    found = PROFILES.get(settings.profile)
    if found is None:
        raise BadSetting(f"WEFT_PROFILE is {settings.profile!r}: say {' or '.join(PROFILES)}")
    return found
