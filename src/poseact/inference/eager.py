"""Networks in PyTorch behind the same face as exported ones: crops in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from poseact.models.cards import Card
from poseact.models.exported import Answer
from poseact.models.layers import channels_last
from poseact.models.multipose import MultiPose
from poseact.models.simplified import simplified
from poseact.models.weights import Network, load, load_multipose


class Eager:
    """A network in PyTorch as prediction runs it: simplified, channels_last, on its device."""

    def __init__(self, model: Network) -> None:
        self._model = channels_last(simplified(model))
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def frames(self, crops: np.ndarray) -> Answer:
        """Poses, scores and features of crops (N, H, W, 3) uint8 RGB."""
        with torch.inference_mode():
            out = self._model.frames(_normalised(crops, self._device))
        pose, score, *features = (
            x.float().cpu().numpy() for x in (out.poses[-1], out.scores[-1], *out.features)
        )
        return Answer(pose, score, tuple(features))

    def actions(self, features: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Logits (B, A) of each action set, of features (B, T, J, ...)."""
        with torch.inference_mode():
            blocks = self._model.actions(
                tuple(torch.from_numpy(np.ascontiguousarray(f)).to(self._device) for f in features)
            )
        return tuple(logits.float().cpu().numpy() for logits in blocks[-1]) if blocks else ()


class EagerDetector:
    """The detector of people in PyTorch: a frame (1, H, W, 3) uint8 -> its maps (1, C, h, w)."""

    def __init__(self, weights: str | Path, device: str | None) -> None:
        self._device = torch_device(device)
        model: MultiPose = load_multipose(weights).model.to(self._device)
        self._model = channels_last(model)

    def __call__(self, frame: np.ndarray) -> Sequence[np.ndarray]:
        with torch.inference_mode():
            return [m.cpu().numpy() for m in self._model(_normalised(frame, self._device))]


class Whole(NamedTuple):
    """A network with all that training and evaluation need, and its card."""

    model: Network
    card: Card


def load_whole(weights: str | Path, *, device: str | None, exit: tuple[int, int] | None) -> Whole:
    """The network itself; errors as in `weights.load`, and of the device."""
    model, card = load(weights, device=torch_device(device), exit=exit)
    return Whole(channels_last(model) if isinstance(model, nn.Module) else model, card)


def torch_device(name: str | None) -> torch.device:
    """A device by name, a GPU if there is one for None; ValueError if it cannot be."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch sees no GPU here; use cpu")
    return device


def has_gpu() -> bool:
    return torch.cuda.is_available()


def set_threads(threads: int) -> None:
    """CPU threads of torch, for the whole process."""
    torch.set_num_threads(threads)


def _normalised(crops: np.ndarray, device: torch.device) -> torch.Tensor:
    """(N, 3, H, W) from -1 to 1 of (N, H, W, 3) uint8, on a device."""
    x = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float()
    return (x / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)
