"""What a network of the original project was built from, in the terms of this package.

Two ways to know it: the arguments its author built it with (a small JSON file), or the names and
shapes of the tensors in its weight file. Shapes do not tell the factor before the softmax (taken
as 1), the length of the clips, the weight of the context maps (0.8), or how maps are halved where
a network never goes up again (by pooling).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from poseact.core.layouts import LAYOUTS
from poseact.core.reading import read_json
from poseact.models.multitask import MultitaskConfig
from poseact.models.original.hdf5 import Groups, Layer
from poseact.models.spnet import SPNetConfig

# Arguments of the original's builders and their defaults; REQUIRED ones have none. What only adds
# outputs, or says what is trained, changes nothing here.
REQUIRED = object()
SPNET = {
    "input_shape": REQUIRED,
    "poselayout": "pa16j2d",
    "num_actions": (),
    "num_pyramids": 8,
    "action_pyramids": (1, 2),
    "num_levels": 4,
    "kernel_size": (5, 5),
    "growth": 96,
    "image_div": 8,
    "downsampling_type": "maxpooling",
    "pose_replica": False,
    "num_pose_features": 128,
    "num_visual_features": 128,
    "sam_alpha": 1,
    "dbg_decoupled_pose": False,
}
RECEPTION = {
    "input_shape": REQUIRED,
    "num_joints": REQUIRED,
    "dim": REQUIRED,
    "num_context_per_joint": None,
    "alpha": 0.8,
    "num_blocks": 4,
    "depth_maps": 16,
    "ksize": (3, 3),
    "export_heatmaps": False,
    "old_model": False,
    "concat_pose_confidence": True,
}
MERGE = {
    "num_actions": REQUIRED,
    "num_frames": REQUIRED,
    "pose_dim": 2,
    "depth_maps": 8,
    "num_context_per_joint": 2,
    "pose_net_version": "v1",
    "output_poses": False,
    "weighted_merge": True,
    "full_trainable": False,
}
SHARPNESS = {2: 4.0, 3: 2.0}
"""Factor on the maps whose confidence the action networks take, 2D and 3D."""


@dataclass(frozen=True)
class Blueprint:
    """A network of the original project.

    config: of our network. layout: name of the joint layout, or `JOINTS12` and the like for none.
    size: (h, w) px. frames: of a clip, 1 for stills, None where that is unknown.
    """

    config: SPNetConfig | MultitaskConfig
    layout: str
    size: tuple[int, int]
    frames: int | None


def _layout(joints: int) -> str:
    name = f"PA{joints}"
    return name if name in LAYOUTS else f"JOINTS{joints}"


def _dim(value: object) -> Literal[2, 3]:
    if value not in (2, 3):
        raise ValueError(f"poses have 2 or 3 dimensions, got {value!r}")
    return cast(Literal[2, 3], value)


# ------------------------------------------------------------------------------- from arguments


def read_constructor(path: str | Path) -> dict[str, Any]:
    """The constructor's arguments from a JSON file, which may hold other things beside them.

    FileNotFoundError if there is none; ValueError if it does not say what to build.
    """
    data = read_json(path)
    inside = data if isinstance(data, dict) else {}
    for found in (inside, inside.get("constructor"), inside.get("args")):
        if isinstance(found, dict) and "kind" in found:
            return found
    raise ValueError(f"{path} does not say what to build: no 'constructor' with a 'kind'")


def from_constructor(constructor: Mapping[str, Any]) -> Blueprint:
    """The network that the original builds from such arguments.

    `kind` is spnet (`args`), reception (`branch`, `args`) or merge (`branch`, `pose_args`,
    `merge_args`). ValueError for other kinds and for arguments that are unknown or missing.
    """
    kind = constructor.get("kind")
    branch = constructor.get("branch", "cvpr18")
    try:
        if kind == "spnet":
            return _spnet(_arguments(constructor["args"], SPNET))
        if kind == "reception":
            return _reception(_arguments(constructor["args"], RECEPTION), branch)
        if kind == "merge":
            pose = _arguments(constructor["pose_args"], RECEPTION)
            return _merge(pose, _arguments(constructor["merge_args"], MERGE), branch)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the arguments of this {kind} cannot be read ({error})") from error
    raise ValueError(f"a {kind!r} is no whole network; spnet, reception and merge are")


def _arguments(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """`given` over the defaults, lists as tuples."""
    strange = sorted(set(given) - set(known))
    if strange:
        raise ValueError(f"unknown arguments {', '.join(strange)}; there are {', '.join(known)}")
    missing = [name for name in known if known[name] is REQUIRED and name not in given]
    if missing:
        raise ValueError(f"missing arguments {', '.join(missing)}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in {**known, **given}.items()}


def _spnet(args: dict[str, Any]) -> Blueprint:
    shape, layout = args["input_shape"], args["poselayout"]
    if isinstance(layout, str):
        named = re.fullmatch(r"pa(\d+)j([23])d", layout)
        if named is None:
            raise ValueError(
                f"unknown poselayout {layout!r}; pa16j2d and the like, or [joints, dim]"
            )
        joints, dim, name = int(named[1]), int(named[2]), _layout(int(named[1]))
    else:
        joints, dim = layout
        name = f"JOINTS{joints}"
    acting = tuple(n for n in args["action_pyramids"] if n <= args["num_pyramids"])
    acting = acting if args["num_actions"] else ()
    config = SPNetConfig(
        joints=joints,
        dim=_dim(dim),
        actions=args["num_actions"] if acting else (),
        pyramids=args["num_pyramids"],
        action_pyramids=acting,
        levels=args["num_levels"],
        kernel=args["kernel_size"],
        growth=args["growth"],
        image_div=args["image_div"],
        sampling="pool" if args["downsampling_type"] == "maxpooling" else "conv",
        replica=args["pose_replica"] and bool(acting),
        pose_features=args["num_pose_features"],
        visual_features=args["num_visual_features"],
        alpha=float(args["sam_alpha"]),
    )
    return Blueprint(config, name, shape[-3:-1], shape[0] if len(shape) == 4 else 1)


def _reception(args: dict[str, Any], branch: str) -> Blueprint:
    contexts = args["num_context_per_joint"]
    config = MultitaskConfig(
        joints=args["num_joints"],
        dim=_dim(args["dim"]),
        blocks=args["num_blocks"],
        kernel=args["ksize"],
        contexts=2 if contexts is None else contexts,
        alpha=args["alpha"],
        depth_maps=args["depth_maps"],
        depth_centres=branch == "master",
        stem="inception_old" if args["old_model"] else "inception",
        confidence="window_sum_raw" if branch == "master" else "sigmoid_max",
    )
    return Blueprint(config, _layout(config.joints), args["input_shape"][-3:-1], 1)


def _merge(pose: dict[str, Any], merge: dict[str, Any], branch: str) -> Blueprint:
    stills = _reception(pose, branch)
    config = replace(
        stills.config,
        alpha=0.8,  # the original's merge has no other
        actions=(merge["num_actions"],),
        sharpness=SHARPNESS[pose["dim"]],
        pose_branch=merge["pose_net_version"],
        weighted_merge=merge["weighted_merge"],
    )
    return replace(stills, config=config, frames=merge["num_frames"])


# ------------------------------------------------------------------------------- from shapes


def recognise(groups: Groups) -> Blueprint:
    """The network whose weights these are. ValueError if it is none of the original's kinds."""
    if "dp1_pb1_heatmaps_conv1" in groups:
        return _recognise_spnet(groups)
    if "sSAM" in groups and groups.keys() & {"rBlock1", "td_rBlock1"}:
        return _recognise_multitask(groups)
    raise ValueError("no network of the original project is recognised in it; see --config")


def _shape(layers: dict[str, Layer], role: str = "kernel", *, at: int = 0) -> tuple[int, ...]:
    """Shape of one weight in a group: of the first layer that has it, or of the `at`-th."""
    shapes = [layer[role].shape for layer in layers.values() if role in layer]
    if not shapes:
        raise ValueError(f"{next(iter(layers), 'a group')} has no {role}; see --config")
    return shapes[at]


def _recognise_spnet(groups: Groups) -> Blueprint:
    names = " ".join(groups)
    found = re.findall(r"\b(?:dp|up)(\d{1,3})_pb(\d{1,3})_heatmaps_conv1\b", names)
    levels = 1 + max(int(level) for _, level in found)
    units = max((int(n) for n in re.findall(r"\bres(\d{1,3})_conv2\b", names)), default=0)
    acts = sorted({int(n) for n in re.findall(r"\bact(\d+)_action", names)})
    act = f"act{acts[0]}_action" if acts else ""
    head = f"{act}_pred_conv2h"
    sets = [f"{head}{i}" for i in range(sum(name.startswith(head) for name in groups))]
    config = SPNetConfig(
        joints=_shape(groups["dp1_pb1_heatmaps_conv1"])[-1],
        dim=3 if "dp1_pb1_depthmaps_conv1" in groups else 2,
        actions=tuple(_shape(groups[name])[-1] for name in sets),
        pyramids=max(int(pyramid) for pyramid, _ in found),
        action_pyramids=_acting(groups, len(acts) // (levels - 1)),
        levels=levels,
        kernel=_pair(_shape(groups["dp1_pb1_conv1"], "depthwise_kernel")),
        growth=_shape(groups["res0_conv2"])[-1],
        image_div=2 ** (units // 2 + 1),
        sampling="conv" if any(name.endswith("_convtrans1") for name in groups) else "pool",
        replica=any(name.endswith("_replica") for name in groups),
        pose_features=_shape(groups[f"{act}_r1_conv2"])[-1] if acts else 128,
        visual_features=_shape(groups[f"{act}_v_conv0"])[-1] if acts else 128,
    )
    height, width = _pair(_shape(groups["dp1_pb1_xy_x"], "depthwise_kernel"))
    stride = 2 * config.image_div  # of the first block's map
    frames = None if acts else 1
    return Blueprint(config, _layout(config.joints), (height * stride, width * stride), frames)


def _acting(groups: Groups, many: int) -> tuple[int, ...]:
    """The action pyramids. All but the very first action block refine an action stream."""
    names = " ".join(groups)
    refined = re.findall(r"\b(?:dp|up)(\d+)_(?:du|uu)\d+_action_r0_bn1\b", names)
    copied = re.findall(r"\b(?:dp|up)(\d+)_pb\d+_heatmaps_conv1_replica\b", names)
    seen = sorted({int(n) for n in [*refined, *copied]})
    if len(seen) < many:
        raise ValueError("its first action pyramid cannot be told from its shapes; see --config")
    return tuple(seen)


def _recognise_multitask(groups: Groups) -> Blueprint:
    merged = "td_rBlock1" in groups
    grid = groups["sSAM"]
    joints = _shape(grid, "pointwise_kernel")[-1]
    stream = groups["td_Model1" if merged else "SepConv1"]
    separable = sum("depthwise_kernel" in layer for layer in stream.values())
    flat = "zSAM" not in groups
    master = next(iter(grid)).startswith("custom_sam")
    config = MultitaskConfig(
        joints=joints,
        dim=2 if flat else 3,
        # Every block has seven residual units and one plain separable convolution.
        blocks=separable // 8 + 1 if merged else sum(n.startswith("RegMap") for n in groups),
        kernel=_pair(_shape(stream, "depthwise_kernel")),
        contexts=_shape(groups["cSAM"], "pointwise_kernel")[-1] // joints if flat else 2,
        depth_maps=16 if flat else _shape(groups["zSAM"])[0],
        depth_centres=master,
        stem="inception_old" if "sepconv1" in groups else "inception",
        confidence="window_sum_raw" if master else "sigmoid_max",
    )
    if merged:
        first, last = _shape(groups["PoseAR"]), _shape(groups["PoseAR"], at=-1)
        config = replace(
            config,
            actions=(last[-1],),
            sharpness=SHARPNESS[config.dim],
            pose_branch="v1" if first[-1] == 8 else "v2",
            weighted_merge=any(name.startswith("separable_conv2d") for name in groups),
        )
    height, width = _pair(_shape(grid, "depthwise_kernel"))
    size = (height * 8, width * 8)
    return Blueprint(config, _layout(joints), size, None if merged else 1)


def _pair(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], shape[1]
