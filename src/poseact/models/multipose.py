"""MoveNet MultiPose (Google, Apache-2.0): everyone in a frame, in one pass of a small network.

CenterNet (Zhou, Wang, Kraehenbuehl, "Objects as Points", 2019) on MoveNet's features: a map of how
likely each cell is the middle of a person, and at that cell the size of the box. The joints that it
gives, too, only say how much somebody looks like a person; poses come from a crop. `people_maps`
makes people of the maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.bounds import check_size
from poseact.models.people_maps import STRIDE
from poseact.models.pretrained import fill, read_tensors
from poseact.models.stems import MobileNetFPN, movenet_head


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
