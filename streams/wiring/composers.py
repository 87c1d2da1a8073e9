"""The composers that the settings name, loaded."""

from __future__ import annotations

from infra.settings import Settings
from models.composers import registry
from models.composers.late_interaction import LateInteraction
from models.ports import ImageEncoder, Reranker, TextEncoder
from processors.errors import BadSetting
from streams.ops.composed.trained import Trained
from streams.roles.compose import composers
from streams.roles.compose.composers import Composers


def reranker_of(settings: Settings) -> Reranker | None:
    """Who orders the best hits of composed queries again; None: nobody."""
    return LateInteraction() if settings.rerank else None


def composers_of(settings: Settings, images: ImageEncoder, texts: TextEncoder) -> Composers:
    """Who composes image and words. Blocking.

    Raises:
        BadSetting: there is no such composer, a share is below 0, or its vectors are not those of the index.
        Fatal: weights are missing, damaged, or for another encoder.
    """
    trained: dict[str, composers.Trained] = {}
    for name, path in settings.composers.items():
        try:
            loaded = registry.load(name, path, encoder=images.fingerprint, device="cpu")
        except ValueError as error:
            raise BadSetting(f"WEFT_COMPOSERS: {error}") from error
        if loaded.target != images.fingerprint:
            raise BadSetting(
                f"WEFT_COMPOSERS: {name} compares with vectors of {loaded.target}, and {images.fingerprint} serves: it needs a"
                " generation of its own"
            )
        vector = Trained(loaded, texts).vector
        trained |= {name: vector, f"{registry.WITH_FACETS}{name.removeprefix(registry.WITH_FACETS)}": vector}
    found = Composers(settings.composer, dict(settings.composer_shares), trained)
    for variable, name in (("WEFT_COMPOSER", found.own), *(("WEFT_COMPOSER_SHARES", arm) for arm in found.shares)):
        if problem := found.problem(name):
            raise BadSetting(f"{variable}: {problem}")
    if found.shares and not (min(found.shares.values()) >= 0 < sum(found.shares.values())):
        raise BadSetting("WEFT_COMPOSER_SHARES: a share is below 0, or all are 0")
    return found
