"""Metrics: people made by hand, an independent formula, and the original project's number."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import SHARED
from poseact.core.layouts import LSP14, MPII16, PA16
from poseact.evaluate.metrics import (
    PCKH_JOINTS,
    auc,
    auc3d,
    confusion,
    mpjpe,
    n_mpjpe,
    p_mpjpe,
    pck,
    pck3d,
    pck_torso,
    pckh,
    root_aligned,
    top1,
)

FUNCTIONS = SHARED / "parity/public/functions/functions.npz"
needs_parity = pytest.mark.skipif(not FUNCTIONS.exists(), reason=f"no parity data at {FUNCTIONS}")


def poses(*shape: int, seed: int = 0, scale: float = 100) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * scale


def with_unknown(target: np.ndarray, *, seed: int = 9) -> np.ndarray:
    """A fifth of the joints unknown."""
    unknown = np.random.default_rng(seed).random(target.shape[:2]) < 0.2
    return np.where(unknown[..., None], np.nan, target)


def off_by(target: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Points at the given distances (J,) from the target, along x."""
    return target + distance[:, None] * np.eye(1, target.shape[-1])


def test_pck_by_hand():
    target = np.zeros((2, 3, 2))
    target[1, 2] = np.nan
    pred = target.copy()
    pred[0, 0] = [3, 4]  # distance 5: correct at 0.5 of 10
    pred[1, 0] = [3, 4]  # wrong at 0.5 of 9
    pred[0, 1] = np.nan  # not predicted: wrong
    pred[1, 2] = 0
    rate = pck(pred, target, np.array([10.0, 9.0]), threshold=0.5)
    assert rate.per_joint.tolist() == [0.5, 0.5, 1.0]
    assert (rate.mean, rate.count, rate.left_out) == (3 / 5, 5, 0)


def test_pck_of_unknown_or_no_reference_leaves_the_person_out():
    target = np.zeros((4, 3, 2))
    rate = pck(target, target, np.array([1.0, np.nan, 0.0, -1.0]), threshold=0.5)
    assert (rate.mean, rate.count, rate.left_out) == (1, 3, 3)


def test_nothing_known_is_nan_with_count_zero():
    target = np.full((2, 3, 3), np.nan)
    for result in (pck3d(np.zeros((2, 3, 3)), target), mpjpe(np.zeros((2, 3, 3)), target)):
        assert np.isnan(result.mean) and np.isnan(result.per_joint).all() and result.count == 0


def test_pck_is_the_loop_over_people_and_joints():
    target = with_unknown(poses(20, 16, 2))
    pred = poses(20, 16, 2, seed=1)
    size = np.random.default_rng(2).uniform(50, 400, 20)
    rate = pckh(pred, target, size, threshold=0.5)
    hits: dict[int, list[bool]] = {j: [] for j in range(16)}
    for person in range(20):
        for joint in range(16):
            if np.isfinite(target[person, joint]).all():
                gap = np.hypot(*(pred[person, joint] - target[person, joint]))
                hits[joint].append(bool(gap <= size[person] / 2))
    everything = sum(hits.values(), [])
    assert 0.1 < rate.mean < 0.9
    assert rate.mean == pytest.approx(np.mean(everything)) and rate.count == len(everything)
    assert np.allclose(rate.per_joint, [np.mean(hits[j]) for j in range(16)])


def test_pckh_counts_only_the_joints_of_the_protocol():
    joints = [MPII16.index(name) for name in PCKH_JOINTS]
    target = poses(3, 16, 2)
    pred = target.copy()
    pred[:, [MPII16.index("pelvis"), MPII16.index("thorax")]] += 1000
    rate = pckh(pred, target, np.full(3, 20.0), joints=joints)
    assert (rate.mean, rate.count) == (1.0, 3 * 14)
    assert {MPII16.joints[j] for j in np.flatnonzero(np.isnan(rate.per_joint))} == {
        "pelvis",
        "thorax",
    }
    assert pckh(pred, target, np.full(3, 20.0)).mean == pytest.approx(14 / 16)


@needs_parity
def test_pckh_gives_the_original_number():
    stored = np.load(FUNCTIONS)
    true = np.where(stored["pckh_true"] > -1e6, stored["pckh_true"], np.nan)
    joints = [PA16.index(name) for name in PCKH_JOINTS]
    rate = pckh(stored["pckh_pred"], true, stored["pckh_head"][:, 0], joints=joints)
    assert rate.mean == pytest.approx(float(stored["pckh_value"]))
    error = mpjpe(stored["pckh_pred"], true)  # in px here; the original counts all joints
    assert error.mean == pytest.approx(float(stored["mde_value"]))


def test_pck_torso_measures_the_diagonal_then_the_other_then_a_side():
    target = np.zeros((4, 14, 2))
    at = {name: LSP14.index(name) for name in ("l_shoulder", "r_hip", "r_shoulder", "l_hip")}
    target[:, at["l_shoulder"]], target[:, at["r_hip"]] = [0, 0], [30, 40]  # 50
    target[:, at["r_shoulder"]], target[:, at["l_hip"]] = [0, 0], [0, 100]  # 100
    target[1, at["r_hip"]] = np.nan  # 100 counts
    target[2, [at["r_hip"], at["r_shoulder"]]] = np.nan  # the left side counts, 100
    target[3, [at["r_hip"], at["l_hip"]]] = np.nan  # nothing to measure
    pred = off_by(target, np.full(14, 15.0))  # within 0.2 of 100, not of 50
    rate = pck_torso(pred, target, LSP14)
    assert (rate.left_out, rate.count) == (1, 14 + 13 + 12)
    assert rate.mean == pytest.approx(25 / 39)
    assert pck_torso(pred, target, LSP14, threshold=0.3).mean == 1


def test_auc_is_the_area_under_the_pck_curve():
    target = with_unknown(poses(30, 16, 2))
    pred = target + poses(30, 16, 2, seed=1, scale=15)
    size = np.random.default_rng(2).uniform(50, 100, 30)
    size[3] = np.nan
    x = np.linspace(0, 0.5, 51)
    curve = np.array([pck(pred, target, size, threshold=t).mean for t in x])
    area = sum((curve[i] + curve[i + 1]) / 2 * 0.01 for i in range(50)) / 0.5
    rate = auc(pred, target, size)
    assert 0.1 < rate.mean < 0.9
    assert rate.mean == pytest.approx(area) and rate.left_out == 1
    assert auc(target, target, size).mean == pytest.approx(1)


def test_mpjpe_by_hand_and_missing_predictions_are_left_out_and_counted():
    target = np.zeros((2, 3, 3))
    target[0, 2] = np.nan
    pred = target + [2, 3, 6]  # 7 mm
    pred[1, 0] = [0, 0, 1]
    pred[1, 1] = np.nan
    result = mpjpe(pred, target)
    assert result.per_joint.tolist() == [4, 7, 7]
    assert (result.mean, result.count, result.left_out) == ((7 + 7 + 1 + 7) / 4, 4, 1)


def test_mpjpe_after_root_alignment_forgets_where_the_person_stands():
    target = poses(5, 17, 3)
    pred = target + poses(5, 1, 3, seed=1, scale=5000)
    assert mpjpe(root_aligned(pred, 0), root_aligned(target, 0)).mean == pytest.approx(0, abs=1e-9)
    assert not root_aligned(target, 6)[:, 6].any()


def rotation(seed: int) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


def test_p_mpjpe_forgets_a_similarity_but_not_a_mirror_image():
    target = with_unknown(poses(6, 17, 3))
    pred = np.nan_to_num(2.5 * target @ rotation(1) + [100, 200, 3000])
    result = p_mpjpe(pred, target)
    assert result.mean == pytest.approx(0, abs=1e-9)
    assert result.count == np.isfinite(target).all(-1).sum() and result.left_out == 0
    assert p_mpjpe(pred * [-1, 1, 1], target).mean > 20


def test_p_mpjpe_is_the_loop_with_the_textbook_formula():
    target, pred = with_unknown(poses(6, 17, 3)), poses(6, 17, 3, seed=1)
    errors = []
    for p, t in zip(pred, target, strict=True):
        known = np.isfinite(t).all(-1)
        x, y = p[known] - p[known].mean(0), t[known] - t[known].mean(0)
        u, s, vt = np.linalg.svd(y.T @ x)  # Umeyama 1991, Eqs. 40-42
        d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        scale = np.trace(np.diag(s) @ d) / (x**2).sum()
        errors.append(np.linalg.norm(scale * x @ (u @ d @ vt).T - y, axis=1))
    assert p_mpjpe(pred, target).mean == pytest.approx(np.concatenate(errors).mean())


def test_p_mpjpe_does_not_call_two_points_a_perfect_pose():
    target = poses(2, 5, 3)
    target[0, 2:] = np.nan
    result = p_mpjpe(poses(2, 5, 3, seed=1), target)
    assert (result.count, result.left_out) == (5, 2) and result.mean > 1


def test_n_mpjpe_finds_the_best_scale_only():
    target, pred = poses(4, 17, 3), poses(4, 17, 3, seed=1)
    assert n_mpjpe(0.3 * target, target).mean == pytest.approx(0, abs=1e-9)
    assert n_mpjpe(target @ rotation(2), target).mean > 20
    least = (mpjpe_squared(s * pred[:1], target[:1]) for s in np.linspace(-1, 1, 2001))
    ratio = (pred[0] * target[0]).sum() / (pred[0] ** 2).sum()
    assert mpjpe_squared(ratio * pred[:1], target[:1]) <= min(least)
    scaled = mpjpe(ratio * pred[:1], target[:1]).mean
    assert n_mpjpe(pred[:1], target[:1]).mean == pytest.approx(scaled)


def mpjpe_squared(pred: np.ndarray, target: np.ndarray) -> float:
    return float(((pred - target) ** 2).sum())


def test_pck3d_and_auc3d_by_hand():
    target = np.zeros((1, 4, 3))
    pred = off_by(target[0], np.array([0.0, 76.0, 149.0, 151.0]))[None]
    assert pck3d(pred, target).per_joint.tolist() == [1, 1, 1, 0]
    # of the 31 thresholds 0, 5, ... 150: all; 80..150; 150; none
    assert np.allclose(auc3d(pred, target).per_joint, [1, 15 / 31, 1 / 31, 0])


def test_auc3d_is_the_mean_of_pck3d():
    target = with_unknown(poses(30, 14, 3))
    pred = target + poses(30, 14, 3, seed=1, scale=50)
    rates = [pck3d(pred, target, threshold_mm=float(mm)).mean for mm in range(0, 155, 5)]
    result = auc3d(pred, target)
    assert 0.1 < result.mean < 0.9
    assert result.mean == pytest.approx(np.mean(rates))
    assert result.count == pck3d(pred, target).count


def test_top1_by_hand():
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.5, np.nan]])
    result = top1(scores, np.array([1, 1, -1, 1]))
    assert (result.mean, result.count, result.left_out) == (1 / 3, 3, 1)
    assert np.isnan(top1(scores, np.full(4, -1)).mean)


def test_top1_of_logits_and_of_their_probabilities_agree():
    logits = np.random.default_rng(0).normal(size=(50, 6)) * 5
    target = np.random.default_rng(1).integers(0, 6, 50)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert top1(logits, target).mean == top1(probabilities, target).mean > 0


def test_confusion_counts_rows_as_truth_and_its_diagonal_is_top1():
    counts = confusion(np.array([0, 1, 1, 1, 2, 0]), np.array([0, 1, 2, 2, 1, -1]), 3)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 2, 0]]
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(200, 6)), rng.integers(-1, 6, 200)
    counts, result = confusion(scores.argmax(1), target, 6), top1(scores, target)
    assert counts.sum() == result.count
    assert np.trace(counts) / counts.sum() == pytest.approx(result.mean)
    with pytest.raises(ValueError, match=r"classes are 0\.\.2, got 0\.\.3"):
        confusion(np.array([0, 3]), np.array([0, 1]), 3)


def test_poses_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 16, 2\), \(2, 17, 2\)"):
        mpjpe(np.zeros((2, 16, 2)), np.zeros((2, 17, 2)))
