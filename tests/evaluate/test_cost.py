from __future__ import annotations

import torch

from conftest import small_spnet
from poseact.evaluate.cost import frame_ms, multiply_adds
from poseact.models.spnet import SPNet


def test_multiply_adds_of_one_convolution() -> None:
    """The first convolution alone: 3x3x3 -> 32 channels on half the size."""
    torch.manual_seed(0)
    tiny = SPNet(small_spnet(3)).eval()
    whole = multiply_adds(tiny, (64, 64))
    assert whole > 32 * 27 * 32 * 32
    assert multiply_adds(tiny, (128, 128)) == 4 * whole
    assert frame_ms(tiny, (64, 64), repeats=1) > 0
