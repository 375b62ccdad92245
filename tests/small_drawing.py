"""A standing person, and how to see what was drawn of them."""

from __future__ import annotations

import numpy as np

from poseact.core.layouts import PA17
from poseact.core.types import Person

# A standing person, left arm raised; mm, camera axes (x right, y down), seen from the front: the
# person's left is on the right of the picture.
STANDING = {
    "pelvis": (0, 0, 0),
    "spine": (0, -230, 0),
    "thorax": (0, -470, 0),
    "neck": (0, -560, 0),
    "head": (0, -740, 0),
    "r_shoulder": (-180, -450, 0),
    "l_shoulder": (180, -450, 0),
    "r_elbow": (-330, -250, -50),
    "l_elbow": (400, -560, -50),
    "r_wrist": (-380, -60, -150),
    "l_wrist": (430, -820, -100),
    "r_hip": (-120, 10, 0),
    "l_hip": (120, 10, 0),
    "r_knee": (-150, 430, -60),
    "l_knee": (150, 430, -60),
    "r_ankle": (-160, 830, 60),
    "l_ankle": (160, 830, 60),
}
XYZ = np.array([STANDING[j] for j in PA17.joints], float)
LABELS = ("wave", "throw", "kick", "sit")
ACTION = np.array([0.7, 0.05, 0.15, 0.1])


def person(height: int = 300, *, x: float = 150.0, size: float = 0.85, track: int = 0) -> Person:
    xy = XYZ[:, :2] * (size * height / 1700) + (x, height / 2)
    box = np.concatenate([xy.min(0), xy.max(0)])
    return Person(xy, XYZ, np.full(17, 0.9), box, PA17, track, ACTION)


def grey(height: int = 300, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def near(rgb: np.ndarray, colour: tuple[int, int, int], limit: int = 40) -> np.ndarray:
    return np.abs(rgb.astype(int) - colour).max(-1) < limit


def middle(p: Person, a: str, b: str) -> tuple[int, int]:
    """Row and column of the pixel in the middle of a bone."""
    x, y = p.xy[[PA17.index(a), PA17.index(b)]].mean(0)
    return int(y), int(x)
