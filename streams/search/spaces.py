"""The encoders that `compose` needs: of the generation that answers, and of every candidate, before it may be swapped in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from infra.logs import logger
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from models.ports import ImageEncoder, RefusesTexts, TextEncoder
from processors.errors import WeftError
from streams.contract.records import Generation
from streams.search.generations import COLLECTION, Generations

log = logger("weft.compose")

PRESENT_S = 5.0
FRESH_S = 20.0
"""After which a compose process that has not said that it is there does not count any more."""
_PRESENCES = f"index/{COLLECTION}/compose/"


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """One generation, and the encoders whose vectors it holds."""

    generation: str
    images: ImageEncoder
    texts: TextEncoder

    @property
    def refuses_words(self) -> str:
        """Why words have no vector in this space; "" where they have."""
        return self.texts.refuses if isinstance(self.texts, RefusesTexts) else ""


class Presence(msgspec.Struct, frozen=True):
    """What a compose process says of itself. `at`: seconds since the epoch."""

    id: str
    at: float
    live: str
    loaded: tuple[str, ...]
    trouble: dict[str, str] = {}


Load = Callable[[str], tuple[ImageEncoder, TextEncoder]]
"""Loads and warms up the encoders of a profile; blocks."""


class Spaces:
    """Keeps the encoders of all generations that are built, and says which space answers.

    Args:
        own: the encoders of the roles' own profile.
        load: those of another profile.
        own_profile: whose encoders `own` are.
    """

    def __init__(self, own: tuple[ImageEncoder, TextEncoder], load: Load, own_profile: str) -> None:
        self._own, self._load, self._own_profile = own, load, own_profile
        self._spaces: dict[str, Space] = {}
        self._encoders: dict[str, tuple[ImageEncoder, TextEncoder]] = {}
        self._trouble: dict[str, str] = {}
        self._live: Space | None = None
        self.settled = asyncio.Event()
        """Set once the generation that is live can be asked."""

    def live(self) -> Space:
        """The space of queries that come now. Raises `RuntimeError` before `settled`."""
        if self._live is None:
            raise RuntimeError("no generation is known yet")
        return self._live

    async def apply(self, now: Generations) -> None:
        """Load what is missing, forget what was dropped, and answer from the one that is live.

        One whose encoder cannot be loaded does not answer: queries stay where they were, and `presence` says why.
        """
        served = now.served()
        # The live one first: a process that begins must not wait for candidates.
        for name in sorted(served, key=lambda name: name != now.live):
            if name not in self._spaces:
                await self._open(served[name])
            if name == now.live:
                self._answer_from(name)
        for name in [name for name in self._spaces if name not in served]:
            del self._spaces[name]
        wanted = {made.profile for made in served.values()}
        self._encoders = {profile: both for profile, both in self._encoders.items() if profile in wanted}

    def _answer_from(self, name: str) -> None:
        found = self._spaces.get(name)
        if found is None:
            log.error("generation.not_answered", generation=name, cause=self._trouble.get(name, ""))
            return
        if self._live is not found:
            log.info("generation.live", generation=name)
        self._live = found
        self.settled.set()

    async def _open(self, made: Generation) -> None:
        name = made.generation
        try:
            images, texts = await self._encoders_of(made.profile)
        except Exception as error:  # whatever a candidate's models raise, the live one goes on answering
            log.exception("generation.encoder", generation=name, profile=made.profile)
            self._trouble[name] = f"{type(error).__name__}: {error}"
            return
        if made.encoder and images.fingerprint != made.encoder:
            self._trouble[name] = f"its vectors are of {made.encoder}, the profile's encoder is {images.fingerprint}"
            return
        self._trouble.pop(name, None)
        self._spaces[name] = Space(name, images, texts)

    async def _encoders_of(self, profile: str) -> tuple[ImageEncoder, TextEncoder]:
        if profile in {"", self._own_profile}:
            return self._own
        if profile not in self._encoders:
            self._encoders[profile] = await asyncio.to_thread(self._load, profile)
        return self._encoders[profile]

    def presence(self, id: str, at: float) -> Presence:  # noqa: A002 - the record's field
        """What is to be said of this process now."""
        live = "" if self._live is None else self._live.generation
        return Presence(id, at, live, tuple(sorted(self._spaces)), dict(self._trouble))


async def tell_presence(store: ObjectStore, spaces: Spaces, own_id: str, in_thread: InThread) -> None:
    """Say which generations this process can answer from, for ever; at the end take it back."""
    key, said = f"{_PRESENCES}{own_id}.json", None
    told_at = 0.0
    try:
        while True:
            now = time.time()
            presence = spaces.presence(own_id, now)
            same = said is not None and msgspec.structs.replace(presence, at=said.at) == said
            if not same or now - told_at >= PRESENT_S:
                try:
                    await in_thread(store.put, key, msgspec.json.encode(presence))
                    said, told_at = presence, now
                except WeftError as error:
                    log.warning("presence.not_told", cause=str(error))
            await asyncio.sleep(0.25)
    finally:
        try:
            store.delete(key)
        except WeftError as error:
            log.warning("presence.not_taken_back", cause=str(error))


def presences(store: ObjectStore, now: float) -> list[Presence]:
    """The compose processes that said within `FRESH_S` that they are there. Blocking."""
    found = []
    for key in store.list(_PRESENCES):
        try:
            one = msgspec.json.decode(store.get(key), type=Presence)
        except (NotFound, msgspec.DecodeError):
            continue
        if now - one.at <= FRESH_S:
            found.append(one)
        elif now - one.at > 100 * FRESH_S:
            store.delete(key)  # of a process that was killed long ago
    return found
