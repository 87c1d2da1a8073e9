"""Rubbish on every way in, on the real Kafka with the roles running: it harms itself, and tells no secrets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from infra.stores import open_store
from processors.image_header import sniff
from processors.values import Metadata
from streams.cli.exits import Exit
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item, Result, Source, View
from streams.engine.message import Message
from streams.kafka.client import Client, Reader
from streams.kafka.positions import CHECKED, LETTER, POSITION
from streams.ops.dlq import Handled, Terms, open_dead_letter_admin
from streams.ops.dlq_letters import Filter, Letter
from tests.fixtures import commands, hostile
from tests.fixtures.hostile import RecordCase
from tests.fixtures.stack import Up

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SECRETS = [f"planted-{n}-0123456789abcdefABCDEF" for n in range(9)]
PATIENCE_S = 240.0
SIGNED = f"X-Amz-Credential={SECRETS[0]}&X-Amz-Signature={SECRETS[1]}&token={SECRETS[2]}"


@dataclass
class Besieged(Up):
    """A stack whose settings hold secrets, and whose list of hosts names this very machine."""

    folder: Path = Path()
    port: int = 0
    connected: list[object] = field(default_factory=list)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    folder = tmp_path_factory.mktemp("hostile")
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        environment = {
            "WEFT_ALLOWED_HOSTS": json.dumps(hostile.inside_hosts(port)),
            "WEFT_FILE_ROOTS": json.dumps([str(folder / "allowed")]),
            "WEFT_LOG_LEVEL": "debug",
            "WEFT_LOG_FORMAT": "json",
            "WEFT_KAFKA_SASL_PASSWORD": SECRETS[7],
            "WEFT_S3_SECRET_KEY": SECRETS[8],
        }
        running = Besieged(folder / "stack", environment, ("--single-process",), folder=folder, port=port)
        running.start()
        yield running
        assert running.stop() == 0
        with pytest.raises(BlockingIOError):
            server.accept()  # nobody connected inside


def weft(up: Up, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.weft(*arguments, "--data-dir", str(up.data_dir))


async def send(up: Up, topic: str, cases: Sequence[RecordCase]) -> dict[tuple[int, int], RecordCase]:
    """Write records as any client may, packed: ten megabytes of one letter are a few kilobytes on the wire."""
    async with AIOKafkaProducer(
        bootstrap_servers=up.settings.bootstrap_servers, compression_type="gzip", max_request_size=32 * 2**20
    ) as producer:
        places = {}
        for case in cases:
            # A record of Kafka's needs a key or a value; kcat can send neither, so do we here with an empty key.
            key = b"" if case.key is None and case.value is None else case.key
            sent = await producer.send_and_wait(topic, key=key, value=case.value)
            places[sent.partition, sent.offset] = case
    return places


async def until(
    reader: Reader, wanted: int, what: Counter[str], name: str, mine: Callable[[Message], bool]
) -> AsyncIterator[Message]:
    """`wanted` records of a topic: those of other tests may still be on their way, and are passed over."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for message in reader.follow():
                if not mine(message):
                    continue
                what[name] += 1
                yield message
                if what[name] == wanted:
                    return
    except TimeoutError:
        pytest.fail(f"{what[name]} of {wanted} {name} came")


async def next_of(reader: Reader, key: bytes) -> Message:
    """The next record of a product: letters and captions of other tests may still be on their way."""
    async for message in reader.follow():
        if message.key == key:
            return message
    raise AssertionError(key)


def place_in(letter: Message) -> tuple[int, int]:
    return tuple(int(letter.header(f"__connect.errors.{name}") or -1) for name in ("partition", "offset"))  # type: ignore[return-value]


async def test_every_case_at_once(up: Besieged) -> None:
    """Valid ones are captioned; each other leaves one letter with stage, field and cause; mates are untouched."""
    store = Path(open_store(up.settings).uri("x").removeprefix("file://")).parent
    images = [
        RecordCase(c.name, c.name.encode(), hostile.upload(c.name, hostile.inline(c.data)), c.fate, "image")
        for c in hostile.image_cases()
    ]
    huge = hostile.upload("ten-megabytes", hostile.WORKS, metadata={"title": "x" * 10_000_000})
    others = [
        *hostile.record_cases(),
        *hostile.address_cases(up.folder, store, up.port),
        RecordCase("ten-megabytes", b"ten-megabytes", huge, "longer than", "metadata.title"),
    ]
    cases = []
    for number, case in enumerate([*images, *others]):
        cases.append(case)
        if number % 4 == 0:
            name = f"mate-{number}"
            cases.append(RecordCase(name, name.encode(), hostile.upload(name, hostile.WORKS), None))
    bad = [case for case in cases if case.fate is not None]
    before, counted = up.file.pids, Counter[str]()
    async with (
        Reader(up.settings, topics.DEAD_LETTERS, from_end=True) as dead,
        Reader(up.settings, topics.CAPTIONS, from_end=True) as captions,
    ):
        places = await send(up, topics.UPLOADS, cases)
        letters = [m async for m in until(dead, len(bad), counted, "letters", lambda m: place_in(m) in places)]
        works = {case.name for case in cases if case.fate is None}
        ours = {case.name.encode() for case in cases}
        of_ours = until(captions, len(works), counted, "captions", lambda m: m.key in ours)
        captioned = Counter([m.key.decode() async for m in of_ours if m.key is not None])
    assert captioned == Counter(works), "each valid one once, and no other"
    assert sorted(map(place_in, letters)) == sorted(place for place, case in places.items() if case.fate is not None)
    for letter in letters:
        case = places[place_in(letter)]
        cause = (letter.header("__connect.errors.exception.message") or b"").decode()
        assert letter.header("__connect.errors.stage") in {b"read", b"decode"}, case.name
        assert (case.fate or "") in cause, case.name
        assert cause.startswith(case.field.split("[")[0]) or case.name == "no-base64", (case.name, cause)
        if letter.header("weft_withheld") is None:
            assert letter.value == case.value, case.name
        else:
            assert case.name in {"ten-megabytes", "user-in-host"}, case.name
    assert up.file.pids == before, "no role died of it"
    kept = [path.read_bytes() for path in (store / "images").rglob("*") if path.is_file()]
    assert all(sniff(data) for data in kept)
    assert (up.folder / "secret.jpg").read_bytes() not in kept
    assert not list(up.data_dir.rglob("weft-was-here"))


class _BadName(str):
    """A header's name that is sent as other bytes than its text."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xffname"


async def test_records_of_any_producer(up: Besieged, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a producer packs its records, and whatever bytes it calls a header, they are read."""
    for module in (producer, message_accumulator):  # its fast one takes no such name
        monkeypatch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
    wanted, counted = set(), Counter[str]()
    async with Reader(up.settings, topics.CAPTIONS, from_end=True) as captions:
        for codec in (None, "gzip", "snappy", "lz4", "zstd"):
            async with AIOKafkaProducer(
                bootstrap_servers=up.settings.bootstrap_servers, compression_type=codec
            ) as sender:
                for number, name in enumerate(("plain", _BadName("bad"))):
                    key = f"packed-{codec}-{number}"
                    wanted.add(key)
                    value = hostile.upload(key, hostile.WORKS)
                    await sender.send_and_wait(topics.UPLOADS, key=key.encode(), value=value, headers=[(name, b"x")])
        of_ours = until(captions, len(wanted), counted, "captions", lambda m: (m.key or b"").startswith(b"packed-"))
        captioned = {m.key.decode() async for m in of_ours if m.key}
    assert captioned == wanted


async def test_every_query_is_answered(up: Besieged) -> None:
    """Each once, with its code, and words that say why; the role lives on."""
    cases = hostile.query_cases()
    before, counted = up.file.pids, Counter[str]()
    async with Reader(up.settings, topics.RESULTS, from_end=True) as results:
        await send(up, topics.QUERIES, cases)
        keys = {case.key for case in cases}
        answers = [
            msgspec.json.decode(m.value or b"", type=Result)
            async for m in until(results, len(cases), counted, "results", lambda m: m.key in keys)
        ]
    by_id = {answer.query_id: answer for answer in answers}
    assert sorted(by_id) == sorted(case.name for case in cases)
    for case in cases:
        error = by_id[case.name].error
        assert (error.code if error else "") == case.field, case.name
        assert case.fate is None or (error is not None and case.fate in error.message), (case.name, error)
    assert up.file.pids == before


def test_ingest_of_a_folder_of_rubbish(up: Besieged, tmp_path: Path) -> None:
    """What is a photo is captioned, everything else is refused by name, and nothing that is no photo is stored."""
    folder = tmp_path / "shop"
    folder.mkdir()
    cases = {f"in-{c.name.replace('.', '-')}": c for c in hostile.image_cases()}
    for name, case in cases.items():
        (folder / f"{name}.jpg").write_bytes(case.data)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "endless.png").symlink_to("/dev/zero")
    (folder / "[red]\x1b[2J\n.jpg").write_bytes(hostile.GOOD)
    (folder / "products.csv").write_text(f"id,image,description\nhuge,in-good-jpg.jpg,{'x' * 10_000_000}\n")
    done = weft(up, "ingest", str(folder), "--wait", "--json", "--timeout", "200")
    assert done.returncode == Exit.REJECTED, done.stderr
    captioned = {msgspec.json.decode(line, type=Caption).product_id for line in done.stdout.splitlines()}
    works = {name for name, case in cases.items() if case.fate is None} - {"in-good-jpg"}
    assert captioned == works | {"[red]\x1b[2J\n", "huge"}
    assert "left out: products.csv line 2: description has 10,000,000 characters" in done.stderr
    refused = {name: case.fate for name, case in cases.items() if case.fate is not None}
    for name, cause in {**refused, "pipe": "regular", "endless": "regular"}.items():
        [line] = [line for line in done.stderr.splitlines() if line.startswith(f"refused: {name} ")]
        assert cause in line
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr


def secretive() -> list[RecordCase]:
    """Uploads that can never succeed, each with a secret in another place."""
    image = {"uri": f"https://elsewhere.example/a.jpg?size=20&{SIGNED}"}
    return [
        RecordCase("s-signed", b"s-signed", hostile.upload("s-signed", image), "allowed hosts"),
        RecordCase(
            "s-user",
            b"s-user",
            hostile.upload("s-user", {"uri": f"https://me:{SECRETS[3]}@elsewhere.example/a.jpg"}),
            "user name",
        ),
        RecordCase("s-broken", b"s-broken", hostile.upload("s-broken", image)[:-1], "truncated"),
        RecordCase(
            "s-text",
            b"s-text",
            hostile.upload("s-text", image, metadata={"title": f"password={SECRETS[4]}", "price": "x"}),
            "number",
        ),
        RecordCase("s-type", b"s-type", json.dumps({"product_id": image, "api_key": SECRETS[5]}).encode(), "Expected"),
    ]


async def test_nothing_tells_a_secret(up: Besieged) -> None:
    """Letters, results, logs and the tool: none shows what was planted; the original comes back all the same."""
    cases = secretive()
    asked = [RecordCase(f"q-{c.name}", f"q-{c.name}".encode(), c.value, None) for c in cases]
    asked.append(
        RecordCase("q-s", b"q-s", json.dumps({"query_id": "q-s", "image": {"uri": _uri(cases[0])}}).encode(), None)
    )
    counted = Counter[str]()
    async with (
        Reader(up.settings, topics.DEAD_LETTERS, from_end=True) as dead,
        Reader(up.settings, topics.RESULTS, from_end=True) as results,
    ):
        places = await send(up, topics.UPLOADS, cases)
        await send(up, topics.QUERIES, asked)
        keys = {case.key for case in asked}
        records = [m async for m in until(dead, len(cases), counted, "letters", lambda m: place_in(m) in places)]
        records += [m async for m in until(results, len(asked), counted, "results", lambda m: m.key in keys)]
    told = [part for m in records for part in (m.key, m.value, *(value for _, value in m.headers)) if part is not None]
    told += [path.read_bytes() for path in up.data_dir.glob("logs/*.log")]
    listed = weft(up, "dlq", "list", "--product", "s-signed", "--json")
    letter = msgspec.json.decode(listed.stdout, type=Letter)
    shown = weft(up, "dlq", "show", letter.id)
    told += [text.encode() for text in (listed.stdout, listed.stderr, shown.stdout, shown.stderr)]
    assert letter.withheld == "redacted"
    assert "elsewhere.example/a.jpg?size=20" in shown.stdout, "what is no secret can be read"
    assert "WEFT_ALLOWED_HOSTS" in shown.stderr, "what to do is said"
    assert not [secret for secret in SECRETS if any(secret.encode() in part for part in told)]
    async with (
        open_dead_letter_admin(up.settings) as admin,
        Reader(up.settings, topics.UPLOADS, from_end=True) as uploads,
    ):
        [handled] = [one async for one in admin.redrive([letter], Terms())]
        assert handled.outcome == "redriven"
        back = await next_of(uploads, b"s-signed")
    assert (back.key, back.value) == (b"s-signed", cases[0].value)


def _uri(case: RecordCase) -> str:
    uri: str = json.loads(case.value or b"")["image"]["uri"]
    return uri


async def test_a_letter_goes_back_and_is_done(up: Besieged) -> None:
    """The photo was late: after redrive its product is captioned, and list does not show the letter any more."""
    late = up.folder / "allowed" / "late.jpg"
    late.parent.mkdir(exist_ok=True)
    case = RecordCase("late", b"late", hostile.upload("late", {"uri": late.as_uri()}), "No such file")
    async with (
        Reader(up.settings, topics.DEAD_LETTERS, from_end=True) as dead,
        Reader(up.settings, topics.CAPTIONS, from_end=True) as captions,
    ):
        await send(up, topics.UPLOADS, [case])
        await next_of(dead, b"late")
        late.write_bytes(hostile.GOOD)
        done = weft(up, "dlq", "redrive", "--product", "late", "--json")
        assert done.returncode == Exit.OK, done.stderr
        assert msgspec.json.decode(done.stdout, type=Handled).outcome == "redriven"
        await next_of(captions, b"late")
    listed = weft(up, "dlq", "list", "--product", "late", "--json")
    assert (listed.returncode, listed.stdout) == (Exit.OK, "")


async def test_an_old_upload_that_comes_back_late_replaces_nothing(up: Besieged) -> None:
    """The newer upload slips in between the tool's look and its record: the role sees it, and refuses the older."""
    newer = RecordCase("slips", b"slips", hostile.upload("slips", hostile.WORKS), None)
    async with (
        Reader(up.settings, topics.DEAD_LETTERS, from_end=True) as dead,
        Reader(up.settings, topics.CAPTIONS, from_end=True) as captions,
        AIOKafkaProducer(bootstrap_servers=up.settings.bootstrap_servers) as producer,
    ):
        first = await producer.send_and_wait(topics.UPLOADS, key=b"slips", value=b"{")
        await next_of(dead, b"slips")
        [(partition, offset)] = await send(up, topics.UPLOADS, [newer])
        assert partition == first.partition
        headers = [
            (POSITION, f"{topics.UPLOADS}/{partition}/{first.offset}".encode()),
            (CHECKED, str(offset).encode()),
            (LETTER, b"of the test"),
        ]
        old = hostile.upload("slips", hostile.WORKS, metadata={"title": "the older"})
        await producer.send_and_wait(topics.UPLOADS, key=b"slips", value=old, headers=headers, partition=partition)
        letter = await next_of(dead, b"slips")
        assert f"superseded: the same product came again at offset {offset}".encode() in (
            letter.header("__connect.errors.exception.message") or b""
        )
        await next_of(captions, b"slips")
    async with Client(up.settings) as client:
        assert (await client.captions())["slips"].lineage.source.offset == offset
    async with open_dead_letter_admin(up.settings) as admin:
        letters = await admin.letters(Filter(products=frozenset({"slips"})))
        handled = [one async for one in admin.redrive(letters, Terms())]
    assert [one.outcome for one in handled] == ["refused", "refused"]
    assert all("superseded" in one.cause for one in handled)


JUNK: tuple[tuple[bytes | None, bytes | None, Any], ...] = (
    (b"junk", b"\xc1", [("weft-null", None)]),
    (b"junk", b"\xc1", [("ce_id", None), ("ce_time", None), ("ce_source", None), ("weft_position", None)]),
    (b"junk", None, [("x", None)]),
    (b"", None, []),
    (None, b"", [("", None)]),
    (b"\xff\xfe", b"\xff\xfe", []),
    (b"junk", b"{", []),
    (b"junk", b"[]", []),
    (b"junk", b"\x93\x01\x02\x03", []),
    (b"junk", msgspec.msgpack.encode({"query_id": 7, "product_id": None, "vector": b"abc"}), []),
    (b"junk", b"\x81" * 5000, []),
    (b"junk", b"[" * 5000, []),
    (b"junk", b"x" * 3_500_000, [("x", None)]),
)


def bad_items() -> list[bytes]:
    """Records of `catalog.items` that decode, and whose numbers are traps."""
    views = (View("whole", "dress", b"abc"),)
    source = Source(topics.UPLOADS, 0, 0)
    metadata = Metadata(fabric="silk", gender="women")

    def item(dimension: int, views: tuple[View, ...]) -> bytes:
        return encode(Item("junk", "file:///i", 9, 9, (), views, metadata, "sha256:e", dimension, "d", source, "0"))

    return [item(1, views), item(-4, views), item(10**12, views), item(0, (View("whole", "", b""),)), item(4, ())]


async def test_junk_on_every_topic_and_all_goes_on(up: Besieged) -> None:
    """Null headers, null values, wrong MessagePack, megabytes: roles live, every tool works, search and captions go on."""
    before = up.file.pids
    async with AIOKafkaProducer(
        bootstrap_servers=up.settings.bootstrap_servers, compression_type="gzip", max_request_size=8 * 2**20
    ) as producer:
        for spec in topics.TOPICS:
            for key, value, headers in JUNK:
                if key is None and spec.cleanup == "compact":
                    continue  # the broker itself refuses it
                await producer.send_and_wait(spec.name, key=key, value=value, headers=headers, partition=0)
        for value in bad_items():
            await producer.send_and_wait(topics.ITEMS, key=b"junk", value=value, headers=[("x", None)])
    photo = up.folder / "goes-on.png"
    photo.write_bytes(hostile.GOOD)
    for command in (
        ("ingest", str(photo), "--wait", "--json"),
        ("captions", "--json"),
        ("query", "--product", "goes-on", "--text", "but in red", "--deadline-ms", "20000", "--json"),
        ("dlq", "list", "--json"),
        ("doctor", "--json"),
        ("topics", "list"),
    ):
        done = await asyncio.to_thread(weft, up, *command)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        if command[0] == "doctor":
            bad = [finding["part"] for finding in json.loads(done.stdout)["findings"] if not finding["ok"]]
            # The profile is for tests only, and the junk lies on a partition that its keys do not name. Of the items that are
            # looked at, one of the junk may name its photo, which nobody has.
            assert {"keys", "models"} == {*bad} - {"photos"}
            continue
        assert done.returncode == Exit.OK, (command, done.returncode, done.stderr)
        if command[0] in {"ingest", "captions"}:
            assert "goes-on" in done.stdout, command
            [json.loads(line) for line in done.stdout.splitlines()]  # what was skipped is told on stderr
        if command[0] == "query":
            assert msgspec.json.decode(done.stdout, type=Result).error is None
    assert up.file.pids == before, "no role died of it"
    async with aiohttp.ClientSession() as http, http.get(f"{up.file.scrape}/healthz") as health:
        assert health.status == 200, await health.text()
