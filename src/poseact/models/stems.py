"""Stems: from pixels to feature maps at an eighth of the size. Both networks can have any of them.

Inception: Luvizon, Picard, Tabia, CVPR 2018, supplement Fig. 2, and an earlier, thinner one of the
released code. VGG-16: Simonyan and Zisserman 2015, cut after conv4_3. The light one is our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from poseact.models.layers import ConvSame, ResidualUnit, SeparableConv, batch_norm, max_pool_same

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
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no VGG-16 weights at {path}")
        if path.suffix == ".safetensors":
            theirs = load_file(path)
        else:
            theirs = torch.load(path, map_location="cpu", weights_only=True)
        mine = self.features.state_dict()
        for name, value in mine.items():
            found = theirs.get(f"features.{name}")
            if name.endswith("num_batches_tracked"):
                theirs.setdefault(f"features.{name}", value)
            elif found is None or found.shape != value.shape:
                got = "nothing" if found is None else f"shape {tuple(found.shape)}"
                raise ValueError(
                    f"{path}: features.{name} must have shape {tuple(value.shape)}, got {got}; "
                    "this stem wants torchvision's "
                    + ("vgg16_bn" if self.has_norm else "vgg16 without batch normalisation")
                )
        self.features.load_state_dict({name: theirs[f"features.{name}"] for name in mine})

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
