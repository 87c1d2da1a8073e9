"""`weft doctor`: look at everything Weft stands on, and say what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from infra.postgres import open_captions
from infra.settings import Settings
from infra.store import NotFound
from infra.stores import open_store
from models.profiles.held import verify
from models.profiles.kinds import Place
from models.profiles.kinds import examine as examine_part
from processors.errors import BadSetting, Fatal, Missing, WeftError
from streams.contract import topics
from streams.kafka.client import Client
from streams.kafka.names import names_of
from streams.kafka.options import uses_tokens
from streams.kafka.rights import refusal, rights_of
from streams.ops import admin, doctor_photos
from streams.ops.doctor_kafka import LOOKS
from streams.ops.doctor_store import Untrue, try_out
from streams.wiring.weights import profile_of

LEAST_DISK = 5 * 2**30
"""Bytes: a log segment of Kafka is 1 GiB, and snapshots of the index are written beside the old ones."""
PATIENCE_S = 15.0
PACKAGES = ("streams", "processors", "models", "index_sync", "infra")
LIBRARIES = ("faust-streaming", "aiokafka", "torch", "transformers", "ultralytics-opencv-headless")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `advice` is empty when all is well."""

    part: str
    ok: bool
    found: str
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """What `weft doctor --json` prints."""

    healthy: bool
    findings: list[Finding]


async def examine(settings: Settings) -> list[Finding]:
    """Every finding; nothing here raises, because a doctor who faints helps nobody."""
    broker = await _broker(settings)
    on_the_broker = await _cluster(settings) if broker.ok else []
    photos = [await _photos(settings)] if broker.ok and _may_look(settings, on_the_broker) else []
    sink = [await sink_found(settings)] if settings.sink_url.get_secret_value() else []
    blocking = await asyncio.to_thread(
        lambda: [_store(settings), *_models(settings), _versions(), faiss_found(), packages_found(), _disk(settings)]
    )
    return [broker, *on_the_broker, *blocking, *photos, *sink]


async def sink_found(settings: Settings) -> Finding:
    """The database of the role `sink`: whether it answers, and its table takes rows."""
    try:
        async with asyncio.timeout(PATIENCE_S), open_captions(settings) as table:
            there = await table.there()
    except (WeftError, TimeoutError) as error:
        advice = "check WEFT_SINK_URL and WEFT_SINK_TABLE, and that the account may read, write and delete rows there"
        return Finding("sink", ok=False, found=str(error) or "no answer", advice=advice)
    if not there:
        return Finding("sink", ok=True, found=f"{settings.sink_table}: not there yet, the role `sink` makes it")
    return Finding("sink", ok=True, found=settings.sink_table)


async def _broker(settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE_S), Client(settings):
            return Finding("broker", ok=True, found=settings.bootstrap_servers)
    except (BadSetting, Missing) as error:
        return Finding("broker", ok=False, found=str(error), advice="see docs/settings.md and docs/clusters.md")
    except (WeftError, TimeoutError) as error:
        return await _no_broker(settings, str(error) or "no answer")


async def _no_broker(settings: Settings, said: str) -> Finding:
    """Why: a broker that refuses us is not one that is away."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            why = await refusal(settings)
    except (WeftError, TimeoutError) as error:
        why = str(error)
    found = f"{said} ({why})" if why and why not in said else said
    if "Sasl" in why or "token endpoint" in why:
        advice = (
            "check WEFT_KAFKA_SASL_* and WEFT_KAFKA_OAUTH_*: the broker, or who gives its tokens, refuses this account"
        )
    elif "certificate" in why:
        advice = "check WEFT_KAFKA_SSL_CAFILE, and that the broker's certificate names the host asked for"
    else:
        advice = "start one with `weft up`, or set WEFT_BOOTSTRAP_SERVERS to yours"
    return Finding("broker", ok=False, found=found, advice=advice)


def _may_look(settings: Settings, found: Sequence[Finding]) -> bool:
    """Whether items can be read: every other finding (a client's partitioner, say) must not hide that photos are gone."""
    items = names_of(settings).topic(topics.ITEMS)
    hidden = any(not one.ok and one.part == "rights" for one in found)
    gone = any(
        not one.ok and one.part == "topics" and one.found.startswith("missing") and items in one.found for one in found
    )
    return not hidden and not gone and any(one.part == "topics" for one in found)


async def _cluster(settings: Settings) -> list[Finding]:
    """Rights first: a topic that must not be seen looks like one that is missing."""
    found, hidden = await _rights(settings)
    return [*found, *await _topics(settings, hidden)]


async def _rights(settings: Settings) -> tuple[list[Finding], frozenset[str]]:
    """Also the topics that this account may not see, by their names on the cluster.

    Without this a right that is missing shows at a role's first record, maybe hours after it was started.
    """
    from aiokafka.errors import KafkaError

    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            rights = await rights_of(settings)
    except (WeftError, KafkaError, OSError) as error:
        found = f"{type(error).__name__}: {error}"
        return [Finding("rights", ok=False, found=found, advice="ask the broker's operator")], frozenset()
    if rights is None:
        return [Finding("rights", ok=True, found="a broker this old does not tell them")], frozenset()
    if not rights.missing:
        return [Finding("rights", ok=True, found="all that the roles need")], rights.hidden
    by_name = settings.kafka_security_protocol.startswith("SASL") and not uses_tokens(settings)
    principal = settings.kafka_sasl_username if by_name else "THIS-ACCOUNT"
    findings = [
        Finding(
            "rights",
            ok=False,
            found=f"this account may not {right.operation.lower()} "
            + (f"the topic {right.name}" if right.kind == "topic" else f"as the group {right.name}"),
            advice=right.grant(settings.bootstrap_servers, principal),
        )
        for right in rights.missing
    ]
    return findings, rights.hidden


async def _topics(settings: Settings, hidden: frozenset[str]) -> list[Finding]:
    from aiokafka.errors import KafkaError

    try:
        there = {topic.name for topic in await admin.list_topics(settings)}
    except (WeftError, KafkaError, OSError) as error:
        found = f"{type(error).__name__}: {error}"
        return [Finding("topics", ok=False, found=found, advice="the account may need the right to describe topics")]
    names = names_of(settings)
    missing = [names.topic(spec.name) for spec in topics.TOPICS if spec.name not in there]
    missing = [name for name in missing if name not in hidden]
    if missing:
        return [Finding("topics", ok=False, found=f"missing: {', '.join(missing)}", advice="run `weft topics create`")]
    unseen = len(topics.TOPICS) - len(there)
    found = f"{unseen} cannot be seen" if unseen else f"all {len(topics.TOPICS)} are there"
    # What cannot be seen cannot be looked into either.
    return [Finding("topics", ok=True, found=found), *([] if unseen else await _records(settings))]


async def _records(settings: Settings) -> list[Finding]:
    """What the topics are like, and what is in them."""
    from aiokafka.errors import KafkaError

    found: list[Finding] = []
    for look in LOOKS:
        try:
            async with asyncio.timeout(PATIENCE_S):
                told = await look(settings)
        except (WeftError, KafkaError, OSError) as error:  # a TimeoutError is an OSError
            cause = f"{look.__name__}: {type(error).__name__}: {error}"
            found.append(Finding("topics", ok=False, found=cause, advice="look at the broker, and ask again"))
        else:
            found += [Finding(one.part, one.ok, one.found, one.advice) for one in told]
    return found


def _store(settings: Settings) -> Finding:
    found = settings.resolved_store_url
    try:
        address = found.removeprefix("s3://").rstrip("/")
        arn = f"arn:aws:s3:::{address}"
        try_out(open_store(settings), bucket=arn.partition("/")[0], objects=f"{arn}/*")
    except Untrue as error:
        return Finding("store", ok=False, found=f"{found} {error}", advice=error.advice)
    except WeftError as error:
        advice = "check WEFT_STORE_URL, WEFT_S3_ENDPOINT and the keys; the account must read, write and delete"
        return Finding("store", ok=False, found=str(error), advice=advice)
    except NotFound:
        advice = "use a store that shows a write to the next read"
        return Finding("store", ok=False, found=f"{found} has lost what was written a moment ago", advice=advice)
    return Finding("store", ok=True, found=found)


async def _photos(settings: Settings) -> Finding:
    """Whether this is the cluster's store, and holds the photos of some products of now."""
    from aiokafka.errors import KafkaError

    try:
        store = await asyncio.to_thread(open_store, settings)
        found = await doctor_photos.look(settings, store)
    except NotFound:
        return Finding("photos", ok=False, found="the store changes while we look", advice="run `weft doctor` again")
    except Fatal as error:
        return Finding("photos", ok=False, found=str(error), advice="see docs/operations.md")
    except (WeftError, KafkaError, OSError) as error:  # a TimeoutError is an OSError
        return Finding("photos", ok=False, found=str(error) or "no answer", advice="run `weft doctor` again")
    if found.missing:
        advice = "copy the rest of the store, or set WEFT_STORE_URL to where it lies (docs/operations.md)"
        told = f"{len(found.missing)} of {found.looked_at} photos of live products are not in the store: {found.missing[0]}"
        return Finding("photos", ok=False, found=told, advice=advice)
    return Finding("photos", ok=True, found=f"{found.looked_at} photos of live products are in the store")


def _models(settings: Settings) -> list[Finding]:
    if settings.profile == "fake":
        return [Finding("models", ok=False, found="profile fake", advice="for tests only: unset WEFT_PROFILE")]
    try:
        profile = profile_of(settings)
    except BadSetting as error:
        return [Finding("models", ok=False, found=str(error), advice="`weft models list` shows the profiles")]
    problems = verify(profile, settings.model_cache)
    advice = f"run `weft models pull {profile.called}`"
    if problems:
        return [Finding("models", ok=False, found=f"{p}", advice=advice) for p in problems]
    parts = {name: profile.part(name, settings.model_cache) for name in profile.parts}
    place = Place(settings.model_cache)
    wrong = [
        Finding(
            "models", ok=False, found=f"{name} ({part.kind}): {said}", advice=f"see `weft models show {profile.called}`"
        )
        for name, part in parts.items()
        for said in examine_part(name, part, place)
    ]
    told = ", ".join(f"{name} {part.kind}" for name, part in parts.items())
    return wrong or [Finding("models", ok=True, found=f"{profile.called}: every byte as recorded ({told})")]


def _versions() -> Finding:
    found = [f"python {platform.python_version()}"]
    missing = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "run `make install`, or install requirements.lock"
        return Finding("versions", ok=False, found=f"missing: {', '.join(missing)}", advice=advice)
    return Finding("versions", ok=True, found=", ".join(found))


def faiss_found(builds: Sequence[str] | None = None) -> Finding:
    """Exactly one build of FAISS: two write their files over one another, and which is loaded nobody can say.

    Args:
        builds: distributions that provide the module `faiss`; None: those that are installed.
    """
    found = sorted(set(_providers().get("faiss", ()) if builds is None else builds))
    shown = ", ".join(f"{name} {version(name)}" if builds is None else name for name in found) or "none"
    if len(found) == 1:
        return Finding("faiss", ok=True, found=shown)
    advice = "uninstall them all, then install one: " if found else "install one: "
    return Finding("faiss", ok=False, found=shown, advice=f"{advice}`weft[cpu]`, or `weft[gpu]` on a machine with CUDA")


def packages_found(where: Callable[[str], Path | None] | None = None) -> Finding:
    """Our packages have plain names: a folder or another distribution of such a name may be imported instead of ours.

    Args:
        where: folder that a package is imported from; None: nowhere, or from several. Default: as Python finds it.
    """
    root = Path(__file__).resolve().parents[2]
    places = {name: (where or _place_of)(name) for name in PACKAGES}
    foreign = [f"{name} from {place or 'no single folder'}" for name, place in places.items() if place != root / name]
    if foreign:
        advice = (
            f"they must lie in {root}: start weft from another folder, unset PYTHONPATH, or make an environment for it"
        )
        return Finding("packages", ok=False, found=f"not Weft's: {', '.join(foreign)}", advice=advice)
    owners = {name: {*_providers().get(name, ())} - {"weft"} for name in PACKAGES}
    if others := sorted({other for name in PACKAGES for other in owners[name]}):
        advice = "their files lie among Weft's: install Weft in an environment of its own"
        return Finding("packages", ok=False, found=f"also provided by {', '.join(others)}", advice=advice)
    return Finding("packages", ok=True, found=f"{', '.join(PACKAGES)} in {root}")


@cache
def _providers() -> Mapping[str, Sequence[str]]:
    """Which distributions provide each module. It reads the list of files of everything that is installed: most of a second."""
    return packages_distributions()


def _place_of(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).resolve().parent if spec is not None and spec.origin is not None else None


def _disk(settings: Settings) -> Finding:
    folder = _existing(settings.data_dir.absolute())
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Finding(
            "disk", ok=False, found=f"{folder} cannot be written", advice="set WEFT_DATA_DIR to a folder of yours"
        )
    if free < LEAST_DISK:
        return Finding("disk", ok=False, found=found, advice="free some space, or set WEFT_DATA_DIR to a larger disk")
    return Finding("disk", ok=True, found=found)


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
