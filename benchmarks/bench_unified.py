"""Milliseconds a frame of each stage of the unified framework on one core, in one run.

    python benchmarks/bench_unified.py [--frames 60] [--classifier FILE]

2D joints by our own network of a rendered person in 640 x 480 px, lift, Enhanced-SPMF of a window,
its classification. Stages alternate frame by frame, and times are process time, so that other jobs
on the machine do not count. Without a classifier file the published ENAS cells are timed at the
paper's size, with random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import cv2
import numpy as np
import torch

from poseact.core.layouts import layout_named
from poseact.inference.predictor import Predictor
from poseact.models.enas import PUBLISHED, ENASConfig, ENASNet, parameters
from poseact.models.layers import channels_last
from poseact.models.weights import Card, load_lifter
from poseact.people import PeopleConfig, render_clip
from poseact.skeletons.classifier import as_input
from poseact.skeletons.classifier_file import LoadedClassifier, load_classifier
from poseact.skeletons.lift import to_h36m17
from poseact.skeletons.spmf import SPMFConfig, spmf


def window(classifier: LoadedClassifier) -> np.ndarray:
    """(T, P, J, 3): a sequence of the classifier's length in which everything moves."""
    joints = len(layout_named(classifier.card.layout))
    rng = np.random.default_rng(0)
    shape = (classifier.persons, joints, 3)
    return rng.normal(0, 400, shape) + rng.normal(0, 20, (classifier.card.frames, *shape)).cumsum(0)


def random_classifier() -> LoadedClassifier:
    """The published cells at the size of the paper, about 2.3 M parameters, for MSR Action3D."""
    config = ENASConfig(8, blocks=5, channels=28)
    card = Card({}, "MSR20", (("",) * 8,), (32, 32), 40, 15.0, architecture="enas")
    network = channels_last(ENASNet(PUBLISHED, config)).eval()
    return LoadedClassifier(network, SPMFConfig(), 1, False, card)


def main() -> None:
    parser = argparse.ArgumentParser(description="Milliseconds of the stages of the pipeline.")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--classifier", help="a classifier's weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    loaded = load_classifier(options.classifier) if options.classifier else random_classifier()
    lifter, poses = load_lifter("lifter").model, Predictor(device="cpu", action_set=None)
    scene = PeopleConfig(height=480, width=640, frames=8, preset="easy", supersample=1)
    frames = render_clip(scene, 0).frames
    (person,) = poses.image(frames[0]).people
    sequence, layout = window(loaded), layout_named(loaded.card.layout)
    picture = spmf(sequence, layout, config=loaded.pictures).transpose(2, 0, 1)[None]
    points, _ = to_h36m17(person.xy[None], person.score[None], poses.layout)
    xy, size = torch.tensor(points, dtype=torch.float32), torch.tensor([[640.0, 480.0]])
    stages: dict[str, Callable[[int], object]] = {
        "2D joints, spnet-s, box known": lambda n: poses.network.look(
            frames[n % 8], person.box[None]
        ),
        "lift, 1 person": lambda n: lifter(xy, size),
        "lift, a batch of 128": lambda n: lifter(xy.expand(128, -1, -1), size.expand(128, -1)),
        f"Enhanced-SPMF, {len(sequence)} frames": lambda n: spmf(
            sequence, layout, config=loaded.pictures
        ),
        f"classify, {parameters(loaded.model) / 1e6:.2f} M parameters": lambda n: loaded.model(
            as_input(torch.from_numpy(picture))
        ),
    }
    print(table(stages, options.frames))


def table(stages: dict[str, Callable[[int], object]], rounds: int) -> str:
    """Median, least and greatest milliseconds of each stage; three rounds go before."""
    times: dict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for n in range(rounds + 3):
            for name, stage in stages.items():
                start = time.process_time()
                stage(n)
                times[name].append(1e3 * (time.process_time() - start))
    lines = [f"{'stage':34}{'median ms':>11}{'least':>9}{'greatest':>10}"]
    for name, values in times.items():
        kept = values[3:]
        lines.append(f"{name:34}{np.median(kept):11.2f}{min(kept):9.2f}{max(kept):10.2f}")
    frame = [times[name][3:] for name in stages if "batch" not in name]
    lines.append(f"{'one frame through all of them':34}{np.median(np.sum(frame, 0)):11.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
