"""Whether what a role embeds may stand beside what the index holds."""

from __future__ import annotations

import msgspec

from infra.logs import logger
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from processors.errors import BadSetting, Retryable
from streams.contract import topics
from streams.search import generations
from streams.wiring.parts import Parts

log = logger("weft.enrich")


async def held_space(parts: Parts) -> tuple[str, str]:
    """The generation that reads `catalog.items`, and the encoder whose vectors it holds; ("", "") where none is known.

    Known it is from the record of the generation, or from the first of its snapshots that there is. A stack that is younger than its first snapshot has none;
    then an item of another encoder becomes a dead letter of the index, as vectors of two encoders never meet.
    """
    try:
        now = await generations.read(parts.settings)
        for name, made in now.served().items():
            if made.items == topics.ITEMS:
                found = made.encoder or await parts.in_thread(
                    encoder_of_snapshots, parts.store, name, parts.settings.partitions
                )
                return name, found
    except Retryable as error:
        log.warning("generations.unknown", cause=str(error))
    return "", ""


def check_space(settings: Settings, held: tuple[str, str], encoder: str) -> None:
    """Refuse to write items that the index could not take up: each would become a dead letter, and be found by nobody.

    Raises:
        BadSetting: says what to do.
    """
    name, maker = held
    if maker and maker != encoder:
        raise BadSetting(
            f"WEFT_PROFILE is {settings.profile!r}, whose encoder makes another space than the vectors of the generation {name} are"
            f" of: start with the profile of before, build a generation with `weft replay --topic {topics.ITEMS} --into NAME"
            f" --profile {settings.profile}`, swap it in with `weft index swap NAME`, and `weft index drop {name}` before this"
            " profile becomes the roles' own (docs/operations.md)"
        )


class _Named(msgspec.Struct, frozen=True):
    key: str


class _Current(msgspec.Struct, frozen=True):
    """Of `index_sync.manifest.Current`, which comes with FAISS, what is read here."""

    manifest: _Named | None = None


class _Manifest(msgspec.Struct, frozen=True):
    """Of `index_sync.manifest.Manifest`, likewise."""

    encoder: str = ""


def encoder_of_snapshots(store: ObjectStore, generation: str, partitions: int) -> str:
    """The encoder of the first snapshot of a generation; "" where there is none that can be read. Blocking."""
    for partition in range(partitions):
        root = f"index/{generations.COLLECTION}/{generation}/{partition:05d}"
        try:
            current = msgspec.json.decode(store.get(f"{root}/CURRENT"), type=_Current)
            if current.manifest is not None:
                found = msgspec.json.decode(store.get(current.manifest.key), type=_Manifest)
                if found.encoder:
                    return found.encoder
        except (NotFound, msgspec.DecodeError):
            continue
    return ""
