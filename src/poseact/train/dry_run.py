"""A run rehearsed: its data opened, one batch made, one step taken in every stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from poseact.core.types import NO_ACTION, Sample
from poseact.evaluate.cost import multiply_adds
from poseact.models.layers import channels_last
from poseact.train.config import Config, Mix, Stage
from poseact.train.loop import StageRun, open_fabric
from poseact.train.network import initial_network
from poseact.train.objective import Features, Objective
from poseact.train.optim import moving_average
from poseact.train.parts import open_parts
from poseact.train.run_folder import RunFolder

_RENDERED = 4  # clips of each part of people
_SAMPLES = 2  # of each part that take the step: batch normalisation refuses a single cell


def dry_run(config: Config) -> Iterator[str]:
    """Lines that say what a run would train, on what, and that every stage can make its first step.

    Batches are whole; the step itself takes two samples of every part. Of rendered people only a
    few are made. FileNotFoundError, one line, if data is missing: which, and where it was looked
    for.
    """
    model = initial_network(config)
    count = sum(p.numel() for p in model.parameters())
    cost = multiply_adds(model.eval(), config.size) / 1e9
    model.train()
    yield f"{config.name}: {count:,} parameters, {cost:.2f} G multiply-adds a frame"
    fabric = open_fabric(config)
    objective = Objective(channels_last(model))
    average = AveragedModel(model, multi_avg_fn=moving_average(config.ema), use_buffers=True)
    folder = RunFolder(Path("dry-run"), writes=False)
    config = replace(config, workers=0, stages=tuple(_short(stage) for stage in config.stages))
    _complain_of_missing(config)
    for number, stage in enumerate(config.stages):
        run = StageRun(config, number, objective, average.to(fabric.device), fabric, folder, 1)
        run.begin()
        for part in run.batches.parts:
            yield f"stage {stage.name}, part {part.name}: {len(part.records):,} records"
        for step, batch in enumerate(islice(run.steps(0), stage.alternating)):
            yield from (f"  {line}" for line in _shapes(batch))
            begun = time.monotonic()
            values = run.step(fabric.to_device(_first(batch)), step)
            losses = ", ".join(f"{name} {float(value):.4f}" for name, value in values.items())
            yield f"  {stage.optimizer} step: {losses} ({time.monotonic() - begun:.1f} s)"


def _short(stage: Stage) -> Stage:
    return replace(
        stage,
        mix=tuple(replace(mix, clips=min(mix.clips, _RENDERED)) for mix in stage.mix),
        validation=tuple(replace(mix, clips=min(mix.clips, _RENDERED)) for mix in stage.validation),
    )


def _complain_of_missing(config: Config) -> None:
    """All that is missing, at once."""
    found: dict[str, None] = {}
    for stage in config.stages:
        for mix in (*stage.mix, *stage.validation):
            found |= dict.fromkeys(_missing(mix))
    if found:
        raise FileNotFoundError("; ".join(found))


def _missing(mix: Mix) -> list[str]:
    try:
        open_parts([mix], 1.0, 1)
    except FileNotFoundError as error:
        return [str(error)]
    return []


def _shapes(batch: dict[str, Sample] | Features) -> list[str]:
    if isinstance(batch, Features):
        return [f"features {', '.join(str(tuple(c.shape)) for c in batch.features)}"]
    return [
        f"{name}: frames {tuple(s['frames'].shape)}, pose {tuple(s['pose'].shape)}, "
        f"{int(s['valid'].sum())} coordinates and {int((s['action'] != NO_ACTION).sum())} classes"
        for name, s in batch.items()
    ]


def _first(batch: dict[str, Sample] | Features) -> Any:
    """Few samples of every part."""
    if isinstance(batch, Features):
        return Features(
            tuple(feature[:_SAMPLES] for feature in batch.features), batch.action[:_SAMPLES]
        )
    return {
        name: {key: cast(Tensor, value)[:_SAMPLES] for key, value in sample.items()}
        for name, sample in batch.items()
    }
