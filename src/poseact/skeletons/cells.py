"""The cells of a searched network as a picture: what each node adds up and what leaves the cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from poseact.results.drawing import Colour, put_text, text_px

_PAPER: Colour = (250, 250, 248)
_INK: Colour = (32, 36, 44)
_NODE: Colour = (214, 234, 231)
_OUTER: Colour = (233, 226, 208)
_COLOUR: dict[str, Colour] = {
    "sep_conv_3x3": (214, 92, 54),
    "sep_conv_5x5": (150, 40, 30),
    "avg_pool_3x3": (60, 120, 200),
    "max_pool_3x3": (40, 70, 130),
    "identity": (120, 126, 136),
}
_SHIFT = 4
_WIDE, _HIGH, _GAP = 132, 44, 150
"""Of a box, and between two columns, px."""
_BOW = 160
"""How far a curve may bend sideways, px of its handles."""

Nodes = Sequence[tuple[int, str, int, str]]
Point = tuple[int, int]


def draw_cells(cells: Mapping[str, tuple[Nodes, Sequence[int]]]) -> np.ndarray:
    """Cells side by side below their names: uint8 RGB. Each has its nodes (input, operation, input,
    operation; inputs 0 and 1 are the two cells before) and the numbers of its outputs."""
    pictures = [draw_cell(name, *cell) for name, cell in cells.items()]
    height = max(len(picture) for picture in pictures)
    padded = [
        cv2.copyMakeBorder(p, 0, height - len(p), 0, 0, cv2.BORDER_CONSTANT, value=_PAPER)
        for p in pictures
    ]
    return np.vstack([np.hstack(padded), _legend(sum(p.shape[1] for p in padded))])


def draw_cell(name: str, nodes: Nodes, outputs: Sequence[int]) -> np.ndarray:
    """One cell, from its inputs on the left to its output on the right."""
    column = _columns(nodes)
    last = max(column) + 1
    rows = [column[:n].count(c) for n, c in enumerate(column)]
    high = 110 + (max(rows) + 1) * (_HIGH + 56)
    out = np.full((high, 60 + last * (_WIDE + _GAP) + _WIDE, 3), _PAPER, np.uint8)
    middle = [
        (
            30 + _WIDE // 2 + c * (_WIDE + _GAP),
            100 + round((r + 0.5 + 0.3 * (c % 2)) * (_HIGH + 50)),
        )
        for c, r in zip(column, rows)
    ]
    exit_ = (30 + _WIDE // 2 + last * (_WIDE + _GAP), middle[0][1])
    for n, (a, op_a, b, op_b) in enumerate(nodes, start=2):
        for source, op, port in ((a, op_a, -1), (b, op_b, 1)):
            _arrow(out, _path(middle[source], middle[n], port, middle), _COLOUR[op])
    for n in outputs:
        _arrow(out, _path(middle[n], exit_, 0, middle), _INK)
    names = ["cell before last", "last cell", *(f"node {n}" for n in range(2, len(column)))]
    for n, (centre, text) in enumerate(zip([*middle, exit_], [*names, "concatenated"])):
        _box(out, centre, text, _NODE if 2 <= n < len(middle) else _OUTER)
    put_text(out, f"{name} cell", (30, 42), 16, _INK)
    return out


def _columns(nodes: Nodes) -> list[int]:
    """A column per value: the inputs in the first, a node right of all it is made of."""
    column = [0, 0]
    for a, _, b, _ in nodes:
        column.append(1 + max(column[a], column[b]))
    return column


def _path(start: Point, end: Point, port: int, boxes: Sequence[Point]) -> np.ndarray:
    """A curve from the right side of one box to a port on the left side of another: (40, 2) px,
    bowed no more than it takes to pass the other boxes, which are given by their middles."""
    a = np.array([start[0] + _WIDE / 2, start[1] + 6 * port])
    b = np.array([end[0] - _WIDE / 2 - 2, end[1] + 10 * port])
    reach = np.array([0.45 * (b[0] - a[0]), 0])
    t = np.linspace(0, 1, 40)[:, None]
    others = np.array([box for box in boxes if box not in (start, end)], float).reshape(-1, 1, 2)
    side, paths = port or 1, []
    for bow in sorted(range(-_BOW, _BOW + 1, 20), key=lambda bow: (abs(bow), bow * side < 0)):
        path = (
            (1 - t) ** 3 * a
            + 3 * (1 - t) ** 2 * t * (a + reach + (0, bow))
            + 3 * (1 - t) * t**2 * (b - reach + (0, bow))
            + t**3 * b
        )
        within = np.abs(path - others) < (_WIDE / 2 + 4, _HIGH / 2 + 8)
        paths.append((int(within.all(-1).sum()), path))
    return min(paths, key=lambda counted: counted[0])[1]  # the first of equals, so the flattest


def _arrow(out: np.ndarray, path: np.ndarray, colour: Colour) -> None:
    points = np.rint(path * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(out, [points], False, colour, 2, cv2.LINE_AA, _SHIFT)
    head = path[-1] + np.array([[0, 0], [-9, -5], [-9, 5]])
    cv2.fillPoly(out, [np.rint(head * (1 << _SHIFT)).astype(np.int32)], colour, cv2.LINE_AA, _SHIFT)


def _box(out: np.ndarray, centre: tuple[int, int], text: str, colour: Colour) -> None:
    x, y = centre[0] - _WIDE // 2, centre[1] - _HIGH // 2
    cv2.rectangle(out, (x, y), (x + _WIDE, y + _HIGH), colour, -1)
    cv2.rectangle(out, (x, y), (x + _WIDE, y + _HIGH), _INK, 1, cv2.LINE_AA)
    put_text(out, text, (centre[0] - text_px(text, 9) // 2, centre[1] + 5), 9, _INK)


def _legend(width: int) -> np.ndarray:
    out = np.full((56, width, 3), _PAPER, np.uint8)
    x = 30
    for op, colour in _COLOUR.items():
        cv2.line(out, (x, 24), (x + 32, 24), colour, 3, cv2.LINE_AA)
        put_text(out, op, (x + 40, 29), 10, _INK)
        x += 76 + text_px(op, 10)
    return out
