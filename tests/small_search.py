"""Sequences of two actions, a data set of them, and a search that is over in seconds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from poseact.core.layouts import MSR20
from poseact.core.types import Record
from poseact.models.enas_controller import ControllerConfig
from poseact.skeletons.classifier import Pictures, Training
from poseact.skeletons.learn.search import SearchConfig
from poseact.skeletons.spmf import SPMFConfig

CLASSES, TRIALS = 2, 2


def performance(action: int, subject: int, trial: int) -> np.ndarray:
    """(12, 20, 3) mm: class 0 lifts the right hand, class 1 the left foot, from the same pose."""
    rng = np.random.default_rng([action, subject, trial])
    stand = np.random.default_rng(0).normal(0, 300, (len(MSR20), 3))
    poses = np.repeat(stand[None], 12, 0) + rng.normal(0, 5, (12, len(MSR20), 3))
    moving = MSR20.index("r_hand" if action == 0 else "l_foot")
    poses[:, moving, 1] -= np.linspace(0, 900, 12)
    return poses.astype(np.float32)


def records(subjects: range) -> list[Record]:
    return [
        Record(
            frame=None,
            xy=np.full((12, len(MSR20), 2), np.nan, np.float32),
            layout=MSR20,
            xyz=performance(action, subject, trial),
            action=action,
            source=f"a{action}_s{subject}_e{trial}",
            subject=str(subject),
        )
        for subject in subjects
        for action in range(CLASSES)
        for trial in range(TRIALS)
    ]


@pytest.fixture()
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A data set of subjects 1 3 5 7 9 (train) and 2 4 (test); the splits that were asked for."""
    asked: list[str] = []

    def load(root: str, split: str, *, subset: str = "all", fold: int = 1) -> list[Record]:
        asked.append(split)
        return records(range(1, 10, 2) if split == "train" else range(2, 5, 2))

    monkeypatch.setattr("poseact.data.sets.skeletons.load", load)
    monkeypatch.setattr(
        "poseact.data.sets.skeletons.label_names", lambda *_, subset: ("lift", "kick")
    )
    return asked


def tiny(**changes: object) -> SearchConfig:
    config = SearchConfig(
        *("skeletons", "nowhere"),
        pictures=Pictures(
            SPMFConfig(size=8, tiles=2), dataclasses.replace(Pictures().augment, margin=2)
        ),
        copies=2,
        controller=ControllerConfig(nodes=1, hidden=8),
        blocks=1,
        channels=2,
        shared=Training(epochs=2, batch=8),
        controller_steps=1,
        controller_samples=2,
        derive=4,
        retrain=1,
        final_blocks=1,
        final=Training(epochs=1, batch=8),
        parameters=1500,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]
