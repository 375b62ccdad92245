"""The batches of a stage: parts that take turns, clips whose frames change their distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from poseact.core.layouts import Layout
from poseact.core.types import Sample
from poseact.data.dataset import Batches, Part, make_sample
from poseact.train.config import Mix


class Turns(Batches):
    """Batches of a stage whose parts take turns, and whose clips change the distance of frames.

    Batch s is number s // turns of turn s % turns. With one turn and one distance these are the
    `Batches` of the parts.
    """

    def __init__(
        self,
        mixes: Sequence[Mix],
        parts: Sequence[Part],
        layout: Layout,
        *,
        size: tuple[int, int],
        seed: int = 0,
        make: Callable[..., Any] = make_sample,
    ) -> None:
        super().__init__(parts, layout, size=size, seed=seed, make=make)
        turns = 1 + max(mix.turn for mix in mixes)
        self.turns = [self._variants(mixes, turn) for turn in range(turns)]

    def _variants(self, mixes: Sequence[Mix], turn: int) -> list[Batches]:
        """The batches of a turn, once for every combination of distances that comes up."""
        own = [(mix, part) for mix, part in zip(mixes, self.parts) if mix.turn == turn]
        variants: list[Batches] = []
        for i in range(math.lcm(*(max(len(mix.steps), 1) for mix, _ in own))):
            spaced = [
                replace(part, step=mix.steps[i % len(mix.steps)]) if mix.steps else part
                for mix, part in own
            ]
            seed = self.seed + 100_000_000 * turn  # parts of two turns see other draws
            variants.append(Batches(spaced, self.layout, size=self.size, seed=seed, make=self.make))
        return variants

    def share(self, step: int, rank: int, world: int) -> dict[str, Sample]:
        batches, number = self._at(step)
        return batches.share(number, rank, world)

    def names(self, step: int) -> dict[str, list[str]]:
        batches, number = self._at(step)
        return batches.names(number)

    def _at(self, step: int) -> tuple[Batches, int]:
        number, turn = divmod(step, len(self.turns))
        variants = self.turns[turn]
        return variants[number % len(variants)], number
