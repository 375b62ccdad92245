"""Skeletons drawn on uint8 RGB pictures; the colours, points and letters of all drawings.

Left limbs are blue, right ones orange, the middle green, in 2D and in 3D. Nothing is drawn in
place unless a function says so.
"""

from __future__ import annotations

import cv2
import numpy as np

from poseact.core.types import Person, Result

Colour = tuple[int, int, int]

SIDE_COLOUR: dict[str, Colour] = {"l": (66, 165, 255), "r": (255, 138, 51), "m": (92, 214, 120)}
"""RGB of the left, the right and the middle of the body."""

PANEL: Colour = (20, 22, 28)
TRACK: Colour = (46, 50, 60)
GRID: Colour = (62, 68, 80)
INK: Colour = (238, 240, 244)
FAINT_INK: Colour = (168, 174, 186)
ACCENT: Colour = (64, 176, 166)
OUTLINE: Colour = (12, 14, 18)

SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel
_FAINT = 0.4  # opacity of bones we are not sure of


# ------------------------------------------------------------------------------------------ people


def draw_people(rgb: np.ndarray, result: Result, *, min_score: float = 0.3) -> np.ndarray:
    """A copy of rgb (H, W, 3) with everybody's skeleton, lines as wide as suits their size.

    Joints with a score under min_score are small circles and their bones faint; unknown (NaN)
    joints are not drawn. Small people, taken to be far, are drawn first.
    """
    out = rgb.copy()
    for person in sorted(result.people, key=person_px):
        faint = _draw_bones(out.copy(), person, min_score, sure=False)
        out = cv2.addWeighted(faint, _FAINT, out, 1 - _FAINT, 0)
        _draw_bones(out, person, min_score, sure=True)
        _draw_joints(out, person, min_score)
    return out


def person_px(person: Person) -> float:
    """Longer side of the box, or of the joints' extent where there is no box."""
    box = np.asarray(person.box, float)
    if not np.isfinite(box).all():
        known = person.xy[np.isfinite(person.xy).all(-1)]
        box = np.concatenate([known.min(0), known.max(0)]) if len(known) else np.zeros(4)
    return float(max(box[2] - box[0], box[3] - box[1]))


def line_px(person: Person) -> int:
    """Width of the lines that suits a person's size."""
    return max(1, round(person_px(person) * 0.012))


def _sure(person: Person, min_score: float) -> np.ndarray:
    return (np.nan_to_num(person.score) >= min_score) & (not person.filled)  # (J,)


def _draw_bones(out: np.ndarray, person: Person, min_score: float, *, sure: bool) -> np.ndarray:
    width, joint_sure = line_px(person), _sure(person, min_score)
    for extra, plain in ((max(2, width // 2), OUTLINE), (0, None)):  # the outline lies under all
        for parent, child in person.layout.edges:
            if bool(joint_sure[parent] and joint_sure[child]) != sure:
                continue
            a, b = person.xy[parent], person.xy[child]
            colour = plain or SIDE_COLOUR[person.layout.side(child)]
            if np.isfinite([a, b]).all():
                cv2.line(
                    out, fixed_point(a), fixed_point(b), colour, width + extra, cv2.LINE_AA, SHIFT
                )
    return out


def _draw_joints(out: np.ndarray, person: Person, min_score: float) -> None:
    width, joint_sure = line_px(person), _sure(person, min_score)
    for j, point in enumerate(person.xy):
        if not np.isfinite(point).all():
            continue
        colour = SIDE_COLOUR[person.layout.side(j)]
        if joint_sure[j]:
            disc(out, point, 1.25 * width + 1, OUTLINE)
            disc(out, point, 1.25 * width, colour)
            disc(out, point, 0.5 * width, INK)
        else:
            line = max(1, width // 3)
            radius = round((width + 1) * 2**SHIFT)
            cv2.circle(out, fixed_point(point), radius, colour, line, cv2.LINE_AA, SHIFT)


def fixed_point(point: np.ndarray) -> tuple[int, int]:
    """Image px (pixel centres at .5) in OpenCV's fixed point (centres at whole numbers)."""
    x, y = np.rint((np.clip(point, -1e4, 3e4) - 0.5) * 2**SHIFT).astype(int)
    return int(x), int(y)


def disc(out: np.ndarray, point: np.ndarray, radius: float, colour: Colour) -> None:
    """Fill a circle about a point in image px, in place."""
    cv2.circle(out, fixed_point(point), round(radius * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)


# -------------------------------------------------------------------------------------------- text


def _font(height_px: float) -> tuple[float, int]:
    """OpenCV's scale and line width for capitals of that height."""
    return height_px / 22, max(1, round(height_px / 12))


def text_px(text: str, height_px: float) -> int:
    """Width of a text whose capitals are that high."""
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, *_font(height_px))[0][0]


def put_text(
    out: np.ndarray, text: str, at: tuple[int, int], height_px: float, colour: Colour
) -> None:
    """Write with the base line's left end at `at`."""
    scale, line = _font(height_px)
    cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, line, cv2.LINE_AA)


def shortened(text: str, height_px: float, width_px: float) -> str:
    """The text, shortened with dots if it is wider than that."""
    if text_px(text, height_px) <= width_px:
        return text
    while text and text_px(text + "..", height_px) > width_px:
        text = text[:-1]
    return text + ".."
