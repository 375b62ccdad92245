"""What a camera does to light: exposure, colour cast, blur, noise, compression. Once a clip.

Everything happens to the composited frame, so that person and background have the same defects.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from poseact.people.shading import TONE_RANGE, TONE_STEPS

_KNEE = 0.75  # linear light above which highlights are rolled off


@dataclass(frozen=True)
class Sensor:
    """Settings of one camera. Lengths are pixels of the rendered frame."""

    gain: Float[np.ndarray, "3"]  # exposure times colour cast, on linear light
    gamma: float
    black: float  # 0..1 of the coded range
    saturation: float
    blur_px: float
    motion_blur: Float[np.ndarray, "k k"] | None
    resolution: float  # share of the pixels kept by down- and up-sampling, 1 = all
    noise: UInt8[np.ndarray, "h w 3"] | None  # grain about 128, larger than the frame
    jpeg: int | None  # quality


def sample_sensor(rng: np.random.Generator, strength: float, *, height: int, width: int) -> Sensor:
    """Sample a camera; `strength` 0 is a good one in good light, 1 a bad one."""
    px = min(height, width) / 128
    exposure = np.exp(rng.normal(0, 0.08 + 0.17 * strength))
    cast = 1 + rng.normal(0, 0.015 + 0.05 * strength, 3)
    effects = rng.random(5) < strength * np.array([0.45, 0.2, 0.35, 0.8, 0.6])
    smear = int(rng.integers(2, 4 + int((2 + 3 * px) * strength)))
    motion_blur = _line_kernel(rng, smear) if effects[1] else None
    sigma = rng.uniform(1, 2 + 8 * strength)
    noise = rng.normal(128, sigma, (height + 16, width + 16, 3)) if effects[3] else None
    return Sensor(
        gain=exposure * cast,
        gamma=float(np.clip(rng.normal(2.0, 0.12 * (0.5 + strength)), 1.6, 2.5)),
        black=max(0.0, rng.normal(0, 0.03)) * strength,
        saturation=0.0 if rng.random() < 0.08 * strength else float(rng.uniform(0.75, 1.15)),
        blur_px=float(rng.uniform(0.3, 0.4 + 0.6 * strength) * px) if effects[0] else 0.0,
        motion_blur=motion_blur,
        resolution=float(rng.uniform(0.8 - 0.4 * strength, 0.9))
        if effects[2] and not effects[0]
        else 1.0,
        noise=None if noise is None else np.clip(noise, 0, 255).astype(np.uint8),
        jpeg=int(rng.integers(30, 92)) if effects[4] else None,
    )


def tone_curves(sensor: Sensor) -> UInt8[np.ndarray, "3 steps"]:
    """Linear light 0..TONE_RANGE to coded values for each of R, G and B, with soft highlights."""
    light = np.linspace(0, TONE_RANGE, TONE_STEPS) * sensor.gain[:, None]
    over = np.maximum(light - _KNEE, 0)
    room = 1 - _KNEE
    light = np.minimum(light, _KNEE) + room * over / (over + room)
    coded = sensor.black + (1 - sensor.black) * np.clip(light, 0, 1) ** (1 / sensor.gamma)
    return (255 * coded + 0.5).astype(np.uint8)


def record(
    frame: UInt8[np.ndarray, "h w 3"], sensor: Sensor, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Send one toned RGB frame through the rest of the camera."""
    height, width = frame.shape[:2]
    if sensor.saturation != 1.0:
        grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        frame = cv2.addWeighted(frame, sensor.saturation, grey, 1 - sensor.saturation, 0)
    if sensor.blur_px > 0:
        frame = cv2.GaussianBlur(frame, (0, 0), sensor.blur_px)
    if sensor.motion_blur is not None:
        frame = cv2.filter2D(frame, -1, sensor.motion_blur)
    if sensor.resolution < 1:
        size = (round(width * sensor.resolution), round(height * sensor.resolution))
        frame = cv2.resize(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), (width, height))
    if sensor.noise is not None:
        y, x = rng.integers(0, 16, 2)
        grain = sensor.noise[y : y + height, x : x + width]
        frame = cv2.addWeighted(frame, 1.0, grain, 1.0, -128.0)
    if sensor.jpeg is not None:  # OpenCV swaps R and B on both ways
        _, coded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])
        frame = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.asarray(frame, np.uint8)


def _line_kernel(rng: np.random.Generator, length: int) -> Float[np.ndarray, "k k"]:
    kernel = np.zeros((length, length), np.float32)
    ends = rng.integers(0, length, 2)
    cv2.line(kernel, (0, int(ends[0])), (length - 1, int(ends[1])), 1.0, 1)
    if rng.random() < 0.5:
        kernel = kernel.T.copy()
    return kernel / kernel.sum()
