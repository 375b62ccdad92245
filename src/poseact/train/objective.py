"""All losses of one batch, named and weighted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from poseact.core.types import NO_ACTION, Sample
from poseact.models.weights import Network
from poseact.train import losses
from poseact.train.config import Mix, Stage


class Features(NamedTuple):
    """What the pose part says of B clips, (B, T, ...) each, and their classes (B,)."""

    features: tuple[Tensor, ...]
    action: Tensor


class Objective(nn.Module):
    """All losses of one mixed batch; a module of its own so that data-parallel wrappers see it.

    Every loss is a mean over what is known of it. A portion of a larger batch (a micro-batch, the
    share of a process) counts by its part in `whole`, the counts of all portions: the losses of the
    portions then add up to those of the batch, whatever is unknown in which of them.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        batch: dict[str, Sample] | Features,
        stage: Stage,
        progress: float,
        whole: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Named losses and `total`. Stills and clips pass the network as one batch of frames."""
        own = self.counts(batch, stage)
        whole = own if whole is None else whole
        if isinstance(batch, Features):
            blocks = self.model.actions(tuple(feature.float() for feature in batch.features))
            action = self._action(blocks, batch.action, stage, stage.mix[0])
            action = action * _portion(own, whole, _of_action(stage.mix[0]))
            return {"total": stage.action_weight * action, "action": action}
        mixes = [_mix_of(stage, name) for name in batch]
        samples = [taught(sample, mix) for sample, mix in zip(batch.values(), mixes)]
        frames = torch.cat([s["frames"].flatten(0, 1) for s in samples])  # N 3 H W
        given = known_poses(batch.values(), self.model) if stage.poses == "annotated" else None
        out = self.model.frames(frames.contiguous(memory_format=torch.channels_last), given)
        pose, valid, inside = (
            torch.cat([s[key].flatten(0, 1) for s in samples])
            for key in ("pose", "valid", "inside")
        )
        dim = self.model.config.dim
        weight = torch.cat([_weight(s).flatten(0, 1) for s in samples])[..., :dim]
        pose, valid = pose[..., :dim], valid[..., :dim] * weight
        known = ~pose[..., 0].isnan() * weight[..., 0]
        heat_weight = stage.heatmap_weight * max(0.0, 1 - progress / stage.heatmap_until)
        parts: dict[str, list[Tensor]] = {"pose": [], "confidence": [], "heatmap": []}
        for p, score, heat in zip(out.poses, out.scores, out.heatmaps):
            parts["pose"].append(_pose_loss(p, pose, valid, stage))
            target = inside
            if stage.confidence_target == "right":
                target = inside & losses.is_right(p, pose)
            parts["confidence"].append(
                losses.masked_mean(losses.confidence_bce(score, target), known)
            )
            if heat_weight:
                entropy = losses.heatmap_cross_entropy(
                    heat, pose[..., :2], cell_centres=self.model.config.cell_centres
                )
                parts["heatmap"].append(losses.masked_mean(entropy, inside * weight[..., 0]))
        result = {
            name: _over_blocks(values, stage) * _portion(own, whole, name)
            for name, values in parts.items()
            if values
        }
        actions = self._actions(samples, mixes, out.features, stage)
        named = [name for name, count in whole.items() if name.startswith("action ") and count > 0]
        if named and out.features:
            found = [loss * _portion(own, whole, name) for name, loss in actions.items()]
            none = result["pose"].new_zeros(())
            result["action"] = torch.stack(found or [none]).sum() / len(named)
        factors = {
            "pose": stage.pose_weight,
            "confidence": stage.confidence_weight,
            "heatmap": heat_weight,
            "action": stage.action_weight,
        }
        terms = [factors[name] * value for name, value in result.items()]
        return {"total": torch.stack(terms).sum(), **result}

    def counts(self, batch: dict[str, Sample] | Features, stage: Stage) -> dict[str, Tensor]:
        """Over how many known values each loss is a mean; actions for each part of clips."""
        if isinstance(batch, Features):
            return {_of_action(stage.mix[0]): (batch.action != NO_ACTION).sum()}
        dim, zero = self.model.config.dim, torch.zeros((), dtype=torch.long)
        found = {"pose": zero, "confidence": zero, "heatmap": zero}
        for name, sample in batch.items():
            mix = _mix_of(stage, name)
            sample = taught(sample, mix)
            weight = _weight(sample)
            valid = sample["valid"][..., :dim] * weight[..., :dim]
            if stage.pose_loss == "released":
                valid = (valid > 0).flatten(2).any(-1)  # poses, not coordinates
            elif stage.pose_loss == "text":
                valid = valid.amax(-1)  # joints
            found["pose"] = found["pose"] + valid.sum()
            known = ~sample["pose"][..., 0].isnan() * weight[..., 0]
            found["confidence"] = found["confidence"] + known.sum()
            found["heatmap"] = found["heatmap"] + (sample["inside"] * weight[..., 0]).sum()
            if sample["frames"].shape[1] > 1:
                found[_of_action(mix)] = (sample["action"] != NO_ACTION).sum()
        return found

    def _actions(
        self, samples: list[Sample], mixes: list[Mix], features: tuple[Tensor, ...], stage: Stage
    ) -> dict[str, Tensor]:
        """The action loss of each part whose clips have classes."""
        counts = [s["frames"].shape[0] * s["frames"].shape[1] for s in samples]
        split = [torch.split(feature, counts) for feature in features]
        found: dict[str, Tensor] = {}
        for k, (sample, mix) in enumerate(zip(samples, mixes)):
            shape = sample["frames"].shape[:2]
            if not features or shape[1] == 1 or bool((sample["action"] == NO_ACTION).all()):
                continue
            own = tuple(part[k].unflatten(0, (shape[0], shape[1])) for part in split)
            loss = self._action(self.model.actions(own), sample["action"], stage, mix)
            found[_of_action(mix)] = loss
        return found

    def _action(
        self, blocks: list[tuple[Tensor, ...]], target: Tensor, stage: Stage, mix: Mix
    ) -> Tensor:
        """Cross entropy of every action block, for the part's own action set."""
        found = [losses.action_cross_entropy(sets[mix.action_set], target) for sets in blocks]
        return _over_blocks(found, stage)


def micro_batches(batch: dict[str, Sample] | Features, number: int) -> list[Any]:
    """A batch in at most `number` portions: samples i, i + number, ... of every part.

    Portions leave out the parts that have no sample for them; the first has samples of all parts.
    """
    if number == 1:
        return [batch]
    if isinstance(batch, Features):
        return [
            Features(
                tuple(feature[i::number] for feature in batch.features), batch.action[i::number]
            )
            for i in range(min(number, len(batch.action)))
        ]
    largest = max(len(sample["action"]) for sample in batch.values())
    return [
        {
            name: {key: cast(Tensor, value)[i::number] for key, value in sample.items()}
            for name, sample in batch.items()
            if i < len(sample["action"])
        }
        for i in range(min(number, largest))
    ]


def _of_action(mix: Mix) -> str:
    return f"action {mix.name}"


def _portion(own: dict[str, Tensor], whole: dict[str, Tensor], name: str) -> Tensor:
    """The part of a portion in the whole; of nothing at all it is nothing."""
    return own[name] / whole[name].clamp(min=1)


def _mix_of(stage: Stage, name: str) -> Mix:
    """The part of that name; one the stage does not know has the defaults."""
    parts = (*stage.mix, *stage.validation)
    return next((mix for mix in parts if mix.name == name), Mix(name, "people", 1))


def known_poses(samples: Iterable[Sample], model: Network) -> Tensor:
    """(N, J, D) u v [d] of all frames, NaN unknown, for heads that read the data's poses."""
    return torch.cat([s["pose"][..., : model.config.dim].flatten(0, 1) for s in samples])


def taught(sample: Sample, mix: Mix) -> Sample:
    """The sample without the labels that do not count, and with the class of clips without one."""
    if mix.action is not None:
        unnamed = sample["action"] == NO_ACTION
        sample = {**sample, "action": sample["action"].masked_fill(unnamed, mix.action)}
    if mix.teaches == "pose":
        return {**sample, "action": torch.full_like(sample["action"], NO_ACTION)}
    if mix.teaches == "action":
        nothing = torch.full_like(sample["pose"], torch.nan)
        valid, inside = torch.zeros_like(sample["valid"]), torch.zeros_like(sample["inside"])
        return {**sample, "pose": nothing, "valid": valid, "inside": inside}
    return sample


def _weight(sample: Sample) -> Tensor:
    """(B, T, J, 3) how much each label counts."""
    given = sample.get("weight")
    return torch.ones_like(sample["pose"]) if given is None else given


def _pose_loss(predicted: Tensor, pose: Tensor, valid: Tensor, stage: Stage) -> Tensor:
    if stage.pose_loss == "elastic_net":
        return losses.masked_mean(losses.elastic_net(predicted, pose), valid)
    if stage.pose_loss == "text":
        joints = losses.joint_elastic_net(predicted, pose, valid)
        return losses.masked_mean(joints, valid.amax(-1))
    values = losses.deephar_pose_loss(predicted, torch.where(valid > 0, pose, torch.nan))
    return losses.masked_mean(values, (valid > 0).flatten(1).any(1))


def _over_blocks(values: list[Tensor], stage: Stage) -> Tensor:
    if stage.over_blocks == "last":
        return values[-1]
    stacked = torch.stack(values)
    return stacked.mean() if stage.over_blocks == "mean" else stacked.sum()
