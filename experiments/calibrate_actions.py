"""Probabilities of actions that mean what they say: a temperature for each action block, folded in.

    POSEACT_SHARED=... python -m experiments.calibrate_actions FILE.safetensors OUT.safetensors

The temperature is the one with the least cross entropy on validation clips, rendered and real ones
with equal weight (Guo et al., "On calibration of modern neural networks", ICML 2017). It divides
the kernels that give the logits, and multiplies the one by which the next block reads them, so that
nothing else changes: not the class that is named, and no other block. Expected calibration error is
that of 10 bins of equal width.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from experiments.real_actions import BOXES, logits
from poseact.data import synthetic
from poseact.data.sets import clips
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.spnet import SPNet
from poseact.people.scene import PeopleConfig
from poseact.train.recipes.shipped import recipe

RENDERED = 200
BINS = 10


def temperature(logits: Tensor, target: Tensor, weight: Tensor) -> float:
    """By which logits (N, A) are divided so that the weighted cross entropy is least."""

    def loss(log_t: float) -> float:
        each = F.cross_entropy(logits / float(np.exp(log_t)), target, reduction="none")
        return float((each * weight).sum() / weight.sum())

    found: Any = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))


def calibration_error(logits: Tensor, target: Tensor, weight: Tensor) -> float:
    """Mean distance of what is said from what is right, 0..1."""
    sure, named = logits.softmax(1).max(1)
    right = (named == target).float()
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    gaps = [abs(float(((right - sure) * weight)[bins == b].sum())) for b in range(BINS)]
    return sum(gaps) / float(weight.sum())


@torch.no_grad()
def fold(model: SPNet, block: int, divide_by: float) -> None:
    """Divide the logits of the action block number `block`, from 0, and nothing else."""
    act = model.get_submodule(f"act{block + 1}")
    act.get_submodule("action_pred_conv2h0").get_parameter("weight").div_(divide_by)
    if act.action_pred_conv3 is not None:
        act.get_submodule("action_pred_conv3").get_parameter("weight").mul_(divide_by)


def main(source: str, out: str) -> None:
    model, card = weights.load(source)
    assert isinstance(model, SPNet) and len(card.labels) == 1, f"{source}: no SPNet with actions"
    root = Path(os.environ["POSEACT_SHARED"]) / "data" / "clips"
    people = recipe("spnet_s_actions").stages[0].mix[0].people
    assert isinstance(people, PeopleConfig)
    rendered = synthetic.load(replace(people, split="val"), RENDERED)
    real = clips.load(root, "val", boxes=str(BOXES))
    records = [*rendered, *real]
    target = torch.tensor([r.action for r in records])
    weight = torch.tensor([1 / len(rendered)] * len(rendered) + [1 / len(real)] * len(real))
    for block, answers in enumerate(logits(channels_last(model), card, records)):
        divide_by = temperature(answers, target, weight)
        before, after = (
            calibration_error(x, target, weight) for x in (answers, answers / divide_by)
        )
        print(
            f"action block {block + 1}: temperature {divide_by:.2f}, expected calibration error "
            f"{100 * before:.1f} % -> {100 * after:.1f} %",
            flush=True,
        )
        fold(model, block, divide_by)
    weights.save(out, model, card)


if __name__ == "__main__":
    main(*sys.argv[1:])
