"""Action heads for a network of poses, on features that are computed once.

    POSEACT_SHARED=... python -m experiments.action_heads POSES OUT.safetensors --cache DIR

The data and the network are those of the recipe `spnet_s_actions`, with more copies: a real clip
comes nine times, cropped and coloured otherwise each time, three of them strongly. Beyond what
`poseact train` does to heads: clips of rare classes come more often, two clips and their labels are
mixed (Zhang et al., "mixup", ICLR 2018), appearance is left out of some, poses are moved a little,
labels are smoothed. What comes out is not calibrated (`experiments.calibrate_actions`).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.real_actions import BOXES
from poseact.core.layouts import layout_named
from poseact.data.dataset import Batches
from poseact.data.sets.clips import LABELS
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.spnet import SPNet
from poseact.train.config import Mix
from poseact.train.parts import open_parts
from poseact.train.recipes.shipped import recipe

STEPS, BATCH, LR, WEIGHT_DECAY, WARMUP, AVERAGE = 1600, 64, 2e-3, 0.05, 50, 0.995
SHARES = {"real": 0.4, "acting": 0.48, "other": 0.12}
BALANCE = 0.5
"""A class comes as often as the root of its clips says."""
MIXED, WITHOUT_APPEARANCE, MOVED, SMOOTHED, LARGEST_GRADIENT = 0.2, 0.1, 0.01, 0.05, 5.0

Clips = tuple[list[Tensor], Tensor]
"""Features, each (N, T, J, ...) float16, and actions (N,)."""


def parts() -> dict[str, list[Mix]]:
    """What the heads learn from: real clips, rendered ones, and rendered ones of no action."""
    acting, other, real, *_ = recipe("spnet_s_actions").stages[0].mix
    strong = replace(real, augment="strong")
    real = [replace(real, name=f"real{k}") for k in range(6)]
    return {
        "real": [*real, *(replace(strong, name=f"strong{k}") for k in range(3))],
        "acting": [replace(acting, name=f"acting{k}") for k in range(2)],
        "other": [other],
    }


def computed(mix: Mix, number: int, model: SPNet, cache: Path) -> Clips:
    """All clips of a part once, each augmented by its seed; from the cache if they are there."""
    file = cache / f"{mix.name}.npz"
    if not file.is_file():
        config = recipe("spnet_s_actions")
        part = open_parts([mix], config.margin, 1)[0]
        layout = layout_named(config.layout)
        batches = Batches([part], layout, size=config.size, seed=1000 + number)
        rows, action = [], []
        for k in range(-(-len(part.records) // part.count)):
            sample = batches[k][mix.name]
            shape = sample["frames"].shape[:2]
            with torch.inference_mode():
                features = model.frames(sample["frames"].flatten(0, 1)).features
            rows.append([f.unflatten(0, shape).half().numpy() for f in features])
            action += sample["action"].tolist() if mix.action is None else [mix.action] * shape[0]
        columns = [np.concatenate(column) for column in zip(*rows)]
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, *columns, action=np.array(action))
        print(f"{mix.name}: {len(action)} clips", flush=True)
    with np.load(file) as held:
        names = [f"arr_{k}" for k in range(len(held.files) - 1)]
        return [torch.from_numpy(held[n]) for n in names], torch.from_numpy(held["action"])


def joined(clips: Sequence[Clips]) -> Clips:
    columns = [torch.cat(column) for column in zip(*(features for features, _ in clips))]
    return columns, torch.cat([action for _, action in clips])


class Sampler:
    """Clips of one kind at random, those of rare classes more often."""

    def __init__(self, clips: Clips, count: int, rng: np.random.Generator) -> None:
        self.features, self.action = clips
        self.count, self.rng = count, rng
        often = np.bincount(self.action.numpy(), minlength=len(LABELS)).astype(float)
        weight = (1 / often[self.action.numpy()]) ** BALANCE
        self.weight = weight / weight.sum()

    def __call__(self) -> Clips:
        rows = self.rng.choice(len(self.weight), self.count, p=self.weight)
        index = torch.from_numpy(rows)
        return [column[index].float() for column in self.features], self.action[index]


def changed(clips: Clips, rng: np.random.Generator) -> tuple[tuple[Tensor, ...], Tensor]:
    """Features and labels (N, A) that were moved, masked and mixed."""
    features, action = clips
    count = len(action)
    for pose in range(0, len(features), 2):
        noise = torch.randn(count, 1, *features[pose].shape[2:])
        features[pose] = features[pose] + MOVED * noise
    kept = (torch.rand(count, 1, 1, 1) > WITHOUT_APPEARANCE).float()
    for appearance in range(1, len(features), 2):
        features[appearance] = features[appearance] * kept
    label = F.one_hot(action, len(LABELS)) * (1 - SMOOTHED) + SMOOTHED / len(LABELS)
    share = torch.from_numpy(rng.beta(MIXED, MIXED, count)).float()
    share = torch.maximum(share, 1 - share)
    other = torch.from_numpy(rng.permutation(count))
    wide = share[:, None, None, None]
    mixed = tuple(f * wide + f[other] * (1 - wide) for f in features)
    return mixed, label * share[:, None] + label[other] * (1 - share[:, None])


def train(model: SPNet, samplers: Sequence[Sampler], rng: np.random.Generator, steps: int) -> SPNet:
    """The network with the running mean of its heads."""
    heads = {n: p for n, p in model.named_parameters() if n.startswith("act") or "action" in n}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in heads)
    kernels = [p for p in heads.values() if p.ndim > 1]
    others = [p for p in heads.values() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0}]
    )
    mean = copy.deepcopy(model)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LR * min((step + 1) / WARMUP, (1 + np.cos(np.pi * step / steps)) / 2)
        features, label = changed(joined([sampler() for sampler in samplers]), rng)
        loss = torch.stack([F.cross_entropy(x[0], label) for x in model.actions(features)]).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(list(heads.values()), LARGEST_GRADIENT)
        optimizer.step()
        with torch.no_grad():
            kept = min(AVERAGE, (1 + step) / (10 + step))
            for ours, now in zip(mean.parameters(), model.parameters()):
                ours.lerp_(now, 1 - kept)
            for ours, now in zip(mean.buffers(), model.buffers()):
                ours.copy_(now)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: {loss.item():.3f}", flush=True)
    return mean.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("poses")
    parser.add_argument("out")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    assert BOXES.is_file(), f"{BOXES}: make it with experiments.clip_boxes"
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    poses, card = weights.load(args.poses)
    config = recipe("spnet_s_actions")
    model = weights.network(config.model)
    assert isinstance(model, SPNet)
    model.load_state_dict(poses.state_dict(), strict=False)
    eager = channels_last(model.eval())
    samplers = [
        Sampler(
            joined([computed(mix, n, eager, args.cache) for n, mix in enumerate(mixes)]),
            round(SHARES[name] * BATCH),
            rng,
        )
        for name, mixes in parts().items()
    ]
    model = train(model, samplers, rng, args.steps)
    card = replace(card, config=asdict(config.model), labels=config.labels)
    weights.save(args.out, model, card)


if __name__ == "__main__":
    main()
