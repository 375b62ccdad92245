"""DenseNet, the hand-made network beside which a searched one has to show itself.

Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
table 2 (without bottlenecks and compression), as Pham et al. trained it on Enhanced-SPMF pictures
(Sensors 19:1932, 2019): depth 40, growth 12, dropout 0.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class DenseNet(nn.Module):
    """depth: 3 n + 4, with n layers in each of 3 dense blocks. growth: k, channels that a layer
    adds. dropout: after each of them. With the defaults and 10 classes it has 1,019,722 parameters.
    """

    def __init__(
        self, classes: int, *, depth: int = 40, growth: int = 12, dropout: float = 0.2
    ) -> None:
        super().__init__()
        layers, rest = divmod(depth - 4, 3)
        if rest or layers < 1:
            raise ValueError(f"the depth of a DenseNet is 3 n + 4 (7, 10, ... 40), got {depth}")
        channels = 16
        parts: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1, bias=False)]
        for block in range(3):
            if block:
                parts += [
                    *_convolution(channels, channels, 1),
                    nn.Dropout(dropout),
                    nn.AvgPool2d(2),
                ]
            for _ in range(layers):
                parts.append(DenseLayer(channels, growth, dropout))
                channels += growth
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b a"]:
        """Logits."""
        return self.classifier(self.features(x).mean((2, 3)))


class DenseLayer(nn.Module):
    """Its input, and `growth` channels more."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convolution(channels, growth, 3))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        new = F.dropout(self.layers(x), self.dropout, self.training)
        return torch.cat([x, new], 1)


def _convolution(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    ]
