"""Boxes, the one 3x3 affine that moves pixels and points alike, and Procrustes alignment.

Image points are pixels with (0, 0) at the corner of the first pixel, so its centre is (0.5, 0.5).
Crop points `uv` run over [0, 1] of the crop.
"""

from __future__ import annotations

import cv2
import numpy as np


def box_around(xy: np.ndarray, *, margin: float = 1.0) -> np.ndarray:
    """x0 y0 x1 y1 (..., 4) around the known points (..., J, 2), grown about its centre by `margin`.

    All points unknown (NaN) give a NaN box.
    """
    known = ~np.isnan(xy.sum(-1, keepdims=True))
    low = np.where(known, xy, np.inf).min(-2)
    high = np.where(known, xy, -np.inf).max(-2)
    low, high = np.where(low <= high, (low, high), np.nan)
    centre, half = (low + high) / 2, (high - low) / 2 * margin
    return np.concatenate([centre - half, centre + half], -1)


def square(box: np.ndarray, *, margin: float = 1.0) -> np.ndarray:
    """The square (..., 4) on the centre of a box, its side the box's longer one times margin."""
    box = np.asarray(box, np.float64)
    centre = (box[..., :2] + box[..., 2:]) / 2
    half = (box[..., 2:] - box[..., :2]).max(-1, keepdims=True) / 2 * margin
    return np.concatenate([centre - half, centre + half], -1)


def check_box(box: np.ndarray, *, picture: tuple[int, int] | None = None) -> np.ndarray:
    """The box as float64 (4,), or ValueError if it is not x0 y0 x1 y1 with a positive size, or if
    nothing of it is in the picture of (width, height) px."""
    box = np.asarray(box, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
        raise ValueError(f"box is x0 y0 x1 y1 in px with x1 > x0 and y1 > y0, got {box.tolist()}")
    if picture is not None and ((box[2:] <= 0) | (box[:2] >= picture)).any():
        raise ValueError(f"box {box.tolist()} is outside the picture of {picture} px (w, h)")
    return box


def union(boxes: np.ndarray) -> np.ndarray:
    """The smallest box (4,) that holds all boxes (N, 4); NaN rows do not count; NaN if all are."""
    return box_around(boxes.reshape(-1, 2))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    return float(overlaps(a[None], b[None])[0, 0])


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of boxes (n, 4) and (m, 4)."""
    wh = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = wh.clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return both / np.maximum(area_a[:, None] + area_b - both, 1e-9)


def crop_matrix(
    box: np.ndarray,
    *,
    angle_rad: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
) -> np.ndarray:
    """(3, 3) from image px to crop uv [0, 1].

    The crop is the square on `box` with its side times `scale`, moved by `shift` (in sides of the
    box), turned by `angle_rad` about its centre (a positive angle turns the picture clockwise) and
    then mirrored left-right if `flip`.
    """
    box = square(check_box(box))
    side = box[2] - box[0]
    centre = (box[:2] + box[2:]) / 2 + np.asarray(shift) * side
    c, s = np.cos(angle_rad) / (side * scale), np.sin(angle_rad) / (side * scale)
    m = np.array([[c, -s, 0.5], [s, c, 0.5], [0.0, 0.0, 1.0]])
    m[:2, 2] -= m[:2, :2] @ centre
    return np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) @ m if flip else m


def transform(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Apply (..., 3, 3) affine matrices to points (..., J, 2)."""
    return xy @ np.swapaxes(matrix[..., :2, :2], -1, -2) + matrix[..., None, :2, 2]


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The crop (h, w, 3) uint8 that `matrix` (image px -> crop uv) describes; outside is black.

    Pixel centres are at .5, so a crop pixel shows the very point its uv maps to. A crop that
    shrinks the picture a lot is read from a smaller copy, to keep it free of aliasing.
    """
    height, width = size
    to_px = np.diag([width, height, 1.0]) @ matrix
    shrink = 1.0 / np.sqrt(abs(np.linalg.det(to_px[:2, :2])))  # image px per crop px
    if shrink >= 2.0:
        image, to_px = _seen(image, to_px, size, int(shrink))
        factor = 1.0 / np.floor(shrink)
        small_size = [max(round(n * factor), 1) for n in (image.shape[1], image.shape[0])]
        small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
        ratio = [small.shape[1] / image.shape[1], small.shape[0] / image.shape[0], 1.0]
        image, to_px = small, to_px @ np.diag(1.0 / np.asarray(ratio))
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centred = np.linalg.inv(half) @ to_px @ half  # OpenCV counts from the pixel's centre
    return cv2.warpAffine(image, centred[:2], (width, height), flags=cv2.INTER_LINEAR)


def _seen(
    image: np.ndarray, to_px: np.ndarray, size: tuple[int, int], factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture that a crop (h, w) shows, and the matrix from there to crop px.

    In whole blocks of factor x factor px and two more around, so that a copy smaller by `factor`
    has the same pixels; all of the picture if blocks do not fill it.
    """
    if image.shape[0] % factor or image.shape[1] % factor:
        return image, to_px
    corners = np.array([[0.0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]])
    at = transform(np.linalg.inv(to_px), corners) / factor  # blocks
    most = np.array(image.shape[1::-1]) // factor
    x0, y0 = np.clip(np.floor(at.min(0)) - 2, 0, most - 1).astype(int) * factor
    x1, y1 = np.clip(np.ceil(at.max(0)) + 2, 1, most).astype(int) * factor
    if x1 <= x0 or y1 <= y0:  # beside the picture
        return image, to_px
    moved = np.array([[1.0, 0, x0], [0, 1, y0], [0, 0, 1]])
    return image[y0:y1, x0:x1], to_px @ moved


def procrustes(pose: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pose (..., J, 3) after the best scale, rotation (no reflection) and shift onto target."""
    mean, goal = pose.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    a, b = pose - mean, target - goal
    u, s, vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    s[..., -1] *= sign
    u[..., :, -1] *= sign[..., None]
    scale = s.sum(-1) / np.maximum((a**2).sum((-2, -1)), 1e-12)
    return scale[..., None, None] * a @ (u @ vt) + goal
