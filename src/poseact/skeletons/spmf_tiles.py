"""Enhanced-SPMF pictures of a data set's sequences for a contact sheet, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from poseact.core.layouts import SBU15
from poseact.core.types import NO_ACTION, Record
from poseact.data import READERS
from poseact.data.sets import sbu, skeletons
from poseact.people import motions
from poseact.skeletons.spmf import SPMFConfig, spmf

_SPMF_PX = 128  # of a picture on the sheet; networks see 32


def spmf_tiles(
    kind: str, root: Path | None, records: Sequence[Record], count: int
) -> tuple[list[np.ndarray], list[str]]:
    """SPMF pictures and class names: the first of every class, then the second, until enough."""
    if not records or any(record.xyz is None for record in records):
        raise ValueError(f"{root}: {kind} has {len(records)} records, not all of them with 3D")
    two = records[0].layout == SBU15
    classes: dict[int, list[tuple[Record, ...]]] = {}
    for people in skeletons.pairs(records) if two else zip(records):
        action = NO_ACTION if people[0].action is None else people[0].action
        classes.setdefault(action, []).append(people)
    places = sorted((n, action) for action, found in classes.items() for n in range(len(found)))
    names = _class_names(kind, root, two=two)
    tiles, labels = [], []
    for action, n in sorted((action, n) for n, action in places[:count]):
        people = classes[action][n]
        xyz = np.stack([np.asarray(record.xyz) for record in people], 1)  # T P J 3
        if np.isnan(xyz[..., 2]).all():
            xyz[..., 2] = 0  # skeletons of two axes
        try:
            tiles.append(spmf(xyz, people[0].layout, config=SPMFConfig(size=_SPMF_PX)))
        except ValueError as error:
            raise ValueError(f"{people[0].source}: {error}") from error
        labels.append(names[action] if 0 <= action < len(names) else people[0].source)
    return tiles, labels


def _class_names(kind: str, root: Path | None, *, two: bool) -> tuple[str, ...]:
    """In the order of `Record.action`; none where the data set has none."""
    if two:
        return sbu.ACTIONS
    if kind == "skeletons" and root is not None:
        return skeletons.label_names(root)
    return getattr(motions if kind == "people" else READERS[kind], "ACTIONS", ())
