"""Stems: from pixels to feature maps at an eighth of the size. Both networks can have any of them.

Inception: Luvizon, Picard, Tabia, CVPR 2018, supplement Fig. 2, and an earlier, thinner one of the
released code. VGG-16: Simonyan and Zisserman 2015, cut after conv4_3. MobileNetV2 with a feature
pyramid: the feature extractor of MoveNet (Google, Apache-2.0). The light one is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.core.layouts import COCO17, Layout, convert
from poseact.models.layers import (
    ConvSame,
    ResidualUnit,
    SeparableConv,
    batch_norm,
    max_pool_same,
    share_pool,
)
from poseact.models.pretrained import fill, read_tensors

# ------------------------------------------------------------------------------- building blocks


class ShiftNorm(nn.BatchNorm2d):
    """Batch normalisation that learns a shift and no scale, as all of the CVPR network's do."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.01)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class ConvNorm(nn.Module):
    """Convolution (plain or separable), batch normalisation, and a ReLU before, after or not."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        relu: Literal["before", "after", "none"] = "before",
        stride: int = 1,
        separable: bool = False,
    ) -> None:
        super().__init__()
        self.relu = relu
        convolution = SeparableConv if separable else ConvSame
        self.conv = convolution(inputs, outputs, kernel, stride=stride)
        self.norm = ShiftNorm(outputs)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H2 W2"]:
        x = self.norm(self.conv(F.relu(x) if self.relu == "before" else x))
        return F.relu(x) if self.relu == "after" else x


class SeparableResidual(nn.Module):
    """SR (CVPR supplement Fig. 1): a separable convolution beside identity or a 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.shortcut = None if inputs == outputs else ConvNorm(inputs, outputs)
        self.conv = ConvNorm(inputs, outputs, kernel, separable=True)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        return (x if self.shortcut is None else self.shortcut(x)) + self.conv(x)


# ------------------------------------------------------------------------------- stems


class InceptionStem(nn.Module):
    """The CVPR network's entry flow. `thin`: the released code's `old_model`, a 3x3 less."""

    def __init__(self, channels: int = 576, *, thin: bool = False) -> None:
        super().__init__()
        down = 32 if thin else 96
        self.conv1 = ConvNorm(3, 32, (3, 3), relu="after", stride=2)
        self.conv2 = None if thin else ConvNorm(32, 32, (3, 3), relu="after")
        self.conv3 = ConvNorm(32, 64, (3, 3), relu="after")
        self.down1 = ConvNorm(64, down, (3, 3), relu="after", stride=2)
        self.short1 = ConvNorm(64 + down, 64, relu="after")
        self.short2 = ConvNorm(64, 96, (3, 3), relu="none")
        self.long1 = ConvNorm(64 + down, 64, relu="after")
        self.long2 = ConvNorm(64, 64, (5, 1), relu="after")
        self.long3 = ConvNorm(64, 64, (1, 5), relu="after")
        self.long4 = ConvNorm(64, 96, (3, 3), relu="none")
        self.down2 = ConvNorm(192, 192, (3, 3), stride=2)
        self.sepconv1 = SeparableResidual(384, channels, (3, 3))

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C h w"]:
        x = self.conv1(x)
        x = self.conv3(x if self.conv2 is None else self.conv2(x))
        x = torch.cat([self.down1(x), max_pool_same(x, (3, 3), (2, 2))], 1)
        short = self.short2(self.short1(x))
        long = self.long4(self.long3(self.long2(self.long1(x))))
        x = torch.cat([short, long], 1)
        x = torch.cat([self.down2(x), F.max_pool2d(x, 2)], 1)
        return self.sepconv1(x)


VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512)
"""Widths of conv1_1 .. conv4_3; M halves the map."""


class VGG16Stem(nn.Module):
    """VGG-16 up to conv4_3, then a 1x1 convolution to `channels`. 1024 is the 2024 report's.

    Takes frames in [-1, 1] like every stem and standardises them as ImageNet networks expect.
    `features` has torchvision's names, so `load_imagenet` reads the well-known weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int = 576, *, norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in VGG16:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width)] if norm else []
            layers.append(nn.ReLU())
            inputs = width
        self.features = nn.Sequential(*layers)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
        self.project = ConvSame(inputs, channels)
        self.project_bn = batch_norm(channels)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("mean", mean.view(3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(3, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C h w"]:
        x = ((x + 1) / 2 - self.mean) / self.std
        return self.project_bn(self.project(self.features(x)))

    def load_imagenet(self, path: str | Path) -> None:
        """Take conv1_1 .. conv4_3 from a torchvision-style VGG-16 file (.pth or .safetensors).

        FileNotFoundError if there is none; ValueError if a tensor is missing or of another shape,
        for instance where the file has batch normalisation and this stem has not.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no VGG-16 weights at {path}")
        counts = {n: v for n, v in self.features.state_dict().items() if "num_batches" in n}
        theirs = {f"features.{n}": v for n, v in counts.items()} | read_tensors(path)
        kind = "vgg16_bn" if self.has_norm else "vgg16 without batch normalisation"
        fill(self.features, theirs, "features.", f"{path}: this stem wants torchvision's {kind};")

    @property
    def has_norm(self) -> bool:
        """Whether the VGG layers are batch-normalised."""
        return any(isinstance(module, nn.BatchNorm2d) for module in self.features)


class LightStem(nn.Module):
    """A cheap stem of our own: strided 3x3 convolutions down to a quarter, then separable units.

    SPNet's published stem takes 78 % of the multiply-adds of SPNet P = 2; this one a small share.
    """

    def __init__(self, growth: int, image_div: int) -> None:
        super().__init__()
        g = growth
        self.conv1 = ConvSame(3, 32, (3, 3), stride=2)
        self.bn1 = batch_norm(32)
        self.conv2 = ConvSame(32, 2 * g, (3, 3), stride=2)
        self.res1 = ResidualUnit(2 * g, 2 * g, (3, 3))
        self.res2 = ResidualUnit(2 * g, 2 * g, (3, 3))
        self.deeper = nn.Sequential()
        for k in range(2, image_div.bit_length() - 1):
            self.deeper.append(ResidualUnit(k * g, (k + 1) * g, (3, 3), stride=2))
            self.deeper.append(ResidualUnit((k + 1) * g, (k + 1) * g, (3, 3)))

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C h w"]:
        x = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return self.deeper(self.res2(self.res1(x)))


# ------------------------------------------------------------------------------- MobileNetV2 + FPN


class Biased(ConvSame):
    """`ConvSame` with a bias: a convolution into which its batch normalisation was folded."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups)
        self.bias = nn.Parameter(torch.zeros(outputs))


class InvertedResidual(nn.Module):
    """MobileNetV2's unit (Sandler et al. 2018): six times as wide in the middle, linear ends."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        wide = 6 * inputs
        self.expand = Biased(inputs, wide)
        self.depthwise = Biased(wide, wide, (3, 3), stride=stride, groups=wide)
        self.project = Biased(wide, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        y = self.project(F.relu6(self.depthwise(F.relu6(self.expand(x)))))
        return x + y if self.residual else y


INVERTED = (
    *((24, 2), (24, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1)),
    *((96, 1), (96, 1), (96, 1), (160, 2), (160, 1), (160, 1), (320, 1)),
)
"""(channels at width 1, stride) of MobileNetV2's units."""
TAPS = (1, 4, 8)
"""Units whose outputs the pyramid takes up: the last of strides 4, 8 and 16."""


def _of_eight(channels: float) -> int:
    """The multiple of eight that MobileNet rounds to: the nearest, not below nine tenths."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class MobileNetFPN(nn.Module):
    """MoveNet's features: MobileNetV2 of some width, and a feature pyramid down to stride 4.

    width: 1.0 is Lightning, 1.5 MultiPose, 1.75 Thunder. Batch normalisation is folded into the
    convolutions, as published. Frames are [-1, 1]; TensorFlow's 'same' padding.
    """

    maps = (24, 24, 32, 64)
    """Channels at strides 4, 8, 16 and 32."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()

        def c(channels: int) -> int:
            return _of_eight(channels * width)

        self.stem = Biased(3, c(32), (3, 3), stride=2)
        self.first_depthwise = Biased(c(32), c(32), (3, 3), groups=c(32))
        self.first_project = Biased(c(32), c(16))
        self.blocks, inputs = nn.ModuleList(), c(16)
        for channels, stride in INVERTED:
            self.blocks.append(InvertedResidual(inputs, c(channels), stride=stride))
            inputs = c(channels)
        self.last = Biased(inputs, 1280)
        self.top = Biased(1280, 64)
        self.lateral = nn.ModuleList([Biased(c(24), 24), Biased(c(32), 32), Biased(c(64), 64)])
        self.smooth = nn.ModuleList(
            nn.Sequential(ConvSame(a, a, (3, 3), groups=a), Biased(a, b))
            for a, b in ((64, 32), (32, 24), (24, 24))
        )

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> list[Float[Tensor, "N C h w"]]:
        """Maps at strides 4, 8, 16 and 32."""
        x = self.first_project(F.relu6(self.first_depthwise(F.relu6(self.stem(x)))))
        taps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            taps += [x] if number in TAPS else []
        maps = [self.top(F.relu6(self.last(x)))]
        for smooth, lateral, tap in zip(self.smooth, reversed(self.lateral), reversed(taps)):
            up = F.interpolate(maps[0], scale_factor=2.0, mode="bilinear", align_corners=False)
            maps.insert(0, F.relu(smooth(up + lateral(tap))))
        return maps


def movenet_head(outputs: int) -> nn.Sequential:
    """A head of MoveNet on its map of stride 4."""
    return nn.Sequential(
        ConvSame(24, 24, (3, 3), groups=24), Biased(24, 96), nn.ReLU(), Biased(96, outputs)
    )


NEAR = 1.8
"""Cells added to distances before they divide, as in MoveNet's graph."""
SHARPNESS = 4.0
"""Exponent with which a `CentreHeads` map begins, so that its mean is near its maximum."""


class CentreHeads(nn.Module):
    """MoveNet's heads as maps of one person: the one nearest to the middle of the crop.

    A centre map finds the person; `regress` at that cell says about where each joint is; the heat
    maps, divided by the distance to there, say where exactly (CenterNet, Zhou et al. 2019).
    """

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.heatmap, self.regress, self.centre = (
            movenet_head(joints),
            movenet_head(2 * joints),
            movenet_head(1),
        )
        self.sharpness = nn.Parameter(torch.full((joints, 1, 1), SHARPNESS))

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N J h w"]:
        """Probability maps, times the number of cells."""
        heat, regress = self.heatmap(x), self.regress(x)
        n, joints, h, w = heat.shape
        rows, columns = (torch.arange(k, device=x.device, dtype=x.dtype) for k in (h, w))
        middle = ((rows[:, None] - h / 2) ** 2 + (columns - w / 2) ** 2).sqrt()  # cells
        centre = (self.centre(x)[:, 0].sigmoid() / (middle + NEAR)).flatten(1).argmax(1)
        index = centre[:, None, None].expand(-1, 2 * joints, 1)
        offset = regress.flatten(2).gather(2, index).view(n, joints, 2)  # y x, cells
        y, x = offset[..., 0] + (centre // w)[:, None], offset[..., 1] + (centre % w)[:, None]
        dy, dx = rows - y[..., None], columns - x[..., None]
        distance = (dy[..., None] ** 2 + dx[..., None, :] ** 2 + 1e-6).sqrt()
        logits = self.sharpness * (F.logsigmoid(heat) - (distance + NEAR).log())
        return h * w * logits.flatten(2).softmax(2).view_as(heat)


FLOOR = 1e-3
"""Least probability of a cell of the first heat maps, over their mean: blocks can correct them."""


class PyramidStem(nn.Module):
    """A pretrained feature pyramid as stem: every level of the stream begins with maps of its own.

    channels: of the stream at each level. stride: of level 0, 4 or 8. width: of `MobileNetFPN`.
    With `joints` the stem has heads, so that heat maps exist before the first block. As logits they
    are added to those of every block, which then learns corrections, and they go into the stream as
    a block's do.
    """

    def __init__(
        self, channels: Sequence[int], *, stride: int, width: float, joints: int | None
    ) -> None:
        super().__init__()
        self.features = MobileNetFPN(width)
        self.heads = None if joints is None else CentreHeads(joints)
        self.finer = stride.bit_length() - 3  # maps of the features above level 0
        self.enter, self.reinject = nn.ModuleList(), nn.ModuleList()
        for level, outputs in enumerate(channels):
            inputs = sum(self.features.maps[k] for k in self._maps_of(level, len(channels)))
            self.enter.append(nn.Sequential(batch_norm(inputs), ConvSame(inputs, outputs)))
            if joints is not None:
                self.reinject.append(ConvSame(joints, outputs))

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> tuple[list[Tensor], list[Tensor]]:
        """Per level: the stream (N, C, h, w), and logits (N, J, h, w) of the first heat maps."""
        maps = self.features(x)
        levels = len(self.enter)
        stream: list[Tensor] = []
        for level, enter in enumerate(self.enter):
            size = maps[level + self.finer].shape[-2:]
            own = [_resized(maps[k], size) for k in self._maps_of(level, levels)]
            stream.append(enter(torch.cat(own, 1)))
        if self.heads is None:
            return stream, []
        probs = [self.heads(maps[0])]
        for _ in range(self.finer + levels - 1):
            probs.append(share_pool(probs[-1]) / 4)  # four cells are one
        first = [(prob + FLOOR).log() for prob in probs[self.finer :]]
        stream = [s + conv(F.relu(m)) for s, conv, m in zip(stream, self.reinject, first)]
        return stream, first

    def _maps_of(self, level: int, levels: int) -> range:
        """Which maps a level takes in: its own, the first also finer and the last deeper ones."""
        own = level + self.finer
        last = len(self.features.maps) - 1 if level == levels - 1 else own
        return range(own if level else 0, last + 1)


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    """A map in the size of a level: the mean of its cells, or each of them repeated."""
    if x.shape[-1] > size[-1]:
        return F.avg_pool2d(x, x.shape[-1] // size[-1])
    return x if x.shape[-1] == size[-1] else F.interpolate(x, size=size, mode="nearest")


# ------------------------------------------------------------------------------- pretrained weights


def load_stem(model: nn.Module, path: str | Path, layout: Layout) -> None:
    """Give a network's stem pretrained weights: MoveNet's, or ImageNet's of VGG-16.

    MoveNet's heads speak of COCO's joints; those of the network, `layout`, get the same rows by
    name, and where COCO has no such joint a blob about a mean of others (`_rows`) to begin from.
    FileNotFoundError, or ValueError if the network has another stem or the file other tensors.
    """
    entry: Any = getattr(model, "entry", None) or getattr(model, "stem", None)
    if isinstance(entry, VGG16Stem):
        entry.load_imagenet(path)
        return
    features = getattr(entry, "features", None)
    if not isinstance(features, MobileNetFPN):
        raise ValueError(f"{path}: a network with a stem of its own takes no pretrained one")
    theirs = read_tensors(path)
    what = f"{path}: not MoveNet of this width;"
    fill(features, theirs, "features.", what)
    heads: CentreHeads | None = entry.heads
    if heads is not None:
        rows = torch.from_numpy(_rows(layout)).float()  # J 17
        ours = dict(theirs)
        same = ((rows != 0).sum(1) == 1)[:, None] * rows
        for part in ("weight", "bias"):
            heat, regress = theirs[f"heads.heatmap.3.{part}"], theirs[f"heads.regress.3.{part}"]
            ours[f"heads.heatmap.3.{part}"] = torch.einsum("jk,k...->j...", same, heat)
            pairs = regress.unflatten(0, (17, 2))  # y x of a joint
            ours[f"heads.regress.3.{part}"] = torch.einsum("jk,k...->j...", rows, pairs).flatten(
                0, 1
            )
        for name in ("heatmap", "regress", "centre"):
            fill(heads.get_submodule(name), ours, f"heads.{name}.", what)


CROWN = 1.45
"""From the base of the neck to the top of the head, in lengths of the way to the ears."""


def _rows(layout: Layout) -> np.ndarray:
    """(J, 17): each joint of a layout as a sum of COCO's, where its prediction begins."""
    rows = convert(np.eye(17), COCO17, layout)
    eye = np.eye(17)
    ears = eye[[COCO17.index("l_ear"), COCO17.index("r_ear")]].mean(0)
    thorax = eye[[COCO17.index("l_shoulder"), COCO17.index("r_shoulder")]].mean(0)
    if "head" in layout.joints:
        rows[layout.index("head")] = CROWN * ears + (1 - CROWN) * thorax
    return np.nan_to_num(rows, nan=1 / 17)
