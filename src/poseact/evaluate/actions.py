"""Protocols of action recognition: Penn Action, NTU RGB+D, JHMDB, one's own clips.

A network and a data set meet by the names of the classes, whatever their order; only letters and
digits of a name count ("pull-up" is "pullup"). Of several action sets the smallest one counts that
has every class of the records; further classes that it has are possible (wrong) answers.

Every action block is scored (the last one answers), and of the network of CVPR 2018 each branch:
its last block of poses and of appearance, beside their aggregation, which answers.

A video too short for a clip of that length and step is classified by the frames it has, as
`single_clip` does, scored like any other and counted as `short`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from poseact.core.layouts import layout_named
from poseact.core.types import Output, Record
from poseact.data.dataset import clip_indices, make_sample
from poseact.data.sets import jhmdb, ntu, penn
from poseact.evaluate import metrics
from poseact.evaluate.scores import Scores
from poseact.inference.procedures import (
    RELEASED,
    SINGLE,
    Actions,
    ClipProtocol,
    clips_along,
    combined,
    multi_clip,
    single_clip,
)
from poseact.models.original import zoo
from poseact.models.weights import Card

PENN = ClipProtocol(step=6, predicted_box=True)
NTU = ClipProtocol(step=8, predicted_box=True)
"""The papers' test: nobody tells where the person is (CVPR 2018, 5.2)."""
EVERY_FRAME = ClipProtocol()
PENN_GIVEN = ClipProtocol(step=6)
NTU_GIVEN = ClipProtocol(step=8)
PENN_RELEASED = replace(RELEASED, step=6)
NTU_RELEASED = replace(RELEASED, step=4)


def penn_single_clip(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = PENN
) -> Scores:
    """Accuracy on Penn Action by the one clip in the middle, every 6th frame (TPAMI 2020, 4.1.1).

    Data: Zhang et al., ICCV 2013. The split is the annotation's own.
    """
    return top1(model, card, records, labels=penn.ACTIONS, predict=single_clip, how=how)


def penn_multi_clip(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = PENN
) -> Scores:
    """Accuracy on Penn Action by the mean of clips T/2 apart (TPAMI 2020, 4.1.1).

    T/2 of the clip's frames, so 24 frames of the video with T = 8 and every 6th frame.
    """
    return top1(model, card, records, labels=penn.ACTIONS, predict=multi_clip, how=how)


def penn_released(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    how: ClipProtocol = PENN_RELEASED,
) -> Scores:
    """As the released code of TPAMI 2020 scores Penn Action, its fault included.

    Clips 9 frames of the video apart, mirrored too, probabilities multiplied; a video shorter than
    a clip counts as correct. To reproduce a number, not to report one.
    """
    return top1(
        model,
        card,
        records,
        labels=penn.ACTIONS,
        predict=multi_clip,
        how=how,
        short_is_right=True,
    )


def penn_annotated(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = PENN_GIVEN
) -> Scores:
    """Accuracy on Penn Action from annotated poses, over all clips (CVPR 2018, Table 3).

    The crop holds the annotated boxes. For networks whose heads were trained so.
    """
    return top1(model, card, records, labels=penn.ACTIONS, predict=annotated_clips, how=how)


def ntu_kinect(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = NTU_GIVEN
) -> Scores:
    """Accuracy on NTU RGB+D from the Kinect's poses, by the middle clip (CVPR 2018, Table 5)."""
    return top1(model, card, records, labels=_ntu_names(card), predict=annotated_clip, how=how)


def ntu_single_clip(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = NTU
) -> Scores:
    """Accuracy on NTU RGB+D by the one clip in the middle, every 8th frame (TPAMI 2020, 4.1.1).

    The split of the records makes it cross-subject or cross-view (Shahroudy et al., CVPR 2016), or
    cross-subject or cross-setup of the 120 classes (Liu et al., TPAMI 2020).
    """
    return top1(model, card, records, labels=_ntu_names(card), predict=single_clip, how=how)


def ntu_multi_clip(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = NTU
) -> Scores:
    """Accuracy on NTU RGB+D by the mean of clips T/2 apart; the rest as `ntu_single_clip`."""
    return top1(model, card, records, labels=_ntu_names(card), predict=multi_clip, how=how)


def ntu_released(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    how: ClipProtocol = NTU_RELEASED,
) -> Scores:
    """As the released code scores NTU RGB+D; see `penn_released`.

    For records of every 2nd frame of the videos (`ntu.load(step=2)`): it halves them first.
    """
    return top1(
        model,
        card,
        records,
        labels=_ntu_names(card),
        predict=multi_clip,
        how=how,
        short_is_right=True,
    )


def jhmdb_single_clip(
    model: nn.Module, card: Card, records: Sequence[Record], *, how: ClipProtocol = EVERY_FRAME
) -> Scores:
    """Accuracy on JHMDB (Jhuang et al., ICCV 2013) by the one clip in the middle, every frame.

    Published numbers are the mean of the three folds; the records are those of one.
    """
    return top1(model, card, records, labels=jhmdb.ACTIONS, predict=single_clip, how=how)


def folder_single_clip(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    labels: Sequence[str],
    how: ClipProtocol = EVERY_FRAME,
) -> Scores:
    """Accuracy on one's own clips by the one in the middle of each. labels: `folder.classes`."""
    return top1(model, card, records, labels=labels, predict=single_clip, how=how)


def _ntu_names(card: Card) -> Sequence[str]:
    """The reader's names, or the short ones that imported weights have."""
    return zoo.NTU60 if zoo.NTU60 in card.labels else ntu.ACTIONS


# ------------------------------------------------------------------------------- shared


def top1(
    model: nn.Module,
    card: Card,
    records: Sequence[Record],
    *,
    labels: Sequence[str],
    predict: Callable[..., Actions],
    how: ClipProtocol,
    short_is_right: bool = False,
) -> Scores:
    """Accuracy over videos and by class, and the mean of the classes, in percent.

    By block too, and the branches of a network that has some, over all videos and by class.
    labels: names of `Record.action`. predict: `single_clip` or `multi_clip`. how: its action_set is
    found by name. short_is_right: the released code's fault. Videos without a class are left out
    and counted. ValueError if there is no labelled video, or no action set of the card fits.
    """
    labelled = [r for r in records if r.action is not None and r.action >= 0]
    if not labelled:
        raise ValueError(f"none of the {len(records)} records has an action; nothing to score")
    names = [labels[record.action or 0] for record in labelled]
    number = action_set(card, names)
    classes = card.labels[number]
    how = replace(how, action_set=number)
    listener = _Listener(model, number)
    answers, told = [], []
    for record in labelled:
        listener.heard.clear()
        answers.append(predict(listener, card, record, protocol=how))
        told.append([combined(logs, how.rule) for logs in np.concatenate(listener.heard, 1)])
    by_block = np.moveaxis(np.array(told), 0, 1)  # K N A
    by_block[-1] = [answer.probabilities for answer in answers]
    keys = [_key(name) for name in classes]
    truth = np.array([keys.index(_key(name)) for name in names])
    short = np.array([answer.short for answer in answers])
    if short_is_right:
        by_block[:, short] = np.eye(len(classes))[truth[short]]
    blocks = _names(model, len(by_block))
    columns = {"top1": by_block[-1]}
    columns |= {f"top1_{branch}": by_block[k] for branch, k in _branches(blocks).items()}
    right = {
        name: {
            column: 100 * metrics.top1(values[chosen], truth[chosen]).mean
            for column, values in columns.items()
        }
        for name in labels
        if (chosen := np.array(names) == name).any()
    }
    counts = {
        "videos": len(labelled),
        "short": int(short.sum()),
        "videos_left_out": len(records) - len(labelled),
    }
    overall = {column: 100 * metrics.top1(values, truth).mean for column, values in columns.items()}
    overall["top1_mean_of_actions"] = float(np.mean([row["top1"] for row in right.values()]))
    by_block_top1 = {
        name: {"top1": 100 * metrics.top1(values, truth).mean}
        for name, values in zip(blocks, by_block, strict=True)
    }
    notes = [f"the answers are those of action set {number + 1}, {len(classes)} classes"]
    if short_is_right:
        notes.append("short videos count as correct, whatever the answer, as in the released code")
    return Scores(overall, {"action": right, "block": by_block_top1}, counts, tuple(notes))


def annotated_clip(
    model: nn.Module, card: Card, record: Record, *, protocol: ClipProtocol
) -> Actions:
    """As `single_clip`, but from the record's own poses, in a crop of its own boxes."""
    clip = clip_indices(len(record), card.frames, step=protocol.step)
    return _from_annotations(model, card, record, [clip], protocol)


def annotated_clips(
    model: nn.Module, card: Card, record: Record, *, protocol: ClipProtocol
) -> Actions:
    """As `multi_clip`, but from the record's own poses, in a crop of its own boxes."""
    return _from_annotations(model, card, record, clips_along(record, card, protocol), protocol)


@torch.inference_mode()
def _from_annotations(
    model: nn.Module,
    card: Card,
    record: Record,
    clips: Sequence[Sequence[int]],
    protocol: ClipProtocol,
) -> Actions:
    if protocol.views != SINGLE or protocol.predicted_box:
        raise ValueError("annotated poses are read in one crop, that of the annotated boxes")
    layout, device = layout_named(card.layout), next(model.parameters()).device
    logs = []
    for clip in clips:
        sample = make_sample(record, layout, size=card.size, frames=clip, margin=card.margin)
        pose = sample["pose"][..., : card.config["dim"]]
        out = model(sample["frames"][None].to(device), pose[None].to(device))
        logs.append(out.actions[-1][protocol.action_set][0].double().log_softmax(-1).cpu().numpy())
    return Actions(
        combined(np.stack(logs), protocol.rule),
        np.exp(np.stack(logs)),
        short=len(record) < card.frames * protocol.step,
    )


class _Listener(nn.Module):
    """The network, and log probabilities (K, V, A) of all action blocks for each clip it saw."""

    def __init__(self, model: nn.Module, action_set: int) -> None:
        super().__init__()
        self.model, self.action_set = model, action_set
        self.heard: list[np.ndarray] = []

    def forward(self, frames: Tensor, annotated: Tensor | None = None) -> Output:
        out = self.model(frames) if annotated is None else self.model(frames, annotated)
        if out.actions:  # none for the stills that boxes are found in
            logits = torch.stack([sets[self.action_set] for sets in out.actions]).double()
            self.heard.append(logits.log_softmax(-1).cpu().numpy())
        return out


def _names(model: nn.Module, count: int) -> Sequence[str]:
    """Of the action blocks: branch and number, the exit, or the number alone."""
    exits = [f"{pyramid} {level}" for pyramid, level in getattr(model, "action_exits", ())]
    numbers = [str(k + 1) for k in range(count)]
    named = (getattr(model, "answers", ()), exits)
    return next((names for names in named if len(names) == count), numbers)


def _branches(blocks: Sequence[str]) -> dict[str, int]:
    """Where the last block of each branch stands: "pose 4" is of the branch "pose"."""
    return {
        branch: max(k for k, name in enumerate(blocks) if name.startswith(f"{branch} "))
        for branch in ("pose", "appearance")
        if any(name.startswith(f"{branch} ") for name in blocks)
    }


def action_set(card: Card, names: Sequence[str]) -> int:
    """Which of the card's action sets has all these classes, the smallest one that does.

    ValueError if none has, with the classes that the best one lacks.
    """
    if not card.labels:
        raise ValueError("this network has no action classes; take one that was trained on actions")
    have = [{_key(name) for name in classes} for classes in card.labels]
    missing = [sorted({name for name in names if _key(name) not in keys}) for keys in have]
    best = min(range(len(missing)), key=lambda i: (len(missing[i]), len(card.labels[i])))
    if missing[best]:
        raise ValueError(
            f"no action set of the network fits the data: the closest has not "
            f"{', '.join(missing[best])}; it has {', '.join(card.labels[best])}. Take a network "
            "trained on these classes, or name them alike"
        )
    return best


def _key(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold() or name
