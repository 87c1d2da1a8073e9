"""Dead letters as a tool: which are shown, what goes back where, and what is never shown."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
import pytest

from processors.errors import BadSetting, Code, Poison
from streams.cli.output import printable, shown
from streams.contract import topics
from streams.contract.cloudevents import event_context
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.kafka.dead_letters import CUT_VALUE_BYTES, MAX_KEPT_BYTES, letter_of
from streams.kafka.positions import CHECKED, POSITION, REDRIVES, RecordAddress, place_of, position_of
from streams.kafka.producer import MAX_RECORD_BYTES
from streams.ops.dlq import DeadLetterAdmin, Handled, Terms
from streams.ops.dlq_letters import _ADVICE, Filter, Letter, advice, read_letter, seconds_of
from tests.fakes.kafka_log import PARTITION, KafkaLog

NOW = 1_700_000_000.0
SECRET = "planted-0123456789-secret"
BROKEN = b'{"product_id": "sku-1", "image": {"uri": "https://cdn.example/late.jpg"}}'


class Shop:
    """Topics in memory, a admin over them, and hands that do what the roles would."""

    def __init__(self) -> None:
        self.log = KafkaLog(now_ms=int(NOW * 1000))
        self.admin = DeadLetterAdmin(self.log.read, self.log, self.log, lambda: NOW)  # type: ignore[arg-type]

    def upload(self, key: bytes | None = b"sku-1", value: bytes = BROKEN, **headers: bytes) -> Message:
        return self.log.append(topics.UPLOADS, key, value, tuple(headers.items()))

    def fail(
        self,
        message: Message,
        cause: str = "HTTP 503",
        stage: str = "read",
        age_s: float = 0,
        code: Code = Code.INVALID,
    ) -> Letter:
        """`message` ends as a dead letter."""
        letter = letter_of(Failure(message, stage, Poison(cause, field="image.uri", code=code), 1))
        self.log.now_ms = int((NOW - age_s) * 1000)
        lying = self.log.append(topics.DEAD_LETTERS, letter.key, letter.value, letter.headers)
        return read_letter(lying)

    async def open(self, wanted: Filter | None = None, limit: int | None = None) -> list[str]:
        return [letter.id for letter in await self.admin.letters(wanted or Filter(), limit=limit)]

    async def redrive(self, terms: Terms | None = None, letters: Iterable[Letter] | None = None) -> list[Handled]:
        chosen = await self.admin.letters(Filter()) if letters is None else list(letters)
        return [one async for one in self.admin.redrive(chosen, terms or Terms())]

    @property
    def last(self) -> Message:
        return self.log.records[topics.UPLOADS][-1]


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def test_a_letter_goes_back_as_it_came(shop: Shop) -> None:
    """Key, value, id and headers of the original; nothing of the failure; and where it counts."""
    first = shop.upload(ce_id=b"event-1", traceparent=b"00-ab", shop=b"x")
    letter = shop.fail(first)
    assert letter.id == f"{topics.UPLOADS}/{PARTITION}/0/read"
    [handled] = await shop.redrive()
    assert handled == Handled(letter.id, "redriven", place=f"{topics.UPLOADS}/{PARTITION}/1")
    assert (shop.last.key, shop.last.value) == (first.key, first.value)
    headers = dict(shop.last.headers)
    assert {name: headers[name] for name in ("ce_id", "traceparent", "shop")} == dict(first.headers)
    assert headers[POSITION] == f"{topics.UPLOADS}/{PARTITION}/0".encode()
    assert not [name for name in headers if name.startswith("__connect")]
    assert position_of(shop.last) == first.offset


async def test_an_id_that_came_from_the_offset_stays(shop: Shop) -> None:
    """A record without `ce_id` is the same event after it was put back, once and twice."""
    first = shop.upload()
    for _ in range(2):
        shop.fail(shop.last)
        await shop.redrive()
        assert event_context(shop.last).id == event_context(first).id
        assert position_of(shop.last) == first.offset


async def test_a_letter_that_was_put_back_or_dropped_is_done(shop: Shop) -> None:
    """It is not listed, and is shown with what became of it; a null mark opens it again."""
    for _ in range(2):
        shop.fail(shop.upload(key=f"sku-{shop.log.ends.get(topics.UPLOADS, 0)}".encode()))
    one, two = await shop.admin.letters(Filter())
    await shop.redrive(letters=[one])
    assert [h.outcome async for h in shop.admin.drop([two])] == ["dropped"]
    assert await shop.open() == []
    told = {x.id: x.done for x in await shop.admin.letters(Filter(), with_done=True)}
    assert told[one.id] is not None
    assert (told[one.id].resolution, told[one.id].place) == ("redriven", f"{topics.UPLOADS}/{PARTITION}/2")  # type: ignore[union-attr]
    assert (await shop.admin.show(two.id)).letter.done is not None
    shop.log.append(topics.DEAD_LETTERS_DONE, two.id.encode(), None)
    assert await shop.open() == [two.id]


async def test_copies_of_a_letter_are_one(shop: Shop) -> None:
    """A role that dies between letter and commit writes it twice."""
    first = shop.upload()
    shop.fail(first)
    letter = shop.fail(first)
    assert await shop.open() == [letter.id]
    assert [one.outcome for one in await shop.redrive()] == ["redriven"]
    shop.fail(first)  # and a third time, afterwards
    assert await shop.open() == []


async def test_a_mark_does_not_settle_a_letter_of_another_topic_of_the_name(shop: Shop) -> None:
    """`catalog.uploads` is created again: another record fails at the very place whose letter was dropped."""
    letter = shop.fail(shop.upload())
    assert [h.outcome async for h in shop.admin.drop([letter])] == ["dropped"]
    shop.log.records.pop(topics.UPLOADS)
    shop.log.ends.pop(topics.UPLOADS)
    shop.log.now_ms += 60_000
    again = shop.fail(shop.upload(key=b"sku-2"))
    assert again.id == letter.id
    assert [one.product for one in await shop.admin.letters(Filter())] == ["sku-2"]
    assert [h.outcome async for h in shop.admin.drop([again])] == ["dropped"]
    assert await shop.open() == []


async def test_an_older_upload_does_not_replace_a_newer(shop: Shop) -> None:
    """Refused while a newer one of its product lies behind it; `--as-new` says that it shall."""
    shop.fail(shop.upload())
    newer = shop.upload(value=b'{"newer": 1}')
    shop.upload(key=b"another")
    [handled] = await shop.redrive()
    assert handled.outcome == "refused"
    assert f"superseded: the same product came again at offset {newer.offset}" in handled.cause
    assert len(await shop.open()) == 1, "still open: nothing is dropped in silence"
    [handled] = await shop.redrive(Terms(as_new=True))
    assert handled.outcome == "redriven"
    assert shop.last.header(POSITION) is None


async def test_a_delete_is_newer_too(shop: Shop) -> None:
    """A product that was deleted is not raised again."""
    shop.fail(shop.upload())
    shop.log.append(topics.UPLOADS, b"sku-1", None)
    [handled] = await shop.redrive()
    assert "superseded" in handled.cause


async def test_of_two_letters_of_a_product_the_newer_goes_back(shop: Shop) -> None:
    """The shop's last word is what counts, in one call and in two, in any order."""
    shop.fail(shop.upload(value=b"old"))
    newer = shop.fail(shop.upload(value=b"new"))
    outcomes = {one.id: one.outcome for one in await shop.redrive()}
    assert sorted(outcomes.values()) == ["redriven", "refused"]
    assert outcomes[newer.id] == "redriven"
    assert shop.last.value == b"new"
    assert [one.outcome for one in await shop.redrive()] == ["refused"]


async def test_an_older_one_that_went_back_does_not_stop_a_newer(shop: Shop) -> None:
    """Put back with its old place, it lies behind the newer one and still counts before it."""
    older, newer = shop.upload(value=b"old"), shop.upload(value=b"new")
    shop.fail(older)
    await shop.redrive(Terms(as_new=True))  # now the older is the newest
    letter = shop.fail(newer)
    assert [one.outcome for one in await shop.redrive(letters=[letter])] == ["refused"]
    place = (POSITION, f"{topics.UPLOADS}/{PARTITION}/0".encode())
    shop.log.records[topics.UPLOADS][-1] = Message(topics.UPLOADS, PARTITION, 2, b"sku-1", b"old", (place,))
    assert [one.outcome for one in await shop.redrive(letters=[letter])] == ["redriven"]


async def test_it_does_not_loop_for_ever(shop: Shop) -> None:
    """Three times, then it is refused; a higher bound has to be asked for."""
    shop.upload()
    for times in range(3):
        assert shop.fail(shop.last).redrives == times
        assert [one.outcome for one in await shop.redrive()] == ["redriven"]
        assert shop.last.header(REDRIVES) == str(times + 1).encode()
    shop.fail(shop.last)
    [handled] = await shop.redrive()
    assert handled.outcome == "refused"
    assert "was put back 3 times and failed each time" in handled.cause
    assert [one.outcome for one in await shop.redrive(Terms(max_redrives=4))] == ["redriven"]


async def test_a_tool_that_was_killed_finds_its_own_record(shop: Shop) -> None:
    """Put back, but not marked: the second run marks it, and sends nothing."""
    shop.fail(shop.upload())
    await shop.redrive()
    del shop.log.records[topics.DEAD_LETTERS_DONE][:]
    count = shop.log.ends[topics.UPLOADS]
    [handled] = await shop.redrive()
    assert (handled.outcome, handled.cause) == ("redriven", "it had been put back already")
    assert shop.log.ends[topics.UPLOADS] == count
    assert await shop.open() == []


async def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    """It says the same, refusals included."""
    shop.fail(shop.upload())
    shop.fail(shop.upload(key=None))
    before = dict(shop.log.ends)
    assert [one.outcome for one in await shop.redrive(Terms(dry_run=True))] == ["refused", "would be redriven"]
    letters = await shop.admin.letters(Filter())
    assert {h.outcome async for h in shop.admin.drop(letters, dry_run=True)} == {"would be dropped"}
    assert shop.log.ends == before


async def test_a_record_without_a_key_has_no_place(shop: Shop) -> None:
    """It goes back only as a new one."""
    shop.fail(shop.upload(key=None))
    assert "has no key" in (await shop.redrive())[0].cause
    assert [one.outcome for one in await shop.redrive(Terms(as_new=True))] == ["redriven"]


async def test_probes_are_not_put_back(shop: Shop) -> None:
    """Nobody waits for them; nor for what a stranger wrote among the letters."""
    shop.fail(shop.log.append(topics.PROBES, b"q", b"x"))
    shop.log.append(topics.DEAD_LETTERS, b"\xff", b"whatever", (("__connect.errors.offset", b"-7"),))
    forged = (("__connect.errors.topic", b"weft.dead-letters.done"), ("__connect.errors.partition", b"0"))
    shop.log.append(topics.DEAD_LETTERS, None, b"\0", (*forged, ("__connect.errors.offset", b"1")))
    assert {one.outcome for one in await shop.redrive()} == {"refused"}
    assert len(await shop.open()) == 3
    for letter_id in await shop.open():
        assert (await shop.admin.show(letter_id)).advice


async def test_an_item_that_was_replaced_stays_replaced(shop: Shop) -> None:
    """On the compacted topic the newer one, or its tombstone, may be the only trace, and a tombstone goes as well."""
    one = shop.log.append(topics.ITEMS, b"sku-1", b"item")
    letter = shop.fail(one, stage="index")
    shop.log.append(topics.ITEMS, b"sku-1", None)
    shop.log.compact(topics.ITEMS)
    shop.log.records[topics.ITEMS].clear()
    assert "superseded" in (await shop.redrive(letters=[letter]))[0].cause
    two = shop.fail(shop.log.append(topics.ITEMS, b"sku-2", b"item"), stage="index")
    assert [h.outcome for h in await shop.redrive(letters=[two])] == ["redriven"]


async def test_an_item_that_slips_in_ends_on_top(shop: Shop) -> None:
    """Between the tool's look and its record: the newer one is the last of its key all the same."""
    letter = shop.fail(shop.log.append(topics.ITEMS, b"sku-1", b"old"), stage="index")
    shop.log.before_send.append(lambda: shop.log.append(topics.ITEMS, b"sku-1", b"new"))
    shop.log.before_send.append(lambda: shop.log.append(topics.ITEMS, b"sku-1", b"newest"))
    assert [h.outcome for h in await shop.redrive(letters=[letter])] == ["redriven"]
    shop.log.compact(topics.ITEMS)
    assert [record.value for record in shop.log.records[topics.ITEMS]] == [b"newest"]


async def test_what_is_checked_is_written_down(shop: Shop) -> None:
    """`enrich` looks only at what came after the tool's own look."""
    shop.fail(shop.upload())
    shop.upload(key=b"another")
    await shop.redrive()
    assert shop.last.header(CHECKED) == b"2"


async def test_filters(shop: Shop) -> None:
    """By id, product, stage, code, words of the cause and age; all of them must hold."""
    day = 86_400
    old = shop.fail(shop.upload(key=b"a"), "HTTP 404", age_s=2 * day)
    new = shop.fail(shop.upload(key=b"b"), "No Such File", stage="decode")
    expected = {
        Filter(): [old.id, new.id],
        Filter(ids=frozenset({new.id})): [new.id],
        Filter(products=frozenset({"a"})): [old.id],
        Filter(stage="decode"): [new.id],
        Filter(code="Poison"): [old.id, new.id],
        Filter(code="poison"): [],
        Filter(cause="no such"): [new.id],
        Filter(older_than_s=day): [old.id],
        Filter(newer_than_s=day): [new.id],
        Filter(stage="read", newer_than_s=day): [],
    }
    assert {wanted: await shop.open(wanted) for wanted in expected} == expected
    assert await shop.open(limit=1) == [old.id], "the oldest first"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5d", 129_600)])
def test_ages(text: str, seconds: float) -> None:
    """As people write them."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "m", "-3h", "1w", "١h", "9" * 50 + "d"])
def test_no_ages(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(BadSetting, match="is no age"):
        seconds_of(text)


@pytest.mark.parametrize("text", ["", "a/b", "a/1/x", "a/-1/2", "a/1/2/3", "/1/2", f"a/1/{'9' * 30}", "a/1/²"])
def test_no_places(text: str) -> None:
    """A forged header is no place."""
    assert place_of(text) is None
    assert place_of("catalog.uploads/3/81") == RecordAddress("catalog.uploads", 3, 81)


@pytest.mark.parametrize(
    "value",
    [
        {"image": {"uri": f"https://cdn.example/a.jpg?X-Amz-Signature={SECRET}&size=20"}},
        {"image": {"uri": f"https://me:{SECRET}@cdn.example/a.jpg"}},
        {"image": {"uri": f"https://cdn.example/a.jpg?st=1&whatever={SECRET}"}},
        {"metadata": {"password": SECRET, "note": f"token: {SECRET}"}},
        {"metadata": {"note": f"Authorization: Bearer {SECRET}"}},
    ],
)
async def test_a_letter_shows_no_secret_and_goes_back_whole(shop: Shop, value: dict[str, object]) -> None:
    """Blanked in the letter to the last byte, whichever way JSON is written; the original lies on its topic."""
    for text in (json.dumps(value), json.dumps(value).replace("/", "\\/").replace("&", "\\u0026")):
        first = shop.upload(value=text.encode(), authorization=f"Basic {SECRET}".encode())
        letter = shop.fail(first)
        lying = shop.log.records[topics.DEAD_LETTERS][-1]
        assert letter.withheld == "redacted"
        assert len(lying.value or b"") == len(text)
        assert json.loads(lying.value or b""), "it is JSON still"
        told = str(await shop.admin.show(letter.id)) + str(lying)
        assert SECRET not in told
        [handled] = await shop.redrive(letters=[letter])
        assert handled.outcome == "redriven"
        assert (shop.last.value, shop.last.header("authorization")) == (first.value, f"Basic {SECRET}".encode())


async def test_what_was_withheld_and_is_gone_is_not_put_back(shop: Shop) -> None:
    """Stars are no upload."""
    letter = shop.fail(shop.upload(value=f'{{"password": "{SECRET}"}}'.encode()))
    shop.log.records[topics.UPLOADS].clear()
    [handled] = await shop.redrive(letters=[letter])
    assert handled.outcome == "refused"
    assert "does not keep it any more" in handled.cause


def test_an_ordinary_letter_is_the_original() -> None:
    """Nothing of it is taken for a secret."""
    value = b'{"image": {"uri": "https://cdn.example/a.jpg?size=20&v=3"}, "metadata": {"title": "Basic sweatshirt"}}'
    letter = letter_of(Failure(Message("u", 0, 0, b"k", value, (("ce_id", b"1"),)), "read", Poison("x"), 1))
    assert letter.value == value
    assert letter.header("weft_withheld") is None


@pytest.mark.parametrize("place", ["key", "value", "headers"])
async def test_a_record_too_large_for_a_letter_is_cut(shop: Shop, place: str) -> None:
    """Ten megabytes arrive compressed: their letter must be writable, or the role dies of it for ever."""
    big = b"x" * 10_000_000
    many = tuple((f"h{n}", b"y" * 1000) for n in range(10_000))
    given = {"key": {"key": big}, "value": {"value": big}, "headers": {}}[place]
    first = shop.upload(**given)  # type: ignore[arg-type]
    if place == "headers":
        first = Message(first.topic, first.partition, first.offset, first.key, first.value, many)
        shop.log.records[topics.UPLOADS][-1] = first
    letter = shop.fail(first)
    lying = shop.log.records[topics.DEAD_LETTERS][-1]
    assert letter.withheld == "cut"
    assert lying.size < CUT_VALUE_BYTES * 2 < MAX_KEPT_BYTES <= MAX_RECORD_BYTES
    [handled] = await shop.redrive(letters=[letter])
    assert handled.outcome == "redriven"
    assert (shop.last.key, shop.last.value) == (first.key, first.value)


def test_a_cause_that_cannot_be_written_is_written() -> None:
    """Half a character in a message must not make the letter unwritable."""
    letter = letter_of(Failure(Message("u", 0, 0, b"k"), "read", Poison("no file \udcff"), 1))
    assert b"no file ?" in (letter.header("__connect.errors.exception.message") or b"")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (Code.HOST_NOT_ALLOWED, "WEFT_ALLOWED_HOSTS"),
        (Code.FOLDER_NOT_ALLOWED, "WEFT_FILE_ROOTS"),
        (Code.UNREACHABLE, "redrive"),
        (Code.BAD_IMAGE, "new one"),
        (Code.MALFORMED, "sender"),
        (Code.SUPERSEDED, "drop it"),
        (Code.INTERNAL, "log of the role"),
    ],
)
def test_advice_goes_by_the_code(shop: Shop, code: Code, says: str) -> None:
    """Whatever words the cause has: a product called "superseded" is not told to be dropped."""
    letter = shop.fail(shop.upload(), "superseded: no object, HTTP 404, not UTF-8", code=code)
    assert letter.code == code
    assert says in advice(letter)


def test_every_code_of_a_letter_has_advice(shop: Shop) -> None:
    """Those of queries and edits alone never come as letters; all the others have a sentence of their own."""
    asked_only = {Code.EMPTY_QUERY, Code.UNKNOWN_PRODUCT, Code.DEADLINE_EXCEEDED}
    asked_only |= {Code.NO_GARMENT, Code.REFUSED_WORDS, Code.CONSENT_NEEDED, Code.CANCELLED}
    assert set(_ADVICE) == set(Code) - asked_only


def test_a_letter_of_an_earlier_version_has_no_code(shop: Shop) -> None:
    """It is read all the same, and can be chosen by the class of its exception."""
    letter = msgspec.structs.replace(shop.fail(shop.upload()), code="")
    assert "log of the role" in advice(letter)
    assert Filter(code="Poison").matches(letter, 0)
    assert not Filter(code="bad_image").matches(letter, 0)


def test_what_a_terminal_obeys_is_shown_instead() -> None:
    """A product's name cannot clear the screen, turn the line around or be taken for markup."""
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\x202ec\nd"
    assert shown("[/red]x") == "\\[/red]x"
    assert printable("שמלה 👗 é") == "שמלה 👗 é"
