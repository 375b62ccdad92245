"""Picture files in and out, and the frame of a video.

Pictures are uint8 RGB (H, W, 3), upright: the orientation a camera wrote into the file is applied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from poseact.core.files import write_bytes

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".jp2"),
)
_TWELVE_BITS = 1 << 12
HEAD = 4096  # bytes of a file in which it says that it is animated
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # not stuffing, fill or restart


@dataclass(frozen=True)
class Frame:
    """One picture of a video. time_s counts from the first frame; rgb: uint8 (H, W, 3)."""

    index: int
    time_s: float
    rgb: np.ndarray


class Broken(ValueError):
    """A video whose frames could not all be read; those that could were given before."""


def read_image(path: str | Path) -> np.ndarray:
    """A picture file as upright uint8 RGB (H, W, 3).

    EXIF orientation is applied, grey becomes RGB, transparent becomes white. 16 bit becomes 8; if
    no value needs more than 12 bits, these are the whole range. Of floating point, 1 is white, or
    255 where values go beyond 1.
    Raises FileNotFoundError, or ValueError that names the file: not a picture, or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such picture")
    data = path.read_bytes()
    is_jpeg = data[:2] == b"\xff\xd8"
    if is_jpeg and not _jpeg_ends(data):  # some decoders fill the missing half with grey
        raise ValueError(f"{path}: truncated picture; copy or download it again")
    if animated(data[:HEAD]):
        raise ValueError(
            f"{path}: an animated picture; of a PNG `VideoReader` reads all frames, "
            "of a WebP none: convert it to .mp4"
        )
    bgr = _decode_image(data, cv2.IMREAD_COLOR)
    if bgr is None:
        bgr = _from_float(data)
    if bgr is None:
        known = bool(data) and cv2.haveImageReader(str(path))
        why = "truncated or damaged picture" if known else "not a picture"
        raise ValueError(f"{path}: {why} ({len(data)} bytes)")
    if not is_jpeg:
        raw = _decode_image(data, cv2.IMREAD_UNCHANGED)
        if raw is not None and raw.ndim == 3 and raw.shape[2] == 4:
            bgr = _on_white(raw)
        elif raw is not None and raw.dtype == np.uint16 and 0 < raw.max() < _TWELVE_BITS:
            deep = _decode_image(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            assert deep is not None  # it was decoded twice
            bgr = np.rint(deep * (255 / (_TWELVE_BITS - 1))).astype(np.uint8)
    if bgr.dtype != np.uint8:
        raise ValueError(f"{path}: pixels are {bgr.dtype}; convert it to 8 or 16 bit")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def animated(head: bytes) -> bool:
    """Whether a PNG or WebP that begins like this holds several pictures."""
    png = head[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in head
    webp = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
    return png or webp


def _from_float(data: bytes) -> np.ndarray | None:
    """A grey or colour TIFF of floating point as 8 bits, None for anything else."""
    raw = _decode_image(data, cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype.kind != "f" or raw.ndim == 3 and raw.shape[2] != 3:
        return None
    raw = np.nan_to_num(raw, nan=0.0, posinf=0.0, neginf=0.0)
    unit = raw * 255 if raw.max(initial=0) <= 1 else raw
    grey = np.rint(unit.clip(0, 255)).astype(np.uint8)
    return grey if grey.ndim == 3 else cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def _jpeg_ends(data: bytes) -> bool:
    """Whether the first picture of a JPEG runs to its end marker (phones append data after it)."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        marker, after = data[found.end() - 1], found.end()
        if marker == 0xD9:
            return True
        at = after + int.from_bytes(data[after : after + 2], "big")  # over the segment
    return False


def _decode_image(data: bytes, flags: int) -> np.ndarray | None:
    log = cv2.utils.logging  # OpenCV would print what our error says better
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(level)


def _on_white(bgra: np.ndarray) -> np.ndarray:
    full = np.iinfo(bgra.dtype).max if np.issubdtype(bgra.dtype, np.integer) else 1.0
    unit = bgra.astype(np.float32) / full
    alpha = unit[..., 3:]
    return np.rint((unit[..., :3] * alpha + 1 - alpha).clip(0, 1) * 255).astype(np.uint8)


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3); the suffix says the format. ValueError for a suffix unknown."""
    path = Path(path)
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() in (".jpg", ".jpeg") else []
    try:
        _, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        raise ValueError(f"{path}: no picture format {path.suffix!r}; try .png or .jpg") from None
    write_bytes(path, data.tobytes())
