"""The labelled neighbour bank."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from index_sync.bank import LabelledBank
from processors.errors import Poison
from tests.fakes.index_items import DIMENSION, unit


def _bank(products: int, capacity: int = 100) -> LabelledBank:
    bank = LabelledBank(DIMENSION, capacity)
    for i in range(products):
        bank.add(f"p{i}", i, unit(i), {"fabric": f"f{i}"}, f"text {i}")
    return bank


def test_neighbours_are_the_exact_nearest_without_the_one_that_asks() -> None:
    """Equal to a brute-force scan, labels and text with it."""
    bank = _bank(60)
    query = unit(7)
    truth = sorted((f"p{i}" for i in range(60) if i != 7), key=lambda p: -float(unit(int(p[1:])) @ query))[:5]
    found = bank.neighbours(query, 5, exclude="p7")
    assert [neighbour.product_id for neighbour in found] == truth
    assert found[0].labels == {"fabric": f"f{truth[0][1:]}"}
    assert found[0].text == f"text {truth[0][1:]}"
    assert found[0].similarity == pytest.approx(float(unit(int(truth[0][1:])) @ query), abs=1e-6)


def test_the_later_version_wins_and_removal_lasts() -> None:
    """Upsert by id; an older record that comes again changes nothing."""
    bank = _bank(3)
    assert bank.add("p1", 10, unit(50), {"fabric": "silk"})
    assert not bank.add("p1", 9, unit(1), {"fabric": "old"})
    assert bank.neighbours(unit(50), 1)[0].labels == {"fabric": "silk"}
    assert bank.remove("p1", 11)
    assert not bank.add("p1", 10, unit(50), {})
    assert "p1" not in {n.product_id for n in bank.neighbours(unit(50), 10)}
    assert len(bank) == 2


def test_a_full_bank_lets_the_oldest_go() -> None:
    """Bounded: past the capacity the product written longest ago gives way, through many compactions."""
    bank = _bank(500, capacity=20)
    bank.add("p480", 1000, unit(480), {})
    bank.add("new", 1001, unit(3), {})
    assert len(bank) == 20
    names = {n.product_id for n in bank.neighbours(unit(1), 100)}
    assert names == {"p480", "new", *(f"p{i}" for i in range(482, 500))}


def test_many_dead_rows_do_not_hide_the_living() -> None:
    """After heavy churn the k nearest are still found."""
    bank = LabelledBank(DIMENSION, 2000)
    for version in range(900):
        bank.add("churn", version, unit(1), {})
    for i in range(5):
        bank.add(f"p{i}", 2000 + i, unit(i + 2), {})
    assert len(bank.neighbours(unit(1), 6)) == 6


def test_empty_bank_k_zero_and_bad_vectors() -> None:
    """Nothing to find is an empty list; a bad vector is Poison."""
    bank = LabelledBank(DIMENSION)
    assert bank.neighbours(unit(1), 3) == []
    bank.add("a", 0, unit(1), {})
    assert bank.neighbours(unit(1), 0) == []
    with pytest.raises(Poison):
        bank.add("b", 1, np.full(DIMENSION, np.nan, np.float32), {})


def test_reading_beside_writing() -> None:
    """Readers always see one entry of the product that is being replaced, never none, never two."""
    bank = _bank(10, capacity=30)
    done = threading.Event()
    wrong: list[int] = []

    def read() -> None:
        while not done.is_set():
            found = [n.product_id for n in bank.neighbours(unit(1), 30)]
            if found.count("p1") != 1 or len(found) != 10:
                wrong.append(len(found))

    reader = threading.Thread(target=read)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        reader.start()
        for version in range(100, 1500):
            bank.add("p1", version, unit(version), {})
        done.set()
        reader.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
