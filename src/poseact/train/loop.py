"""Training: one loop over stages, checkpoints that resume exactly."""

from __future__ import annotations

import json
import time
import typing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from poseact.core.console import SILENT, Console
from poseact.core.files import write_text
from poseact.core.layouts import layout_named
from poseact.core.reading import understood
from poseact.core.types import Sample
from poseact.data.dataset import Share, loader, make_sample
from poseact.data.device_augment import check_augment, cut, finish
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.weights import Network
from poseact.train.cached import Cached, batches_of
from poseact.train.checks import held_out_loss, held_out_score
from poseact.train.config import Config, Mix, Stage, from_json, to_json
from poseact.train.network import initial_network
from poseact.train.objective import Features, Objective, known_poses, micro_batches, taught
from poseact.train.optim import (
    FALLING,
    Best,
    Coupled,
    Plateau,
    following,
    freeze,
    learning_rate,
    moving_average,
    optimizer,
)
from poseact.train.parts import AlternatingBatches, open_parts
from poseact.train.processes import (
    Interrupts,
    Reached,
    Stopped,
    anywhere,
    deterministic,
    fill,
    fill_optimizer,
    open_fabric,
    out_of_memory,
    reshard,
    same_buffers,
    shard,
    sums_over,
    whole_network,
    whole_optimizer_state,
    whole_state,
)
from poseact.train.run_folder import Log, RunFolder, open_board

__all__ = [
    "AlternatingBatches",
    "Features",
    "Config",
    "Mix",
    "Objective",
    "Stage",
    "Stopped",
    "fit",
    "from_json",
    "to_json",
]


def fit(
    config: Config,
    out: str | Path,
    *,
    resume: bool = False,
    workers: int = 2,
    tensorboard: bool = False,
    console: Console = SILENT,
) -> Path:
    """Train and return the path of the weights. `workers` render people that are not in the cache.

    A folder that holds another run is refused unless `resume`; then the run goes on from its
    checkpoint (from the start if it has none), perhaps on other machines. Losses that are not
    finite (FloatingPointError), memory that is used up (MemoryError) and Ctrl-C or SIGTERM
    (`Stopped`, after the step) end the run, which stays resumable. tensorboard: the numbers of
    log.jsonl also go into the folder `tensorboard`. console: gets the lines of the log.
    """
    fabric = open_fabric(config)
    folder = RunFolder(Path(out), writes=fabric.is_global_zero, console=console)
    folder.claim(_note(config, folder.path), resume=resume)
    state = folder.read_checkpoint() if resume else None
    done = 0 if state is None else int(state["step"])
    board = open_board(folder.path / "tensorboard", done) if tensorboard and folder.writes else None
    torch.manual_seed(config.seed)
    model = initial_network(config)
    if config.sync_batchnorm:
        model = typing.cast(Network, torch.nn.SyncBatchNorm.convert_sync_batchnorm(model))
    objective = Objective(channels_last(model))
    average = AveragedModel(model, multi_avg_fn=moving_average(config.ema), use_buffers=True)
    average = average.to(fabric.device)
    if state is not None:
        with understood(folder.path):
            model.load_state_dict(state["model"])
            average.load_state_dict(state["average"])
    first, reached = 0, None if state is None else state.get("reached")
    for number, stage in enumerate(config.stages):
        last = first + stage.steps
        if done < last:
            trainer = StageRun(
                config, number, objective, average, fabric, folder, workers, reached=reached
            )
            with deterministic(config.deterministic):
                begun = done - first if done > first else 0
                reached = trainer.run(begun, first, state, board=board)
            done, state = last, None
        first = last
    path, model = folder.path / "weights.safetensors", whole_network(fabric, config, average.module)
    if fabric.is_global_zero:
        weights.save(path, model, config.card())
    return path


def _note(config: Config, path: Path) -> str:
    """config.json of the run; the folder's own text if it says the same in an older version."""
    note = path / "config.json"
    if note.is_file():
        with suppress(ValueError), understood(note):  # another run, which `claim` will say
            text = note.read_text()
            if from_json(text).same_run(config):
                return text
    return to_json(config)


# ------------------------------------------------------------------------------- the loop


class OfStage(nn.Module):
    """The losses of a stage; Fabric takes apart what a module is called with, but not a stage."""

    def __init__(self, objective: Objective, stage: Stage) -> None:
        super().__init__()
        self.objective, self.stage = objective, stage

    def forward(
        self, batch: dict[str, Sample] | Features, progress: float, whole: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return self.objective(batch, self.stage, progress, whole)


class StageRun:
    """One stage of a run: its data, optimiser and steps.

    reached: the rate at which the stage before ended; None is what its schedule says.
    """

    def __init__(
        self,
        config: Config,
        number: int,
        objective: Objective,
        average: AveragedModel,
        fabric: Any,
        folder: RunFolder,
        workers: int,
        *,
        reached: float | None = None,
    ) -> None:
        self.config, self.number = config, number
        self.reached, self.stage = reached, following(config, number, reached)
        self.model, self.average = objective.model, average
        self.fabric, self.folder = fabric, folder
        self._every_process_has_a_share()
        seed = config.seed * 1000 + number  # stages see other batches
        on_device = config.augment_on == "device"
        self.batches = self._open(self.stage.mix, seed, workers, on_device=on_device)
        self.cached = Cached(self.batches, self.stage)
        held_out = self.stage.validation
        self.validation = self._open(held_out, seed, workers) if held_out else None
        self.plateau, self.best = Plateau(self.stage), Best(self.stage)
        shard(fabric, objective, average.module)
        freeze(self.model, self.stage)
        self.losses, self.objective = objective, fabric.setup_module(OfStage(objective, self.stage))
        self.optimizer = fabric.setup_optimizers(optimizer(self.model, self.stage))
        self.coupled = Coupled(self.model, self.stage)

    def _every_process_has_a_share(self) -> None:
        stage, world = self.stage, self.fabric.world_size
        counts = ([m.count for m in stage.mix if m.batch == k] for k in range(stage.alternating))
        least = stage.cached or min(map(max, counts))
        if world > least:
            raise ValueError(
                f"stage {stage.name}: {world} processes share a batch whose largest part has "
                f"{least} samples; give it more, or take fewer devices"
            )

    def _open(
        self, mixes: Sequence[Mix], seed: int, workers: int, *, on_device: bool = False
    ) -> AlternatingBatches:
        config = self.config
        with self.fabric.rank_zero_first(local=True):  # people are rendered once
            parts = open_parts(mixes, config.margin, workers, console=self.folder.console)
        if on_device:
            for part in parts:
                check_augment(part.name, part.augment)
        layout, make = layout_named(config.layout), cut if on_device else make_sample
        return AlternatingBatches(mixes, parts, layout, size=config.size, seed=seed, make=make)

    def run(
        self, done: int, first: int, state: dict[str, Any] | None, *, board: Any | None = None
    ) -> float:
        """All steps from `done` on; `first` is the run's step at which the stage begins.

        Gives the rate at which it ends.
        """
        config, stage = self.config, self.stage
        if state is not None and state["stage"] == self.number:
            fill_optimizer(self.optimizer, state["optimizer"])
            self.plateau.load(state.get("plateau", {}))
            self.best.load(state.get("best", {}))
        if done == 0:
            self.begin()
        log = Log(self.folder, first + done, config.steps, board=board)
        checks = stage.validation or stage.schedule == "plateau"
        saved_s = time.monotonic()
        with Interrupts(self.folder.console) as interrupts:
            for step, batch in enumerate(self.steps(done), start=done):
                log.add(self._attempt(batch, step))
                total = first + step + 1
                if checks and (step + 1) % stage.check_every == 0:
                    log.add(self._check(total))
                ends = step + 1 == stage.steps or self.best.stops
                if total % config.log_every == 0 or ends:
                    log.write(total, stage.name, self._rate(step))
                due = time.monotonic() - saved_s > config.checkpoint_s
                asked, due = anywhere(self.fabric, interrupts.asked, due)
                if ends or asked or due:
                    if self.best.stops:
                        self._take_best()
                    if ends:
                        self.reached = self._rate(step)
                    self._save(first + stage.steps if ends else total)
                    saved_s = time.monotonic()
                if asked:
                    raise Stopped(f"stopped after step {total}; {self._resume()}")
                if ends:
                    break
        return learning_rate(stage, stage.steps - 1) if self.reached is None else self.reached

    def begin(self) -> None:
        """What happens once, before the first step."""
        if self.stage.copy_replica or self.stage.coupled:
            typing.cast(Any, self.model).copy_replica()
        self.average.n_averaged.zero_()  # what was not trained yet must not stay in the average

    # ---------------------------------------------------------------------------- batches

    def steps(self, done: int) -> Iterable[dict[str, Sample] | Features]:
        """What this process takes of the batches of the steps from `done` on."""
        if self.stage.cached:
            return self._cached(done)
        share = Share(self.batches, self.fabric.global_rank, self.fabric.world_size)
        return self._loaded(share, done, self.stage.steps)

    def _loaded(
        self, batches: Dataset[dict[str, Sample]], start: int, stop: int
    ) -> Iterator[dict[str, Sample]]:
        """Batches of these steps, on the device if their augmentation is done there."""
        for batch in loader(batches, start, stop, workers=self.config.workers):
            if self.config.augment_on == "device":
                cuts = self.fabric.to_device(batch)
                layout, size = self.batches.layout, self.config.size
                batch = {name: finish(cuts[name], layout, size=size) for name in cuts}
            yield batch

    def _cached(self, done: int) -> Iterator[Features]:
        """Batches of `stage.cached` clips whose features are computed here, once."""
        model = whole_network(self.fabric, self.config, self.model)
        features: list[tuple[Tensor, ...]] = []
        action: list[Tensor] = []
        annotated = self.stage.poses == "annotated"
        for number, part in enumerate(self.batches.parts):
            loaded = self._loaded(self.cached.alone(number), 0, batches_of(part))
            for k, batch in enumerate(loaded, start=1):
                sample = self.fabric.to_device(batch[part.name])
                given = known_poses([sample], model) if annotated else None
                sample = taught(sample, self.stage.mix[number])
                shape = sample["frames"].shape[:2]
                with torch.inference_mode():
                    out = model.frames(sample["frames"].flatten(0, 1), given)
                features.append(
                    tuple(feature.unflatten(0, shape).half() for feature in out.features)
                )
                action.append(sample["action"])
                if k % 50 == 0 and self.folder.writes:
                    seen = f"{k * part.count} of {len(part.records)} clips of {part.name}"
                    self.folder.console.say(f"features of {seen} are computed")
        table = tuple(torch.cat(column).clone() for column in zip(*features))
        target = torch.cat(action)
        for step in range(done, self.stage.steps):
            rows = self.cached.rows(step)[self.fabric.global_rank :: self.fabric.world_size]
            index = torch.from_numpy(rows).to(target.device)
            yield Features(tuple(column[index] for column in table), target[index])

    def _names(self, step: int) -> dict[str, list[str]]:
        """The records of the whole batch of a step."""
        if not self.stage.cached:
            return self.batches.names(step)
        return self.cached.names(step)

    # ---------------------------------------------------------------------------- steps

    def _rate(self, step: int) -> float:
        return learning_rate(self.stage, step) * self.plateau.factor

    def step(self, batch: dict[str, Sample] | Features, step: int) -> dict[str, Tensor]:
        """Forward, backward and one update; the losses. FloatingPointError if one is not finite."""
        stage, world = self.stage, self.fabric.world_size
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step) * group.get("factor", 1.0)
        whole = self._whole(self.losses.counts(batch, stage))
        portions = micro_batches(batch, stage.accumulate)
        sums: dict[str, Tensor] = {}
        self.optimizer.zero_grad(set_to_none=True)
        reached = Reached(self.fabric, self.losses)
        # The first portion has samples of every part: processes exchange gradients after it.
        for number in reversed(range(len(portions))):
            portion = self.fabric.to_device(portions[number])
            with self.fabric.no_backward_sync(self.objective, enabled=number > 0):
                values = self.objective(portion, step / stage.steps, whole)
                total = reached.loss(values["total"], last=number == 0)
                self.fabric.backward(total * world)  # which takes the mean of processes
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.detach()
        reshard(self.losses)
        seen = sums_over(self.fabric, sums)
        if not bool(torch.isfinite(seen["total"])):
            numbers = {name: float(value) for name, value in seen.items()}
            raise FloatingPointError(self._blame(step, f"a loss is not finite: {numbers}", _SLOWER))
        self.plateau.add(float(seen["total"]))
        self.coupled.gather(step)
        if self.config.clip_gradient:
            self.fabric.clip_gradients(
                self.objective, self.optimizer, max_norm=self.config.clip_gradient
            )
        self.optimizer.step()
        self.coupled.spread(step)
        self.average.update_parameters(self.model)
        return seen

    def _whole(self, counts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Counts of the batch over all processes."""
        if self.fabric.world_size == 1:
            return counts
        names = ["pose", "confidence", "heatmap", *(f"action {m.name}" for m in self.stage.mix)]
        mine = torch.tensor([float(counts.get(name, 0)) for name in names])
        return sums_over(self.fabric, dict(zip(names, self.fabric.to_device(mine))))

    def _attempt(self, batch: dict[str, Sample] | Features, step: int) -> dict[str, Tensor]:
        """A step; MemoryError names the batch that was too large."""
        try:
            return self.step(batch, step)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MemoryError(self._blame(step, f"out of memory ({said})", _SMALLER)) from error

    def _blame(self, step: int, what: str, mend: str) -> str:
        """What to say of a batch that could not be learnt from; its records in bad_batch.json."""
        stage, path = self.stage, self.folder.path / "bad_batch.json"
        names = self._names(step)
        if self.folder.writes and path.parent.is_dir():
            note = {"stage": stage.name, "step": step, "what": what, "records": names}
            write_text(path, json.dumps(note, indent=1))
        some = "; ".join(name for part in names.values() for name in part[:2])
        mend = mend.format(number=self.number, twice=2 * stage.accumulate)
        return (
            f"stage {stage.name}, step {step}: {what}. The batch ({some}; ...) is listed in "
            f"{path}. {mend} in {self.folder.path / 'config.json'}, then {self._resume()}"
        )

    def _resume(self) -> str:
        return f"resume with: poseact train --resume {self.folder.path}"

    # ---------------------------------------------------------------------------- checks

    def _check(self, total: int) -> dict[str, Tensor]:
        """What the plateau and the best weights go by, the same in all processes."""
        score, metric = self.plateau.mean(), self.stage.metric
        if self.validation is not None:
            score = self._held_out(self.validation)
            if self.best.check(score, total):
                best = whole_network(self.fabric, self.config, self.average.module)
                if self.folder.writes:
                    weights.save(self.folder.path / "best.safetensors", best, self.config.card())
        if self.stage.schedule == "plateau":
            self.plateau.check(score if metric in FALLING else -score)
        return {"validation" if metric == "loss" else metric: torch.tensor(score)}

    def _held_out(self, batches: AlternatingBatches) -> float:
        """The averaged weights on held-out data, in inference mode."""
        same_buffers(self.fabric, self.average)
        model = whole_network(self.fabric, self.config, self.average.module).eval()
        if self.stage.metric != "loss":
            card = self.config.card()
            return held_out_score(model, card, batches.parts, self.stage, self.fabric)
        workers = self.config.workers
        return held_out_loss(Objective(model), batches, self.stage, self.fabric, workers=workers)

    def _take_best(self) -> None:
        """The best averaged weights, if any check gave a number, instead of the last ones."""
        if self.best.step:
            best = weights.load(self.folder.path / "best.safetensors").model.state_dict()
            fill(self.model, best)
            fill(self.average.module, best)

    def _save(self, step: int) -> None:
        state = {
            "step": step,
            "stage": self.number,
            "model": whole_state(self.model),
            "average": whole_state(self.average),
            "optimizer": whole_optimizer_state(self.optimizer),
            "plateau": self.plateau.state(),
            "best": self.best.state(),
            "reached": self.reached,
        }
        self.folder.save_checkpoint(state)


_SLOWER = "Lower `lr` of stages[{number}] (or raise its `warmup`)"
_SMALLER = "Set `accumulate` of stages[{number}] to {twice} (or lower the counts of its `mix`)"
