"""Accuracy of weights files on photos they were not trained on, side by side.

    POSEACT_SHARED=... python -m experiments.accuracy spnet-s spnet-light
    POSEACT_SHARED=... python -m experiments.accuracy RUN/weights.safetensors --alpha 1 --blocks

Twelve limb joints within 0.2 of the torso (PCK@0.2), each person in the square on the own box times
the margin of the weights; 95 % intervals by bootstrap over people. `lspet` is the 500 validation
photos of LSP-extended with the crowd's labels; the other rows are a tenth of the pseudo-labelled
photos, so that they say how far a network agrees with MoveNet Thunder, not how right it is.
`sure` is the share of joints scored 0.8 or more and, behind it, how many of those are right;
`nobody` the largest mean score in 64 crops of views without people.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from poseact.core.geometry import transform
from poseact.core.layouts import PA17, convert, layout_named
from poseact.core.types import Record
from poseact.data import nobody
from poseact.data.augment import Augment
from poseact.data.dataset import make_sample, stack
from poseact.data.sets import lsp, pseudo
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.weights import Loaded

LIMBS = [PA17.index(joint) for joint in PA17.joints if joint[:2] in ("l_", "r_")]
DIAGONALS = (("r_shoulder", "l_hip"), ("l_shoulder", "r_hip"))
SIDES = (("r_shoulder", "r_hip"), ("l_shoulder", "l_hip"))
NEAR, SURE = 0.2, 0.8


@dataclass(frozen=True)
class Photos:
    """People with what is known of their joints, (N, 17, 2) px, NaN unknown."""

    name: str
    records: Sequence[Record]
    truth: np.ndarray


def photos(root: Path) -> list[Photos]:
    crowd = lsp.load(root / "lspet", "val")
    found = [Photos("lspet", crowd, np.stack([convert(r.xy[0], r.layout, PA17) for r in crowd]))]
    for source in ("ccp", "fedb", "pennfudan", "inria"):
        records = pseudo.load(root, "val", pack="people", source=source)[:250]
        found.append(Photos(source, records, np.stack([r.xy[0] for r in records])))
    return found


def torsos(truth: np.ndarray) -> np.ndarray:
    """(N,) px: a diagonal of the torso, else one of its sides, NaN where neither is known."""
    at = PA17.index
    pairs = (*DIAGONALS, *SIDES)
    lengths = np.stack(
        [np.linalg.norm(truth[:, at(a)] - truth[:, at(b)], axis=-1) for a, b in pairs]
    )
    first = np.isfinite(lengths).argmax(0)
    return lengths[first, np.arange(len(truth))]


@torch.inference_mode()
def predict(loaded: Loaded, records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """(K, N, 17, 2) px of every block, and (N, 17) scores of the last."""
    model, card = loaded
    layout = layout_named(card.layout)
    xy, score = [], []
    for first in range(0, len(records), 25):
        group = records[first : first + 25]
        crops = [
            make_sample(r, layout, size=card.size, frames=[0], margin=card.margin) for r in group
        ]
        sample = stack(crops)
        out = model.frames(sample["frames"].flatten(0, 1))
        uv = torch.stack(out.poses)[..., :2].double().numpy()
        px = transform(sample["to_image"][:, 0].double().numpy(), uv)
        xy.append(convert(px, layout, PA17))
        score.append(convert(out.scores[-1][..., None].numpy(), layout, PA17)[..., 0])
    return np.concatenate(xy, 1), np.concatenate(score)


def pck(right: np.ndarray, known: np.ndarray) -> tuple[float, float, float]:
    """Share of right joints in percent, and its 95 % interval over people."""
    hits, all_ = (right & known).sum(1), known.sum(1)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(hits), size=(1000, len(hits)))
    share = 100 * hits[drawn].sum(1) / all_[drawn].sum(1)
    low, high = np.percentile(share, [2.5, 97.5])
    return 100 * hits.sum() / all_.sum(), float(low), float(high)


@torch.inference_mode()
def nobody_score(loaded: Loaded, root: Path) -> float:
    model, card = loaded
    records = nobody.load(root / "backgrounds/hdri_cc0_256", "val")
    rng, wide = np.random.default_rng(0), Augment(scale=(0.25, 0.9), shift=0.4)
    layout, worst = layout_named(card.layout), 0.0
    for _ in range(4):
        crops = [
            make_sample(r, layout, size=card.size, frames=[0], params=wide.sample(rng))
            for r in records
        ]
        scores = model.frames(stack(crops)["frames"].flatten(0, 1)).scores[-1]
        worst = max(worst, float(scores.mean(1).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of weights files on real photos.")
    parser.add_argument("weights", nargs="+", help="shipped names or files")
    parser.add_argument("--alpha", type=float, help="sharpness of the heat maps, else the file's")
    parser.add_argument("--blocks", action="store_true", help="all blocks, not only the last")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    root = Path(os.environ["POSEACT_SHARED"]) / "data"
    sets = photos(root)
    for name in args.weights:
        loaded = weights.load(name)
        channels_last(loaded.model)
        if args.alpha is not None:
            setattr(loaded.model, "config", replace(loaded.model.config, alpha=args.alpha))  # noqa: B010
        print(f"{name}, {loaded.card.size[0]} px; nobody {nobody_score(loaded, root):.2f}")
        for group in sets:
            xy, score = predict(loaded, group.records)
            error = np.linalg.norm(xy - group.truth, axis=-1) / torsos(group.truth)[:, None]
            known = np.isfinite(error[-1])[:, LIMBS]
            right = (error < NEAR)[..., LIMBS]
            sure = (score[:, LIMBS] >= SURE) & known
            mean, low, high = pck(right[-1], known)
            line = f"  {group.name:10} {len(group.records):4} people"
            line += f"  {mean:5.1f} % [{low:.1f}, {high:.1f}]"
            line += f"  sure {100 * sure.sum() / known.sum():.0f} %"
            line += f": {100 * right[-1][sure].mean():.1f} %"
            if args.blocks:
                each = (f"{100 * (r & known).sum() / known.sum():.1f}" for r in right)
                line += "  blocks " + " ".join(each)
            print(line, flush=True)


if __name__ == "__main__":
    main()
