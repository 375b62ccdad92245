"""A whole run in small, to find out in a minute whether the long one would end well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from poseact.core.console import SILENT, Console
from poseact.core.layouts import layout_named
from poseact.data.dataset import evaluation_batches
from poseact.models import weights
from poseact.models.weights import network
from poseact.train.checks import score_records, spread
from poseact.train.config import Config, Mix, Stage
from poseact.train.loop import fit, open_fabric
from poseact.train.parts import open_parts
from poseact.train.run_folder import RunFolder

_CLIPS = 4
_STEPS = 2
_SAMPLES = 2


def dev_run(config: Config, out: Path, *, console: Console = SILENT) -> Iterator[str]:
    """Two steps of every stage (the console gets a line of each), evaluation, the weights reloaded.

    Batches have two samples of each part, and there are four rendered clips. Afterwards `out` is
    the folder of that small run. RuntimeError if the weights file does not answer as the network in
    the checkpoint.
    """
    config = shortened(config)
    path = fit(config, out, workers=1, console=console)
    model, card = weights.load(path)
    mix = config.stages[-1].mix[0]
    part = open_parts([mix], config.margin, 1)[0]
    records = spread(part.records, _CLIPS)
    scores = score_records(model, card, records, open_fabric(replace(config, accelerator="cpu")))
    said = "  ".join(f"{name} {value:.1f}" for name, value in scores.items())
    yield f"evaluated on {len(records)} records of {mix.name}: {said}"
    layout, frames = layout_named(card.layout), min(card.frames, len(records[0]))
    sample = next(evaluation_batches(records[:1], layout, size=card.size, frames=frames))
    kept = network(config.model)
    state = RunFolder(out).read_checkpoint()
    assert state is not None  # `fit` has ended
    average = {name.removeprefix("module."): value for name, value in state["average"].items()}
    average.pop("n_averaged")
    kept.load_state_dict(average)
    with torch.inference_mode():
        before, after = (m.eval()(sample["frames"]) for m in (kept, model))
    if not all(torch.equal(a, b) for a, b in zip(before.poses, after.poses)):
        raise RuntimeError(f"{path} does not answer as the network that was saved in it")
    yield "saved and reloaded: identical answers"


def shortened(config: Config) -> Config:
    """The same stages on one process with few samples; every kind of batch comes up."""
    return replace(
        config,
        stages=tuple(_short(stage) for stage in config.stages),
        devices=1,
        nodes=1,
        workers=0,
        log_every=10_000,
        sync_batchnorm=False,
    )


def _short(stage: Stage) -> Stage:
    return replace(
        stage,
        steps=max(_STEPS, stage.alternating),
        mix=tuple(map(_few, stage.mix)),
        validation=tuple(map(_few, stage.validation)),
        validation_batches=1,
        check_every=1,
        early_stop=0,
        warmup=0,
        cached=min(stage.cached, _SAMPLES),
    )


def _few(mix: Mix) -> Mix:
    return replace(mix, count=min(mix.count, _SAMPLES), clips=min(mix.clips, _CLIPS))
