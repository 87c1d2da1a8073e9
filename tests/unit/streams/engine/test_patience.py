"""A model that does not come back: who waits is told, and the next one is not let in before it has."""

import gc
import threading
import weakref

import pytest

from streams.engine.patience import Hung, Patience


def test_results_and_errors_come_back() -> None:
    """As if there was no limit."""
    patience = Patience(60.0)
    assert patience.run(lambda: 7) == 7
    with pytest.raises(ValueError, match="mine"):
        patience.run(lambda: int("mine"))
    assert Patience(0.0).run(threading.current_thread) is threading.current_thread()


def test_what_hangs_is_given_up_until_it_comes_back() -> None:
    """Others fail at once meanwhile; when the thread has ended, work goes on."""
    patience, go, ended = Patience(0.05), threading.Event(), threading.Event()
    urgent: list[bool] = []

    def hangs() -> None:
        go.wait(60)
        urgent.append(patience.waited_for())
        ended.set()

    with pytest.raises(Hung, match="no answer"):
        patience.run(hangs)
    with pytest.raises(Hung, match="not come back"):
        patience.run(lambda: 1)
    go.set()
    assert ended.wait(60)
    while True:  # its thread ends a moment after its work
        try:
            assert patience.run(lambda: 2) == 2
            break
        except Hung:
            continue
    assert urgent == [False]


def test_work_within_work_counts_to_it() -> None:
    """What is urgent is run between two steps of a batch, in its thread."""
    patience = Patience(60.0)
    assert patience.run(lambda: (patience.waited_for(), patience.run(lambda: 3))) == (True, 3)


def test_all_calls_share_a_thread_that_ends_with_its_patience() -> None:
    """A thread for each batch kept a batch's memory for each: what one thread frees, another one does not find."""
    patience = Patience(60.0)
    threads = {patience.run(threading.current_thread) for _ in range(5)}
    assert len(threads) == 1
    (thread,) = threads
    assert thread is not threading.current_thread()
    del patience
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_what_a_call_gave_does_not_live_on() -> None:
    """A batch's tensors would wait for the next batch."""

    class Large:
        pass

    patience, gone = Patience(60.0), threading.Event()

    def work() -> Large:
        made = Large()
        weakref.finalize(made, gone.set)
        return made

    patience.run(work)
    gc.collect()
    assert gone.wait(60)
