"""MoveNet MultiPose (Google, Apache-2.0): everyone in a frame, in one pass of a small network.

CenterNet (Zhou, Wang, Kraehenbuehl, "Objects as Points", 2019) on MoveNet's features: a map of how
likely each cell is the middle of a person, and at that cell the size of the box. The joints that it
gives, too, only say how much somebody looks like a person; poses come from a crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.bounds import check_size
from poseact.models.pretrained import fill, read_tensors
from poseact.models.stems import MobileNetFPN, movenet_head

CELL = 4
"""Px of a cell."""
STRIDE = 32
"""Sides of a frame divide by it."""
PEAK = 5
"""Cells about a peak of the centre map that are lower, as in the published graph."""
SPREAD = 0.3
"""Of the Gaussian about where a joint is expected: its variance over the shorter side, cells."""
SEEN = 0.127
"""Joints with a lower score do not count for the score of a person."""


@dataclass(frozen=True)
class MultiPoseConfig:
    """width: of the features, times MobileNetV2's. joints: whose joints there are."""

    width: float = 1.5
    joints: int = 17

    def __post_init__(self) -> None:
        check_size(self)


class PeopleMaps(NamedTuple):
    """Raw heads on a grid of a quarter of the frame; pairs are y x, in cells."""

    centre: Float[Tensor, "N 1 h w"]
    box_size: Float[Tensor, "N 2 h w"]
    box_offset: Float[Tensor, "N 2 h w"]
    regress: Float[Tensor, "N K h w"]
    heatmap: Float[Tensor, "N J h w"]


class Found(NamedTuple):
    """People of one frame, the likeliest first.

    box: x0 y0 x1 y1 px. centre: 0..1, how likely its middle is a person's. score: 0..1, that times
    the mean score of the joints that are seen.
    """

    box: Float[Tensor, "n 4"]
    centre: Float[Tensor, "n"]
    score: Float[Tensor, "n"]


class MultiPose(nn.Module):
    """Features and heads. Frames are [-1, 1], of any size that divides by `STRIDE`."""

    def __init__(self, config: MultiPoseConfig = MultiPoseConfig()) -> None:
        super().__init__()
        self.config = config
        self.features = MobileNetFPN(config.width)
        self.heads = nn.ModuleDict(
            {
                "centre": movenet_head(1),
                "box_size": movenet_head(2),
                "box_offset": movenet_head(2),
                "regress": movenet_head(2 * config.joints),
                "heatmap": movenet_head(config.joints),
            }
        )

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> PeopleMaps:
        """The maps; ValueError if a side does not divide by `STRIDE`."""
        if x.shape[-1] % STRIDE or x.shape[-2] % STRIDE:
            raise ValueError(f"sides of a frame divide by {STRIDE}, got {tuple(x.shape[-2:])}")
        finest = self.features(x)[0]
        return PeopleMaps(*(head(finest) for head in self.heads.values()))

    def load_movenet(self, path: str | Path) -> None:
        """Take the published weights; FileNotFoundError, or ValueError for another file."""
        theirs = read_tensors(path)
        fill(self, theirs, "", f"{path}: not MoveNet MultiPose;")


def decode(maps: PeopleMaps, *, at_most: int = 32, least: float = 0.1) -> list[Found]:
    """The people of each frame: peaks of the centre map that reach `least`, `at_most` of them.

    As in the published graph, which stops at six. Boxes end where the frame does.
    """
    return [_decode(PeopleMaps(*(m[n] for m in maps)), at_most, least) for n in range(len(maps[0]))]


def _decode(maps: PeopleMaps, at_most: int, least: float) -> Found:
    centre = maps.centre.sigmoid()  # 1 h w
    h, w = centre.shape[-2:]
    peak = (F.max_pool2d(centre[None], PEAK, 1, PEAK // 2)[0] - centre < 1e-6) & (centre >= least)
    (cells,) = peak.flatten().nonzero(as_tuple=True)
    cells = cells[centre.flatten()[cells].argsort(descending=True)][:at_most]
    likely = centre.flatten()[cells]
    at = torch.stack([cells // w, cells % w], 1).float()  # n 2, y x

    def there(m: Tensor) -> Tensor:
        return m.flatten(1)[:, cells].T  # n C

    middle, half = at + there(maps.box_offset), F.relu(there(maps.box_size)) / 2
    low, high = middle - half, middle + half
    limit = torch.tensor([h, w], dtype=torch.float32, device=at.device)
    low, high = low.clamp_min(0).minimum(limit), high.clamp_min(0).minimum(limit)
    joints = there(maps.regress).unflatten(1, (-1, 2)) + at[:, None]  # n J 2
    seen = _joint_scores(maps.heatmap.sigmoid(), joints, low, high)
    counted = (seen > SEEN).sum(1).clamp_min(1)
    score = likely * (seen * (seen > SEEN)).sum(1) / counted
    box = torch.cat([low.flip(1), high.flip(1)], 1) * CELL
    return Found(box, likely, score)


def _joint_scores(heat: Tensor, expected: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(n, J): the best cell of each joint in the person's box, less the further from `expected`."""
    h, w = heat.shape[-2:]
    rows, columns = (torch.arange(k, device=heat.device, dtype=heat.dtype) for k in (h, w))
    variance = SPREAD * min(h, w)

    def falls(cells: Tensor, axis: int) -> Tensor:
        near = torch.exp(-((cells - expected[..., axis, None]) ** 2) / variance)  # n J k
        inside = (cells >= low[:, axis, None]) & (cells <= high[:, axis, None])  # n k
        return near * inside[:, None]

    weight = falls(rows, 0)[..., None] * falls(columns, 1)[..., None, :]  # n J h w
    return (heat * weight).flatten(2).amax(2) if len(expected) else heat.new_zeros(0, len(heat))
