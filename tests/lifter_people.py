"""What the tests of the lifter share: standing figures, and motion capture of them on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from poseact.core.layouts import H36M17
from poseact.skeletons.gaps import Detector, Pairs, random_views

NOTHING = Detector(0, 0, 0, 0, 0, 0, 0)


def people(n: int, seed: int = 0) -> np.ndarray:
    """(N, 17, 3) world mm, y up: a plain standing figure with some disorder."""
    height = {"ankle": -900, "knee": -450, "hip": 0, "pelvis": 0, "spine": 250, "thorax": 500}
    height |= {"nose": 600, "head": 700, "shoulder": 480, "elbow": 220, "wrist": -20}
    y = np.array([height[name.split("_")[-1]] for name in H36M17.joints], float)
    x = np.array([{"l": 150.0, "r": -150.0, "m": 0.0}[H36M17.side(j)] for j in range(17)])
    figure = np.stack([x, y, np.zeros(17)], -1)
    noise = np.random.default_rng(seed).normal(0, 60, (n, 17, 3))
    noise[:, 0] = 0
    return figure + noise


def random_pairs(n: int, seed: int = 0) -> Pairs:
    world = people(n, seed)
    return random_views(world, np.random.default_rng(seed)).see(world)


def write_mocap(folder: Path) -> None:
    """Three people of two captures; the pelvis height says who it is (in metres)."""
    who = [("cmu_bvh", "01"), ("cmu_amc", "02"), ("cmu_bvh", "14"), ("cmu_eval8", "?")]
    rel = np.concatenate([people(40, seed=n) for n in range(len(who))]) / 1000
    rel[:, [H36M17.index("l_knee"), H36M17.index("r_knee")], 2] += 0.15  # knees bend to the front
    np.savez(
        folder / "cmu17.npz",
        rel=rel.astype(np.float32),
        root=np.zeros((len(rel), 3), np.float32),
        start=np.arange(0, len(rel), 40),
        length=np.full(len(who), 40),
        fps=np.float32(30),
        name=np.array([f"clip{n}" for n in range(len(who))]),
        source=np.array([source for source, _ in who]),
        subject=np.array([subject for _, subject in who]),
        label=np.array(["walk"] * len(who)),
    )
