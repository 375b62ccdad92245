"""How many people the shipped detector finds in rendered scenes, and sees where nobody is.

    python -m experiments.detection --split test --shared ../shared

Recall and precision at an IoU of 0.5, of people 60 px high or more of whom a quarter is seen
(others may be found or not), in 12 frames each of scenes with 0 to 6 people; false alarms in views
without people; ms a frame on one thread.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from experiments.tracking import compared, config
from poseact.core.layouts import PA17
from poseact.core.types import Person, Result
from poseact.inference.detector import SIDE, PeopleDetector
from poseact.inference.tracking import assign, without_flesh
from poseact.media.pictures import read_image
from poseact.people.crowd import CROWD, CrowdClip, render_crowd

LEAST = (0.1, 0.2, 0.3)
"""Least scores of a box that counts."""
NOBODY = np.zeros((17, 2))


def detected(detector: PeopleDetector, scene: CrowdClip) -> np.ndarray:
    """(3, 3) for each of `LEAST`: people to find, found, and boxes of nobody."""
    found = [detector(rgb) for rgb in scene.frames]
    counts = np.zeros((len(LEAST), 3), int)
    for n, least in enumerate(LEAST):
        results = []
        for t, (boxes, scores) in enumerate(found):
            kept = without_flesh(boxes[scores >= least])
            people = [Person(NOBODY, None, NOBODY[:, 0], b, PA17, k) for k, b in enumerate(kept)]
            results.append(Result(t, float(t), tuple(people)))
        for seen in compared(scene, results):
            hits = len(assign(1 - seen.iou, limit=0.5))
            counts[n] += (len(seen.people), hits, len(seen.tracks) - hits)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--side", type=int, default=SIDE, help="px of the longer side as seen")
    parser.add_argument("--shared", help="folder with data/bodies and data/backgrounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = PeopleDetector(side=options.side)
    chosen = replace(config(options.split, options.shared), frames=12, fps=CROWD.fps / 10)
    scenes = [render_crowd(chosen, n) for n in range(options.scenes)]
    counts = np.sum([detected(detector, scene) for scene in scenes], 0)
    for least, (wanted, hits, false) in zip(LEAST, counts):
        print(
            f"score {least}: recall {100 * hits / max(wanted, 1):.1f} %, precision "
            f"{100 * hits / max(hits + false, 1):.1f} % of {wanted} people"
        )
    begin = time.perf_counter()
    for rgb in scenes[0].frames:
        detector(rgb)
    spent = 1000 * (time.perf_counter() - begin) / len(scenes[0].frames)
    print(f"{spent:.0f} ms a frame of {CROWD.width} x {CROWD.height} px")
    if options.shared is not None:
        folder = Path(options.shared) / "data" / "backgrounds" / "hdri_cc0_256"
        views = sorted(folder.rglob("*.jpg"))
        scores = [detector(read_image(view)).scores.max(initial=0) for view in views]
        alarms = [f"{100 * np.mean(np.array(scores) >= least):.1f} %" for least in LEAST]
        print(f"{len(views)} views without people: false alarms in {', '.join(alarms)}")


if __name__ == "__main__":
    main()
