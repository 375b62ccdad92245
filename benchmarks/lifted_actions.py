"""What lifting costs a classifier of skeletons: MSR Action3D as it is, and seen again by a camera.

    python benchmarks/lifted_actions.py --root msr_action3d.npz [--subset AS1] [--epochs 80]

The test sequences are projected into 640 x 480 px where the Kinect stood, lifted by the shipped
lifter, and classified in the layout of the classifier. That is a small one, the published ENAS
cells with 60,000 parameters on 16 x 16 px, one seed; about a minute on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from poseact.layouts import H36M17
from poseact.lift_data import Detector, fill_missing
from poseact.lift_files import to_h36m17
from poseact.lifting import lift
from poseact.models.enas import PUBLISHED
from poseact.models.lifter import Lifter
from poseact.recognition import Bank, Take, accuracy, class_count, open_takes, train
from poseact.search import builder, small
from poseact.spmf import complete
from poseact.unified import in_layout
from poseact.weights import load_lifter

FOCAL_PX, SIZE = 525.0, (640, 480)  # of a Kinect


def lifted(take: Take, lifter: Lifter, detector: Detector | None, seed: int) -> Take:
    """The take from its 2D joints alone, in H36M17; as a simulated detector sees them if given."""
    xyz = complete(take.poses, take.layout)[:, 0]  # T J 3, mm from the camera
    xy = xyz[..., :2] / xyz[..., 2:] * FOCAL_PX + np.array(SIZE) / 2
    points = to_h36m17(xy, np.ones(xy.shape[:2]), take.layout)[0].astype(np.float32)
    if detector is not None:
        points = detector(points, np.random.default_rng(seed))
    size = np.full((len(points), 2), SIZE, np.float32)
    poses = lift(lifter, fill_missing(points), size).astype(np.float64)
    return replace(take, poses=poses[:, None], layout=H36M17)


def main() -> None:
    parser = argparse.ArgumentParser(description="What lifting costs a classifier.")
    parser.add_argument("--root", required=True, help="MSR Action3D as .npz")
    parser.add_argument("--subset", default="AS1")
    parser.add_argument("--epochs", type=int, default=80)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = small("msr3d", options.root, options.subset)
    learned, tested = (
        open_takes("msr3d", options.root, split, subset=options.subset)
        for split in ("train", "test")
    )
    lifter, layout = load_lifter("lifter").model, tested[0].layout
    build = builder(config, PUBLISHED, class_count(learned))
    training = replace(config.final, epochs=options.epochs)

    def again(takes: list[Take], detector: Detector | None) -> list[Take]:
        return [lifted(take, lifter, detector, n) for n, take in enumerate(takes)]

    def as_classified(takes: list[Take]) -> list[Take]:
        return [replace(take, poses=in_layout(take.poses, layout), layout=layout) for take in takes]

    detector = Detector(eyes=0.0)
    exact, found = again(tested, None), again(tested, detector)
    net = train(build, Bank(learned, config.pictures, copies=8), training, seed=0)
    print(f"{options.subset}, trained on the Kinect's skeletons")
    for name, takes in (
        ("the Kinect's", tested),
        ("lifted, exact 2D", as_classified(exact)),
        ("lifted, simulated detector", as_classified(found)),
    ):
        print(f"  {name:28}{accuracy(net, Bank(takes, config.pictures)):7.1%}", flush=True)
    bank = Bank(again(learned, detector), config.pictures, copies=8)
    net = train(build, bank, training, seed=0)
    print(f"{options.subset}, trained on lifted ones (simulated detector)")
    for name, takes in (("lifted, exact 2D", exact), ("lifted, simulated detector", found)):
        print(f"  {name:28}{accuracy(net, Bank(takes, config.pictures)):7.1%}", flush=True)


if __name__ == "__main__":
    main()
