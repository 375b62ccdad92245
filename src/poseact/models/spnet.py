"""SPNet: the sequential pyramid network for pose and action.

Source: D. C. Luvizon, D. Picard, H. Tabia, "Multi-task Deep Learning for Real-Time 3D Human Pose
Estimation and Action Recognition", TPAMI 2020. Figures and equations named below are that paper's;
where its released code differs, the code is followed, since trained weights belong to it.

Modules bear the names of the original's layers, joined by dots instead of underscores.

    frames -> entry flow -> pyramid 1 (down) -> pyramid 2 (up) -> ... -> pyramid P
    each pyramid: at every level one prediction block = heat maps -> pose, fed back into the stream;
    action pyramids: pose and appearance of all frames -> one action prediction per block, refined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.bounds import check_size
from poseact.models.frames import FrameOutput, PoseActionNetwork
from poseact.models.layers import (
    Cells,
    ConvSame,
    ResidualUnit,
    SeparableConv,
    annotated_maps,
    batch_norm,
    expected_confidence,
    expected_depth,
    full_precision,
    joint_pool,
    max_confidence,
    max_pool_same,
    soft_argmax,
    spatial_softmax,
    window_sum_confidence,
)
from poseact.models.spnet_actions import ActionBlock
from poseact.models.stems import LightStem, PyramidStem, VGG16Stem


@dataclass(frozen=True)
class SPNetConfig:
    """What an SPNet is built from. Defaults are the paper's 2D pose network (P = 8, 256 px).

    joints, dim: 2 (u, v) or 3 (u, v, depth). actions: classes of each action data set, () for pose
    only. action_pyramids: 1-based pyramids that predict actions. image_div: input size over largest
    map. replica: action blocks read poses of their own ("decoupled", 3.3.4). exit: (pyramid,
    level) of the last block that exists, None for all. entry "light" is ours, not the paper's;
    "vgg16" (with batch norm: "vgg16_bn") is a 2024 report's, of entry_channels, None as published;
    "mobilenet_fpn" is MoveNet's feature extractor of entry_width, with entry_heads its heads as the
    first heat maps too. confidence "learnt" is a map read under the heat map. cell_centres: see
    `layers.grid`. appearance: features of a level's first visit, or the block's own (3.3.2).
    """

    joints: int = 16
    dim: Literal[2, 3] = 2
    actions: tuple[int, ...] = ()
    pyramids: int = 8
    action_pyramids: tuple[int, ...] = ()
    levels: int = 4
    kernel: tuple[int, int] = (5, 5)
    growth: int = 96
    image_div: int = 8
    sampling: Literal["pool", "conv"] = "pool"
    replica: bool = False
    pose_features: int = 128
    visual_features: int = 128
    alpha: float = 1.0
    entry: Literal["published", "light", "vgg16", "vgg16_bn", "mobilenet_fpn"] = "published"
    cell_centres: Cells = False
    confidence: Literal["window_sum", "max", "learnt"] = "window_sum"
    exit: tuple[int, int] | None = None
    entry_channels: int | None = None
    entry_width: float = 1.0
    entry_heads: bool = False
    appearance: Literal["first", "block"] = "first"

    def __post_init__(self) -> None:
        check_size(self)
        if self.image_div < 4 or self.image_div & (self.image_div - 1):
            raise ValueError(f"image_div is a power of two from 4 on, got {self.image_div}")
        if self.levels < 2 or self.pyramids < 1:
            raise ValueError(f"levels >= 2 and pyramids >= 1, got {self.levels}, {self.pyramids}")
        if bool(self.actions) != bool(self.action_pyramids):
            raise ValueError("actions and action_pyramids are both empty or both given")
        if self.action_pyramids and not 1 <= min(self.action_pyramids) <= self.pyramids:
            raise ValueError(
                f"action_pyramids are 1-based, up to {self.pyramids}; got {self.action_pyramids}"
            )
        vgg, fpn = self.entry in ("vgg16", "vgg16_bn"), self.entry == "mobilenet_fpn"
        if (vgg and self.image_div != 8) or (self.entry_channels and not vgg):
            raise ValueError(
                "vgg16 divides by 8 and only it takes entry_channels, got "
                f"{self.entry}, image_div {self.image_div}, entry_channels {self.entry_channels}"
            )
        deepest = self.image_div * 2 ** (self.levels - 1)
        if (fpn and (self.image_div > 8 or deepest > 32)) or (self.entry_heads and not fpn):
            raise ValueError(
                "mobilenet_fpn divides by 4 or 8, goes down to strides of 32, and only it has "
                f"entry_heads, got {self.entry}, image_div {self.image_div}, levels {self.levels}"
            )
        if self.exit is not None and self.exit not in _walk(self.pyramids, self.levels):
            raise ValueError(
                f"exit {self.exit} is not a block; there are {_walk(self.pyramids, self.levels)}"
            )

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(pyramid, level) of every prediction block, in order."""
        walk = _walk(self.pyramids, self.levels)
        return walk if self.exit is None else walk[: walk.index(self.exit) + 1]

    def channels(self, level: int) -> int:
        """Width of the stream at a level: growth more for every halving of the map."""
        entry = self.entry_channels or self.growth * (self.image_div.bit_length() - 1)
        return entry + self.growth * level


def _walk(pyramids: int, levels: int) -> tuple[tuple[int, int], ...]:
    down, up = range(1, levels), range(levels - 2, -1, -1)
    return tuple((n, i) for n in range(1, pyramids + 1) for i in (down if n % 2 else up))


# ------------------------------------------------------------------------------- entry flow


class EntryFlow(nn.Module):
    """The published stem (Fig. 2): 7x7 convolution and bottleneck residual units."""

    def __init__(self, config: SPNetConfig) -> None:
        super().__init__()
        g, conv = config.growth, config.sampling == "conv"
        self.pool = not conv
        self.conv1 = ConvSame(3, 64, (7, 7), stride=2)
        self.res0 = ResidualUnit(64, g, (3, 3), divide=2)
        self.res1 = ResidualUnit(g, 2 * g, (3, 3), divide=2)
        self.res2 = ResidualUnit(2 * g, 2 * g, (3, 3), divide=2)
        self.deeper = range(3, 2 * config.image_div.bit_length() - 3, 2)
        for k, n in enumerate(self.deeper, start=2):
            first = ResidualUnit(k * g, (k + 1) * g, (3, 3), stride=2 if conv else 1, divide=2)
            self.add_module(f"res{n}", first)
            self.add_module(f"res{n + 1}", ResidualUnit((k + 1) * g, (k + 1) * g, (3, 3), divide=2))

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C h w"]:
        x = self.res0(self.conv1(x))
        x = self.res2(self.res1(max_pool_same(x, (3, 3), (2, 2))))
        for n in self.deeper:
            x = max_pool_same(x, (2, 2), (2, 2)) if self.pool else x
            x = self.get_submodule(f"res{n + 1}")(self.get_submodule(f"res{n}")(x))
        return x


def _entry(config: SPNetConfig) -> nn.Module:
    if config.entry == "published":
        return EntryFlow(config)
    if config.entry == "mobilenet_fpn":
        channels = [config.channels(level) for level in range(config.levels)]
        return PyramidStem(
            channels,
            stride=config.image_div,
            width=config.entry_width,
            joints=config.joints if config.entry_heads else None,
        )
    if config.entry == "light":
        return LightStem(config.growth, config.image_div)
    return VGG16Stem(config.channels(0), norm=config.entry == "vgg16_bn")


# ------------------------------------------------------------------------------- pyramids


class ScaleUnit(nn.Module):
    """Goes one level down (DU) or up (UU), Fig. 3; `action_r0` refines the action stream there."""

    def __init__(
        self, config: SPNetConfig, source: int, target: int, *, action_features: int | None
    ) -> None:
        super().__init__()
        inputs, outputs = config.channels(source), config.channels(target)
        self.down, self.conv = target > source, config.sampling == "conv"
        if self.conv and not self.down:
            self.bn1 = batch_norm(inputs)
            self.convtrans1 = nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
            nn.init.xavier_uniform_(self.convtrans1.weight)
        else:
            stride = 2 if self.conv else 1
            self.r0 = ResidualUnit(inputs, outputs, config.kernel, stride=stride)
        self.action_r0 = (
            ResidualUnit(action_features, action_features, (3, 3)) if action_features else None
        )

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D H2 W2"]:
        if self.down:
            return self.r0(x if self.conv else max_pool_same(x, (2, 2), (2, 2)))
        if self.conv:
            return self.convtrans1(F.relu(self.bn1(x)))
        return self.r0(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Maps(NamedTuple):
    """Raw maps of one prediction block, for the pose and for the actions; what they are read of."""

    heat: Tensor
    depth: Tensor | None
    action_heat: Tensor
    action_depth: Tensor | None
    confidence: Tensor | None
    features: Tensor


class PredictionBlock(nn.Module):
    """Heat maps (and depth maps) from the stream, and their way back into it (Fig. 4, Eq. 4-10).

    The code feeds back the raw maps and extra learned forward maps, never the probabilities.
    """

    def __init__(self, config: SPNetConfig, channels: int, *, last: bool, replica: bool) -> None:
        super().__init__()
        j, c, deep = config.joints, channels, config.dim == 3
        self.r1 = ResidualUnit(c, c, config.kernel)
        self.bn1 = batch_norm(c)
        self.conv1 = SeparableConv(c, c, config.kernel)
        self.bn2 = batch_norm(c)
        self.heatmaps_conv1 = ConvSame(c, j)
        if config.entry_heads:
            nn.init.zeros_(self.heatmaps_conv1.weight)  # no correction yet
        self.depthmaps_conv1 = ConvSame(c, j) if deep else None
        self.confidence_conv1 = ConvSame(c, j) if config.confidence == "learnt" else None
        self.heatmaps_conv1_replica = ConvSame(c, j) if replica else None
        self.depthmaps_conv1_replica = ConvSame(c, j) if replica and deep else None
        self.heatmaps_fw_maps = None if last else ConvSame(c, j)
        self.heatmaps_conv2 = None if last else ConvSame(2 * j, c)
        self.depthmaps_conv2 = None if last or not deep else ConvSame(j, c)

    def forward(
        self, x: Float[Tensor, "N C h w"], first: Float[Tensor, "N J h w"] | float = 0.0
    ) -> tuple[Float[Tensor, "N C h w"], Maps]:
        """The stream and its maps; heat maps are corrections of `first`."""
        r = self.r1(x)
        s = self.conv1(F.relu(self.bn1(r)))
        a = F.relu(self.bn2(s))
        heat = self.heatmaps_conv1(a) + first
        depth = None if self.depthmaps_conv1 is None else self.depthmaps_conv1(a)
        replica, deep_replica = self.heatmaps_conv1_replica, self.depthmaps_conv1_replica
        maps = Maps(
            heat,
            depth,
            heat if replica is None else replica(a) + first,
            depth if deep_replica is None else deep_replica(a),
            None if self.confidence_conv1 is None else self.confidence_conv1(a),
            a,
        )
        if self.heatmaps_conv2 is None or self.heatmaps_fw_maps is None:
            return r + s, maps
        x = r + s + self.heatmaps_conv2(F.relu(torch.cat([self.heatmaps_fw_maps(a), heat], 1)))
        if self.depthmaps_conv2 is not None:
            x = x + self.depthmaps_conv2(depth)
        return x, maps

    def copy_replica(self) -> None:
        """Set the decoupled maps to the pose maps, as before a stage that trains them apart."""
        for name in ("heatmaps_conv1", "depthmaps_conv1"):
            copy = getattr(self, f"{name}_replica")
            if copy is not None:
                copy.load_state_dict(getattr(self, name).state_dict())


# ------------------------------------------------------------------------------- the network


class SPNet(PoseActionNetwork):
    """The whole network. Frames and clips of any T and any size that divides by `stride`.

    `frames` does all that a single frame needs, `actions` the rest for clips of T frames; a clip
    never depends on its batch neighbours in eval mode.
    """

    def __init__(self, config: SPNetConfig) -> None:
        super().__init__()
        self.config = config
        self.entry = _entry(config)
        acting = self.action_exits
        width = max(config.pose_features, config.visual_features)
        for n, i in config.blocks:
            level = i - 1 if n % 2 else i + 1  # where the stream comes from
            act = acting.index((n, i)) + 1 if (n, i) in acting else 0
            c, last = config.channels(i), (n, i) == config.blocks[-1]
            refine = width if act > 1 else None
            self.add_module(_unit(n, i), ScaleUnit(config, level, i, action_features=refine))
            block = PredictionBlock(config, c, last=last, replica=config.replica and act > 0)
            self.add_module(_block(n, i), block)
            if act:
                head = ActionBlock(
                    config.dim,
                    c,
                    config.actions,
                    pose_features=config.pose_features,
                    visual_features=config.visual_features,
                    first=act == 1,
                    last=act == len(acting),
                )
                self.add_module(f"act{act}", head)

    @property
    def exits(self) -> tuple[tuple[int, int], ...]:
        """(pyramid, level) of every block this network can be cut at, in order."""
        return self.config.blocks

    @property
    def action_exits(self) -> tuple[tuple[int, int], ...]:
        """The exits at which an action block reads, in order."""
        return tuple(b for b in self.config.blocks if b[0] in self.config.action_pyramids)

    @property
    def stride(self) -> int:
        """Height and width of the input are multiples of this."""
        least = 32 if self.config.entry == "mobilenet_fpn" else 1
        return max(self.config.image_div * 2 ** (self.config.levels - 1), least)

    def frames(
        self, x: Float[Tensor, "N 3 H W"], annotated: Float[Tensor, "N J D"] | None = None
    ) -> FrameOutput:
        """Everything that concerns single frames; ValueError if the size does not divide.

        annotated: poses that the features are taken from, as in `forward`.
        """
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(
                f"height and width must be multiples of {self.stride}, got {tuple(x.shape[-2:])}"
            )
        cfg = self.config
        out = FrameOutput([], [], [], (), [])
        entered = self.entry(x)
        stream, first = entered if isinstance(entered, tuple) else ([entered], [])
        x = stream[0]
        laterals: list[Tensor | None] = [*stream] + [None] * (cfg.levels - len(stream))
        # Appearance is read where a level is first visited, before the lateral sum: the released
        # code does so, the text (3.3.2) speaks of the block's own features, Z of Eq. 5.
        appearance: list[Tensor | None] = [x] + [None] * (cfg.levels - 1)
        features: list[Tensor] = []
        here = 0
        for n, i in cfg.blocks:
            if n != here:
                x, here = cast(Tensor, laterals[0 if n % 2 else cfg.levels - 1]), n
            x = self.get_submodule(_unit(n, i))(x)
            appearance[i] = x if appearance[i] is None else appearance[i]
            lateral = laterals[i]
            x = x if lateral is None else x + lateral
            x, maps = self.get_submodule(_block(n, i))(x, *first[i : i + 1])
            laterals[i] = x
            if self.answer_only and (n, i) != cfg.blocks[-1] and n not in cfg.action_pyramids:
                continue
            prob, pose, score = self._read(maps.heat, maps.depth, maps.confidence)
            out.poses.append(pose)
            out.scores.append(score)
            out.heatmaps.append(maps.heat)
            if n in cfg.action_pyramids:
                if cfg.replica:
                    prob, pose, score = self._read(
                        maps.action_heat, maps.action_depth, maps.confidence
                    )
                    out.decoupled.append((pose, score, maps.action_heat))
                if annotated is not None:
                    prob, pose, score = annotated_maps(
                        annotated, prob, cell_centres=cfg.cell_centres
                    )
                own = maps.features if cfg.appearance == "block" else appearance[i]
                features += [pose * score[..., None], joint_pool(prob, cast(Tensor, own))]
        return out._replace(features=tuple(features))

    @full_precision
    def _read(
        self, heat: Tensor, depth: Tensor | None, sure: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Probability maps, pose (N, J, D) and confidence (N, J) from raw maps."""
        prob = spatial_softmax(heat, self.config.alpha)
        pose = soft_argmax(prob, cell_centres=self.config.cell_centres)
        if depth is not None:
            pose = torch.cat([pose, expected_depth(prob, depth)[..., None]], -1)
        if sure is not None:
            return prob, pose, expected_confidence(prob, sure)
        sums = self.config.confidence == "window_sum"
        return prob, pose, (window_sum_confidence if sums else max_confidence)(prob)

    def actions(self, features: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Logits (B, A) of each action block and action set, of features (B, T, J, ...)."""
        cfg = self.config
        laterals: list[Tensor | None] = [None] * cfg.levels
        xa: Tensor | None = None
        logits: list[tuple[Tensor, ...]] = []
        here = 0
        for n, i in cfg.blocks:
            if n != here:
                xa, here = laterals[0 if n % 2 else cfg.levels - 1], n
            if n in cfg.action_pyramids:
                k = len(logits)
                if xa is not None:
                    refined = self.get_submodule(f"{_unit(n, i)}.action_r0")(xa)
                    lateral = laterals[i]
                    xa = refined if lateral is None else refined + lateral
                act = self.get_submodule(f"act{k + 1}")
                xa, predicted = act(features[2 * k], features[2 * k + 1], xa)
                logits.append(predicted)
            # A pyramid without actions passes the action stream on unchanged, as the original does.
            laterals[i] = xa
        return logits

    def copy_replica(self) -> None:
        """Start the decoupled poses from the pose maps (released code: before each stage)."""
        for module in self.modules():
            if isinstance(module, PredictionBlock):
                module.copy_replica()

    def cut(self, pyramid: int, level: int) -> SPNet:
        """A smaller network that ends at a block and gives that block's numbers."""
        small = SPNet(
            replace(self.config, exit=(pyramid, level), **self._actions_left(pyramid, level))
        )
        mine = self.state_dict()
        small.load_state_dict({name: mine[name] for name in small.state_dict()})
        return small.to(next(self.parameters()).device).train(self.training)

    def _actions_left(self, pyramid: int, level: int) -> dict[str, tuple[int, ...]]:
        walk = self.config.blocks
        if (pyramid, level) not in walk:
            raise ValueError(f"no block ({pyramid}, {level}) to cut at; there are {walk}")
        kept = walk[: walk.index((pyramid, level)) + 1]
        left = tuple(p for p in self.config.action_pyramids if p in {n for n, _ in kept})
        return {"action_pyramids": left, "actions": self.config.actions if left else ()}


def _unit(pyramid: int, level: int) -> str:
    return f"dp{pyramid}_du{level}" if pyramid % 2 else f"up{pyramid}_uu{level}"


def _block(pyramid: int, level: int) -> str:
    return f"dp{pyramid}_pb{level}" if pyramid % 2 else f"up{pyramid}_pb{level}"


# ------------------------------------------------------------------------------- published builders

_PENN = SPNetConfig(actions=(15,), pose_features=160, visual_features=160, action_pyramids=(1, 2))
_NTU = SPNetConfig(
    joints=17, dim=3, actions=(60,), pose_features=192, visual_features=192, action_pyramids=(1, 2)
)

PUBLISHED: dict[str, SPNetConfig] = {
    # single frames: 2D (PA16) and 3D (PA17), P = 8
    "pose2d": SPNetConfig(),
    "pose3d": SPNetConfig(joints=17, dim=3),
    # Penn Action, 15 actions: released training and evaluation, speed test, the text's P = 8, and
    # the count nearest to the 26 M of Table 4
    "penn_p2": replace(_PENN, pyramids=2),
    "penn_eval": replace(_PENN, pyramids=6, action_pyramids=(5, 6), replica=True),
    "penn_speed": replace(_PENN, pyramids=6, action_pyramids=(1, 2, 3, 4, 5, 6), replica=True),
    "penn_paper": replace(_PENN, action_pyramids=(5, 6, 7, 8), replica=True),
    "penn_two_action_pyramids": replace(_PENN, action_pyramids=(5, 6)),
    # NTU RGB+D, 60 actions: released training and evaluation, the text's P = 8
    "ntu_p2": replace(_NTU, pyramids=2),
    "ntu_paper": replace(_NTU, action_pyramids=(5, 6, 7, 8)),
}
"""Configurations of the paper and its released code, for 256 px and T = 8."""
