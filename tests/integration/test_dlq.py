"""Dead letters on the real Kafka, without roles: what the topics in memory cannot show."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from infra.settings import Settings
from processors.errors import Poison
from streams.cli.exits import Exit
from streams.contract import topics
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.kafka.positions import Positions
from streams.kafka.producer import KafkaSender, open_producer
from streams.ops.admin import create_topics
from streams.ops.dlq import Handled, Terms, open_dead_letter_admin
from streams.ops.dlq_letters import Filter, Letter
from tests.fixtures import commands

pytestmark = [pytest.mark.integration]


@dataclass
class Shop:
    """A product of its own on the shared broker."""

    settings: Settings
    sender: KafkaSender
    product: str

    async def upload(self, value: bytes = b"{") -> Message:
        key = self.product.encode()
        sent = await (await self.sender.send(topics.UPLOADS, key=key, value=value, headers=[("ce_id", b"e-1")]))
        return Message(topics.UPLOADS, sent.partition, sent.offset, key, value, (("ce_id", b"e-1"),))  # type: ignore[attr-defined]

    async def fail(self, message: Message) -> None:
        failure = Failure(message, "read", Poison("is broken", field="value"), 1)
        for delivery in await dead_letters(self.sender)(failure):
            await delivery

    @property
    def mine(self) -> Filter:
        return Filter(products=frozenset({self.product}))


@pytest.fixture
async def shop(kafka: str) -> AsyncIterator[Shop]:
    settings = Settings(bootstrap_servers=kafka, partitions=4)
    await create_topics(settings)
    async with open_producer(settings) as sender:
        yield Shop(settings, sender, f"dlq-{uuid.uuid4().hex[:8]}")


async def test_there_and_back(shop: Shop) -> None:
    """A letter goes back into its own partition and is done; when it fails again, it is another letter, counted."""
    first = await shop.upload()
    await shop.fail(first)
    async with (
        open_dead_letter_admin(shop.settings) as admin,
        Reader(shop.settings, topics.UPLOADS, from_end=True) as uploads,
    ):
        [letter] = await admin.letters(shop.mine)
        assert letter.id == f"{topics.UPLOADS}/{first.partition}/{first.offset}/read"
        [handled] = [one async for one in admin.redrive([letter], Terms())]
        back = await anext(uploads.follow())
        assert handled.place == f"{back.topic}/{back.partition}/{back.offset}"
        assert (back.partition, back.key, back.value) == (first.partition, first.key, first.value)
        assert back.header("ce_id") == b"e-1"
        assert await admin.letters(shop.mine) == []
        await Positions(shop.settings).check(back)
        await shop.fail(back)
        [again] = await admin.letters(shop.mine)
        assert (again.redrives, again.offset) == (1, back.offset)


async def test_the_newer_upload_stays(shop: Shop) -> None:
    """Refused by the tool that looked after it came; found by the role where it came after the tool had looked."""
    await shop.fail(await shop.upload())
    async with (
        open_dead_letter_admin(shop.settings) as admin,
        Reader(shop.settings, topics.UPLOADS, from_end=True) as uploads,
    ):
        letters = await admin.letters(shop.mine)
        [handled] = [one async for one in admin.redrive(letters, Terms())]
        back = await anext(uploads.follow())
        newer = await shop.upload(b"newer")
        # The same record once more, behind the newer one: as if the newer had slipped in before it.
        late = await shop.sender.send(topics.UPLOADS, key=back.key, value=back.value, headers=back.headers)
        await late
        records = uploads.follow()
        assert (await anext(records)).offset == newer.offset
        with pytest.raises(Poison, match=f"superseded: the same product came again at offset {newer.offset}"):
            await Positions(shop.settings).check(await anext(records))
        await shop.fail(back)
        [refused] = [one async for one in admin.redrive(await admin.letters(shop.mine), Terms())]
    assert handled.outcome == "redriven"
    assert refused.outcome == "refused"


@pytest.mark.timeout(300)
async def test_the_commands(shop: Shop) -> None:
    """JSON lines on stdout, sentences on stderr, exit codes as everywhere."""

    def weft(*arguments: str) -> subprocess.CompletedProcess[str]:
        return commands.weft("dlq", *arguments, WEFT_BOOTSTRAP_SERVERS=shop.settings.bootstrap_servers)

    await shop.fail(await shop.upload())
    listed = weft("list", "--product", shop.product, "--json")
    assert listed.returncode == Exit.OK, listed.stderr
    letter = msgspec.json.decode(listed.stdout, type=Letter)
    shown = weft("show", letter.id)
    assert shown.returncode == Exit.OK, shown.stderr
    assert "value: is broken" in shown.stdout
    assert "what to do:" in shown.stderr
    dropped = weft("drop", letter.id, "--json")
    assert msgspec.json.decode(dropped.stdout, type=Handled) == Handled(letter.id, "dropped")
    for arguments, code in {
        ("drop", letter.id): Exit.REJECTED,  # it is done
        ("drop",): Exit.USAGE,
        ("list", "--older-than", "soon"): Exit.USAGE,
    }.items():
        answer = weft(*arguments)
        assert answer.returncode == code, answer.stderr
        assert "Traceback" not in answer.stderr
