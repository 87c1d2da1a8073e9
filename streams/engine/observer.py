"""What the engine tells of itself; `infra.metrics` implements it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol


class Observer(Protocol):
    """Called from the event loop, often: implementations only count."""

    def stage_done(self, stage: str, seconds: float) -> None:
        """One item left `stage`, `seconds` after it entered (queueing included)."""
        ...

    def stage_done_by(self, stage: str, items: int, seconds: float) -> None:
        """`stage_done` of items that took `seconds` each."""
        ...

    def batch_started(self, stage: str) -> None:
        """The device begins to run a batch."""
        ...

    def batch_ended(self, stage: str) -> None:
        """The batch has ended, well or not."""
        ...

    def batch_done(self, stage: str, items: int, cost: int, seconds: float) -> None:
        """The device ran a batch of `items` with total `cost` in `seconds`."""
        ...

    def queue_depth(self, stage: str, items: int) -> None:
        """`items` wait for the device in `stage`."""
        ...

    def credits_held(self, held: int, items: int) -> None:
        """`held` bytes and `items` messages are in the pipeline."""
        ...

    def failed(self, stage: str, cause: str) -> None:
        """A message failed for good; `cause` is a class name."""
        ...

    def retried(self, stage: str, cause: str) -> None:
        """An attempt failed and is going to be repeated; `cause` is a class name."""
        ...

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:
        """A message is done, `seconds` after it was admitted."""
        ...

    def acked_all(self, topic: str, partition: int, offsets: Sequence[int], seconds: float) -> None:
        """`acked` of messages that went as one, in their order."""
        ...

    def aged(self, topic: str, seconds: float) -> None:
        """A message is done, `seconds` after the event at the beginning of it all."""
        ...

    def aged_all(self, topic: str, seconds: Sequence[float]) -> None:
        """`aged` of messages that are done at once."""
        ...

    def lag(self, topic: str, messages: Mapping[int, int]) -> None:
        """How many messages of each partition held are not done; partitions that are absent are held no more."""
        ...

    def unread(self, topic: str, messages: Mapping[int, int]) -> None:
        """How many messages of each partition held have not even been read."""
        ...

    def working(self, work: str, *, waiting: bool, doing: str = "") -> None:
        """Whether something waits for this kind of work, beside the pipeline's; and what is known to take long."""
        ...

    def worked(self, work: str = "") -> None:
        """Some of this kind of work was done; "" is the pipeline's."""
        ...

    def captioned(self, writer: str) -> None:
        """A caption of that kind of writer was published."""
        ...

    def refused(self, rule: str) -> None:
        """A draft of a caption was refused by this rule; see `processors.refusals`."""
        ...

    def fallen(self, captions: int) -> None:
        """So many captions stand in for a language model that was away, and wait to be written again."""
        ...

    def paired(self, made: int, gone: int) -> None:
        """So many triplets were published, and so many deleted, because of one item."""
        ...

    def unchanged(self) -> None:
        """A product came again as it was: no model was asked, and what was published is still true."""
        ...

    def conflicted(self, facet: str) -> None:
        """A photo shows another value of a facet than the shop says."""
        ...

    def answered(self, error: str, *, partial: bool) -> None:
        """A query was answered; `error` is the code of its error, or empty."""
        ...

    def composed(self, arm: str, seconds: float) -> None:
        """A query of image and words was answered by this composer, so many seconds after it was read."""
        ...

    def reranked(self, outcome: str) -> None:
        """A composed query had a second stage; `outcome` as in its result (done, some, late, failed)."""
        ...

    def shadowed(
        self,
        outcome: str,
        agreed: Mapping[str, tuple[float, float]],
        *,
        facts: tuple[int, int],
        refused: tuple[int, int],
    ) -> None:
        """A product of the shadow's share is done with: what agrees, of how many, by what was compared; facts that captions state, and
        drafts that were refused, live and in shadow.
        """
        ...

    def matched(self, states: Iterable[str]) -> None:
        """Events about standing queries were published, of these states."""
        ...

    def similar(self, products: int) -> None:
        """So many products have their neighbours kept true."""
        ...

    def standing(self, queries: int, pairs: int) -> None:
        """So many standing queries are watched for, and so many products meet one of them."""
        ...

    def open_letters(self, count: int) -> None:
        """So many dead letters are open."""
        ...

    def shop_done(self, shop: str) -> None:
        """A message of this shop ("" for none) is done."""
        ...

    def shop_done_by(self, shop: str, messages: int) -> None:
        """`shop_done` of so many."""
        ...

    def shop_charged(self, shop: str, stage: str, seconds: float) -> None:
        """The device has worked for this shop for so many seconds: its share of a batch, by cost."""
        ...

    def shop_credits(self, shop: str, held: int) -> None:
        """`held` bytes of this shop's messages are in the pipeline."""
        ...


class NullObserver:
    """Tells nobody."""

    def stage_done(self, stage: str, seconds: float) -> None: ...

    def stage_done_by(self, stage: str, items: int, seconds: float) -> None:
        for _ in range(items):
            self.stage_done(stage, seconds)

    def batch_started(self, stage: str) -> None: ...

    def batch_ended(self, stage: str) -> None: ...

    def batch_done(self, stage: str, items: int, cost: int, seconds: float) -> None: ...

    def queue_depth(self, stage: str, items: int) -> None: ...

    def credits_held(self, held: int, items: int) -> None: ...

    def failed(self, stage: str, cause: str) -> None: ...

    def retried(self, stage: str, cause: str) -> None: ...

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None: ...

    def acked_all(self, topic: str, partition: int, offsets: Sequence[int], seconds: float) -> None:
        for offset in offsets:
            self.acked(topic, partition, offset, seconds)

    def aged(self, topic: str, seconds: float) -> None: ...

    def aged_all(self, topic: str, seconds: Sequence[float]) -> None:
        for one in seconds:
            self.aged(topic, one)

    def lag(self, topic: str, messages: Mapping[int, int]) -> None: ...

    def unread(self, topic: str, messages: Mapping[int, int]) -> None: ...

    def working(self, work: str, *, waiting: bool, doing: str = "") -> None: ...

    def worked(self, work: str = "") -> None: ...

    def captioned(self, writer: str) -> None: ...

    def refused(self, rule: str) -> None: ...

    def fallen(self, captions: int) -> None: ...

    def paired(self, made: int, gone: int) -> None: ...

    def unchanged(self) -> None: ...

    def conflicted(self, facet: str) -> None: ...

    def answered(self, error: str, *, partial: bool) -> None: ...

    def composed(self, arm: str, seconds: float) -> None: ...

    def reranked(self, outcome: str) -> None: ...

    def shadowed(
        self,
        outcome: str,
        agreed: Mapping[str, tuple[float, float]],
        *,
        facts: tuple[int, int],
        refused: tuple[int, int],
    ) -> None: ...

    def matched(self, states: Iterable[str]) -> None: ...

    def similar(self, products: int) -> None: ...

    def standing(self, queries: int, pairs: int) -> None: ...

    def open_letters(self, count: int) -> None: ...

    def shop_done(self, shop: str) -> None: ...

    def shop_done_by(self, shop: str, messages: int) -> None:
        for _ in range(messages):
            self.shop_done(shop)

    def shop_charged(self, shop: str, stage: str, seconds: float) -> None: ...

    def shop_credits(self, shop: str, held: int) -> None: ...
