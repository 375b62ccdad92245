"""Small pieces that the networks share: grids, soft-argmax, confidences, pooling, convolutions.

Everything works on (..., H, W) maps. Convolutions pad as TensorFlow's 'same' does, where the odd
pixel goes to the bottom and right, because the published networks were trained that way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
P = ParamSpec("P")
R = TypeVar("R")
Cells = bool | Literal["text"]
"""Where the cells of a map stand, see `grid`."""

# ---------------------------------------------------------------------------- maps to coordinates


def full_precision(read: Callable[P, R]) -> Callable[P, R]:
    """A method that makes joints of maps, computed in float32 also under autocast.

    bfloat16 counts a crop of 256 px in steps of a pixel, and 2 m of depth in steps of 8 mm.
    """

    @wraps(read)
    def in_float32(*args: P.args, **kwargs: P.kwargs) -> R:
        exact = [a.float() if isinstance(a, Tensor) else a for a in args]
        kinds = {a.device.type for a in args if isinstance(a, Tensor)} - {"meta"}
        with ExitStack() as stack:
            for kind in kinds:
                stack.enter_context(torch.autocast(kind, enabled=False))
            return read(*exact, **kwargs)  # pyright: ignore[reportCallIssue]

    return in_float32


def grid(n: int, *, cell_centres: Cells, device: torch.device | None = None) -> Float[Tensor, " n"]:
    """Coordinates in [0, 1] of the n cells of a heat-map axis; the one place that holds the choice.

    cell_centres:      |--x--|--x--|--x--|--x--|    x = (i + 0.5) / n   networks trained here
    not cell_centres:  x-----|-----|-----|-----x    x = i / (n - 1)     the original's weights
    "text":            x-----x-----x-----x-----|    x = i / n           CVPR Eq. 2, TPAMI Eq. 8
    """
    if cell_centres:
        first = 0.0 if cell_centres == "text" else 0.5
        return (torch.arange(n, device=device, dtype=torch.float32) + first) / n
    return torch.linspace(0.0, 1.0, n, device=device)


def spatial_softmax(logits: Float[Tensor, "*b H W"], alpha: float = 1.0) -> Float[Tensor, "*b H W"]:
    """Probability map: softmax of alpha * logits over the plane (TPAMI Eq. 6)."""
    return (alpha * logits).flatten(-2).softmax(-1).view_as(logits)


def soft_argmax(prob: Float[Tensor, "*b H W"], *, cell_centres: Cells) -> Float[Tensor, "*b 2"]:
    """Expected (u, v) of a probability map, in [0, 1] (TPAMI Eq. 8)."""
    u = prob.sum(-2) @ grid(prob.shape[-1], cell_centres=cell_centres, device=prob.device)
    v = prob.sum(-1) @ grid(prob.shape[-2], cell_centres=cell_centres, device=prob.device)
    return torch.stack([u, v], -1)


def soft_argmax_1d(prob: Float[Tensor, "*b N"], *, cell_centres: Cells) -> Float[Tensor, "*b"]:
    """Expected coordinate of a probability vector, in [0, 1] (CVPR, volumetric depth)."""
    return prob @ grid(prob.shape[-1], cell_centres=cell_centres, device=prob.device)


def expected_depth(
    prob: Float[Tensor, "*b H W"], depth_logits: Float[Tensor, "*b H W"]
) -> Float[Tensor, "*b"]:
    """Depth in (0, 1): sigmoid of the depth map, read under the heat map (TPAMI Eq. 7, 9)."""
    return (depth_logits.sigmoid() * prob).sum((-2, -1))


def hat_weights(
    position: Float[Tensor, "*b"], n: int, *, cell_centres: Cells
) -> Float[Tensor, "*b N"]:
    """Weights of the two cells around a position 0..1: a hat as wide as two cells."""
    first = 0.0 if cell_centres == "text" else 0.5
    cell = position * n - first if cell_centres else position * (n - 1)
    distance = cell.clamp(0, n - 1)[..., None] - torch.arange(n, device=position.device)
    return (1 - distance.abs()).clamp(min=0)


def annotated_maps(
    pose: Float[Tensor, "N J D"], like: Float[Tensor, "N J h w"], *, cell_centres: Cells
) -> tuple[Float[Tensor, "N J h w"], Float[Tensor, "N J D"], Float[Tensor, "N J"]]:
    """What a block would say that knows the joints: probability maps, the pose, confidences.

    Maps as large as `like`. All of a joint's probability lies in the (up to) four cells around it,
    its confidence is 1; one that is unknown (NaN) or outside has nothing at all. A depth alone that
    is unknown is the root's.
    """
    inside = ((pose[..., :2] >= 0) & (pose[..., :2] <= 1)).all(-1)  # False where NaN
    pose = torch.where(inside[..., None], pose.nan_to_num(0.5), 0.0)
    rows = hat_weights(pose[..., 1], like.shape[-2], cell_centres=cell_centres)
    columns = hat_weights(pose[..., 0], like.shape[-1], cell_centres=cell_centres)
    maps = rows[..., :, None] * columns[..., None, :] * inside[..., None, None]
    return maps, pose, inside.to(pose.dtype)


# ------------------------------------------------------------------------------- confidences
# Three definitions exist in the papers and the two released code lines; each has its name.


def window_sum_confidence(maps: Float[Tensor, "*b H W"]) -> Float[Tensor, "*b"]:
    """Largest sum over a 2x2 window: SPNet's code on probability maps, (0, 1].

    The code line `master` feeds the raw maps of the CVPR network to it; then it has no bounds.
    """
    window = min(2, maps.shape[-2]), min(2, maps.shape[-1])  # no larger than a tiny map
    means = F.avg_pool2d(maps.flatten(0, -3), window, 1)
    return window[0] * window[1] * means.amax((-2, -1)).view(maps.shape[:-2])


def max_confidence(prob: Float[Tensor, "*b H W"]) -> Float[Tensor, "*b"]:
    """Largest value of the probability map: what the TPAMI text says (its code sums a window)."""
    return prob.amax((-2, -1))


def sigmoid_max_confidence(logits: Float[Tensor, "*b H W"]) -> Float[Tensor, "*b"]:
    """Sigmoid of the largest logit: the CVPR paper and the code its weights belong to."""
    return logits.amax((-2, -1)).sigmoid()


def expected_confidence(
    prob: Float[Tensor, "*b H W"], confidence_logits: Float[Tensor, "*b H W"]
) -> Float[Tensor, "*b"]:
    """A learnt confidence in (0, 1): a map of logits, read under the heat map as depth is."""
    return (confidence_logits * prob).sum((-2, -1)).sigmoid()


# ------------------------------------------------------------------------------- pooling


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Cells (before, after) that TensorFlow's 'same' adds to one axis."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(
    x: Float[Tensor, "B C H W"],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    value: float = 0.0,
) -> Float[Tensor, "B C H2 W2"]:
    """Pad the plane as TensorFlow's 'same' does."""
    top, bottom = same_padding(x.shape[-2], kernel[0], stride[0])
    left, right = same_padding(x.shape[-1], kernel[1], stride[1])
    return F.pad(x, (left, right, top, bottom), value=value) if top + bottom + left + right else x


def max_pool_same(
    x: Float[Tensor, "B C H W"], kernel: tuple[int, int], stride: tuple[int, int]
) -> Float[Tensor, "B C H2 W2"]:
    """Max pooling with 'same' padding (of -inf)."""
    return F.max_pool2d(pad_same(x, kernel, stride, float("-inf")), kernel, stride)


def max_min_pool(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
    """Max plus min over 2x2 windows: keeps the strongest response of either sign."""
    return max_pool_same(x, (2, 2), (2, 2)) - max_pool_same(-x, (2, 2), (2, 2))


def share_pool(prob: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H2 W2"]:
    """Half-size maps in which each cell's value is shared linearly among the cells about it.

    With cell-centred grids the sum stays and so does the mean position, but at the border: what
    would leave the map there goes to its outermost cells.
    """
    kernel = prob.new_tensor([0.25, 0.75, 0.75, 0.25])
    kernel = torch.outer(kernel, kernel).expand(prob.shape[1], 1, 4, 4)
    inner = F.pad(prob, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(inner, kernel, stride=2, groups=prob.shape[1])


def global_max_min(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C"]:
    """Max plus min over the whole plane (CVPR 2018, section 4.1)."""
    return x.amax((-2, -1)) + x.amin((-2, -1))


def joint_pool(
    prob: Float[Tensor, "N J H W"], features: Float[Tensor, "N C H W"]
) -> Float[Tensor, "N J C"]:
    """Features under each joint's heat map, summed (CVPR section 4.2, TPAMI section 3.3.2)."""
    return prob.flatten(2) @ features.flatten(2).transpose(1, 2)


# ------------------------------------------------------------------------------- convolutions


def channels_last(module: M) -> M:
    """The module with its kernels in the memory order that convolutions like best."""
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


class ConvSame(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow's 'same'.

    A 1x1 kernel with a stride chooses its cells first: the gradient of the strided convolution
    writes beyond its memory in PyTorch 2.13 (oneDNN, AVX2) for fewer than 8 channels in
    channels_last order.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        # An odd kernel at stride 1 pads the same on both sides: the convolution can do it itself.
        self.every = stride if kernel == (1, 1) else 1
        stride = stride // self.every
        even = stride == 1 and kernel[0] % 2 == 1 and kernel[1] % 2 == 1
        padding = (kernel[0] // 2, kernel[1] // 2) if even else (0, 0)
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.symmetric = even
        glorot_uniform(self)

    def forward(self, input: Tensor) -> Tensor:
        if self.every > 1:
            input = input[..., :: self.every, :: self.every]
        if self.symmetric:
            return super().forward(input)
        kernel, stride = self.kernel_size, self.stride
        return super().forward(pad_same(input, (kernel[0], kernel[1]), (stride[0], stride[1])))


class SeparableConv(nn.Sequential):
    """Depthwise then pointwise convolution, nothing in between."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], *, stride: int = 1
    ) -> None:
        super().__init__()
        self.depthwise = ConvSame(inputs, inputs, kernel, stride=stride, groups=inputs)
        self.pointwise = ConvSame(inputs, outputs)


def glorot_uniform(conv: nn.Conv2d) -> None:
    """Keras' initial weights; a depthwise kernel counts its fans as (C k k, k k) there."""
    area = conv.kernel_size[0] * conv.kernel_size[1]
    depthwise = conv.groups > 1
    fan_in = area * conv.in_channels
    fan_out = area * (1 if depthwise else conv.out_channels)
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    nn.init.uniform_(conv.weight, -bound, bound)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with Keras' epsilon and the equivalent of its momentum 0.99."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class ResidualUnit(nn.Module):
    """Pre-activation residual unit (TPAMI Fig. 3a): separable, or a bottleneck of two convolutions.

    `divide` makes it the bottleneck: 1x1 to outputs / divide channels, then `kernel`. Where size or
    stride changes, the shortcut is a 1x1 convolution of the same activated input.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        divide: int | None = None,
    ) -> None:
        super().__init__()
        self.bn1 = batch_norm(inputs)
        self.shortcut_conv = (
            None if inputs == outputs and stride == 1 else ConvSame(inputs, outputs, stride=stride)
        )
        if divide is None:
            self.conv1: nn.Module = SeparableConv(inputs, outputs, kernel, stride=stride)
            self.bn2 = self.conv2 = None
        else:
            self.conv1 = ConvSame(inputs, outputs // divide)
            self.bn2 = batch_norm(outputs // divide)
            self.conv2 = ConvSame(outputs // divide, outputs, kernel, stride=stride)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H2 W2"]:
        h = F.relu(self.bn1(x))
        shortcut = x if self.shortcut_conv is None else self.shortcut_conv(h)
        h = self.conv1(h)
        if self.conv2 is not None and self.bn2 is not None:
            h = self.conv2(F.relu(self.bn2(h)))
        return shortcut + h
