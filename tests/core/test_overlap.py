"""Stages that overlap: the same items in the same order, errors in their place, no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from poseact.core.overlap import WAITING, Behind, ahead


def threads() -> int:
    return sum(t.name in ("ahead", "behind") for t in threading.enumerate())


def test_items_come_in_their_order_a_few_in_advance() -> None:
    fetched: list[int] = []

    def items() -> Iterator[int]:
        for n in range(50):
            fetched.append(n)
            yield n

    got = []
    for n in ahead(items()):
        got.append(n)
        time.sleep(0.001)
        assert len(fetched) <= n + WAITING + 2
    assert got == list(range(50)) == fetched
    assert not threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("broken after 3")

    got = []
    with pytest.raises(ValueError, match="broken after 3"):
        for n in ahead(items()):
            got.append(n)
    assert got == [0, 1, 2] and not threads()


def test_who_stops_early_stops_the_thread() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    source = items()
    found = ahead(source)
    assert [next(found), next(found)] == [0, 1]
    found.close()  # type: ignore[attr-defined]
    assert not threads()
    source.close()  # type: ignore[attr-defined]
    assert closed


def test_work_is_done_in_order_and_all_of_it() -> None:
    done: list[int] = []
    with Behind(lambda n: (time.sleep(0.001), done.append(n))) as behind:
        for n in range(20):
            behind.put(n)
    assert done == list(range(20)) and not threads()
    done.clear()
    with pytest.raises(KeyError), Behind(done.append) as behind:  # what was put is done
        behind.put(1)
        raise KeyError
    assert done == [1] and not threads()


def test_an_error_of_the_work_is_raised_once() -> None:
    def work(n: int) -> None:
        if n == 2:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Behind(work) as behind:
        for n in range(1000):
            behind.put(n)
    assert not threads()
    with pytest.raises(OSError, match="disk full"), Behind(work) as behind:
        behind.put(2)
    assert not threads()
