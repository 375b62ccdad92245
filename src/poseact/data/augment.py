"""Augmentation: sampled once a clip, one matrix for its pixels and its points, effects on uint8.

The geometry follows the papers (CVPR 2018 and TPAMI 2020: rotation, crop size, shift, mirror,
per-channel power), with continuous ranges where the released code picks from short lists.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from poseact.core.geometry import crop_matrix


@dataclass(frozen=True)
class AugmentParams:
    """What one clip gets. The defaults change nothing.

    shift: in sides of the crop. gamma: power per channel. brightness: added, 1 = full range.
    contrast: factor about middle grey. saturation: 0 grey, 1 as it is. blur: Gaussian sigma in
    shares of the crop's height. noise: sigma in grey levels. jpeg: quality, 0 = off. cutouts: rows
    u0 v0 u1 v1 r g b. seed: of the noise.
    """

    angle_rad: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False
    gamma: tuple[float, float, float] = (1.0, 1.0, 1.0)
    brightness: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    cutouts: tuple[tuple[float, ...], ...] = ()
    seed: int = 0

    def matrix(self, box: np.ndarray) -> np.ndarray:
        """(3, 3) from image px to crop uv for the square on `box` (x0 y0 x1 y1 px)."""
        return crop_matrix(
            box, angle_rad=self.angle_rad, scale=self.scale, shift=self.shift, flip=self.flip
        )

    def effects(self, frames: np.ndarray) -> np.ndarray:
        """Crops (T, h, w, 3) uint8 RGB with everything that moves no point, in a camera's order."""
        frames = _cut_out(frames, self.cutouts)
        frames = self._colour(frames)
        if self.blur * frames.shape[1] > 0.2:  # below that a sigma in px shows nothing
            sigma = self.blur * frames.shape[1]
            frames = np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames])
        if self.noise > 0:
            frames = _add_noise(frames, self.noise, self.seed)
        if self.jpeg > 0:
            frames = np.stack([_recompress(f, self.jpeg) for f in frames])
        return frames

    def _colour(self, frames: np.ndarray) -> np.ndarray:
        flat = frames.reshape(-1, *frames.shape[2:])  # T*h w 3
        if self.gamma != (1.0, 1.0, 1.0) or self.brightness != 0.0 or self.contrast != 1.0:
            level = np.linspace(0, 1, 256)[:, None] ** np.asarray(self.gamma)  # 256 3
            level = (level - 0.5) * self.contrast + 0.5 + self.brightness
            table = np.rint(level.clip(0, 1) * 255).astype(np.uint8)
            flat = cv2.LUT(flat, table[None])
        if self.saturation != 1.0:  # after the colour cast, so that grey is grey
            grey = np.tile([0.299, 0.587, 0.114], (3, 1))  # Rec. 601 luma
            flat = cv2.transform(flat, self.saturation * np.eye(3) + (1 - self.saturation) * grey)
        return flat.reshape(frames.shape)


@dataclass(frozen=True)
class Augment:
    """Ranges to sample from; 0 (for `scale`: (1, 1)) switches a part off.

    angle_deg: rotation, +-. upside_down: share of clips turned by any angle instead. scale: side of
    the crop as a factor (above 1 the person is smaller). shift: +-, in sides of the crop. flip:
    share mirrored. gamma, brightness, contrast, saturation: +- about the neutral value. grey: share
    without colour. blur, noise: largest values. jpeg: lowest quality. cutout: largest number of
    hidden rectangles, with sides in `cutout_size` of the crop's. degrade: share of clips that get
    each of blur, noise, jpeg and cutout.
    """

    angle_deg: float = 40.0
    scale: tuple[float, float] = (0.7, 1.3)
    shift: float = 0.1
    flip: float = 0.5
    upside_down: float = 0.0
    gamma: float = 0.1
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    cutout: int = 0
    cutout_size: tuple[float, float] = (0.08, 0.3)
    degrade: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is (smallest, largest) above 0, got {self.scale}")
        if not 0 <= self.jpeg <= 95:
            raise ValueError(f"jpeg is the lowest quality 1-95, or 0 for off, got {self.jpeg}")
        shares = (self.flip, self.upside_down, self.grey, self.degrade)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(
                f"flip, upside_down, grey and degrade are shares within 0-1, got {shares}"
            )

    def sample(self, rng: np.random.Generator) -> AugmentParams:
        """One clip's augmentation."""
        around = rng.uniform(-1, 1, 9)  # angle, shift x y, gamma r g b, brightness, contrast, sat.
        angle_deg = 180.0 if rng.random() < self.upside_down else self.angle_deg
        grey = rng.random() < self.grey
        return AugmentParams(
            angle_rad=float(np.deg2rad(angle_deg * around[0])),
            scale=float(rng.uniform(*self.scale)),
            shift=(float(self.shift * around[1]), float(self.shift * around[2])),
            flip=bool(rng.random() < self.flip),
            gamma=(
                float(1 + self.gamma * around[3]),
                float(1 + self.gamma * around[4]),
                float(1 + self.gamma * around[5]),
            ),
            brightness=float(self.brightness * around[6]),
            contrast=float(1 + self.contrast * around[7]),
            saturation=0.0 if grey else float(1 + self.saturation * around[8]),
            blur=float(self._degrades(rng) * rng.uniform(0, self.blur)),
            noise=float(self._degrades(rng) * rng.uniform(0, self.noise)),
            jpeg=int(rng.integers(self.jpeg, 96)) if self.jpeg and self._degrades(rng) else 0,
            cutouts=self._cutouts(rng) if self._degrades(rng) else (),
            seed=int(rng.integers(2**31)),
        )

    def _degrades(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self.degrade)

    def _cutouts(self, rng: np.random.Generator) -> tuple[tuple[float, ...], ...]:
        number = int(rng.integers(1, self.cutout + 1)) if self.cutout else 0
        centre = rng.uniform(0, 1, (number, 2))
        half = rng.uniform(*self.cutout_size, (number, 2)) / 2
        rows = np.concatenate([centre - half, centre + half, rng.uniform(0, 255, (number, 3))], 1)
        return tuple(tuple(float(x) for x in row) for row in rows)


NONE = Augment(angle_deg=0, scale=(1.0, 1.0), shift=0, flip=0, gamma=0)
PAPER = Augment()
"""The ranges of `mpii_sp` and `pennaction_pe` in the released configuration."""
MILD = Augment(angle_deg=15, scale=(0.85, 1.15), shift=0.06)
"""What a tracked person's crop varies by: to end a training on what prediction will see."""
STRONG = Augment(
    scale=(0.65, 1.35),
    shift=0.12,
    upside_down=0.1,
    gamma=0.25,
    brightness=0.15,
    contrast=0.3,
    saturation=0.4,
    grey=0.1,
    blur=0.012,
    noise=10.0,
    jpeg=25,
    cutout=2,
)
"""For small networks that must work on photos of any camera."""


def _cut_out(frames: np.ndarray, cutouts: tuple[tuple[float, ...], ...]) -> np.ndarray:
    if not cutouts:
        return frames
    frames = frames.copy()
    height, width = frames.shape[1:3]
    for u0, v0, u1, v1, *colour in cutouts:
        rows = slice(max(round(v0 * height), 0), max(round(v1 * height), 0))
        columns = slice(max(round(u0 * width), 0), max(round(u1 * width), 0))
        frames[:, rows, columns] = np.asarray(colour).astype(np.uint8)
    return frames


def _add_noise(frames: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """One grain a clip, shifted anew in each frame: seems independent at the price of one."""
    rng = np.random.default_rng(seed)
    grain = sigma * rng.standard_normal(frames.shape[1:], dtype=np.float32)
    grain = np.rint(grain).astype(np.int16)
    rolls = rng.integers(0, frames.shape[1:3], (len(frames), 2))
    noisy = [
        cv2.add(frame, np.roll(grain, tuple(roll), (0, 1)), dtype=cv2.CV_8U)
        for frame, roll in zip(frames, rolls, strict=True)
    ]
    return np.stack(noisy)


def _recompress(frame: np.ndarray, quality: int) -> np.ndarray:
    # JPEG weighs red and blue differently, so the channels go in the order that OpenCV expects.
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None  # a JPEG of the line above
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
