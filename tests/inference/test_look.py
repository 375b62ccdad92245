from __future__ import annotations

import numpy as np
import pytest

from poseact.core.geometry import crop_matrix, transform
from poseact.core.layouts import LSP14, PA17, Layout
from poseact.inference.look import LIMBS, lift_to_camera, lift_to_mm


def posed(layout: Layout, rng: np.random.Generator) -> np.ndarray:
    """A pose (J, 3) mm whose limbs are those of a standard adult, bent at random."""
    length = {pair: share * 1700 for pair, share in LIMBS.items()}
    xyz = np.zeros((len(layout), 3))

    def bend() -> np.ndarray:
        way = rng.normal(size=3)
        return way / np.linalg.norm(way)

    for side, out in (("l", 1.0), ("r", -1.0)):
        joints = {name: layout.index(f"{side}_{name}") for pair in LIMBS for name in pair}
        xyz[joints["hip"]] = [out * 130, 0, 0]
        xyz[joints["shoulder"]] = [out * 130, -length["shoulder", "hip"], 0]
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            xyz[joints[b]] = xyz[joints[a]] + length[a, b] * bend()
    return xyz


@pytest.mark.parametrize("distance_mm", [2000.0, 4000.0, 9000.0])
@pytest.mark.parametrize("aside_mm", [0.0, 900.0])
def test_lifting_undoes_perspective(distance_mm: float, aside_mm: float) -> None:
    focal, centre = 700.0, (320.0, 240.0)
    for seed in range(5):
        truth = posed(PA17, np.random.default_rng(seed))
        camera = truth + [aside_mm, -100.0, distance_mm]
        xy = camera[:, :2] / camera[:, 2:] * focal + centre
        matrix = crop_matrix(np.array([100.0, 50, 400, 420]))
        uvd = np.concatenate([transform(matrix, xy), 0.5 + truth[:, 2:] / 2000], 1)
        xyz = lift_to_mm(uvd, np.linalg.inv(matrix), PA17, focal_px=focal, centre=centre)
        np.testing.assert_allclose(xyz, truth, atol=0.5)


def test_lifting_does_not_depend_on_the_crop_and_keeps_unknown_joints_unknown() -> None:
    uvd = np.random.default_rng(0).uniform(0.3, 0.7, (17, 3))
    uvd[4] = np.nan
    a, b = (np.linalg.inv(crop_matrix(np.array([0.0, 0, s, s]))) for s in (100, 200))
    in_b = uvd.copy()
    in_b[:, :2] = transform(np.linalg.inv(b) @ a, uvd[:, :2])
    one, two = (
        lift_to_mm(pose, m, PA17, focal_px=300.0, centre=(50.0, 50.0))
        for pose, m in ((uvd, a), (in_b, b))
    )
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert np.isnan(one[4]).all() and np.isfinite(np.delete(one, 4, 0)).all()


def test_lifting_scales_with_the_stature_that_is_assumed() -> None:
    rng = np.random.default_rng(3)
    uvd = np.concatenate([rng.uniform(0.2, 0.8, (14, 2)), np.full((14, 1), 0.5)], 1)
    to_image = np.diag([200.0, 200, 1])
    tall, short = (
        lift_to_mm(uvd, to_image, LSP14, focal_px=500, centre=(100, 100), stature_mm=height)
        for height in (1800.0, 900.0)
    )
    np.testing.assert_allclose(tall, 2 * short)
    assert np.isnan(
        lift_to_mm(np.full((14, 3), np.nan), np.eye(3), LSP14, focal_px=500, centre=(0, 0))
    ).all()


@pytest.mark.parametrize("height_m", [1.2, 1.7, 2.0])
def test_the_root_and_the_size_follow_stature_and_focal_length(height_m: float) -> None:
    """Somebody flat before the camera: all of the pose grows with them, and so does their way."""
    uv = np.random.default_rng(0).uniform(0.2, 0.8, (17, 2))
    flat = np.concatenate([uv, np.full((17, 1), 0.5)], 1)
    to_image = np.array([[200.0, 0, 300], [0, 200, 100], [0, 0, 1]])

    def lifted(height_m: float, focal_px: float) -> np.ndarray:
        return lift_to_camera(
            flat, to_image, PA17, focal_px=focal_px, centre=(320, 240), stature_mm=1000 * height_m
        )

    xyz = lifted(height_m, 500.0)
    np.testing.assert_allclose(xyz, lifted(1.0, 500.0) * height_m, rtol=1e-9)
    xy = 500 * xyz[:, :2] / xyz[:, 2:] + (320, 240)
    np.testing.assert_allclose(xy, uv * 200 + (300, 100), atol=1e-6)
    assert lifted(height_m, 1000.0)[0, 2] == pytest.approx(2 * xyz[0, 2])
    small = lift_to_mm(
        flat, to_image, PA17, focal_px=500, centre=(320, 240), stature_mm=1000 * height_m
    )
    np.testing.assert_allclose(small, xyz - xyz[PA17.root])
