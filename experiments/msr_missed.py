"""The test sequences of MSR Action3D that no classifier of some searches gets right.

    python -m experiments.msr_missed RUN ... --root $POSEACT_SHARED/data/skeletons/msr_action3d.npz
    python -m experiments.msr_missed --root ... [--temporal 8] [--random 2]      without a search

RUN: folders of `poseact search`, one a subset. Each network of a run that was tested (every
architecture and control, every seed) answers. Without, some are trained here, with the settings of
the preset `small`: temporal CNNs, random architectures and the published cells. The ceiling is the
share that at least one of them gets right. What it says is about the data: nothing may be chosen
by it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from poseact.models.enas import PUBLISHED, random_genotype
from poseact.models.temporal import TemporalCNN
from poseact.skeletons.classifier import (
    Bank,
    Joints,
    Take,
    class_count,
    label_names,
    logits,
    open_takes,
    train,
)
from poseact.skeletons.learn.search import SearchConfig, builder, small
from poseact.skeletons.learn.search_table import open_test

SUBSETS = ("AS1", "AS2", "AS3")


class Missed(NamedTuple):
    """Of one run: takes that nobody recognises, each with what it is taken for, the commonest
    first; the shares of networks that recognise each take (N,); how many networks answered."""

    takes: list[tuple[Take, list[tuple[int, int]]]]
    right: np.ndarray
    networks: int


def missed(takes: Sequence[Take], answers: np.ndarray) -> Missed:
    """answers: (M, N), the class that each of M networks gives each of N takes."""
    action = np.array([take.action for take in takes])
    right = answers == action
    nobody = np.flatnonzero(~right.any(0)).tolist()
    wrong = [(takes[n], Counter(answers[:, n].tolist()).most_common()) for n in nobody]
    return Missed(wrong, right.mean(0), len(answers))


def answers_of(config: SearchConfig, *, temporal: int, random: int) -> Iterator[np.ndarray]:
    """Classes (N,) of the test takes by networks that learn from all training people."""
    training = config.open("train")
    test, classes, config = (
        open_test(config, training),
        class_count(training),
        config.fitted(training),
    )
    pictures = config.pictures
    joints = Joints(augment=pictures.augment, bones=pictures.spmf.bones)

    def asked(build: Callable[[], nn.Module], banks: tuple[Bank, Bank], seed: int) -> np.ndarray:
        return logits(train(build, banks[0], config.final, seed=seed), banks[1].plain).argmax(1)

    paths = Bank(training, joints, copies=config.copies), Bank(test, joints)
    channels = paths[0].plain.shape[1]
    for seed in range(temporal):
        yield asked(lambda: TemporalCNN(channels, classes), paths, seed)
    seen = Bank(training, pictures, copies=config.copies), Bank(test, pictures)
    generator = torch.Generator().manual_seed(0)
    drawn = [random_genotype(config.controller.nodes, generator) for _ in range(random)]
    for genotype in [*drawn, *([PUBLISHED] if random else [])]:
        yield asked(builder(config, genotype, classes), seen, 0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--root", required=True, help="msr_action3d.npz")
    parser.add_argument("--temporal", type=int, default=8, help="CNNs on joints, without RUN")
    parser.add_argument("--random", type=int, default=2, help="architectures, and PUBLISHED")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    ceilings, means = [], []
    for run in args.runs or SUBSETS:
        if isinstance(run, Path):
            tested = json.loads((run / "tested.json").read_text())
            subset, scores = tested["config"]["subset"], tested["scores"].values()
            answers = [np.array(score["probabilities"]).argmax(1) for score in scores]
        else:
            subset, config = run, small("msr3d", args.root, run)
            answers = list(answers_of(config, temporal=args.temporal, random=args.random))
        takes = open_takes("msr3d", args.root, "test", subset=subset)
        names = label_names("msr3d", args.root, subset)
        found = missed(takes, np.stack(answers))
        ceilings.append(float((found.right > 0).mean()))
        means.append(float(found.right.mean()))
        print(
            f"{subset}: {found.networks} networks, {100 * means[-1]:.1f} % on average; "
            f"{len(found.takes)} of {len(takes)} sequences nobody gets right, "
            f"so at most {100 * ceilings[-1]:.1f} %"
        )
        for take, wrong in found.takes:
            said = ", ".join(f"{names[answer]} ({count})" for answer, count in wrong[:3])
            print(f"  {take.source} subject {take.subject}, {names[take.action]}: {said}")
    print(f"mean: {100 * np.mean(means):.1f} %, at most {100 * np.mean(ceilings):.1f} %")


if __name__ == "__main__":
    main()
