"""Joint angles over time: as arrays, and as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from poseact.core.angles import ANGLES
from poseact.core.files import whole_file
from poseact.core.types import Person, Result
from poseact.results.jsonl import open_jsonl


def angles(of: str | Path | Iterable[Result]) -> dict[int, dict[str, np.ndarray]]:
    """Angles of everyone in a result file or in results: track -> columns, each (n,), n frames with
    this person.

    The columns are `frame`, `time_s` and each of `core.angles.ANGLES` in degrees, 0 to 180, NaN
    where unknown: in space where there is 3D, else in the picture. Errors as `read_jsonl`.

    >>> knee_deg = angles("out/walk.jsonl")[0]["l_knee"]            # doctest: +SKIP
    """
    rows: dict[int, list[tuple[float, ...]]] = {}
    for result in open_jsonl(of)[1] if isinstance(of, (str, Path)) else of:
        for person in result.people:
            row = result.index, result.time_s, *_angles(person)
            rows.setdefault(person.track, []).append(row)
    names = ("frame", "time_s", *ANGLES)
    tables = {track: dict(zip(names, np.array(own, float).T)) for track, own in rows.items()}
    return {track: {**t, "frame": t["frame"].astype(int)} for track, t in sorted(tables.items())}


def write_angles(path: str | Path, results: Iterable[Result]) -> None:
    """CSV: `frame`, `time_s`, `track` and a column for each of `ANGLES`, degrees; unknown is empty.

    In space where there is 3D, else in the picture.
    """
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["frame", "time_s", "track", *(f"{name}_deg" for name in ANGLES)])
        for result in results:
            for person in result.people:
                cells = ["" if np.isnan(v) else f"{v:.1f}" for v in _angles(person)]
                table.writerow([result.index, f"{result.time_s:.4f}", person.track, *cells])


def _angles(person: Person) -> list[float]:
    of: Literal["xyz", "xy"] = "xy" if person.xyz is None else "xyz"
    return [person.angle(name, of=of) for name in ANGLES]
