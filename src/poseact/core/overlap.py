"""Stages of work that overlap: one prepares what the next will need, in threads.

Decoding, networks, drawing and encoding let Python's lock go, so that they do run at once. A few
items wait between two stages at most, whatever their sizes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
WAITING = 3
"""Items between two stages."""


def ahead(items: Iterable[T], *, waiting: int = WAITING) -> Iterator[T]:
    """The same items, which a thread of its own fetches in advance.

    An error of theirs is raised in its place, after the items before it. The thread ends, at the
    latest with the item that it is at, when this iterator is closed.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(waiting)
    over = threading.Event()

    def fetch() -> None:
        try:
            for item in items:
                if not _put(ready, (item, None), over):
                    return
            end: BaseException = StopIteration()
        except BaseException as error:
            end = error
        _put(ready, (None, end), over)

    thread = threading.Thread(target=fetch, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, end = ready.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield item  # type: ignore[misc]
    finally:
        over.set()
        thread.join()


class Behind(Generic[T]):
    """Does the work on items, in their order, in a thread of its own.

    `put` waits while too many wait. An error of the work is raised by the next `put` or at the end
    of the `with` block, where all that was put is done.
    """

    def __init__(self, work: Callable[[T], object], *, waiting: int = WAITING) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._ready: queue.Queue[T | None] = queue.Queue(waiting)
        self._failed = threading.Event()
        self._thread = threading.Thread(target=self._do, name="behind", daemon=True)

    def _do(self) -> None:
        while (item := self._ready.get()) is not None:
            if self._failed.is_set():
                continue
            try:
                self._work(item)
            except BaseException as error:
                self._error = error
                self._failed.set()

    def put(self, item: T) -> None:
        """Hand in an item, not None."""
        self._raise()
        self._ready.put(item)

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ready.put(None)
        self._thread.join()
        if kind is None:
            self._raise()


def _put(ready: queue.Queue, item: object, over: threading.Event) -> bool:
    """Put it as soon as there is room; False if nobody wants it any more."""
    while not over.is_set():
        try:
            ready.put(item, timeout=0.05)
            return True
        except queue.Full:
            continue
    return False
