"""Decoupled action poses beside the supervised ones: TPAMI 2020, Figures 7 and 8, for any weights.

    python -m experiments.decoupled_maps --weights FILE -o sheet.png [--data penn --root DIR]

A row a clip: the crop, the pose that is supervised, the pose that actions read, and where the maps
of head (green), hands (blue) and feet (orange) look, of both. Frames are rendered people without
--data. Prints how far the decoupled joints have drifted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from poseact import data
from poseact.core.geometry import box_around
from poseact.core.layouts import Layout, layout_named
from poseact.core.types import Person, Record, Result
from poseact.data.dataset import make_sample
from poseact.media.pictures import write_image
from poseact.models import weights
from poseact.models.layers import spatial_softmax
from poseact.models.spnet import SPNet
from poseact.models.weights import Card
from poseact.people.scene import PeopleConfig
from poseact.results.drawing import SIDE_COLOUR, draw_people
from poseact.results.panels import contact_sheet

PARTS = {"head": ("head", "neck", "nose"), "hands": ("wrist", "hand"), "feet": ("ankle", "foot")}
"""Joints of each part, by the ends of their names."""
COLOURS = dict(zip(PARTS, (SIDE_COLOUR["m"], SIDE_COLOUR["l"], SIDE_COLOUR["r"])))


class Read(NamedTuple):
    """One frame at the last block that acts. crop: (H, W, 3) uint8; of the supervised and of the
    decoupled pose uv (2, J, 2), scores (2, J) and probability maps (2, J, h, w)."""

    crop: np.ndarray
    uv: np.ndarray
    score: np.ndarray
    prob: np.ndarray


@torch.inference_mode()
def read(model: SPNet, card: Card, record: Record, t: int) -> Read:
    """Frame t of a record. ValueError for a network whose actions read the supervised pose."""
    if not model.config.replica or not model.action_exits:
        raise ValueError("this network has no decoupled poses: its actions read the supervised one")
    layout = layout_named(card.layout)
    sample = make_sample(record, layout, size=card.size, frames=[t], margin=card.margin)
    out = model.frames(sample["frames"])
    own = model.exits.index(model.action_exits[-1])
    pose, score, maps = out.decoupled[-1]
    prob = spatial_softmax(torch.cat([out.heatmaps[own], maps]), model.config.alpha)
    crop = ((sample["frames"][0].permute(1, 2, 0) + 1) * 127.5).round().byte()
    uv = torch.cat([out.poses[own], pose])[..., :2]
    return Read(crop.numpy(), uv.numpy(), torch.cat([out.scores[own], score]).numpy(), prob.numpy())


def attention(crop: np.ndarray, prob: np.ndarray, layout: Layout) -> np.ndarray:
    """The crop in grey, and on it the parts' maps (J, h, w), each by its own greatest value."""
    height, width = crop.shape[:2]
    out = np.repeat(crop.mean(-1, keepdims=True) * 0.6, 3, -1)
    for part, colour in COLOURS.items():
        for j in joints_of(part, layout):
            shown = cv2.resize(prob[j] / prob[j].max(), (width, height))[..., None]
            out = out * (1 - shown) + np.array(colour) * shown
    return out.clip(0, 255).astype(np.uint8)


def joints_of(part: str, layout: Layout) -> list[int]:
    return [j for j, name in enumerate(layout.joints) if name.split("_")[-1] in PARTS[part]]


def row(found: Read, layout: Layout) -> np.ndarray:
    """The five pictures of a frame, side by side."""
    height, width = found.crop.shape[:2]
    drawn = []
    for uv, score in zip(found.uv, found.score):
        xy = uv * (width, height)
        person = Person(xy, None, score, box_around(xy), layout)
        drawn.append(draw_people(found.crop, Result(0, 0.0, (person,)), min_score=0.0))
    maps = [attention(found.crop, prob, layout) for prob in found.prob]
    return np.concatenate([found.crop, *drawn, *maps], 1)


def drift(reads: Sequence[Read], layout: Layout) -> dict[str, float]:
    """Mean distance of decoupled and supervised joints, % of the crop's side, of each part."""
    uv = np.stack([found.uv for found in reads])  # N 2 J 2
    apart = 100 * np.linalg.norm(uv[:, 0] - uv[:, 1], axis=-1)
    parts = {part: joints_of(part, layout) for part in PARTS}
    means = {part: float(apart[:, own].mean()) for part, own in parts.items() if own}
    return {"all joints": float(apart.mean()), **means}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.decoupled_maps")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", default="people", help="kind of the data set")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=8, help="of clips, spread over the data")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        model, card = weights.load(args.weights)
        if not isinstance(model, SPNet):
            raise ValueError(f"{args.weights} is no SPNet, and only it has decoupled poses")
        height, width = card.size
        people = PeopleConfig(height=height, width=width)
        records = data.load(args.data, args.root, split=args.split, people=people, clips=args.count)
        records = records[:: max(1, len(records) // args.count)][: args.count]
        layout = layout_named(card.layout)
        reads = [read(model, card, record, len(record) // 2) for record in records]
        captions = [f"{record.source} {record.action}" for record in records]
        write_image(
            args.out,
            contact_sheet([row(found, layout) for found in reads], 1, labels=captions),
        )
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    for part, distance in drift(reads, layout).items():
        print(f"{part}: {distance:.1f} % of the crop apart")
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
