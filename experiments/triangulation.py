"""Joints from four rendered cameras: with exact points, and with those of a network.

python -m experiments.triangulation [--weights spnet-s] [--seconds 2]

Each action is done by one rendered person between four cameras 4 m away, 1.6 m high. The error is
the distance of triangulated joints from where they are; one camera's own 3D, root-relative, stands
beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from poseact.core.calibration import CalibratedCamera
from poseact.core.layouts import PA17
from poseact.core.types import Person, Result
from poseact.inference.predictor import Predictor
from poseact.people.config import PeopleConfig
from poseact.people.motions import perform
from poseact.people.scene import RenderedClip, render_motion
from poseact.people.setting import View, camera_axes
from poseact.people.skeleton import random_offsets, to_layout
from poseact.skeletons.triangulate import triangulate

ACTIONS = ("walk", "squat", "jumping_jack", "kick", "throw")
AWAY_M, HIGH_M, FOCAL = 4.0, 1.6, 1.4
SIZE, FPS = 320, 12.0


def view(number: int, frames: int) -> View:
    """One of four cameras in a square that look at somebody in the middle."""
    azimuth = np.pi / 2 * number + 0.4
    eye = np.array([AWAY_M * np.sin(azimuth), HIGH_M, AWAY_M * np.cos(azimuth)])
    rotation = camera_axes(np.array([0, 0.95, 0]) - eye, 0.0)
    centre = np.full((frames, 2), SIZE / 2)
    return View(rotation, eye, np.full(frames, FOCAL * SIZE), centre)


def calibrated(name: str, view: View) -> CalibratedCamera:
    (x, y), f = view.centre[0], view.focal[0]
    K = np.array([[f, 0, x], [0, f, y], [0, 0, 1]])
    t = -1000 * view.rotation @ view.eye
    return CalibratedCamera(name, K, np.zeros(4), view.rotation, t, (SIZE, SIZE))


def exact(clip: RenderedClip) -> list[Result]:
    frames = []
    for t, xy in enumerate(clip.xy):
        person = Person(xy, None, np.ones(len(xy)), clip.box[t], PA17)
        frames.append(Result(t, t / FPS, (person,)))
    return frames


def predicted(predictor: Predictor, clip: RenderedClip) -> list[Result]:
    session = predictor.session()
    return [session.push(rgb, t / FPS) for t, rgb in enumerate(clip.frames)]


def errors_mm(
    cameras: list[CalibratedCamera], results: list[list[Result]], world: np.ndarray
) -> np.ndarray:
    """Distances of the joints that are known of the person seen longest, (n,)."""
    bodies = triangulate(cameras, results)
    if not bodies:
        return np.empty(0)
    away = np.linalg.norm(bodies[0].xyz - world[bodies[0].frames], axis=-1)
    return away[np.isfinite(away)]


def alone_mm(results: list[Result], clip: RenderedClip) -> np.ndarray:
    """Root-relative distances of one camera's own 3D poses."""
    away = []
    for result, true in zip(results, clip.xyz):
        away += [
            np.linalg.norm(p.xyz - (true - true[PA17.root]), axis=-1)
            for p in result.people[:1]
            if p.xyz is not None
        ]
    return np.concatenate(away) if away else np.empty(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weights", default="spnet-s")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor(options.weights, people="one", action_set=None)
    config = PeopleConfig(height=SIZE, width=SIZE, fps=FPS, split="test", preset="easy")
    frames = round(options.seconds * FPS)
    print("median mm | exact points | predicted, 4 cameras | known | predicted, 1 camera")
    columns: list[list[np.ndarray]] = []
    for seed, action in enumerate(ACTIONS):
        rng = np.random.default_rng(seed)
        motion = perform(action, rng, frames=frames, fps=FPS, offsets=random_offsets(rng))
        spot = motion.position[:, :1].mean((0, 1), keepdims=True) * (1, 0, 1)
        motion = replace(motion, position=motion.position - spot)
        world = 1000 * to_layout(motion.position, motion.rotation, "PA17")
        views = [view(n, frames) for n in range(4)]
        cameras = [calibrated(f"cam{n}", v) for n, v in enumerate(views)]
        clips = [render_motion(motion, config, np.random.default_rng(seed), view=v) for v in views]
        seen = [predicted(predictor, clip) for clip in clips]
        rows = [
            errors_mm(cameras, [exact(clip) for clip in clips], world),
            errors_mm(cameras, seen, world),
            np.concatenate([alone_mm(own, clip) for own, clip in zip(seen, clips)]),
        ]
        columns.append(rows)
        print(_line(action, rows, world.shape[0] * world.shape[1]), flush=True)
    whole = [np.concatenate(rows) for rows in zip(*columns)]
    print(_line("all", whole, len(ACTIONS) * frames * len(PA17)))


def _line(name: str, rows: list[np.ndarray], joints: int) -> str:
    medians = [float(np.median(r)) if len(r) else float("nan") for r in rows]
    known = len(rows[1]) / joints
    return f"{name} | {medians[0]:.1f} | {medians[1]:.0f} | {known:.0%} | {medians[2]:.0f}"


if __name__ == "__main__":
    main()
