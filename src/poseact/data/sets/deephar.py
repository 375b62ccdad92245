"""Pictures and boxes as the original project made them, for weights that were trained on those.

Source: the released code's loaders and `utils/transform.py`, `utils/bbox.py`. It works with Pillow:
turn the whole picture on a larger canvas, cut whole pixels, resize, mirror. Here the same is done
with numpy: a cut or resized picture is Pillow's own, byte for byte, a turned one up to rounding.
`poseact.core.geometry.warp` does all of it in one step and is what our own networks are trained
with.

The rule for the frames of a clip is `poseact.data.dataset.clip_indices`, the square of a pose
`square(box_around(xy), margin=BOX_MARGIN)`.
"""

from __future__ import annotations

import math

import numpy as np

from poseact.core.geometry import box_around, check_box, square, transform, union

BOX_MARGIN = 1.5
"""Side of the box over the longer side of the pose."""

_WEIGHT_BITS = 22
"""Pillow's resize counts in 32-bit integers: 8 bits of colour, 2 to spare, the rest for weights."""


def crop(
    image: np.ndarray,
    box: np.ndarray,
    *,
    size: tuple[int, int],
    angle_deg: float = 0.0,
    flip: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The crop (h, w, 3) uint8 of a box (4,) px, and the matrix (3, 3) from image px to crop uv.

    image: (H, W, 3) uint8; black outside. size: (h, w) px of the crop; a box that is not square is
    stretched. angle_deg: turns the picture anticlockwise about the middle of the box, by less than
    90 either way. flip: mirrors left-right, after resizing.

    The matrix is the original's. Of a turned picture it is up to a pixel beside what the crop
    shows: Pillow rounds the canvas to whole pixels, the original's matrix does not know of it.
    ValueError for a bad box or angle, or a box that holds no whole pixel.
    """
    box = check_box(box)
    if not abs(angle_deg) < 90:
        raise ValueError(f"angle_deg is less than 90 either way, got {angle_deg}")
    height, width = image.shape[:2]
    centre, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    to_canvas = _turn(angle_deg, centre)
    corners = np.array([[0.0, 0], [width, 0], [0, height], [width, height]])
    to_canvas = _shift(-transform(to_canvas, corners).min(0)) @ to_canvas
    (middle,) = transform(to_canvas, centre[None])
    window = np.concatenate([middle - extent / 2, middle + extent / 2]).astype(int)  # to zero
    columns, rows = window[2:] - window[:2]
    if min(columns, rows) < 1:
        raise ValueError(f"box {box.tolist()} holds no whole pixel; give a larger one")
    cut = _turned(image, angle_deg, window) if angle_deg else _cut(image, window)
    pixels = resize(cut, size)
    matrix = np.diag([1 / columns, 1 / rows, 1.0]) @ _shift(-window[:2]) @ to_canvas
    if flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        matrix = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) @ matrix
    return pixels, matrix


def normalise(
    pixels: np.ndarray, *, power: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> np.ndarray:
    """Network input, float32 in [-1, 1], of uint8 pixels (..., 3).

    power: exponent per channel of the values 0..1, the original's colour augmentation.
    """
    values = (pixels.astype(np.float32) / np.float32(255)) ** np.asarray(power, np.float32)
    return (values - np.float32(0.5)) * np.float32(2)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 from (H, W, 3) uint8 as by Pillow's bilinear filter.

    The filter is a tent as wide as two pixels of the smaller picture, so that shrinking averages;
    columns are done first and rounded to bytes, then rows. (Pillow 13 does the rows of a tall
    picture first, which differs by one grey level at most.)
    """
    wide = _resample(np.swapaxes(image, 0, 1), size[1])  # w H 3
    return _resample(np.swapaxes(wide, 0, 1), size[0])


def _resample(image: np.ndarray, length: int) -> np.ndarray:
    """The first axis resized to `length`."""
    have = len(image)
    step = have / length
    reach = max(step, 1.0)
    centre = (np.arange(length) + 0.5) * step
    first = np.maximum((centre - reach + 0.5).astype(int), 0)
    index = first[:, None] + np.arange(2 * math.ceil(reach) + 1)  # length taps
    inside = index < np.minimum((centre + reach + 0.5).astype(int), have)[:, None]
    tent = 1 - np.abs((index - centre[:, None] + 0.5) * (1 / reach))
    weight = np.where(inside, tent.clip(0), 0)
    weight = (weight * (1 / weight.sum(1, keepdims=True)) * 2**_WEIGHT_BITS + 0.5).astype(np.int32)
    index = np.minimum(index, have - 1)
    total = np.full((length, *image.shape[1:]), 1 << (_WEIGHT_BITS - 1), np.int32)
    for tap in range(index.shape[1]):
        total += weight[:, tap, None, None] * image[index[:, tap]]
    return (total >> _WEIGHT_BITS).clip(0, 255).astype(np.uint8)


def _cut(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The pixels of a window (4,) of whole px, black outside the picture."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = window
    out = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
    inside = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    top, left = max(-y0, 0), max(-x0, 0)
    if inside.size and y0 < height and x0 < width:
        out[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return out


def _turned(image: np.ndarray, angle_deg: float, window: np.ndarray) -> np.ndarray:
    """A window (4,) of the canvas that holds the turned picture, as Pillow's bilinear rotation."""
    height, width = image.shape[:2]
    x = np.arange(window[0], window[2])
    y = np.arange(window[1], window[3])[:, None]
    px, py, canvas = _turned_from(x + 0.5, y + 0.5, angle_deg, (width, height))  # h w
    inside = (px >= 0) & (px < width) & (py >= 0) & (py < height)
    inside &= (x >= 0) & (x < canvas[0]) & (y >= 0) & (y < canvas[1])
    px, py = np.where(inside, px, 0) - 0.5, np.where(inside, py, 0) - 0.5
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    right, low = (px - x0)[..., None], (py - y0)[..., None]
    columns = np.stack([x0, x0 + 1]).clip(0, width - 1)  # the border repeats its last pixel
    rows = np.stack([y0, y0 + 1]).clip(0, height - 1)
    a, b = (image[rows[0], c].astype(np.float64) for c in columns)
    upper = a + (b - a) * right
    a, b = (image[rows[1], c].astype(np.float64) for c in columns)
    lower = a + (b - a) * right
    # The cast drops the fraction, as Pillow's does.
    return np.where(inside[..., None], upper + (lower - upper) * low, 0).astype(np.uint8)


def _turned_from(
    x: np.ndarray, y: np.ndarray, angle_deg: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Where in the picture of `size` (width, height) a point of the canvas comes from; its size.

    Pillow turns about the middle of the picture, and its middle is that of the canvas. The order of
    the sums is Pillow's too: a point on the border is inside or outside by a rounding error.
    """
    cos = round(math.cos(math.radians(angle_deg)), 15)
    sin = round(math.sin(math.radians(angle_deg)), 15)
    width, height = size
    u0 = cos * -(width / 2) - sin * -(height / 2) + width / 2
    v0 = sin * -(width / 2) + cos * -(height / 2) + height / 2
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    us = [cos * u - sin * v + u0 for u, v in corners]
    vs = [sin * u + cos * v + v0 for u, v in corners]
    canvas = math.ceil(max(us)) - math.floor(min(us)), math.ceil(max(vs)) - math.floor(min(vs))
    left, top = -(canvas[0] - width) / 2, -(canvas[1] - height) / 2
    u0, v0 = cos * left - sin * top + u0, sin * left + cos * top + v0
    return cos * x - sin * y + u0, sin * x + cos * y + v0, canvas


def _turn(angle_deg: float, centre: np.ndarray) -> np.ndarray:
    """(3, 3): anticlockwise on the screen about a point."""
    angle = math.radians(angle_deg)
    c, s = math.cos(angle), math.sin(angle)
    return _shift(centre) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ _shift(-centre)


def _shift(by: np.ndarray) -> np.ndarray:
    return np.array([[1.0, 0, by[0]], [0, 1, by[1]], [0, 0, 1]])


# ------------------------------------------------------------------------------- boxes


def clip_box(
    xy: np.ndarray,
    visible: np.ndarray,
    *,
    image_size: tuple[int, int],
    scale: float = 1.0,
) -> np.ndarray:
    """The box (4,) px of a clip of Penn Action or NTU: around its first, middle and last pose.

    xy: (T, J, 2) px, NaN unknown. visible: (T, J). image_size: (width, height) px. scale: of the
    augmentation, 1 for tests. Each pose gives the square of `BOX_MARGIN` around its visible joints
    (around the known ones if none is visible; the original breaks off there), or the whole picture
    if nothing is known. The box around these squares need not be square.
    """
    boxes = []
    for t in _first_middle_last(len(xy)):
        seen = np.where(visible[t, :, None] > 0, xy[t], np.nan)
        seen = xy[t] if np.isnan(seen).any(-1).all() else seen
        box = square(box_around(seen), margin=BOX_MARGIN * scale)
        whole = np.array([0.0, 0.0, *image_size])
        boxes.append(whole if np.isnan(box).any() else box)
    return union(np.stack(boxes))


def h36m_box(
    root: np.ndarray,
    *,
    image_size: tuple[int, int],
    focal_px: np.ndarray,
    scale: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The box (4,) px of a clip of Human3.6M, and the depths (2,) mm that count as d = 0 and 1.

    root: (T, 3) x, y px and depth mm of the pelvis. image_size: (width, height) px. focal_px: (2,).
    The side is that of 2.25 m at the root's depth (of 2.25 mm for each pixel of the picture, which
    is about 1000 px wide), and the box is `scale` px lower than the root: both are the original's.
    Enclosed are the first, middle and last frame; the original took the first for all three.
    """
    boxes, depths = [], []
    for x, y, depth in root[_first_middle_last(len(root))]:
        half = 2.25 * scale * max(np.asarray(image_size) * focal_px / depth) / 2
        boxes.append([x - half, y + scale - half, x + half, y + scale + half])
        depths += [depth - 1000.0 * scale, depth + 1000.0 * scale]
    return union(np.array(boxes)), np.array([min(depths), max(depths)])


def _first_middle_last(frames: int) -> list[int]:
    """Of an odd clip the original takes the frame after the middle one."""
    return [0] if frames == 1 else [0, int(frames / 2 + 0.5), frames - 1]
