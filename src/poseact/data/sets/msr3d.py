"""MSR Action3D as its text files: 20 actions by 10 people, Kinect skeletons of 20 joints.

Li, Zhang and Liu, "Action Recognition Based on a Bag of 3D Points", CVPR Workshops 2010. Every row
of a file is a joint, four numbers, 20 rows a frame: `aAA_sSS_eEE_skeleton3D.txt` has x y z in
metres and a confidence, `aAA_sSS_eEE_skeleton.txt` has u v in px, a depth and a confidence.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np

from poseact.core.layouts import MSR20
from poseact.core.types import Record
from poseact.data.sets.skeletons import MSR_COLUMNS, kinect_to_camera

ACTIONS = (
    *("high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch"),
    *("high throw", "draw x", "draw tick", "draw circle", "hand clap", "two hand wave"),
    *("side boxing", "bend", "forward kick", "side kick", "jogging", "tennis swing"),
    *("tennis serve", "golf swing", "pickup and throw"),
)

SUBSETS: dict[str, tuple[int, ...]] = {
    "AS1": (2, 3, 5, 6, 10, 13, 18, 20),
    "AS2": (1, 4, 7, 8, 9, 11, 12, 14),
    "AS3": (6, 14, 15, 16, 17, 18, 19, 20),
    "all": tuple(range(1, 21)),
}
"""Numbers of the actions, from 1 on; Li et al., table 1."""

# (action, subject): trials. 33 were never recorded and 10 are left out by everyone who uses "557".
_EXCEPTIONS: dict[tuple[int, int], tuple[int, ...]] = {
    **{(action, 4): (1, 2, 3) for action in (1, 2, 3, 4, 5, 6, 15)},
    **dict.fromkeys([(13, 9), (15, 3), (15, 5)], (1, 2, 3)),
    **dict.fromkeys([(4, 3), (7, 4), (20, 7)], (1, 3)),
    **dict.fromkeys([(5, 6), (6, 6), (7, 7), (15, 2), (20, 10)], (3,)),
    (2, 3): (2,),
    (14, 3): (1,),
}

_NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_skeleton(3D)?\.txt")
_LARGEST_BYTES = 16 << 20
_JOINTS = len(MSR20)


def published_list() -> frozenset[tuple[int, int, int]]:
    """The 557 (action, subject, trial) in use: all of 20 x 10 x 3 but 43."""
    return frozenset(
        (action, subject, trial)
        for action in range(1, 21)
        for subject in range(1, 11)
        for trial in range(1, 4)
        if trial not in _EXCEPTIONS.get((action, subject), ())
    )


def label_names(*, subset: str = "all") -> tuple[str, ...]:
    """The names of the actions, in the order of `Record.action`."""
    return tuple(ACTIONS[action - 1] for action in _subset(subset))


def load(
    root: str | Path,
    split: str = "train",
    *,
    subset: str = "all",
    train_subjects: Collection[int] = (1, 3, 5, 7, 9),
    form: Literal["any", "3D", "screen"] = "any",
    listed: bool = True,
) -> list[Record]:
    """One record a file, in MSR20 (with `skeletons.MSR_COLUMNS`), no pictures.

    root: the folder of the text files, or one above it. split: train, test (cross-subject), all.
    subset: AS1, AS2, AS3 or all; `action` counts from 0 within it. form: "3D" gives xyz (mm, camera
    axes; which column of the files is up is found from the data) and xy NaN; "screen" gives xy (px,
    as it stands in the files) and no xyz, since the unit of its depth is not known; "any" takes 3D
    where there is some. Joints without data (all zero) are NaN, frames stay. A joint is visible
    where its confidence is over 0.

    listed: the published 557 only; a warning counts the files that are left out and those of the
    list that are missing. Raises FileNotFoundError without any such file; ValueError for a file of
    another form (MSR DailyActivity3D looks alike).
    """
    root = Path(root)
    actions = _subset(subset)
    if split not in ("train", "test", "all"):
        raise ValueError(f"MSR Action3D has the splits train, test and all; got {split!r}")
    files = _files(root, form)
    if listed:
        files = _of_list(files, root)
    chosen = {
        key: path
        for key, path in sorted(files.items())
        if key[0] in actions
        and (split == "all" or (key[1] in train_subjects) == (split == "train"))
    }
    poses = {key: _read(path) for key, path in chosen.items()}
    deep = bool(files) and next(iter(files.values())).name.endswith("3D.txt")
    up = _up_column(poses.values(), root) if deep and poses else 1
    return [_record(pose, key, actions, up if deep else None) for key, pose in poses.items()]


def _subset(subset: str) -> tuple[int, ...]:
    if subset not in SUBSETS:
        raise ValueError(f"MSR Action3D has the subsets {', '.join(SUBSETS)}; got {subset!r}")
    return SUBSETS[subset]


def _files(root: Path, form: str) -> dict[tuple[int, int, int], Path]:
    if form not in ("any", "3D", "screen"):
        raise ValueError(f"form is any, 3D or screen, got {form!r}")
    found: dict[bool, dict[tuple[int, int, int], Path]] = {True: {}, False: {}}
    for path in sorted(root.rglob("a??_s??_e??_skeleton*.txt")):
        if match := _NAME.fullmatch(path.name):
            key = (int(match[1]), int(match[2]), int(match[3]))
            twin = found[bool(match[4])].setdefault(key, path)
            if twin != path:
                raise ValueError(f"{root} holds {path.name} twice: {twin} and {path}")
    deep = form == "3D" or (form == "any" and bool(found[True]))
    if not found[deep]:
        raise FileNotFoundError(
            f"{root}: no MSR Action3D; looked for aAA_sSS_eEE_skeleton{'3D' if deep else ''}.txt"
        )
    return found[deep]


def _of_list(
    files: dict[tuple[int, int, int], Path], root: Path
) -> dict[tuple[int, int, int], Path]:
    wanted = published_list()
    out, missing = files.keys() - wanted, wanted - files.keys()
    if out or missing:
        warnings.warn(
            f"{root}: {len(out)} files are not in the published list of {len(wanted)} and are left "
            f"out (listed=False reads them); {len(missing)} of the list are missing",
            stacklevel=3,
        )
    return {key: path for key, path in files.items() if key in wanted}


def _read(path: Path) -> np.ndarray:
    """(T, 20, 4) in the file's own numbers and order."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are too many for a skeleton file")
    rows = [line.split() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    widths = sorted({len(row) for row in rows})
    if widths != [4] or len(rows) % _JOINTS:
        raise ValueError(
            f"{path}: a frame of MSR Action3D is {_JOINTS} rows of 4 numbers, got {len(rows)} rows "
            f"of {widths}; copy it again (MSR DailyActivity3D, with its counts, is another set)"
        )
    try:
        return np.array(rows, np.float64).reshape(-1, _JOINTS, 4)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; copy the file again") from error


def _up_column(poses: Collection[np.ndarray], root: Path) -> int:
    """1 or 2: the column in which heads are over hips; releases differ."""
    frames = np.concatenate(list(poses))[..., :3]
    frames = frames[(frames != 0).any((1, 2))]
    if not len(frames):
        return 1
    head, pelvis = MSR20.index("head"), MSR20.index("pelvis")
    rise = np.median(frames[:, head] - frames[:, pelvis], axis=0)
    up = int(np.argmax(np.abs(rise)))
    away = float(np.median(frames[:, pelvis, 3 - up])) if up else 0.0
    if up == 0 or not 0.2 < rise[up] < 1.5 or away <= 0:
        raise ValueError(
            f"{root}: heads are {np.round(rise, 2)} from the hips and hips {away:.2f} away; "
            "expected metres, up in the second or third column and the other pointing away"
        )
    return up


def _record(
    pose: np.ndarray, key: tuple[int, int, int], actions: tuple[int, ...], up: int | None
) -> Record:
    """up: the column that is up, None for the screen form."""
    pose = pose[:, list(MSR_COLUMNS)]
    points, confidence = pose[..., :3], pose[..., 3]
    lost = (points == 0).all(-1, keepdims=True)
    if up is None:
        xy, xyz = np.where(lost, np.nan, points[..., :2]).astype(np.float32), None
    else:
        xy = np.full((*points.shape[:2], 2), np.nan, np.float32)
        xyz = kinect_to_camera(points[..., [0, up, 3 - up]])
    action, subject, trial = key
    return Record(
        frame=None,
        xy=xy,
        layout=MSR20,
        xyz=xyz,
        visible=confidence > 0,
        action=actions.index(action),
        source=f"msr_action3d/a{action:02d}_s{subject:02d}_e{trial:02d}",
        subject=str(subject),
    )
