"""The models as `weft eval` measures them: the profile's own, but a detector that keeps nearly everything it sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec

from infra.fetch import Fetcher
from infra.memory_store import MemoryStore
from infra.settings import Settings
from infra.store import ObjectStore
from models.guard import Guarded, GuardedWriter, ignore
from models.ports import view_of
from models.profiles import kinds
from models.profiles.profile import FAKE
from models.weights.starter import WRITER_BASE, resolve
from processors.attributes import Calibration, Calibrations
from processors.decode import DecodeLimits
from processors.errors import Fatal, Poison
from processors.policies import policies_of
from processors.values import Detection, Pixels
from streams.contract.probes import Probe
from streams.contract.records import Result
from streams.engine.message import Message
from streams.facets.live import LiveHeads
from streams.ops.caption_trial import Trial
from streams.ops.search_trial import SearchTrial
from streams.roles.caption.context import ByEncoder, Context
from streams.roles.caption.kits import load as kits_of
from streams.roles.caption.looking import ReadPhoto, looking, of_store
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load as hold_rules
from streams.roles.compose.role import Compose
from streams.roles.context.articles import Articles
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.remote import RemotePhotos
from streams.search.pending import PendingQueries
from streams.wiring.models import Models, calibrations, judge_of, place_of, relevance_of, shipped_heads
from streams.wiring.telling import Directly
from streams.wiring.weights import kind_of, profile_of, writes_by_rule

UNSURE = 0.001
"""The integral of average precision wants every detection, however unsure."""
SUPPRESSION = 0.6
"""As served (MODELS.md): of two boxes of one class that overlap more, the surer one stays."""


def models_of(settings: Settings) -> Models:
    """The serving models of the profile."""
    return Models(settings, lambda _name: ignore)


def unsure_detector(settings: Settings) -> Guarded[Pixels, tuple[Detection, ...]]:
    """The profile's detector with a confidence near zero, and without the suppression across classes."""
    if settings.profile == FAKE:
        from models.fakes import FakeDetector

        return Guarded(FakeDetector(), name="detector")
    part = profile_of(settings).part("detector", settings.model_cache)
    unsure = {"confidence": UNSURE, "iou": SUPPRESSION, "duplicate_iou": 1.0}
    known = kinds.kind_of("detector", part.kind).options
    options = {**part.options, **{name: value for name, value in unsure.items() if name in known}}
    detector = kinds.load("detector", msgspec.structs.replace(part, options=options), place_of(settings))
    return Guarded(detector, name="detector")


def calibration_of(settings: Settings, encoder: str) -> Calibration | Calibrations:
    """How the role `caption` counts votes on vectors of `encoder` (`streams.wiring.caption`)."""
    found = calibrations(settings)
    return found if found.fits(encoder) else found.default


@asynccontextmanager
async def caption_trial(
    settings: Settings,
    heads_of: ObjectStore | None = None,
    articles: Articles | None = None,
    models: Models | None = None,
    photos_of: ObjectStore | None = None,
) -> AsyncIterator[Trial]:
    """The roles `enrich` and `caption` with the profile's models, over a store in memory and no broker.

    Args:
        settings: of the process.
        heads_of: the store whose live facet heads are applied; None: the shipped ones are.
        articles: that captions draw on; None: on none.
        models: of the profile, where they are loaded already.
        photos_of: the store with the photos of items that are not enriched here, for a writer that looks at them.

    Raises:
        Poison: no heads are live there, or they are of another encoder.
    """
    models = models or models_of(settings)
    policies, votes = policies_of(settings.facet_policy), calibrations(settings)
    async with photo_trial(settings, models, heads_of) as trial:
        captioner = Captioner(
            writer=models.writer,
            neighbourhood=Neighbourhood(policies.voted()),
            memo=Memo(trial.store, "caption", models.writer.fingerprint),
            calibration=votes,
            batch_items=settings.batch_items,
            batch_wait_s=0.0,
            policies=policies,
            rules=hold_rules(settings.hold_rules),
            kits=kits_of(settings.kits),
            context=None if articles is None else _context(settings, models, articles),
            tone=settings.caption_tone,
            by_rule=writes_by_rule(settings),
            look=looking(_photo_of(trial, photos_of), view_of(models.writer), DecodeLimits()),
        )
        yield replace(trial, captioner=captioner)


def _context(settings: Settings, models: Models, articles: Articles) -> Context:
    teller = Directly(models, settings) if settings.story_writer else None
    return Context(articles, ByEncoder(lambda: models.sentence_encoder), teller=teller)


def _photo_of(trial: Trial, store: ObjectStore | None) -> ReadPhoto:
    """The bytes of an item's photo: where they were when it was enriched, else in the store of the stack."""
    stored = None if store is None else of_store(store, asyncio.to_thread)

    async def read(address: str) -> bytes:
        if address in trial.shown:
            photos, path = trial.shown[address]
            return await asyncio.to_thread(photos.bytes_of, path)
        if stored is None:
            raise Poison("its photo is not at hand", field="image")
        return await stored(address)

    return read


@asynccontextmanager
async def photo_trial(settings: Settings, models: Models, heads_of: ObjectStore | None = None) -> AsyncIterator[Trial]:
    """The role `enrich` alone; see `caption_trial`."""
    store = MemoryStore("eval")
    shipped = shipped_heads(settings)
    heads = LiveHeads(heads_of or store, models.image_encoder.features_maker, shipped=shipped)
    await heads.look()
    if heads_of is not None and not heads.fitted:
        raise Poison(f"{heads_of.base} has no live facet heads for this encoder: weft facets fit makes some")
    async with Fetcher(settings, store) as fetcher:
        enrich = _enrich(settings, models, store, fetcher)
        yield Trial(store, replace(enrich, heads=heads.now))


@asynccontextmanager
async def search_trial(settings: Settings, models: Models | None = None) -> AsyncIterator[SearchTrial]:
    """The roles `enrich` and `compose` with the profile's models, over a store and a bank in memory and no broker. `models`: see
    `caption_trial`.
    """
    models, store = models or models_of(settings), MemoryStore("eval")
    shipped = shipped_heads(settings)
    async with Fetcher(settings, store) as fetcher:
        enrich = _enrich(settings, models, store, fetcher)
        compose = Compose(
            fetcher=fetcher,
            images=models.image_encoder,
            texts=models.text_encoder,
            pending=PendingQueries(_unsent, time.time),
            publish=_unpublished,
            now=time.time,
            limits=enrich.limits,
            partitions=1,
            batch_items=settings.batch_items,
            detector=models.detector,
            judge_of=lambda maker: judge_of(shipped, maker),
            relevance=relevance_of(settings),
        )
        yield SearchTrial(store, enrich, compose)


def _enrich(settings: Settings, models: Models, store: MemoryStore, fetcher: Fetcher) -> Enrich:
    """The role with the shipped heads' judge, over a store in memory; it waits for no fuller batch."""
    return Enrich(
        store=store,
        fetcher=fetcher,
        remote=RemotePhotos(fetcher, store),
        detector=models.detector,
        encoder=models.image_encoder,
        memo=Memo(store, "enrich", memo_fingerprint(models.detector, models.image_encoder)),
        limits=DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
        batch_items=settings.batch_items,
        batch_wait_s=0.0,
        judge=judge_of(shipped_heads(settings), models.image_encoder.features_maker),
    )


async def _unsent(_probe: Probe) -> None:
    """Replaced by the trial, which answers."""


async def _unpublished(_message: Message, _result: Result) -> None:
    """Replaced by the trial, which keeps results."""


def base_writer(settings: Settings) -> GuardedWriter:
    """The starter's language model without our adapter. Raises `Fatal` for a profile whose writer has none."""
    if kind_of(settings, "writer") != "starter":
        raise Fatal(f"the writer of the profile {settings.profile!r} has no adapter of ours: --base is for the starter")
    from models.writer.hf_writer import HfWriter

    place = place_of(settings)
    base = resolve(settings.model_cache, ("writer", WRITER_BASE)).writer_base
    return GuardedWriter(HfWriter.load(base, None, device=place.device, batch=place.batch, choices=place.measured))
