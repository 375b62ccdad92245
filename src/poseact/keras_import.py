"""The original project's weight files (Keras .h5) as networks of this package.

The only file that knows how Keras lays weights out in HDF5. Nothing in a file is executed: names
and plain arrays of floating-point numbers are read, at most `LARGEST` numbers of them. Every tensor
of the file is used exactly once, every shape is checked, and the constant layers (soft-argmax
grids, context sums) must hold the constants that the network computes by itself.

SPNet is matched by layer name: our module names are the original's. The CVPR 2018 network is
matched by group and position, since its layer names depend on what else a process had built.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from poseact import keras_configs, zoo
from poseact.layers import SeparableConv
from poseact.models.multitask import Multitask, keras_groups
from poseact.models.multitask_actions import PoseActions
from poseact.models.spnet import SPNet
from poseact.weights import Card, Loaded

LARGEST = 2**28
"""Numbers in a file, 1 GiB of them. The largest published network has 35 million."""

CONSTANT = re.compile(r".*_(xy2?|dbg_xy)_[xy]$")
"""Layers of SPNet that only hold a soft-argmax grid."""


@dataclass(frozen=True)
class Weight:
    """One tensor of a file: `role` is what Keras calls it (kernel, beta, ...), `data` the HDF5."""

    layer: str
    role: str
    shape: tuple[int, ...]
    data: Any

    def read(self) -> np.ndarray:
        """The numbers as float32; ValueError if some are no numbers."""
        values = np.asarray(self.data[()], np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"{self.layer}/{self.role} holds NaN or infinite numbers")
        return values


Layer = dict[str, Weight]
"""The weights of one Keras layer by role."""
Groups = dict[str, dict[str, Layer]]
"""What a file holds: group (a layer or a nested model) -> layer -> its weights, in file order.

Keras 2.1.4 writes all trainable weights of a nested model, then all others; later versions write
layer after layer. Gathered by layer, both are the same.
"""

# ------------------------------------------------------------------------------- reading


@contextmanager
def opened(path: str | Path) -> Iterator[Groups]:
    """The weights of a Keras file, readable inside the `with`.

    FileNotFoundError if there is no file; ValueError, which names the file, if it is not a whole
    Keras weights file or if something inside the `with` raises one; ImportError without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("Keras files are read with h5py: pip install poseact[keras]") from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with h5py.File(path, "r") as file:
            yield _read_groups(file)
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{path} is not a whole HDF5 file ({error}); copy or download it again"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_groups(file: Any) -> Groups:
    root = file["model_weights"] if "model_weights" in file else file  # `model.save` adds a floor
    layers = _names(root, "layer_names")
    if not layers:
        raise ValueError("HDF5, but not written by save_weights of Keras 2 (it has no layer_names)")
    groups: Groups = {}
    listed: set[str] = set()
    numbers = 0
    for name in layers:
        group = _follow(root, name)
        for weight in _names(group, "weight_names"):
            data = _tensor(group, weight)
            if data.name in listed:
                raise ValueError(f"{name} lists {weight} twice")
            listed.add(data.name)
            numbers += data.size
            layer, _, role = weight.rpartition("/")
            role = role.partition(":")[0]
            found = groups.setdefault(name, {}).setdefault(layer or name, {})
            found[role] = Weight(layer or name, role, tuple(data.shape), data)
    if numbers > LARGEST:
        raise ValueError(f"{numbers} numbers are more than any network of this kind has")
    _check_nothing_is_hidden(root, listed)
    return groups


def _names(node: Any, attribute: str) -> list[str]:
    """A list of names, bytes or str, whole or (Keras from 2.2 on, long lists) in numbered parts."""
    parts = (f"{attribute}{i}" for i in count())
    there = [attribute] if attribute in node.attrs else takewhile(node.attrs.__contains__, parts)
    names = [name for part in there for name in node.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _follow(node: Any, path: str) -> Any:
    """What lies at a path, which never leaves the file."""
    import h5py

    for part in path.split("/"):
        if not isinstance(node, h5py.Group) or part not in node:
            raise ValueError(f"{path} is listed but not there")
        if not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} is a link to another place")
        node = node[part]
    return node


def _tensor(group: Any, path: str) -> Any:
    import h5py

    data = _follow(group, path)
    plain = isinstance(data, h5py.Dataset) and data.dtype.kind == "f"
    if not plain or data.is_virtual or data.external:
        raise ValueError(f"{path} is not a plain array of floating-point numbers")
    return data


def _check_nothing_is_hidden(root: Any, listed: set[str]) -> None:
    import h5py

    def visit(_: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.name not in listed:
            raise ValueError(f"{node.name} belongs to no layer of the file")

    root.visititems(visit)


# ------------------------------------------------------------------------------- filling


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
