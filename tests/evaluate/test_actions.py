"""Accuracies of a network with known answers, so that every number can be counted by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import small_spnet
from poseact.core.layouts import PA16, PENN13
from poseact.core.types import Output, Record
from poseact.data.sets import jhmdb, ntu, penn
from poseact.evaluate import actions, benchmarks
from poseact.evaluate.actions import action_set
from poseact.evaluate.scores import Scores
from poseact.inference.procedures import ClipProtocol
from poseact.models.multitask import Multitask, MultitaskConfig
from poseact.models.original import zoo
from poseact.models.spnet import SPNet
from poseact.models.weights import Card


class Oracle(nn.Module):
    """Knows clips by the grey of their first frame: logits gives one (A,) for each action set."""

    def __init__(self, logits: Callable[[int], Sequence[np.ndarray]]) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # says which device
        self.logits = logits

    def forward(self, frames: Tensor) -> Output:
        first = frames[:, 0, 0, frames.shape[-2] // 2, frames.shape[-1] // 2]
        sets = [self.logits(int(((grey + 1) * 127.5).round())) for grey in first]
        actions = tuple(torch.from_numpy(np.stack(rows)) for rows in zip(*sets))
        return Output([], [], [actions], [])


def card(labels: tuple[tuple[str, ...], ...]) -> Card:
    return Card({}, "PA17", labels, (16, 16), frames=8)


def video(length: int, action: int | None, *, first: int = 0, still: bool = True) -> Record:
    """All frames of grey `first`, or frame t of grey `first` + t."""
    xy = np.full((length, 13, 2), np.nan)
    return Record(
        lambda t: np.full((24, 24, 3), first + (0 if still else t), np.uint8),
        xy,
        PENN13,
        action=action,
    )


def says(*classes: int, count: int) -> Callable[[int], Sequence[np.ndarray]]:
    """Video i (by grey) is of class classes[i]: 0.8 for it, the rest shared."""

    def logits(grey: int) -> Sequence[np.ndarray]:
        p = np.full(count, 0.2 / (count - 1))
        p[classes[grey]] = 0.8
        return [np.log(p)]

    return logits


LABELS = ("tennis serve", "squat", "pull-up", "bowl")  # neither the set's order nor its spelling


def penn_videos(*lengths: int) -> tuple[list[Record], Oracle]:
    """Three squats and a bowl; the first squat is taken for a bowl."""
    names = ["squat", "squat", "squat", "bowl"]
    records = [
        video(n, penn.ACTIONS.index(name), first=i)
        for i, (n, name) in enumerate(zip(lengths, names))
    ]
    return records, Oracle(says(3, 1, 1, 3, count=4))


def in_true_box(protocol: Callable[..., Scores], how: ClipProtocol) -> Callable[..., Scores]:
    """These oracles give no poses that a box could stand around."""
    return partial(protocol, how=replace(how, predicted_box=False))


penn_single_clip = in_true_box(benchmarks.penn_single_clip, actions.PENN)
penn_multi_clip = in_true_box(benchmarks.penn_multi_clip, actions.PENN)
ntu_single_clip = in_true_box(benchmarks.ntu_single_clip, actions.NTU)
ntu_multi_clip = in_true_box(benchmarks.ntu_multi_clip, actions.NTU)


def test_accuracy_by_names_over_videos_and_over_classes() -> None:
    records, oracle = penn_videos(60, 60, 60, 60)
    records.append(video(60, None))
    found = penn_single_clip(oracle, card((LABELS,)), records)
    assert found.overall == pytest.approx(
        {"top1": 75, "top1_mean_of_actions": 100 * (2 / 3 + 1) / 2}
    )
    assert found.by["action"] == {
        "bowl": {"top1": 100},
        "squat": {"top1": pytest.approx(200 / 3)},
    }
    assert found.counts == {"videos": 4, "short": 0, "videos_left_out": 1}


def test_short_videos_are_answered_and_counted_and_only_the_released_way_forgives_them() -> None:
    """T = 8, every 6th frame: 48 frames. The wrong one is short."""
    records, oracle = penn_videos(47, 48, 48, 47)
    c = card((LABELS,))
    for protocol in (penn_single_clip, penn_multi_clip):
        found = protocol(oracle, c, records)
        assert found.overall["top1"] == 75 and found.counts["short"] == 2
    released = benchmarks.penn_released(oracle, c, records)
    assert released.overall["top1"] == 100 and released.counts["short"] == 2
    assert any("count as correct" in note for note in released.notes)
    long, _ = penn_videos(60, 60, 60, 60)
    assert benchmarks.penn_released(oracle, c, long).overall["top1"] == 75


def test_several_clips_may_overrule_the_middle_one() -> None:
    """96 frames: clips start 24 apart at 2, 26, 50; the middle one alone says squat."""
    record = video(96, penn.ACTIONS.index("bowl"), still=False)

    def logits(first: int) -> Sequence[np.ndarray]:
        return [np.log([0.1, 0.7, 0.1, 0.1] if 20 < first < 40 else [0.05, 0.1, 0.05, 0.8])]

    oracle, c = Oracle(logits), card((LABELS,))
    assert penn_single_clip(oracle, c, [record]).overall["top1"] == 0
    assert penn_multi_clip(oracle, c, [record]).overall["top1"] == 100
    every = ClipProtocol(step=1)
    assert penn_multi_clip(oracle, c, [record], how=every).overall["top1"] == 100
    assert penn_single_clip(oracle, c, [record], how=every).overall["top1"] == 100


def test_of_several_action_sets_the_one_with_the_names_answers() -> None:
    records, _ = penn_videos(60, 60, 60, 60)
    people = ("walk", "run")
    wide = (*LABELS, "walk", "run")

    def logits(grey: int) -> Sequence[np.ndarray]:
        right = says(1, 1, 1, 3, count=4)(grey)[0]
        return [np.zeros(2), np.zeros(6), right]

    c = card((people, wide, LABELS))
    found = penn_single_clip(Oracle(logits), c, records)
    assert found.overall["top1"] == 100 and "action set 3, 4 classes" in found.notes[0]


def test_a_class_outside_the_data_is_a_wrong_answer() -> None:
    records, _ = penn_videos(60, 60, 60, 60)
    oracle = Oracle(says(0, 1, 1, 3, count=4))
    found = penn_single_clip(oracle, card((LABELS,)), records)
    assert found.overall["top1"] == 75


def test_action_sets_that_do_not_fit_are_refused() -> None:
    records, oracle = penn_videos(60, 60, 60, 60)
    with pytest.raises(ValueError, match="has not squat; it has bowl, walk"):
        penn_single_clip(oracle, card((("walk", "run"), ("bowl", "walk"))), records)
    with pytest.raises(ValueError, match="no action classes"):
        penn_single_clip(oracle, card(()), records)
    with pytest.raises(ValueError, match="none of the 1 records has an action"):
        penn_single_clip(oracle, card((LABELS,)), [video(60, None)])


def test_imported_networks_name_the_classes_of_ntu_in_short() -> None:
    """Class 2 is "brush teeth" in one list and "brushing teeth" in the other."""
    records = [video(70, 2, first=0), video(70, 59, first=1)]
    c = card((zoo.NTU60,))
    found = ntu_single_clip(Oracle(says(2, 59, count=60)), c, records)
    assert found.overall["top1"] == 100
    wrong = ntu_multi_clip(Oracle(says(3, 59, count=60)), c, records)
    assert wrong.overall["top1"] == 50


def test_all_classes_of_penn_are_found_in_imported_networks() -> None:
    found = action_set(card((zoo.PENN,)), penn.ACTIONS)
    assert found == 0


def test_own_clips_and_jhmdb_go_by_name_too() -> None:
    records = [video(8, 0, first=0), video(8, 1, first=1)]
    oracle = Oracle(says(1, 0, count=2))
    c = card((("wave", "clap"),))
    found = benchmarks.folder_single_clip(oracle, c, records, labels=("clap", "wave"))
    assert found.overall["top1"] == 100 and found.counts["short"] == 0
    records = [
        replace(r, action=jhmdb.ACTIONS.index(name)) for r, name in zip(records, ("clap", "wave"))
    ]
    assert benchmarks.jhmdb_single_clip(oracle, c, records).overall["top1"] == 100


class Branches(nn.Module):
    """Two blocks of each branch and the aggregation, all wrong but the last of poses and this."""

    answers = ("pose 1", "pose 2", "appearance 1", "appearance 2", "both")

    def __init__(self, right: Callable[[int], Sequence[np.ndarray]]) -> None:
        super().__init__()
        self.right, self.unused = Oracle(right), nn.Parameter(torch.zeros(1))

    def forward(self, frames: Tensor) -> Output:
        (last,) = self.right(frames).actions
        wrong = tuple(-sets for sets in last)
        return Output([], [], [wrong, last, wrong, wrong, last], [])


@pytest.mark.parametrize("protocol", [penn_single_clip, penn_multi_clip, benchmarks.penn_released])
def test_blocks_and_branches_stand_beside_the_answer(protocol: Callable[..., Scores]) -> None:
    records, _ = penn_videos(96, 96, 96, 96)
    names = ("squat", "bowl")
    model = Branches(says(0, 0, 0, 1, count=2))
    found = protocol(model, card((names,)), records)
    blocks = {name: row["top1"] for name, row in found.by["block"].items()}
    assert blocks == dict(zip(Branches.answers, (0, 100, 0, 0, 100)))
    branches = {"top1": 100, "top1_pose": 100, "top1_appearance": 0}
    assert found.overall == {**branches, "top1_mean_of_actions": 100}
    assert found.by["action"] == {"bowl": branches, "squat": branches}


L_WRIST = PA16.joints.index("l_wrist")


class Reader(nn.Module):
    """Knows a clip by where its pose was given to it: the third of the crop of the left wrist."""

    answers = ("pose 1", "both")

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.seen = nn.Parameter(torch.zeros(1)), list[Tensor]()

    def forward(self, frames: Tensor, annotated: Tensor | None = None) -> Output:
        assert annotated is not None and annotated.shape[:2] == frames.shape[:2]
        self.seen.append(annotated)
        third = (3 * annotated[:, :, L_WRIST, 0].mean(1)).long()
        logits = torch.nn.functional.one_hot(third, 3).float() * 4
        return Output([], [], [(-logits,), (logits,)], [])


@pytest.mark.parametrize("protocol", [benchmarks.penn_annotated, benchmarks.ntu_kinect])
def test_actions_from_annotated_poses(protocol: Callable[..., Scores]) -> None:
    """The left wrist, in crops of the annotated boxes; the last record's is in the wrong third."""
    wrist = PENN13.joints.index("l_wrist")
    names = penn.ACTIONS if protocol is benchmarks.penn_annotated else ntu.ACTIONS
    records = []
    for action, u in enumerate((0.1, 0.5, 0.9, 0.1)):
        xy = np.full((100, 13, 2), 12.0)
        xy[:, wrist] = [4 + 16 * u, 12]
        box = np.tile([4.0, 4.0, 20.0, 20.0], (100, 1))
        records.append(replace(video(100, action % 3), xy=xy, box=box))
    model = Reader()
    c = replace(small_card(), layout="PA16", labels=(tuple(names[:3]),), margin=1.0)
    c = replace(c, config={"dim": 2})
    found = protocol(model, c, records)
    assert found.overall["top1"] == 100 and found.overall["top1_pose"] == 0
    wrong = protocol(model, c, [replace(records[3], action=1)])
    assert wrong.overall["top1"] == 0
    assert model.seen[0][0, 0, L_WRIST].tolist() == pytest.approx([0.1, 0.5])
    clips = len(model.seen) // 5
    assert clips == (3 if protocol is benchmarks.penn_annotated else 1)
    short = protocol(model, c, [replace(records[0], xy=records[0].xy[:9])])
    assert short.counts["short"] == 1
    with pytest.raises(ValueError, match="in one crop"):
        protocol(model, c, records, how=ClipProtocol(predicted_box=True))


def test_networks_name_their_blocks() -> None:
    records, oracle = penn_videos(60, 60, 60, 60)
    found = penn_single_clip(oracle, card((LABELS,)), records)
    assert found.by["block"] == {"1": {"top1": 75}}
    model = Multitask(MultitaskConfig(actions=(2,), blocks=1, stem_channels=16, action_blocks=2))
    assert model.answers == ("pose 1", "pose 2", "appearance 1", "appearance 2", "both")
    spnet = SPNet(small_spnet(2))
    found = penn_single_clip(spnet.eval(), small_card(), records[1:])
    assert list(found.by["block"]) == [f"{n} {i}" for n, i in spnet.action_exits]


def small_card() -> Card:
    return Card({}, "PA17", (("squat", "bowl"),), (64, 64), frames=8)
