"""What can be told of settings before anything is started: names, rules, the profile and its weights; no model is imported for it."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from pathlib import Path

from infra.settings import Settings
from models.profiles.held import require
from models.profiles.profile import FAKE, Part, Profile
from models.profiles.reading import find
from processors.errors import BadSetting, Missing
from processors.policies import policies_of
from streams.contract.topics import EVERY
from streams.roles.caption import kits, rules


def require_weights(settings: Settings) -> None:
    """Before anything is started: `check_settings`, and the weights of the profile are there. Raises `Missing`, which says how to get them."""
    check_settings(settings)
    if settings.profile == FAKE:
        if settings.writer == "blip":
            raise Missing("WEFT_WRITER is 'blip', and the profile 'fake' has none")
        return
    require(profile_of(settings), settings.model_cache)
    if settings.writer == "blip" and not (folder := _folder(settings, writer_part(settings))).is_dir():
        raise Missing(
            f"{folder} is missing, and WEFT_WRITER is 'blip': put BLIP there (`weft models pull full --from PARENT`),"
            " or make it the writer of a profile (`weft models add writer FOLDER`)"
        )


def _folder(settings: Settings, part: Part) -> Path:
    return Path(part.path) if part.path else settings.model_cache / part.needs[0]


def check_settings(settings: Settings, roles: Collection[str] = EVERY) -> None:
    """Refuse what a role would refuse once it is wired: a stack would start it anew for ever.

    Args:
        settings: of the process.
        roles: those that it runs: files that only others read may lie on other machines.

    Raises:
        BadSetting: names the setting.
    """
    policies_of(settings.facet_policy)
    rules.load(settings.hold_rules)
    if "caption" in roles:
        kits.load(settings.kits)
        if settings.story_writer and not Path(settings.story_writer).is_file():
            raise BadSetting(f"WEFT_STORY_WRITER: {settings.story_writer} is no file")
    if "context" in roles and settings.second_encoder and not Path(settings.second_encoder).is_dir():
        raise BadSetting(f"WEFT_SECOND_ENCODER: {settings.second_encoder} is no folder")
    if "compose" in roles:
        check_composers(settings)
    if settings.profile != FAKE:
        writer_part(settings)


def check_composers(settings: Settings) -> None:
    """Refuse composers that are none, or have no weights here.

    Raises:
        BadSetting: there is no such composer, its weights are not where they should be, a share is below 0, or all are 0.
    """
    shares = settings.composer_shares
    if settings.composer == Settings.model_fields["composer"].default and not (settings.composers or shares):
        return
    from models.composers.registry import WITH_FACETS, choice_of

    def trained(variable: str, name: str) -> bool:
        try:
            return choice_of(name[:100]).kind.trained
        except ValueError as error:
            raise BadSetting(f"{variable}: {error}") from None

    here: set[str] = set()
    for name, path in settings.composers.items():
        if not trained("WEFT_COMPOSERS", name):
            raise BadSetting(f"WEFT_COMPOSERS: the composer {name!r} has no weights to load")
        if not path.exists():
            raise BadSetting(f"WEFT_COMPOSERS: {name}: {path} is missing")
        here |= {name, f"{WITH_FACETS}{name.removeprefix(WITH_FACETS)}"}
    for variable, name in (("WEFT_COMPOSER", settings.composer), *(("WEFT_COMPOSER_SHARES", arm) for arm in shares)):
        if trained(variable, name) and name not in here:
            raise BadSetting(f"{variable}: {name!r} has no weights here (WEFT_COMPOSERS)")
    if shares and not (min(shares.values()) >= 0 and 0 < sum(shares.values()) < inf):
        raise BadSetting("WEFT_COMPOSER_SHARES: a share is below 0 or no number, or all are 0")


def profile_of(settings: Settings) -> Profile:
    """The profile that `WEFT_PROFILE` names. Raises `BadSetting` where there is none of that name, or its file is wrong."""
    try:
        return find(settings.profile, settings.model_cache)
    except BadSetting as error:
        raise BadSetting(f"WEFT_PROFILE is {settings.profile!r}: {error}") from error


def name_of(settings: Settings) -> str:
    """The name of the profile, as its file says it: a path is of this machine alone. Raises as `profile_of`."""
    return FAKE if settings.profile == FAKE else profile_of(settings).name


BLIP = "blip-image-captioning-base"
"""The folder of the model cache in which `WEFT_WRITER=blip` looks, where the profile's own writer is none."""


def writer_part(settings: Settings, profile: Profile | None = None) -> Part:
    """The writer as profile and `WEFT_WRITER` have it.

    Raises:
        BadSetting: a language model is asked for, and the profile's writer is BLIP.
    """
    found = profile or profile_of(settings)
    own = found.part("writer", settings.model_cache)
    if settings.writer == "blip":
        return own if own.kind == "blip" else Part("blip", needs=(BLIP,), profile="full")
    if own.kind == "blip" and settings.writer in {"free", "grounded"}:
        raise BadSetting(
            f"WEFT_WRITER is {settings.writer!r}, and the writer of the profile {found.name!r} is BLIP, which is no language model: say auto or blip"
        )
    return own


def writes_by_rule(settings: Settings) -> bool:
    """Whether captions are written without a model: by the setting, or because the profile has none. They are signed so."""
    return settings.writer == "template" or (settings.writer != "blip" and kind_of(settings, "writer") == "rules")


def told_of(settings: Settings) -> dict[str, str]:
    """What a role says at its start: the profile, and the kind of each part, with the beginning of its hash where it has one."""
    if settings.profile == FAKE:
        return {"profile": FAKE}
    profile = profile_of(settings)
    parts = {name: profile.part(name, settings.model_cache) for name in profile.parts}
    parts["writer"] = writer_part(settings, profile)
    return {"profile": profile.called} | {
        name: f"{part.kind} {part.sha256[:12]}".strip() for name, part in parts.items()
    }


def kind_of(settings: Settings, part: str) -> str:
    """The kind of a part as it serves; that of every part of the profile `fake` is "fake". Raises as `profile_of`."""
    return FAKE if settings.profile == FAKE else profile_of(settings).part(part, settings.model_cache).kind
