"""An equal network that does less, for prediction alone: what a trained network need not compute.

Batch normalisation goes into the convolution before it (or a 1x1 after it) where nothing else reads
what lies between; most of it stays, because pre-activation units read their input twice. The 1x1
heads of a prediction block become one convolution, and so do their ways back into the stream. What
is computed of a map that was doubled is computed before it is doubled. Poses that are not the
answer, and that no action block reads, are left out.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.frames import PoseActionNetwork
from poseact.models.layers import ConvSame, ResidualUnit, SeparableConv
from poseact.models.spnet import EntryFlow, Maps, PredictionBlock, ScaleUnit
from poseact.models.stems import ConvNorm, LightStem, PyramidStem, VGG16Stem

N = TypeVar("N", bound=nn.Module)


def simplified(model: N) -> N:
    """A copy in eval mode whose last pose, score, features and logits are those of `model`.

    It cannot be trained on, saved or cut: cut first. `frames` gives the last block's pose and those
    that actions are read from, alone.
    """
    small = deepcopy(model).eval().requires_grad_(False)
    if isinstance(small, PoseActionNetwork):
        small.answer_only = True
    for module in list(small.modules()):
        if isinstance(module, ResidualUnit) and isinstance(module.bn2, nn.BatchNorm2d):
            module.bn2 = _into(module.conv1, module.bn2)
        elif isinstance(module, ConvNorm):
            module.norm = _into(module.conv, module.norm)
        elif isinstance(module, EntryFlow) and module.res0.shortcut_conv is not None:
            module.res0.bn1 = _into(module.conv1, module.res0.bn1)
        elif isinstance(module, LightStem):
            module.bn1 = _into(module.conv1, module.bn1)
        elif isinstance(module, VGG16Stem):
            module.project_bn = _into(module.project, module.project_bn)
            for n, layer in enumerate(module.features):
                if isinstance(layer, nn.BatchNorm2d):
                    module.features[n] = _into(module.features[n - 1], layer)
        elif isinstance(module, PyramidStem):
            for enter in module.enter:
                _from(enter[0], enter[1])  # pyright: ignore[reportIndexIssue]
                enter[0] = nn.Identity()  # pyright: ignore[reportIndexIssue]
    for name, module in list(small.named_modules()):
        if isinstance(module, PredictionBlock):
            small.set_submodule(name, FusedBlock(module))
        elif isinstance(module, ScaleUnit) and not module.down and not module.conv:
            small.set_submodule(name, EarlyUpscale(module))
    return small


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Factor and summand (C,), float64, that a batch normalisation is in eval mode."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def _into(conv: Any, norm: Any) -> Any:
    """Put a batch normalisation into the convolution before it; what stands in its place."""
    conv = conv.pointwise if isinstance(conv, SeparableConv) else conv
    scale, shift = _affine(norm)
    if conv.bias is not None:
        shift = shift + scale * conv.bias.double()
    _set(conv, conv.weight.double() * scale[:, None, None, None], shift)
    return nn.Identity()


def _from(norm: Any, conv: Any) -> None:
    """Put a batch normalisation into the 1x1 convolution after it."""
    scale, shift = _affine(norm)
    weight = conv.weight.double()
    _set(conv, weight * scale[:, None, None], weight[..., 0, 0] @ shift)


def _set(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    kind = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(kind), requires_grad=False)


class FusedBlock(nn.Module):
    """`spnet.PredictionBlock` with one convolution to all of its maps and one back."""

    def __init__(self, block: PredictionBlock) -> None:
        super().__init__()
        self.r1, self.bn1, self.conv1, self.bn2 = block.r1, block.bn1, block.conv1, block.bn2
        heads = {
            "forward": block.heatmaps_fw_maps,
            "heat": block.heatmaps_conv1,
            "depth": block.depthmaps_conv1,
            "confidence": block.confidence_conv1,
            "heat_replica": block.heatmaps_conv1_replica,
            "depth_replica": block.depthmaps_conv1_replica,
        }
        there = {name: head for name, head in heads.items() if head is not None}
        self.names, joints = tuple(there), block.heatmaps_conv1.out_channels
        self.heads = _joined(list(there.values()), 0)
        self.sizes = [joints] * len(there)
        back = [block.heatmaps_conv2, block.depthmaps_conv2]
        ways = [conv for conv in back if conv is not None]
        self.back = _joined(ways, 1) if ways else None
        if self.back is None:  # nothing else reads what the last normalisation reads
            self.bn2 = _into(self.conv1, self.bn2)

    def forward(
        self, x: Float[Tensor, "N C h w"], first: Float[Tensor, "N J h w"] | float = 0.0
    ) -> tuple[Float[Tensor, "N C h w"], Maps]:
        """As `PredictionBlock.forward`."""
        r = self.r1(x)
        s = self.conv1(F.relu(self.bn1(r)))
        a = F.relu(self.bn2(s))
        maps = dict(zip(self.names, self.heads(a).split(self.sizes, 1)))
        heat, depth = maps["heat"] + first, maps.get("depth")
        replica = maps.get("heat_replica")
        found = Maps(
            heat,
            depth,
            heat if replica is None else replica + first,
            maps.get("depth_replica", depth),
            maps.get("confidence"),
            a,
        )
        if self.back is None:
            return r, found  # the stream ends here
        fed = [F.relu(maps["forward"]), F.relu(heat), *([] if depth is None else [depth])]
        return r + s + self.back(torch.cat(fed, 1)), found


def _joined(convs: list[ConvSame], axis: int) -> ConvSame:
    """1x1 convolutions as one: of their outputs side by side (0), or the sum over inputs (1)."""
    weight = torch.cat([conv.weight for conv in convs], axis)
    one = ConvSame(weight.shape[1], weight.shape[0])
    one.weight = nn.Parameter(weight.clone(), requires_grad=False)
    return one


class EarlyUpscale(nn.Module):
    """`spnet.ScaleUnit` going up: the shortcut sees the small map, a fourth of the work."""

    def __init__(self, unit: ScaleUnit) -> None:
        super().__init__()
        self.r0, self.action_r0 = unit.r0, unit.action_r0

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D H2 W2"]:
        h = F.relu(self.r0.bn1(x))
        shortcut = x if self.r0.shortcut_conv is None else self.r0.shortcut_conv(h)
        return _double(shortcut) + self.r0.conv1(_double(h))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
