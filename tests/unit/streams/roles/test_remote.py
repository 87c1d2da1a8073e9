"""Photos of other hosts, when a feed names them night after night."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from infra.host_answers import NO_VALIDATORS, Fetched, HostBusy, Unchanged, Validators
from infra.memory_store import MemoryStore
from processors.errors import Poison, Retryable
from streams.roles.remote import ATTEMPTS, Kept, RemotePhotos
from tests.fixtures.virtual_time import run_virtual

URI = "https://cdn.example/a.jpg?token=secret"
TAG = Validators(etag='"1"')


@dataclass
class Host:
    """Gives its answers in turn, the last one for ever; a body is Unchanged to whoever knows its validators."""

    answers: list[Fetched | Retryable]
    asked: list[Validators] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    async def ask(self, _uri: str, known: Validators) -> Fetched | Unchanged:
        self.asked.append(known)
        self.at.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Retryable):
            raise answer
        return Unchanged() if known and known == answer.validators else answer


async def _at_once(function, *arguments):  # type: ignore[no-untyped-def]
    return function(*arguments)


def photos(host: Host, store: MemoryStore | None = None) -> RemotePhotos:
    return RemotePhotos(host, store or MemoryStore("test"), in_thread=_at_once)


async def kept(remote: RemotePhotos) -> str:
    """Get a photo, store it, and remember it, as the role does."""
    answer = await remote.get(URI)
    assert isinstance(answer, Fetched)
    key = remote.store.put_content(answer.data, ".jpg")
    await remote.remember(URI, key, "digest", answer.validators)
    return key


def test_a_photo_that_its_host_calls_unchanged_is_not_loaded() -> None:
    """Neither from the host nor from our store: its hash is known."""

    async def run() -> None:
        host = Host([Fetched(b"photo", TAG)])
        remote = photos(host)
        key = await kept(remote)
        again = await remote.get(URI)
        assert again == Kept(key, "digest", '"1"', "")
        assert host.asked == [NO_VALIDATORS, TAG]
        assert await remote.load(again) == b"photo"

    run_virtual(run())


def test_a_photo_that_is_not_in_our_store_any_more_is_asked_for_whole() -> None:
    """ "Unchanged" would leave an item with an address where nothing is."""

    async def run() -> None:
        host = Host([Fetched(b"photo", TAG)])
        remote = photos(host)
        key = await kept(remote)
        remote.store.delete(key)
        assert await remote.get(URI) == Fetched(b"photo", TAG)
        with pytest.raises(Retryable, match="just been deleted"):
            await remote.load(Kept(key, "digest"))

    run_virtual(run())


def test_what_depends_on_a_setting_is_not_taken_for_what_was_kept_under_another() -> None:
    """With and without owner and place, the stored bytes differ."""

    async def run() -> None:
        host = Host([Fetched(b"photo", TAG)])
        remote = photos(host)
        await kept(remote)
        assert isinstance(await replace(remote, rules="as it is").get(URI), Fetched)

    run_virtual(run())


def test_without_validators_nothing_is_remembered_and_addresses_are_not_kept_readable() -> None:
    """A token in an address stays out of the store's names."""

    async def run() -> None:
        remote = photos(Host([Fetched(b"photo")]))
        key = await kept(remote)
        assert list(remote.store.list()) == [key]
        tagged = photos(Host([Fetched(b"photo", TAG)]))
        await kept(tagged)
        assert not any("secret" in name or "cdn" in name for name in tagged.store.list())

    run_virtual(run())


def test_a_remembered_address_that_cannot_be_read_is_forgotten() -> None:
    """Another version's, or a damaged object: a photo is loaded once more, and nothing else."""

    async def run() -> None:
        store = MemoryStore("test")
        remote = photos(Host([Fetched(b"photo", TAG)]), store)
        await kept(remote)
        [name] = store.list("memo/")
        store.put(name, b"\xff")
        assert isinstance(await remote.get(URI), Fetched)

    run_virtual(run())


def test_a_host_that_asks_for_a_pause_gets_it_and_no_attempt_is_counted() -> None:
    """A host that limits its rate is slow, not broken: no dead letters of a whole feed."""

    async def run() -> None:
        busy: list[Fetched | Retryable] = [HostBusy("busy", 10.0) for _ in range(ATTEMPTS + 2)]
        host = Host([*busy, Fetched(b"photo")])
        assert await photos(host).get(URI) == Fetched(b"photo")
        assert all(later - at >= 10.0 for at, later in zip(host.at, host.at[1:], strict=False))

    run_virtual(run())


def test_a_host_that_asks_for_more_than_is_waited_costs_its_photo_at_once() -> None:
    """The letter says when the host would have been ready, and may be put back then."""

    async def run() -> None:
        host = Host([HostBusy("cdn.example asks to come back in 3600 s (Retry-After)", 3600.0)])
        with pytest.raises(Poison, match="3600 s") as refused:
            await photos(host).get(URI)
        assert refused.value.field == "image.uri"
        assert asyncio.get_running_loop().time() < 1.0

    run_virtual(run())


def test_pauses_that_a_host_asks_for_have_a_bound_together() -> None:
    """ "In ten seconds", for ever, is a host that stays away."""

    async def run() -> None:
        with pytest.raises(Poison):
            await photos(Host([HostBusy("busy", 10.0)])).get(URI)
        assert 120.0 <= asyncio.get_running_loop().time() < 130.0

    run_virtual(run())
