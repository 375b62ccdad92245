"""A first guess of the learning rate: a sweep of rising rates on a copy of the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from torch.optim.swa_utils import AveragedModel

from poseact.draw import _ACCENT, _FAINT_INK, _GRID, _INK, _PANEL, _text
from poseact.layers import channels_last
from poseact.learning import learning_rate, moving_average
from poseact.objective import Objective
from poseact.run_config import Config
from poseact.run_folder import RunFolder, written_whole
from poseact.train import StageRun, open_fabric, start
from poseact.video import write_image

HIGHEST = 1.0
KEPT = 0.9
"""Share of the running mean of the losses that a step keeps."""
DIVERGED = 4.0
"""A smoothed loss of so many times the lowest one ends the sweep."""


def find_lr(config: Config, out: str | Path, *, steps: int = 100, workers: int = 2) -> float:
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
    model = start(config)
    average = AveragedModel(model, multi_avg_fn=moving_average(0.0), use_buffers=True)
    folder = RunFolder(out, writes=False)
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
        with written_whole(out / "lr.jsonl") as temporary:
            temporary.write_text("".join(line + "\n" for line in lines))
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
    """Losses over the logarithm of the rate, with the suggestion: a dark picture (h, w, 3)."""
    width, height, pad = 960, 540, 60
    out = np.full((height, width, 3), _PANEL, np.uint8)
    smooth, raw, power = smoothed(losses), np.array(losses), np.log10(rates)
    low, high = float(smooth.min()), float(max(smooth[0], smooth.min() * 1.5))
    low, high = low - 0.1 * (high - low), high + 0.3 * (high - low)

    def place(power: np.ndarray, loss: np.ndarray) -> np.ndarray:
        x = pad + (power - power_0) / (power_1 - power_0) * (width - 2 * pad)
        y = height - pad - (loss - low) / (high - low) * (height - 2 * pad)
        return np.rint(np.stack([x, y.clip(0, height)], -1)).astype(np.int32)

    power_0, power_1 = float(power[0]), float(power[-1])
    for mark in range(int(np.ceil(power_0)), int(np.floor(power_1)) + 1):
        x, _ = place(np.array(float(mark)), np.array(low))
        cv2.line(out, (int(x), pad), (int(x), height - pad), _GRID, 1)
        _text(out, f"1e{mark}", (int(x) - 18, height - pad + 24), 12, _FAINT_INK)
    cv2.polylines(out, [place(power, raw)], False, _GRID, 1, cv2.LINE_AA)
    cv2.polylines(out, [place(power, smooth)], False, _ACCENT, 2, cv2.LINE_AA)
    x, _ = place(np.log10(np.array(found)), np.array(low))
    cv2.line(out, (int(x), pad), (int(x), height - pad), _INK, 2)
    _text(out, f"loss over learning rate; steepest at {found:.1e}", (pad, pad - 20), 16, _INK)
    return out
