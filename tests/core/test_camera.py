"""Camera: OpenCV and the original project's numbers as judges, and the round trips."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import SHARED
from poseact.core.camera import (
    distort,
    intrinsic_matrix,
    intrinsics_from_fov,
    intrinsics_of,
    pose_to_camera,
    project,
    to_camera,
    to_world,
    undistort,
    unproject,
)
from poseact.core.geometry import crop_matrix, transform
from poseact.core.types import Camera

FUNCTIONS = SHARED / "parity/public/functions/functions.npz"
needs_parity = pytest.mark.skipif(not FUNCTIONS.exists(), reason=f"no parity data at {FUNCTIONS}")

NONE = np.zeros(3), np.zeros(2)  # no distortion


def camera(
    *, k: np.ndarray, p: np.ndarray, turn: tuple[float, float, float] = (0.3, -1.1, 0.4)
) -> Camera:
    """A camera of the size of Human3.6M's, 5 m from a person at the origin."""
    rotation = cv2.Rodrigues(np.array(turn))[0]
    centre = -rotation.T @ np.array([100.0, -200.0, 5000.0])
    f, c = np.array([1145.0, 1143.0]), np.array([512.5, 515.25])
    return Camera(R=rotation, t=centre, f=f, c=c, k=k, p=p)


def people(*, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(6, 17, 3)) * 700


def opencv_project(cam: Camera, xyz_world: np.ndarray, p1p2: tuple[float, float]) -> np.ndarray:
    coefficients = np.array([cam.k[0], cam.k[1], *p1p2, cam.k[2]])
    matrix = intrinsic_matrix(cam.f, cam.c)
    points = xyz_world.reshape(-1, 1, 3)
    shift = -cam.R @ cam.t
    xy = cv2.projectPoints(points, cv2.Rodrigues(cam.R)[0], shift, matrix, coefficients)[0]
    return xy.reshape(*xyz_world.shape[:-1], 2)


distortions = st.tuples(st.floats(-0.25, 0.25), st.floats(-0.1, 0.3), st.floats(-0.02, 0.02)).map(
    np.array
)
tangents = st.tuples(st.floats(-0.01, 0.01), st.floats(-0.01, 0.01)).map(np.array)


@given(k=distortions)
@settings(max_examples=25, deadline=None)
def test_radial_distortion_is_that_of_opencv(k):
    cam = camera(k=k, p=np.zeros(2))
    assert np.allclose(project(cam, people())[0], opencv_project(cam, people(), (0, 0)), atol=1e-7)


@given(k=distortions, p=tangents)
@settings(max_examples=25, deadline=None)
def test_tangential_distortion_is_that_of_opencv_less_one_of_its_two_cross_terms(k, p):
    cam = camera(k=k, p=p)
    xyz = to_camera(cam, people())
    plane = xyz[..., :2] / xyz[..., 2:]
    second_cross_term = plane * (plane @ p)[..., None] * cam.f
    expected = opencv_project(cam, people(), (p[1], p[0])) - second_cross_term
    assert np.allclose(project(cam, people())[0], expected, atol=1e-7)


def test_undistort_agrees_with_opencv():
    k, plane = np.array([-0.2, 0.24, -0.003]), np.random.default_rng(2).uniform(-0.3, 0.3, (50, 2))
    coefficients = np.array([k[0], k[1], 0, 0, k[2]])
    theirs = cv2.undistortPoints(plane[:, None], np.eye(3), coefficients)[:, 0]
    assert np.abs(theirs - plane).max() > 1e-3
    assert np.allclose(undistort(plane, k, np.zeros(2)), theirs, atol=1e-7)


@given(k=distortions, p=tangents, seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_unproject_undoes_project_to_a_millionth_of_a_pixel(k, p, seed):
    cam = camera(k=k, p=p)
    rng = np.random.default_rng(seed)
    xy_plane = rng.uniform(-0.45, 0.45, (30, 2))  # all over a Human3.6M picture
    depth = rng.uniform(2000, 8000, 30)
    xyz = to_world(cam, np.concatenate([xy_plane * depth[:, None], depth[:, None]], -1))
    xy, seen_depth = project(cam, xyz)
    assert np.allclose(seen_depth, depth)
    back = unproject(cam, xy, seen_depth)
    assert np.abs(project(cam, back)[0] - xy).max() < 1e-6
    assert np.allclose(back, xyz, atol=1e-5)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_point_beyond_the_fold_of_the_distortion_is_unknown_not_wrong(power: int):
    k, p = -0.3 * np.eye(3)[power - 1], np.zeros(2)  # r (1 - 0.3 r^(2 power)) turns at `fold`
    fold = (0.3 * (2 * power + 1)) ** (-1 / (2 * power))
    edge = fold * (1 - 0.3 * fold ** (2 * power))
    plane = np.array([[edge - 1e-5, 0], [edge + 1e-3, 0], [3.0, 3.0], [np.nan, 0]])
    found = undistort(plane, k, p)
    assert np.isnan(found).all(1).tolist() == [False, True, True, True]
    assert 0 < fold - found[0, 0] < 0.01
    assert np.allclose(distort(found[:1], k, p), plane[:1], atol=1e-10)


def test_world_and_camera_are_inverse_and_the_camera_sits_at_its_own_zero():
    cam = camera(k=NONE[0], p=NONE[1])
    assert np.allclose(to_world(cam, to_camera(cam, people())), people())
    assert np.allclose(to_camera(cam, cam.t), 0)
    assert np.allclose(to_world(cam, np.array([0, 0, 1.0])) - cam.t, cam.R[2])  # z is forward


def test_axes_are_right_down_forward():
    cam = camera(k=NONE[0], p=NONE[1])
    xyz = to_world(cam, np.array([[0, 0, 3000.0], [100, 0, 3000], [0, 100, 3000]]))
    xy, depth = project(cam, xyz)
    assert np.allclose(depth, 3000)
    assert np.allclose(xy - xy[0], [[0, 0], [1145 / 30, 0], [0, 1143 / 30]])


def test_unknown_points_and_points_behind_have_no_image():
    cam = camera(k=np.array([-0.2, 0.2, 0]), p=np.array([0.001, 0.001]))
    xyz = to_world(cam, np.array([[0, 0, 3000.0], [0, 0, -3000.0], [np.nan] * 3]))
    xy, depth = project(cam, xyz)
    assert np.isnan(xy).all(1).tolist() == [False, True, True]
    assert depth[1] == pytest.approx(-3000)


@given(
    depth=st.floats(2500, 8000),
    angle=st.floats(-0.7, 0.7),
    flip=st.booleans(),
    scale=st.floats(0.7, 1.3),
)
@settings(max_examples=25, deadline=None)
def test_a_pose_in_a_crop_gives_back_its_camera_points(depth, angle, flip, scale):
    cam = camera(k=NONE[0], p=NONE[1])
    xyz = np.random.default_rng(4).normal(size=(3, 17, 3)) * 300
    xyz += [100, 200, depth] - xyz[:, :1]  # joint 0 is the root
    xy, z = project(cam, to_world(cam, xyz))
    box = np.array([200.0, 100.0, 800.0, 900.0])
    to_crop = crop_matrix(box, angle_rad=angle, flip=flip, scale=scale)
    d = 0.5 + (z - z[:, :1]) / 2000
    uvd = np.concatenate([transform(to_crop, xy), d[..., None]], -1)
    to_image = np.broadcast_to(np.linalg.inv(to_crop), (3, 3, 3))
    back = pose_to_camera(uvd, to_image, intrinsics_of(cam), z[:, 0])
    assert np.allclose(back, xyz, atol=1e-6)


def test_depth_one_is_a_metre_behind_the_root():
    intrinsics = intrinsics_from_fov(640, 480, fov_rad=1.0)
    uvd = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 1.0], [0.5, 0.5, 0.0]])
    xyz = pose_to_camera(uvd, np.diag([640.0, 480, 1]), intrinsics, 4000.0)
    assert np.allclose(xyz, [[0, 0, 4000], [0, 0, 5000], [0, 0, 3000]])


def test_the_field_of_view_spans_the_longer_side():
    fx, fy, cx, cy = intrinsics_from_fov(480, 640, fov_rad=1.2)
    assert fx == fy and (cx, cy) == (240, 320)
    assert 2 * np.arctan(320 / fy) == pytest.approx(1.2)
    with pytest.raises(ValueError, match="fov_rad"):
        intrinsics_from_fov(640, 480, fov_rad=70)


def original_camera(serialized: np.ndarray) -> Camera:
    """From R(9) t(3) f(2) c(2) p(2) [k(3)]; without k the original applies no distortion at all."""
    rotation, t, f, c, p = np.split(serialized[:18], [9, 12, 14, 16])
    k = serialized[18:] if len(serialized) == 21 else np.zeros(3)
    p = p if len(serialized) == 21 else np.zeros(2)
    return Camera(R=rotation.reshape(3, 3), t=t, f=f, c=c, k=k, p=p)


@needs_parity
@pytest.mark.parametrize("kind", ["dist", "nodist"])
def test_project_gives_the_original_numbers_and_unproject_is_better(kind: str):
    stored = np.load(FUNCTIONS)
    cam = original_camera(stored[f"cam_{kind}_serialized"])
    world, uvd, original_back = (stored[f"cam_{kind}_{name}"] for name in ("world", "uvd", "back"))
    xy, depth = project(cam, world)
    assert np.allclose(xy, uvd[:, :2], atol=1e-6) and np.allclose(depth, uvd[:, 2], atol=1e-6)
    ours = np.abs(unproject(cam, xy, depth) - world).max()
    assert ours < 1e-6 and ours <= np.abs(original_back - world).max() + 1e-9
