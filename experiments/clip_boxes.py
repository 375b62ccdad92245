"""Where the person is in the real clips: boxes for `data.sets.clips`, found by a pose network.

    python -m experiments.clip_boxes WEIGHTS $POSEACT_SHARED/data/clips runs/clip_boxes.csv

In the middle frame of a clip the surest of five crops is taken; from there the box follows the
pose, forwards and backwards. Clips in which no crop is sure enough are left out, and named.
"""

from __future__ import annotations

import csv
import sys

import numpy as np
import torch

from poseact.core.geometry import crop_matrix, square, transform, warp
from poseact.core.types import Record
from poseact.data.sets import clips
from poseact.inference.tracking import pose_box
from poseact.models.weights import Loaded, load

LEAST = 0.3
"""Mean score of a pose that is followed."""


@torch.inference_mode()
def look(loaded: Loaded, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, float]:
    """The box (4,) px of the pose in a crop, and its mean score."""
    model, card = loaded
    matrix = crop_matrix(square(box, margin=card.margin))
    crop = torch.from_numpy(warp(image, matrix, card.size)).permute(2, 0, 1)[None] / 127.5 - 1
    out = model.frames(crop)
    xy = transform(np.linalg.inv(matrix), out.poses[-1][0, :, :2].double().numpy())
    score = out.scores[-1][0].numpy()
    return pose_box(xy, score, (image.shape[1], image.shape[0])), float(score.mean())


def first_box(loaded: Loaded, image: np.ndarray) -> tuple[np.ndarray, float]:
    """The surest of the whole frame, three windows beside each other, and the middle."""
    height, width = image.shape[:2]
    side = min(height, width)
    lefts = np.linspace(0, width - side, 3)
    windows = [np.array([0.0, 0, width, height]) / loaded.card.margin]
    windows += [np.array([x, 0, x + side, side]) for x in lefts]
    windows.append(np.array([width, height, width, height]) * [0.3, 0.2, 0.7, 0.8])
    found = []
    for window in windows:
        box, _ = look(loaded, image, window)
        found.append(look(loaded, image, box))
    return max(found, key=lambda pair: pair[1])


def follow(loaded: Loaded, record: Record) -> np.ndarray | None:
    """(T, 4) px, or None where nobody is seen."""
    assert record.frame is not None
    images = [record.frame(t) for t in range(len(record))]
    middle = len(images) // 2
    boxes = np.zeros((len(images), 4))
    start, score = first_box(loaded, images[middle])
    if score < LEAST:
        return None
    for order in (range(middle, len(images)), range(middle, -1, -1)):
        box = start
        for t in order:
            found, score = look(loaded, images[t], box)
            box = found if score >= LEAST else box
            boxes[t] = box
    return boxes


def main(weights: str, root: str, out: str) -> None:
    torch.set_num_threads(1)
    loaded = load(weights)
    records = clips.load(root, "all")
    rows, unseen = [], []
    for number, record in enumerate(records):
        boxes, name = follow(loaded, record), record.source.removeprefix("clips/")
        if boxes is None:
            unseen.append(name)
            continue
        video = record.frame
        rows += [
            (name, video.start + t * video.step, *box.round().astype(int))  # type: ignore[union-attr]
            for t, box in enumerate(boxes)
        ]
        if number % 50 == 49:
            print(f"{number + 1} of {len(records)} clips", flush=True)
    with open(out, "w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("clip", "frame", "x0", "y0", "x1", "y1"))
        lines.writerows(rows)
    print(f"{out}: {len(records) - len(unseen)} clips; nobody seen in {len(unseen)}: {unseen}")


if __name__ == "__main__":
    main(*sys.argv[1:])
