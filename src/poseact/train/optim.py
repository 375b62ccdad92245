"""What learns, and how fast: frozen parts, optimisers, learning rates, the average of weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from poseact.models.weights import Network
from poseact.train.config import Config, Stage

READERS = {"pose": "action_p_conv0", "appearance": "action_v_conv0"}
"""Names of the kernels by which SPNet's action blocks read their features."""
FALLING = ("loss", "mpjpe_mm", "p_mpjpe_mm")
"""Metrics of which less is better."""
SWEEP = 1e-7
"""A sweep of learning rates begins at this share of the last one."""


def freeze(model: Network, stage: Stage) -> None:
    """Gradients and modes of a stage, see `Stage.trains` and `Stage.ablate`."""
    for name, module in model.named_modules():
        acting = any(part.startswith("act") for part in name.split("."))
        learns = (stage.trains == "all" and not _kept(name, stage)) or acting
        if name:
            module.train(learns or stage.trains == "actions_keras")
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            # Without tracking, training normalises by the batch and inference by what was tracked.
            module.track_running_stats = learns
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(learns)
    if stage.ablate != "nothing":
        for name, parameter in model.named_parameters():
            if READERS[stage.ablate] in name:
                nn.init.zeros_(parameter.requires_grad_(False))


PRETRAINED = ("entry.features", "entry.heads")
"""What of a network may have been learnt before, elsewhere."""


def _kept(name: str, stage: Stage) -> bool:
    """Whether a module belongs to the part of a pretrained stem that this stage does not touch."""
    if not name.startswith(PRETRAINED):
        return False
    if stage.entry_lr == 0:
        return True
    unit = re.match(r"entry\.features\.blocks\.(\d+)", name)
    first = name.startswith(("entry.features.stem", "entry.features.first_"))
    return stage.entry_frozen > (int(unit[1]) if unit else -1 if first else stage.entry_frozen)


def optimizer(model: Network, stage: Stage) -> torch.optim.Optimizer:
    """Weight decay acts on kernels only, not on the vectors of batch normalisation."""
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    slow = [p for n, p in learning if n.startswith(PRETRAINED) and stage.entry_lr != 1]
    fast = [p for n, p in learning if not n.startswith(PRETRAINED) or stage.entry_lr == 1]
    groups = [
        {"params": [p for p in fast if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in fast if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if slow:  # what was learnt before is not drawn towards zero
        groups.append({"params": slow, "weight_decay": 0.0, "factor": stage.entry_lr})
    if stage.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=stage.lr)
    if stage.optimizer == "rmsprop":  # Keras' constants, which the published recipes rely on
        return torch.optim.RMSprop(groups, lr=stage.lr, alpha=0.9, eps=1e-7)
    return torch.optim.SGD(groups, lr=stage.lr, momentum=stage.momentum, nesterov=True)


def learning_rate(stage: Stage, step: int) -> float:
    """The scheduled rate of a step of a stage, without the reductions of a `Plateau`."""
    warm = min(1.0, (step + 1) / max(stage.warmup, 1))
    share = step / stage.steps
    if stage.schedule == "cosine":
        return stage.lr * warm * (0.5 + 0.5 * math.cos(math.pi * share))
    if stage.schedule == "steps":
        return stage.lr * warm * stage.factor ** sum(share >= m for m in stage.milestones)
    if stage.schedule == "sweep":
        return stage.lr * SWEEP ** (1 - (step + 1) / stage.steps)
    return stage.lr * warm


def following(config: Config, number: int, reached: float | None) -> Stage:
    """The stage with the rate that follows the stage before, see `Stage.follow`.

    reached: the rate at which that one ended; None is what its schedule says.
    """
    stage = config.stages[number]
    if not stage.follow:
        return stage
    if reached is None:
        before = following(config, number - 1, None)
        reached = learning_rate(before, before.steps - 1)
    return replace(stage, lr=stage.follow * reached)


class Coupled:
    """Action poses that are the pose maps themselves: one kernel in two places (`Stage.coupled`).

    What both places ask of it moves it, unless it is frozen.
    """

    def __init__(self, model: Network, stage: Stage) -> None:
        known = dict(model.named_parameters())
        self.until = stage.coupled * stage.steps
        self.pairs = [
            (known[name.replace("_replica", "")], copy)
            for name, copy in known.items()
            if "_replica" in name and stage.coupled
        ]

    def gather(self, step: int) -> None:
        """Both places' gradients to the one kernel."""
        for kernel, copy in self.pairs if step < self.until else ():
            if copy.grad is not None and kernel.requires_grad:
                kernel.grad = copy.grad if kernel.grad is None else kernel.grad + copy.grad
            copy.grad = None

    @torch.no_grad()
    def spread(self, step: int) -> None:
        """The kernel to both places."""
        for kernel, copy in self.pairs if step < self.until else ():
            copy.copy_(kernel)


class Best:
    """The best check of a stage on held-out data, and how many in a row were no better."""

    def __init__(self, stage: Stage) -> None:
        self.falls = stage.metric in FALLING
        self.early_stop = stage.early_stop
        self.score, self.step, self.waited = math.nan, 0, 0

    def check(self, score: float, step: int) -> bool:
        """Whether this is the best so far; NaN never is."""
        better = score < self.score if self.falls else score > self.score
        if better or (math.isnan(self.score) and not math.isnan(score)):
            self.score, self.step, self.waited = score, step, 0
            return True
        self.waited += 1
        return False

    @property
    def stops(self) -> bool:
        """Whether the stage has waited long enough."""
        return 0 < self.early_stop <= self.waited

    def state(self) -> dict[str, float]:
        """Numbers for a checkpoint."""
        return {"score": self.score, "step": self.step, "waited": self.waited}

    def load(self, state: dict[str, float]) -> None:
        vars(self).update(state)


class Plateau:
    """A factor on the learning rate that falls when a loss no longer does (schedule "plateau")."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.best, self.waited, self.reductions = math.inf, 0, 0
        self.total, self.seen = 0.0, 0

    @property
    def factor(self) -> float:
        return self.stage.factor**self.reductions

    def add(self, loss: float) -> None:
        """A training loss, for the mean since the last check."""
        self.total, self.seen = self.total + loss, self.seen + 1

    def mean(self) -> float:
        """The mean of the training losses since the last check."""
        return self.total / max(self.seen, 1)

    def check(self, loss: float) -> None:
        """Reduce the factor if `patience` checks in a row brought nothing lower."""
        self.total, self.seen = 0.0, 0
        if loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        most = math.inf if self.stage.drops is None else self.stage.drops
        if self.waited >= self.stage.patience and self.reductions < most:
            self.reductions, self.waited = self.reductions + 1, 0

    def state(self) -> dict[str, float]:
        """Numbers for a checkpoint."""
        return {name: value for name, value in vars(self).items() if name != "stage"}

    def load(self, state: dict[str, float]) -> None:
        vars(self).update(state)


def moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential moving average that forgets quickly at first: its decay is (1 + n) / (10 + n)."""

    @torch.no_grad()
    def update(averaged: Any, current: Any, count: Tensor | int) -> None:
        n = int(count)
        kept = min(decay, (1 + n) / (10 + n))
        for mean, value in zip(averaged, current):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - kept)
            else:
                mean.copy_(value)

    return update
