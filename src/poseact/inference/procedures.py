"""The papers' ways of asking a trained network: several crops, mirror images, several clips.

Sources: CVPR 2018 section 5.2, TPAMI 2020 section 4.1.1 and, where it does something else, the
released code; which is which stands with each function. Everything here is a function of a network
(in eval mode), its card and pixels; `model.cut(...)` gives the network of an earlier block.

The original published no script for several crops, so `MULTI_CROP` says which crops we take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import nn

from poseact.core.geometry import check_box, crop_matrix, square, transform, union, warp
from poseact.core.layouts import layout_named
from poseact.core.types import Output, Record
from poseact.data.dataset import clip_indices
from poseact.inference.tracking import pose_box
from poseact.models.weights import Card


@dataclass(frozen=True)
class View:
    """One crop of a box: its square, `scale` times as large, moved by `shift` sides, mirrored."""

    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


SHIFT = 0.05
"""Of the crops beside the centred one, in sides of the crop. CVPR 2018: "small displacements"."""

SINGLE = (View(),)
FLIP = (View(), View(flip=True))
MULTI_CROP = tuple(
    View(shift=shift, flip=flip)
    for shift in ((0.0, 0.0), (-SHIFT, 0.0), (SHIFT, 0.0), (0.0, -SHIFT), (0.0, SHIFT))
    for flip in (False, True)
)
"""CVPR 2018: "five cropped regions and their corresponding flipped images", all of scale 1: in the
centre, to the left, right, top and bottom. The displacements are our choice."""


class Cropper(Protocol):
    """Cuts a box (4,) px out of a picture: crop (h, w, 3) uint8 and the matrix image px -> uv."""

    def __call__(
        self, image: np.ndarray, box: np.ndarray, /, *, size: tuple[int, int], flip: bool
    ) -> tuple[np.ndarray, np.ndarray]: ...


def straight_crop(
    image: np.ndarray, box: np.ndarray, *, size: tuple[int, int], flip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The crop our own networks are trained with. `data.deephar.crop` makes the original's."""
    matrix = crop_matrix(box, flip=flip)
    return warp(image, matrix, size), matrix


@dataclass(frozen=True)
class Poses:
    """One person in T frames.

    xy: (T, J, 2) px. depth: (T, J) in [0, 1], +-1000 mm about the root, or None for a 2D network.
    score: (T, J).
    """

    xy: np.ndarray
    depth: np.ndarray | None
    score: np.ndarray


@dataclass(frozen=True)
class Actions:
    """What one video shows.

    probabilities: (A,). per_clip: (C, A), each clip's own answer. short: the video has no clip of
    the length and step asked for; the one that was taken has a smaller step, or frames twice.
    """

    probabilities: np.ndarray
    per_clip: np.ndarray
    short: bool


# ------------------------------------------------------------------------------- poses


def predict_poses(
    model: nn.Module,
    card: Card,
    images: Sequence[np.ndarray],
    box: np.ndarray,
    *,
    views: Sequence[View] = SINGLE,
    crop: Cropper = straight_crop,
) -> Poses:
    """The mean over views of the last block's poses, each brought back to the picture first.

    images: T frames (H, W, 3) uint8 RGB of one size. box: (4,) px around the person, the same in
    all frames; a crop is the square on it, larger by `card.margin`. Of mirrored views left and
    right joints are exchanged. Positions, depths and scores are averaged, joint by joint. For a
    single crop, the TPAMI 2020 protocol, leave `views` as it is.
    """
    out, matrices = _run(model, card, images, box, views, crop)
    uvd = out.poses[-1].float().cpu().numpy().astype(np.float64)  # V T J D
    score = out.scores[-1].float().cpu().numpy()  # V T J
    xy = transform(np.linalg.inv(matrices)[:, None], uvd[..., :2])
    for v, view in enumerate(views):
        if view.flip:
            twins = list(layout_named(card.layout).flip)
            xy[v], uvd[v], score[v] = xy[v][:, twins], uvd[v][:, twins], score[v][:, twins]
    depth = uvd[..., 2].mean(0) if uvd.shape[-1] == 3 else None
    return Poses(xy.mean(0), depth, score.mean(0))


def initial_box(
    model: nn.Module,
    card: Card,
    images: Sequence[np.ndarray],
    *,
    crop: Cropper = straight_crop,
) -> np.ndarray:
    """The box (4,) px around the poses found in whole frames of a clip (CVPR 2018, TPAMI 2020).

    Looked at are the first, the middle and the last of `images`, each as one crop of the whole
    frame. Around the confident joints of each pose stands a box, the answer holds all three. The
    released code read a coordinate in place of the confidence there.
    """
    picks = sorted({0, len(images) // 2, len(images) - 1})
    boxes = []
    for image in (images[i] for i in picks):
        size = image.shape[1], image.shape[0]
        whole = np.array([0.0, 0.0, *size])
        view = View(scale=1 / card.margin)
        pose = predict_poses(model, card, [image], whole, views=(view,), crop=crop)
        boxes.append(pose_box(pose.xy[0], pose.score[0], size))
    return union(np.stack(boxes))


@torch.inference_mode()
def _run(
    model: nn.Module,
    card: Card,
    images: Sequence[np.ndarray],
    box: np.ndarray,
    views: Sequence[View],
    crop: Cropper,
) -> tuple[Output, np.ndarray]:
    """The network on V views of T frames, as a batch of V clips, and image px -> uv (V, 3, 3)."""
    if not len(images) or not len(views):
        raise ValueError(f"need frames and views, got {len(images)} and {len(views)}")
    matrices, clips = [], []
    for view in views:
        window = square(check_box(box), margin=card.margin * view.scale)
        window = window + np.tile(view.shift, 2) * (window[2] - window[0])
        crops = [crop(image, window, size=card.size, flip=view.flip) for image in images]
        matrices.append(crops[0][1])
        clips.append(np.stack([pixels for pixels, _ in crops]))
    frames = torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).contiguous()  # V T 3 H W
    frames = frames.to(next(model.parameters()).device).float() / 127.5 - 1.0
    return model(frames), np.stack(matrices)


# ------------------------------------------------------------------------------- actions


@dataclass(frozen=True)
class ClipProtocol:
    """How a network is asked for the action in a video. The defaults are the papers'.

    step: frames of the video from one of a clip to the next (TPAMI 2020: 6 on Penn Action, 8 on
    NTU). rule: "average" of the probabilities of all clips and views, or their "product", brought
    back to a sum of 1. spacing: of several clips, see `clip_starts`. predicted_box: look into
    `initial_box` of each clip; else into the box around the record's boxes in the clip, or the
    whole picture if it has none. action_set: which of the network's sets.
    """

    step: int = 1
    rule: Literal["average", "product"] = "average"
    spacing: Literal["half_clip", "released"] = "half_clip"
    views: tuple[View, ...] = SINGLE
    predicted_box: bool = False
    action_set: int = 0
    crop: Cropper = straight_crop


RELEASED = ClipProtocol(rule="product", spacing="released", views=FLIP)
"""What the released code does with several clips (`eval_multiclip_dataset`), but for its `step`."""


def clip_starts(
    length: int, frames: int, *, step: int = 1, spacing: Literal["half_clip", "released"]
) -> list[int]:
    """First frames of the clips of `frames` frames, `step` apart, in a video of `length` frames.

    "half_clip": T/2 frames of the clip apart (both papers), so T // 2 * step frames of the video;
    what is left over is shared between the ends. "released": T // 2 + step - 1 frames of the video
    apart, from its first frame on, as the code does. A clip takes T * step frames of the video in
    both; a shorter video has none.

    >>> clip_starts(50, 8, step=6, spacing="half_clip")
    [3]
    >>> clip_starts(66, 8, step=6, spacing="released")
    [0, 9, 18]
    """
    if min(length, frames, step) < 1:
        raise ValueError(f"length, frames and step are 1 or more, got {length}, {frames}, {step}")
    room = length - frames * step
    if room < 0:
        return []
    if spacing == "released":
        return list(range(0, room + 1, max(frames // 2 + step - 1, 1)))
    apart = max(frames // 2, 1) * step
    last = room // apart * apart
    left_over = length - last - ((frames - 1) * step + 1)
    return [left_over // 2 + start for start in range(0, last + 1, apart)]


def single_clip(
    model: nn.Module, card: Card, record: Record, *, protocol: ClipProtocol = ClipProtocol()
) -> Actions:
    """The action in the one clip in the middle of the video (both papers).

    A short video is stretched, by `clip_indices`. The last action block answers. ValueError for a
    record without pictures or a network that gives no action.
    """
    clip = clip_indices(len(record), card.frames, step=protocol.step)
    return _answer(model, card, record, [clip], protocol)


def multi_clip(
    model: nn.Module, card: Card, record: Record, *, protocol: ClipProtocol = ClipProtocol()
) -> Actions:
    """The action in clips all along the video, each in its own box; see `ClipProtocol`.

    A video too short for one clip is answered by `single_clip`; the released code, which has no
    clip there, counts it as correct. The last action block answers. Errors as there.
    """
    return _answer(model, card, record, clips_along(record, card, protocol), protocol)


def clips_along(record: Record, card: Card, protocol: ClipProtocol) -> list[list[int]]:
    """Frames of the clips all along a video; of one too short for a clip, those of the middle."""
    step = protocol.step
    starts = clip_starts(len(record), card.frames, step=step, spacing=protocol.spacing)
    if not starts:
        return [list(clip_indices(len(record), card.frames, step=step))]
    return [list(range(start, start + card.frames * step, step)) for start in starts]


def _answer(
    model: nn.Module,
    card: Card,
    record: Record,
    clips: Sequence[Sequence[int]],
    protocol: ClipProtocol,
) -> Actions:
    logs = np.stack(
        [_clip_log_probabilities(model, card, record, clip, protocol) for clip in clips]
    )  # C V A
    return Actions(
        combined(logs.reshape(-1, logs.shape[-1]), protocol.rule),
        np.stack([combined(views, protocol.rule) for views in logs]),
        short=len(record) < card.frames * protocol.step,
    )


def combined(logs: np.ndarray, rule: Literal["average", "product"]) -> np.ndarray:
    """Probabilities (A,) from log probabilities (N, A)."""
    if rule == "average":
        return np.exp(logs).mean(0)
    total = logs.sum(0)
    product = np.exp(total - total.max())
    return product / product.sum()


def _clip_log_probabilities(
    model: nn.Module, card: Card, record: Record, clip: Sequence[int], protocol: ClipProtocol
) -> np.ndarray:
    """(V, A) of the last action block."""
    if record.frame is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no pictures")
    pictures = {t: record.frame(t) for t in set(clip)}  # a stretched clip repeats frames
    images = [pictures[t] for t in clip]
    if protocol.predicted_box:
        box = initial_box(model, card, images, crop=protocol.crop)
    else:
        box = record_box(record, clip, images[0], margin=card.margin)
    out, _ = _run(model, card, images, box, protocol.views, protocol.crop)
    if not out.actions:
        raise ValueError("this network gives no action: it has no action block, or clips of T = 1")
    logits = out.actions[-1][protocol.action_set]
    return logits.double().log_softmax(-1).cpu().numpy()


def record_box(
    record: Record, clip: Sequence[int], image: np.ndarray, *, margin: float
) -> np.ndarray:
    """(4,) px around the known boxes of a clip; without any, what makes the crop the picture."""
    if record.box is not None and np.isfinite(record.box[list(clip)]).all(-1).any():
        return union(record.box[list(clip)])
    return square(np.array([0.0, 0.0, image.shape[1], image.shape[0]]), margin=1 / margin)
