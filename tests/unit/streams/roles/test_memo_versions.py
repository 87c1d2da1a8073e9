"""Memos outlive the code that wrote them."""

import msgspec

from infra.memory_store import MemoryStore
from models.fakes import FakeDetector
from streams.contract.codecs import encode
from streams.roles.items import PhotoContent
from streams.roles.memo import Memo
from tests.unit.streams.roles.test_role_memory import enrich, upload


class Old(msgspec.Struct, frozen=True):
    """What an earlier version kept."""

    width: int


class New(msgspec.Struct, frozen=True):
    """What a later one keeps."""

    width: int
    height: int


async def test_a_memo_that_cannot_be_read_is_thought_about_again_and_replaced():
    """It would make dead letters of good photos, at each delivery."""
    store = MemoryStore()
    memo = Memo(store, "s", "f")
    for unreadable in (msgspec.msgpack.encode(Old(3)), b"", b"\xc1 rubbish", b"\xa1\xff"):
        await memo.put("0" * 64, unreadable)
        assert await memo.recall("0" * 64, New) is None
        assert await memo.keep("0" * 64, New(3, 4), New) == New(3, 4)
        assert await memo.recall("0" * 64, New) == New(3, 4)
        store.delete(next(store.list("memo/")))


async def test_old_code_reads_what_new_code_remembers():
    """Fields that it does not know are ignored, so that both publish the same during an upgrade."""
    memo = Memo(MemoryStore(), "s", "f")
    await memo.keep("0" * 64, New(3, 4), New)
    assert await memo.recall("0" * 64, Old) == Old(3)
    assert await memo.keep("0" * 64, Old(9), Old) == Old(3), "the first writer wins"


async def through(role, message):
    photo = await role.read(message)
    [seen] = role.detect([await role.keep(role.decode(photo))])
    [embedded] = role.embed([role.describe(seen)])
    return await role.stands(await role.remember(embedded))


async def test_a_replay_by_a_later_version_publishes_the_bytes_of_the_first():
    """A worker dies between publishing and committing, and its successor runs newer code: one event, one content."""
    role = enrich()
    first = await through(role, upload(0))
    [key] = [key for key in role.store.list("memo/") if "/item-" not in key]
    sight = msgspec.msgpack.decode(role.store.get(key), type=PhotoContent)
    role.store.put(key, msgspec.msgpack.encode(msgspec.structs.replace(sight, version="0.0.9")))
    again = await role.stands((await role.read(upload(0))).result)
    assert again.version == "0.0.9", "of the code that thought it"
    role.store.put(key, msgspec.msgpack.encode(sight))
    assert encode(await role.stands((await role.read(upload(0))).result)) == encode(first)
    assert first.detector == FakeDetector.fingerprint
