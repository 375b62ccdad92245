"""Accuracy against cost for every exit of one network (TPAMI Fig. 9), as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from poseact.ablation.tables import FIGURE_ARMS, Found, exits
from poseact.draw import Colour, _text, _text_px
from poseact.plot import INK as _INK
from poseact.plot import LINE as _LINE
from poseact.plot import PAPER as _PAPER
from poseact.plot import Axis, ticks

_CUT: Colour = (214, 92, 54)
_WHOLE: Colour = (40, 70, 130)
_WIDE, _HIGH = 640, 480
"""Of a panel, px."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 56, 64
_LETTER = 15.0

Points = np.ndarray
"""(N, 3): cost, mean and spread of a number, one row a network."""


def draw_cost(found: Found) -> np.ndarray:
    """Pose error and action accuracy over multiply-adds a frame, side by side: uint8 RGB.

    Joined dots are the exits of the deep network, squares networks trained at their size (one
    block, P = 2). ValueError if the deep one has no result.
    """
    deep, *others = (found[arm] for arm in FIGURE_ARMS)
    if not deep:
        raise ValueError("the figure needs a result of the network with P = 4: run table d")
    panels = []
    for key, label in (("mpjpe_mm", "MPJPE, mm"), ("action_top1", "action accuracy, %")):
        cut = np.concatenate([_point(values, key) for _, values in exits(deep)])
        whole = [_point(results, key) for results in others if results]
        panels.append(_panel(label, cut, np.concatenate([np.empty((0, 3)), *whole])))
    return np.hstack(panels)


def _point(results: Sequence[dict], key: str) -> Points:
    values = [r[key] for r in results]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return np.array([[results[0]["multiply_adds"] / 1e6, np.mean(values), spread]])


def _panel(label: str, cut: Points, whole: Points) -> np.ndarray:
    every = np.concatenate([cut, whole])
    x = Axis("multiply-adds a frame, M", ticks(0.0, float(every[:, 0].max())))
    low, high = (every[:, 1] - every[:, 2]).min(), (every[:, 1] + every[:, 2]).max()
    y = Axis(label, ticks(float(low), float(high)))
    out = np.full((_HIGH, _WIDE, 3), _PAPER, np.uint8)
    _axes(out, x, y)
    places = [_place(x, y, cost, mean) for cost, mean, _ in cut]
    cv2.polylines(out, [np.array(places)], False, _CUT, 2, cv2.LINE_AA)
    for points, colour in ((cut, _CUT), (whole, _WHOLE)):
        for cost, mean, spread in points:
            top, bottom = _place(x, y, cost, mean + spread), _place(x, y, cost, mean - spread)
            cv2.line(out, top, bottom, colour, 1, cv2.LINE_AA)
            _mark(out, _place(x, y, cost, mean), colour, round_=points is cut)
    _legend(out)
    return out


def _place(x: Axis, y: Axis, cost: float, value: float) -> tuple[int, int]:
    wide, high = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM
    return (
        _LEFT + round(float(wide * x.share(cost))),
        _HIGH - _BOTTOM - round(float(high * y.share(value))),
    )


def _axes(out: np.ndarray, x: Axis, y: Axis) -> None:
    base, left = _HIGH - _BOTTOM, _LEFT
    for tick in y.ticks:
        at = _place(x, y, x.ticks[0], tick)[1]
        cv2.line(out, (left, at), (_WIDE - _RIGHT, at), _LINE, 1)
        _text(out, f"{tick:g}", (left - 8 - _text_px(f"{tick:g}", _LETTER), at + 5), _LETTER, _INK)
    for tick in x.ticks:
        at = _place(x, y, tick, y.ticks[0])[0]
        cv2.line(out, (at, base), (at, base + 5), _INK, 1)
        _text(
            out, f"{tick:g}", (at - _text_px(f"{tick:g}", _LETTER) // 2, base + 24), _LETTER, _INK
        )
    cv2.line(out, (left, base), (_WIDE - _RIGHT, base), _INK, 1)
    middle = (left + _WIDE - _RIGHT - _text_px(x.label, _LETTER)) // 2
    _text(out, x.label, (middle, _HIGH - 14), _LETTER, _INK)
    _text(out, y.label, (14, 26), _LETTER, _INK)


def _legend(out: np.ndarray) -> None:
    at = _WIDE - _RIGHT
    for text, colour, round_ in (
        ("trained at its size", _WHOLE, False),
        ("one network, cut", _CUT, True),
    ):
        at -= _text_px(text, _LETTER)
        _text(out, text, (at, 26), _LETTER, _INK)
        _mark(out, (at - 14, 21), colour, round_=round_)
        at -= 44


def _mark(out: np.ndarray, at: tuple[int, int], colour: Colour, *, round_: bool) -> None:
    if round_:
        cv2.circle(out, at, 6, colour, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(out, (at[0] - 5, at[1] - 5), (at[0] + 5, at[1] + 5), colour, -1)
