"""How the role `edit` is built."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from models.guard import ignore
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.edits import STEPS, EditProgress, EditResult
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.roles import reserve
from streams.roles.edit.asked import EDIT_SIDE
from streams.roles.edit.retrieval import Retrieval
from streams.roles.edit.role import PREFIX, Edit
from streams.search import query_photos
from streams.search.pending import PendingQueries
from streams.search.shop_asked import shop_asked
from streams.search.spaces import Spaces
from streams.wiring.editors import face_detector, inpainter_of
from streams.wiring.generations import encoders_of, follow_spaces, place_by_key
from streams.wiring.models import judge_of, shipped_heads, words_of
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded
from streams.wiring.probing import hear, nothing_left, probing
from streams.wiring.weights import name_of


async def run_edit(parts: Parts, ready: Ready) -> None:
    """`edits.requests` → `search.probes` → `search.hits` → `edits.progress`, `edits.results`."""
    settings = parts.settings
    images = await loaded(lambda: parts.models.image_encoder)
    texts = words_of(settings, await loaded(lambda: parts.models.text_encoder))
    detector = await loaded(lambda: parts.models.detector)
    faces = await loaded(lambda: face_detector(settings, ignore))
    inpainter = await loaded(lambda: inpainter_of(settings, ignore, parts.engine.device.give_way))
    heads = await asyncio.to_thread(shipped_heads, settings)
    observer = parts.engine_of("edit").observer
    spaces = Spaces((images, texts), lambda profile: encoders_of(settings, profile), settings.profile)

    async def publish(message: Message, result: EditResult) -> None:
        headers = output_headers(message, stage="edit", topic=topics.EDIT_RESULTS)
        key = result.request_id.encode()
        await (await parts.sender.send(topics.EDIT_RESULTS, key=key, value=codecs.encode(result), headers=headers))
        observer.answered("" if result.error is None else result.error.code, partial=False)

    async def tell(message: Message, progress: EditProgress) -> Awaitable[object]:
        number = STEPS.index(progress.step) if progress.step in STEPS else len(STEPS) + progress.done
        headers = output_headers(message, stage="edit", topic=topics.EDIT_PROGRESS, number=number)
        key = progress.request_id.encode()
        return await parts.sender.send(topics.EDIT_PROGRESS, key=key, value=codecs.encode(progress), headers=headers)

    pending = PendingQueries(probing(parts, "edit"), time.time, observer.worked)
    index = _Index(parts, pending, spaces)
    role = Edit(
        images=images,
        texts=texts,
        detector=detector,
        retrieval=Retrieval(
            pending,
            parts.store,
            parts.fetcher,
            parts.in_thread,
            time.time,
            place_by_key(parts),
            settings.max_image_bytes,
        ),
        store=parts.store,
        publish=publish,
        tell=tell,
        now=time.time,
        limits=parts.limits,
        batch_items=settings.batch_items,
        in_thread=parts.in_thread,
        space=spaces.live,
        judge_of=lambda maker: judge_of(heads, maker),
        consent=settings.edit_consent,
        faces=faces,
        inpainter=inpainter,
        begin=index.begin,
        profile=name_of(settings),
    )

    pipeline = Pipeline(
        "edit",
        role.stages(),
        publish=nothing_left,
        dead_letter=role.failed,
        admission=parts.credits(),
        engine=parts.engine_of("edit"),
        priority="urgent",
        charge=reserve.charge(settings.max_image_bytes, EDIT_SIDE),
        shop_of=shop_asked,
    )
    keeping_house = query_photos.keep_house(
        parts.store,
        hours=settings.edit_hours,
        now=time.time,
        sleep=asyncio.sleep,
        in_thread=parts.in_thread,
        prefix=PREFIX,
    )
    consuming = consume_group(parts, "edit", topics.EDIT_REQUESTS, pipeline, ready)
    await beside(keeping_house, beside(index.follow(), consuming))


class _Index:
    """What the role hears of the index: opened with the first request, so that a process that edits nothing reads nothing twice."""

    def __init__(self, parts: Parts, pending: PendingQueries, spaces: Spaces) -> None:
        self._parts, self._pending, self._spaces = parts, pending, spaces
        self._wanted, self._open = asyncio.Event(), asyncio.Event()

    async def begin(self) -> None:
        """Returns once the live generation can be asked, and its answers are heard."""
        self._wanted.set()
        await self._open.wait()
        await self._spaces.settled.wait()

    async def follow(self) -> None:
        """Once it is wanted, for ever."""
        await self._wanted.wait()
        async with Reader(self._parts.settings, topics.HITS, from_end=True, client="edit") as hits:
            self._open.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(follow_spaces(self._parts, self._spaces), name="edit:generations")
                tasks.create_task(hear(hits, self._pending), name="edit:hits")


ROLE = Role("edit", run_edit, ("image_encoder", "text_encoder", "detector"))
