"""Files of pretrained features: reading them without running code, and knowing what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

MOVENETS = {
    32: ("MoveNet Lightning", 1.0),
    48: ("MoveNet MultiPose", 1.5),
    56: ("MoveNet Thunder", 1.75),
}
"""Channels of the first convolution -> whose features they are, and their width."""
VGG_CONVOLUTIONS = 10
"""conv1_1 .. conv4_3 of VGG-16: all that a stem has of it."""


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The arrays of a .npz, .safetensors or PyTorch state dict, float32; no pickle runs code.

    FileNotFoundError; ValueError for a file that is none of these.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights of a stem at {path}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                found: dict[str, Any] = {n: torch.from_numpy(archive[n]) for n in archive.files}
        elif path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
        return {n: v.float() if v.is_floating_point() else v for n, v in found.items()}
    except Exception as error:  # each of the three readers has errors of its own
        raise ValueError(f"{path} is no .npz, .safetensors or state dict ({error})") from error


def fill(module: nn.Module, theirs: dict[str, Tensor], prefix: str, what: str) -> None:
    """Put what a file has under `prefix` into a module; ValueError unless all of it is there."""
    mine = module.state_dict()
    for name, value in mine.items():
        found = theirs.get(prefix + name)
        if found is None or found.shape != value.shape:
            got = "nothing" if found is None else f"shape {tuple(found.shape)}"
            raise ValueError(
                f"{what} {prefix}{name} must have shape {tuple(value.shape)}, got {got}"
            )
    module.load_state_dict({name: theirs[prefix + name] for name in mine})


def stem_tensors(path: str | Path) -> tuple[str, dict[str, Tensor]]:
    """What a file of features is, in words, and those of its tensors that a stem takes.

    Known are MoveNet (names of `models.stems.MobileNetFPN`, heads under `heads.`) and VGG-16
    (torchvision's names, with or without batch normalisation). ValueError for anything else.
    """
    tensors = read_tensors(path)
    first = tensors.get("features.stem.weight")
    if first is not None and len(first) in MOVENETS:
        name, width = MOVENETS[len(first)]
        kept = {n: v for n, v in tensors.items() if n.startswith(("features.", "heads."))}
        heads = "with heads" if any(n.startswith("heads.") for n in kept) else "without heads"
        return f"{name}, {heads}: entry mobilenet_fpn, entry_width {width}", kept
    numbers = [n.split(".")[1] for n in tensors if n.startswith("features.")]
    convolutions = sorted(
        int(k) for k in set(numbers) if k.isdigit() and tensors[f"features.{k}.weight"].ndim == 4
    )
    if len(convolutions) >= VGG_CONVOLUTIONS and tensors["features.0.weight"].shape[:2] == (64, 3):
        last = convolutions[VGG_CONVOLUTIONS - 1] + ("features.1.running_mean" in tensors)
        kept = {
            n: v
            for n, v in tensors.items()
            if n.startswith("features.") and int(n.split(".")[1]) <= last
        }
        norm = "features.1.running_mean" in tensors
        return f"VGG-16: entry {'vgg16_bn' if norm else 'vgg16'}", kept
    raise ValueError(
        f"{path} holds neither MoveNet's features nor torchvision's VGG-16; "
        f"its tensors begin with {sorted(tensors)[:3]}"
    )
