"""Pictures of labelled samples for a contact sheet: are joints and actions right?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from poseact.core.types import Person, Record, Result
from poseact.people.motions import ACTIONS
from poseact.results.drawing import draw_people


def sample_tiles(
    kind: str, root: Path | None, records: Sequence[Record], count: int
) -> tuple[list[np.ndarray], list[str]]:
    """Middle frames of `count` records spread over all, with their joints, and what they show.

    ValueError if the records have no pictures.
    """
    records = records[:: max(1, len(records) // count)][:count]
    if not records or records[0].frame is None:
        raise ValueError(f"{root}: {len(records)} records of {kind}, without pictures")
    tiles, names = zip(*map(_tile, records))
    return list(tiles), list(names)


def _tile(record: Record) -> tuple[np.ndarray, str]:
    """The middle frame of a record with its joints, and what it shows."""
    t = len(record) // 2
    rgb = np.empty((0, 0, 3), np.uint8) if record.frame is None else record.frame(t)
    seen = np.isfinite(record.xy[t]).all(-1)
    box = np.full(4, np.nan) if record.box is None else record.box[t]
    person = Person(record.xy[t], None, seen.astype(float), box, record.layout)
    rendered = record.source == "people" and record.action is not None
    name = ACTIONS[record.action or 0] if rendered else record.source
    return draw_people(rgb, Result(t, 0.0, (person,))), name
