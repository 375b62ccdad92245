"""Benchmarks: what a network scores on a data set, for every block it can be cut at.

`evaluate` is the common protocol of the shipped models: the person's own box, one crop, no flip
averaging; pose errors over all frames, actions over centred clips. The last block is the answer;
the others are listed for those who cut the network, never chosen by their score here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from poseact.core.camera import intrinsics_of, pose_to_camera
from poseact.core.geometry import transform
from poseact.core.layouts import Layout, convert, layout_named
from poseact.core.types import Record
from poseact.data.dataset import clip_indices, make_sample, stack
from poseact.evaluate import metrics
from poseact.evaluate.cost import frame_ms, multiply_adds
from poseact.inference import procedures
from poseact.models.weights import Card, Network

Views = Literal["single", "flip", "multi_crop"]
VIEWS: dict[str, tuple[procedures.View, ...]] = {
    "single": procedures.SINGLE,
    "flip": procedures.FLIP,
    "multi_crop": procedures.MULTI_CROP,
}


@dataclass(frozen=True)
class BlockScore:
    """One prediction block: its metrics, and what a network cut there costs for one frame."""

    pyramid: int
    level: int
    scores: dict[str, float]
    multiply_adds: int
    ms: float


@dataclass(frozen=True)
class Report:
    """Scores of all blocks. n: frames with a pose; clips: clips with an action class."""

    data: str
    split: str
    n: int
    clips: int
    left_out: int
    blocks: tuple[BlockScore, ...]

    def to_json(self) -> str:
        """One line: the last block's numbers on top, all blocks under `blocks`."""
        blocks = [
            {"pyramid": b.pyramid, "level": b.level, **_rounded(b.scores)}
            | {"multiply_adds": b.multiply_adds, "ms": round(b.ms, 3)}
            for b in self.blocks
        ]
        head = {"data": self.data, "split": self.split, "n": self.n, "clips": self.clips}
        top = {**head, "left_out": self.left_out, **_rounded(self.blocks[-1].scores)}
        return json.dumps({**top, "blocks": blocks})

    def table(self) -> str:
        """A title, and a line a block."""
        lines = [f"{self.data} {self.split}: {self.n} frames, {self.clips} clips"]
        for b in self.blocks:
            scores = "  ".join(f"{name} {value:.1f}" for name, value in b.scores.items())
            cost = f"{b.multiply_adds / 1e9:.2f} G multiply-adds, {b.ms:.1f} ms a frame"
            lines.append(f"block {b.pyramid} {b.level}  {scores}  {cost}")
        return "\n".join(lines)


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in scores.items()}


@dataclass(frozen=True)
class Predictions:
    """All blocks on all frames. uvd: (K, N, J, D). to_image: (N, 3, 3). rows: (record, frame) of
    each of the N. actions: (k, clips, A) of the k action blocks; truth: (clips,) classes."""

    uvd: np.ndarray
    to_image: np.ndarray
    rows: list[tuple[int, int]]
    actions: np.ndarray
    truth: np.ndarray


@torch.inference_mode()
def predict_records(
    model: Network, card: Card, records: Sequence[Record], *, batch: int = 16
) -> Predictions:
    """Run a network on records, each in the crop of its own box; clips have card.frames frames."""
    layout = layout_named(card.layout)
    device = next(model.parameters()).device
    uvd, to_image, rows, actions, truth = [], [], [], [], []
    for first in range(0, len(records), batch):
        group = records[first : first + batch]
        frames = min(len(group[0]), card.frames)
        chosen = [clip_indices(len(record), frames) for record in group]
        sample = stack(
            [
                make_sample(record, layout, size=card.size, frames=index, margin=card.margin)
                for record, index in zip(group, chosen)
            ]
        )
        out = model(sample["frames"].to(device, memory_format=torch.contiguous_format))
        uvd.append(torch.stack(out.poses).flatten(1, 2).cpu().numpy())
        to_image.append(sample["to_image"].flatten(0, 1).numpy())
        rows += [(first + i, t) for i, index in enumerate(chosen) for t in index]
        labelled = (sample["action"] >= 0).numpy()
        if out.actions and labelled.any():
            logits = torch.stack([sets[0] for sets in out.actions]).cpu().numpy()
            actions.append(logits[:, labelled])
            truth.append(sample["action"].numpy()[labelled])
    return Predictions(
        np.concatenate(uvd, 1),
        np.concatenate(to_image),
        rows,
        np.concatenate(actions, 1) if actions else np.empty((0, 0, 0)),
        np.concatenate(truth) if truth else np.empty(0, np.int64),
    )


def predict_views(
    model: Network, card: Card, records: Sequence[Record], views: Sequence[procedures.View]
) -> Predictions:
    """The last block's answer on records, averaged over several crops (`protocols`)."""
    uv, rows, actions, truth = [], [], [], []
    protocol = procedures.ClipProtocol(views=tuple(views))
    for r, record in enumerate(records):
        clip = clip_indices(len(record), min(len(record), card.frames))
        images = [_of(record.frame, t) for t in clip]
        box = procedures.record_box(record, clip, images[0], margin=card.margin)
        pose = procedures.predict_poses(model, card, images, box, views=views)
        depth = [] if pose.depth is None else [pose.depth[..., None]]
        uv.append(np.concatenate([pose.xy, *depth], -1))
        rows += [(r, t) for t in clip]
        if record.action is not None and len(clip) > 1 and model.action_exits:
            answer = procedures.single_clip(model, card, record, protocol=protocol)
            actions.append(answer.probabilities)
            truth.append(record.action)
    to_image = np.broadcast_to(np.eye(3), (len(rows), 3, 3))  # the poses are in px already
    return Predictions(
        np.concatenate(uv)[None],
        to_image,
        rows,
        np.stack(actions)[None] if actions else np.empty((0, 0, 0)),
        np.array(truth, np.int64),
    )


def evaluate(
    model: Network,
    card: Card,
    records: Sequence[Record],
    *,
    name: str = "",
    split: str = "",
    views: Views = "single",
) -> Report:
    """Score every block on records of one data set (one layout, equally long).

    views: "flip" and "multi_crop" average crops of the last block, which then stands alone.
    """
    layout = layout_named(card.layout)
    single = views == "single"
    found = (
        predict_records(model, card, records)
        if single
        else predict_views(model, card, records, VIEWS[views])
    )
    exits = model.exits if single else model.exits[-1:]
    acting = model.action_exits
    blocks, left_out = [], 0
    for k, (pyramid, level) in enumerate(exits):
        scores, left_out = pose_scores(found.uvd[k], found, records, layout)
        if len(found.truth) and (pyramid, level) in acting:
            # from the end: the CVPR network has several answers at one exit, the last one counts
            back = acting.index((pyramid, level)) - len(acting)
            logits = found.actions[back]
            scores["action_top1"] = 100 * metrics.top1(logits, found.truth).mean
        small = model.cut(pyramid, level)
        cost, ms = multiply_adds(small, card.size), frame_ms(small, card.size)
        blocks.append(BlockScore(pyramid, level, scores, cost, ms))
    return Report(name, split, len(found.rows), len(found.truth), left_out, tuple(blocks))


def pose_scores(
    uvd: np.ndarray, found: Predictions, records: Sequence[Record], layout: Layout
) -> tuple[dict[str, float], int]:
    """PCK by torso, PCKh where head sizes are known, 3D errors where 3D and camera are known.

    uvd: (N, J, D) of one block, rows as in `found`. Also how many people had no torso to compare.
    """
    known = records[0].layout
    target = np.stack([records[r].xy[t] for r, t in found.rows])
    xy = convert(transform(found.to_image, uvd[..., :2]), layout, known)
    torso = metrics.pck_torso(xy, target, known)
    scores = {"pck_torso_0.2": 100 * torso.mean}
    if records[0].scale_px is not None:
        heads = np.stack([_of(records[r].scale_px, t) for r, t in found.rows])
        joints = [known.index(joint) for joint in metrics.PCKH_JOINTS]
        scores["pckh_0.5"] = 100 * metrics.pckh(xy, target, heads, joints=joints).mean
    if uvd.shape[-1] == 3 and records[0].xyz is not None and records[0].camera is not None:
        scores.update(_scores_3d(uvd, found, records, layout))
    return scores, torso.left_out


def _scores_3d(
    uvd: np.ndarray, found: Predictions, records: Sequence[Record], layout: Layout
) -> dict[str, float]:
    """Human3.6M's way: true camera and true depth of the root, errors relative to the root."""
    known = records[0].layout
    target = np.stack([_of(records[r].xyz, t) for r, t in found.rows])
    cameras = [records[r].camera for r, _ in found.rows]
    intrinsics = np.stack([_four(intrinsics_of(c)) for c in cameras if c is not None])
    root_mm = target[:, known.root, 2]
    xyz = convert(pose_to_camera(uvd, found.to_image, intrinsics, root_mm), layout, known)
    xyz, target = (metrics.root_aligned(pose, known.root) for pose in (xyz, target))
    return {
        "mpjpe_mm": metrics.mpjpe(xyz, target).mean,
        "p_mpjpe_mm": metrics.p_mpjpe(xyz, target).mean,
        "pck3d_150": 100 * metrics.pck3d(xyz, target).mean,
    }


def _of(values: Any, t: int) -> np.ndarray:
    """Entry t of an annotation, or frame t of a record."""
    if values is None:
        raise ValueError("records of one data set must all have the same annotations")
    return np.asarray(values(t) if callable(values) else values[t])


def _four(k: np.ndarray) -> np.ndarray:
    """fx fy cx cy of intrinsics given as such or as a 3x3 matrix."""
    return k if k.shape == (4,) else np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])


# ------------------------------------------------------------------------------- cost
