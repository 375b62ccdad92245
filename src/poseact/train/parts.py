"""What a stage learns from: its parts with their records, and the batches they are mixed into."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from poseact import data
from poseact.core.console import SILENT, Console
from poseact.core.layouts import Layout, layout_named
from poseact.core.types import Record, Sample
from poseact.data.dataset import Batches, Part, make_sample
from poseact.train.config import AUGMENTS, Mix


def open_parts(
    mixes: Sequence[Mix], margin: float, workers: int, *, console: Console = SILENT
) -> list[Part]:
    """The parts with their records; what several parts share is read once.

    FileNotFoundError names the part, and where its data was looked for.
    """
    read: dict[str, list[Record]] = {}
    for mix in mixes:
        if _source(mix) not in read:
            read[_source(mix)] = _records(mix, workers, console)
    return [
        Part(
            name=mix.name,
            records=read[_source(mix)],
            count=mix.count,
            frames=mix.frames,
            step=mix.step,
            augment=AUGMENTS[mix.augment],
            margin=margin if mix.margin is None else mix.margin,
            steps=mix.steps,
        )
        for mix in mixes
    ]


def _source(mix: Mix) -> str:
    return repr((mix.kind, mix.root, mix.split, mix.options, mix.people, mix.clips))


def _records(mix: Mix, workers: int, console: Console) -> list[Record]:
    root = None if mix.root is None else _folder(mix, mix.root)
    if not mix.options:
        return data.load(
            mix.kind,
            root,
            split=mix.split,
            people=mix.people,
            clips=mix.clips,
            workers=workers,
            console=console,
        )
    if mix.kind not in data.READERS or root is None:
        raise ValueError(f"part {mix.name}: options are for a reader of files with a root")
    strange = set(mix.options) - set(data.OPTIONS.get(mix.kind, ()))
    if strange:
        raise ValueError(f"part {mix.name}: the reader of {mix.kind} has no option {strange}")
    options: dict[str, Any] = dict(mix.options)
    if "layout" in options:
        options["layout"] = layout_named(options["layout"])
    return data.READERS[mix.kind].load(root, mix.split, **options)


def _folder(mix: Mix, root: str) -> str:
    expanded = os.path.expandvars(root)
    unset = re.search(r"\$\w+", expanded)
    if unset:
        raise FileNotFoundError(
            f"part {mix.name}: {mix.kind} is looked for in {root}, and {unset[0]} is not set"
        )
    if not Path(expanded).exists():
        raise FileNotFoundError(f"part {mix.name}: no {mix.kind} data in {expanded} ({root})")
    return expanded


class AlternatingBatches(Batches):
    """Batches of a stage whose kinds alternate.

    With n kinds, batch s is number s // n of kind s % n, which mixes the parts of `Mix.batch`
    s % n. With one kind these are the `Batches` of the parts.
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
        self.kinds: list[Batches] = []
        for kind in range(1 + max(mix.batch for mix in mixes)):
            own = [part for mix, part in zip(mixes, parts) if mix.batch == kind]
            apart = seed + 100_000_000 * kind  # parts of two kinds see other draws
            self.kinds.append(Batches(own, layout, size=size, seed=apart, make=make))

    def share(self, step: int, rank: int, world: int) -> dict[str, Sample]:
        batches, number = self._at(step)
        return batches.share(number, rank, world)

    def names(self, step: int) -> dict[str, list[str]]:
        batches, number = self._at(step)
        return batches.names(number)

    def _at(self, step: int) -> tuple[Batches, int]:
        number, kind = divmod(step, len(self.kinds))
        return self.kinds[kind], number
