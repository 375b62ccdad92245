"""Curves over a linear or logarithmic scale, drawn with OpenCV on uint8 RGB pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from poseact.results.drawing import Colour, put_text, text_px

PAPER: Colour = (250, 250, 248)
INK: Colour = (32, 36, 44)
LINE: Colour = (214, 216, 220)
COLOURS: tuple[Colour, ...] = (
    (32, 36, 44),
    (214, 92, 54),
    (40, 110, 190),
    (120, 90, 170),
    (40, 140, 90),
    (190, 140, 20),
)
LETTER = 15.0
"""Height of letters, px."""
MARGINS = (84, 44, 64, 60)
"""Left, right, top and bottom of the axes, px."""


@dataclass(frozen=True)
class Axis:
    """What one axis shows, from its first to its last tick; `log` by decades."""

    label: str
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, values: np.ndarray | float) -> np.ndarray:
        """0 at the first tick, 1 at the last."""
        first, last, given = (
            np.log(np.asarray(v, float)) if self.log else np.asarray(v, float)
            for v in (self.ticks[0], self.ticks[-1], values)
        )
        return (given - first) / (last - first)


@dataclass(frozen=True)
class Curve:
    """Points (N,) and (N,) joined in order; those without a name are not in the legend."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: Colour
    width: int = 2


def ticks(low: float, high: float, *, about: int = 5) -> tuple[float, ...]:
    """Round numbers, `about` many, the first not above low and the last not below high.

    >>> ticks(7.2, 25.7)
    (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
    """
    raw = max(high - low, 1e-9) / about
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first, last = np.floor(low / step), np.ceil(high / step)
    return tuple(float(step * i) for i in np.arange(first, max(last, first + 1) + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten, the first not above low and the last not below high.

    Only the powers of ten if these are more than four.

    >>> log_ticks(0.3, 4)
    (0.2, 0.5, 1.0, 2.0, 5.0)
    """
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    steps = (1, 2, 5) if np.log10(high / low) <= 4 else (1,)
    every = [float(f"{m}e{power}") for power in powers for m in steps]
    first = max(tick for tick in every if tick <= low)
    last = min(tick for tick in every if tick >= high and tick > first)
    return tuple(tick for tick in every if first <= tick <= last)


@dataclass(frozen=True)
class Panel:
    """Two axes on a picture of (width, height) px; margins as `MARGINS`."""

    x: Axis
    y: Axis
    size: tuple[int, int]
    margins: tuple[int, int, int, int] = MARGINS

    @property
    def inside(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom of what the axes span, px."""
        left, right, top, bottom = self.margins
        return left, self.size[0] - right, top, self.size[1] - bottom

    def place(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """Where points are drawn, (..., 2) px; those beyond the axes on their border."""
        left, right, top, base = self.inside
        across, up = np.broadcast_arrays(self.x.share(x).clip(0, 1), self.y.share(y).clip(0, 1))
        at = np.stack([left + across * (right - left), base - up * (base - top)], -1)
        return np.rint(at).astype(np.int32)

    def draw(self) -> np.ndarray:
        """The axes with their ticks and labels on paper: uint8 RGB."""
        left, right, _, base = self.inside
        out = np.full((self.size[1], self.size[0], 3), PAPER, np.uint8)
        for tick in self.y.ticks:
            level = int(self.place(self.x.ticks[0], tick)[1])
            cv2.line(out, (left, level), (right, level), LINE, 1)
            said = f"{tick:g}"
            put_text(out, said, (left - 8 - text_px(said, LETTER), level + 5), LETTER, INK)
        for tick in self.x.ticks:
            at = int(self.place(tick, self.y.ticks[0])[0])
            cv2.line(out, (at, base), (at, base + 5), INK, 1)
            said = f"{tick:g}" if self.x.log else f"{tick:,g}"
            put_text(out, said, (at - text_px(said, LETTER) // 2, base + 24), LETTER, INK)
        cv2.line(out, (left, base), (right, base), INK, 1)
        middle = (left + right - text_px(self.x.label, LETTER)) // 2
        put_text(out, self.x.label, (middle, self.size[1] - 14), LETTER, INK)
        put_text(out, self.y.label, (14, 28), LETTER, INK)
        return out


def draw_curves(
    x: Axis,
    y: Axis,
    curves: Sequence[Curve],
    *,
    marks: Sequence[tuple[float, str]] = (),
    size: tuple[int, int] = (1120, 560),
) -> np.ndarray:
    """The curves with axes, a legend and vertical lines with words at `marks`: uint8 RGB.

    size: width and height, px. What lies outside the axes is drawn on their border.
    """
    panel = Panel(x, y, size)
    _, right, top, base = panel.inside
    out = panel.draw()
    for value, words in marks:
        at = int(panel.place(value, y.ticks[0])[0])
        cv2.line(out, (at, top), (at, base), INK, 1)
        put_text(out, words, (at + 5, top + 16), LETTER, INK)
    for curve in curves:
        points = panel.place(curve.x, curve.y)
        cv2.polylines(out, [points], False, curve.colour, curve.width, cv2.LINE_AA)
        if len(points) == 1:
            cv2.circle(out, points[0].tolist(), 3, curve.colour, -1, cv2.LINE_AA)
    _legend(out, curves, right)
    return out


def _legend(out: np.ndarray, curves: Sequence[Curve], right: int) -> None:
    at, named = right, {curve.name: curve.colour for curve in curves if curve.name}
    for name, colour in reversed(named.items()):
        at -= text_px(name, LETTER)
        put_text(out, name, (at, 28), LETTER, INK)
        cv2.line(out, (at - 34, 23), (at - 8, 23), colour, 3, cv2.LINE_AA)
        at -= 58
