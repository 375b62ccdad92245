"""People from the maps of MoveNet MultiPose (see `multipose`): what the published graph does after
its network. No torch."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

CELL = 4
"""Px of a cell."""
STRIDE = 32
"""Sides of a frame divide by it."""
PEAK = 5
"""Cells about a peak of the centre map that are lower, as in the published graph."""
SPREAD = 0.3
"""Of the Gaussian about where a joint is expected: its variance over the shorter side, cells."""
SEEN = 0.127
"""Joints with a lower score do not count for the score of a person."""


class Found(NamedTuple):
    """People of one frame, the likeliest first.

    box: (n, 4) x0 y0 x1 y1 px. centre: (n,) 0..1, how likely its middle is a person's. score: (n,)
    0..1, that times the mean score of the joints that are seen.
    """

    box: np.ndarray
    centre: np.ndarray
    score: np.ndarray


def decode(
    centre: np.ndarray,
    box_size: np.ndarray,
    box_offset: np.ndarray,
    regress: np.ndarray,
    heatmap: np.ndarray,
    *,
    at_most: int = 32,
    least: float = 0.1,
) -> Found:
    """The people of a frame from its raw maps (C, h, w): peaks of the centre map that reach
    `least`, `at_most` of them.

    As in the published graph, which stops at six. Boxes end where the frame does.
    """
    likely = _sigmoid(centre[0])
    h, w = likely.shape
    around = cv2.dilate(likely, np.ones((PEAK, PEAK), np.uint8))
    cells = np.flatnonzero((around - likely < 1e-6) & (likely >= least))
    cells = cells[np.argsort(-likely.ravel()[cells], kind="stable")][:at_most]
    at = np.stack(np.divmod(cells, w), 1).astype(np.float32)  # n 2, y x

    def there(maps: np.ndarray) -> np.ndarray:
        return maps.reshape(len(maps), -1)[:, cells].T  # n C

    middle, half = at + there(box_offset), np.maximum(there(box_size), 0) / 2
    limit = np.array([h, w], np.float32)
    low, high = (edge.clip(0, limit) for edge in (middle - half, middle + half))
    joints = there(regress).reshape(len(cells), len(regress) // 2, 2) + at[:, None]  # n J 2
    seen = _joint_scores(_sigmoid(heatmap) if len(cells) else heatmap, joints, low, high)
    counted = (seen > SEEN).sum(1).clip(1)
    certain = likely.ravel()[cells]
    score = certain * (seen * (seen > SEEN)).sum(1) / counted
    return Found(np.concatenate([low[:, ::-1], high[:, ::-1]], 1) * CELL, certain, score)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x.clip(-80, 80))), np.float32)


def _joint_scores(
    heat: np.ndarray, expected: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """(n, J): the best cell of each joint in the person's box, less the further from `expected`."""
    h, w = heat.shape[-2:]
    variance = SPREAD * min(h, w)

    def falls(length: int, axis: int) -> np.ndarray:
        cells = np.arange(length, dtype=np.float32)
        near = np.exp(-((cells - expected[..., axis, None]) ** 2) / variance)  # n J k
        inside = (cells >= low[:, axis, None]) & (cells <= high[:, axis, None])  # n k
        return near * inside[:, None]

    rows, columns = falls(h, 0), falls(w, 1)
    scores = np.zeros(expected.shape[:2], np.float32)
    for n in range(len(expected)):
        weighted = heat * rows[n][:, :, None] * columns[n][:, None, :]  # J h w
        scores[n] = weighted.reshape(len(heat), -1).max(1)
    return scores
