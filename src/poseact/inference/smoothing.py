"""Poses of a video without jitter."""

from __future__ import annotations

import numpy as np


class OneEuro:
    """One Euro filter for points: steady when they rest, prompt when they move.

    Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012. Speeds are divided by the `scale` given with
    each frame (the side of the person's box, say), so the same settings serve pixels and
    millimetres. min_cutoff_hz: cut-off at rest. beta: Hz of cut-off per scale a second of speed.
    """

    def __init__(
        self, *, min_cutoff_hz: float = 1.5, beta: float = 10.0, speed_cutoff_hz: float = 1.0
    ) -> None:
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._speed_cutoff_hz = speed_cutoff_hz
        self._time_s: float | None = None
        self._points = np.empty(0)
        self._velocity = np.empty(0)

    def __call__(self, points: np.ndarray, time_s: float, *, scale: float) -> np.ndarray:
        """The points (J, D) of the frame at `time_s`, smoothed.

        An unknown (NaN) joint stays unknown and starts anew when it comes back. The first frame,
        or one whose time does not advance, passes unchanged.
        """
        if self._time_s is None or time_s <= self._time_s or points.shape != self._points.shape:
            self._points, self._velocity = points.copy(), np.zeros_like(points)
        else:
            step_s = time_s - self._time_s
            self._advance(points, step_s, scale)
        self._time_s = time_s
        return self._points.copy()

    def _advance(self, points: np.ndarray, step_s: float, scale: float) -> None:
        known = ~np.isnan(self._points) & ~np.isnan(points)
        velocity = np.where(known, (points - self._points) / step_s, 0.0)
        weight = _blend(np.asarray(self._speed_cutoff_hz), step_s)
        self._velocity = self._velocity + weight * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True) / scale
        weight = _blend(self._min_cutoff_hz + self._beta * speed, step_s)
        smooth = self._points + weight * (points - self._points)
        self._points = np.where(known, smooth, points)


def _blend(cutoff_hz: np.ndarray, step_s: float) -> np.ndarray:
    """Weight of the new value in a first-order low-pass filter."""
    return 1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff_hz * step_s))
