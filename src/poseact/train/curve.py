"""The course of a training, from the log.jsonl of its run: losses and checks over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from poseact.results.plot import COLOURS, LINE, Axis, Curve, draw_curves, log_ticks, ticks
from poseact.train.run_folder import read_log

_NOT_DRAWN = {"step", "stage", "run", "lr", "steps_per_s"}
_LOSSES = ("total", "pose", "confidence", "heatmap", "action")
_SMOOTH = 150
"""A curve is a running mean over this part of all lines."""


def training_curve(runs: Sequence[str | Path]) -> np.ndarray:
    """Losses (logarithmic) and below them every check on held-out data, over the steps: uint8 RGB.

    Thin lines are the lines of the log, thick ones their running means inside a stage. Several
    runs follow one another, as where one starts from the weights of the one before. Numbers that
    are not finite are left out. ValueError names a log that is missing or has no loss.
    """
    lines: list[dict] = []
    for number, run in enumerate(runs):
        before = lines[-1]["step"] if lines else 0
        lines += [{**x, "step": before + x["step"], "run": number} for x in _lines(Path(run))]
    stages = [list(group) for _, group in groupby(lines, key=lambda x: (x["run"], x["stage"]))]
    begins = [0, *(stage[-1]["step"] for stage in stages[:-1])]
    marks = [(float(step), stage[0]["stage"]) for step, stage in zip(begins, stages)]
    x = Axis("steps", _within(ticks(0, lines[-1]["step"], about=8), lines[-1]["step"]))
    names = [name for name in _LOSSES if any(name in line for line in lines)]
    pictures = [_losses(x, stages, names, marks, max(1, len(lines) // _SMOOTH))]
    checks = sorted({name for line in lines for name in line} - _NOT_DRAWN - set(_LOSSES))
    for name in checks:
        curves = [Curve("", *_points(stage, name), COLOURS[1]) for stage in stages]
        values = np.concatenate([curve.y for curve in curves])
        if not len(values):  # nothing but NaN
            continue
        y = Axis(f"held-out data: {name}", ticks(float(values.min()), float(values.max())))
        pictures.append(draw_curves(x, y, curves, marks=marks, size=(1120, 320)))
    return np.vstack(pictures)


def _lines(run: Path) -> list[dict]:
    path = run / "log.jsonl"
    if not path.is_file():
        raise ValueError(f"{path} is missing: name the folder of a run of `poseact train`")
    found = read_log(path)
    if not found:
        raise ValueError(f"{path} has no line yet: the run writes one every `log_every` steps")
    if not any(line.get("total", 0) > 0 for line in found):
        raise ValueError(f"{path} has no loss `total`: name the folder of a run of `poseact train`")
    return found


def _losses(
    x: Axis,
    stages: Sequence[list[dict]],
    names: Sequence[str],
    marks: Sequence[tuple[float, str]],
    window: int,
) -> np.ndarray:
    drawn = [
        (name, colour, *points)
        for stage in stages
        for name, colour in zip(names, COLOURS)
        if len((points := _points(stage, name))[0])
    ]
    means = [running_mean(values, window) for *_, values in drawn]
    positive = np.concatenate(means)
    positive = positive[positive > 0]
    y = Axis("loss", log_ticks(float(positive.min()), float(positive.max())), log=True)
    floor = y.ticks[0]
    raw = [Curve("", at, np.maximum(values, floor), LINE, 1) for _, _, at, values in drawn]
    smooth = [
        Curve(name, at, np.maximum(mean, floor), colour)
        for (name, colour, at, _), mean in zip(drawn, means)
    ]
    return draw_curves(x, y, [*raw, *smooth], marks=marks)


def _points(stage: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [(x["step"], x[name]) for x in stage if np.isfinite(float(x.get(name, np.nan)))]
    steps, values = np.array(rows, float).reshape(-1, 2).T
    return steps, values


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means (N,) over `window` neighbours, of fewer at the ends."""
    ones = np.ones(min(window, len(values)))
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def _within(found: tuple[float, ...], last: float) -> tuple[float, ...]:
    """The ticks, the last of which is the last step itself."""
    kept = [tick for tick in found if tick < last - 0.4 * (found[1] - found[0])]
    return (*kept, float(last))
