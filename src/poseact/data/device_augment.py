"""Augmentation on the device that trains: workers decode and cut roughly, the rest is tensors.

A worker cuts, unturned, the smallest square that holds the crop; the device turns, scales, mirrors
and colours it by the same matrix that moves the points. Pixels are interpolated twice, so they
differ a little from `dataset.make_sample`'s; points do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from poseact.core.geometry import crop_matrix, square, transform, warp
from poseact.core.layouts import Layout
from poseact.core.types import NO_ACTION, Record, Sample
from poseact.data.augment import Augment, AugmentParams
from poseact.data.dataset import clip_square, pose_uvd

RIM = 2
"""px of a cut beyond the crop, for the interpolation at its border."""


class Cut(TypedDict):
    """A clip before its augmentation; a batch has B in front.

    frames (T, 3, S, S) uint8; pose (T, J, 3) u v of the cut and d, NaN unknown; matrix (3, 3) from
    uv of the cut to uv of the crop; flip () bool; gamma (3,); tone (3,): brightness, contrast and
    saturation as in `AugmentParams`; action () long; to_image (T, 3, 3) crop uv -> px.
    """

    frames: Tensor
    pose: Tensor
    matrix: Tensor
    flip: Tensor
    gamma: Tensor
    tone: Tensor
    action: Tensor
    to_image: Tensor


def check_augment(name: str, augment: Augment) -> None:
    """ValueError if a part asks for what only workers can do."""
    wanted = {what: getattr(augment, what) for what in ("blur", "noise", "jpeg", "cutout")}
    if strange := [what for what, value in wanted.items() if value]:
        raise ValueError(
            f"part {name}: {', '.join(strange)} are done by workers only; "
            "set augment_on='worker' or choose another augmentation"
        )


def cut(
    record: Record,
    layout: Layout,
    *,
    size: tuple[int, int],
    frames: Sequence[int],
    params: AugmentParams | None = None,
    margin: float = 1.0,
) -> Cut:
    """What `finish` needs of a clip; arguments as `dataset.make_sample`'s.

    The cut is so large that its pixels are no coarser than those of a crop of `size`.
    """
    if record.frame is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no pictures")
    params = params or AugmentParams()
    pictures = {t: record.frame(t) for t in sorted(set(frames))}
    shape = pictures[frames[0]].shape[:2]
    matrix = params.matrix(clip_square(record, frames, shape, margin))
    if record.weight is not None:
        raise ValueError(
            f"records of {record.source or 'an unnamed source'} have weighted labels, which "
            "augment_on='worker' takes"
        )
    side = int(np.ceil(np.sqrt(2) * max(size))) + 2 * RIM
    corners = transform(np.linalg.inv(matrix), np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]))
    around = np.concatenate([corners.min(0), corners.max(0)])
    to_cut = crop_matrix(square(around, margin=side / (side - 2 * RIM)))
    crops = {t: warp(picture, to_cut, (side, side)) for t, picture in pictures.items()}
    pose = pose_uvd(record, layout, frames, to_cut)
    to_image = np.repeat(np.linalg.inv(matrix)[None], len(frames), 0)
    return Cut(
        frames=torch.from_numpy(np.stack([crops[t] for t in frames])).permute(0, 3, 1, 2),
        pose=torch.from_numpy(pose.astype(np.float32)),
        matrix=torch.from_numpy((matrix @ np.linalg.inv(to_cut)).astype(np.float32)),
        flip=torch.tensor(params.flip),
        gamma=torch.tensor(params.gamma),
        tone=torch.tensor([params.brightness, params.contrast, params.saturation]),
        action=torch.tensor(NO_ACTION if record.action is None else record.action),
        to_image=torch.from_numpy(to_image.astype(np.float32)),
    )


@torch.no_grad()
def finish(cuts: Cut, layout: Layout, *, size: tuple[int, int]) -> Sample:
    """A batch of cuts, on any device, as the `Sample` of crops of `size` (height, width) px.

    Everything is float32, also under autocast: half precision cannot tell two pixels apart.
    """
    with torch.autocast(cuts["frames"].device.type, enabled=False):
        pixels = _coloured(_warped(cuts["frames"], cuts["matrix"], size), cuts)
        pose = _moved(cuts, layout)
    uv, d = pose[..., :2], pose[..., 2]
    inside = ((uv >= 0) & (uv <= 1)).all(-1)  # False where NaN
    deep = inside & (d >= 0) & (d <= 1)
    return Sample(
        frames=pixels / 127.5 - 1.0,
        pose=pose,
        valid=torch.stack([inside, inside, deep], -1),
        inside=inside,
        action=cuts["action"],
        to_image=cuts["to_image"],
    )


def _warped(frames: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, T, 3, S, S) uint8 -> (B, T, 3, h, w) whole grey levels; outside is black."""
    b, t = frames.shape[:2]
    # grid_sample counts from -1 to 1 where uv goes from 0 to 1, both from edge to edge.
    centred = matrix.new_tensor([[2.0, 0, -1], [0, 2, -1], [0, 0, 1]])
    back = centred @ torch.linalg.inv(matrix) @ torch.linalg.inv(centred)
    grid = F.affine_grid(back[:, :2], [b, 1, *size], align_corners=False)
    source = frames.flatten(1, 2).float()  # B T*3 S S
    found = F.grid_sample(source, grid, mode="bilinear", align_corners=False)
    return found.round().unflatten(1, (t, 3))


def _coloured(pixels: Tensor, cuts: Cut) -> Tensor:
    """Gamma, contrast and brightness, then saturation, in whole grey levels as `AugmentParams`."""
    brightness, contrast, saturation = cuts["tone"][:, :, None, None, None, None].unbind(1)
    level = (pixels / 255) ** cuts["gamma"][:, None, :, None, None]
    level = (level - 0.5) * contrast + 0.5 + brightness
    pixels = (level.clamp(0, 1) * 255).round()
    luma = pixels.new_tensor([0.299, 0.587, 0.114])  # Rec. 601
    grey = (pixels * luma[:, None, None]).sum(2, keepdim=True)
    return (saturation * pixels + (1 - saturation) * grey).round().clamp(0, 255)


def _moved(cuts: Cut, layout: Layout) -> Tensor:
    """(B, T, J, 3) u v of the crop and d, left and right swapped in a mirror image."""
    matrix, pose = cuts["matrix"][:, None], cuts["pose"]
    uv = pose[..., :2] @ matrix[..., :2, :2].mT + matrix[..., None, :2, 2]
    pose = torch.cat([uv, pose[..., 2:]], -1)
    mirrored: Any = list(layout.flip)
    return torch.where(cuts["flip"][:, None, None, None], pose[:, :, mirrored], pose)
