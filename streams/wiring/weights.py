"""What can be told of settings before anything is started: names, rules, the profile and its weights; no model is imported for it."""

from __future__ import annotations

from infra.settings import Settings
from models.profiles.held import require
from models.profiles.profile import FAKE, Profile
from models.profiles.reading import find
from processors.errors import BadSetting
from processors.policies import policies_of
from streams.roles.caption import rules


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
    if settings.profile != FAKE:
        profile_of(settings)


def profile_of(settings: Settings) -> Profile:
    """The profile that `WEFT_PROFILE` names. Raises `BadSetting` where there is none of that name, or its file is wrong."""
    try:
        return find(settings.profile, settings.model_cache)
    except BadSetting as error:
        raise BadSetting(f"WEFT_PROFILE is {settings.profile!r}: {error}") from error


def name_of(settings: Settings) -> str:
    """The name of the profile, as its file says it: a path is of this machine alone. Raises as `profile_of`."""
    return FAKE if settings.profile == FAKE else profile_of(settings).name


def writes_by_rule(settings: Settings) -> bool:
    """Whether captions are written without a model: by the setting, or because the profile has none. They are signed so."""
    return settings.writer == "template" or kind_of(settings, "writer") == "rules"


def told_of(settings: Settings) -> dict[str, str]:
    """What a role says at its start: the profile, and the kind of each part, with the beginning of its hash where it has one."""
    if settings.profile == FAKE:
        return {"profile": FAKE}
    profile = profile_of(settings)
    parts = {name: profile.part(name, settings.model_cache) for name in profile.parts}
    return {"profile": profile.called} | {
        name: f"{part.kind} {part.sha256[:12]}".strip() for name, part in parts.items()
    }


def kind_of(settings: Settings, part: str) -> str:
    """The kind of a part as it serves; that of every part of the profile `fake` is "fake". Raises as `profile_of`."""
    return FAKE if settings.profile == FAKE else profile_of(settings).part(part, settings.model_cache).kind
