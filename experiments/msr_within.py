"""A search on all 20 classes of MSR Action3D, scored within the classes of AS1, AS2 and AS3.

    python -m experiments.msr_within RUN --root $POSEACT_SHARED/data/skeletons/msr_action3d.npz

RUN: a folder of `poseact search --subset all`. Its networks learned all actions of the training
subjects; a test sequence of a subset is right if of its eight classes its own is the likeliest. Not
the protocol of the subsets, in which a network learns eight actions and sees nothing of others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from poseact.data.sets import skeletons
from poseact.skeletons.classifier import open_takes

SUBSETS = ("AS1", "AS2", "AS3")


def class_sets(root: str) -> list[list[int]]:
    """The classes of each subset among all 20."""
    names = skeletons.label_names(root, subset="all")
    return [[names.index(n) for n in skeletons.label_names(root, subset=s)] for s in SUBSETS]


def right_within(answers: np.ndarray, action: np.ndarray, classes: list[int]) -> np.ndarray:
    """Of the rows (N, 20) whose action is one of the classes: is it the likeliest of these?"""
    rows = np.isin(action, classes)
    return np.take(classes, answers[rows][:, classes].argmax(1)) == action[rows]


def within(answers: np.ndarray, action: np.ndarray, classes: list[int]) -> float:
    """The share of those, %."""
    return 100 * float(right_within(answers, action, classes).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--root", required=True, help="msr_action3d.npz")
    args = parser.parse_args()
    tested = json.loads((args.run / "tested.json").read_text())
    if tested["config"]["subset"] != "all":
        raise SystemExit(f"{args.run} is a search on {tested['config']['subset']}, not on all")
    action = np.array([take.action for take in open_takes("msr3d", args.root, "test")])
    sets = class_sets(args.root)
    answers: dict[str, list[np.ndarray]] = {}
    for key, score in tested["scores"].items():
        answers.setdefault(key.partition(" [")[0], []).append(np.array(score["probabilities"]))
    print(f"| classifier | seeds | {' | '.join(SUBSETS)} | mean |\n|{'---|' * 6}")
    for name, seeds in answers.items():
        shares = np.array([[within(seed, action, classes) for classes in sets] for seed in seeds])
        spread = shares.std(0, ddof=1) if len(seeds) > 1 else np.full(3, np.nan)
        each = [f"{mean:.1f} +- {sd:.1f}" for mean, sd in zip(shares.mean(0), spread)]
        print(f"| {name} | {len(seeds)} | {' | '.join(each)} | {shares.mean():.1f} |")
        together = [within(np.mean(seeds, axis=0), action, classes) for classes in sets]
        each = [f"{share:.1f}" for share in together]
        print(f"| {name}, together | {len(seeds)} | {' | '.join(each)} | {np.mean(together):.1f} |")


if __name__ == "__main__":
    main()
