"""Accuracy against cost for every exit of one network (TPAMI Fig. 9), as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from experiments.ablation.tables import FIGURE_VARIANTS, Found, exits
from poseact.results.drawing import Colour, put_text, text_px
from poseact.results.plot import INK, LETTER, Axis, Panel, ticks

_CUT: Colour = (214, 92, 54)
_WHOLE: Colour = (40, 70, 130)
_SIZE, _MARGINS = (640, 480), (84, 24, 56, 64)
"""Of a panel, px."""

Points = np.ndarray
"""(N, 3): cost, mean and spread of a number, one row a network."""


def draw_cost(found: Found) -> np.ndarray:
    """Pose error and action accuracy over multiply-adds a frame, side by side: uint8 RGB.

    Joined dots are the exits of the deep network, squares networks trained at their size (one
    block, P = 2). ValueError if the deep one has no result.
    """
    deep, *others = (found[variant] for variant in FIGURE_VARIANTS)
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
    panel = Panel(x, y, _SIZE, _MARGINS)
    out = panel.draw()
    cv2.polylines(out, [panel.place(cut[:, 0], cut[:, 1])], False, _CUT, 2, cv2.LINE_AA)
    for points, colour in ((cut, _CUT), (whole, _WHOLE)):
        for cost, mean, spread in points:
            top, bottom = panel.place(cost, np.array([mean + spread, mean - spread])).tolist()
            cv2.line(out, top, bottom, colour, 1, cv2.LINE_AA)
            _mark(out, panel.place(cost, mean).tolist(), colour, round_=points is cut)
    _legend(out)
    return out


def _legend(out: np.ndarray) -> None:
    at = _SIZE[0] - _MARGINS[1]
    for text, colour, round_ in (
        ("trained at its size", _WHOLE, False),
        ("one network, cut", _CUT, True),
    ):
        at -= text_px(text, LETTER)
        put_text(out, text, (at, 28), LETTER, INK)
        _mark(out, (at - 14, 23), colour, round_=round_)
        at -= 44


def _mark(out: np.ndarray, at: Sequence[int], colour: Colour, *, round_: bool) -> None:
    if round_:
        cv2.circle(out, at, 6, colour, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(out, (at[0] - 5, at[1] - 5), (at[0] + 5, at[1] + 5), colour, -1)
