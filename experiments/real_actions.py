"""Actions named in real clips of people and films that no training saw.

    POSEACT_SHARED=... python -m experiments.real_actions spnet-s spnet-light

Top-1 of the middle second of every validation clip of `data.sets.clips` with a box in
`runs/clip_boxes.csv`; `named` are the clips whose action has a name, `none` the others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

from poseact.core.layouts import layout_named
from poseact.data.dataset import clip_indices, make_sample
from poseact.data.sets import clips
from poseact.models import weights
from poseact.models.layers import channels_last

BOXES = Path(__file__).parents[1] / "runs" / "clip_boxes.csv"


@torch.inference_mode()
def main(*names: str) -> None:
    root = Path(os.environ["POSEACT_SHARED"]) / "data" / "clips"
    records = clips.load(root, "val", boxes=str(BOXES))
    truth = [clips.LABELS[r.action] for r in records if r.action is not None]
    named = np.array([name != "none" for name in truth])
    for name in names:
        model, card = weights.load(name)
        channels_last(model)
        right, sure = [], []
        for record, action in zip(records, truth, strict=True):
            frames = clip_indices(len(record), card.frames)
            layout, size = layout_named(card.layout), card.size
            sample = make_sample(record, layout, size=size, frames=frames, margin=card.margin)
            answer = model(sample["frames"][None]).actions[-1][0][0].softmax(-1)
            right.append(card.labels[0][int(answer.argmax())] == action)
            sure.append(float(answer.max()))
        shares = [100 * np.mean(np.array(right)[rows]) for rows in (named | True, named, ~named)]
        print(
            f"{name}: {len(records)} clips {shares[0]:.1f} %, named {shares[1]:.1f} %, "
            f"none {shares[2]:.1f} %; mean probability of the answer {np.mean(sure):.2f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
