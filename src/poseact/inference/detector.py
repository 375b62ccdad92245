"""Where people are in a frame: boxes from a small network that sees all of it at once."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from poseact.core.geometry import overlaps
from poseact.inference.backends import open_detector
from poseact.models.exported import Runtime
from poseact.models.people_maps import STRIDE, decode

SIDE = 320
"""Px of a frame's longer side as the network sees it."""
LEAST_SCORE = 0.1
"""A box with a lower score is nobody's."""
OVERLAP = 0.65
"""Of two boxes that overlap more, the less likely one is left out."""
DARK = 70
"""If nearly all of a frame is darker than this of 255, its levels are stretched before a second
try."""


class Detections(NamedTuple):
    """Boxes (n, 4) x0 y0 x1 y1 px, the likeliest first, and scores (n,) 0..1."""

    boxes: np.ndarray
    scores: np.ndarray


class Detects(Protocol):
    """Whatever says where people are in a picture (H, W, 3) uint8 RGB."""

    def __call__(self, rgb: np.ndarray, /) -> Detections: ...


class PeopleDetector:
    """MoveNet MultiPose on a whole frame.

    weights: name of shipped weights or path of a file. side: px of the longer side of the copy of
    the frame that the network sees; more finds smaller people and takes longer. device, runtime,
    threads: as for `backends.open_network`. Raises FileNotFoundError or ValueError for unusable
    weights.
    """

    def __init__(
        self,
        weights: str | Path = "people",
        *,
        side: int = SIDE,
        device: str | None = "cpu",
        runtime: Runtime | None = None,
        threads: int | None = None,
    ) -> None:
        if side < STRIDE:
            raise ValueError(f"side is {STRIDE} px or more, got {side}")
        self._side = side
        self._maps = open_detector(weights, device=device, runtime=runtime, threads=threads)

    def sized(self, side: int) -> PeopleDetector:
        """The same network on copies of another size."""
        other = copy(self)
        other._side = side
        return other

    def __call__(self, rgb: np.ndarray, /) -> Detections:
        """Everyone in a picture (H, W, 3) uint8 RGB."""
        found = self._detect(rgb)
        if not len(found.boxes) and (bright := stretched(rgb)) is not None:
            return self._detect(bright)
        return found

    def _detect(self, rgb: np.ndarray) -> Detections:
        small, scale = fitted(rgb, self._side)
        found = decode(*(maps[0] for maps in self._maps(small[None])))
        height, width = rgb.shape[:2]
        boxes = (found.box.astype(float) / scale).clip(0, [width, height, width, height])
        scores = found.score.astype(float)
        sides = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf)
        kept = suppressed(boxes, np.where(sides > 1, scores, 0.0))
        return Detections(boxes[kept], scores[kept])


def fitted(rgb: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A copy with the longer side of `side` px, grey at the right and bottom so that the sides
    divide by `STRIDE`; and its scale (4,) over the picture's, x y x y."""
    height, width = rgb.shape[:2]
    ratio = side / max(height, width)
    h, w = max(round(height * ratio), 1), max(round(width * ratio), 1)
    how = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    out = np.full((-(-h // STRIDE) * STRIDE, -(-w // STRIDE) * STRIDE, 3), 127, np.uint8)
    out[:h, :w] = cv2.resize(rgb, (w, h), interpolation=how)
    return out, np.tile([w / width, h / height], 2)


def stretched(rgb: np.ndarray) -> np.ndarray | None:
    """The picture with its levels stretched; None unless it is dark."""
    high = float(np.percentile(rgb[::4, ::4], 99))
    if not 0 < high < DARK:
        return None
    levels = (np.arange(256) * (255 / high)).clip(0, 255)
    return np.asarray(levels.astype(np.uint8)[rgb])


def suppressed(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of the boxes (n, 4) that reach `LEAST_SCORE`, the likeliest first, without those that
    overlap a likelier one by more than `OVERLAP`."""
    kept: list[int] = []
    for n in np.argsort(-scores, kind="stable"):
        if scores[n] >= LEAST_SCORE and (overlaps(boxes[[n]], boxes[kept]) < OVERLAP).all():
            kept.append(int(n))
    return np.array(kept, int)
