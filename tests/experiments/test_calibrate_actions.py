"""Temperatures of action blocks: found, and folded in without touching anything else."""

from __future__ import annotations

import pytest
import torch

from experiments.calibrate_actions import calibration_error, fold, temperature
from poseact.models.spnet import SPNet


def test_the_temperature_that_was_there_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 5, generator=generator)
    target = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    even = torch.ones(len(target))
    assert temperature(logits, target, even) == pytest.approx(1.0, abs=0.05)
    assert temperature(3 * logits, target, even) == pytest.approx(3.0, abs=0.15)
    assert (
        calibration_error(logits, target, even) < 0.02 < calibration_error(3 * logits, target, even)
    )


def test_only_what_is_sure_counts_as_an_error() -> None:
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0]])
    even = torch.ones(2)
    assert calibration_error(logits, torch.tensor([0, 0]), even) < 0.01
    assert calibration_error(logits, torch.tensor([0, 1]), even) == pytest.approx(0.5, abs=0.01)
    weight = torch.tensor([1.0, 0.0])
    assert calibration_error(logits, torch.tensor([0, 1]), weight) < 0.01


@pytest.mark.parametrize("block", [0, 1])
def test_a_fold_divides_the_logits_of_one_block_alone(tiny: SPNet, block: int) -> None:
    x = torch.rand(1, 4, 3, 64, 64)
    with torch.no_grad():
        before = [sets[0] for sets in tiny(x).actions]
        fold(tiny, block, 2.5)
        after = [sets[0] for sets in tiny(x).actions]
    for n, (a, b) in enumerate(zip(before, after, strict=True)):
        torch.testing.assert_close(b, a / 2.5 if n == block else a, atol=1e-4, rtol=1e-4)
