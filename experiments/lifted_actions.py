"""Actions in lifted poses: what lifting costs a classifier of recorded skeletons, and its cure.

    python -m experiments.lifted_actions --root msr_action3d.npz --genotype run/genotype.json -o out

Recorded sequences are projected into 640 x 480 px where the Kinect stood and lifted again by the
shipped lifter, from exact 2D joints or from those of a simulated detector. A classifier that
learned from both kinds is left as out/classifier.safetensors.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from poseact.models.enas import PUBLISHED, ENASNet, read_genotype
from poseact.models.lifter import Lifter
from poseact.models.weights import load_lifter
from poseact.skeletons.classifier import Bank, Take, accuracy, class_count, train
from poseact.skeletons.gaps import Detector, fill_missing
from poseact.skeletons.learn.lifter import lift
from poseact.skeletons.learn.search import builder, small, tall
from poseact.skeletons.learn.search_table import open_test, save_classifier
from poseact.skeletons.lift import to_h36m17
from poseact.skeletons.pipeline import in_layout
from poseact.skeletons.spmf import complete

FOCAL_PX, SIZE = 525.0, (640, 480)  # of a Kinect
DETECTOR = Detector(eyes=0.0)
_ALSO = {"lifted": "the same sequences again, by a simulated 2D detector and the lifter"}


def lifted(take: Take, lifter: Lifter, *, detector: Detector | None = None, seed: int = 0) -> Take:
    """A take of one person, mm from the camera, as its 2D joints alone would give it.

    detector: what sees the joints; they are exact without. In the take's layout, see `in_layout`.
    """
    xyz = complete(take.poses, take.layout)[:, 0]  # T J 3
    xy = xyz[..., :2] / xyz[..., 2:] * FOCAL_PX + np.array(SIZE) / 2
    points = to_h36m17(xy, np.ones(xy.shape[:2]), take.layout)[0].astype(np.float32)
    if detector is not None:
        points = detector(points, np.random.default_rng(seed))
    size = np.full((len(points), 2), SIZE, np.float32)
    poses = lift(lifter, fill_missing(points), size).astype(np.float64)
    return replace(take, poses=in_layout(poses, take.layout)[:, None])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What lifting costs a classifier of skeletons.")
    parser.add_argument("--root", required=True, help="MSR Action3D as .npz")
    parser.add_argument("--subset", default="all")
    parser.add_argument("--preset", choices=("small", "tall"), default="small")
    parser.add_argument("--genotype", type=Path, help="of a search; without, the published cells")
    parser.add_argument("--epochs", type=int, help="the preset's, if not given")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the classifier")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start = {"small": small, "tall": tall}[args.preset]
    config = start("msr3d", args.root, args.subset)
    final = config.final if args.epochs is None else replace(config.final, epochs=args.epochs)
    learned = config.open("train")
    tested = open_test(config, learned)
    config = config.fitted(learned)
    encoding, lifter = config.pictures, load_lifter("lifter").model

    def again(takes: Sequence[Take], detector: Detector | None) -> list[Take]:
        return [lifted(take, lifter, detector=detector, seed=n) for n, take in enumerate(takes)]

    seen = again(learned, DETECTOR)
    tests = [Bank(t, encoding) for t in (tested, again(tested, None), again(tested, DETECTOR))]
    genotype = PUBLISHED if args.genotype is None else read_genotype(args.genotype)
    build = builder(config, genotype, class_count(learned))
    args.out.mkdir(parents=True, exist_ok=True)
    columns = ("learned from", "recorded", "lifted, exact 2D", "lifted, simulated detector")
    print(f"{args.subset}, % of test sequences (seeds: {args.seeds})")
    print(f"| {' | '.join(columns)} |\n{'|---' * 4}|")
    for name, takes in (
        ("recorded", learned),
        ("lifted, simulated detector", seen),
        ("both", [*learned, *seen]),
    ):
        bank = Bank(takes, encoding, copies=config.copies, seed=config.seed)
        models = [train(build, bank, final, seed=seed) for seed in range(args.seeds)]
        shares = [np.mean([accuracy(model, test) for model in models]) for test in tests]
        print(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |", flush=True)
        if name == "both" and isinstance(models[0], ENASNet):
            print(save_classifier(config, models[0], learned, args.out, also=_ALSO))


if __name__ == "__main__":
    main()
