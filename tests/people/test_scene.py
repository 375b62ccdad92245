"""Rendered people: labels agree with pixels, clips are reproducible, splits share nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.people import cast, clothes, makehuman, motions, sensor, shading
from poseact.people.bodies import Body, random_body, skin
from poseact.people.scene import (
    PRESETS,
    SPLITS,
    PeopleConfig,
    RenderedClip,
    render_clip,
    render_motion,
)
from poseact.people.skeleton import INDEX

SMALL = PeopleConfig(height=72, width=64, frames=3, preset="easy")


@pytest.fixture(scope="module")
def clips() -> list[RenderedClip]:
    return [render_clip(SMALL, index) for index in range(6)]


@pytest.fixture(scope="module")
def body() -> Body:
    return random_body(np.random.default_rng(3))


def volume_l(body: Body) -> float:
    a, b, c = body.vertices[body.faces].astype(np.float64).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6 * 1000)


# ---------------------------------------------------------------------- labels
def test_shapes_and_types(clips: list[RenderedClip]) -> None:
    clip = clips[0]
    assert clip.frames.shape == (3, 72, 64, 3) and clip.frames.dtype == np.uint8
    assert clip.xy.shape == (3, 17, 2) and clip.xyz.shape == (3, 17, 3)
    assert clip.visible.shape == clip.inside.shape == (3, 17) and clip.visible.dtype == bool
    assert clip.intrinsics.shape == (3, 3, 3) and clip.box.shape == (3, 4)
    assert clip.silhouette.shape == clip.depth.shape == (3, 72, 64)
    assert clip.actions.shape == clip.phase.shape == (3,)
    assert 0 <= clip.action < len(SMALL.actions)


def test_xyz_projects_onto_xy(clips: list[RenderedClip]) -> None:
    for clip in clips:
        projected = np.einsum("tab,tjb->tja", clip.intrinsics, clip.xyz)
        np.testing.assert_allclose(projected[..., :2] / projected[..., 2:], clip.xy, atol=1e-6)
        np.testing.assert_array_equal(clip.box, np.hstack([clip.xy.min(1), clip.xy.max(1)]))
        assert (clip.xyz[..., 2] > 500).all()


def test_silhouette_is_where_there_is_depth_and_holds_the_joints(
    clips: list[RenderedClip],
) -> None:
    for clip in clips:
        np.testing.assert_array_equal(clip.silhouette, clip.depth > 0)
        for t in range(len(clip.frames)):
            body = cv2.dilate(clip.silhouette[t].astype(np.uint8), np.ones((5, 5), np.uint8))
            column, row = clip.xy[t][clip.visible[t]].astype(int).T
            assert body[row, column].all()


def test_surface_over_a_visible_wrist_is_at_the_depth_of_the_wrist(
    clips: list[RenderedClip],
) -> None:
    distances = []
    for clip in clips:
        for name in ("l_wrist", "r_wrist"):
            j = PA17.index(name)
            for t in np.flatnonzero(clip.visible[:, j]):
                x, y = clip.xy[t, j].astype(int)
                if clip.silhouette[t, y, x]:
                    distances.append(abs(clip.depth[t, y, x] - clip.xyz[t, j, 2]))
    assert len(distances) > 10 and np.median(distances) < 60 and max(distances) < 500


def test_a_person_who_faces_the_camera_has_the_left_side_on_the_right() -> None:
    config = replace(SMALL, actions=("idle",), frames=1)
    for index in range(4):
        clip = render_clip(config, index)
        left, right = (PA17.index(f"{side}_shoulder") for side in "lr")
        assert (clip.xy[:, left, 0] > clip.xy[:, right, 0]).all()


def test_visible_joints_are_inside_and_the_crop_holds_an_easy_person(
    clips: list[RenderedClip],
) -> None:
    for clip in clips:
        assert clip.inside.all()
        assert 0.3 < clip.visible.mean() <= 1
        extent = (clip.box[:, 2:].max(0) - clip.box[:, :2].min(0)) / (64, 72)
        assert 0.65 < extent.max() < 1


def test_the_person_stands_out_from_the_background(clips: list[RenderedClip]) -> None:
    contrasts = []
    for clip in clips:
        mask = clip.silhouette
        assert 0.02 < mask.mean() < 0.6
        contrasts.append(np.abs(clip.frames[mask].mean(0) - clip.frames[~mask].mean(0)).max())
    assert np.median(contrasts) > 8


# ---------------------------------------------------------------------- sets of clips
def labels_of(clip: RenderedClip) -> list:
    return [clip.action, clip.xy.round(6).tolist(), clip.visible.astype(int).tolist()]


def test_same_labels_in_another_process_and_order(clips: list[RenderedClip]) -> None:
    code = (
        f"exec(open({__file__!r}).read())\n"
        "print(json.dumps([labels_of(render_clip(SMALL, i)) for i in (4, 1)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [labels_of(clips[4]), labels_of(clips[1])]


def test_splits_share_no_body_and_no_clip() -> None:
    bones = [
        cast.pool_body(None, split, number).offsets.tobytes()
        for split in range(len(SPLITS))
        for number in range(3)
    ]
    assert len(set(bones)) == len(bones)
    one_frame = replace(SMALL, frames=1)
    seen = [
        render_clip(replace(one_frame, split=split), 0).xy for split in ("train", "val", "test")
    ]
    assert not any(np.allclose(a, b) for a, b in zip(seen, seen[1:] + seen[:1]))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_renders(preset) -> None:
    for index in range(3):
        clip = render_clip(replace(SMALL, preset=preset, frames=1, supersample=1), index)
        assert clip.frames.std() > 3 and np.isfinite(clip.xyz).all()


def test_labels_do_not_depend_on_samples_per_pixel() -> None:
    fine, coarse = (render_clip(replace(SMALL, supersample=n, frames=1), 2) for n in (2, 1))
    np.testing.assert_array_equal(fine.xy, coarse.xy)
    assert (fine.silhouette != coarse.silhouette).mean() < 0.03


def test_unstructured_poses_have_no_action_and_each_its_own_crop() -> None:
    config = replace(SMALL, random_pose=1.0, crop="frame")
    clip = render_clip(config, 0)
    assert clip.action == -1 and (clip.actions == -1).all()
    assert len(np.unique(clip.intrinsics[:, 0, 0])) == 3
    assert clip.inside.mean() > 0.9


def test_actions_count_in_the_configured_order() -> None:
    clip = render_clip(replace(SMALL, actions=("squat", "wave"), frames=1), 1)
    assert clip.action in (0, 1)
    only = render_clip(replace(SMALL, actions=("wave",), frames=1), 1)
    assert only.action == 0


def test_a_given_sequence_stays_inside_a_wide_frame(body: Body) -> None:
    rng = np.random.default_rng(0)
    motion = motions.perform_sequence(
        [("walk", 0.7), ("wave", 0.5)], rng, fps=6, offsets=body.offsets
    )
    config = PeopleConfig(height=60, width=80, margin=1.5, preset="easy")
    clip = render_motion(motion, config, rng)
    assert clip.frames.shape == (len(motion.position), 60, 80, 3)
    assert clip.inside.all() and len(np.unique(clip.actions)) == 2
    assert (clip.intrinsics == clip.intrinsics[:1]).all()


# ---------------------------------------------------------------------- folders
def test_photos_are_used_and_absent_ones_are_one_clear_error(tmp_path: Path) -> None:
    config = replace(SMALL, frames=1, supersample=1)
    with pytest.raises(FileNotFoundError, match="give a folder of photos"):
        render_clip(replace(config, backgrounds=str(tmp_path / "none")), 0)
    with pytest.raises(ValueError, match="holds no"):
        render_clip(replace(config, backgrounds=str(tmp_path)), 0)
    red = np.zeros((40, 50, 3), np.uint8)
    red[..., 2] = 220
    cv2.imwrite(str(tmp_path / "red_1.png"), red)
    chosen = replace(config, backgrounds=str(tmp_path), preset="standard")
    found = [render_clip(chosen, index) for index in range(12)]
    redness = [
        clip.frames[~clip.silhouette] @ np.array([1.0, -0.5, -0.5])
        for clip in found
        if (~clip.silhouette).any()
    ]
    assert sum(np.median(values) > 60 for values in redness) >= 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "impossible"},
        {"split": "dev"},
        {"actions": ("fly",)},
        {"height": 4},
        {"frames": 0},
    ],
)
def test_wrong_configurations_say_what_there_is(wrong: dict) -> None:
    with pytest.raises(ValueError, match="there are|choose|give"):
        PeopleConfig(**wrong)


def test_absent_meshes_and_mocap_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="makehuman.npz"):
        makehuman.load_library(str(tmp_path / "makehuman.npz"))
    config = replace(SMALL, mocap=str(tmp_path), mocap_share=1.0)
    with pytest.raises(FileNotFoundError, match="motion capture"):
        render_clip(config, 0)


# ---------------------------------------------------------------------- bodies
def test_a_made_body_is_closed_and_of_human_volume(body: Body) -> None:
    edges = np.concatenate([body.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    there, back = (
        np.sort(a.astype(int) * len(body.vertices) + b) for a, b in (edges.T, edges.T[::-1])
    )
    np.testing.assert_array_equal(there, back)  # every edge is walked once each way
    assert 25 < volume_l(body) < 160
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-5)


def test_skin_at_rest_is_the_mesh_and_hands_follow_their_side(body: Body) -> None:
    rest = skin(body.vertices, body, body.rotation[None], body.position[None])
    np.testing.assert_allclose(rest[0], body.vertices, atol=1e-5)
    motion = motions.perform(
        "wave", np.random.default_rng(1), frames=4, fps=6, offsets=body.offsets
    )
    posed = skin(body.vertices, body, motion.rotation, motion.position)
    nearest = body.weights.argmax(1)
    for name in ("l_wrist", "r_wrist", "l_ankle", "r_ankle"):
        middle = posed[:, nearest == INDEX[name]].mean(1)
        distance = np.linalg.norm(motion.position - middle[:, None], axis=-1)
        kin = {INDEX[name], INDEX[name[:2] + ("hand" if "wrist" in name else "toe")]}
        assert set(distance.argmin(1)) <= kin


def test_everybody_is_dressed(body: Body) -> None:
    trunk = np.isin(body.weights.argmax(1), [INDEX["pelvis"], INDEX["chest"]])
    low, high = body.position[INDEX["pelvis"], 1], body.position[INDEX["neck"], 1]
    height = body.vertices[:, 1]
    clothed = trunk & ((height < low + 0.03) | ((height > low + 0.15) & (height < high - 0.15)))
    for seed in range(20):
        outfit = clothes.dress(body, np.random.default_rng(seed))
        layers = [shading.TOP - 1, shading.BOTTOM - 1]
        assert (outfit.cover[clothed][:, layers] > 0).any(1).all()
        assert np.abs(outfit.vertices - body.vertices).max() < 0.08


def test_mesh_bodies_fit_the_rig(shared_data: Path) -> None:
    library = makehuman.load_library(str(shared_data / "bodies" / "makehuman.npz"))
    for seed in range(3):
        body = makehuman.random_mesh_body(library, np.random.default_rng(seed))
        np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-5)
        rest = skin(body.vertices, body, body.rotation[None], body.position[None])
        np.testing.assert_allclose(rest[0], body.vertices, atol=1e-5)
        assert 15 < volume_l(body) < 200 and 0.9 < np.ptp(body.vertices[:, 1]) < 2.3
        left = body.weights.argmax(1) == INDEX["l_wrist"]
        assert (body.vertices[left, 0] > 0).all()


def test_motion_capture_drives_a_person(shared_data: Path) -> None:
    config = replace(SMALL, mocap=str(shared_data / "mocap"), mocap_share=1.0)
    clip = render_clip(config, 0)
    assert clip.action == -1 and clip.inside.all() and clip.silhouette.mean() > 0.02


# ---------------------------------------------------------------------- sensor
def test_a_sensor_keeps_the_order_of_light_and_repeats() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8)
    for seed in range(8):
        camera = sensor.sample_sensor(np.random.default_rng(seed), 1.0, height=40, width=48)
        assert (np.diff(sensor.tone_curves(camera).astype(int), axis=1) >= 0).all()
        first, second = (sensor.record(frame, camera, np.random.default_rng(1)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.shape == frame.shape and first.dtype == np.uint8
