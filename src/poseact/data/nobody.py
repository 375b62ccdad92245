"""Pictures in which nobody is: they teach a network not to see people everywhere.

Any folder tree of pictures. Every joint is said to lie far outside, so its confidence should be 0
in every crop, and there is no pose to learn.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np

from poseact.core.layouts import PA17, Layout
from poseact.core.types import Record
from poseact.data.frames import ImageFile
from poseact.media.pictures import IMAGE_SUFFIXES

SPLITS = ("train", "val", "test")
FAR_PX = -1e6


def load(root: str | Path, split: str = "train", *, layout: Layout = PA17) -> list[Record]:
    """One record a picture under `root`, sorted by name: no box, all joints (J, 2) at `FAR_PX`.

    split: train, val, test, all; 8 : 1 : 1 by the name without its last number, so that views of
    one place stay together. Raises FileNotFoundError, or ValueError if there is no picture.
    """
    root = Path(root)
    if split not in (*SPLITS, "all"):
        raise ValueError(f"splits are {', '.join(SPLITS)} and all; got {split!r}")
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = [p for p in paths if split in ("all", _split(p))]
    if not chosen:
        raise ValueError(f"{root}: {len(paths)} pictures, none of split {split}")
    xy = np.full((1, len(layout.joints), 2), FAR_PX)
    return [Record(ImageFile(p), xy, layout, source=str(p.relative_to(root))) for p in chosen]


def _split(path: Path) -> str:
    place = re.sub(r"[\W_]*\d+$", "", path.stem)
    number = zlib.crc32(place.encode()) % 10
    return "train" if number < 8 else SPLITS[number - 7]
