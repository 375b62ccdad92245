"""The original project's weight files (Keras .h5) as networks of this package.

Every tensor of a file is used exactly once, every shape is checked, and the constant layers
(soft-argmax grids, context sums) must hold the constants that the network computes by itself.

SPNet is matched by layer name: our module names are the original's. The CVPR 2018 network is
matched by group and position, since its layer names depend on what else a process had built.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from poseact.core.layouts import layout_named
from poseact.core.reading import understood
from poseact.models.layers import SeparableConv
from poseact.models.multitask import Multitask, MultitaskConfig, keras_groups
from poseact.models.multitask_actions import PoseActions
from poseact.models.original import zoo
from poseact.models.original.blueprints import (
    Blueprint,
    from_constructor,
    read_constructor,
    recognise,
)
from poseact.models.original.hdf5 import LARGEST, Groups, Layer, opened
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import Card, Loaded

CONSTANT = re.compile(r".*_(xy2?|dbg_xy)_[xy]$")
"""Layers of SPNet that only hold a soft-argmax grid."""


def fill(model: SPNet | Multitask | PoseActions, groups: Groups) -> None:
    """Copy a file's numbers into a network of the same configuration.

    ValueError names the first layer or tensor that does not fit; the network may then hold a part
    of the file.
    """
    if isinstance(model, SPNet):
        _fill_spnet(model, groups)
    else:
        _fill_by_position(model, groups)


def _fill_spnet(model: SPNet, groups: Groups) -> None:
    left = renumber_actions(groups)
    for name, module in _modules(model):
        layer = name.removeprefix("entry.").replace(".", "_")
        if layer not in left:
            raise ValueError(f"there is no layer {layer}, which the configuration wants")
        _fill_module(module, _only(left.pop(layer)))
    for name in [name for name in left if CONSTANT.match(name)]:
        _check_grid(_only(left.pop(name)), "xy".index(name[-1]))
    if left:
        raise ValueError(f"{_some(left)}: the configuration has no such layer")


def renumber_actions(groups: Groups) -> Groups:
    """Action blocks as act1, act2, ...: Keras counts on where a process built several networks."""
    pattern = re.compile(r"act(\d+)_")
    numbers = sorted({int(m[1]) for m in map(pattern.match, groups) if m})
    order = {n: i for i, n in enumerate(numbers, start=1)}
    return {pattern.sub(lambda m: f"act{order[int(m[1])]}_", n): g for n, g in groups.items()}


def _modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Every module that is one layer in Keras; a separable convolution is one."""
    kinds = (SeparableConv, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    inside = {id(part) for m in model.modules() if isinstance(m, SeparableConv) for part in m}
    return [
        (n, m) for n, m in model.named_modules() if isinstance(m, kinds) and id(m) not in inside
    ]


def _only(layers: dict[str, Layer]) -> Layer:
    if len(layers) > 1:
        raise ValueError(f"{_some(layers)} are one layer for the configuration")
    return next(iter(layers.values()))


def _some(names: Mapping[str, object]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(list(names)[:3]) + more


def _fill_module(module: nn.Module, layer: Layer) -> None:
    slots = _slots(module)
    name = next(iter(layer.values())).layer
    if set(layer) != set(slots):
        raise ValueError(
            f"{name} holds {', '.join(layer)}; the configuration wants {', '.join(slots)}"
        )
    for role, (tensor, axes) in slots.items():
        weight = layer[role]
        wanted = tuple(tensor.shape[axes.index(i)] for i in range(len(axes)))
        if weight.shape != wanted:
            raise ValueError(
                f"{name}/{role} has shape {weight.shape}, the configuration wants {wanted}"
            )
        tensor.data.copy_(torch.from_numpy(weight.read().transpose(axes).copy()))


def _slots(module: nn.Module) -> dict[str, tuple[Tensor, tuple[int, ...]]]:
    """Keras name of each weight -> our tensor and the order in which it has Keras' axes.

    Keras: Conv2D (kh, kw, in, out), depthwise (kh, kw, in, 1), Conv2DTranspose (kh, kw, out, in).
    """
    if isinstance(module, SeparableConv):
        return {
            "depthwise_kernel": (module.depthwise.weight, (2, 3, 0, 1)),
            "pointwise_kernel": (module.pointwise.weight, (3, 2, 0, 1)),
        }
    if isinstance(module, nn.BatchNorm2d):
        slots = {
            "gamma": module.weight,  # a constant in the CVPR network, and then not in the file
            "beta": module.bias,
            "moving_mean": module.running_mean,
            "moving_variance": module.running_var,
        }
        learned = {k: v for k, v in slots.items() if k != "gamma" or isinstance(v, nn.Parameter)}
        return {k: (v, (0,)) for k, v in learned.items() if v is not None}
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return {"kernel": (module.weight, (3, 2, 0, 1))}
    raise TypeError(f"no Keras layer is a {type(module).__name__}")


# ------------------------------------------------------------------------------- by position


def _fill_by_position(model: Multitask | PoseActions, groups: Groups) -> None:
    wanted = keras_groups(model)
    left = _regroup(groups, alone=isinstance(model, PoseActions))
    for name, layers in wanted.items():
        if name not in left:
            raise ValueError(f"there is no group {name}, which the configuration wants")
        found = left.pop(name)
        if name in ("sSAM", "cSAM"):
            _check_grids(name, list(found.values()))
        elif name == "Agg":
            _check_sums(_only(found))
        elif name == "zSAM" and isinstance(model, Multitask):
            model.depth_grid.copy_(_depths(_only(found), model))
        elif len(found) != len(layers):
            raise ValueError(
                f"{name} holds {len(found)} layers, the configuration wants {len(layers)}"
            )
        else:
            for (_, module), layer in zip(layers, found.values()):
                _fill_module(module, layer)
    if left:
        raise ValueError(f"{_some(left)}: the configuration has no such group")


def _regroup(groups: Groups, *, alone: bool) -> Groups:
    """Groups by the names of `keras_groups`: the weights of the merge are numbered by Keras, and
    the layers of a pose-based action network that stands alone are no group."""
    if alone:
        return {"PoseAR": {name: layer for g in groups.values() for name, layer in g.items()}}
    pattern = re.compile(r"separable_conv2d(?:_(\d+))?")
    numbers = {n: int(m[1] or 0) for n in groups if (m := pattern.fullmatch(n))}
    order = {n: i for i, n in enumerate(sorted(numbers, key=numbers.__getitem__), start=1)}
    return {f"separable_conv2d_{order[n]}" if n in order else n: g for n, g in groups.items()}


# ------------------------------------------------------------------------------- constants


def _check_grids(name: str, layers: list[Layer]) -> None:
    if len(layers) != 2:
        raise ValueError(f"{name} holds {len(layers)} layers, not one for x and one for y")
    for axis, layer in enumerate(layers):
        _check_grid(layer, axis)


def _check_grid(layer: Layer, axis: int) -> None:
    """A frozen separable convolution that computes x (axis 0) or y from probability maps."""
    name = next(iter(layer.values())).layer
    if set(layer) != {"depthwise_kernel", "pointwise_kernel"}:
        raise ValueError(f"{name} holds {', '.join(layer)}: not a soft-argmax grid")
    grid, mixing = layer["depthwise_kernel"].read(), layer["pointwise_kernel"].read()
    if grid.ndim != 4 or mixing.shape != (1, 1, grid.shape[2], grid.shape[2]):
        raise ValueError(f"{name} has shapes {grid.shape}, {mixing.shape}: not a soft-argmax grid")
    height, width = grid.shape[:2]
    ramp = np.linspace(0, 1, height if axis else width)
    ramp = ramp[:, None, None, None] if axis else ramp[:, None, None]
    if np.abs(grid - ramp).max() > 1e-5 or np.abs(mixing[0, 0] - np.eye(len(mixing[0, 0]))).max():
        raise ValueError(f"{name} does not hold the coordinates 0 to 1 of a {height}x{width} map")


def _check_sums(layer: Layer) -> None:
    """A frozen Dense layer (J Nc, J) that adds up the context maps of each joint."""
    weight = next(iter(layer.values()))
    sums = weight.read()
    contexts = sums.shape[0] // max(sums.shape[-1], 1) if sums.ndim == 2 else 0
    wanted = np.kron(np.eye(sums.shape[-1]), np.ones((contexts, 1)))
    if wanted.shape != sums.shape or (wanted != sums).any():
        raise ValueError(f"{weight.layer} does not add up the context maps of each joint")


def _depths(layer: Layer, model: Multitask) -> Tensor:
    """The N_d depths of a frozen Conv1D (N_d, J, J), which bears them on its diagonals."""
    weight = next(iter(layer.values()))
    n, j = len(model.depth_grid), model.config.joints
    if weight.shape != (n, j, j):
        raise ValueError(
            f"{weight.layer}/{weight.role} has shape {weight.shape}, "
            f"the configuration wants {(n, j, j)}"
        )
    kernel = weight.read()
    depths = kernel[:, 0, 0]
    inside = depths[0] >= 0 and depths[-1] <= 1 and (np.diff(depths) > 0).all()
    if not inside or (kernel != depths[:, None, None] * np.eye(j, dtype=np.float32)).any():
        raise ValueError(f"{weight.layer} does not hold rising depths between 0 and 1")
    return torch.from_numpy(depths.copy())


# ------------------------------------------------------------------------------- whole files


def import_file(
    path: str | Path, *, config: str | Path | None = None, layout: str | None = None
) -> Loaded:
    """The network in a Keras file, in eval mode, and a card for it.

    config: JSON file with the constructor's arguments; without it the network is recognised by the
    names and shapes of its tensors. layout: which joints these are; without it the original's
    layout of that many joints (PA16, PA17, PA20, PA21). The card of any other number says, for
    instance, JOINTS12, which is no layout: it cannot be drawn or scored.

    FileNotFoundError, ImportError (no h5py), ValueError as `opened` and `fill`.
    """
    given = None
    if config is not None:
        with understood(config):
            given = from_constructor(read_constructor(config))
    with opened(path) as groups:
        blueprint = recognise(groups) if given is None else given
        cfg = blueprint.config
        model = _build(cfg)
        fill(model, groups)
    if layout is not None and len(layout_named(layout)) != cfg.joints:
        raise ValueError(f"layout {layout} has not the {cfg.joints} joints of {path}")
    return Loaded(model.eval(), _card(Path(path), blueprint, layout or blueprint.layout))


def _build(config: SPNetConfig | MultitaskConfig) -> SPNet | Multitask:
    """A fresh network, unless it is absurdly large; that is found out without memory."""

    def make() -> SPNet | Multitask:
        return SPNet(config) if isinstance(config, SPNetConfig) else Multitask(config)

    with torch.device("meta"):
        numbers = sum(parameter.numel() for parameter in make().parameters())
    if numbers > LARGEST:
        raise ValueError(f"a network of {numbers} parameters is larger than any of this kind")
    return make()


def _card(path: Path, blueprint: Blueprint, layout: str) -> Card:
    with path.open("rb") as file:
        md5 = hashlib.md5(usedforsecurity=False)
        while block := file.read(2**20):
            md5.update(block)
    cfg = blueprint.config
    known = zoo.published(md5.hexdigest(), cfg)
    sure = known is not None and known.md5 == md5.hexdigest()
    frames = blueprint.frames or (known.frames if known else 8)
    fps = known.fps if known else 8.0
    story = {"file": path.name, "md5": md5.hexdigest()}
    if known and sure:
        story |= {"origin": known.origin, "trained_on": known.trained_on}
    else:
        story["origin"] = "a Keras file of github.com/dluvizon/deephar's code"
    if known and not sure:
        story["network"] = f"that of {known.file}, by its shapes"
    if known and known.note:
        story["note"] = known.note
    if cfg.actions:
        story["labels"] = "after the number of classes: 15 Penn Action, 60 NTU RGB+D, else numbered"
    if cfg.actions and not sure:
        story["clips"] = f"{frames} frames at {fps:g} a second: not in the file, an assumption"
    return Card(
        config=asdict(cfg),
        layout=layout,
        labels=zoo.labels(cfg.actions),
        size=blueprint.size,
        frames=frames,
        fps=fps,
        margin=known.margin if known else 1.25,
        architecture="spnet" if isinstance(cfg, SPNetConfig) else "multitask",
        provenance=story,
    )
