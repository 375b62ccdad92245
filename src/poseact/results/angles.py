"""Joint angles of people: as functions, and as a table.

An angle of a limb is its flexion, as in clinical gait analysis: 0 degrees is straight, a heel at
the buttocks is about 150. It is the angle between two segments, in 3D (or in the picture), so it
runs from 0 to 180, has no sign, does not jump and does not depend on which way somebody faces.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from poseact.core.files import whole_file
from poseact.core.layouts import Layout
from poseact.core.types import Person, Result

FLEXION = {
    "knee": ("hip", "knee", "ankle"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "hip": ("shoulder", "hip", "knee"),
}
"""Bent by 180 degrees less the angle at the middle joint; of the hip between trunk and thigh."""
RAISED = {"shoulder": ("hip", "shoulder", "elbow")}
"""The angle at the middle joint itself: an arm that hangs is 0, one straight up 180."""
TRUNK = "trunk"
"""From the hips to the shoulders against the vertical of the camera: 0 is upright, 90 level."""
ANGLES = (*(f"{side}_{name}" for name in (*FLEXION, *RAISED) for side in "lr"), TRUNK)
LEAST_SCORE = 0.3
"""A joint that is less likely right gives no angle."""


def angle(person: Person, name: str, *, of: Literal["xyz", "xy"] = "xyz") -> float:
    """One of `ANGLES` in degrees, 0 to 180; NaN where a joint of it is unknown or not believed.

    of: "xyz" is the angle in space, "xy" the one in the picture, true only for what moves in a
    plane across the line of sight. KeyError for an unknown name.
    """
    if name not in ANGLES:
        raise KeyError(f"no angle {name!r}; there are {', '.join(ANGLES)}")
    points = person.xyz if of == "xyz" else person.xy
    if points is None:
        return float("nan")
    seen = np.where((person.score >= LEAST_SCORE)[:, None], points, np.nan)
    if name == TRUNK:
        low, high = (_middle(seen, person.layout, joint) for joint in ("hip", "shoulder"))
        up = np.zeros(points.shape[1])
        up[1] = -1.0  # y is down
        return _between(high - low, up)
    side, joint = name.split("_")
    a, b, c = (_joint(seen, person.layout, f"{side}_{j}") for j in (FLEXION | RAISED)[joint])
    inner = _between(a - b, c - b)
    return inner if joint in RAISED else 180.0 - inner


def write_angles(path: str | Path, results: Iterable[Result]) -> None:
    """CSV: `frame`, `time_s`, `track` and a column for each of `ANGLES`, degrees; unknown is empty.

    In space where there is 3D, else in the picture.
    """
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["frame", "time_s", "track", *(f"{name}_deg" for name in ANGLES)])
        for result in results:
            for person in result.people:
                of: Literal["xyz", "xy"] = "xy" if person.xyz is None else "xyz"
                values = [angle(person, name, of=of) for name in ANGLES]
                cells = ["" if np.isnan(v) else f"{v:.1f}" for v in values]
                table.writerow([result.index, f"{result.time_s:.4f}", person.track, *cells])


def _joint(points: np.ndarray, layout: Layout, name: str) -> np.ndarray:
    if name not in layout.joints:
        return np.full(points.shape[1], np.nan)
    return points[layout.index(name)]


def _middle(points: np.ndarray, layout: Layout, name: str) -> np.ndarray:
    return (_joint(points, layout, f"l_{name}") + _joint(points, layout, f"r_{name}")) / 2


def _between(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two vectors."""
    long = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not long > 0:
        return float("nan")
    return float(np.degrees(np.arccos(np.clip(a @ b / long, -1.0, 1.0))))
