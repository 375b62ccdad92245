"""A perfect network in the original project's joints has no error on any form of Human3.6M."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseact.core.camera import project, to_camera
from poseact.core.geometry import box_around, crop_matrix, square, transform
from poseact.core.layouts import DEEPHAR_INDEX, PA17, PA20, Layout
from poseact.core.types import Record
from poseact.data.sets import h36m
from poseact.evaluate import benchmarks
from poseact.inference.procedures import record_box
from tests.data.sets import test_h36m as forms
from tests.evaluate.test_benchmarks import Oracle, card, picture

TABLES = {"PA17": "pa17_from_h36m32", "PA20": "pa20_from_h36m32"}
FORMS = {
    "mmpose": (forms.TestMmpose, "Sitting", 0),
    "VideoPose3D": (forms.TestVideoPose, "Sitting", 2),
    "Martinez": (forms.TestMartinez, "Sitting", 0),
    "deephar": (forms.TestDeephar, "Directions", 2),
}
"""Form -> who makes it, and a sequence of it: its action and the seed of its world."""


def truth(record: Record, world: np.ndarray, layout: Layout) -> np.ndarray:
    """(J, 3) u v d of the first frame: what a perfect network says, whatever the reader did."""
    assert record.camera is not None
    points = world[0, list(DEEPHAR_INDEX[TABLES[layout.name]])]
    xyz = to_camera(record.camera, points)
    matrix = crop_matrix(square(record_box(record, [0], picture(0), margin=1.25), margin=1.25))
    d = 0.5 + (xyz[:, 2:] - xyz[layout.root, 2]) / 2000
    return np.concatenate([transform(matrix, project(record.camera, points)[0]), d], -1)


@pytest.mark.parametrize("layout", [PA17, PA20], ids=lambda layout: layout.name)
@pytest.mark.parametrize("form", FORMS)
def test_a_perfect_network_has_no_error(
    form: str, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, action, seed = FORMS[form]
    monkeypatch.setattr(forms, "world", whole := _with_extra_joint(forms.world))
    root = make().make(tmp_path)
    benchmark = benchmarks.PROTOCOLS["h36m"]["p1"]
    with pytest.warns(UserWarning) if form in ("mmpose", "VideoPose3D") else nullcontext():
        read = benchmarks._read("h36m", benchmark, layout.name, root, "test", None)
    record = next(r for r in read if h36m.ACTIONS[r.action or 0] == action)
    assert record.layout is layout
    record = replace(record, frame=lambda _: picture(0), box=box_around(record.xy))
    answer = truth(record, whole(seed), layout)
    found = benchmarks.h36m_p1(Oracle({0: answer}), card(layout), [record])
    assert found.overall["mpjpe_mm"] == pytest.approx(0, abs=0.05)
    lacking = 4 if layout is PA20 and form == "mmpose" else 0
    assert found.counts["points"] == len(layout) - lacking


def _with_extra_joint(world: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Index 11 of the 32 joints lies on the pelvis, as in the real files."""

    def made(seed: int, frames: int = forms.FRAMES) -> np.ndarray:
        points = world(seed, frames)
        points[:, 11] = points[:, 0]
        return points

    return made


def test_joints_may_meet_by_name(tmp_path: Path) -> None:
    """For networks whose thorax is a thorax: H36M17, whatever the network's layout."""
    root = forms.TestMmpose().make(tmp_path)
    benchmark = benchmarks.PROTOCOLS["h36m"]["p1"]
    with pytest.warns(UserWarning, match="left out"):
        (first, *_) = benchmarks._read("h36m", benchmark, "H36M17", root, "test", None)
    assert first.layout.name == "H36M17"
