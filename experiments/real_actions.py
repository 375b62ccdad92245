"""Actions named in real clips of people and films that no training saw.

    POSEACT_SHARED=... python -m experiments.real_actions spnet-s spnet-light

Top-1 of the middle second of every validation clip of `data.sets.clips` with a box in
`runs/clip_boxes.csv`; `named` are the clips whose action has a name, `none` the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poseact.core.layouts import layout_named
from poseact.core.types import Record
from poseact.data.dataset import clip_indices, make_sample
from poseact.data.sets import clips
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.weights import Network

BOXES = Path(__file__).parents[1] / "runs" / "clip_boxes.csv"


@torch.inference_mode()
def logits(model: Network, card: weights.Card, records: Sequence[Record]) -> list[Tensor]:
    """(N, A) of every action block, for the clip in the middle of each record."""
    found: list[list[Tensor]] = []
    layout = layout_named(card.layout)
    for record in records:
        frames = clip_indices(len(record), card.frames)
        sample = make_sample(record, layout, size=card.size, frames=frames, margin=card.margin)
        found.append([sets[0][0] for sets in model(sample["frames"][None]).actions])
    return [torch.stack(block) for block in zip(*found)]


def main(*names: str) -> None:
    root = Path(os.environ["POSEACT_SHARED"]) / "data" / "clips"
    records = clips.load(root, "val", boxes=str(BOXES))
    truth = [clips.LABELS[r.action] for r in records if r.action is not None]
    named = np.array([name != "none" for name in truth])
    for name in names:
        model, card = weights.load(name)
        answers = logits(channels_last(model), card, records)[-1].softmax(-1)
        said = [card.labels[0][n] for n in answers.argmax(-1).tolist()]
        right = np.array(said) == np.array(truth)
        shares = [100 * np.mean(right[rows]) for rows in (named | True, named, ~named)]
        sure = float(answers.amax(-1).mean())
        print(
            f"{name}: {len(records)} clips {shares[0]:.1f} %, named {shares[1]:.1f} %, "
            f"none {shares[2]:.1f} %; mean probability of the answer {sure:.2f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
