"""Action recognition of SPNet: one block after each prediction block of an action pyramid.

Source: D. C. Luvizon, D. Picard, H. Tabia, TPAMI 2020, section 3.3. Everything works on (T, J)
maps: a clip's frames are the rows, the person's joints the columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.layers import (
    ConvSame,
    ResidualUnit,
    batch_norm,
    global_max_min,
    max_min_pool,
    max_pool_same,
)


class ActionBlock(nn.Module):
    """Actions from the poses and appearances of T frames (Fig. 4, 5), on (T, J) maps.

    Early fusion of pose features, appearance features and the previous block's action features.
    """

    def __init__(
        self,
        dim: int,
        appearance: int,
        classes: tuple[int, ...],
        *,
        pose_features: int,
        visual_features: int,
        first: bool,
        last: bool,
    ) -> None:
        super().__init__()
        n_p, n_v = pose_features, visual_features
        c = max(n_p, n_v)
        conv0 = (n_p // 16, n_p // 8, n_p // 4)
        self.action_p_conv0a = ConvSame(dim, conv0[0], (3, 1))
        self.action_p_conv0b = ConvSame(dim, conv0[1], (3, 3))
        self.action_p_conv0c = ConvSame(dim, conv0[2], (3, 5))
        self.action_r1 = ResidualUnit(sum(conv0), n_p, (3, 3), divide=2)
        self.action_v_conv0 = ConvSame(appearance, n_v)
        self.action_r2 = ResidualUnit(n_p + n_v + (0 if first else c), c, (3, 3), divide=4)
        self.action_pred_bn1 = batch_norm(c)
        self.action_pred_conv1 = ConvSame(c, c, (3, 3))
        self.action_pred_bn2 = batch_norm(c)
        for i, number in enumerate(classes):
            self.add_module(f"action_pred_conv2h{i}", ConvSame(c, number, (3, 3)))
        self.sets = len(classes)
        self.action_pred_conv3 = None if last else ConvSame(sum(classes), c, (3, 3))

    def forward(
        self,
        pose: Float[Tensor, "B T J D"],
        appearance: Float[Tensor, "B T J C"],
        xa: Float[Tensor, "B E t j"] | None,
    ) -> tuple[Float[Tensor, "B E t j"], tuple[Tensor, ...]]:
        x = pose.permute(0, 3, 1, 2)  # B D T J
        convs = (self.action_p_conv0a, self.action_p_conv0b, self.action_p_conv0c)
        p = _halve(self.action_r1(torch.cat([conv(x) for conv in convs], 1)))
        v = _halve(self.action_v_conv0(appearance.permute(0, 3, 1, 2)))
        x = self.action_r2(torch.cat([p, v] if xa is None else [p, v, xa], 1))
        x1 = self.action_pred_conv1(F.relu(self.action_pred_bn1(x)))
        y = F.relu(self.action_pred_bn2(max_min_pool(x1)))
        maps = [self.get_submodule(f"action_pred_conv2h{i}")(y) for i in range(self.sets)]
        x = x + x1
        if self.action_pred_conv3 is not None:
            up = F.interpolate(torch.cat(maps, 1), scale_factor=2.0, mode="nearest")
            x = x + self.action_pred_conv3(F.relu(up))
        return x, tuple(global_max_min(m) for m in maps)


def _halve(x: Float[Tensor, "B C T J"]) -> Float[Tensor, "B C t j"]:
    """Zero-pad so that halving twice fits, then halve the joints, and the frames from T = 16 on."""
    stride = 2 if x.shape[2] >= 16 else 1
    time, joints = -x.shape[2] % (2 * stride), -x.shape[3] % 4
    x = F.pad(x, (joints // 2, joints - joints // 2, time // 2, time - time // 2))
    return max_pool_same(x, (2, 2), (stride, 2))
