"""Joint angles of one pose.

An angle of a limb is its flexion, as in clinical gait analysis: 0 degrees is straight, a heel at
the buttocks is about 150. It is the angle between two segments, in 3D (or in the picture), so it
runs from 0 to 180, has no sign, does not jump and does not depend on which way somebody faces.
"""

from __future__ import annotations

import numpy as np

from poseact.core.layouts import Layout

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


def angle_deg(points: np.ndarray, layout: Layout, name: str) -> float:
    """One of `ANGLES` of a pose (J, 2 or 3) whose y is down, 0 to 180; NaN where a joint of it is.

    KeyError for an unknown name.
    """
    if name not in ANGLES:
        raise KeyError(f"no angle {name!r}; there are {', '.join(ANGLES)}")
    if name == TRUNK:
        low, high = (_middle(points, layout, joint) for joint in ("hip", "shoulder"))
        up = np.zeros(points.shape[1])
        up[1] = -1.0
        return _between(high - low, up)
    side, joint = name.split("_")
    a, b, c = (_joint(points, layout, f"{side}_{j}") for j in (FLEXION | RAISED)[joint])
    inner = _between(a - b, c - b)
    return inner if joint in RAISED else 180.0 - inner


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
