"""All losses of one batch, named and weighted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseact import losses
from poseact.run_config import Mix, Stage
from poseact.types import NO_ACTION, Sample
from poseact.weights import Network


class Clues(NamedTuple):
    """What the pose part says of B clips, (B, T, ...) each, and their classes (B,)."""

    clues: tuple[Tensor, ...]
    action: Tensor


class Objective(nn.Module):
    """All losses of one mixed batch; a module of its own so that data-parallel wrappers see it."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, batch: dict[str, Sample] | Clues, stage: Stage, progress: float
    ) -> dict[str, Tensor]:
        """Named losses and `total`. Stills and clips go through the network as one heap."""
        if isinstance(batch, Clues):
            blocks = self.model.actions(tuple(clue.float() for clue in batch.clues))
            action = self._action(blocks, batch.action, stage, stage.mix[0])
            return {"total": stage.action_weight * action, "action": action}
        mixes = [_mix_of(stage, name) for name in batch]
        samples = [_taught(sample, mix) for sample, mix in zip(batch.values(), mixes)]
        frames = torch.cat([s["frames"].flatten(0, 1) for s in samples])  # N 3 H W
        out = self.model.frames(frames.contiguous(memory_format=torch.channels_last))
        pose, valid, inside = (
            torch.cat([s[key].flatten(0, 1) for s in samples])
            for key in ("pose", "valid", "inside")
        )
        dim = self.model.config.dim
        pose, valid = pose[..., :dim], valid[..., :dim]
        known = ~pose[..., 0].isnan()
        heat_weight = stage.heatmap_weight * max(0.0, 1 - progress / stage.heatmap_until)
        parts: dict[str, list[Tensor]] = {"pose": [], "confidence": [], "heatmap": []}
        for p, score, heat in zip(out.poses, out.scores, out.heatmaps):
            parts["pose"].append(_pose_loss(p, pose, valid, stage))
            parts["confidence"].append(
                losses.masked_mean(losses.confidence_bce(score, inside), known)
            )
            if heat_weight:
                entropy = losses.heatmap_cross_entropy(
                    heat, pose[..., :2], cell_centres=self.model.config.cell_centres
                )
                parts["heatmap"].append(losses.masked_mean(entropy, inside))
        result = {name: _over_blocks(values, stage) for name, values in parts.items() if values}
        result.update(self._actions(samples, mixes, out.clues, stage))
        factors = {
            "pose": stage.pose_weight,
            "confidence": stage.confidence_weight,
            "heatmap": heat_weight,
            "action": stage.action_weight,
        }
        terms = [factors[name] * value for name, value in result.items()]
        return {"total": torch.stack(terms).sum(), **result}

    def _actions(
        self, samples: list[Sample], mixes: list[Mix], clues: tuple[Tensor, ...], stage: Stage
    ) -> dict[str, Tensor]:
        """The action loss, mean over the parts whose clips have classes."""
        counts = [s["frames"].shape[0] * s["frames"].shape[1] for s in samples]
        split = [torch.split(clue, counts) for clue in clues]
        found: list[Tensor] = []
        for k, (sample, mix) in enumerate(zip(samples, mixes)):
            shape = sample["frames"].shape[:2]
            if not clues or shape[1] == 1 or bool((sample["action"] == NO_ACTION).all()):
                continue
            own = tuple(part[k].unflatten(0, (shape[0], shape[1])) for part in split)
            found.append(self._action(self.model.actions(own), sample["action"], stage, mix))
        return {"action": torch.stack(found).mean()} if found else {}

    def _action(
        self, blocks: list[tuple[Tensor, ...]], target: Tensor, stage: Stage, mix: Mix
    ) -> Tensor:
        """Cross entropy of every action block, for the part's own action set."""
        found = [losses.action_cross_entropy(sets[mix.action_set], target) for sets in blocks]
        return _over_blocks(found, stage)


def _mix_of(stage: Stage, name: str) -> Mix:
    """The part of that name; one the stage does not know has the defaults."""
    parts = (*stage.mix, *stage.validation)
    return next((mix for mix in parts if mix.name == name), Mix(name, "people", 1))


def _taught(sample: Sample, mix: Mix) -> Sample:
    """The sample without the labels that do not count."""
    if mix.teaches == "pose":
        return {**sample, "action": torch.full_like(sample["action"], NO_ACTION)}
    if mix.teaches == "action":
        nothing = torch.full_like(sample["pose"], torch.nan)
        valid, inside = torch.zeros_like(sample["valid"]), torch.zeros_like(sample["inside"])
        return {**sample, "pose": nothing, "valid": valid, "inside": inside}
    return sample


def _pose_loss(predicted: Tensor, pose: Tensor, valid: Tensor, stage: Stage) -> Tensor:
    if stage.pose_loss == "elastic_net":
        return losses.masked_mean(losses.elastic_net(predicted, pose), valid)
    values = losses.deephar_pose_loss(predicted, torch.where(valid, pose, torch.nan))
    return losses.masked_mean(values, valid.flatten(1).any(1))


def _over_blocks(values: list[Tensor], stage: Stage) -> Tensor:
    if stage.over_blocks == "last":
        return values[-1]
    stacked = torch.stack(values)
    return stacked.mean() if stage.over_blocks == "mean" else stacked.sum()
