"""SBU Kinect Interaction: two people, eight interactions, 21 pairs; Kinect skeletons and pictures.

Yun et al., "Two-person Interaction Detection Using Body-Pose Features and Multiple Instance
Learning", CVPR Workshops 2012. `s01s02/01/001/`: the pair, the action, the repetition; inside,
`skeleton_pos.txt` with a line of 91 numbers a frame (the picture's number, then 15 joints of x y z
of the first person and of the second) and `rgb_000278.png`, ...
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from poseact.core.layouts import SBU15
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data.frames import ImageSequence

ACTIONS = (
    *("approaching", "departing", "kicking", "pushing"),
    *("shaking hands", "hugging", "exchanging object", "punching"),
)
"""Folders 01 to 08. Other lists circulate; the motions agree with this one."""

FOLDS: tuple[tuple[str, ...], ...] = (
    ("s01s02", "s03s04", "s05s02", "s06s04"),
    ("s02s03", "s02s07", "s03s05", "s05s03"),
    ("s01s03", "s01s07", "s07s01", "s07s03"),
    ("s02s01", "s02s06", "s03s02", "s03s06"),
    ("s04s02", "s04s03", "s04s06", "s06s02", "s06s03"),
)
"""The five folds of the field: train on four, test on one, mean of five."""

_COLUMNS = 1 + 2 * 15 * 3
_LARGEST_BYTES = 16 << 20
_PAIR = re.compile(r"(s\d\d)(s\d\d)")


def load(
    root: str | Path,
    split: str = "train",
    *,
    fold: int = 1,
    protocol: Literal["folds", "random"] = "folds",
    seed: int = 0,
) -> list[Record]:
    """Two records a sequence, one a person, in SBU15, with the same source: `skeletons.pairs`.

    root: where the folders of the pairs lie, at whatever depth. split: train, test, all; `fold`
    1..5 is the one tested. protocol: the folds of the field, or five random ones (Pham et al. 2019)
    drawn with `seed`. xyz: mm, camera axes. A joint that is all zero is NaN. xy is NaN: the files
    hold no image points. Pictures are read lazily; a sequence that has none gets frame None, one
    that lacks some raises FileNotFoundError.

    A line that does not have 91 numbers is left out; a warning counts them. Raises
    FileNotFoundError without any sequence, ValueError for a pair or an action that SBU does not
    have, or a file without any good line.
    """
    root = Path(root)
    if split not in ("train", "test", "all") or not 1 <= fold <= len(FOLDS):
        raise ValueError(
            f"SBU has the splits train, test and all and the folds 1 to 5; got {split!r}, {fold}"
        )
    files = _files(root)
    folds = _folds(files, protocol, seed)
    chosen = [
        path
        for path, number in zip(files, folds, strict=True)
        if split == "all" or (number == fold) == (split == "test")
    ]
    records: list[Record] = []
    bad = 0
    for path in chosen:
        with understood(path):
            table, left_out = _read(path)
            bad += left_out
            records += _records(path, table)
    if bad:
        warnings.warn(
            f"{root}: {bad} lines do not have {_COLUMNS} numbers and are left out", stacklevel=2
        )
    return records


def millimetres(points: np.ndarray) -> np.ndarray:
    """(..., 3) as in the files -> mm, camera axes (x right, y down, z forward); zeros are NaN.

    The authors' README: X = 1280 - 2560 x, Y = 960 - 1920 y, Z = 10000 z / 7.8125. X points to the
    camera's left (the right shoulder of a person who faces right is the nearer one) and Y up.
    """
    lost = (points == 0).all(-1, keepdims=True)
    x, y, z = np.moveaxis(points, -1, 0)
    camera = np.stack([2560 * x - 1280, 1920 * y - 960, z * (10000 / 7.8125)], -1)
    return np.where(lost, np.nan, camera).astype(np.float32)


def _files(root: Path) -> list[Path]:
    files = sorted(root.rglob("skeleton_pos.txt"), key=_key)
    if not files:
        raise FileNotFoundError(f"{root}: no SBU; looked for PAIR/ACTION/NUMBER/skeleton_pos.txt")
    known = {pair for fold in FOLDS for pair in fold}
    seen: dict[tuple[str, ...], Path] = {}
    for path in files:
        pair, action, _ = _key(path)
        if pair not in known or action not in {f"{a:02d}" for a in range(1, len(ACTIONS) + 1)}:
            raise ValueError(
                f"{path}: folders are PAIR/ACTION/NUMBER, e.g. s01s02/01/001, with the 21 pairs "
                f"and 8 actions of SBU; got {pair}/{action}"
            )
        if (twin := seen.setdefault(_key(path), path)) != path:
            raise ValueError(f"{root} holds a sequence twice: {twin} and {path}")
    return files


def _key(path: Path) -> tuple[str, ...]:
    return path.parts[-4:-1]


def _folds(files: list[Path], protocol: str, seed: int) -> list[int]:
    """The fold, from 1 on, of every sequence."""
    if protocol == "random":
        order = np.random.default_rng(seed).permutation(len(files))
        return (order % len(FOLDS) + 1).tolist()
    if protocol != "folds":
        raise ValueError(f"protocol is folds or random, got {protocol!r}")
    of_pair = {pair: i + 1 for i, fold in enumerate(FOLDS) for pair in fold}
    return [of_pair[_key(path)[0]] for path in files]


def _read(path: Path) -> tuple[np.ndarray, int]:
    """(T, 91), and how many lines were left out."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes are too many for a skeleton file")
    lines = [
        line.split(",") for line in path.read_text(errors="replace").splitlines() if line.strip()
    ]
    good = [line for line in lines if len(line) == _COLUMNS]
    if not good:
        raise ValueError(f"{path}: none of its {len(lines)} lines has {_COLUMNS} numbers")
    try:
        return np.array(good, np.float64), len(lines) - len(good)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; copy the file again") from error


def _records(path: Path, table: np.ndarray) -> list[Record]:
    xyz = millimetres(table[:, 1:].reshape(len(table), 2, len(SBU15), 3))  # T P J 3
    pair, action, _ = _key(path)
    match = _PAIR.fullmatch(pair)
    people = match.groups() if match else ("", "")
    frame = _pictures(path.parent, table[:, 0].astype(int))
    return [
        Record(
            frame=frame,
            xy=np.full((len(table), len(SBU15), 2), np.nan, np.float32),
            layout=SBU15,
            xyz=xyz[:, person],
            action=int(action) - 1,
            source="/".join(("sbu", *_key(path))),
            subject=people[person],
        )
        for person in range(2)
    ]


def _pictures(folder: Path, numbers: np.ndarray) -> ImageSequence | None:
    there = {path.name for path in folder.glob("rgb_*.png")}
    if not there:
        return None
    names = [f"rgb_{number:06d}.png" for number in numbers]
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(names)} pictures are missing, "
            f"the first is {missing[0]}"
        )
    return ImageSequence([folder / name for name in names])
