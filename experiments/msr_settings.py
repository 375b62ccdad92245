"""What a classifier of skeletons should see and how it should train, asked of training people only.

MSR Action3D. Each of the five training subjects is held out in turn; what is printed is the share
of their sequences that are recognised within the classes of AS1, AS2 and AS3, and the mean of the
three. One network learns all 20 classes, or each of the three has one of its own ("sets apart"), as
in the tests of docs/explanation/enas.md, which has the table. The test subjects are not read.

    python -m experiments.msr_settings --root $POSEACT_SHARED/data/skeletons/msr_action3d.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.msr_within import SUBSETS, class_sets, right_within
from poseact.models.enas import random_genotype
from poseact.models.temporal import TemporalCNN
from poseact.skeletons.classifier import (
    Bank,
    Encoding,
    Joints,
    Pictures,
    Take,
    Training,
    hold_out,
    logits,
    train,
)
from poseact.skeletons.learn.search import SearchConfig, builder, small, tall
from poseact.skeletons.spmf import Augment, SPMFConfig, turn

CLASSES = 20
Options = Mapping[str, Any]
NONE: Options = {}


@dataclass(frozen=True)
class Setting:
    """cells: a network of random cells on pictures; else the temporal CNN on joints. apart: one
    network for each set of classes. face: skeletons turned to the camera."""

    name: str
    config: SearchConfig
    cells: bool = True
    apart: bool = False
    face: bool = False

    def parts(
        self, learned: Sequence[Take], classes: int
    ) -> tuple[Encoding, Callable[[], nn.Module], Training]:
        config = self.config.fitted(learned)
        pictures = config.pictures
        if not self.cells:
            joints = Joints(augment=pictures.augment, bones=pictures.spmf.bones)
            channels = 3 * learned[0].poses.shape[1] * learned[0].poses.shape[2]
            return joints, lambda: TemporalCNN(channels, classes), config.final
        genotype = random_genotype(3, torch.Generator().manual_seed(77))
        return pictures, builder(config, genotype, classes), config.final


def settings(root: str) -> list[Setting]:
    """From the encoding of the paper to those of `small` and `tall`, and around them."""
    lower, higher = small("msr3d", root), tall("msr3d", root)

    def cells(
        name: str,
        chosen: SearchConfig = lower,
        *,
        spmf: Options = NONE,
        augment: Options = NONE,
        final: Options = NONE,
        **of_all: Any,
    ) -> Setting:
        pictures = Pictures(
            replace(chosen.pictures.spmf, **spmf), replace(chosen.pictures.augment, **augment)
        )
        training = replace(chosen.final, **final)
        return Setting(name, replace(chosen, pictures=pictures, final=training, **of_all))

    paper, drawn = vars(SPMFConfig()), vars(Augment())
    of_pictures = {name: drawn[name] for name in ("mirror", "margin", "reverse")}
    native = {name: paper[name] for name in ("order", "orientation", "enhance")}
    clahe = {name: paper[name] for name in ("orientation", "enhance")}
    short = {name: getattr(lower.final, name) for name in ("epochs", "batch", "weight_decay")}
    found = [
        cells("cells, as in the paper", spmf=native, augment=of_pictures, same_bones=False),
        cells("cells, mirror, reversal and cuts left out", spmf=native, same_bones=False),
        cells("cells, ... and joints part by part", spmf=clahe, same_bones=False),
        cells("cells, ... and unit vectors, not equalised", same_bones=False),
        cells("small, which is ... and the same bones"),
        cells("small, raw vectors", spmf={"orientation": "raw"}),
        cells("small, 48 px", spmf={"size": 48}),
        cells("small, mirrored too", augment={"mirror": 0.5}),
        cells("small, noise 3 %, a part of 70 %", augment={"noise": 0.03, "keep": 0.7}),
        cells("small, 120 epochs", final={"epochs": 120}),
        replace(cells("small, all turned to the camera"), face=True),
        cells("tall", higher),
        cells("tall, trained as small", higher, final=short, copies=lower.copies),
        cells("tall, not equalised", higher, spmf={"enhance": "none"}),
    ]
    found += [
        replace(cells(f"{name}, sets apart", config, **changes), apart=True)
        for name, config, changes in (
            ("small", lower, NONE),
            ("tall", higher, NONE),
            ("tall, trained as small", higher, {"final": short, "copies": lower.copies}),
        )
    ]
    joints = [
        cells("temporal CNN, own bones", same_bones=False),
        cells("temporal CNN, the same bones"),
        cells("temporal CNN, the same bones, mirrored and reversed too", augment=of_pictures),
        replace(cells("temporal CNN, trained as tall, sets apart", higher), apart=True),
    ]
    return found + [replace(setting, cells=False) for setting in joints]


def facing(take: Take) -> Take:
    """Turned about the vertical until shoulders and hips are across the camera's axis, on the
    median of the frames."""
    sides = [
        take.poses[..., [take.layout.index(f"{side}_{joint}") for joint in ("shoulder", "hip")], :]
        for side in "lr"
    ]
    x, _, z = np.nanmedian((sides[0] - sides[1]).mean(2), axis=(0, 1))
    return replace(take, poses=turn(take.poses, np.arctan2(z, x)))


def answers(
    setting: Setting, takes: Sequence[Take], subject: str, group: Sequence[int], seeds: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each seed, of a network that learned a group of classes from the other subjects: its
    answers to this one's takes, (N, 20) with -inf for classes not in the group, and the truth."""
    group = list(group)
    asked = [replace(t, action=group.index(t.action)) for t in takes if t.action in group]
    learned, held = hold_out(asked, (subject,))
    encoding, build, training = setting.parts(learned, len(group))
    bank = Bank(learned, encoding, copies=setting.config.copies)
    question = Bank(held, encoding)
    for seed in range(seeds):
        answer = np.full((len(held), CLASSES), -np.inf)
        answer[:, group] = logits(train(build, bank, training, seed=seed), question.plain)
        yield answer, np.array(group)[question.action]


def held_out(
    setting: Setting, takes: Sequence[Take], sets: Sequence[list[int]], seeds: int
) -> tuple[list[float], dict[str, float]]:
    """Shares right within each of the sets of classes, and of all 20 by subject (not `apart`)."""
    if setting.face:
        takes = [facing(take) for take in takes]
    right: list[list[np.ndarray]] = [[] for _ in sets]
    whole: dict[str, list[float]] = {}
    for subject in sorted({take.subject for take in takes}):
        for group in sets if setting.apart else [range(CLASSES)]:
            for answer, action in answers(setting, takes, subject, group, seeds):
                if not setting.apart:
                    share = float((answer.argmax(1) == action).mean())
                    whole.setdefault(subject, []).append(share)
                for k, within in enumerate(sets):
                    if set(within) <= set(group):
                        right[k].append(right_within(answer, action, within))
    of_subject = {subject: float(np.mean(shares)) for subject, shares in whole.items()}
    return [float(np.concatenate(each).mean()) for each in right], of_subject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="msr_action3d.npz")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="settings whose names hold this")
    args = parser.parse_args()
    torch.set_num_threads(1)
    takes = small("msr3d", args.root).open("train")
    sets = class_sets(args.root)
    print(f"| setting | {' | '.join(SUBSETS)} | mean | by subject, 20 classes |\n|{'---|' * 6}")
    for setting in settings(args.root):
        if args.only is None or args.only in setting.name:
            shares, of_subject = held_out(setting, takes, sets, args.seeds)
            row = [f"{100 * share:.1f}" for share in (*shares, np.mean(shares))]
            each = ", ".join(f"{name} {100 * share:.0f}" for name, share in of_subject.items())
            print(f"| {setting.name} | {' | '.join(row)} | {each} |", flush=True)


if __name__ == "__main__":
    main()
