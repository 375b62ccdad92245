"""What a network costs: multiply-adds, counted, and milliseconds, measured."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from poseact.models.weights import Network


def multiply_adds(model: Network, size: tuple[int, int]) -> int:
    """Multiply-adds of the pose of one frame."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.frames(_blank(model, size))
    return counter.get_total_flops() // 2


def frame_ms(model: Network, size: tuple[int, int], *, repeats: int = 7) -> float:
    """Median milliseconds of the pose of one frame on this machine, eager, batch 1."""
    x = _blank(model, size)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 2):
            start = time.perf_counter()
            model.frames(x)
            if x.is_cuda:
                torch.cuda.synchronize()
            times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[2:]))


def _blank(model: nn.Module, size: tuple[int, int]) -> torch.Tensor:
    device = next(model.parameters()).device
    return torch.zeros(1, 3, *size, device=device).to(memory_format=torch.channels_last)
