"""A contact sheet of held-out motion capture: 2D joints, the true 3D pose, the lifted one.

python -m experiments.lift_sheet --root DIR -o sheet.png [--weights lifter]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import H36M17
from poseact.core.types import Person, Result
from poseact.evaluate.metrics import mpjpe, root_aligned
from poseact.media.pictures import write_image
from poseact.models.lifter import Lifter
from poseact.models.weights import load_lifter
from poseact.people.retarget import MocapClip, load_mocap
from poseact.results.drawing import draw_people
from poseact.results.panels import contact_sheet, view_3d
from poseact.skeletons.gaps import (
    MOCAP_FILES,
    Detector,
    Pairs,
    Split,
    detected,
    random_views,
    split_of,
)
from poseact.skeletons.learn.lifter import lift

_TILE = 220  # px


def clips_of(root: Path, split: Split, count: int) -> list[MocapClip]:
    """Clips of people of a split: one of each kind of motion first, then more of them.

    FileNotFoundError if the folder has none of `MOCAP_FILES` with such people.
    """
    files = [root / name for name in MOCAP_FILES if (root / name).is_file()]
    clips = [c for f in files for c in load_mocap(f) if split_of(c.source, c.subject) == split]
    if not clips:
        raise FileNotFoundError(f"{root} has no clip of the {split} split in {MOCAP_FILES}")
    first = {clip.label: clip for clip in reversed(clips)}
    others = [clip for clip in clips if clip is not first[clip.label]]
    return [*first.values(), *others][:count]


def sheet(lifter: Lifter, clips: Sequence[MocapClip], *, seed: int = 0) -> np.ndarray:
    """The middle frame of each clip by a random camera, joints by a simulated detector: RGB.

    A tile shows the detector's 2D joints; the truth as the camera sees it and from 60 degrees to
    the side; the answer likewise. The caption has the motion and the error (MPJPE).
    """
    rng = np.random.default_rng(seed)
    middle = np.stack([clip.position[len(clip) // 2] for clip in clips]) * 1000.0
    world = root_aligned(middle, H36M17.root)
    truth = random_views(world, rng).see(world)
    seen = detected(truth, Detector(), rng)
    answer = lift(lifter, seen.xy, seen.size)
    tiles = [
        np.concatenate(
            [
                _picture(seen, n),
                *(view_3d(truth.xyz[n], H36M17, size=_TILE, azimuth_deg=a) for a in (0, 60)),
                *(view_3d(answer[n], H36M17, size=_TILE, azimuth_deg=a) for a in (0, 60)),
            ],
            1,
        )
        for n in range(len(clips))
    ]
    errors = [mpjpe(answer[n : n + 1], truth.xyz[n : n + 1]).mean for n in range(len(clips))]
    captions = [f"{clip.label}, {e:.0f} mm" for clip, e in zip(clips, errors)]
    return contact_sheet(tiles, 2, labels=captions)


def _picture(pairs: Pairs, n: int) -> np.ndarray:
    """The person's square of the picture, black, with the 2D joints."""
    xy = pairs.xy[n].astype(float)
    low, high = xy.min(0), xy.max(0)
    scale = 0.8 * _TILE / (high - low).max()
    xy = (xy - (low + high) / 2) * scale + _TILE / 2
    person = Person(xy, None, np.ones(17), box_around(xy), H36M17)
    return draw_people(np.zeros((_TILE, _TILE, 3), np.uint8), Result(0, 0.0, (person,)))


def main(args: Sequence[str] | None = None) -> int:
    """Draw the sheet; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.lift_sheet",
        description="Draw a lifter's answers for held-out motion capture.",
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the motion capture")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the picture to write")
    parser.add_argument("--weights", default="lifter", help="a lifter's weights")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--count", type=int, default=10, help="of clips")
    parser.add_argument("--seed", type=int, default=0, help="of cameras and detector")
    known = parser.parse_args(args)
    try:
        clips = clips_of(known.root, known.split, max(known.count, 1))
        write_image(known.out, sheet(load_lifter(known.weights).model, clips, seed=known.seed))
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(known.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
