"""Short real clips of one person with the name of an action, in the classes of the shipped models.

A folder of mp4 with `clips.csv` (file, action, person, segments, ...), and perhaps the same again
in its folder `jhmdb`: clips of HMDB51 with one person's action (Jhuang et al., ICCV 2013), where
`person` is the film. No joints are annotated; boxes come from a CSV of `data.folder`'s form.
"""

from __future__ import annotations

import csv
import re
import zlib
from pathlib import Path

import numpy as np

from poseact.core.layouts import PA17
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data.archives import safe_join
from poseact.data.frames import VideoFile, count_frames
from poseact.media.video import VideoReader
from poseact.people.motions import ACTIONS

REAL = ("fall", "skip", "side_gallop", "bend", "raise_arms", "stand_up")
"""Classes that only real clips show."""
LABELS = (*ACTIONS, *REAL, "none")
"""Classes of the shipped models; `none` is any other movement."""
NAMES = {
    # clips
    "wave_one_hand": "wave",
    "wave_two_hands": "wave",
    "jump_forward": "jump",
    "jump_in_place": "jump",
    "gallop_sideways": "side_gallop",
    "arms_out_and_overhead": "raise_arms",
    "raise_both_arms": "raise_arms",
    "eat": "none",
    "read": "none",
    "phone": "none",
    # JHMDB
    "golf": "golf_swing",
    "swing_baseball": "baseball_swing",
    "kick_ball": "kick",
    **dict.fromkeys(("brush_hair", "pour", "pull_up", "push", "shoot_bow", "shoot_gun"), "none"),
}
"""Their names for our classes; a name that is in neither list (catch, shoot_ball) is left out."""
FPS = 8.0
"""Frames a second that a record has, if the clip is long enough for `FEWEST` of them."""
FEWEST = 8
SPLITS = ("train", "val", "all")


def load(
    root: str | Path, split: str = "train", *, boxes: str = "", source: str = "all"
) -> list[Record]:
    """One record a clip, about 8 frames a second, joints unknown, `action` in `LABELS`.

    split: by person or film: a fifth is val. source: clips, jhmdb or all. boxes: a CSV (clip,
    frame, x0, y0, x1, y1; clip is the file's name); between its frames a box is interpolated, and a
    clip without one is left out. Of falls only the seconds of the segment that falls.
    FileNotFoundError, or ValueError for an unknown split or source, or if nothing is left.
    """
    root = Path(root)
    if split not in SPLITS or source not in ("all", "clips", "jhmdb"):
        raise ValueError(f"splits are {', '.join(SPLITS)}, sources clips, jhmdb and all")
    known = _read_boxes(Path(boxes)) if boxes else None
    records = []
    for row, path in _listed(root, source):
        name = NAMES.get(row["action"], row["action"])
        held_out = zlib.crc32(row["person"].encode()) % 5 == 4
        if name not in LABELS or (split != "all" and held_out != (split == "val")):
            continue
        record = _record(row, path, LABELS.index(name), known)
        records += [] if record is None else [record]
    if not records:
        raise ValueError(f"{root}: no clip of split {split} and source {source}")
    return records


def _listed(root: Path, source: str) -> list[tuple[dict[str, str], Path]]:
    """Rows of the lists, and where their clips lie."""
    found: list[tuple[dict[str, str], Path]] = []
    for folder in (root, root / "jhmdb"):
        if source not in ("all", "jhmdb" if folder.name == "jhmdb" else "clips"):
            continue
        if not (folder / "clips.csv").is_file():
            raise FileNotFoundError(f"no clips.csv in {folder}")
        path = folder / "clips.csv"
        with understood(path), path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if missing := {"file", "action", "person"} - {k for k, v in row.items() if v}:
                    raise ValueError(f"{path}: a row lacks {', '.join(sorted(missing))}")
                found.append((row, safe_join(folder, row["file"])))
    return found


def _record(
    row: dict[str, str], path: Path, action: int, boxes: dict[str, np.ndarray] | None
) -> Record | None:
    """None for a clip of which no box is known."""
    if boxes is not None and path.name not in boxes:
        return None
    first, last = 0, count_frames(path)
    with VideoReader(path) as video:
        rate = video.fps
    falls = re.search(r"Falling[^;]*? ([\d.]+)-([\d.]+)", row.get("segments") or "")
    if falls:
        first = min(int(float(falls[1]) * rate), last - FEWEST)
        last = min(int((float(falls[1]) + 2.5) * rate), last)
    step = max(1, min(round(rate / FPS), (last - first) // FEWEST))
    frames = np.arange(first, last, step)
    box = None
    if boxes is not None:
        rows = boxes[path.name]
        box = np.stack([np.interp(frames, rows[:, 0], rows[:, k]) for k in range(1, 5)], -1)
    return Record(
        VideoFile(path, step=step, start=first),
        np.full((len(frames), len(PA17), 2), np.nan),
        PA17,
        box=box,
        action=action,
        source=f"clips/{path.name}",
        subject=row["person"],
    )


def _read_boxes(path: Path) -> dict[str, np.ndarray]:
    """Clip -> rows (N, 5) of frame x0 y0 x1 y1, by frame."""
    if not path.is_file():
        raise FileNotFoundError(f"no boxes at {path}")
    table: dict[str, list[list[float]]] = {}
    with understood(path), path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            numbers = [float(row[column]) for column in ("frame", "x0", "y0", "x1", "y1")]
            table.setdefault(row["clip"], []).append(numbers)
    return {name: np.array(sorted(rows)) for name, rows in table.items()}
