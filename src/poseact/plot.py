"""Curves over a linear or logarithmic scale, drawn with OpenCV on uint8 RGB pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from poseact.draw import Colour, _text, _text_px

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
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 44, 64, 60
_LETTER = 15.0


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
    width, height = size
    out = np.full((height, width, 3), PAPER, np.uint8)
    base, right = height - _BOTTOM, width - _RIGHT

    def place(at: np.ndarray | float, value: np.ndarray | float) -> np.ndarray:
        across, up = x.share(at).clip(0, 1), y.share(value).clip(0, 1)
        across, up = np.broadcast_arrays(
            _LEFT + across * (right - _LEFT), base - up * (base - _TOP)
        )
        return np.rint(np.stack([across, up], -1)).astype(np.int32)

    for tick in y.ticks:
        level = int(place(x.ticks[0], tick)[1])
        cv2.line(out, (_LEFT, level), (right, level), LINE, 1)
        said = f"{tick:g}"
        _text(out, said, (_LEFT - 8 - _text_px(said, _LETTER), level + 5), _LETTER, INK)
    for tick in x.ticks:
        at = int(place(tick, y.ticks[0])[0])
        cv2.line(out, (at, base), (at, base + 5), INK, 1)
        said = f"{tick:g}" if x.log else f"{tick:,g}"
        _text(out, said, (at - _text_px(said, _LETTER) // 2, base + 24), _LETTER, INK)
    cv2.line(out, (_LEFT, base), (right, base), INK, 1)
    for value, words in marks:
        at = int(place(value, y.ticks[0])[0])
        cv2.line(out, (at, _TOP), (at, base), INK, 1)
        _text(out, words, (at + 5, _TOP + 16), _LETTER, INK)
    for curve in curves:
        points = place(curve.x, curve.y)
        cv2.polylines(out, [points], False, curve.colour, curve.width, cv2.LINE_AA)
        if len(points) == 1:
            cv2.circle(out, points[0].tolist(), 3, curve.colour, -1, cv2.LINE_AA)
    _text(out, x.label, ((_LEFT + right - _text_px(x.label, _LETTER)) // 2, height - 14), 15, INK)
    _text(out, y.label, (14, 28), _LETTER, INK)
    _legend(out, curves, right)
    return out


def _legend(out: np.ndarray, curves: Sequence[Curve], right: int) -> None:
    at, named = right, {curve.name: curve.colour for curve in curves if curve.name}
    for name, colour in reversed(named.items()):
        at -= _text_px(name, _LETTER)
        _text(out, name, (at, 28), _LETTER, INK)
        cv2.line(out, (at - 34, 23), (at - 8, 23), colour, 3, cv2.LINE_AA)
        at -= 58
