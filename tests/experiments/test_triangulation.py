from __future__ import annotations

import numpy as np
import pytest

from experiments import triangulation
from poseact.people.config import PeopleConfig
from poseact.people.motions import perform
from poseact.people.scene import render_motion
from poseact.people.skeleton import random_offsets, to_layout


def test_rendered_cameras_agree_with_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triangulation, "SIZE", 64)
    rng = np.random.default_rng(0)
    motion = perform("squat", rng, frames=6, fps=12.0, offsets=random_offsets(rng))
    world = 1000 * to_layout(motion.position, motion.rotation, "PA17")
    config = PeopleConfig(height=64, width=64, supersample=1, fps=12.0, preset="easy")
    views = [triangulation.view(n, 6) for n in range(4)]
    cameras = [triangulation.calibrated(f"cam{n}", view) for n, view in enumerate(views)]
    clips = [render_motion(motion, config, np.random.default_rng(0), view=v) for v in views]
    for clip, camera in zip(clips, cameras):
        np.testing.assert_allclose(camera.project(world), clip.xy, atol=0.01)
    errors = triangulation.errors_mm(cameras, [triangulation.exact(c) for c in clips], world)
    assert len(errors) == 6 * 17 and np.median(errors) < 15
