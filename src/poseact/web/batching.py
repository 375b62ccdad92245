"""Crops of requests that come at the same time go through the network together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from poseact.inference.backends import FrameNetwork
from poseact.inference.look import MOST_CROPS
from poseact.models.exported import Answer


class _Asked(NamedTuple):
    crops: np.ndarray
    answer: Future[Answer]


class SharedNetwork:
    """A network for many threads: whatever waits while a batch is computed is the next batch.

    noted: is told how many crops each batch had.
    """

    def __init__(self, model: FrameNetwork, *, noted: Callable[[int], None] = lambda n: None):
        self._model, self._noted = model, noted
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    def frames(self, crops: np.ndarray) -> Answer:
        """What the network says of crops (N, H, W, 3) uint8; waits for it."""
        answer: Future[Answer] = Future()
        self._asked.put(_Asked(crops, answer))
        return answer.result()

    def actions(self, features: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Small heads of one window: computed by the thread that asks."""
        return self._model.actions(features)

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._asked.get()) is not None:
            batch = [first]
            while sum(len(a.crops) for a in batch) < MOST_CROPS and not self._asked.empty():
                more = self._asked.get()
                if more is None:
                    self._asked.put(None)
                    break
                batch.append(more)
            self._compute(batch)

    def _compute(self, batch: list[_Asked]) -> None:
        counts = [len(asked.crops) for asked in batch]
        try:
            out = self._model.frames(np.concatenate([asked.crops for asked in batch]))
            self._noted(sum(counts))
            for n, asked in enumerate(batch):
                asked.answer.set_result(_part(out, sum(counts[:n]), counts[n]))
        except Exception as error:  # whoever asked shall know it
            for asked in batch:
                if not asked.answer.done():
                    asked.answer.set_exception(error)


def _part(out: Answer, start: int, count: int) -> Answer:
    """What was said of `count` of the crops."""
    part = slice(start, start + count)
    return Answer(out.pose[part], out.score[part], tuple(f[part] for f in out.features))
