"""How often a person is found in a whole frame, and what the score says where nobody is.

Rendered scenes of the validation split, in which the person is a half, a third and a fifth of the
frame; the share found (box overlap over 0.5), milliseconds a search. Then mean joint scores in the
person's own box, and, with --views DIR (pictures in which nobody is, `poseact.data.nobody`), in
random boxes on places no training used.

    python -m experiments.finder --views $POSEACT_SHARED/data/backgrounds/hdri_cc0_256
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from poseact.core.geometry import iou
from poseact.data import nobody, synthetic
from poseact.inference.predictor import Predictor
from poseact.inference.tracking import LOST_SCORE, pose_box
from poseact.people.scene import PeopleConfig

SIZE = (480, 360)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="spnet-s")
    parser.add_argument("--frames", type=int, default=40, help="scenes of each size")
    parser.add_argument("--views", help="folder of pictures in which nobody is")
    args = parser.parse_args()
    predictor = Predictor(args.weights)
    own: list[float] = []
    for margin in (2.0, 3.5, 5.0):
        config = PeopleConfig(split="val", frames=1, width=SIZE[0], height=SIZE[1], margin=margin)
        overlaps, spent_s = [], 0.0
        for record in synthetic.load(config, args.frames, workers=1):
            assert record.frame is not None and record.box is not None
            rgb = record.frame(0)
            start = time.perf_counter()
            look = predictor.network.search(rgb)
            spent_s += time.perf_counter() - start
            overlaps.append(iou(pose_box(look.xy, look.score, SIZE), record.box[0]))
            own.append(float(predictor.network.look(rgb, record.box)[0].score.mean()))
        found = 100 * np.mean(np.array(overlaps) > 0.5)
        print(
            f"person 1/{margin:g} of the frame: found {found:.0f} % of {args.frames}, "
            f"{1000 * spent_s / args.frames:.0f} ms a search"
        )
    report("in the person's box", own)
    if args.views:
        report("where nobody is", _elsewhere(predictor, args.views))


def _elsewhere(predictor: Predictor, root: str) -> list[float]:
    rng = np.random.default_rng(0)
    scores = []
    for record in nobody.load(root, "val") + nobody.load(root, "test"):
        assert record.frame is not None
        rgb = record.frame(0)
        height, width = rgb.shape[:2]
        for _ in range(3):
            side = rng.uniform(0.25, 0.8) * min(height, width)
            x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
            (look,) = predictor.network.look(rgb, np.array([[x, y, x + side, y + side]]))
            scores.append(float(look.score.mean()))
    return scores


def report(where: str, scores: list[float]) -> None:
    low, middle, high = np.quantile(scores, [0.05, 0.5, 0.95])
    believed = 100 * np.mean(np.array(scores) >= LOST_SCORE)
    print(
        f"score {where}: 5 % {low:.2f}, median {middle:.2f}, 95 % {high:.2f}; "
        f"believed (>= {LOST_SCORE:g}) {believed:.0f} % of {len(scores)}"
    )


if __name__ == "__main__":
    main()
