"""Protocols of 3D poses: Human3.6M, MPI-INF-3DHP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import nn

from poseact.core.camera import DEPTH_RANGE_MM, undistort
from poseact.core.layouts import convert, layout_named
from poseact.core.types import Record
from poseact.data.sets import h36m, mpi_inf_3dhp
from poseact.evaluate import metrics
from poseact.evaluate.poses import Crops, annotated, only_shared, predict_frames
from poseact.evaluate.scores import Measure, Scores, of_joints, overall
from poseact.inference.look import lift_to_mm
from poseact.models.weights import Card

RootDepth = Literal["given", "stature"]
ASSUMED = {
    "given": "the camera and the distance of the root are the true ones",
    "stature": "the camera is the true one; the distance of the root is that of an adult of 1.7 m",
}
"""Where the distance of the root comes from; a picture alone does not tell it."""

ONE_IN_64 = Crops(step=64)
EVERY_FRAME = Crops()
_UNCOUNTED_3DHP = ("pelvis", "spine", "neck")  # of PA17; its toolkit calls our neck "head"


def h36m_p1(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    root_depth: RootDepth = "given",
    how: Crops = ONE_IN_64,
) -> Scores:
    """MPJPE of Human3.6M, roots aligned, mm (Ionescu et al., TPAMI 2014): protocol 1.

    Over all frames, and the mean of the actions. Every 64th frame of a video counts (CVPR 2018 and
    TPAMI 2020; a note with their code says 60). All joints that network and data share count, the
    root too. The true camera is used, with its distortion. root_depth: "given" is the true distance
    of the root, as in both papers; "stature" the one at which the limbs are those of an adult of
    1.7 m (`predictor.lift_to_mm`).
    """

    def measure(pred: np.ndarray, target: np.ndarray) -> dict[str, Measure]:
        return {"mpjpe_mm": metrics.mpjpe(pred, target)}

    pose = _pose_3d(model, card, records, root_depth, how)
    return _mean_of_actions(_scores(pose, records, measure, {"action": _h36m_action}))


def h36m_p2(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    root_depth: RootDepth = "given",
    how: Crops = ONE_IN_64,
) -> Scores:
    """MPJPE after a similarity per pose, mm (Martinez et al., ICCV 2017): protocol 2.

    The rest as `h36m_p1`. The distance of the root matters here too: it sets how much the pose
    extends sideways for its depth.
    """

    def measure(pred: np.ndarray, target: np.ndarray) -> dict[str, Measure]:
        return {"p_mpjpe_mm": metrics.p_mpjpe(pred, target)}

    pose = _pose_3d(model, card, records, root_depth, how)
    return _mean_of_actions(_scores(pose, records, measure, {"action": _h36m_action}))


def mpi_inf_3dhp_pck3d(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    root_depth: RootDepth = "given",
    how: Crops = EVERY_FRAME,
) -> Scores:
    """3D PCK at 150 mm and AUC (0 to 150 mm) of 14 joints, MPJPE of 17 (Mehta et al., 3DV 2017).

    Which joints count where is the published toolkit's choice; roots are aligned. By joint, by
    scene and, where it is known, by activity. Camera and root_depth as `h36m_p1`.
    """

    def measure(pred: np.ndarray, target: np.ndarray) -> dict[str, Measure]:
        uncounted = np.isin(records[0].layout.joints, _UNCOUNTED_3DHP)[:, None]
        fourteen = np.where(uncounted, np.nan, target)
        return {
            "pck3d_150": metrics.pck3d(pred, fourteen),
            "auc3d": metrics.auc3d(pred, fourteen),
            "mpjpe_mm": metrics.mpjpe(pred, target),
        }

    groups: dict[str, Callable[[Record], str]] = {"scene": lambda record: record.view}
    if all(record.action is not None for record in records):
        groups["action"] = lambda record: mpi_inf_3dhp.ACTIVITIES[record.action or 0]
    pose = _pose_3d(model, card, records, root_depth, how)
    return _scores(pose, records, measure, groups)


@dataclass(frozen=True)
class _Pose3D:
    """pred, target: (N, J, 3) mm from the root, camera axes, in the records' layout."""

    pred: np.ndarray
    target: np.ndarray
    rows: list[tuple[int, int]]
    notes: tuple[str, ...]


def _pose_3d(
    model: nn.Module, card: Card, records: Sequence[Record], root_depth: RootDepth, how: Crops
) -> _Pose3D:
    predicted = predict_frames(model, card, records, how)
    if predicted.depth is None:
        raise ValueError("this network gives no depth (dim 2), and the protocol is about 3D poses")
    layout, known = layout_named(card.layout), records[0].layout
    target = annotated(predicted, records, "xyz")
    pred = np.empty((*predicted.xy.shape[:2], 3))
    for i, (r, _) in enumerate(predicted.rows):
        camera = records[r].camera
        if camera is None:
            raise ValueError(f"a record of {records[r].source} has no camera; 3D errors need it")
        plane = undistort((predicted.xy[i] - camera.c) / camera.f, camera.k, camera.p)  # at z = 1
        depth = predicted.depth[i, :, None]
        if root_depth == "stature":
            pose = np.concatenate([plane, depth], -1)
            pred[i] = lift_to_mm(pose, np.eye(3), layout, focal_px=1.0, centre=(0.0, 0.0))
        else:
            z = target[i, known.root, 2] + DEPTH_RANGE_MM * (depth - 0.5)
            pred[i] = np.concatenate([plane * z, z], -1)
    pred, target = (
        metrics.root_aligned(p, known.root) for p in (convert(pred, layout, known), target)
    )
    target, notes = only_shared(target, layout, known)
    return _Pose3D(pred, target, predicted.rows, (ASSUMED[root_depth], *notes))


def _scores(
    pose: _Pose3D,
    records: Sequence[Record],
    measure: Callable[[np.ndarray, np.ndarray], dict[str, Measure]],
    groups: dict[str, Callable[[Record], str]],
) -> Scores:
    """Scores of all frames, by joint, and by each grouping of the records."""
    frames = len(pose.rows)
    measures = measure(pose.pred, pose.target)
    scores = of_joints(measures, records[0].layout, frames=frames, notes=pose.notes)
    by = dict(scores.by)
    for kind, group_of in groups.items():
        names = np.array([group_of(records[r]) for r, _ in pose.rows])
        by[kind] = {
            name: overall(measure(pose.pred[names == name], pose.target[names == name]))
            for name in dict.fromkeys(names.tolist())
        }
    return replace(scores, by=by)


def _h36m_action(record: Record) -> str:
    if record.action is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no action")
    return h36m.ACTIONS[record.action]


def _mean_of_actions(scores: Scores) -> Scores:
    """With the unweighted mean over actions beside each overall number."""
    rows = scores.by["action"].values()
    means = {
        f"{name}_mean_of_actions": float(np.mean([row[name] for row in rows]))
        for name in scores.overall
    }
    return replace(scores, overall={**scores.overall, **means})
