"""The 3D view, action bars and timelines, and how they stand around a frame: uint8 RGB pictures.

Nothing is drawn in place: every public function returns a new picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from poseact.core.geometry import overlaps
from poseact.core.layouts import Layout
from poseact.core.types import Person, Result
from poseact.results.drawing import (
    ACCENT,
    FAINT_INK,
    GRID,
    INK,
    OUTLINE,
    PANEL,
    SHIFT,
    SIDE_COLOUR,
    TRACK,
    disc,
    draw_people,
    fixed_point,
    line_px,
    person_px,
    put_text,
    shortened,
    text_px,
)

_READABLE_PX = 480  # a smaller picture is enlarged before text is put on it
_ELEVATION_RAD = np.deg2rad(14)
_VIEW_MM = 2200  # width of the 3D view
_FLOOR_MM = 1000  # half side of the floor grid


# --------------------------------------------------------------------------------------- 3D view


def view_3d(
    xyz: np.ndarray, layout: Layout, *, size: int = 240, azimuth_deg: float = 30.0
) -> np.ndarray:
    """The pose (J, 3) in mm, camera axes, on a floor grid of 25 cm: a dark picture (size, size, 3).

    azimuth_deg: how far the viewer walks round the person, 0 is the camera's own side. The floor
    lies under the lowest joint. The scale is fixed (2.2 m), smaller only if the pose needs it.
    """
    fine = size * 2  # drawn twice as large: smoother lines
    out = np.full((fine, fine, 3), PANEL, np.uint8)
    known = np.asarray(np.isfinite(xyz).all(-1))
    if known.any():
        xyz = xyz - (xyz[layout.root] if known[layout.root] else xyz[known].mean(0))
        floor_mm = float(xyz[known, 1].max()) + 30
        points, depth = _seen(xyz, azimuth_deg)
        reach = np.abs(points[known] - (0, 80)).max()
        scale = min(fine / _VIEW_MM, 0.46 * fine / max(reach, 1.0))
        centre = np.array([0.5, 0.5]) * fine - np.array([0, 80]) * scale
        _draw_floor(out, floor_mm, azimuth_deg, scale, centre)
        shadow, _ = _seen(xyz * (1, 0, 1) + (0, floor_mm, 0), azimuth_deg)
        _draw_shadow(out, shadow * scale + centre, layout, fine)
        _draw_body(out, points * scale + centre, depth, layout, fine)
    return cv2.resize(out, (size, size), interpolation=cv2.INTER_AREA)


def _seen(xyz: np.ndarray, azimuth_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Orthographic view from a little above: (N, 2) mm right and down, (N,) mm away."""
    a, e = np.deg2rad(azimuth_deg), _ELEVATION_RAD
    x, y, z = np.moveaxis(np.asarray(xyz, float), -1, 0)
    right, away = x * np.cos(a) - z * np.sin(a), x * np.sin(a) + z * np.cos(a)
    down = y * np.cos(e) - away * np.sin(e)
    return np.stack([right, down], -1), away * np.cos(e) + y * np.sin(e)


def _draw_floor(
    out: np.ndarray, floor_mm: float, azimuth_deg: float, scale: float, centre: np.ndarray
) -> None:
    def on_floor(*xz: tuple[float, float]) -> np.ndarray:
        points, _ = _seen(np.array([(x, floor_mm, z) for x, z in xz]), azimuth_deg)
        return points * scale + centre

    r = float(_FLOOR_MM)
    corners = on_floor((-r, -r), (r, -r), (r, r), (-r, r))
    fixed = np.array([fixed_point(p) for p in corners], np.int32)
    cv2.fillPoly(out, [fixed], (27, 30, 38), cv2.LINE_AA, SHIFT)
    line = max(1, len(out) // 400)
    for at in np.arange(-r, r + 1, 250):
        for a, b in (on_floor((at, -r), (at, r)), on_floor((-r, at), (r, at))):
            cv2.line(out, fixed_point(a), fixed_point(b), GRID, line, cv2.LINE_AA, SHIFT)


def _draw_shadow(out: np.ndarray, points: np.ndarray, layout: Layout, fine: int) -> None:
    for a, b in layout.edges:
        if np.isfinite(points[[a, b]]).all():
            ends = fixed_point(points[a]), fixed_point(points[b])
            cv2.line(out, *ends, OUTLINE, max(2, fine // 70), cv2.LINE_AA, SHIFT)


def _draw_body(
    out: np.ndarray, points: np.ndarray, depth: np.ndarray, layout: Layout, fine: int
) -> None:
    """Bones from far to near, the far ones darker."""
    edges = [e for e in layout.edges if np.isfinite(points[list(e)]).all()]
    width = max(3, fine // 62)
    for a, b in sorted(edges, key=lambda e: -depth[list(e)].sum()):
        away_mm = depth[[a, b]].mean()
        shade = float(np.clip(0.85 - away_mm / 2500, 0.5, 1.0))
        red, green, blue = (round(shade * c) for c in SIDE_COLOUR[layout.side(b)])
        colour = red, green, blue
        ends = fixed_point(points[a]), fixed_point(points[b])
        cv2.line(out, *ends, OUTLINE, width + max(2, width // 2), cv2.LINE_AA, SHIFT)
        cv2.line(out, *ends, colour, width, cv2.LINE_AA, SHIFT)
        disc(out, points[b], 0.75 * width, colour)


# ----------------------------------------------------------------------------------------- actions


def action_bar(labels: Sequence[str], probabilities: np.ndarray, *, width: int) -> np.ndarray:
    """The three most probable actions as bars with names: a dark picture (h, width, 3)."""
    if len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} labels but {len(probabilities)} probabilities")
    row, pad = max(12, round(width * 0.085)), max(3, round(width * 0.02))
    best = np.argsort(-np.nan_to_num(probabilities), kind="stable")[:3]
    out = np.full((len(best) * (row + pad) + pad, width, 3), PANEL, np.uint8)
    inner = width - 2 * pad
    for n, k in enumerate(best):
        probability = float(np.nan_to_num(probabilities[k]))
        top = pad + n * (row + pad)
        out[top : top + row, pad : pad + inner] = TRACK
        filled = round(inner * min(max(probability, 0.0), 1.0))
        out[top : top + row, pad : pad + filled] = ACCENT if n == 0 else (70, 92, 116)
        ink, high, base = INK if n == 0 else FAINT_INK, row * 0.5, top + round(row * 0.7)
        percent = f"{probability:.0%}"
        percent_px = text_px(percent, high)
        put_text(out, percent, (pad + inner - percent_px - pad, base), high, ink)
        name = shortened(labels[int(k)], high, inner - percent_px - 4 * pad)
        put_text(out, name, (2 * pad, base), high, ink)
    return out


def timeline(
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    width: int,
    cursor: int | None = None,
    top: int = 4,
) -> np.ndarray:
    """Actions over time: a row for each of the `top` strongest, bright where it is probable.

    probabilities: (T, A), NaN rows for frames without an action. cursor: the frame to mark.
    Returns a dark picture (h, width, 3).
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise ValueError(f"need (T, {len(labels)}) probabilities, got {probabilities.shape}")
    known = np.nan_to_num(probabilities) if len(probabilities) else np.zeros((1, len(labels)))
    shown = np.argsort(-known.max(0), kind="stable")[:top]
    row, gap = max(12, round(width * 0.028)), 2
    names = min(round(width * 0.3), round(row * 9))
    out = np.full((len(shown) * (row + gap) + gap, width, 3), PANEL, np.uint8)
    for n, k in enumerate(shown):
        y = gap + n * (row + gap)
        name = shortened(labels[int(k)], row * 0.55, names - row)
        put_text(out, name, (row // 2, y + round(row * 0.72)), row * 0.55, INK)
        strip = cv2.resize(
            known[None, :, k].astype(np.float32),
            (width - names - gap, 1),
            interpolation=cv2.INTER_AREA if len(known) > width - names else cv2.INTER_NEAREST,
        )
        weight = strip.clip(0, 1)[..., None]  # 1 w 1
        cells = np.array(TRACK) * (1 - weight) + np.array(ACCENT) * weight
        out[y : y + row, names : width - gap] = np.rint(cells).astype(np.uint8)
    if cursor is not None:
        x = names + round((cursor + 0.5) / len(known) * (width - names - gap))
        out[:, max(0, x - 1) : x + 1] = INK
    return out


def confusion_matrix(counts: np.ndarray, labels: Sequence[str], *, cell: int = 64) -> np.ndarray:
    """Clips by true class (rows) and answer (columns), with names: a dark picture.

    counts: (A, A). A cell shows its count, and is as bright as its share of the row. The names of
    the columns stand upright. cell: px, the side of a cell.
    """
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"need ({len(labels)}, {len(labels)}) counts, got {counts.shape}")
    high, pad = cell * 0.2, round(cell * 0.2)
    names, corner = [shortened(name, high, 5 * cell) for name in labels], "true \\ answer"
    head = max(text_px(name, high) for name in (*names, corner)) + 2 * pad
    side = cell * len(labels)
    top = np.full((head, side, 3), PANEL, np.uint8)
    turned = np.ascontiguousarray(np.rot90(top, -1))  # a name along a row, read from below
    body = np.full((side, head + side + pad, 3), PANEL, np.uint8)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for k, name in enumerate(names):
        line = round((k + 0.5) * cell + high / 2)
        put_text(turned, name, (pad, line), high, INK)
        put_text(body, name, (head - pad - text_px(name, high), line), high, INK)
        for n, part in enumerate(share[k]):
            x, y = head + n * cell, k * cell
            colour = (1 - part) * np.array(TRACK) + part * np.array(ACCENT)
            body[y + 1 : y + cell - 1, x + 1 : x + cell - 1] = np.rint(colour).astype(np.uint8)
            number, ink = str(int(counts[k, n])), INK if counts[k, n] else GRID
            left = x + (cell - text_px(number, 1.2 * high)) // 2
            put_text(body, number, (left, round(y + cell / 2 + 0.6 * high)), 1.2 * high, ink)
    out = np.full((head + side + pad, body.shape[1], 3), PANEL, np.uint8)
    out[:head, head : head + side] = np.rot90(turned)
    out[head : head + side] = body
    put_text(out, corner, (head - pad - text_px(corner, high), head - pad // 2), high, FAINT_INK)
    return out


# ------------------------------------------------------------------------------- around a frame


def annotate(
    rgb: np.ndarray,
    result: Result,
    *,
    inset: bool = True,
    beside: bool = False,
    min_score: float = 0.3,
    azimuth_deg: float = 30.0,
) -> np.ndarray:
    """A frame with skeletons, the main person's 3D view and actions, in corners that are free.

    The main person is the one with the largest box; with several people each has a tag with its
    track and best action, and there are no bars. inset: whether to show the 3D view. beside: put
    both into a dark column to the right, for pictures that the person fills. A picture under 480 px
    is enlarged to keep text readable; the size of the output depends on the size of rgb and on
    `beside` alone.
    """
    rgb, result = _enlarged(rgb, result)
    height, width = rgb.shape[:2]
    short = min(height, width)
    margin, column = round(short * 0.025), round(short * 0.6) if beside else 0
    out = np.full((height, width + column, 3), PANEL, np.uint8)
    out[:, :width] = rgb
    boxes = np.array([p.box for p in result.people]).reshape(-1, 4)
    main = max(result.people, key=person_px, default=None)
    if main is not None and inset and main.xyz is not None:
        size = column if beside else round(short * 0.34)
        view = view_3d(main.xyz, main.layout, size=size, azimuth_deg=azimuth_deg)
        corners = [(width - size - margin, margin), (margin, margin)]
        _paste(out, view, (width, 0) if beside else _free(corners, view, boxes))
    if main is not None and main.action is not None and result.labels and len(boxes) == 1:
        bar = action_bar(result.labels, main.action, width=column or round(short * 0.56))
        low = height - bar.shape[0] - margin
        corners = [(margin, low), (width - bar.shape[1] - margin, low)]
        _paste(out, bar, (width, low) if beside else _free(corners, bar, boxes))
    # People go over the panels: no limb is hidden.
    out[:, :width] = draw_people(out[:, :width], result, min_score=min_score)
    if len(result.people) > 1:
        for person in result.people:
            _draw_tag(out[:, :width], person, result.labels, short)
    return out


def _free(
    corners: Sequence[tuple[int, int]], panel: np.ndarray, boxes: np.ndarray
) -> tuple[int, int]:
    """The corner where a panel covers least of people's boxes (n, 4), of equals the first."""
    places = np.array([(x, y, x + panel.shape[1], y + panel.shape[0]) for x, y in corners], float)
    covered = np.nan_to_num(overlaps(places, boxes)).sum(1)
    return corners[int(np.argmin(covered.round(2)))]


def _enlarged(rgb: np.ndarray, result: Result) -> tuple[np.ndarray, Result]:
    """Both scaled so that the shorter side is readable (but the longer at most 4096 px)."""
    height, width = rgb.shape[:2]
    scale = min(_READABLE_PX / min(height, width), 4096 / max(height, width))
    if scale <= 1:
        return rgb, result
    size = round(width * scale), round(height * scale)
    factor = np.array([size[0] / width, size[1] / height])
    people = tuple(
        replace(p, xy=p.xy * factor, box=np.asarray(p.box) * np.tile(factor, 2))
        for p in result.people
    )
    large = cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
    return large, replace(result, people=people)


def _draw_tag(out: np.ndarray, person: Person, labels: Sequence[str], short: int) -> None:
    text = f"{person.track}"
    if person.action is not None and labels:
        best = int(np.argmax(np.nan_to_num(person.action)))
        text += f" {labels[best]} {person.action[best]:.0%}"
    known = person.xy[np.isfinite(person.xy).all(-1)]
    if not len(known):
        return
    high = max(10.0, short * 0.022)
    wide, tall = text_px(text, high) + round(high), round(high * 1.9)
    tag = np.full((tall, wide, 3), PANEL, np.uint8)
    put_text(tag, text, (round(high * 0.5), round(high * 1.4)), high, INK)
    x, y = known.mean(0)[0] - wide / 2, known.min(0)[1] - tall - 3 * line_px(person)
    _paste(out, tag, (round(float(x)), round(float(y))))


def _paste(out: np.ndarray, panel: np.ndarray, at: tuple[int, int]) -> None:
    """Lay a panel over the picture, a little translucent, moved inside if it sticks out."""
    height, width = out.shape[:2]
    panel = panel[:height, :width]
    x = min(max(at[0], 0), width - panel.shape[1])
    y = min(max(at[1], 0), height - panel.shape[0])
    under = out[y : y + panel.shape[0], x : x + panel.shape[1]]
    under[:] = cv2.addWeighted(panel, 0.86, under, 0.14, 0)


def contact_sheet(
    tiles: Sequence[np.ndarray], columns: int, *, labels: Sequence[str] = ()
) -> np.ndarray:
    """Pictures in rows of `columns`, each fitted into the size of the first, with a caption."""
    if not tiles or columns < 1:
        raise ValueError(f"a contact sheet needs tiles and columns, got {len(tiles)} and {columns}")
    if labels and len(labels) != len(tiles):
        raise ValueError(f"{len(tiles)} tiles but {len(labels)} labels")
    height, width = tiles[0].shape[:2]
    gap, caption = max(2, width // 40), max(14, width // 12) if labels else 0
    rows, columns = -(-len(tiles) // columns), min(columns, len(tiles))
    cell_h, cell_w = height + caption + gap, width + gap
    out = np.full((rows * cell_h + gap, columns * cell_w + gap, 3), PANEL, np.uint8)
    for n, tile in enumerate(tiles):
        y, x = gap + n // columns * cell_h, gap + n % columns * cell_w
        scale = min(height / tile.shape[0], width / tile.shape[1])
        size = max(1, round(tile.shape[1] * scale)), max(1, round(tile.shape[0] * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        fitted = cv2.resize(tile, size, interpolation=how)
        top, left = y + (height - size[1]) // 2, x + (width - size[0]) // 2
        out[top : top + size[1], left : left + size[0]] = fitted
        if labels:
            high = caption * 0.5
            put_text(
                out, shortened(labels[n], high, width), (x, y + height + caption - 4), high, INK
            )
    return out
