"""How the role `triplets` is built."""

from __future__ import annotations

import time

from infra.logs import logger
from infra.settings import Settings
from models.captioner.by_evidence import RuleCaptioner, captioner_by
from models.guard import Guarded
from models.ports import Captioner, CaptionRequest, Chat, Remote
from models.profiles import kinds
from models.profiles.held import check
from models.profiles.profile import FAKE
from models.served.captioner import ServedCaptioner
from processors import decode
from processors.errors import BadSetting
from processors.values import Pixels
from streams.contract import topics
from streams.contract.cloudevents import ce_headers, rfc3339
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.roles.triplets.known import Catalogue, Pairs, Progress
from streams.roles.triplets.role import Outcome, Triplets, publisher
from streams.wiring.mending import tell
from streams.wiring.models import place_of
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded
from streams.wiring.urgent import shop_of_message
from streams.wiring.weights import profile_of

log = logger("weft.triplets")

PHOTO_SIDE = 768
"""A photo is shown to a vision-language model no larger."""
TRIPLETS_A_PRODUCT = 8


async def run_triplets(parts: Parts, ready: Ready) -> None:
    """`catalog.items` → `catalog.triplets`."""
    settings = parts.settings
    captioner = await loaded(lambda: captioner_of(parts))
    chat = await loaded(lambda: chat_of(settings))
    catalogue, pairs = Catalogue(settings.triplet_products), Pairs(TRIPLETS_A_PRODUCT * settings.triplet_products)
    progress = Progress()

    async def look(address: str) -> Pixels:
        data = await parts.in_thread(parts.store.get, parts.store.key_of(address) or address)
        return decode.decode(data, parts.limits, max_side=PHOTO_SIDE).pixels

    role = Triplets(
        catalogue=catalogue,
        pairs=pairs,
        progress=progress,
        captioner=captioner,
        chat=chat,
        look=look,
        most=settings.triplets_of_each,
        batch_items=settings.batch_items,
    )
    engine = parts.engine_of("triplets")
    pipeline: Pipeline[Outcome] = Pipeline(
        "triplets",
        role.stages(),
        publish=publisher(parts.sender, pairs, engine.observer.paired),
        dead_letter=dead_letters(parts.sender),
        admission=parts.credits(),
        engine=engine,
        shop_of=shop_of_message,
    )
    async with (
        Reader(settings, topics.ITEMS, client="triplets") as items,
        Reader(settings, topics.TRIPLETS, client="triplets") as triplets,
    ):
        following = Following(parts, catalogue, pairs, progress)
        await following.catch_up(items, triplets)
        consuming = consume_group(parts, "triplets", topics.ITEMS, pipeline, ready)
        if isinstance(captioner, Remote):
            consuming = beside(tell(parts, captioner, "triplets"), consuming)
        await beside(following.items(items), beside(following.triplets(triplets), consuming))


class Following:
    """Keeps what the role knows up to date, and deletes triplets of products that are gone.

    Args:
        parts: of the process.
        catalogue: see there.
        pairs: likewise.
        progress: told of every item.
    """

    def __init__(self, parts: Parts, catalogue: Catalogue, pairs: Pairs, progress: Progress) -> None:
        self._parts, self._catalogue, self._pairs, self._progress = parts, catalogue, pairs, progress

    async def catch_up(self, items: Reader, triplets: Reader) -> None:
        """Read both topics; then delete what a process that died between two deletions has left."""
        async for raw in items.to_end():
            await self._take(raw)
        async for raw in triplets.to_end():
            self._pairs.apply(raw)
        if self._catalogue.overflowed:
            return  # what is not known may still be there
        for name, reference, target in self._pairs.sides():
            if reference not in self._catalogue or target not in self._catalogue:
                await self._delete(name)

    async def items(self, items: Reader) -> None:
        """The catalogue, for ever."""
        async for raw in items.follow():
            await self._take(raw)

    async def triplets(self, triplets: Reader) -> None:
        """The triplets of all workers, for ever. One that was made while its other product was being deleted is deleted here."""
        async for raw in triplets.follow():
            self._pairs.apply(raw)
            name = (raw.key or b"").decode("utf-8", "replace")
            sides = self._pairs.named(name)
            if any(self._catalogue.is_deleted(product) for product in sides):
                await self._delete(name)

    async def _take(self, raw: Message) -> None:
        self._catalogue.apply(raw)
        await self._progress.passed(raw)

    async def _delete(self, name: str) -> None:
        spec = topics.BY_NAME[topics.TRIPLETS]
        now = rfc3339(round(time.time() * 1000))
        headers = ce_headers(
            id=f"gone/{name}", type=spec.event_type, source="weft/triplets", time=now, content_type=spec.content_type
        )
        await (await self._parts.sender.send(topics.TRIPLETS, key=name.encode(), value=None, headers=headers))
        self._pairs.remove(name)


def captioner_of(parts: Parts) -> Captioner:
    """As the settings say.

    Raises:
        BadSetting: the profile has no such model.
        Fatal: its weights are missing or damaged.
    """
    settings = parts.settings
    if settings.triplet_captions == "rules":
        return RuleCaptioner()
    if settings.triplet_captions == "writer":
        return captioner_by(parts.models.needed_writer)
    part = None if settings.profile == FAKE else profile_of(settings).part("captioner", settings.model_cache)
    if part is None or part.kind in {"rules", "writer"}:
        raise BadSetting(
            "WEFT_TRIPLET_CAPTIONS=vision needs a profile whose captioner looks at photos: WEFT_PROFILE=full with the folder"
            " vision-captioner, or `weft models add captioner` (docs/models/composer.md)"
        )
    model = kinds.load("captioner", part, place_of(settings, lambda: parts.models.needed_writer))
    if isinstance(model, ServedCaptioner):
        made = model.telling(parts.models.served("captioner"))
        made.warm_up()
        return made
    return _Warm.warmed(model)


def chat_of(settings: Settings) -> Chat | None:
    """The instruct model that words changes; None: the grammar does. Raises as `captioner_of`."""
    if settings.triplet_words == "grammar":
        return None
    part = None if settings.profile == FAKE else profile_of(settings).part("writer", settings.model_cache)
    if part is None or part.kind != "transformers":
        raise BadSetting(
            "WEFT_TRIPLET_WORDS=chat needs a profile whose writer is an instruct model, as WEFT_PROFILE=full: the starter's"
            " writes captions only"
        )
    from models.captioner.vision import InstructChat

    place = place_of(settings)
    folder = place.path(part)
    check(folder, part)
    model = InstructChat.load(folder, device=place.device)
    guarded: Guarded[str, str] = Guarded(model, name="chat")
    guarded.warm_up()
    return guarded


class _Warm(Guarded[CaptionRequest, str]):
    """A guarded captioner that looks at photos."""

    looks = True

    @classmethod
    def warmed(cls, model: Captioner) -> _Warm:
        made = cls(model, name="captioner")
        made.warm_up()
        return made


ROLE = Role("triplets", run_triplets)
