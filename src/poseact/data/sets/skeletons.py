"""Skeleton sequences without pictures, in one .npz: MSR Action3D, UTD-MHAD, SBU in 2D, one's own.

The form: `xyz` (N, J, 3) metres in Kinect axes (x to the camera's left, y up, z forward), all
sequences one after the other; `start`, `length`, `action` (from 1 on), `subject` (a number) and
`trial` per sequence; `action_names`. May be there: `joint_names` in Kinect's words, `confidence`
(N, J), `name` per sequence, `in_cvpr12_list` (the sequences in use), `AS1`, `AS2`, ... (subsets of
the actions). Li et al., CVPR Workshops 2010 (MSR Action3D); Chen et al., ICIP 2015 (UTD-MHAD).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from poseact.core.layouts import LAYOUTS, MSR20, SBU15, Layout
from poseact.core.reading import understood
from poseact.core.types import Record
from poseact.data.archives import read_npz

MSR_COLUMNS = MSR20.flip
"""Joint j of MSR20 is column MSR_COLUMNS[j] of the files: their left is what others call right.

Sources disagree. Three facts agree: the subjects were told to use their right arm, and it is
column 12 that moves; column 12 lies at larger x, which in Kinect's axes is the right of a person
who faces the camera; UTD-MHAD, whose names are certain, has its right hand there too.
"""

FOLDS = 5

_NEEDED = ("xyz", "start", "length", "action", "subject", "action_names")
_KINECT_WORDS = {"shoulder_center": "thorax", "hip_center": "pelvis"}
_METRES = 20.0  # Kinect sees no farther; larger numbers are not metres


def load(
    root: str | Path,
    split: str = "train",
    *,
    subset: str = "all",
    train_subjects: Collection[int] | None = None,
    listed: bool = True,
    fold: int = 1,
) -> list[Record]:
    """One record a sequence (two in a two-person one): no pictures, xy NaN, xyz mm camera axes.

    root: the .npz file, or a folder that holds just one. split: train, test, all; train is the
    subjects with odd numbers (cross-subject in MSR Action3D and UTD-MHAD) or `train_subjects`.
    subset: AS1, AS2, AS3 where the file has them; `action` counts from 0 within the subset, in the
    order of the numbers of its actions (see `label_names`). Joints that the sensor lost (all zero)
    are NaN and no frame is dropped: MSR's bends miss up to two thirds of theirs. A joint is visible
    where confidence is over 0.

    listed: leave out the sequences that the file says the field does not use (10 of the 567 of MSR
    Action3D), with a warning that counts them.

    The two-person 2D form (`x` (S, 2, T, 15, 2), `label` from 0 on; SBU) gives the two persons of
    a sequence as two records with the same source, see `pairs`. x and y are mm, seen along the
    camera's axis; z is NaN. It names no subjects, so `fold` 1..5 is the test split and it is not
    the official one: sequence i of a class is in fold i modulo 5.

    Raises FileNotFoundError, or ValueError that names the file and what it has.
    """
    path = _file(Path(root))
    with understood(path):
        return _load(path, split, subset, train_subjects, listed, fold)


def _load(
    path: Path,
    split: str,
    subset: str,
    train_subjects: Collection[int] | None,
    listed: bool,
    fold: int,
) -> list[Record]:
    table = read_npz(path)
    if split not in ("train", "test", "all"):
        raise ValueError(f"{path} has the splits train, test and all; got {split!r}")
    if {"x", "label"} <= set(table):
        return _load_pairs(path, table, split, fold)
    _check(path, table)
    actions = _actions(path, table, subset)
    subjects = table["subject"].astype(int)
    train = subjects % 2 == 1 if train_subjects is None else np.isin(subjects, [*train_subjects])
    use = {"train": train, "test": ~train, "all": np.ones(len(train), bool)}[split]
    use &= np.isin(table["action"], actions)
    if listed and "in_cvpr12_list" in table:
        out = ~table["in_cvpr12_list"]
        warnings.warn(
            f"{path.name}: {out.sum()} of {len(out)} sequences are not in the published list and "
            "are left out (listed=False reads them)",
            stacklevel=3,
        )
        use &= ~out
    layout, columns = _layout(path, table)
    return [_record(path, table, int(i), actions, layout, columns) for i in np.flatnonzero(use)]


def label_names(root: str | Path, *, subset: str = "all") -> tuple[str, ...]:
    """The names of the actions, in the order of `Record.action`. Errors as `load`."""
    path = _file(Path(root))
    with understood(path):
        table = read_npz(path)
        _check(path, table)
        return tuple(str(table["action_names"][a - 1]) for a in _actions(path, table, subset))


def pairs(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """The two persons of each two-person sequence, in the file's order.

    A person is a record of its own, since that is what a record is (boxes, layouts and drawing go
    on working); the two of a sequence have the same source. ValueError if one is alone.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.source, []).append(record)
    odd = {source: len(group) for source, group in groups.items() if len(group) != 2}
    if odd:
        source, count = next(iter(odd.items()))
        raise ValueError(
            f"{len(odd)} of {len(groups)} sequences do not have two persons; {source} has {count}"
        )
    return [(first, second) for first, second in groups.values()]


def kinect_to_camera(metres: np.ndarray) -> np.ndarray:
    """(..., 3) metres, x to the camera's left, y up, z forward -> mm, x right, y down, z forward.

    A rotation by half a turn, so left stays left. A joint at (0, 0, 0) was not seen and is NaN.
    """
    lost = (metres == 0).all(-1, keepdims=True)
    return np.where(lost, np.nan, metres * np.array([-1000.0, -1000.0, 1000.0])).astype(np.float32)


def _file(root: Path) -> Path:
    if root.is_file():
        return root
    found = sorted(root.glob("*.npz")) if root.is_dir() else []
    if not found:
        raise FileNotFoundError(f"{root}: no skeleton .npz there")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{root} holds several data sets, name one of them: {names}")
    return found[0]


def _check(path: Path, table: dict[str, np.ndarray]) -> None:
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise ValueError(f"{path}: a skeleton file has {', '.join(_NEEDED)}; missing {missing}")
    xyz, start, length = table["xyz"], table["start"].astype(int), table["length"].astype(int)
    counts = {len(table[name]) for name in ("start", "length", "action", "subject")}
    if xyz.ndim != 3 or xyz.shape[-1] != 3 or len(counts) != 1:
        raise ValueError(
            f"{path}: xyz is (N, J, 3) and the other tables have one row a sequence; "
            f"got {xyz.shape} and {sorted(counts)} rows"
        )
    if (start < 0).any() or (length < 1).any() or (start + length > len(xyz)).any():
        raise ValueError(f"{path}: start and length do not lie in the {len(xyz)} rows of xyz")
    if table["action"].min() < 1 or table["action"].max() > len(table["action_names"]):
        raise ValueError(f"{path}: actions count from 1 to {len(table['action_names'])}")
    largest = float(np.nanmax(np.abs(xyz), initial=0))
    if largest > _METRES:
        raise ValueError(f"{path}: xyz is in metres, and {largest:.0f} is none; divide mm by 1000")


def _actions(path: Path, table: dict[str, np.ndarray], subset: str) -> list[int]:
    """Numbers (from 1 on) of the actions of a subset, rising."""
    if subset == "all":
        return list(range(1, len(table["action_names"]) + 1))
    subsets = [name for name in table if name.startswith("AS")]
    if subset not in subsets:
        raise ValueError(f"{path} has the subsets {', '.join(['all', *subsets])}; got {subset!r}")
    return sorted(int(a) for a in table[subset])


def _layout(path: Path, table: dict[str, np.ndarray]) -> tuple[Layout, Sequence[int]]:
    """The layout, and the column of the file for each of its joints."""
    joints = table["xyz"].shape[1]
    if "joint_names" in table:
        names = tuple(_our_word(str(name)) for name in table["joint_names"])
        same = [layout for layout in LAYOUTS.values() if set(layout.joints) == set(names)]
        if not same or len(names) != joints:
            raise ValueError(f"{path}: no layout has just the joints {names}")
        layout = max(same, key=lambda layout: layout.joints == names)  # one in this order, if any
        return layout, [names.index(joint) for joint in layout.joints]
    if joints == len(MSR20) and "MSR" in str(table.get("joint_index_note", "")):
        return MSR20, MSR_COLUMNS
    raise ValueError(f"{path}: {joints} joints without a name; add joint_names to the file")


def _our_word(name: str) -> str:
    for side in ("left", "right"):
        if name.startswith(side + "_"):
            return f"{side[0]}_{name.removeprefix(side + '_')}"
    return _KINECT_WORDS.get(name, name)


def _record(
    path: Path,
    table: dict[str, np.ndarray],
    i: int,
    actions: list[int],
    layout: Layout,
    columns: Sequence[int],
) -> Record:
    rows = slice(int(table["start"][i]), int(table["start"][i]) + int(table["length"][i]))
    xyz = kinect_to_camera(table["xyz"][rows][:, list(columns)])
    visible = None
    if "confidence" in table:
        visible = table["confidence"][rows][:, list(columns)] > 0
    name = str(table["name"][i]) if "name" in table else f"{i:05d}"
    return Record(
        frame=None,
        xy=np.full((*xyz.shape[:2], 2), np.nan, np.float32),
        layout=layout,
        xyz=xyz,
        visible=visible,
        action=actions.index(int(table["action"][i])),
        source=f"{path.stem}/{name}",
        subject=str(int(table["subject"][i])),
    )


# ----------------------------------------------------------------------- two persons in two axes


def _load_pairs(path: Path, table: dict[str, np.ndarray], split: str, fold: int) -> list[Record]:
    x, label = table["x"].astype(np.float64), table["label"].astype(int)
    if x.ndim != 5 or x.shape[1:2] + x.shape[3:] != (2, len(SBU15), 2) or len(x) != len(label):
        raise ValueError(
            f"{path}: x is (S, 2, T, {len(SBU15)}, 2) with a label each, "
            f"got {x.shape} and {len(label)} labels"
        )
    if not 1 <= fold <= FOLDS:
        raise ValueError(f"{path}: folds are 1 to {FOLDS}, got {fold}")
    place = np.zeros(len(label), int)
    for kind in np.unique(label):
        place[label == kind] = np.arange((label == kind).sum())
    test = place % FOLDS == fold - 1
    use = {"train": ~test, "test": test, "all": np.ones(len(test), bool)}[split]
    # The file keeps 1 - 2 x and 1 - 2 y / 1.2 of SBU's x and y, which are (1280 - X) / 2560 and
    # (960 - Y) / 1920 of millimetres to the camera's left and up (bone lengths say so).
    left, up = 1280 * x[..., 0], 1152 * x[..., 1] - 192
    xyz = np.stack([-left, -up, np.full_like(left, np.nan)], -1).astype(np.float32)
    return [
        Record(
            frame=None,
            xy=np.full((*xyz.shape[2:4], 2), np.nan, np.float32),
            layout=SBU15,
            xyz=xyz[i, person],
            action=int(label[i]),
            source=f"{path.stem}/{i:05d}",
            subject=f"person {person + 1}",
        )
        for i in np.flatnonzero(use)
        for person in range(2)
    ]
