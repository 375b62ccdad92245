"""The weight files of the original project (Keras .h5): groups, layers and their tensors.

The only file that knows how Keras lays weights out in HDF5. Nothing in a file is executed: names
and plain arrays of floating-point numbers are read, at most `LARGEST` numbers of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.reading import understood

LARGEST = 2**28
"""Numbers in a file, 1 GiB of them. The largest published network has 35 million."""


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


@contextmanager
def opened(path: str | Path) -> Iterator[Groups]:
    """The weights of a Keras file, readable inside the `with`.

    FileNotFoundError if there is no file; ValueError, which names the file, if it is not a whole
    Keras weights file or if something inside the `with` raises one; ImportError without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("Keras files are read with h5py: pip install 'poseact[keras]'") from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    with understood(path):
        try:
            with h5py.File(path, "r") as file:
                yield _read_groups(file)
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(
                f"{path} is not a whole HDF5 file ({error}); copy or download it again"
            ) from error


def _read_groups(file: Any) -> Groups:
    # `model.save` puts the weights a floor higher.
    root = _follow(file, "model_weights") if "model_weights" in file else file
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
            listed.add(data.name)
            numbers += max(data.size, prod(data.chunks or (0,)))
            layer, _, role = weight.rpartition("/")
            role = role.partition(":")[0]
            found = groups.setdefault(name, {}).setdefault(layer or name, {})
            if role in found:
                raise ValueError(f"{name} lists {layer}/{role} twice")
            found[role] = Weight(layer or name, role, tuple(data.shape), data)
    if numbers > LARGEST:
        raise ValueError(f"{numbers} numbers are more than any network of this kind has")
    _check_nothing_is_hidden(root, listed)
    return groups


def _names(node: Any, attribute: str) -> list[str]:
    """A list of names, bytes or str, whole or (Keras from 2.2 on, long lists) in numbered parts."""
    parts = (f"{attribute}{i}" for i in count())
    there = [attribute] if attribute in node.attrs else takewhile(node.attrs.__contains__, parts)
    names = [name for part in there for name in np.ravel(node.attrs[part])]
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
