"""Action recognition of the CVPR 2018 network: from poses, from appearance, and both merged.

Source: D. C. Luvizon, D. Picard, H. Tabia, CVPR 2018, section 4 and supplement Fig. 4. Everything
works on (T, J) maps: a clip's frames are the rows, the person's joints the columns.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.layers import ConvSame, SeparableConv, global_max_min, max_min_pool
from poseact.models.stems import ConvNorm


class ActionBlock(nn.Module):
    """Action heat maps, and their way back into the stream: predictions are stacked and refined."""

    def __init__(self, channels: int, classes: int, *, last: bool) -> None:
        super().__init__()
        c = channels
        self.reduce = ConvNorm(c, c // 2)
        self.expand = ConvNorm(c // 2, c, (3, 3))
        self.conv = ConvNorm(c, c, (3, 3))
        self.maps = ConvSame(c, classes, (3, 3))
        self.remap = None if last else ConvNorm(classes, c, (3, 3))

    def forward(
        self, x: Float[Tensor, "B C t j"]
    ) -> tuple[Float[Tensor, "B C t j"], Float[Tensor, "B A t2 j2"]]:
        x = x + self.expand(self.reduce(x))
        y = self.conv(x)
        maps = self.maps(F.relu(max_min_pool(y)))
        x = x + y
        if self.remap is not None:
            x = x + self.remap(F.interpolate(maps, scale_factor=2.0, mode="nearest"))
        return x, maps


def action_blocks(channels: int, classes: int, blocks: int) -> nn.ModuleList:
    """`blocks` action blocks in a row."""
    return nn.ModuleList(
        ActionBlock(channels, classes, last=b == blocks - 1) for b in range(blocks)
    )


def action_maps(
    blocks: nn.ModuleList, x: Float[Tensor, "B C t j"]
) -> list[Float[Tensor, "B A t2 j2"]]:
    """The heat maps of every action block."""
    maps: list[Tensor] = []
    for block in blocks:
        x, predicted = block(x)
        maps.append(predicted)
    return maps


class PoseActions(nn.Module):
    """Actions from poses times confidences (`PoseAR`, Fig. 5). T and J must be multiples of 4.

    version: v1 has 112 features, v2 224; the supplement speaks of half of the appearance's 256,
    "text".
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        version: Literal["v1", "v2", "text"] = "v1",
        blocks: int = 4,
    ) -> None:
        super().__init__()
        half, middle = {"v1": (56, 32), "v2": (112, 64), "text": (64, 32)}[version]
        first = (12, 24, 36) if version == "v2" else (8, 16, 24)
        self.time = ConvNorm(dim, first[0], (3, 1), relu="after")
        self.near = ConvNorm(dim, first[1], (3, 3), relu="after")
        self.wide = ConvNorm(dim, first[2], (3, 5), relu="after")
        self.short = ConvNorm(sum(first), half, (3, 3), relu="none")
        self.long1 = ConvNorm(sum(first), middle, relu="none")
        self.long2 = ConvNorm(middle, half, (3, 3), relu="none")
        self.blocks = action_blocks(2 * half, classes, blocks)

    def forward(self, pose: Float[Tensor, "B T J D"]) -> list[Float[Tensor, "B A t j"]]:
        x = pose.permute(0, 3, 1, 2)  # B D T J
        x = torch.cat([self.time(x), self.near(x), self.wide(x)], 1)
        x = torch.cat([self.short(x), self.long2(self.long1(x))], 1)
        return action_maps(self.blocks, max_min_pool(x))


class VisualActions(nn.Module):
    """Actions from the features under every joint (`GuidedVisAR`, 4.2). T, J: multiples of 4."""

    def __init__(self, inputs: int, classes: int, *, blocks: int = 4) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, 256, relu="none")
        self.blocks = action_blocks(256, classes, blocks)

    def forward(self, appearance: Float[Tensor, "B T J C"]) -> list[Float[Tensor, "B A t j"]]:
        x = self.conv(appearance.permute(0, 3, 1, 2))  # B 256 T J
        return action_maps(self.blocks, F.max_pool2d(x, 2))


class MergedActions(nn.Module):
    """Both branches and their aggregation: last heat maps weighted, summed, pooled.

    The text calls it a fully connected layer, which `fully_connected` is, on the logits of both
    (it starts as their sum); the code weighs the maps by 1x1 separable convolutions that start as
    identity, or just adds them (`weighted` False).
    """

    def __init__(
        self,
        dim: int,
        features: int,
        classes: int,
        *,
        version: Literal["v1", "v2", "text"],
        weighted: bool,
        blocks: int,
        fully_connected: bool = False,
    ) -> None:
        super().__init__()
        self.pose = PoseActions(dim, classes, version=version, blocks=blocks)
        self.visual = VisualActions(features, classes, blocks=blocks)
        weighted = weighted and not fully_connected
        self.weigh_pose = _identity(classes) if weighted else nn.Identity()
        self.weigh_visual = _identity(classes) if weighted else nn.Identity()
        self.connect = nn.Linear(2 * classes, classes) if fully_connected else None
        if self.connect is not None:
            both = torch.eye(classes).repeat(1, 2)
            self.connect.load_state_dict({"weight": both, "bias": torch.zeros(classes)})

    def forward(
        self, pose: Float[Tensor, "B T J D"], appearance: Float[Tensor, "B T J C"]
    ) -> list[Float[Tensor, "B A"]]:
        """Logits of the pose blocks, of the appearance blocks, and merged."""
        by_pose, by_look = self.pose(pad_to_fours(pose)), self.visual(pad_to_fours(appearance))
        logits = [global_max_min(maps) for maps in [*by_pose, *by_look]]
        if self.connect is not None:
            last = [global_max_min(by_pose[-1]), global_max_min(by_look[-1])]
            return [*logits, self.connect(torch.cat(last, -1))]
        merged = self.weigh_pose(by_pose[-1]) + self.weigh_visual(by_look[-1])
        return [*logits, global_max_min(merged)]


def pad_to_fours(x: Float[Tensor, "B T J C"]) -> Float[Tensor, "B T2 J2 C"]:
    """Add unseen frames and joints (zeros) so that the maps can be halved twice.

    The original takes only T and J that are multiples of 4; for those this changes nothing.
    """
    time, joints = -x.shape[1] % 4, -x.shape[2] % 4
    halves = (joints // 2, joints - joints // 2, time // 2, time - time // 2)
    return F.pad(x, (0, 0, *halves))


def _identity(classes: int) -> SeparableConv:
    conv = SeparableConv(classes, classes, (1, 1))
    nn.init.ones_(conv.depthwise.weight)
    nn.init.dirac_(conv.pointwise.weight)
    return conv
