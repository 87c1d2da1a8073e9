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
from streams.wiring.weights import check_composers


def reranker_of(settings: Settings) -> Reranker | None:
    """Who orders the best hits of composed queries again; None: nobody."""
    return LateInteraction() if settings.rerank else None


def composers_of(settings: Settings, images: ImageEncoder, texts: TextEncoder) -> Composers:
    """Who composes image and words. Blocking.

    Raises:
        BadSetting: there is no such composer, a share is below 0, or its vectors are not those of the index.
        Fatal: weights are missing, damaged, or for another encoder.
    """
    check_composers(settings)
    trained: dict[str, composers.Trained] = {}
    for name, path in settings.composers.items():
        loaded = registry.load(name, path, encoder=images.fingerprint, device="cpu")
        if loaded.target != images.fingerprint:
            raise BadSetting(
                f"WEFT_COMPOSERS: {name} compares with vectors of {loaded.target}, and {images.fingerprint} serves: it needs a"
                " generation of its own"
            )
        vector = Trained(loaded, texts).vector
        trained |= {name: vector, f"{registry.WITH_FACETS}{name.removeprefix(registry.WITH_FACETS)}": vector}
    return Composers(settings.composer, dict(settings.composer_shares), trained)
