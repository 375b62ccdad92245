"""One's own clips: which are learnt from, which are held out, and where the person is in them.

The boxes of a run are a CSV file in the form that `data.folder` reads, to be checked and corrected.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poseact.core.console import SILENT, Console
from poseact.core.files import whole_file
from poseact.core.types import Record
from poseact.data.frames import VideoFile
from poseact.data.sets import folder
from poseact.inference.predictor import Predictor
from poseact.media.video import VideoReader
from poseact.models.weights import Card

FEW = 10
"""A class with fewer clips to learn from is warned of."""


@dataclass(frozen=True)
class Clip:
    """One video or folder of pictures. name: its path under the root. split: train, val, test."""

    name: str
    split: str
    record: Record
    fps: float

    @property
    def action(self) -> int:
        return -1 if self.record.action is None else self.record.action

    def frames(self, card: Card, start_s: float) -> list[int]:
        """The `card.frames` frames from `start_s` on, `1 / card.fps` seconds apart.

        Where a video is slower frames repeat; before its start the first frame stands in.
        """
        times_s = start_s + np.arange(card.frames) / card.fps
        frames = np.rint(times_s * self.fps).clip(0, len(self.record) - 1)
        return [int(t) for t in frames]

    def room_s(self, card: Card) -> float:
        """Between the starts of its first and its last window; negative if shorter than one."""
        return (len(self.record) - 1) / self.fps - (card.frames - 1) / card.fps

    def picture(self, t: int) -> np.ndarray:
        """Frame t, uint8 RGB (H, W, 3)."""
        assert self.record.frame is not None  # own clips always have pictures
        return self.record.frame(t)


def load_clips(
    root: str | Path,
    *,
    fps: float,
    boxes: str | Path | None = None,
    console: Console = SILENT,
) -> list[Clip]:
    """All clips of a folder as `data.folder` reads it; its warnings go to the console.

    fps: of folders of pictures. boxes: a boxes file of that reader. Errors are the reader's.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        records = folder.load(root, "all", boxes=boxes)
    for warning in caught:
        console.say(str(warning.message))
    return [_clip(record, fps) for record in records]


def _clip(record: Record, fps: float) -> Clip:
    name = record.source.removeprefix("folder/")
    split, *rest = name.split("/")
    if len(rest) == 1:  # CLASS/CLIP, without folders for the splits
        split = folder.split_of(f"{split}/{Path(rest[0]).stem}")
    if isinstance(record.frame, VideoFile):
        with VideoReader(record.frame.path) as video:
            fps = video.fps
    return Clip(name, split, record, fps)


def divide(
    root: str | Path,
    clips: Sequence[Clip],
    labels: Sequence[str],
    *,
    console: Console = SILENT,
) -> tuple[list[Clip], list[Clip]]:
    """Clips to learn from and clips held out; the console hears of classes with too few.

    Held out is test/, without it val/; where names decide the split, both. ValueError for a class
    that cannot be learnt: the only one, a folder without clips, or all of its clips held out.
    """
    train = [c for c in clips if c.split == "train"]
    by_folder = all(c.name.count("/") == 2 for c in clips)
    splits = {c.split for c in clips} - {"train"}
    if by_folder and "test" in splits:
        splits = {"test"}
    held_out = [c for c in clips if c.split in splits]
    _check_classes(Path(root), labels, by_folder=by_folder)
    counts = Counter(labels[c.action] for c in train)
    missing = [name for name in labels if not counts[name]]
    if missing:
        raise ValueError(
            f"{root}: no clip of {', '.join(missing)} to learn from: all are held out by their "
            "names; add clips, or make folders train/ and test/"
        )
    few = [f"{name} {counts[name]}" for name in labels if counts[name] < FEW]
    if few:
        console.say(
            f"few clips to learn from: {', '.join(few)}; {FEW} or more of a class are better"
        )
    unmeasured = sorted(set(labels) - {labels[c.action] for c in held_out})
    if unmeasured:
        console.say(
            f"no held-out clip of {', '.join(unmeasured)}: not measured; "
            "make folders train/ and test/ to choose yourself"
        )
    return train, held_out


def _check_classes(root: Path, labels: Sequence[str], *, by_folder: bool) -> None:
    bases = [root / split for split in folder.SPLITS] if by_folder else [root]
    paths = [path for base in bases if base.is_dir() for path in sorted(base.iterdir())]
    for path in paths:
        if path.is_dir() and path.name[0] not in "._" and path.name not in labels:
            raise ValueError(f"{path}: a class without a clip; add clips or remove the folder")
    if len(labels) < 2:
        raise ValueError(
            f"{root}: one class only, {labels[0]}; give two or more, one may be of other movements"
        )


# ------------------------------------------------------------------------------- the person


def follow(predictor: Predictor, clip: Clip) -> dict[int, np.ndarray]:
    """Frame -> box (4,) px of the person, at the card's rate, where somebody was seen."""
    session, boxes = predictor.session(), {}
    for t in _followed(clip, predictor.card):
        for person in session.push(clip.picture(t), t / clip.fps).people:
            boxes[t] = person.box
    return boxes


def _followed(clip: Clip, card: Card) -> list[int]:
    count = int((len(clip.record) - 1) / clip.fps * card.fps) + 1
    frames = np.unique(np.rint(np.arange(count) / card.fps * clip.fps).astype(int))
    return [int(t) for t in frames if t < len(clip.record)]


def find_boxes(
    predictor: Predictor, clips: Sequence[Clip], path: Path, *, console: Console = SILENT
) -> list[str]:
    """Put boxes of all clips into the CSV file `path`; the names of clips where nobody was seen.

    Boxes that a clip brings along are taken over, then those that are in the file already, and only
    then is the person searched for and followed. The file is whole after every clip.
    """
    table = _read_rows(path, {c.name for c in clips})
    table |= {c.name: _rows(c.record.box) for c in clips if c.record.box is not None}
    unseen: list[str] = []
    wanted = [c for c in clips if c.name not in table]
    _write_rows(path, table)
    total = sum(len(_followed(c, predictor.card)) for c in wanted)
    with console.bar("finding the person", total) as advance:
        for clip in wanted:
            found = follow(predictor, clip)
            if found:
                table[clip.name] = [(str(t), *map(str, box.round(1))) for t, box in found.items()]
                _write_rows(path, table)
            else:
                unseen.append(clip.name)
            advance(len(_followed(clip, predictor.card)))
    console.say(
        f"boxes of {len(table)} clips, {len(wanted) - len(unseen)} of them found now: {path}"
    )
    if unseen:
        console.say(
            f"nobody was seen in {len(unseen)} clips, whose whole picture is used: "
            f"{', '.join(unseen)}; boxes can be added to {path}"
        )
    return unseen


_COLUMNS = ("clip", "frame", "x0", "y0", "x1", "y1")
_Rows = list[tuple[str, ...]]


def _rows(box: np.ndarray) -> _Rows:
    """Rows of the boxes (T, 4) of a clip; one row if all are equal."""
    known = np.flatnonzero(np.isfinite(box).all(-1))
    if len(known) == len(box) and (box == box[0]).all():
        return [("", *map(str, box[0].tolist()))]
    return [(str(t), *map(str, box[t].tolist())) for t in known]


def _read_rows(path: Path, names: set[str]) -> dict[str, _Rows]:
    """Rows of the clips that are still there; the reader of the boxes checks them."""
    table: dict[str, _Rows] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                if row.get("clip") in names:
                    rows = table.setdefault(row["clip"], [])
                    rows.append(tuple(row.get(column) or "" for column in _COLUMNS[1:]))
    return table


def _write_rows(path: Path, table: dict[str, _Rows]) -> None:
    with whole_file(path) as part, part.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(_COLUMNS)
        lines.writerows((name, *row) for name in sorted(table) for row in table[name])
