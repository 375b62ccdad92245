"""Training: one loop over stages, checkpoints that resume exactly."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import re
import time
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from poseact import data, weights
from poseact.data.dataset import Batches, Part, loader
from poseact.layers import channels_last
from poseact.layouts import Layout, layout_named
from poseact.learning import Plateau, freeze, learning_rate, moving_average, optimizer
from poseact.objective import Clues, Objective
from poseact.run_config import AUGMENTS, Config, Mix, Stage, from_json, to_json
from poseact.run_folder import Log, RunFolder
from poseact.types import Record, Sample
from poseact.weights import Network, network

__all__ = ["Clues", "Config", "Mix", "Objective", "Stage", "fit", "from_json", "to_json"]


def fit(config: Config, out: str | Path, *, resume: bool = False, workers: int = 2) -> Path:
    """Train and return the path of the weights. `workers` render people that are not in the cache.

    A folder that holds another run is refused unless `resume`; then the run goes on from its
    checkpoint (from the start if it has none). Losses that are not finite stop the run, which stays
    resumable.
    """
    fabric = open_fabric(config)
    folder = RunFolder(Path(out), writes=fabric.is_global_zero)
    folder.claim(_note(config, folder.path), resume=resume)
    torch.manual_seed(config.seed)
    model = start(config)
    objective = Objective(channels_last(model))
    average = AveragedModel(model, multi_avg_fn=moving_average(config.ema), use_buffers=True)
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
            trainer = StageRun(config, number, objective, average, fabric, folder, workers)
            trainer.run(done - first if done > first else 0, first, state)
            done, state = last, None
        first = last
    path = folder.path / "weights.safetensors"
    if fabric.is_global_zero:
        weights.save(path, typing.cast(Network, average.module), config.card())
    return path


def _note(config: Config, path: Path) -> str:
    """config.json of the run; the folder's own text if it says the same in an older version."""
    note = path / "config.json"
    if note.is_file():
        text = note.read_text()
        try:
            if from_json(text) == config:
                return text
        except ValueError:  # another run, which `claim` will say
            pass
    return to_json(config)


def start(config: Config) -> Network:
    """The network in training mode: fresh, or from `config.init`.

    ValueError if those weights are of another network; what concerns actions may differ.
    """
    model = network(config.model)
    if config.init is None:
        return model.train()
    given = weights.load(os.path.expandvars(config.init)).model
    mine, theirs = asdict(model.config), asdict(given.config)
    other = {name for name in mine.keys() | theirs if mine.get(name) != theirs.get(name)}
    known, expected = given.state_dict(), model.state_dict()
    odd = [n for n, v in known.items() if n not in expected or v.shape != expected[n].shape]
    if odd or other - OF_ACTIONS:
        raise ValueError(
            f"{config.init} holds another network than the configuration asks for: "
            f"{sorted(other - OF_ACTIONS) or odd[:3]} differ"
        )
    model.load_state_dict({**expected, **known})
    if getattr(config.model, "replica", False) and not getattr(given.config, "replica", False):
        typing.cast(Any, model).copy_replica()
    return model.train()


OF_ACTIONS = {
    *("actions", "action_pyramids", "replica", "pose_features", "visual_features"),
    *("sharpness", "pose_branch", "weighted_merge", "action_blocks"),
}
"""Settings in which a network may differ from the weights it starts from."""


# ------------------------------------------------------------------------------- data


def open_parts(mixes: Sequence[Mix], margin: float, workers: int) -> list[Part]:
    """The parts with their records; what several parts share is read once.

    FileNotFoundError names the part, and where its data was looked for.
    """
    read: dict[str, list[Record]] = {}
    for mix in mixes:
        if _source(mix) not in read:
            read[_source(mix)] = _records(mix, workers)
    return [
        Part(
            name=mix.name,
            records=read[_source(mix)],
            count=mix.count,
            frames=mix.frames,
            step=mix.step,
            augment=AUGMENTS[mix.augment],
            margin=margin if mix.margin is None else mix.margin,
        )
        for mix in mixes
    ]


def _source(mix: Mix) -> str:
    return repr((mix.kind, mix.root, mix.split, mix.options, mix.people, mix.clips))


def _records(mix: Mix, workers: int) -> list[Record]:
    root = None if mix.root is None else _folder(mix, mix.root)
    if not mix.options:
        return data.load(
            mix.kind, root, split=mix.split, people=mix.people, clips=mix.clips, workers=workers
        )
    if mix.kind not in data.READERS or root is None:
        raise ValueError(f"part {mix.name}: options are for a reader of files with a root")
    reader = importlib.import_module(f"poseact.data.{data.READERS[mix.kind]}").load
    strange = set(mix.options) - set(inspect.signature(reader).parameters)
    if strange:
        raise ValueError(f"part {mix.name}: the reader of {mix.kind} has no option {strange}")
    options: dict[str, Any] = dict(mix.options)
    if "layout" in options:
        options["layout"] = layout_named(options["layout"])
    return reader(root, mix.split, **options)


def _folder(mix: Mix, root: str) -> str:
    expanded = os.path.expandvars(root)
    unset = re.search(r"\$\w+", expanded)
    if unset:
        raise FileNotFoundError(
            f"part {mix.name}: {mix.kind} is looked for in {root}, and {unset[0]} is not set"
        )
    if not Path(expanded).exists():
        raise FileNotFoundError(f"part {mix.name}: no {mix.kind} data in {expanded} ({root})")
    return expanded


class Turns(Batches):
    """Batches of a stage whose parts take turns, and whose clips change the distance of frames.

    Batch s is number s // turns of turn s % turns. With one turn and one distance these are the
    `Batches` of the parts.
    """

    def __init__(
        self,
        mixes: Sequence[Mix],
        parts: Sequence[Part],
        layout: Layout,
        *,
        size: tuple[int, int],
        seed: int = 0,
    ) -> None:
        super().__init__(parts, layout, size=size, seed=seed)
        turns = 1 + max(mix.turn for mix in mixes)
        self.turns = [self._variants(mixes, turn) for turn in range(turns)]

    def _variants(self, mixes: Sequence[Mix], turn: int) -> list[Batches]:
        """The batches of a turn, once for every combination of distances that comes up."""
        own = [(mix, part) for mix, part in zip(mixes, self.parts) if mix.turn == turn]
        variants: list[Batches] = []
        for i in range(math.lcm(*(max(len(mix.steps), 1) for mix, _ in own))):
            spaced = [
                replace(part, step=mix.steps[i % len(mix.steps)]) if mix.steps else part
                for mix, part in own
            ]
            seed = self.seed + 100_000_000 * turn  # parts of two turns see other draws
            variants.append(Batches(spaced, self.layout, size=self.size, seed=seed))
        return variants

    def __getitem__(self, step: int) -> dict[str, Sample]:
        number, turn = divmod(step, len(self.turns))
        variants = self.turns[turn]
        return variants[number % len(variants)][number]


# ------------------------------------------------------------------------------- the loop


class StageRun:
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
        # Stages and processes see other batches; the batch of the run is that of all processes.
        seed = config.seed * 1000 + number + 1_000_000 * fabric.global_rank
        self.batches = self._turns(self.stage.mix, seed, workers)
        held_out = self.stage.validation
        self.validation = self._turns(held_out, seed, workers) if held_out else None
        self.plateau = Plateau(self.stage)
        freeze(self.model, self.stage)
        self.optimizer = optimizer(self.model, self.stage)
        self.objective, self.optimizer = fabric.setup(objective, self.optimizer)

    def _turns(self, mixes: Sequence[Mix], seed: int, workers: int) -> Turns:
        config = self.config
        parts = open_parts(mixes, config.margin, workers)
        layout = layout_named(config.layout)
        return Turns(mixes, parts, layout, size=config.size, seed=seed)

    def run(self, done: int, first: int, state: dict[str, Any] | None) -> None:
        """All steps from `done` on; `first` is the run's step at which the stage begins."""
        config, stage = self.config, self.stage
        if state is not None and state["stage"] == self.number:
            self.optimizer.load_state_dict(state["optimizer"])
            self.plateau.load(state.get("plateau", {}))
        if done == 0:
            self.begin()
        log = Log(self.folder, first + done, config.steps)
        saved_s = time.monotonic()
        for step, batch in enumerate(self.steps(done), start=done):
            log.add(self.step(self.fabric.to_device(batch), step))
            if stage.schedule == "plateau" and (step + 1) % stage.check_every == 0:
                log.add({"validation": self._check()})
            total = first + step + 1
            if total % config.log_every == 0 or step + 1 == stage.steps:
                log.write(total, stage.name, self._rate(step))
            if time.monotonic() - saved_s > config.checkpoint_s or step + 1 == stage.steps:
                self._save(total)
                saved_s = time.monotonic()

    def begin(self) -> None:
        """What happens once, before the first step."""
        if self.stage.copy_replica:
            typing.cast(Any, self.model).copy_replica()
        self.average.n_averaged.zero_()  # what was not trained yet must not stay in the average

    def steps(self, done: int) -> Iterable[dict[str, Sample] | Clues]:
        """The batches of the steps from `done` on."""
        if self.stage.cached:
            return self._cached(done)
        return loader(self.batches, done, self.stage.steps, workers=self.config.workers)

    def _cached(self, done: int) -> Iterator[Clues]:
        """Batches of `stage.cached` clips whose clues are computed here, once."""
        part, model = self.batches.parts[0], self.model
        count = -(-len(part.records) // part.count)
        clues: list[tuple[Tensor, ...]] = []
        action: list[Tensor] = []
        for batch in loader(self.batches, 0, count, workers=self.config.workers):
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
            seed = np.random.SeedSequence([self.batches.seed, 2, step])
            rows = np.random.default_rng(seed).permutation(len(target))[: self.stage.cached]
            index = torch.from_numpy(rows).to(target.device)
            yield Clues(tuple(column[index] for column in table), target[index])

    def _rate(self, step: int) -> float:
        return learning_rate(self.stage, step) * self.plateau.factor

    def step(self, batch: dict[str, Sample] | Clues, step: int) -> dict[str, Tensor]:
        """Forward, backward and one update; the losses. FloatingPointError if one is not finite."""
        stage = self.stage
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        values = self.objective(batch, stage, step / stage.steps)
        seen = {name: value.detach() for name, value in values.items()}
        if not bool(torch.isfinite(seen["total"])):
            numbers = {name: float(value) for name, value in seen.items()}
            raise FloatingPointError(
                f"stage {stage.name}, step {step}: a loss is not finite: {numbers}; the last "
                f"checkpoint in {self.folder.path} is whole: resume with a lower learning rate"
            )
        self.plateau.add(float(seen["total"]))
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(values["total"])
        if self.config.clip_gradient:
            self.fabric.clip_gradients(
                self.objective, self.optimizer, max_norm=self.config.clip_gradient
            )
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return seen

    def _check(self) -> Tensor:
        """The loss that the plateau goes by, the same in all processes."""
        loss = self.plateau.mean() if self.validation is None else self._validation_loss()
        loss = self.fabric.all_reduce(torch.tensor(loss), reduce_op="mean")
        self.plateau.check(float(loss))
        return loss

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean loss of the first batches of the held-out data, in inference mode."""
        assert self.validation is not None
        self.model.eval()
        count = self.stage.validation_batches
        held_out = loader(self.validation, 0, count, workers=self.config.workers)
        found = [
            float(self.objective(self.fabric.to_device(batch), self.stage, 1.0)["total"])
            for batch in held_out
        ]
        self.model.train()
        freeze(self.model, self.stage)
        return sum(found) / count

    def _save(self, step: int) -> None:
        self.folder.save_checkpoint(
            {
                "step": step,
                "stage": self.number,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "plateau": self.plateau.state(),
            }
        )


def open_fabric(config: Config) -> Any:
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
