"""Cached clips of several parts: every part has its share, and rows are the clips they name."""

from __future__ import annotations

import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data.dataset import Batches, Part
from poseact.train.cached import Cached, batches_of
from poseact.train.config import Mix, Stage


def part(name: str, length: int, count: int) -> Part:
    xy = np.zeros((4, 17, 2))
    records = [Record(None, xy, PA17, source=f"{name}{i}") for i in range(length)]
    return Part(name, records, count, frames=4)


def cached(number: int, *parts: Part) -> Cached:
    mixes = tuple(Mix(p.name, "people", p.count, frames=4) for p in parts)
    stage = Stage("heads", 10, mixes, trains="actions", cached=number)
    return Cached(Batches(parts, PA17, size=(32, 32), seed=3), stage)


def test_parts_share_a_batch_by_their_counts() -> None:
    table = cached(10, part("a", 9, 4), part("b", 30, 1))
    rows = table.rows(0)
    first = batches_of(table.batches.parts[0]) * 4
    assert first == 12 and len(rows) == len(set(rows)) == 10
    assert [(rows < first).sum(), (rows >= first).sum()] == [8, 2]
    assert rows.max() < first + 30
    assert not np.array_equal(rows, table.rows(1)) and np.array_equal(rows, table.rows(0))


def test_names_of_a_batch_are_of_its_rows() -> None:
    table = cached(6, part("a", 4, 2), part("b", 6, 1))
    names = table.names(5)
    assert sorted(names) == ["a", "b"]
    assert [len(names["a"]), len(names["b"])] == [4, 2]
    assert all(f" {p}" in line for p in names for line in names[p])


def test_every_record_of_a_part_comes_once_in_its_own_batches() -> None:
    table = cached(6, part("a", 4, 2), part("b", 6, 1))
    alone = table.alone(1)
    assert sorted(alone.record_index(0, i) for i in range(6)) == list(range(6))
    assert alone.seed != table.alone(0).seed


def test_only_heads_and_clips_are_cached() -> None:
    clips, stills = Mix("a", "people", 2, frames=4), Mix("b", "people", 2)
    for mix, trains in (((clips,), "all"), ((clips, stills), "actions")):
        with pytest.raises(ValueError, match="parts of clips"):
            Stage("heads", 10, mix, trains=trains, cached=8)  # type: ignore[arg-type]
