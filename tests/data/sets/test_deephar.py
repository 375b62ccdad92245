"""The original project's functions, number for number, and its bugs, which are not ours.

Losses, camera and PCKh have most of this beside their own tests; here is the rest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import ROOT
from poseact.core.geometry import box_around, crop_matrix, square, transform, warp
from poseact.data.dataset import clip_indices
from poseact.data.sets import deephar
from poseact.evaluate.metrics import mpjpe
from poseact.train.losses import confidence_bce, deephar_pose_loss, elastic_net, masked_mean

PARITY = Path(os.environ.get("POSEACT_PARITY", ROOT.parent / "shared/parity/public"))
FOLDER = PARITY / "functions"
needs_parity = pytest.mark.skipif(
    not (FOLDER / "functions.npz").exists(), reason=f"no functions at {FOLDER} (POSEACT_PARITY)"
)
CASES = range(5)
NAN = float("nan")


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "functions.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def settings() -> dict:
    return json.loads((FOLDER / "functions.json").read_text())


def noise(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def unknown(points: np.ndarray) -> np.ndarray:
    """The original's -1e9 as NaN."""
    return np.where(points > -1e6, points, np.nan)


# ------------------------------------------------------------------------------- pictures


def _crop(stored: dict, case: dict) -> tuple[np.ndarray, np.ndarray]:
    centre, extent = np.array(case["center"], float), np.array(case["winsize"], float)
    return deephar.crop(
        stored["img_src"],
        np.concatenate([centre - extent / 2, centre + extent / 2]),
        size=(256, 256),
        angle_deg=case["angle"],
        flip=bool(case["hflip"]),
    )


@needs_parity
@pytest.mark.parametrize("i", CASES)
def test_crops_are_the_originals_grey_level_for_grey_level(i: int, stored: dict, settings: dict):
    case = settings["image_cases"][i]
    pixels, matrix = _crop(stored, case)
    np.testing.assert_array_equal(pixels, stored[f"img{i}_u8"])
    np.testing.assert_allclose(matrix, stored[f"img{i}_afmat"], atol=1e-12)
    points = transform(matrix, stored[f"img{i}_pts"].T)
    np.testing.assert_allclose(points, stored[f"img{i}_pts_out"].T, atol=1e-12)


@needs_parity
@pytest.mark.parametrize("i", CASES)
def test_normalised_pixels_are_the_originals(i: int, stored: dict, settings: dict):
    power = settings["image_cases"][i]["chpower"]
    r, g, b = (1, 1, 1) if power == 1 else power
    values = deephar.normalise(stored[f"img{i}_u8"], power=(r, g, b))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[::4, ::4], stored[f"img{i}_norm_16th"], atol=2e-7)


def test_normalised_pixels_are_those_that_our_networks_get():
    levels = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    np.testing.assert_allclose(deephar.normalise(levels), levels / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_a_painted_point_lands_where_the_matrix_sends_it(flip: bool):
    image = np.zeros((90, 120, 3), np.uint8)
    image[40:44, 70:74] = 255  # its centre is at (72, 42)
    pixels, matrix = deephar.crop(image, np.array([30.0, 10, 90, 70]), size=(120, 120), flip=flip)
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    seen = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / 120
    np.testing.assert_allclose(transform(matrix, np.array([[72.0, 42]]))[0], seen, atol=1e-9)


@pytest.mark.parametrize("angle", [-40, -13, 7, 25])
def test_bug_the_map_of_a_turned_picture_is_beside_its_pixels_and_ours_is_not(angle: int):
    """The original's `rotate_crop` does not know that Pillow rounds the canvas to whole pixels."""
    image = np.zeros((203, 301, 3), np.uint8)
    image[120:124, 180:184] = 255
    point, box, side = np.array([[182.0, 122]]), np.array([90.0, 40, 230, 180]), 140

    def beside_px(pixels: np.ndarray, matrix: np.ndarray) -> float:
        weight = pixels[..., 0] / pixels[..., 0].sum(dtype=float)
        seen = [weight.sum(0) @ np.arange(side), weight.sum(1) @ np.arange(side)]
        return float(np.abs(np.array(seen) + 0.5 - side * transform(matrix, point)[0]).max())

    theirs = beside_px(*deephar.crop(image, box, size=(side, side), angle_deg=angle))
    matrix = crop_matrix(box, angle_rad=-np.deg2rad(angle))
    assert beside_px(warp(image, matrix, (side, side)), matrix) < 0.05
    assert 0.05 < theirs < 1.0


def test_a_crop_of_its_own_size_is_the_picture_and_outside_is_black():
    image = noise(60, 80)
    same, matrix = deephar.crop(image, np.array([0.0, 0, 80, 60]), size=(60, 80))
    np.testing.assert_array_equal(same, image)
    np.testing.assert_allclose(matrix, np.diag([1 / 80, 1 / 60, 1]))
    around, _ = deephar.crop(image, np.array([-10.0, -5, 90, 70]), size=(75, 100))
    np.testing.assert_array_equal(around[5:65, 10:90], image)
    around[5:65, 10:90] = 0
    assert not around.any()
    elsewhere, _ = deephar.crop(image, np.array([200.0, 200, 260, 260]), size=(8, 8))
    assert not elsewhere.any()


def test_a_turn_there_and_back_is_near_the_picture():
    image = np.zeros((80, 80, 3), np.uint8)
    image[30:50, 20:60] = 200
    box = np.array([0.0, 0, 80, 80])
    there, _ = deephar.crop(image, box, size=(80, 80), angle_deg=30)
    back, _ = deephar.crop(there, box, size=(80, 80), angle_deg=-30)
    assert np.abs(back[35:45, 25:55].astype(int) - 200).max() <= 2
    assert np.abs(there.astype(int) - image).max() > 100


def test_resizing_keeps_a_flat_picture_flat_and_averages_when_it_shrinks():
    flat = np.full((50, 70, 3), 173, np.uint8)
    assert (deephar.resize(flat, (31, 99)) == 173).all()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 254
    small = deephar.resize(stripes, (8, 8)).astype(int)
    assert np.abs(small[:, 1:-1] - 127).max() <= 1 and np.abs(small - 127).max() <= 5


@pytest.mark.parametrize(
    ("box", "angle", "message"),
    [
        ([0.0, 0, 0.5, 10], 0, "no whole pixel"),
        ([5.0, 0, 5, 10], 0, "x1 > x0"),
        ([0.0, 0, 9, 9], 90, "angle_deg"),
    ],
)
def test_a_crop_that_cannot_be_is_refused(box: list[float], angle: int, message: str):
    with pytest.raises(ValueError, match=message):
        deephar.crop(noise(20, 20), np.array(box), size=(8, 8), angle_deg=angle)


# ------------------------------------------------------------------------------- clips and boxes


@needs_parity
def test_clips_take_the_originals_frames(settings: dict):
    table = settings["clip_index"]
    assert len(table) >= 100
    for key, frames in table.items():
        length, step, count = map(int, key.split(","))
        assert clip_indices(length, count, step=step) == frames, key


@needs_parity
def test_the_square_on_a_pose_is_the_originals(stored: dict):
    box = square(box_around(unknown(stored["bbox_points"])), margin=deephar.BOX_MARGIN)
    np.testing.assert_allclose(box, stored["bbox_out"], atol=1e-9)


@needs_parity
def test_the_box_of_a_clip_is_the_originals(stored: dict):
    xy = unknown(stored["gtb_pose"])
    box = deephar.clip_box(xy, stored["gtb_vis"], image_size=(320, 240), scale=1.3)
    np.testing.assert_allclose(box, stored["gtb_out"], atol=1e-9)


def test_bug_a_pose_of_which_nothing_is_visible_broke_the_original_off():
    """`get_gt_bbox` then picks single coordinates; here the known joints count, or the picture."""
    xy = np.array([[[100.0, 50], [140, 90], [NAN, NAN]]])
    hidden = deephar.clip_box(xy, np.zeros((1, 3)), image_size=(320, 240))
    np.testing.assert_allclose(hidden, [90, 40, 150, 100])
    nothing = deephar.clip_box(np.full((1, 3, 2), NAN), np.ones((1, 3)), image_size=(320, 240))
    np.testing.assert_array_equal(nothing, [0, 0, 320, 240])


@needs_parity
def test_the_window_of_human36m_is_the_originals(stored: dict):
    root = stored["cam_nodist_uvd"][:1]
    focal = np.array([1145.0, 1143.0])
    box, depths = deephar.h36m_box(root, image_size=(1000, 1002), focal_px=focal, scale=1.2)
    np.testing.assert_allclose((box[:2] + box[2:]) / 2, stored["crop_objpos"], atol=1e-9)
    np.testing.assert_allclose(box[2:] - box[:2], stored["crop_winsize"], atol=1e-9)
    np.testing.assert_allclose(depths, stored["crop_zrange"], atol=1e-9)


def test_bug_the_window_of_a_clip_saw_only_its_first_frame():
    """`get_crop_params` reads the first root three times; somebody who walks leaves that box."""
    root = np.array([[300.0, 500, 5000], [400, 500, 5000], [500, 500, 4000], [800, 500, 5000]])
    kwargs = {"image_size": (1000, 1000), "focal_px": np.array([1145.0, 1145.0])}
    box, depths = deephar.h36m_box(root, **kwargs)
    for frame in root:
        alone, its_depths = deephar.h36m_box(frame[None], **kwargs)
        assert (box[:2] <= alone[:2]).all() and (box[2:] >= alone[2:]).all()
        assert depths[0] <= its_depths[0] and depths[1] >= its_depths[1]
    first, _ = deephar.h36m_box(root[:1], **kwargs)
    assert first[2] < 800 < box[2]


# ------------------------------------------------------------------------------- losses, metrics


@needs_parity
@pytest.mark.parametrize("case", ["frame2d", "frame3d", "clip3d"])
def test_both_halves_of_the_elastic_net_are_the_original_l1_and_l2(case: str, stored: dict):
    true, pred = (torch.from_numpy(stored[f"loss_{case}_{name}"]) for name in ("true", "pred"))
    target = torch.where(true > 0, true, NAN)[..., :-1]
    poses = pred[..., :-1].flatten(0, -3), target.flatten(0, -3)
    confidence = confidence_bce(pred[..., -1], true[..., -1] > 0.5).mean(-1).flatten()
    both = torch.stack(
        [masked_mean(elastic_net(p, t), ~t.isnan()) for p, t in zip(*poses, strict=True)]
    )
    both = both.unflatten(0, true.shape[:-2]).reshape(len(true), -1).mean(-1)
    confidence = 0.01 * confidence.unflatten(0, true.shape[:-2]).reshape(len(true), -1).mean(-1)
    np.testing.assert_allclose(both + confidence, stored[f"loss_{case}_l1l2"], atol=2e-6)
    # Each of the original's numbers holds the confidence once.
    l1, l2 = stored[f"loss_{case}_l1"], stored[f"loss_{case}_l2"]
    np.testing.assert_allclose(both + 2 * confidence, l1 + l2, atol=2e-6)


def test_bug_a_coordinate_of_exactly_zero_was_unknown_and_is_a_border_here():
    pred, target = torch.full((1, 2, 2), 0.5), torch.tensor([[[0.0, 0.5], [0.5, 0.5]]])
    assert deephar_pose_loss(pred, target).item() == pytest.approx(0.01 * np.log(2), abs=1e-6)
    known = ~target.isnan()
    assert masked_mean(elastic_net(pred, target), known).item() == pytest.approx(0.75 / 4)


@needs_parity
def test_the_distance_error_leaves_out_the_joints_that_the_original_leaves_out(stored: dict):
    true = unknown(stored["pckh_true"])
    error = mpjpe(stored["pckh_pred"], true)
    assert error.count == int((stored["pckh_true"] > -1e6).all(-1).sum()) < true[..., 0].size
    assert error.mean == pytest.approx(float(stored["mde_value"]))
