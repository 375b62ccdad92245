"""Clips whose features are computed once: which clip stands where, and which are in a batch."""

from __future__ import annotations

import numpy as np

from poseact.data.dataset import Batches, Part
from poseact.train.config import Stage

_APART = 10_000_000
"""Between the seeds of parts that are each gone through alone."""


def batches_of(part: Part) -> int:
    """How many batches show all of its records."""
    return -(-len(part.records) // part.count)


class Cached:
    """Rows of the table of a stage's cached features: the parts one after another."""

    def __init__(self, batches: Batches, stage: Stage) -> None:
        self.batches, self.stage = batches, stage

    def alone(self, number: int) -> Batches:
        """Batches of one part, from its own first sample on, whatever the lengths of the others."""
        every, seed = self.batches, self.batches.seed + _APART * number
        part = every.parts[number]
        return Batches([part], every.layout, size=every.size, seed=seed, make=every.make)

    def rows(self, step: int) -> np.ndarray:
        """Which rows are in a batch: of each part in proportion to its count."""
        parts, first, found = self.batches.parts, 0, []
        rng = np.random.default_rng(np.random.SeedSequence([self.batches.seed, 2, step]))
        counts = np.cumsum([0, *(part.count for part in parts)])
        shares = np.diff(counts * self.stage.cached // counts[-1])
        for part, share in zip(parts, shares, strict=True):
            number = batches_of(part) * part.count
            found.append(first + rng.permutation(number)[:share])
            first += number
        return np.concatenate(found)

    def names(self, step: int) -> dict[str, list[str]]:
        """The records in a batch, by part."""
        names: dict[str, list[str]] = {}
        first, rows = 0, self.rows(step)
        for number, part in enumerate(self.batches.parts):
            last = first + batches_of(part) * part.count
            alone = self.alone(number)
            own = [alone.record_index(0, int(row) - first) for row in rows if first <= row < last]
            names[part.name] = [alone.record_name(0, i) for i in own]
            first = last
        return names
