"""The two-stream lifter of Pham et al. 2019 (section 3.2): the joints of one picture to 3D.

Two networks of the same form are trained apart, one on exact 2D joints and one on a detector's, and
their answers are averaged. The paper gives no widths; they are those of Martinez et al., "A Simple
Yet Effective Baseline for 3D Human Pose Estimation", ICCV 2017, on which it builds. All that a file
of weights needs, the statistics of the training data too, is in the buffers of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from poseact.core.layouts import H36M17
from poseact.models.bounds import check_size

Normalisation = Literal["martinez", "screen", "box"]
Combine = Literal["mean", "det", "gt"]

ROOT = H36M17.root
_FLIP = list(H36M17.flip)
_NOSE = H36M17.index("nose")
_STD_FLOOR = 1e-3


@dataclass(frozen=True)
class LifterConfig:
    """Sizes of both streams, whose joints are those of H36M17.

    input_joints: 17, or 16 without the nose, which stacked hourglasses do not see. normalisation of
    the 2D joints: "martinez", px less the training data's mean, over its deviation; "screen", over
    the picture's width, as VideoPose3D has it; "box", over the person's own box, which needs no
    size of the picture. max_norm: bound on the norm of every weight matrix (1 in Martinez et al.,
    not in Pham et al.).
    """

    input_joints: Literal[16, 17] = 17
    normalisation: Normalisation = "screen"
    width: int = 1024
    blocks: int = 2
    dropout: float = 0.25
    max_norm: float | None = None

    def __post_init__(self) -> None:
        check_size(self)
        if min(self.width, self.blocks) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                "width and blocks are 1 or more, dropout is a share below 1, "
                f"got {self.width}, {self.blocks} and {self.dropout}"
            )


# ------------------------------------------------------------------------------- normalisation


def to_screen(xy: Float[Tensor, "*n 2"], size: Float[Tensor, "*#n 2"]) -> Float[Tensor, "*n 2"]:
    """Pixels to 2 xy / w - (1, h / w): x in [-1, 1] over the picture, y in the same unit.

    Pavllo et al. (VideoPose3D), CVPR 2019. size: (width, height) px.
    """
    return (2 * xy - size) / size[..., :1]


def from_screen(xy: Float[Tensor, "*n 2"], size: Float[Tensor, "*#n 2"]) -> Float[Tensor, "*n 2"]:
    """The pixels that `to_screen` moves there."""
    return (xy * size[..., :1] + size) / 2


def to_box(xy: Float[Tensor, "n j 2"]) -> Float[Tensor, "n j 2"]:
    """Joints over the square on their box, which is [-1, 1] both ways."""
    low, high = xy.amin(1, keepdim=True), xy.amax(1, keepdim=True)
    half = (high - low).amax(-1, keepdim=True) / 2
    return (xy - (low + high) / 2) / half.clamp(min=1e-6)


def normalise(
    xy: Float[Tensor, "n 17 2"], size: Float[Tensor, "n 2"] | None, config: LifterConfig
) -> Float[Tensor, "n d"]:
    """The numbers a stream is fed, before its own statistics: (N, 2 input_joints).

    ValueError if the normalisation is "screen" and the size of the picture is not given.
    """
    if config.normalisation == "screen":
        if size is None:
            raise ValueError("this lifter needs the width and height of the picture in px")
        xy = to_screen(xy, size[:, None])
    elif config.normalisation == "box":
        xy = to_box(xy)
    if config.input_joints == 16:
        xy = torch.cat([xy[:, :_NOSE], xy[:, _NOSE + 1 :]], 1)
    return xy.flatten(1)


# ------------------------------------------------------------------------------------ networks


class Residual(nn.Module):
    """Two layers and the identity about them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layer(width, width, dropout), *layer(width, width, dropout))

    def forward(self, x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        return x + self.layers(x)


def layer(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    """Linear, batch normalisation, SELU, dropout."""
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.SELU(), nn.Dropout(dropout)]


class Stream(nn.Module):
    """One stream: 2D joints to the 16 joints about the root, by residual layers.

    With 16 input joints and the default sizes it has 4,291,632 parameters. Its buffers hold mean
    and deviation of each input and each output over the training data.
    """

    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        inputs, outputs = 2 * config.input_joints, 3 * (len(H36M17) - 1)
        for name, n in (("input", inputs), ("output", outputs)):
            self.register_buffer(f"{name}_mean", torch.zeros(n))
            self.register_buffer(f"{name}_std", torch.ones(n))
        self.layers = nn.Sequential(
            *layer(inputs, config.width, config.dropout),
            *(Residual(config.width, config.dropout) for _ in range(config.blocks)),
            nn.Linear(config.width, outputs),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(
        self, xy: Float[Tensor, "n 17 2"], size: Float[Tensor, "n 2"] | None
    ) -> Float[Tensor, "n 48"]:
        """Normalised joints, as `target` makes them of known ones. xy, size: px."""
        points = normalise(xy, size, self.config)
        return self.layers((points - self.input_mean) / self.input_std)

    def target(self, xyz: Float[Tensor, "n 17 3"]) -> Float[Tensor, "n 48"]:
        """Root-relative mm without the root, less their mean, over their deviation."""
        return (_without_root(xyz) - self.output_mean) / self.output_std

    def to_mm(self, output: Float[Tensor, "n 48"]) -> Float[Tensor, "n 17 3"]:
        """Root-relative mm of normalised joints; undoes `target`."""
        joints = (output * self.output_std + self.output_mean).unflatten(1, (-1, 3))
        return torch.cat([joints[:, :ROOT], torch.zeros_like(joints[:, :1]), joints[:, ROOT:]], 1)

    @torch.no_grad()
    def learn_statistics(
        self,
        xy: Float[Tensor, "n 17 2"],
        size: Float[Tensor, "n 2"] | None,
        xyz: Float[Tensor, "n 17 3"],
    ) -> None:
        """Set the buffers from training data. Inputs keep their unit unless it is pixels."""
        if self.config.normalisation == "martinez":
            points = normalise(xy, size, self.config)
            self.input_mean.copy_(points.mean(0))
            self.input_std.copy_(points.std(0).clamp(min=_STD_FLOOR))
        joints = _without_root(xyz)
        self.output_mean.copy_(joints.mean(0))
        self.output_std.copy_(joints.std(0).clamp(min=_STD_FLOOR))

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Scale every weight matrix with a norm over `max_norm` down to it; after each step."""
        if self.config.max_norm is not None:
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    module.weight.mul_((self.config.max_norm / module.weight.norm()).clamp(max=1))


def _without_root(xyz: Tensor) -> Tensor:
    return torch.cat([xyz[:, :ROOT], xyz[:, ROOT + 1 :]], 1).flatten(1)


class Lifter(nn.Module):
    """Both streams: `gt` learned from exact 2D joints, `det` from a detector's."""

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        self.config = config
        self.gt, self.det = Stream(config), Stream(config)

    def forward(
        self,
        xy: Float[Tensor, "n 17 2"],
        size: Float[Tensor, "n 2"] | None = None,
        exact: Float[Tensor, "n 17 2"] | None = None,
        combine: Combine = "mean",
    ) -> Float[Tensor, "n 17 3"]:
        """Root-relative camera mm of joints (H36M17) in px.

        size: (width, height) of each picture in px; only "screen" needs it. combine: the mean of
        the streams, or one of them. exact: what the stream `gt` is fed instead of xy, where the
        exact 2D joints are known: the protocol behind the paper's 42.4 mm.
        """
        answers = []
        if combine != "det":
            answers.append(self.gt.to_mm(self.gt(xy if exact is None else exact, size)))
        if combine != "gt":
            answers.append(self.det.to_mm(self.det(xy, size)))
        return torch.stack(answers).mean(0)


# --------------------------------------------------------------------------------------- mirror


def mirror_2d(xy: Float[Tensor, "n 17 2"], width: Float[Tensor, "n"]) -> Float[Tensor, "n 17 2"]:
    """The joints of the mirrored picture, px, left and right exchanged."""
    return torch.stack([width[:, None] - xy[..., 0], xy[..., 1]], -1)[:, _FLIP]


def mirror_3d(xyz: Float[Tensor, "n 17 3"]) -> Float[Tensor, "n 17 3"]:
    """Root-relative mm seen in the mirror."""
    return (xyz * xyz.new_tensor([-1.0, 1.0, 1.0]))[:, _FLIP]


def lift_with_mirror(
    lifter: Lifter,
    xy: Float[Tensor, "n 17 2"],
    size: Float[Tensor, "n 2"] | None = None,
    combine: Combine = "mean",
) -> Float[Tensor, "n 17 3"]:
    """The mean of the answers to a picture and to its mirror image, as VideoPose3D tests.

    ValueError without a size, which tells where the mirror stands; "box" alone does not mind.
    """
    if size is None and lifter.config.normalisation != "box":
        raise ValueError(
            "this lifter needs the size of the picture in px, for its mirror image too"
        )
    width = xy.new_zeros(len(xy)) if size is None else size[:, 0]
    seen = lifter(xy, size, combine=combine)
    return (seen + mirror_3d(lifter(mirror_2d(xy, width), size, combine=combine))) / 2
