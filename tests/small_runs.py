"""Trainings of a few steps on squares of grey, for the tests of `train`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseact import data
from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.models import weights
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.train import loop
from poseact.train.config import Config, Mix, Stage
from poseact.train.loop import StageRun

FRAMES = 40


def record(number: int, action: int | None = None) -> Record:
    """A square on which all joints sit; frame t has the grey value 6 t + 5 around it."""
    x, y = np.random.default_rng(number).integers(12, 52, 2)

    def frame(t: int) -> np.ndarray:
        picture = np.full((64, 64, 3), 6 * t + 5, np.uint8)
        picture[y - 4 : y + 4, x - 4 : x + 4] = 255
        return picture

    xy = np.tile(np.array([x, y], float), (FRAMES, 17, 1))
    box = np.tile([0.0, 0.0, 64.0, 64.0], (FRAMES, 1))
    return Record(frame, xy, PA17, box=box, action=action)


RECORDS = [record(i, i % 2) for i in range(8)]
STILLS = Mix("stills", "people", 2, augment="none")
CLIPS = Mix("clips", "people", 2, frames=4, augment="none")


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", lambda *_, **__: RECORDS)


def small(tiny_config: SPNetConfig, *stages: Stage, **changes: Any) -> Config:
    model = replace(tiny_config, actions=(2,), **changes.pop("model", {}))
    config = Config(
        name="small",
        model=model,
        layout="PA17",
        labels=tuple(tuple(f"{s}{i}" for i in range(n)) for s, n in enumerate(model.actions)),
        stages=stages,
        size=(64, 64),
        frames=4,
        ema=0.0,
        clip_gradient=0.0,
        workers=0,
        log_every=1,
        checkpoint_s=0.0,
        accelerator="cpu",
    )
    return replace(config, **changes)


def trained(config: Config, out: Path) -> SPNet:
    model = weights.load(loop.fit(config, out, workers=1)).model
    assert isinstance(model, SPNet)
    return model


def break_off(
    config: Config,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: Callable[[StageRun, int], bool],
) -> None:
    """A run that is interrupted before the step of which `at` says so."""
    step = StageRun.step

    def breaks(self: StageRun, batch: Any, number: int) -> Any:
        if at(self, number):
            raise KeyboardInterrupt
        return step(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(StageRun, "step", breaks)
        with pytest.raises(KeyboardInterrupt):
            loop.fit(config, out, workers=1)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
