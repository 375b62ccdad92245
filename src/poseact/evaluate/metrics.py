"""One function per published protocol, on numpy arrays.

pred and target are (N, J, D); NaN in the target is unknown and does not count. Every result says
how many points (or clips) it rests on and how many it had to leave out. The functions align nothing
unless their name says so, and count all joints that the target knows: a protocol that leaves joints
out gets them as NaN, or by `joints` where there is such an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from poseact.core.geometry import procrustes
from poseact.core.layouts import Layout

PCKH_JOINTS = (
    *("neck", "head", "r_shoulder", "l_shoulder", "r_elbow", "l_elbow", "r_wrist", "l_wrist"),
    *("r_hip", "l_hip", "r_knee", "l_knee", "r_ankle", "l_ankle"),
)
"""The joints of the MPII protocol: all but pelvis and thorax."""

PCKH_THRESHOLDS = np.linspace(0, 0.5, 51)
"""In head sizes, under the curve of the MPII protocol."""


@dataclass(frozen=True)
class Rate:
    """Share 0..1 of points within a threshold.

    per_joint: (J,), NaN where no point counted. mean: over all counted points, not over joints; NaN
    if there are none. count: points. left_out: people whose reference length is unknown or not
    positive; none of their points count.
    """

    per_joint: np.ndarray
    mean: float
    count: int
    left_out: int = 0


@dataclass(frozen=True)
class Distance:
    """Mean distance in the unit of the points, mm for MPJPE.

    per_joint: (J,), NaN where no point counted. mean: over all counted points; NaN if there are
    none. count: points. left_out: known points that do not count, because the prediction is NaN or
    the alignment had less than three points to go by.
    """

    per_joint: np.ndarray
    mean: float
    count: int
    left_out: int = 0


@dataclass(frozen=True)
class Accuracy:
    """Share 0..1 of clips whose class is right. count: clips with a class; left_out: without."""

    mean: float
    count: int
    left_out: int = 0


def pck(pred: np.ndarray, target: np.ndarray, reference: np.ndarray, *, threshold: float) -> Rate:
    """Percentage of correct keypoints: distance <= threshold * reference.

    reference: (N,) a length per person in the unit of the points. A prediction of NaN is wrong.
    """
    known = _counted(target, reference)
    correct = _distance(pred, target) <= threshold * np.asarray(reference)[:, None]  # N J
    return Rate(*_tally(correct, known), left_out=_without(reference))


def pckh(
    pred: np.ndarray,
    target: np.ndarray,
    head_size: np.ndarray,
    *,
    threshold: float = 0.5,
    joints: Sequence[int] | None = None,
) -> Rate:
    """PCKh of MPII (Andriluka et al., CVPR 2014): within half a head size, in px of the image.

    head_size: (N,) px, 0.6 times the diagonal of the head box. joints: indices that count, for
    MPII those of `PCKH_JOINTS`; None counts all. No alignment.
    """
    if joints is not None:
        counts = np.isin(np.arange(target.shape[1]), joints)
        target = np.where(counts[:, None], target, np.nan)
    return pck(pred, target, head_size, threshold=threshold)


def pck_torso(
    pred: np.ndarray, target: np.ndarray, layout: Layout, *, threshold: float = 0.2
) -> Rate:
    """PCK against the torso, as on LSP: within 0.2 of its diameter (DeepPose, CVPR 2014).

    The torso is the target's distance from left shoulder to right hip in the picture; where that is
    unknown, from right shoulder to left hip, then down the left and down the right side. People
    with none of these are left out and counted. All joints count. No alignment.
    """
    torso = np.full(len(target), np.nan)
    for shoulder, hip in (("l", "r"), ("r", "l"), ("l", "l"), ("r", "r")):
        a, b = layout.index(f"{shoulder}_shoulder"), layout.index(f"{hip}_hip")
        length = np.linalg.norm(target[:, a, :2] - target[:, b, :2], axis=-1)
        torso = np.where(np.isnan(torso), length, torso)
    return pck(pred, target, torso, threshold=threshold)


def auc(
    pred: np.ndarray,
    target: np.ndarray,
    reference: np.ndarray,
    *,
    thresholds: np.ndarray = PCKH_THRESHOLDS,
) -> Rate:
    """Area under the PCK curve over the thresholds, divided by their range (trapezoids).

    With head sizes and the default 0..0.5 step 0.01 this is the AUC beside PCKh@0.5 of MPII.
    """
    steps = np.diff(thresholds, prepend=thresholds[0]) + np.diff(thresholds, append=thresholds[-1])
    weights = steps / steps.sum()  # of the trapezoid rule
    known = _counted(target, reference)
    limits = np.asarray(reference)[:, None, None] * thresholds  # N 1 thresholds
    reached = (_distance(pred, target)[..., None] <= limits) @ weights  # N J
    return Rate(*_tally(reached, known), left_out=_without(reference))


def root_aligned(pose: np.ndarray, root: int) -> np.ndarray:
    """Pose (..., J, D) minus its joint `root`; all NaN where that joint is unknown."""
    return pose - pose[..., root : root + 1, :]


def mpjpe(pred: np.ndarray, target: np.ndarray) -> Distance:
    """Mean per joint position error in mm (Ionescu et al., TPAMI 2014; Human3.6M protocol 1).

    All given joints count, the root too (17 on Human3.6M). Align first, with `root_aligned`.
    """
    known = _known(target)
    distance = _distance(pred, target)
    counted = known & ~np.isnan(distance)
    return Distance(*_tally(distance, counted), left_out=int((known & ~counted).sum()))


def p_mpjpe(pred: np.ndarray, target: np.ndarray) -> Distance:
    """MPJPE after the best similarity per pose (Procrustes; Human3.6M protocol 2), in mm.

    All known joints of a pose take part in its alignment and count (Martinez et al., ICCV 2017).
    """
    return mpjpe(_aligned(pred, target, procrustes), target)


def n_mpjpe(pred: np.ndarray, target: np.ndarray) -> Distance:
    """MPJPE after the best scale per pose (Rhodin et al., CVPR 2018), in mm; align roots first."""
    return mpjpe(_aligned(pred, target, _best_scale), target)


def pck3d(pred: np.ndarray, target: np.ndarray, *, threshold_mm: float = 150.0) -> Rate:
    """3D PCK of MPI-INF-3DHP (Mehta et al., 3DV 2017): within 150 mm, root-aligned by the caller.

    Its toolkit counts 14 joints: head, neck and the twelve of the limbs. A prediction of NaN is
    wrong.
    """
    return pck(pred, target, np.ones(len(target)), threshold=threshold_mm)


def auc3d(pred: np.ndarray, target: np.ndarray) -> Rate:
    """3D AUC of MPI-INF-3DHP: the mean of `pck3d` at 0, 5, ... 150 mm, the rest as there."""
    distance, known = _distance(pred, target), _known(target)
    reached = (distance[..., None] <= np.arange(0, 151, 5)).mean(-1)
    return Rate(*_tally(reached, known))


def top1(scores: np.ndarray, target: np.ndarray) -> Accuracy:
    """Share of clips whose highest score (N, A), logit or probability, is the class (N,).

    Negative classes (NO_ACTION) are left out and counted. A row with a NaN score is wrong.
    """
    labelled = target >= 0
    right = (scores.argmax(-1) == target) & ~np.isnan(scores).any(-1)
    count = int(labelled.sum())
    mean = float(right[labelled].mean()) if count else float("nan")
    return Accuracy(mean, count, left_out=len(target) - count)


def confusion(pred: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    """Counts (A, A) of clips, rows the true class, columns the predicted; its sum is the clips.

    pred, target: (N,) classes. Clips without a class (negative target) do not count. ValueError
    for a class that is not below `classes`.
    """
    labelled = target >= 0
    pairs = np.stack([target[labelled], pred[labelled]])
    if pairs.size and (pairs.max() >= classes or pairs.min() < 0):
        raise ValueError(f"classes are 0..{classes - 1}, got {pairs.min()}..{pairs.max()}")
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, tuple(pairs), 1)
    return counts


def _known(target: np.ndarray) -> np.ndarray:
    return ~np.isnan(target.sum(-1))  # N J


def _counted(target: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Points (N, J) that are known, of people whose reference is known and positive."""
    return _known(target) & (np.asarray(reference) > 0)[:, None]


def _without(reference: np.ndarray) -> int:
    return int((~(np.asarray(reference) > 0)).sum())


def _distance(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    if pred.shape != target.shape or pred.ndim != 3:
        raise ValueError(f"pred and target are (N, J, D) alike, got {pred.shape}, {target.shape}")
    return np.linalg.norm(pred - target, axis=-1)  # N J


def _tally(values: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, float, int]:
    """(per joint, mean, count) of the counted values (N, J); NaN where nothing counts."""
    values = np.where(counted, values, 0.0)
    points, total = counted.sum(0), values.sum(0)
    per_joint = np.where(points > 0, total / np.maximum(points, 1), np.nan)
    count = int(points.sum())
    return per_joint, float(total.sum() / count) if count else float("nan"), count


def _aligned(
    pred: np.ndarray,
    target: np.ndarray,
    align: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Each pose aligned by the points both sides know; NaN elsewhere and where those are < 3."""
    out = np.full(pred.shape, np.nan)
    both = ~np.isnan(_distance(pred, target))
    for joints in np.unique(both, axis=0):  # poses that know the same joints go together
        if joints.sum() >= 3:
            rows = np.flatnonzero((both == joints).all(1))
            where = np.ix_(rows, np.flatnonzero(joints))
            out[where] = align(pred[where], target[where])
    return out


def _best_scale(pose: np.ndarray, target: np.ndarray) -> np.ndarray:
    power = (pose**2).sum((-2, -1), keepdims=True)
    return pose * (pose * target).sum((-2, -1), keepdims=True) / np.maximum(power, 1e-12)
