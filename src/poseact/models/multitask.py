"""The multitask network: 2D or volumetric 3D pose, and actions from pose and appearance.

Source: D. C. Luvizon, D. Picard, H. Tabia, "2D/3D Pose Estimation and Action Recognition using
Multitask Deep Learning", CVPR 2018, and its supplement. Equations and figures are theirs; where the
released code differs it is followed, since trained weights belong to it.

    frames -> stem -> K prediction blocks: reception -> maps -> pose, fed back into the stream
    last block's pose, and block 1's features under its heat maps -> actions (multitask_actions)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.models.bounds import check_size
from poseact.models.frames import FrameOutput, PoseActionNetwork
from poseact.models.layers import (
    Cells,
    ConvSame,
    SeparableConv,
    annotated_maps,
    full_precision,
    grid,
    joint_pool,
    sigmoid_max_confidence,
    soft_argmax,
    spatial_softmax,
    window_sum_confidence,
)
from poseact.models.multitask_actions import ActionBlock, MergedActions, PoseActions
from poseact.models.stems import ConvNorm, InceptionStem, SeparableResidual, VGG16Stem


@dataclass(frozen=True)
class MultitaskConfig:
    """What a multitask network is built from. Defaults are the paper's 2D pose network (K = 8).

    joints, dim: 2 (u, v) or 3 (u, v, depth). actions: (classes,) or () for pose only; one set.
    blocks: K. contexts, alpha: context maps per joint and the weight of the joint's own map, 2D
    only. depth_maps, depth_centres: N_d, and whether their depths are cell centres (code line
    `master`) or reach from 0 to 1 (`cvpr18`, and its weights), 3D only.
    stem_channels: width of the stream; None: 576, for "inception_old" 512.
    confidence: 2D only: "sigmoid_max" is the paper's and `cvpr18`'s, "window_sum_raw" `master`'s,
    unbounded. sharpness: factor on the maps whose confidence is taken; the action networks of the
    released code have 4 in 2D and 2 in 3D. cell_centres: see `layers.grid`.
    pose_branch: v1 (112 features), v2 (224), or the "text"'s half of the appearance's 256.
    weighted_merge: learned weights in the aggregation of maps; merge "fully_connected" is the
    text's layer on both branches' logits instead. appearance: read after block 1's reception, as in
    the code, or at the end of the "stem", as the text has it.
    """

    joints: int = 16
    dim: Literal[2, 3] = 2
    actions: tuple[int, ...] = ()
    blocks: int = 8
    kernel: tuple[int, int] = (5, 5)
    contexts: int = 2
    alpha: float = 0.8
    depth_maps: int = 16
    depth_centres: bool = False
    stem: Literal["inception", "inception_old", "vgg16", "vgg16_bn"] = "inception"
    stem_channels: int | None = None
    confidence: Literal["sigmoid_max", "window_sum_raw"] = "sigmoid_max"
    sharpness: float = 1.0
    pose_branch: Literal["v1", "v2", "text"] = "v1"
    weighted_merge: bool = True
    action_blocks: int = 4
    cell_centres: Cells = False
    merge: Literal["maps", "fully_connected"] = "maps"
    appearance: Literal["reception", "stem"] = "reception"

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.action_blocks < 1:
            raise ValueError(
                f"blocks and action_blocks are at least 1, got {self.blocks}, {self.action_blocks}"
            )
        if len(self.actions) > 1:
            raise ValueError(f"a multitask network has one action set, got {self.actions}")
        if self.width % 2:
            raise ValueError(f"stem_channels is even, got {self.width}")
        if self.dim == 3 and self.depth_maps < 2:
            raise ValueError(f"depth_maps is at least 2, got {self.depth_maps}")
        check_size(self)

    @property
    def width(self) -> int:
        """Channels of the stream."""
        return self.stem_channels or (512 if self.stem == "inception_old" else 576)

    @property
    def maps(self) -> int:
        """Heat maps of a prediction block: (1 + contexts) J in 2D, N_d J in 3D."""
        return self.joints * (1 + self.contexts if self.dim == 2 else self.depth_maps)


# ------------------------------------------------------------------------------- pose


class Reception(nn.Module):
    """The multi-resolution part of a prediction block (supplement Fig. 3); width in = width out."""

    def __init__(self, width: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        half = width // 2
        self.l1 = SeparableResidual(width, width, kernel)
        self.reduce = ConvNorm(width, half)
        self.l2_1 = SeparableResidual(half, half, kernel)
        self.l2_2 = SeparableResidual(half, half, kernel)
        self.l2_3 = SeparableResidual(half, width, kernel)
        self.l3_1 = SeparableResidual(half, half, kernel)
        self.l3_2 = SeparableResidual(half, half, kernel)
        self.l3_3 = SeparableResidual(half, half, kernel)

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        half = self.l2_1(self.reduce(F.max_pool2d(x, 2)))
        quarter = self.l3_3(self.l3_2(self.l3_1(F.max_pool2d(half, 2))))
        half = self.l2_3(self.l2_2(half) + _double(quarter))
        return self.l1(x) + _double(half)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class PredictionBlock(nn.Module):
    """Reception, heat maps, and their way back into the stream (Fig. 2, supplement Fig. 3)."""

    def __init__(self, config: MultitaskConfig, *, last: bool) -> None:
        super().__init__()
        width = config.width
        self.reception = Reception(width, config.kernel)
        self.conv = ConvNorm(width, width, config.kernel, separable=True)
        self.maps = ConvSame(width, config.maps)
        self.remap = None if last else ConvNorm(config.maps, width)

    def forward(
        self, x: Float[Tensor, "N C h w"]
    ) -> tuple[Float[Tensor, "N C h w"], Float[Tensor, "N M h w"], Float[Tensor, "N C h w"]]:
        """The stream, the raw maps, and the features they are read from (the reception's)."""
        features = self.reception(x)
        x = self.conv(features)
        maps = self.maps(F.relu(x))
        x = features + x
        return x if self.remap is None else x + self.remap(maps), maps, features


def volume_confidence(volume: Float[Tensor, "*b Nd H W"]) -> Float[Tensor, "*b"]:
    """Confidence of a joint from its raw volume: sigmoid of the best cell plus the best depth."""
    return (volume.mean(-3).amax((-2, -1)) + volume.mean((-2, -1)).amax(-1)).sigmoid()


def aggregate_context(
    own: Float[Tensor, "*b J 2"],
    context: Float[Tensor, "*b J Nc 2"],
    weight: Float[Tensor, "*b J Nc"],
    alpha: float,
) -> Float[Tensor, "*b J 2"]:
    """alpha times the joint's own estimate, the rest from its context maps.

    As in the authors' earlier work that the paper builds on; it leaves this out, the code does not.
    """
    around = (weight[..., None] * context).sum(-2) / weight.sum(-1, keepdim=True)
    return alpha * own + (1 - alpha) * around


# ------------------------------------------------------------------------------- the network


class Multitask(PoseActionNetwork):
    """The whole network. Frames and clips of any T and any size that divides by `stride`.

    Actions are a list of one-tuples: of the pose blocks, of the appearance blocks, and merged; the
    last is the answer. A clip never depends on its batch neighbours in eval mode.
    """

    depth_grid: Tensor
    stride = 32
    """Height and width of the input are multiples of this."""

    def __init__(self, config: MultitaskConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = _stem(config)
        self.blocks = nn.ModuleList(
            PredictionBlock(config, last=b == config.blocks) for b in range(1, config.blocks + 1)
        )
        depths = grid(config.depth_maps, cell_centres=config.depth_centres)
        # Published files bring their own depths, so they are stored with the weights.
        self.register_buffer("depth_grid", depths if config.dim == 3 else None)
        self.action_head = (
            MergedActions(
                config.dim,
                config.width,
                config.actions[0],
                version=config.pose_branch,
                weighted=config.weighted_merge,
                fully_connected=config.merge == "fully_connected",
                blocks=config.action_blocks,
            )
            if config.actions
            else None
        )

    @property
    def exits(self) -> tuple[tuple[int, int], ...]:
        """(block, 0) for every block this network can be cut at, in order."""
        return tuple((b, 0) for b in range(1, self.config.blocks + 1))

    @property
    def action_exits(self) -> tuple[tuple[int, int], ...]:
        """The exits whose pose is read for actions: the last one."""
        return self.exits[-1:] if self.config.actions else ()

    @property
    def answers(self) -> tuple[str, ...]:
        """What each entry of `actions` is of: blocks of two branches, and both merged."""
        if self.action_head is None:
            return ()
        numbers = range(1, self.config.action_blocks + 1)
        branches = (f"{branch} {n}" for branch in ("pose", "appearance") for n in numbers)
        return (*branches, "both")

    def frames(
        self, x: Float[Tensor, "N 3 H W"], annotated: Float[Tensor, "N J D"] | None = None
    ) -> FrameOutput:
        """Everything that concerns single frames; ValueError if the size does not divide.

        annotated: poses that the features are taken from, as in `forward`.
        """
        out = FrameOutput([], [], [], (), [])
        x = self._stem(x)
        look = x if self.config.appearance == "stem" else None
        for block in self.blocks:
            x, maps, features = block(x)
            look = features if look is None else look
            if self.answer_only and block is not self.blocks[-1]:
                continue
            heat, pose, score = self._read(maps)
            out.poses.append(pose)
            out.scores.append(score)
            out.heatmaps.append(heat)
        if self.action_head is None:
            return out
        prob, pose, score = spatial_softmax(out.heatmaps[-1]), out.poses[-1], out.scores[-1]
        if annotated is not None:
            cells = self.config.cell_centres
            prob, pose, score = annotated_maps(annotated, prob, cell_centres=cells)
        seen = joint_pool(prob, cast(Tensor, look))  # Fig. 6
        return out._replace(features=(pose * score[..., None], seen))

    def features(self, x: Float[Tensor, "N 3 H W"], block: int) -> Float[Tensor, "N C h w"]:
        """Visual features of a block, counted from 1 (the original's `export_vfeat_block`)."""
        if not 1 <= block <= self.config.blocks:
            raise ValueError(f"block is 1 to {self.config.blocks}, got {block}")
        x = self._stem(x)
        for before in self.blocks[: block - 1]:
            x, _, _ = before(x)
        return cast(PredictionBlock, self.blocks[block - 1]).reception(x)

    def actions(self, features: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Logits (B, A) of every action block and merged, of features (B, T, J, ...)."""
        if self.action_head is None:
            return []
        return [(logits,) for logits in self.action_head(*features)]

    def cut(self, block: int, level: int = 0) -> Multitask:
        """A smaller network that ends at a block and gives that block's numbers.

        Actions stay only at the last block, whose pose they were trained on.
        """
        if (block, level) not in self.exits:
            raise ValueError(f"no block ({block}, {level}) to cut at; there are {self.exits}")
        kept = self.config.actions if block == self.config.blocks else ()
        small = Multitask(replace(self.config, blocks=block, actions=kept))
        mine = self.state_dict()
        small.load_state_dict({name: mine[name] for name in small.state_dict()})
        return small.to(next(self.parameters()).device).train(self.training)

    def _stem(self, x: Tensor) -> Tensor:
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(
                f"height and width must be multiples of {self.stride}, got {tuple(x.shape[-2:])}"
            )
        return self.stem(x)

    @full_precision
    def _read(self, maps: Float[Tensor, "N M h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Heat maps (N, J, h, w), pose (N, J, D) and confidence (N, J) from raw maps."""
        return self._read_volume(maps) if self.config.dim == 3 else self._read_plane(maps)

    def _read_plane(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cfg = self.config
        confidence = (
            sigmoid_max_confidence if cfg.confidence == "sigmoid_max" else window_sum_confidence
        )
        heat, context = maps[:, : cfg.joints], maps[:, cfg.joints :]
        pose = soft_argmax(spatial_softmax(heat), cell_centres=cfg.cell_centres)
        if cfg.contexts:
            context = context.unflatten(1, (cfg.joints, cfg.contexts))  # N J Nc h w
            around = soft_argmax(spatial_softmax(context), cell_centres=cfg.cell_centres)
            pose = aggregate_context(pose, around, confidence(context), cfg.alpha)
        return heat, pose, confidence(cfg.sharpness * heat)

    def _read_volume(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cfg = self.config
        volume = maps.unflatten(1, (cfg.depth_maps, cfg.joints)).transpose(1, 2)  # N J Nd h w
        heat, along = volume.mean(2), volume.mean((-2, -1))
        uv = soft_argmax(spatial_softmax(heat), cell_centres=cfg.cell_centres)
        depth = along.softmax(-1) @ self.depth_grid  # Fig. 4
        pose = torch.cat([uv, depth[..., None]], -1)
        return heat, pose, volume_confidence(cfg.sharpness * volume)


def _stem(config: MultitaskConfig) -> nn.Module:
    if config.stem in ("vgg16", "vgg16_bn"):
        return VGG16Stem(config.width, norm=config.stem == "vgg16_bn")
    return InceptionStem(config.width, thin=config.stem == "inception_old")


# ------------------------------------------------------------------------------- published builders

_MERGE = MultitaskConfig(blocks=4, actions=(15,), sharpness=4.0)

PUBLISHED: dict[str, MultitaskConfig] = {
    # pose: MPII (2D, PA16) and Human3.6M (3D, PA17), K = 8
    "mpii_k8": MultitaskConfig(),
    "h36m_k8": MultitaskConfig(joints=17, dim=3),
    # the newer code line around the same 2D weights
    "mpii_k8_master": MultitaskConfig(confidence="window_sum_raw"),
    # pose and action, K = 4: Penn Action (T = 16) and NTU RGB+D (PA20, T = 20)
    "penn_k4": _MERGE,
    "ntu_k4": replace(
        _MERGE, joints=20, dim=3, depth_maps=8, actions=(60,), sharpness=2.0, pose_branch="v2"
    ),
}
"""Configurations of the paper and its released code, for 256 px."""

# ------------------------------------------------------------------------------- the original files

KerasLayers = list[tuple[str, nn.Module]]


def keras_groups(model: Multitask | PoseActions) -> dict[str, KerasLayers]:
    """The layers of every group of the original's weight file, in the order of Keras 2.1.4.

    Kinds and their tensors: "conv" one kernel; "separable" depthwise and pointwise kernel; "bn"
    beta | moving mean, variance; "depth_grid" one (N_d, J, J) kernel whose diagonals are the
    model's `depth_grid`. In a group all that Keras trains comes before the moving moments. Groups
    of frozen constants only (sSAM, cSAM, Agg) have no layers here. The two weights of the merge
    are called separable_conv2d_N in a file; here N is 1 (pose) and 2 (appearance), their order.
    A PoseActions alone gives one group, PoseAR, whose layers a file lists as groups of their own.
    ValueError for stems that the original's files do not have.
    """
    if isinstance(model, PoseActions):
        return {"PoseAR": _pose_actions(model)}
    cfg, head = model.config, model.action_head
    if not isinstance(model.stem, InceptionStem) or (
        head is not None and cfg.stem == "inception_old"
    ):
        raise ValueError(f"no Keras file has the stem {cfg.stem} with actions {cfg.actions}")
    blocks = [cast(PredictionBlock, block) for block in model.blocks]
    groups: dict[str, KerasLayers] = {}
    if head is None:
        groups |= _stem_groups(model.stem, old=cfg.stem == "inception_old")
        for b, block in enumerate(blocks, start=1):
            groups[f"rBlock{b}"] = _reception(block.reception)
            groups[f"SepConv{b}"] = _in_turn(block.conv)
            groups[f"RegMap{b}"] = [("conv", block.maps)]
            if block.remap is not None:
                groups[f"fReMap{b}"] = _in_turn(block.remap)
    else:
        groups["td_Stem"] = _stem_groups(model.stem, old=False)["Stem"]
        groups["td_rBlock1"] = _reception(blocks[0].reception)
        every = [layer for block in blocks for layer in _block(block)]
        groups["td_Model1"] = every[len(groups["td_rBlock1"]) :]
    groups["sSAM"] = []
    if cfg.dim == 3:
        groups["zSAM"] = [("depth_grid", model)]
    elif cfg.contexts:
        groups |= {"cSAM": [], "Agg": []}
    if head is not None:
        groups["PoseAR"] = _pose_actions(head.pose)
        groups["GuidedVisAR"] = _in_turn(head.visual.conv) + _action_blocks(head.visual.blocks)
        if cfg.weighted_merge:
            groups["separable_conv2d_1"] = [("separable", head.weigh_pose)]
            groups["separable_conv2d_2"] = [("separable", head.weigh_visual)]
    return groups


def _in_turn(*layers: ConvNorm | None) -> KerasLayers:
    """One after the other: convolution, normalisation, convolution, ..."""
    return [pair for layer in layers if layer is not None for pair in _side_by_side(layer)]


def _side_by_side(*layers: ConvNorm | None) -> KerasLayers:
    """Parallel branches, which Keras lists by depth: first the convolutions, then the norms."""
    there = [layer for layer in layers if layer is not None]
    convs = [
        ("separable" if isinstance(layer.conv, SeparableConv) else "conv", layer.conv)
        for layer in there
    ]
    return [*convs, *(("bn", layer.norm) for layer in there)]


def _stem_groups(stem: InceptionStem, *, old: bool) -> dict[str, KerasLayers]:
    layers = _in_turn(stem.conv1, stem.conv2, stem.conv3, stem.down1, stem.long1, stem.long2)
    layers += _side_by_side(stem.short1, stem.long3) + _side_by_side(stem.short2, stem.long4)
    layers += _in_turn(stem.down2)
    last = _side_by_side(stem.sepconv1.shortcut, stem.sepconv1.conv)
    if not old:
        return {"Stem": layers + last}
    # `old_model` builds the last unit outside of the stem, layer by layer.
    names = [f"sepconv1{end}" for end in ("_shortcut_conv", "_conv", "_shortcut", "")]
    return {"Stem": layers} | {name: [layer] for name, layer in zip(names, last)}


def _reception(r: Reception) -> KerasLayers:
    layers = _in_turn(r.reduce, r.l2_1.conv, r.l3_1.conv, r.l3_2.conv)
    layers += _side_by_side(r.l3_3.conv, r.l2_2.conv)
    return layers + _side_by_side(r.l2_3.shortcut, r.l2_3.conv, r.l1.conv)


def _block(block: PredictionBlock) -> KerasLayers:
    layers = _reception(block.reception) + _in_turn(block.conv) + [("conv", block.maps)]
    return layers + _in_turn(block.remap)


def _pose_actions(p: PoseActions) -> KerasLayers:
    layers = _side_by_side(p.time, p.near, p.wide) + _in_turn(p.long1)
    return layers + _side_by_side(p.short, p.long2) + _action_blocks(p.blocks)


def _action_blocks(blocks: nn.ModuleList) -> KerasLayers:
    layers: KerasLayers = []
    for module in blocks:
        block = cast(ActionBlock, module)
        layers += _in_turn(block.reduce, block.expand, block.conv)
        layers += [("conv", block.maps), *_in_turn(block.remap)]
    return layers
