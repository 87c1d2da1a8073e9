"""How many dead letters are open."""

from __future__ import annotations

from processors.errors import Poison
from streams.contract import topics
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.kafka.dead_letters import letter_of
from streams.ops.dlq_letters import read_letter
from streams.ops.dlq_watch import OpenLetters


def letter(offset: int, lies: int) -> Message:
    """The letter of the upload at `offset`, lying at `lies`."""
    made = letter_of(Failure(Message(topics.UPLOADS, 3, offset, b"sku", b"{}"), "read", Poison("broken"), 1))
    return Message(topics.DEAD_LETTERS, 0, lies, made.key, made.value, made.headers)


def mark(of: Message, value: bytes | None = b"{}") -> Message:
    """What `weft dlq drop` writes."""
    return Message(topics.DEAD_LETTERS_DONE, 0, 0, read_letter(of).id.encode(), value)


def test_letters_are_open_until_they_are_settled() -> None:
    """A copy counts once; a mark settles, whichever comes first; a null mark opens again."""
    found = OpenLetters()
    one, two = letter(1, 0), letter(2, 1)
    found.mark(mark(two))
    for message in (one, letter(1, 2), two):
        found.letter(message)
    assert found.count == 1
    found.mark(mark(one))
    assert found.count == 0
    found.mark(mark(two, None))
    assert found.count == 1


def test_what_the_topic_does_not_keep_is_not_open() -> None:
    """Nobody can put it back or drop it: it would keep an alarm on for ever."""
    found = OpenLetters()
    found.letter(letter(1, 0))
    found.letter(letter(2, 1))
    found.kept({0: (1, 2)})
    assert found.count == 1


def test_letters_without_end_take_no_memory_without_end() -> None:
    """They are kept for ever; of those remembered the newest count, and the marks of the newest."""
    found = OpenLetters(most=10)
    for number in range(1000):
        found.mark(mark(letter(number, number)))
    for number in range(1000):
        found.letter(letter(number, number))
    assert found.count == 0
    for number in range(1000, 1004):
        found.letter(letter(number, number))
    assert found.count == 4
    assert len(found._lie) == len(found._done) == 10
