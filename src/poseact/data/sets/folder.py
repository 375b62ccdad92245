"""One's own action clips: a folder of videos, or of pictures, for each class. No annotation needed.

root/wave/a.mp4                 root/train/wave/a.mp4
root/wave/b/000001.jpg, ...     root/test/wave/c.mp4
root/clap/c.mp4                 root/train/clap/b/000001.jpg, ...
"""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.geometry import check_box
from poseact.core.layouts import PA17, Layout
from poseact.core.reading import read_json, understood
from poseact.core.types import Record
from poseact.data.frames import ImageSequence, VideoFile, count_frames
from poseact.media.pictures import IMAGE_SUFFIXES
from poseact.media.video import VIDEO_SUFFIXES

SPLITS = ("train", "val", "test")
TRAIN_SHARE, VAL_SHARE = 0.8, 0.1
"""Of clips without train and test folders; the rest is the test."""

# Their headers count the frames one by one; of other videos the frames are counted by decoding.
_COUNTED_SUFFIXES = (".mp4", ".m4v", ".mov")
_BOX_COLUMNS = ("clip", "x0", "y0", "x1", "y1")
_MAX_BYTES = 1 << 28


def load(
    root: str | Path,
    split: str = "train",
    *,
    boxes: str | Path | None = None,
    layout: Layout = PA17,
) -> list[Record]:
    """One record a clip, sorted by class and name; `classes(root)` names `Record.action`.

    root: a folder for each class; in it videos, and folders of pictures (a clip each, in the
    order of the numbers in their names). Or `train/`, `test/` and perhaps `val/` with such folders.
    split: train, val, test, all. Without folders for them a clip's split hangs on its class and
    name alone (8 : 1 : 1), so it stays when clips are added. Clips of one recording look alike: put
    them into the same split, by folders.

    The joints are those of `layout`, all NaN: nobody has marked them. boxes: around the person, px,
    else the whole picture is the crop; a CSV file with the columns clip, x0, y0, x1, y1 and perhaps
    frame (from 0; empty is every frame), or a JSON file {clip: box, or a list of one box or null
    for each frame}. A clip is named as a path under root, `wave/a.mp4` or `wave/b`.

    A warning counts files that are no clip, and names classes without a clip in this split. Raises
    FileNotFoundError, or ValueError that says what does not fit, or which videos are damaged.
    """
    root = Path(root)
    found = _clips(root)
    names = _class_names(found)
    if split not in (*SPLITS, "all"):
        raise ValueError(f"splits are {', '.join(SPLITS)} and all; got {split!r}")
    there = sorted({clip.split for clip in found})
    chosen = [clip for clip in found if split in (clip.split, "all")]
    if not chosen:
        raise ValueError(
            f"{root}: {len(found)} clips, none of split {split}; there is {', '.join(there)}"
        )
    absent = [name for name in names if name not in {clip.label for clip in chosen}]
    if absent:
        warnings.warn(f"{root}: no clip of {', '.join(absent)} in split {split}", stacklevel=2)
    table = {} if boxes is None else _read_boxes(Path(boxes), {c.name for c in found})
    records = []
    for clip, length in zip(chosen, _lengths(chosen), strict=True):
        box = (
            _box(table[clip.name], length, f"{boxes}: {clip.name}") if clip.name in table else None
        )
        records.append(_record(clip, length, names.index(clip.label), layout, box))
    return records


def classes(root: str | Path) -> tuple[str, ...]:
    """The names of the classes of all splits, sorted; class k of `Record.action` is the k-th."""
    return _class_names(_clips(Path(root), tell=False))


def split_of(name: str) -> str:
    """train, val or test by a hash of the name of a clip, `class/clip`."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return (
        "train" if number < TRAIN_SHARE else "val" if number < TRAIN_SHARE + VAL_SHARE else "test"
    )


# -------------------------------------------------------------------------------------- looking


@dataclass(frozen=True)
class _Clip:
    """name: the path under root. pictures: of a folder, in order; empty for a video."""

    name: str
    label: str
    split: str
    path: Path
    pictures: tuple[Path, ...] = ()


def _clips(root: Path, *, tell: bool = True) -> list[_Clip]:
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    folders = {folder.name: folder for folder in _folders(root)}
    by_folder = "train" in folders and bool({"val", "test"} & folders.keys())
    strays = sorted(folders.keys() - set(SPLITS)) if by_folder else []
    if strays:
        raise ValueError(f"{root}: has train/ and others, so {strays[0]}/ must lie in one of them")
    clips, others = [], []
    for base in folders.values() if by_folder else [root]:
        for folder in _folders(base):
            for entry in sorted(folder.iterdir(), key=_by_number):
                split = base.name if by_folder else split_of(f"{folder.name}/{entry.stem}")
                clip = _clip(entry, entry.relative_to(root).as_posix(), folder.name, split)
                if clip is not None:
                    clips.append(clip)
                elif not entry.name.startswith("."):
                    others.append(entry)
    _check(root, clips, others, by_folder)
    if others and tell:
        warnings.warn(
            f"{root}: {len(others)} entries are neither a video nor a folder of pictures and are "
            f"left out, such as {others[0].relative_to(root)}",
            stacklevel=3,
        )
    return clips


def _clip(entry: Path, name: str, label: str, split: str) -> _Clip | None:
    if entry.name.startswith("."):
        return None
    if entry.is_dir():
        pictures = [p for p in entry.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
        pictures = sorted((p for p in pictures if p.name[0] != "."), key=_by_number)
        return _Clip(name, label, split, entry, tuple(pictures)) if pictures else None
    return _Clip(name, label, split, entry) if entry.suffix.lower() in VIDEO_SUFFIXES else None


def _check(root: Path, clips: list[_Clip], others: list[Path], by_folder: bool) -> None:
    """ValueError for a folder that is arranged in another way."""
    stills = [path for path in others if path.suffix.lower() in IMAGE_SUFFIXES]
    if stills:
        raise ValueError(
            f"{stills[0]}: put the pictures of each clip into a folder of their own, "
            f"{stills[0].parent.name}/CLIP/{stills[0].name}"
        )
    if not clips:
        raise ValueError(
            f"{root}: no clips; they are videos root/CLASS/*.mp4, or folders of pictures "
            "root/CLASS/CLIP/*.jpg"
        )
    known = {clip.label for clip in clips if clip.split == "train"}
    unknown = sorted({clip.label for clip in clips} - known)
    if by_folder and unknown:
        raise ValueError(
            f"{root}: no clip of {', '.join(unknown)} in train; is it spelt otherwise?"
        )


def _folders(path: Path) -> list[Path]:
    found = [p for p in path.iterdir() if p.is_dir() and p.name[0] not in "._"]
    return sorted(found)


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """2.jpg before 10.jpg."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _class_names(clips: list[_Clip]) -> tuple[str, ...]:
    return tuple(sorted({clip.label for clip in clips}))


# -------------------------------------------------------------------------------------- reading


def _record(
    clip: _Clip, length: int, action: int, layout: Layout, box: np.ndarray | None
) -> Record:
    frame = ImageSequence(clip.pictures) if clip.pictures else VideoFile(clip.path)
    return Record(
        frame,
        np.full((length, len(layout), 2), np.nan, np.float32),
        layout,
        box=box,
        action=action,
        source=f"folder/{clip.name}",
    )


def _lengths(clips: list[_Clip]) -> list[int]:
    """Frames of each clip; one ValueError for all videos that cannot be opened."""
    lengths, broken = [], []
    for clip in clips:
        try:
            exact = clip.path.suffix.lower() not in _COUNTED_SUFFIXES
            lengths.append(len(clip.pictures) or count_frames(clip.path, exact=exact))
        except ValueError as error:
            broken.append(str(error))
    if broken:
        raise ValueError(
            f"{len(broken)} of {len(clips)} clips cannot be read, the first: {broken[0]}. "
            "Mend or remove them"
        )
    return lengths


# ---------------------------------------------------------------------------------------- boxes

_Boxes = dict["int | None", np.ndarray]
"""Of one clip: frame -> box (4,); None is every frame."""


def _read_boxes(path: Path, clips: set[str]) -> dict[str, _Boxes]:
    read = {".csv": _csv_boxes, ".json": _json_boxes}.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path}: boxes are a .csv or .json file")
    table = read(path)
    unknown = sorted(table.keys() - clips)
    if unknown:
        raise ValueError(
            f"{path}: {len(unknown)} clips are not there, the first is {unknown[0]!r}; a clip is "
            f"named as {min(clips)!r}"
        )
    return table


def _csv_boxes(path: Path) -> dict[str, _Boxes]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path}: larger than {_MAX_BYTES} bytes")
    table: dict[str, _Boxes] = {}
    with understood(path), path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        missing = set(_BOX_COLUMNS) - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
        for row in rows:
            try:
                box = check_box(np.array([float(row[column]) for column in _BOX_COLUMNS[1:]]))
                frame = int(row["frame"]) if row.get("frame") else None
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{path}, line {rows.line_num}: {error}") from error
            table.setdefault(row["clip"], {})[frame] = box
    return table


def _json_boxes(path: Path) -> dict[str, _Boxes]:
    found = read_json(path, max_bytes=_MAX_BYTES)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: boxes are {{clip: box, or a list of a box or null a frame}}")
    return {clip: _one_or_many(value, f"{path}: {clip}") for clip, value in found.items()}


def _one_or_many(value: Any, where: str) -> _Boxes:
    with understood(where):
        if len(value) == 4 and not any(isinstance(v, (list, type(None))) for v in value):
            return {None: check_box(np.array(value))}
        return {t: check_box(np.array(box)) for t, box in enumerate(value) if box is not None}


def _box(boxes: _Boxes, length: int, where: str) -> np.ndarray:
    """(T, 4), NaN in frames without."""
    frames = [frame for frame in boxes if frame is not None]
    if frames and not 0 <= min(frames) <= max(frames) < length:
        raise ValueError(f"{where}: frames 0..{length - 1}, got {min(frames)}..{max(frames)}")
    box = np.full((length, 4), np.nan, np.float32)
    box[:] = boxes.get(None, np.nan)
    for frame in frames:
        box[frame] = boxes[frame]
    return box
