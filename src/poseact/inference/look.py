"""A crop's way through the network and back: to px in the frame, and to mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from poseact.core.camera import DEPTH_RANGE_MM, FOCAL
from poseact.core.geometry import crop_matrix, square, transform, warp
from poseact.core.layouts import Layout, layout_named
from poseact.core.types import Person
from poseact.inference.backends import FrameNetwork
from poseact.models.cards import Card

MOST_CROPS = 64
"""Of more, a batch is run in parts."""
HEIGHT_M = 1.7
"""Stature of somebody of whom nothing is known."""
SMALLEST_PX = 16
"""Pictures with a shorter side hold no person a network could see."""

# Limb lengths as shares of the stature: Drillis and Contini 1966, after Winter, "Biomechanics and
# Motor Control of Human Movement", figure 4.1. Shoulder to hip is 0.818 - 0.530.
LIMBS = {
    ("shoulder", "elbow"): 0.186,
    ("elbow", "wrist"): 0.146,
    ("hip", "knee"): 0.245,
    ("knee", "ankle"): 0.246,
    ("shoulder", "hip"): 0.288,
}


def lift_to_mm(
    uvd: np.ndarray,
    to_image: np.ndarray,
    layout: Layout,
    *,
    focal_px: float,
    centre: tuple[float, float],
    stature_mm: float = 1000 * HEIGHT_M,
) -> np.ndarray:
    """Root-relative points (J, 3) mm in camera axes: `lift_to_camera` less the root."""
    xyz = lift_to_camera(
        uvd, to_image, layout, focal_px=focal_px, centre=centre, stature_mm=stature_mm
    )
    return xyz - xyz[layout.root]


def lift_to_camera(
    uvd: np.ndarray,
    to_image: np.ndarray,
    layout: Layout,
    *,
    focal_px: float,
    centre: tuple[float, float],
    stature_mm: float = 1000 * HEIGHT_M,
) -> np.ndarray:
    """Camera points (J, 3) mm, from the camera's centre, of crop points and depths (J, 3).

    Depth is what the network says: z = (d - 0.5) * 2000 mm from the root. One picture cannot tell
    how far away somebody is, so x and y get their scale from an ASSUMED person: the root is put at
    the distance at which the squared limb lengths add up to those of a standard adult of
    `stature_mm`. Directions and ratios are measured, the size in x and y is not: for a child, or
    with a wrong `focal_px`, it is off by that factor.

    to_image: (3, 3) crop uv -> px. focal_px, centre: of the assumed pinhole camera, px. Unknown
    (NaN) joints stay NaN; without a known limb or root all are.
    """
    ray = (transform(to_image, uvd[:, :2]) - np.asarray(centre)) / focal_px
    ray = np.concatenate([ray, np.ones_like(ray[:, :1])], 1)  # J 3, z = 1
    depth = (uvd[:, 2:] - 0.5) * DEPTH_RANGE_MM  # J 1, mm from the root
    start, end, share = _limbs(layout)
    # A limb is ray_a (Z + depth_a) - ray_b (Z + depth_b) = Z * across + along: the sum of squared
    # lengths is a quadratic in Z, the root's distance.
    across = ray[start] - ray[end]
    along = (ray * depth)[start] - (ray * depth)[end]
    known = ~np.isnan(across + along).any(1)
    across, along = across[known], along[known]
    if not known.any():
        return np.full(uvd.shape, np.nan)
    a = max(float((across**2).sum()), 1e-12)
    b = float((across * along).sum())
    c = float((along**2).sum()) - float(((share[known] * stature_mm) ** 2).sum())
    root_mm = (-b + np.sqrt(max(b * b - a * c, 0.0))) / a
    nearest = max(500.0, 300.0 - float(np.nanmin(depth)))  # every joint in front of the camera
    return ray * (np.clip(root_mm, nearest, 1e5) + depth)


def _limbs(layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joint indices of both ends (N,), (N,) of a layout's limbs and their shares of the stature."""
    rows = [
        (layout.index(f"{side}_{a}"), layout.index(f"{side}_{b}"), share)
        for (a, b), share in LIMBS.items()
        for side in "lr"
        if f"{side}_{a}" in layout.joints and f"{side}_{b}" in layout.joints
    ]
    start, end, share = (np.array(column) for column in zip(*rows))
    return start, end, share


@dataclass(frozen=True)
class Look:
    """What the network said of one crop.

    uvd: (J, D) u v [d] in the crop. xy: (J, 2) px. score: (J,). box: (4,) px that was looked into.
    to_image: (3, 3) uv -> px. features: for the action head, (views, ...) each.
    """

    uvd: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    box: np.ndarray
    to_image: np.ndarray
    features: tuple[np.ndarray, ...]


class CropNetwork:
    """A network that sees crops, and what is needed to ask it about boxes in frames.

    flip: average with the mirror image (twice the cost).
    focal_px: of the camera; None assumes `FOCAL` times the longer side of the frame. height_m:
    stature of the people.
    """

    def __init__(
        self,
        model: FrameNetwork,
        card: Card,
        *,
        flip: bool = False,
        focal_px: float | None = None,
        height_m: float = HEIGHT_M,
    ) -> None:
        self.model, self.card = model, card
        self.layout = layout_named(card.layout)
        self._flip, self._focal_px, self.height_m = flip, focal_px, height_m

    def look(self, rgb: np.ndarray, boxes: np.ndarray) -> list[Look]:
        """Run the network on boxes (N, 4) px of one frame, in one batch.

        A crop is the square on its box, larger by the margin the network was trained with.
        """
        (looks,) = self.looks([rgb], [boxes])
        return looks

    def looks(
        self, pictures: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[list[Look]]:
        """Run the network on boxes (N, 4) px of each of several pictures, all in one batch."""
        found: list[Look] = []
        tasks = [(rgb, box) for rgb, own in zip(pictures, boxes, strict=True) for box in own]
        for start in range(0, len(tasks), MOST_CROPS):
            found += self._looks(tasks[start : start + MOST_CROPS])
        rest = iter(found)
        return [list(islice(rest, len(own))) for own in boxes]

    def _looks(self, tasks: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Look]:
        """Run the network on pairs of a picture and a box (4,) px."""
        matrices = [crop_matrix(box, scale=self.card.margin) for _, box in tasks]
        crops = np.stack([warp(t[0], matrix, self.card.size) for t, matrix in zip(tasks, matrices)])
        if self._flip:
            crops = np.concatenate([crops, crops[:, :, ::-1]])
        out = self.model.frames(crops)
        count = len(tasks)
        uvd = self._mean_of_views(out.pose, count, mirror=True)
        score = self._mean_of_views(out.score[..., None], count, mirror=False)[..., 0]
        to_image = np.linalg.inv(matrices)
        xy = transform(to_image, uvd[..., :2])
        return [
            Look(uvd[n], xy[n], score[n], box, to_image[n], _every(out.features, n, count))
            for n, (_, box) in enumerate(tasks)
        ]

    def whole(self, rgb: np.ndarray) -> Look:
        """Run the network on the square on the whole frame."""
        (look,) = self.look(rgb, self.whole_box(rgb)[None])
        return look

    def whole_box(self, rgb: np.ndarray) -> np.ndarray:
        """The box (4,) px whose crop is the square on the whole frame."""
        frame = np.array([0.0, 0.0, rgb.shape[1], rgb.shape[0]])
        return square(frame, margin=1 / self.card.margin)

    def person(self, look: Look, rgb: np.ndarray, *, track: int) -> Person:
        """The person in one crop of the frame `rgb`; xyz is None for a network without depth."""
        xyz = root = None
        if look.uvd.shape[-1] == 3:
            height, width = rgb.shape[:2]
            camera = lift_to_camera(
                look.uvd,
                look.to_image,
                self.layout,
                focal_px=self.focal_px((width, height)),
                centre=(width / 2, height / 2),
                stature_mm=1000 * self.height_m,
            )
            root = camera[self.layout.root]
            xyz = camera - root
        return Person(look.xy, xyz, look.score, look.box, self.layout, track, root=root)

    def focal_px(self, size: tuple[int, int]) -> float:
        """The focal length for frames of (width, height) px, given or assumed."""
        return self._focal_px or FOCAL * max(size)

    def _mean_of_views(self, values: np.ndarray, count: int, *, mirror: bool) -> np.ndarray:
        """(N, J, D) from (views * N, J, D): the mirror image's joints exchange sides (and u)."""
        if self._flip:
            other = values[count:, list(self.layout.flip)]
            if mirror:
                other = np.concatenate([1.0 - other[..., :1], other[..., 1:]], -1)
            values = (values[:count] + other) / 2
        return values.astype(np.float64)


def check_picture(rgb: np.ndarray) -> None:
    """TypeError, or ValueError, for anything but a picture (H, W, 3) uint8 RGB of some size."""
    if not isinstance(rgb, np.ndarray):
        raise TypeError(
            f"a picture is an array (H, W, 3) uint8 RGB, got {type(rgb).__name__}; "
            "poseact.media.pictures.read_image reads a file, poseact.predict takes its path"
        )
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"a picture is uint8 RGB (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if min(rgb.shape[:2]) < SMALLEST_PX:
        height, width = rgb.shape[:2]
        raise ValueError(f"the picture is {width} x {height} px, too small to show a person")


def _every(features: tuple[np.ndarray, ...], n: int, count: int) -> tuple[np.ndarray, ...]:
    """Features (views, ...) of crop n of `count`, from (views * count, ...)."""
    return tuple(feature[n::count] for feature in features)
