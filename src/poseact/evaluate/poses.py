"""Protocols of 2D poses: MPII, LSP, Penn Action, JHMDB, COCO."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
from torch import nn

from poseact.core.geometry import crop_matrix, square, transform
from poseact.core.layouts import COCO17, MPII16, Layout, convert, layout_named
from poseact.core.types import Record
from poseact.data.sets import coco, mpii
from poseact.evaluate import metrics
from poseact.evaluate.scores import Measure, Scores, of_joints
from poseact.inference.procedures import (
    SINGLE,
    Cropper,
    View,
    predict_poses,
    record_box,
    straight_crop,
)
from poseact.models.weights import Card


@dataclass(frozen=True)
class Crops:
    """Which crops a network predicts poses from: every step-th frame, in the box of its record.

    views: the crops whose answers are averaged. crop: the function that cuts them.
    """

    step: int = 1
    views: tuple[View, ...] = SINGLE
    crop: Cropper = straight_crop

    def __post_init__(self) -> None:
        if self.step < 1:
            raise ValueError(f"step is 1 or more, got {self.step}")


@dataclass(frozen=True)
class Predicted:
    """The last block's poses of N frames, in the network's layout.

    xy: (N, J, 2) px. depth: (N, J) in [0, 1] or None. score: (N, J). box: (N, 4) px, before the
    card's margin. rows: (record, frame) of each.
    """

    xy: np.ndarray
    depth: np.ndarray | None
    score: np.ndarray
    box: np.ndarray
    rows: list[tuple[int, int]]


def predict_frames(
    model: nn.Module, card: Card, records: Sequence[Record], how: Crops
) -> Predicted:
    """Poses of the frames that `how` names; ValueError for records without pictures, or none."""
    if not records:
        raise ValueError("there is no record to score; is the limit 0?")
    poses, boxes, rows = [], [], []
    for r, record in enumerate(records):
        if record.frame is None:
            raise ValueError(
                f"a record of {record.source or 'unnamed source'} has no pictures to predict from; "
                "unpack them beside the annotations, or take a form of the data that has them"
            )
        for t in range(0, len(record), how.step):
            image = record.frame(t)
            box = record_box(record, [t], image, margin=card.margin)
            poses.append(predict_poses(model, card, [image], box, views=how.views, crop=how.crop))
            boxes.append(box)
            rows.append((r, t))
    deep = [pose.depth for pose in poses if pose.depth is not None]
    return Predicted(
        np.concatenate([pose.xy for pose in poses]),
        np.concatenate(deep) if deep else None,
        np.concatenate([pose.score for pose in poses]),
        np.stack(boxes),
        rows,
    )


# ------------------------------------------------------------------------------- MPII


_TO_A_FIFTH = np.linspace(0, 0.2, 21)


def mpii_pckh(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: Crops = Crops()
) -> Scores:
    """PCKh of MPII at 0.5 and 0.2, and AUC up to there (Andriluka et al., CVPR 2014).

    Joints: the 14 of the official evaluation, all but pelvis and thorax; every annotated one
    counts. People without a head box are left out and counted. ValueError without head sizes.
    """
    predicted = predict_frames(model, card, records, how)
    return _pckh(predicted, card, records, np.ones(predicted.xy.shape[:1], bool)[:, None])


def mpii_pckh_in_crop(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: Crops = Crops()
) -> Scores:
    """`mpii_pckh` without the joints outside the crop, as the released code of CVPR 2018 counts.

    Its loader forgets those joints, so the network is not scored on what it cannot see. Not to be
    compared with official numbers, which stand beside it. Of several crops the one in the centre
    decides.
    """
    predicted = predict_frames(model, card, records, how)
    matrices = np.stack([crop_matrix(square(box, margin=card.margin)) for box in predicted.box])
    uv = transform(matrices, annotated(predicted, records, "xy"))
    official = _pckh(predicted, card, records, np.ones(predicted.xy.shape[:1], bool)[:, None])
    found = _pckh(predicted, card, records, np.all((uv > 0) & (uv < 1), axis=-1))
    beside = {f"official_{name}": value for name, value in official.overall.items()}
    return replace(found, overall={**found.overall, **beside})


def _pckh(
    predicted: Predicted, card: Card, records: Sequence[Record], counts: np.ndarray
) -> Scores:
    """counts: (N, J) or (N, 1) bool, the joints that may count."""
    if any(record.scale_px is None for record in records):
        raise ValueError(
            "PCKh needs head sizes and these records have none; for MPII take the split val and "
            "put gt_valid.mat (HRNet) or mpii_gt_val.mat (mmpose) beside the annotations"
        )
    known = records[0].layout
    official = np.isin(known.joints, metrics.PCKH_JOINTS)
    pred, target, notes = _matched(predicted, card, records)
    target = np.where((counts & official)[..., None], target, np.nan)
    heads = annotated(predicted, records, "scale_px")
    measures: dict[str, Measure] = {
        "pckh_0.5": metrics.pckh(pred, target, heads, threshold=0.5),
        "pckh_0.2": metrics.pckh(pred, target, heads, threshold=0.2),
        "auc_0.5": metrics.auc(pred, target, heads),
        "auc_0.2": metrics.auc(pred, target, heads, thresholds=_TO_A_FIFTH),
    }
    return of_joints(measures, known, frames=len(predicted.rows), notes=notes)


def mpii_predictions(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    out: str | Path = "pred.mat",
    how: Crops = Crops(),
) -> Scores:
    """The file that the benchmark scores: joints of the test people, whose poses are withheld.

    See `data.sets.mpii.write_predictions`. ValueError if the network lacks a joint of MPII.
    """
    predicted = predict_frames(model, card, records, how)
    xy = convert(predicted.xy, layout_named(card.layout), MPII16)
    if lacking := _lacking(layout_named(card.layout), MPII16):
        raise ValueError(f"MPII scores 16 joints; {card.layout} has no {', '.join(lacking)}")
    mpii.write_predictions(out, [records[r].view for r, _ in predicted.rows], xy)
    notes = (f"no poses are public; {out} is what the benchmark scores",)
    return Scores({}, {}, {"people": len(predicted.rows)}, notes)


# ------------------------------------------------------------------------------- PCK


def pck_torso(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: Crops = Crops()
) -> Scores:
    """PCK within 0.2 of the torso, as on LSP (Toshev & Szegedy, "DeepPose", CVPR 2014).

    Person-centric: left and right are the person's own. The torso is that of `metrics.pck_torso`;
    people without one are left out and counted.
    """
    predicted = predict_frames(model, card, records, how)
    pred, target, notes = _matched(predicted, card, records)
    known = records[0].layout
    measures: dict[str, Measure] = {"pck_torso_0.2": metrics.pck_torso(pred, target, known)}
    return of_joints(measures, known, frames=len(predicted.rows), notes=notes)


def jhmdb_pck(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: Crops = Crops()
) -> Scores:
    """PCK within 0.2 of the longer side of the person's box, and of the torso (`pck_torso`).

    Both are in use on JHMDB (Luo et al., "LSTM Pose Machines", CVPR 2018). The box is the record's,
    just around the silhouette if the reader is left at its default. The counts are those of the
    first.
    """
    predicted = predict_frames(model, card, records, how)
    pred, target, notes = _matched(predicted, card, records)
    known = records[0].layout
    box = annotated(predicted, records, "box")
    measures: dict[str, Measure] = {
        "pck_box_0.2": metrics.pck(pred, target, (box[:, 2:] - box[:, :2]).max(-1), threshold=0.2),
        "pck_torso_0.2": metrics.pck_torso(pred, target, known),
    }
    return of_joints(measures, known, frames=len(predicted.rows), notes=notes)


# ------------------------------------------------------------------------------- COCO

_COCO_NUMBERS = ("ap", "ap_50", "ap_75", "ap_medium", "ap_large", "ar")


def coco_oks_ap(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    annotations: str | Path,
    out: str | Path = "coco_keypoints_results.json",
    how: Crops = Crops(),
) -> Scores:
    """AP by object keypoint similarity of COCO (Lin et al., ECCV 2014), in the true boxes.

    annotations: the file that the records are from. out: the predictions in COCO's result form,
    written first; a person's score is the mean of its joints'. All 17 keypoints count: those that
    the network's layout lacks are missed, and a note names them. Scored are the records' pictures.
    ImportError without pycocotools, which computes the numbers.
    """
    predicted = predict_frames(model, card, records, how)
    layout = layout_named(card.layout)
    score = convert(predicted.score[..., None], layout, COCO17)[..., 0].astype(np.float64)
    pictures = np.array([int(records[r].view) for r, _ in predicted.rows])
    results = coco.Results(
        pictures,
        convert(predicted.xy, layout, COCO17),
        np.nan_to_num(score),
        np.nanmean(score, axis=1),
    )
    coco.write_results(out, results)
    try:
        from pycocotools.coco import COCO  # pyright: ignore[reportMissingModuleSource]
        from pycocotools.cocoeval import COCOeval  # pyright: ignore[reportMissingModuleSource]
    except ImportError as error:
        raise ImportError(
            f"{out} holds the predictions of {len(pictures)} people; their AP is computed by "
            "pycocotools, which is not installed: pip install 'poseact[coco]', or give the file to "
            "another tool"
        ) from error
    with redirect_stdout(StringIO()):
        truth = COCO(str(annotations))
        test = COCOeval(truth, truth.loadRes(str(out)), "keypoints")
        test.params.imgIds = sorted(set(pictures.tolist()))
        test.evaluate()
        test.accumulate()
        test.summarize()
    lacking = _lacking(layout, COCO17)
    notes = (f"always missed, as {layout.name} has none: {', '.join(lacking)}",) if lacking else ()
    numbers = {name: 100 * float(test.stats[i]) for i, name in enumerate(_COCO_NUMBERS)}
    return Scores(numbers, {}, {"people": len(pictures), "pictures": len(set(pictures))}, notes)


# ------------------------------------------------------------------------------- shared


def _matched(
    predicted: Predicted, card: Card, records: Sequence[Record]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Predicted and true xy (N, J, 2) in the records' layout, and a note on uncounted joints."""
    layout, known = layout_named(card.layout), records[0].layout
    target, notes = only_shared(annotated(predicted, records, "xy"), layout, known)
    return convert(predicted.xy, layout, known), target, notes


def only_shared(
    target: np.ndarray, layout: Layout, known: Layout
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The target (N, J, D) with NaN for joints that the network's layout lacks, and a note."""
    lacking = _lacking(layout, known)
    unasked = np.isin(known.joints, lacking)[:, None]
    notes = (f"not counted, as {layout.name} has none: {', '.join(lacking)}",) if lacking else ()
    return np.where(unasked, np.nan, target), notes


def _lacking(layout: Layout, known: Layout) -> list[str]:
    """Joints of the data that the network's layout neither has nor can derive."""
    column = convert(np.zeros((len(layout), 1)), layout, known)[:, 0]
    return [joint for joint, value in zip(known.joints, column) if np.isnan(value)]


def annotated(predicted: Predicted, records: Sequence[Record], what: str) -> np.ndarray:
    """An annotation of every predicted frame, (N, ...) float64; ValueError if a record has none."""
    columns = [getattr(record, what) for record in records]
    if any(column is None for column in columns):
        raise ValueError(f"this protocol needs {what} of every record, and some have none")
    return np.stack([columns[r][t] for r, t in predicted.rows]).astype(np.float64)
