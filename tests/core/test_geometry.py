"""Geometry: the pixel painted at a point is where the matrix says it is; boxes; Procrustes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseact.core.geometry import (
    box_around,
    check_box,
    crop_matrix,
    iou,
    procrustes,
    square,
    transform,
    union,
    warp,
)

SIZE = 96  # of the crops, px


def painted(xy: np.ndarray, *, sigma: float, size: tuple[int, int] = (200, 240)) -> np.ndarray:
    """A black picture with a round spot centred on an image point."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    spot = 255 * np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * sigma**2))
    return np.repeat(spot[..., None].round().astype(np.uint8), 3, axis=2)


def centre_of_light(image: np.ndarray) -> np.ndarray:
    """xy px of the centre of gravity of a picture; pixel centres are at .5."""
    light = image[..., 0].astype(float)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.5, 1.9),
    flip=st.booleans(),
    shift=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    uv=st.tuples(st.floats(0.25, 0.75), st.floats(0.25, 0.75)),
)
@settings(max_examples=40, deadline=None)
def test_a_painted_point_lands_where_the_matrix_sends_it(angle, scale, flip, shift, uv):
    box = np.array([70.0, 40.0, 170.0, 160.0])
    matrix = crop_matrix(box, angle_rad=angle, scale=scale, shift=shift, flip=flip)
    xy = transform(np.linalg.inv(matrix), np.array([uv]))[0]
    px_per_px = 120 * scale / SIZE
    crop = warp(painted(xy, sigma=3 * px_per_px), matrix, (SIZE, SIZE))
    brightest = np.array(np.unravel_index(crop[..., 0].argmax(), (SIZE, SIZE)))[::-1] + 0.5
    assert np.abs(brightest - np.array(uv) * SIZE).max() < 1.0
    if (np.abs(xy - [120, 100]) < [120 - 12 * px_per_px, 100 - 12 * px_per_px]).all():
        assert np.allclose(centre_of_light(crop), np.array(uv) * SIZE, atol=0.06)


def test_a_crop_of_the_same_size_is_the_picture_itself():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(warp(image, crop_matrix(np.array([0, 0, 64, 64])), (64, 64)), image)
    mirrored = warp(image, crop_matrix(np.array([0, 0, 64, 64]), flip=True), (64, 64))
    assert np.array_equal(mirrored, image[:, ::-1])


def test_outside_the_picture_is_black():
    image = np.full((32, 32, 3), 255, np.uint8)
    crop = warp(image, crop_matrix(np.array([-32, 0, 32, 64])), (64, 64))
    assert not crop[:, :31].any() and not crop[33:].any() and (crop[:31, 33:] == 255).all()


def test_a_positive_angle_turns_the_picture_clockwise():
    right_of_centre = np.array([[150.0, 100.0]])
    quarter = crop_matrix(np.array([0.0, 0, 200, 200]), angle_rad=np.pi / 2)
    assert np.allclose(transform(quarter, right_of_centre), [[0.5, 0.75]])  # now below it
    image = painted(right_of_centre[0], sigma=4)
    assert np.allclose(centre_of_light(warp(image, quarter, (100, 100))), [50, 75], atol=0.1)


def test_scale_shift_and_flip_are_what_they_say():
    box = np.array([100.0, 50.0, 200.0, 150.0])
    corners = np.array([[100.0, 50.0], [200.0, 150.0]])
    assert np.allclose(transform(crop_matrix(box), corners), [[0, 0], [1, 1]])
    assert np.allclose(transform(crop_matrix(box, scale=2), corners), [[0.25, 0.25], [0.75, 0.75]])
    moved = crop_matrix(box, shift=(0.1, -0.2))  # the window moves right and up
    assert np.allclose(transform(moved, corners), [[-0.1, 0.2], [0.9, 1.2]])
    assert np.allclose(transform(crop_matrix(box, flip=True), corners), [[1, 0], [0, 1]])


@pytest.mark.parametrize("shrink", [1.5, 2.0, 3.7, 8.0])
def test_a_shrinking_warp_does_not_shift(shrink: float):
    xy = np.array([403.3, 277.8])
    image = painted(xy, sigma=4 * shrink, size=(603, 805))  # sizes that no factor divides
    side = shrink * SIZE
    matrix = crop_matrix(np.array([*(xy - 0.4 * side), *(xy + 0.6 * side)]))
    crop = warp(image, matrix, (SIZE, SIZE))
    assert np.allclose(centre_of_light(crop), [0.4 * SIZE, 0.4 * SIZE], atol=0.06)


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("at", [(0, 0), (400, 100), (-300, 700), (5000, 0)])
def test_only_what_a_crop_shows_is_shrunk(factor: int, at: tuple[int, int]):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (720, 960, 3), dtype=np.uint8)
    side = (factor + 0.4) * SIZE
    box = np.array([*at, *(np.array(at) + side)])
    matrix = crop_matrix(box, angle_rad=0.3, scale=1.0)
    crop = warp(image, matrix, (SIZE, SIZE))
    small = cv2.resize(image, (960 // factor, 720 // factor), interpolation=cv2.INTER_AREA)
    whole = warp(small, matrix @ np.diag([factor, factor, 1.0]), (SIZE, SIZE))
    assert np.abs(crop.astype(int) - whole).max() <= 8  # weights are of 1/32 px
    assert np.abs(crop.astype(int) - whole).mean() < 0.1


def test_a_shrinking_warp_keeps_a_fine_pattern_grey():
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    crop = warp(
        np.repeat(board[..., None], 3, 2), crop_matrix(np.array([3, 3, 500, 500])), (64, 64)
    )
    assert np.abs(crop[2:-2, 2:-2].astype(float) - 127.5).max() < 12


def test_a_picture_of_few_pixels_in_a_far_larger_box_is_a_dark_crop_and_no_error():
    matrix = crop_matrix(np.array([-400, -400, 400, 400]))
    crop = warp(np.full((3, 3, 3), 255, np.uint8), matrix, (64, 64))
    assert crop.shape == (64, 64, 3) and crop.mean() < 1


def test_transform_takes_one_matrix_per_person():
    rng = np.random.default_rng(1)
    matrices = np.stack([crop_matrix(np.array([0, 0, 10 + i, 20])) for i in range(3)])
    xy = rng.normal(size=(3, 5, 2))
    for i in range(3):
        homogeneous = np.concatenate([xy[i], np.ones((5, 1))], 1) @ matrices[i].T
        assert np.allclose(transform(matrices, xy)[i], homogeneous[:, :2])


def test_box_around_the_known_points():
    xy = np.array([[[1.0, 5.0], [3.0, 9.0], [np.nan, np.nan]], np.full((3, 2), np.nan)])
    assert np.array_equal(box_around(xy)[0], [1, 5, 3, 9])
    assert np.array_equal(box_around(xy[0], margin=2), [0, 3, 4, 11])
    assert np.isnan(box_around(xy)[1]).all()


def test_square_keeps_the_centre_and_the_longer_side():
    assert np.array_equal(square(np.array([10.0, 20.0, 30.0, 100.0])), [-20, 20, 60, 100])
    assert np.array_equal(square(np.array([0, 0, 2, 4]), margin=1.5), [-2, -1, 4, 5])


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [5, 9, 7, 2], [0, 0, np.nan, 1], [0, 0, 1]])
def test_a_box_without_size_is_refused(box: list[float]):
    with pytest.raises(ValueError, match="x0 y0 x1 y1"):
        check_box(np.array(box))


@pytest.mark.parametrize("box", [[80, 0, 90, 9], [0, 60, 9, 70], [-9, 0, 0, 9], [0, -9, 9, 0]])
def test_a_box_outside_the_picture_is_refused(box: list[float]):
    with pytest.raises(ValueError, match=r"outside the picture of \(80, 60\) px"):
        check_box(np.array(box), picture=(80, 60))
    assert check_box(np.array([-5, -5, 1, 1]), picture=(80, 60)).tolist() == [-5, -5, 1, 1]


def test_union_and_iou():
    boxes = np.array([[0.0, 0, 4, 4], [2, 2, 6, 8], [np.nan] * 4])
    assert np.array_equal(union(boxes), [0, 0, 6, 8])
    assert np.isnan(union(boxes[2:])).all()
    assert iou(boxes[0], boxes[1]) == pytest.approx(4 / (16 + 24 - 4))
    assert iou(boxes[0], boxes[0]) == pytest.approx(1)
    assert iou(boxes[0], boxes[0] + 9) == 0


def random_rotation(rng: np.random.Generator, *, dim: int) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    q[:, 0] *= np.linalg.det(q)
    return q


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_procrustes_undoes_a_similarity(dim: int, seed: int):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(4, 17, dim)) * 300
    rotations = np.stack([random_rotation(rng, dim=dim) for _ in range(4)])
    scale = rng.uniform(0.2, 5, (4, 1, 1))
    pose = scale * target @ rotations + rng.normal(size=(4, 1, dim)) * 1000
    assert np.allclose(procrustes(pose, target), target, atol=1e-8 * 300)


def test_procrustes_does_not_undo_a_reflection():
    target = np.random.default_rng(0).normal(size=(17, 3)) * 300
    aligned = procrustes(target * [-1, 1, 1], target)
    assert np.linalg.norm(aligned - target, axis=-1).mean() > 50


@pytest.mark.parametrize("mirror", [1, -1])
def test_procrustes_is_a_similarity_and_none_comes_closer(mirror: int):
    rng = np.random.default_rng(3)
    target = rng.normal(size=(12, 3))
    pose = (target + 0.3 * rng.normal(size=(12, 3))) * [mirror, 1, 1]
    aligned = procrustes(pose, target)
    centred, goal = pose - pose.mean(0), target - target.mean(0)
    linear = np.linalg.lstsq(centred, aligned - aligned.mean(0))[0]
    scale = np.cbrt(np.linalg.det(linear))
    assert scale > 0 and np.allclose(linear @ linear.T, scale**2 * np.eye(3))
    best = ((aligned - target) ** 2).sum()
    for _ in range(100):
        turned = centred @ random_rotation(rng, dim=3)
        least = (goal**2).sum() - (turned * goal).sum() ** 2 / (turned**2).sum()
        assert least >= best - 1e-9 or (turned * goal).sum() < 0
    for nudge in (0.99, 1.01):  # its scale is the best one too
        assert ((nudge * (aligned - target.mean(0)) - goal) ** 2).sum() > best
