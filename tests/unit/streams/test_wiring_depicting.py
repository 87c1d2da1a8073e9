"""Who looks at the pictures of articles: the worker that holds the articles, and no other."""

from __future__ import annotations

from processors.errors import Retryable
from streams.contract import topics
from streams.wiring.depicting import Holding, first_of


def test_one_worker_looks_the_one_that_holds_the_articles() -> None:
    """A deal that gives the partition begins the work, one that takes it ends it; other partitions are none of its business."""
    holding = Holding()
    holding.begin({})
    assert not holding.ours.is_set()
    holding.begin({(topics.ARTICLES, 0): 3})
    assert holding.ours.is_set()
    holding.revoked([(topics.ARTICLES, 1)])
    assert holding.ours.is_set()
    holding.revoked([(topics.ARTICLES, 0)])
    assert not holding.ours.is_set()
    assert holding.lost.is_set()
    holding.begin({(topics.ARTICLES, 0): 3})
    assert not holding.lost.is_set()


def test_what_went_wrong_is_told_by_its_cause() -> None:
    """Tasks that run beside each other end as groups of errors."""
    assert first_of(ExceptionGroup("a", [ExceptionGroup("b", [Retryable("no topic")])])) == "no topic"
