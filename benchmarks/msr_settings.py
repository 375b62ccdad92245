"""What a classifier of skeletons should see and how it should train, asked of training people only.

MSR Action3D, 20 classes. Each of the five training subjects is held out in turn; what is printed is
the share of their sequences that are recognised within the classes of AS1, AS2 and AS3, and the
mean of the three. The test subjects are not read. `docs/enas.md` has the table.

    python benchmarks/msr_settings.py --root $POSEACT_SHARED/data/skeletons/msr_action3d.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from poseact.data import skeletons
from poseact.models.enas import random_genotype
from poseact.models.temporal import TemporalCNN
from poseact.recognition import (
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
from poseact.search import SearchConfig, builder, small
from poseact.spmf import Augment, SPMFConfig, turn

SUBSETS = ("AS1", "AS2", "AS3")
Options = Mapping[str, Any]
NONE: Options = {}


@dataclass(frozen=True)
class Setting:
    """cells: a network of random cells on pictures; else the temporal CNN on joints."""

    name: str
    config: SearchConfig
    cells: bool = True
    face: bool = False

    def parts(self, learned: Sequence[Take]) -> tuple[Encoding, Callable[[], nn.Module], Training]:
        pictures, classes = self.config.pictures_of(learned), 20
        if not self.cells:
            joints = Joints(augment=pictures.augment, bones=pictures.spmf.bones)
            channels = 3 * learned[0].poses.shape[1] * learned[0].poses.shape[2]
            return joints, lambda: TemporalCNN(channels, classes), self.config.final
        genotype = random_genotype(3, torch.Generator().manual_seed(77))
        return pictures, builder(self.config, genotype, classes), self.config.final


def settings(root: str) -> list[Setting]:
    """From the encoding of the paper to that of `small`, one change at a time, and around it."""
    chosen = small("msr3d", root)

    def cells(
        name: str, *, spmf: Options = NONE, augment: Options = NONE, **of_all: Any
    ) -> Setting:
        pictures = Pictures(
            replace(chosen.pictures.spmf, **spmf), replace(chosen.pictures.augment, **augment)
        )
        return Setting(name, replace(chosen, pictures=pictures, **of_all))

    paper, drawn = vars(SPMFConfig()), vars(Augment())
    of_pictures = {name: drawn[name] for name in ("mirror", "margin", "reverse")}
    native = {name: paper[name] for name in ("order", "orientation", "enhance")}
    clahe = {name: paper[name] for name in ("orientation", "enhance")}
    found = [
        cells("cells, as in the paper", spmf=native, augment=of_pictures, same_bones=False),
        cells("cells, mirror, reversal and cuts left out", spmf=native, same_bones=False),
        cells("cells, ... and joints part by part", spmf=clahe, same_bones=False),
        cells("cells, ... and unit vectors, not equalised", same_bones=False),
        cells("small, which is ... and the same bones"),
        cells("small, raw vectors", spmf={"orientation": "raw"}),
        cells("small, 48 px", spmf={"size": 48}, rows=48),
        cells("small, mirrored too", augment={"mirror": 0.5}),
        cells("small, noise 3 %, a part of 70 %", augment={"noise": 0.03, "keep": 0.7}),
        cells("small, 120 epochs", final=replace(chosen.final, epochs=120)),
        replace(cells("small, all turned to the camera"), face=True),
    ]
    joints = [
        cells("temporal CNN, own bones", same_bones=False),
        cells("temporal CNN, the same bones"),
        cells("temporal CNN, the same bones, mirrored and reversed too", augment=of_pictures),
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


def held_out(
    setting: Setting, takes: Sequence[Take], classes: Sequence[Sequence[int]], seeds: int
) -> tuple[list[float], dict[str, float]]:
    """Shares right within each of the sets of classes, and of all 20 by subject."""
    if setting.face:
        takes = [facing(take) for take in takes]
    right: list[list[np.ndarray]] = [[] for _ in classes]
    of_subject = {}
    for subject in sorted({take.subject for take in takes}):
        learned, held = hold_out(takes, (subject,))
        encoding, build, training = setting.parts(learned)
        bank = Bank(learned, encoding, copies=setting.config.copies)
        asked = Bank(held, encoding)
        action, whole = asked.action.numpy(), []
        for seed in range(seeds):
            answer = logits(train(build, bank, training, seed=seed), asked.plain)
            whole.append((answer.argmax(1) == action).mean())
            for k, wanted in enumerate(classes):
                rows = np.isin(action, wanted)
                right[k].append(np.take(wanted, answer[rows][:, wanted].argmax(1)) == action[rows])
        of_subject[subject] = float(np.mean(whole))
    return [float(np.concatenate(each).mean()) for each in right], of_subject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="msr_action3d.npz")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="settings whose names hold this")
    args = parser.parse_args()
    torch.set_num_threads(1)
    takes = small("msr3d", args.root).open("train")
    names = skeletons.label_names(args.root, subset="all")
    classes = [
        [names.index(n) for n in skeletons.label_names(args.root, subset=subset)]
        for subset in SUBSETS
    ]
    print(f"| setting | {' | '.join(SUBSETS)} | mean | by subject, 20 classes |\n|{'---|' * 6}")
    for setting in settings(args.root):
        if args.only is None or args.only in setting.name:
            shares, of_subject = held_out(setting, takes, classes, args.seeds)
            row = [f"{100 * share:.1f}" for share in (*shares, np.mean(shares))]
            each = ", ".join(f"{name} {100 * share:.0f}" for name, share in of_subject.items())
            print(f"| {setting.name} | {' | '.join(row)} | {each} |", flush=True)


if __name__ == "__main__":
    main()
