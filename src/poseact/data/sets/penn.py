"""Penn Action: 2,326 clips of 15 sports and exercises, 13 joints in 2D in every frame.

Zhang, Zhu & Derpanis, "From Actemes to Action: A Strongly-supervised Representation for Detailed
Action Understanding", ICCV 2013. The annotation says which clips are for training (about half).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from poseact.core.geometry import box_around, check_box
from poseact.core.layouts import PENN13
from poseact.core.reading import read_json, understood
from poseact.core.types import Record
from poseact.data.archives import read_mat
from poseact.data.frames import ImageSequence

ACTIONS = (
    *("baseball_pitch", "baseball_swing", "bench_press", "bowl", "clean_and_jerk", "golf_swing"),
    *("jump_rope", "jumping_jacks", "pullup", "pushup", "situp", "squat", "strum_guitar"),
    *("tennis_forehand", "tennis_serve"),
)
"""The classes in the order of `Record.action`, as the annotation spells them."""

_README_NAMES = {
    "bowling": "bowl",
    "pull_ups": "pullup",
    "push_ups": "pushup",
    "sit_ups": "situp",
    "squats": "squat",
    "strumming_guitar": "strum_guitar",
}
_SPLITS = ("train", "test", "all")
_FEWEST_FOR_A_BOX = 4
_CORNER = 3  # x + y of a joint that was never moved from the corner, at most
_JOINTS = len(PENN13)


def load(
    root: str | Path,
    split: str = "train",
    *,
    boxes: str | Path | None = None,
    swap_sides: bool = False,
) -> list[Record]:
    """One record a clip, in PENN13, in the order of the clips' numbers; splits train, test, all.

    root: a folder with `frames/0001/000001.jpg` and either `labels/0001.mat` (the data set as it
    is published) or `annotations.mat` (the original project's). `view` is the coarse viewpoint
    (front, back, left, right) where the annotation has one.

    Joints. One that is not visible has no reliable place and is NaN, as in the original project;
    so is one left in the corner, at (1, 1) or with a 0. The data set counts from the centre of
    pixel (1, 1), which is our (0.5, 0.5). Its readme calls joint 2 the left shoulder; the original
    project, and others who looked at the pictures, take it for the right one, as PENN13 does.
    swap_sides: follow the readme instead.

    Boxes are the annotated ones; a frame without gets the box around its known joints (NaN if
    there are fewer than 4). With `annotations.mat`, which has none, that is every frame's.
    boxes: the original project's predicted boxes by frame, a JSON file [test, train, ...] of
    {"clip.frame": [x0, y0, x1, y1]}, both counted from 0; for `annotations.mat` only. These are
    squares with their margin: make samples of them with margin 1.

    Raises FileNotFoundError for missing files, ValueError for annotations that do not fit.
    """
    root = Path(root)
    if split not in _SPLITS:
        raise ValueError(f"Penn Action has the splits {', '.join(_SPLITS)}; got {split!r}")
    if (root / "labels").is_dir():
        if boxes is not None:
            raise ValueError(f"{boxes}: predicted boxes count clips as annotations.mat does")
        records = _load_published(root, split)
    elif (root / "annotations.mat").is_file():
        with understood(root / "annotations.mat"):
            records = _load_original_project(root, split, boxes)
    else:
        raise FileNotFoundError(
            f"no Penn Action in {root}: looked for labels/0001.mat and for annotations.mat, "
            "with the pictures in frames/"
        )
    return [_swapped(r) for r in records] if swap_sides else records


# ------------------------------------------------------------------------- as it is published


def _load_published(root: Path, split: str) -> list[Record]:
    paths = sorted((root / "labels").glob("[0-9]*.mat"))
    if not paths:
        raise FileNotFoundError(f"{root / 'labels'} holds no 0001.mat")
    records = []
    for path in paths:
        with understood(path):
            label = read_mat(path)
            missing = {"action", "x", "y", "visibility", "train"} - label.keys()
            if missing:
                raise ValueError(f"{path}: not a label of Penn Action, lacks {', '.join(missing)}")
            in_train = int(np.ravel(label["train"])[0]) == 1  # the others say -1 or 0
            if split == "all" or in_train == (split == "train"):
                records.append(_published(root, path, label))
    return _not_empty(records, root, split)


def _published(root: Path, path: Path, label: dict[str, Any]) -> Record:
    # A clip of one frame has lost its axis.
    x, y, seen = (np.atleast_2d(label[key]).astype(np.float64) for key in ("x", "y", "visibility"))
    if not x.shape == y.shape == seen.shape == (len(x), _JOINTS):
        raise ValueError(
            f"{path}: x, y and visibility are (frames, {_JOINTS}), "
            f"got {x.shape}, {y.shape} and {seen.shape}"
        )
    pictures = _pictures(root / "frames" / path.stem, range(1, len(x) + 1))
    box = np.full((len(x), 4), np.nan)
    given = np.asarray(label.get("bbox", []), np.float64).reshape(-1, 4)[: len(x)]
    box[: len(given)] = given - 0.5
    box[(box[:, 2:] <= box[:, :2]).any(-1)] = np.nan
    return _record(
        pictures,
        np.stack([x, y], -1),
        seen != 0,
        box,
        action=_class_named(str(label["action"]), path),
        view=str(label.get("pose", "")),
        name=path.stem,
    )


# ---------------------------------------------------------------------- the original project's


def _load_original_project(root: Path, split: str, boxes: str | Path | None) -> list[Record]:
    path = root / "annotations.mat"
    table = read_mat(path)
    parts = {"test": "sequences_te", "train": "sequences_tr"}
    missing = {*parts.values(), "action_labels"} - table.keys()
    if missing:
        raise ValueError(f"{path}: not the original project's, lacks {', '.join(sorted(missing))}")
    names = [str(name).strip() for name in np.ravel(table["action_labels"])]
    predicted = _predicted(boxes)
    records = []
    for part, key in parts.items():
        if split not in (part, "all"):
            continue
        for i, clip in enumerate(_as_list(table[key])):
            record = _from_clip(root, path, clip, names)
            if predicted is not None:
                found = predicted[list(parts).index(part)]
                record.box[:] = _boxes_of_clip(found, i, len(record), boxes)  # type: ignore[index]
            records.append((int(clip["idx"]), record))
    return _not_empty([r for _, r in sorted(records, key=lambda pair: pair[0])], root, split)


def _from_clip(root: Path, path: Path, clip: dict[str, Any], names: list[str]) -> Record:
    number, kind = int(clip["idx"]), int(clip["action_id"])
    frames = _as_list(clip["frames"])
    if not 1 <= kind <= len(names):
        raise ValueError(f"{path}: clip {number} is of class {kind}, there are {len(names)}")
    poses = [np.asarray(frame["pose"], np.float64) for frame in frames]
    seen = [np.ravel(frame["visible"]) for frame in frames]
    wrong = [p.shape for p in poses if p.shape != (2, _JOINTS)]
    wrong += [s.shape for s in seen if s.shape != (_JOINTS,)]
    if wrong or not frames:
        raise ValueError(
            f"{path}: clip {number} of {len(frames)} frames; poses are (2, {_JOINTS}) and "
            f"visible ({_JOINTS},), got {wrong[:1]}"
        )
    return _record(
        _pictures(root / "frames" / f"{number:04d}", [int(frame["f"]) for frame in frames]),
        np.stack(poses).transpose(0, 2, 1),
        np.stack(seen) != 0,
        np.full((len(frames), 4), np.nan),
        action=_class_named(names[kind - 1], path),
        view="",
        name=f"{number:04d}",
    )


def _predicted(path: str | Path | None) -> list[dict[str, Any]] | None:
    if path is None:
        return None
    found = read_json(path)
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(d, dict) for d in found):
        raise ValueError(f"{path}: boxes are a list [test, train, ...] of tables 'clip.frame'")
    return found


def _boxes_of_clip(
    table: dict[str, Any], clip: int, frames: int, path: str | Path | None
) -> np.ndarray:
    keys = [f"{clip}.{t}" for t in range(frames)]
    missing = [key for key in keys if key not in table]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} boxes are missing, the first is {missing[0]!r} (clip.frame)"
        )
    with understood(path or ""), understood(f"{path}: clip {clip}"):
        return np.stack([check_box(table[key]) for key in keys])


# -------------------------------------------------------------------------------------- shared


def _record(
    pictures: ImageSequence,
    xy: np.ndarray,
    seen: np.ndarray,
    box: np.ndarray,
    *,
    action: int,
    view: str,
    name: str,
) -> Record:
    """xy: (T, J, 2) px as the data set counts them. box: (T, 4) our px, NaN where there is none."""
    placed = np.isfinite(xy).all(-1) & (xy != 0).all(-1) & (xy.sum(-1) > _CORNER)
    known = seen & placed
    xy = np.where(known[..., None], xy - 0.5, np.nan).astype(np.float32)
    around = np.where((known.sum(-1) < _FEWEST_FOR_A_BOX)[:, None], np.nan, box_around(xy))
    box = np.where(np.isfinite(box).all(-1, keepdims=True), box, around)
    return Record(
        pictures,
        xy,
        PENN13,
        visible=known,
        box=box.astype(np.float32),
        action=action,
        source=f"penn/{name}",
        view=view,
    )


def _swapped(record: Record) -> Record:
    twins = list(PENN13.flip)
    seen = record.visible if record.visible is None else record.visible[:, twins]
    return replace(record, xy=record.xy[:, twins], visible=seen)


def _pictures(folder: Path, numbers: Iterable[int]) -> ImageSequence:
    paths = [folder / f"{number:06d}.jpg" for number in numbers]
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; the labels speak of its pictures")
    here = {path.name for path in folder.iterdir()}
    missing = [path for path in paths if path.name not in here]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} pictures are missing, the first is {missing[0]}"
        )
    return ImageSequence(paths)


def _class_named(name: str, path: Path) -> int:
    name = _README_NAMES.get(name, name)
    if name not in ACTIONS:
        raise ValueError(f"{path}: no class {name!r}; there are {', '.join(ACTIONS)}")
    return ACTIONS.index(name)


def _as_list(value: Any) -> list[Any]:
    """A MATLAB array of structs; of one it is the struct itself, of none an empty array."""
    return [value] if isinstance(value, dict) else list(value)


def _not_empty(records: list[Record], root: Path, split: str) -> list[Record]:
    if not records:
        raise ValueError(f"{root}: no clip of the split {split}")
    return records
