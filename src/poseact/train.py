"""Training: stages as data, one loop, checkpoints that resume exactly."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from poseact import __version__, data, losses, weights
from poseact.data import augment as augmentations
from poseact.data.dataset import Batches, Part, loader
from poseact.layers import channels_last
from poseact.layouts import layout_named
from poseact.models.spnet import SPNetConfig
from poseact.people.scene import PeopleConfig
from poseact.run_folder import Log, RunFolder
from poseact.types import NO_ACTION, Sample
from poseact.weights import Network, NetworkConfig, network

AUGMENTS = {
    "none": augmentations.NONE,
    "paper": augmentations.PAPER,
    "strong": augmentations.STRONG,
}


# ------------------------------------------------------------------------------- configuration


@dataclass(frozen=True)
class Mix:
    """One source of a stage: `count` samples of `frames` frames in every batch.

    kind: see `poseact.data.KINDS`. root: folder, environment variables are expanded. people, clips:
    which rendered clips, and how many. step: distance of a clip's frames in the record.
    """

    name: str
    kind: str
    count: int
    frames: int = 1
    step: int = 1
    augment: Literal["none", "paper", "strong"] = "paper"
    root: str | None = None
    people: PeopleConfig | None = None
    clips: int = 1000


@dataclass(frozen=True)
class Stage:
    """A number of steps with one mix, one optimiser and one set of loss weights.

    trains: "actions" freezes all but the action heads, batch normalisation included. schedule:
    "cosine" to zero, "steps" times 0.1 at each milestone (shares of the stage), or "constant".
    heatmap_weight: of a cross entropy on the heat maps that helps short schedules; it falls to zero
    by the share `heatmap_until` of the stage, so that the published loss decides in the end.
    cached: 0, or with trains="actions" and one part of clips: what the frozen pose part says of
    each clip (augmented once) is computed once, and the heads learn on batches of so many.
    """

    name: str
    steps: int
    mix: tuple[Mix, ...]
    trains: Literal["all", "actions"] = "all"
    optimizer: Literal["adamw", "rmsprop", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    milestones: tuple[float, ...] = ()
    warmup: int = 100
    pose_weight: float = 1.0
    confidence_weight: float = 0.01
    action_weight: float = 0.1
    heatmap_weight: float = 0.0
    heatmap_until: float = 1.0
    cached: int = 0

    def __post_init__(self) -> None:
        if self.cached and (self.trains != "actions" or len(self.mix) != 1):
            raise ValueError(
                f"stage {self.name}: cached needs trains='actions' and one part of clips"
            )


@dataclass(frozen=True)
class Config:
    """A whole run. fps, frames and margin (crop over box) go onto the card of the weights.

    devices: processes that train together, each on batches of its own (data-parallel).
    """

    name: str
    model: NetworkConfig
    layout: str
    labels: tuple[tuple[str, ...], ...]
    stages: tuple[Stage, ...]
    size: tuple[int, int] = (128, 128)
    frames: int = 8
    fps: float = 8.0
    margin: float = 1.25
    init: str | None = None
    seed: int = 0
    ema: float = 0.999
    clip_gradient: float = 1.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 1
    log_every: int = 20
    checkpoint_s: float = 120.0
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def card(self) -> weights.Card:
        model = dataclasses.asdict(self.model)
        return weights.Card(
            config=model,
            architecture="spnet" if isinstance(self.model, SPNetConfig) else "multitask",
            layout=self.layout,
            labels=self.labels,
            size=self.size,
            frames=self.frames,
            fps=self.fps,
            margin=self.margin,
            provenance={"recipe": self.name, "poseact": __version__, **self.provenance},
        )


def to_json(config: Config) -> str:
    return json.dumps(dataclasses.asdict(config), indent=1)


def from_json(text: str) -> Config:
    """The inverse of `to_json`; ValueError names a field that is not known."""
    return _revive(Config, json.loads(text))


def _revive(kind: Any, value: Any) -> Any:
    """JSON value -> the dataclass, tuple or optional that a type hint names."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        kinds = [a for a in args if a is not type(None)]
        # Of two kinds of network it is the one that knows all fields; an error names the first.
        fitting = [
            k for k in kinds if len(kinds) == 1 or set(value) <= set(typing.get_type_hints(k))
        ]
        return None if value is None else _revive((fitting or kinds)[0], value)
    if origin is tuple:
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_revive(k, v) for k, v in zip(inner, value))
    if not dataclasses.is_dataclass(kind):
        return value
    hints = typing.get_type_hints(kind)
    strange = set(value) - set(hints)
    if strange:
        raise ValueError(f"{getattr(kind, '__name__', kind)} has no field {sorted(strange)}")
    return typing.cast(Any, kind)(**{name: _revive(hints[name], v) for name, v in value.items()})


# ------------------------------------------------------------------------------- loss of a batch


class Clues(typing.NamedTuple):
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
            found = [losses.action_cross_entropy(sets[0], batch.action) for sets in blocks]
            action = torch.stack(found).mean()
            return {"total": stage.action_weight * action, "action": action}
        samples = list(batch.values())
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
            parts["pose"].append(losses.masked_mean(losses.elastic_net(p, pose), valid))
            parts["confidence"].append(
                losses.masked_mean(losses.confidence_bce(score, inside), known)
            )
            if heat_weight:
                entropy = losses.heatmap_cross_entropy(
                    heat, pose[..., :2], cell_centres=self.model.config.cell_centres
                )
                parts["heatmap"].append(losses.masked_mean(entropy, inside))
        result = {name: torch.stack(values).mean() for name, values in parts.items() if values}
        result.update(self._actions(samples, out.clues))
        factors = {
            "pose": stage.pose_weight,
            "confidence": stage.confidence_weight,
            "heatmap": heat_weight,
            "action": stage.action_weight,
        }
        terms = [factors[name] * value for name, value in result.items()]
        return {"total": torch.stack(terms).sum(), **result}

    def _actions(self, samples: list[Sample], clues: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Cross entropy of every action block over the clips that have a class."""
        counts = [s["frames"].shape[0] * s["frames"].shape[1] for s in samples]
        split = [torch.split(clue, counts) for clue in clues]
        found: list[Tensor] = []
        for k, sample in enumerate(samples):
            shape = sample["frames"].shape[:2]
            if not clues or shape[1] == 1 or bool((sample["action"] == NO_ACTION).all()):
                continue
            own = tuple(part[k].unflatten(0, (shape[0], shape[1])) for part in split)
            found += [
                losses.action_cross_entropy(sets[0], sample["action"])
                for sets in self.model.actions(own)
            ]
        return {"action": torch.stack(found).mean()} if found else {}


# ------------------------------------------------------------------------------- the loop


def fit(config: Config, out: str | Path, *, resume: bool = False, workers: int = 2) -> Path:
    """Train and return the path of the weights. `workers` render people that are not in the cache.

    A folder that holds another run is refused unless `resume`; then the run goes on from its
    checkpoint (from the start if it has none). Losses that are not finite stop the run, which stays
    resumable.
    """
    fabric = _fabric(config)
    folder = RunFolder(Path(out), writes=fabric.is_global_zero)
    folder.claim(to_json(config), resume=resume)
    torch.manual_seed(config.seed)
    model = weights.load(config.init).model.train() if config.init else network(config.model)
    if model.config != config.model:
        raise ValueError(f"{config.init} holds another network than the configuration asks for")
    objective = Objective(channels_last(model))
    average = AveragedModel(model, multi_avg_fn=_moving_average(config.ema), use_buffers=True)
    average = average.to(fabric.device)
    done = 0
    state = folder.read_checkpoint() if resume else None
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        done = int(state["step"])
    first = 0
    for number, stage in enumerate(config.stages):
        last = first + stage.steps
        if done < last:
            trainer = _StageRun(config, number, objective, average, fabric, folder, workers)
            trainer.run(done - first if done > first else 0, first, state)
            done, state = last, None
        first = last
    path = folder.path / "weights.safetensors"
    if fabric.is_global_zero:
        weights.save(path, typing.cast(Network, average.module), config.card())
    return path


class _StageRun:
    """One stage of a run: its data, optimiser and steps."""

    def __init__(
        self,
        config: Config,
        number: int,
        objective: Objective,
        average: AveragedModel,
        fabric: Any,
        folder: RunFolder,
        workers: int,
    ) -> None:
        self.config, self.number, self.stage = config, number, config.stages[number]
        self.model, self.average = objective.model, average
        self.fabric, self.folder = fabric, folder
        self.parts = [_part(mix, config.margin, workers) for mix in self.stage.mix]
        _freeze(self.model, self.stage)
        self.optimizer = _optimizer(self.model, self.stage)
        self.objective, self.optimizer = fabric.setup(objective, self.optimizer)

    def run(self, done: int, first: int, state: dict[str, Any] | None) -> None:
        config, stage = self.config, self.stage
        if state is not None and state["stage"] == self.number:
            self.optimizer.load_state_dict(state["optimizer"])
        if done == 0:  # what a stage has not trained yet must not stay in the average
            self.average.n_averaged.zero_()
        # Stages and processes see other batches; the batch of the run is that of all processes.
        seed = config.seed * 1000 + self.number + 1_000_000 * self.fabric.global_rank
        batches = Batches(self.parts, layout_named(config.layout), size=config.size, seed=seed)
        log = Log(self.folder, first + done, config.steps)
        saved_s = time.monotonic()
        steps = (
            self._cached(batches, done)
            if stage.cached
            else loader(batches, done, stage.steps, workers=config.workers)
        )
        for step, batch in enumerate(steps, start=done):
            values = self._step(self.fabric.to_device(batch), step)
            log.add(values)
            total = first + step + 1
            if total % config.log_every == 0 or step + 1 == stage.steps:
                log.write(total, stage.name, _learning_rate(stage, step))
            if time.monotonic() - saved_s > config.checkpoint_s or step + 1 == stage.steps:
                self._save(total)
                saved_s = time.monotonic()

    def _cached(self, batches: Batches, done: int) -> Iterator[Clues]:
        """Batches of `stage.cached` clips whose clues are computed here, once."""
        part, model = self.parts[0], self.model
        count = -(-len(part.records) // part.count)
        clues: list[tuple[Tensor, ...]] = []
        action: list[Tensor] = []
        for batch in loader(batches, 0, count, workers=self.config.workers):
            sample = self.fabric.to_device(batch[part.name])
            shape = sample["frames"].shape[:2]
            with torch.inference_mode():
                out = model.frames(sample["frames"].flatten(0, 1))
            clues.append(tuple(clue.unflatten(0, shape).half() for clue in out.clues))
            action.append(sample["action"])
            if len(clues) % 50 == 0:
                print(
                    f"looked at {len(clues) * part.count} of {len(part.records)} clips", flush=True
                )
        table = tuple(torch.cat(column).clone() for column in zip(*clues))
        target = torch.cat(action)
        for step in range(done, self.stage.steps):
            seed = np.random.SeedSequence([batches.seed, 2, step])
            rows = np.random.default_rng(seed).permutation(len(target))[: self.stage.cached]
            index = torch.from_numpy(rows).to(target.device)
            yield Clues(tuple(column[index] for column in table), target[index])

    def _step(self, batch: dict[str, Sample] | Clues, step: int) -> dict[str, Tensor]:
        stage = self.stage
        for group in self.optimizer.param_groups:
            group["lr"] = _learning_rate(stage, step)
        values = self.objective(batch, stage, step / stage.steps)
        seen = {name: value.detach() for name, value in values.items()}
        if not bool(torch.isfinite(seen["total"])):
            numbers = {name: float(value) for name, value in seen.items()}
            raise FloatingPointError(
                f"stage {stage.name}, step {step}: a loss is not finite: {numbers}; the last "
                f"checkpoint in {self.folder.path} is whole: resume with a lower learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(values["total"])
        if self.config.clip_gradient:
            self.fabric.clip_gradients(
                self.objective, self.optimizer, max_norm=self.config.clip_gradient
            )
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return seen

    def _save(self, step: int) -> None:
        self.folder.save_checkpoint(
            {
                "step": step,
                "stage": self.number,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        )


def _part(mix: Mix, margin: float, workers: int) -> Part:
    root = None if mix.root is None else os.path.expandvars(mix.root)
    records = data.load(
        mix.kind, root, split="train", people=mix.people, clips=mix.clips, workers=workers
    )
    return Part(
        name=mix.name,
        records=records,
        count=mix.count,
        frames=mix.frames,
        step=mix.step,
        augment=AUGMENTS[mix.augment],
        margin=margin,
    )


def _freeze(model: Network, stage: Stage) -> None:
    """Frozen means frozen: no gradient, and batch normalisation in inference mode."""
    for name, module in model.named_modules():
        acting = any(part.startswith("act") for part in name.split("."))
        learns = stage.trains == "all" or acting
        if name:
            module.train(learns)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(learns)


def _optimizer(model: Network, stage: Stage) -> torch.optim.Optimizer:
    """Weight decay acts on kernels only, not on the vectors of batch normalisation."""
    learning = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if stage.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=stage.lr)
    if stage.optimizer == "rmsprop":  # Keras' constants, which the published recipes rely on
        return torch.optim.RMSprop(groups, lr=stage.lr, alpha=0.9, eps=1e-7)
    return torch.optim.SGD(groups, lr=stage.lr, momentum=stage.momentum, nesterov=True)


def _learning_rate(stage: Stage, step: int) -> float:
    warm = min(1.0, (step + 1) / max(stage.warmup, 1))
    share = step / stage.steps
    if stage.schedule == "cosine":
        return stage.lr * warm * (0.5 + 0.5 * math.cos(math.pi * share))
    if stage.schedule == "steps":
        return stage.lr * warm * 0.1 ** sum(share >= m for m in stage.milestones)
    return stage.lr * warm


def _moving_average(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
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


def _fabric(config: Config) -> Any:
    """Lightning Fabric, which carries device, precision and data parallelism."""
    try:
        from lightning_fabric import Fabric
    except ImportError:  # the same class inside the full `lightning` package
        from lightning.fabric import Fabric  # type: ignore[import-not-found]
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,
        # A stage of stills leaves the action heads without a gradient.
        strategy="ddp_find_unused_parameters_true" if config.devices > 1 else "auto",
    )
    fabric.launch()
    return fabric
