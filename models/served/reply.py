"""What a model behind a server gives for an item: an answer, or why there is none. A failure is a value until somebody reads it."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future

import msgspec

from models.served.answers import Answer
from models.served.client import awaited
from models.served.failures import Unanswered


class Reply(msgspec.Struct, frozen=True):
    """See the head of this module."""

    answer: Answer | None = None
    cause: Unanswered | None = None

    def text(self) -> str:
        """The text. One that was cut off loses its last word, which may be half a hashtag. Raises `Unanswered`: there is none."""
        if self.answer is None:
            raise self.cause or Unanswered("broken", "no answer")
        return self.answer.text if self.answer.ended else self.answer.text.rpartition(" ")[0]


async def reply_of(asked: Future[Answer]) -> Reply:
    """Wait on an event loop."""
    try:
        answer: Answer = await awaited(asked)
        return Reply(answer)
    except Unanswered as cause:
        return Reply(cause=cause)


def waited(asked: Future[Answer]) -> Reply:
    """Wait in a thread."""
    try:
        return Reply(asked.result())
    except Unanswered as cause:
        return Reply(cause=cause)
    except CancelledError:
        return Reply(cause=Unanswered("broken", "the client was closed"))
