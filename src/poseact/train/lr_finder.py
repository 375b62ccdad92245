"""A first guess of the learning rate: a sweep of rising rates on a copy of the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.optim.swa_utils import AveragedModel

from poseact.core.console import SILENT, Console
from poseact.core.files import write_text
from poseact.media.pictures import write_image
from poseact.models.layers import channels_last
from poseact.results.plot import COLOURS, LINE, Axis, Curve, draw_curves, ticks
from poseact.train.config import Config
from poseact.train.loop import StageRun, open_fabric
from poseact.train.network import initial_network
from poseact.train.objective import Objective
from poseact.train.optim import learning_rate, moving_average
from poseact.train.run_folder import RunFolder

HIGHEST = 1.0
DECADES = tuple(10.0**power for power in range(-7, 1))
"""The rates of the sweep that the curve names."""
KEPT = 0.9
"""Share of the running mean of the losses that a step keeps."""
DIVERGED = 4.0
"""A smoothed loss of so many times the lowest one ends the sweep."""


def find_lr(
    config: Config,
    out: str | Path,
    *,
    steps: int = 100,
    workers: int = 2,
    console: Console = SILENT,
) -> float:
    """Sweep the first stage's rate from 1e-7 up to 1 in `steps` steps; the rate to begin with.

    It is where the loss falls fastest (Smith 2017, "Cyclical Learning Rates for Training Neural
    Networks", section 3.3). Writes lr.jsonl and lr.png into the folder and nothing else, so that a
    run may follow there. ValueError if the loss never falls.
    """
    out = Path(out)
    first = config.stages[0]
    stage = replace(
        first, schedule="sweep", lr=HIGHEST, steps=steps, validation=(), metric="loss", early_stop=0
    )
    config = replace(config, stages=(stage,))
    fabric = open_fabric(config)
    model = initial_network(config)
    average = AveragedModel(model, multi_avg_fn=moving_average(0.0), use_buffers=True)
    folder = RunFolder(out, writes=False, console=console)
    objective = Objective(channels_last(model))
    run = StageRun(config, 0, objective, average.to(fabric.device), fabric, folder, workers)
    run.begin()
    rates: list[float] = []
    losses: list[float] = []
    for step, batch in enumerate(run.steps(0)):
        try:
            losses.append(float(run.step(batch, step)["total"]))
        except FloatingPointError:
            break
        rates.append(learning_rate(stage, step))
        smooth = smoothed(losses)
        if smooth[-1] > DIVERGED * smooth.min():
            break
    found = suggestion(rates, losses)
    if fabric.is_global_zero:
        out.mkdir(parents=True, exist_ok=True)
        rows = zip(rates, losses, smoothed(losses).tolist())
        lines = [json.dumps({"lr": r, "total": loss, "smoothed": s}) for r, loss, s in rows]
        write_text(out / "lr.jsonl", "".join(line + "\n" for line in lines))
        write_image(out / "lr.png", curve(rates, losses, found))
    return found


def smoothed(losses: Sequence[float]) -> np.ndarray:
    """Running means (N,) that keep a share `KEPT`, without the pull of their start."""
    means, mean = [], 0.0
    for number, loss in enumerate(losses, start=1):
        mean = KEPT * mean + (1 - KEPT) * loss
        means.append(mean / (1 - KEPT**number))
    return np.array(means)


def suggestion(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate of the steepest fall of the smoothed losses before their lowest point."""
    smooth = smoothed(losses)
    lowest = int(smooth.argmin()) if len(smooth) else 0
    if lowest < 2:
        raise ValueError(
            f"the loss never fell in {len(smooth)} steps of the sweep: look at the data "
            "(poseact data show) and at the losses in stages[0]"
        )
    slope = np.gradient(smooth[: lowest + 1], np.log(rates[: lowest + 1]))
    return float(rates[int(slope.argmin())])


def curve(rates: Sequence[float], losses: Sequence[float], found: float) -> np.ndarray:
    """Losses and their running means over the rate, with the suggestion: uint8 RGB."""
    smooth, raw, at = smoothed(losses), np.array(losses), np.array(rates)
    low, high = float(smooth.min()), float(max(smooth[0], smooth.min() * 1.5))
    x = Axis("learning rate", tuple(t for t in DECADES if rates[0] / 10 < t < rates[-1] * 10), True)
    y = Axis("loss", ticks(low, high + 0.3 * (high - low)))
    curves = [Curve("one batch", at, raw, LINE, 1), Curve("running mean", at, smooth, COLOURS[1])]
    return draw_curves(x, y, curves, marks=[(found, f"steepest at {found:.1e}")])
