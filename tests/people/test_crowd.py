"""Rendered scenes of several people: labels agree with pixels, scenes are reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poseact.core.geometry import overlaps
from poseact.core.layouts import PA17
from poseact.people.crowd import CROWD, CrowdClip, render_crowd
from poseact.people.scene import PeopleConfig

SMALL = PeopleConfig(height=90, width=160, frames=16, fps=4, supersample=1, preset="easy")


@pytest.fixture(scope="module")
def scenes() -> list[CrowdClip]:
    return [render_crowd(SMALL, index, people=(3, 4)) for index in range(3)]


def test_shapes_and_numbers_of_people(scenes: list[CrowdClip]) -> None:
    for scene in scenes:
        people = scene.share.shape[1]
        assert scene.frames.shape == (16, 90, 160, 3) and 3 <= people <= 4
        assert scene.xy.shape == (16, people, 17, 2) and scene.xyz.shape == (16, people, 17, 3)
        assert scene.visible.shape == (16, people, 17) and scene.actions.shape == (16, people)
    empty = render_crowd(replace(SMALL, frames=2), 0, people=(0, 0))
    assert empty.box.shape == (2, 0, 4) and empty.xy.shape == (2, 0, 17, 2)
    assert empty.actions.shape == (2, 0) and empty.frames.std() > 3


def test_a_box_holds_the_visible_joints_and_lies_in_the_frame(scenes: list[CrowdClip]) -> None:
    for scene in scenes:
        t, p, j = np.nonzero(scene.visible)
        box, xy = scene.box[t, p], scene.xy[t, p, j]
        assert len(t) > 200 and np.isfinite(box).all()
        assert ((xy >= box[:, :2] - 1) & (xy <= box[:, 2:] + 1)).all()
        known = scene.box[np.isfinite(scene.box).all(-1)]
        assert (known >= 0).all() and (known[:, [0, 2]] <= 160).all()
        assert (known[:, [1, 3]] <= 90).all()


def test_xyz_projects_onto_xy(scenes: list[CrowdClip]) -> None:
    for scene in scenes:
        known = np.isfinite(scene.xy).all(-1)
        projected = scene.xyz[known] @ scene.intrinsics.T
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], scene.xy[known], atol=1e-6)


def test_who_is_out_of_the_picture_or_hidden_has_no_share(scenes: list[CrowdClip]) -> None:
    for scene in scenes:
        assert ((scene.share >= 0) & (scene.share <= 1)).all()
        outside = np.isnan(scene.box[..., 0])
        assert (scene.share[outside] < 0.02).all()
        alone = ~outside
        for t in range(len(scene.frames)):
            meet = overlaps(np.nan_to_num(scene.box[t]), np.nan_to_num(scene.box[t])) > 0
            alone[t] &= meet.sum(1) <= 1
        size = np.array([160, 90])
        alone &= ((scene.box[..., :2] > 1) & (scene.box[..., 2:] < size - 1)).all(-1)
        assert alone.any() and np.median(scene.share[alone]) > 0.9
    # in some frame somebody hides somebody else
    assert any(((s.share < 0.8) & (s.share > 0.1)).any() for s in scenes)


def test_people_keep_apart_and_some_travel(scenes: list[CrowdClip]) -> None:
    way = []
    for scene in scenes:
        root = scene.xyz[:, :, PA17.root] / 1000
        way += np.linalg.norm(np.diff(root, axis=0), axis=-1).sum(0).tolist()
        for a in range(root.shape[1]):
            for b in range(a):
                assert np.linalg.norm(root[:, a] - root[:, b], axis=-1).min() > 0.3
    assert max(way) > 2  # m in 4 s


def test_same_scene_again_and_another_in_another_split(scenes: list[CrowdClip]) -> None:
    again = render_crowd(SMALL, 1, people=(3, 4))
    np.testing.assert_array_equal(again.xy, scenes[1].xy)
    np.testing.assert_array_equal(again.frames, scenes[1].frames)
    other = render_crowd(replace(SMALL, split="val", frames=2), 1, people=(3, 4))
    assert other.frames.shape[0] == 2 and not np.allclose(other.intrinsics, again.intrinsics)


def test_the_usual_scene_is_a_video_of_eight_seconds() -> None:
    assert (CROWD.width, CROWD.height) == (640, 360) and CROWD.frames / CROWD.fps == 8
