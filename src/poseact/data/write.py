"""Records in the folder form of another data set: to try a pipeline, and for tests of the readers.

Rendered people written this way are read, trained on and scored exactly as the real data would be.
A folder appears when it is whole; one that already holds something is refused.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.io import savemat

from poseact.core.console import SILENT, Console
from poseact.core.files import whole_folder
from poseact.core.geometry import box_around
from poseact.core.layouts import H36M17, MPII16, NTU25, PENN13, Layout, convert
from poseact.core.types import NO_ACTION, Record
from poseact.data import synthetic
from poseact.data.sets import h36m, ntu
from poseact.media.pictures import write_image
from poseact.media.video import VideoWriter
from poseact.people.scene import PeopleConfig

Splits = Mapping[str, Sequence[Record]]
FORMS = ("penn", "mpii", "h36m", "ntu", "folder")
"""The data sets whose form rendered people can be written in."""

_PENN_CLASSES = {  # a rendered action -> Penn Action's word for it
    "jumping_jack": "jumping_jacks",
    "push_up": "pushup",
    "sit_up": "situp",
    "squat": "squat",
    "golf_swing": "golf_swing",
    "baseball_swing": "baseball_swing",
    "bowling": "bowl",
    "tennis_forehand": "tennis_forehand",
}

_H36M_CLASSES = {
    "idle": "Waiting",
    "walk": "Walking",
    "wave": "Greeting",
    "sit_down": "SittingDown",
}
_NTU_CLASSES = {
    "jump": "jump up",
    "wave": "hand waving",
    "kick": "kicking something",
    "throw": "throw",
    "sit_down": "sitting down",
    "pick_up": "pickup",
    "clap": "clapping",
}
_CLASSES = {"penn": _PENN_CLASSES, "h36m": _H36M_CLASSES, "ntu": _NTU_CLASSES}
_NAMES = {"penn": "Penn Action", "h36m": "Human3.6M", "ntu": "NTU RGB+D"}
_LAYOUTS = {"h36m": "H36M17", "ntu": "PA21"}
_LACKING = {"mpii": "test", "h36m": "val", "ntu": "val"}

_HEAD_SHARE = 0.6  # PCKh's head size over the diagonal of the head box
_MPII_NAMES = (
    *("rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor", "neck", "head"),
    *("rwri", "relb", "rsho", "lsho", "lelb", "lwri"),
)


def write_people(
    form: str,
    out: str | Path,
    clips: Mapping[str, int],
    people: PeopleConfig,
    *,
    workers: int = 1,
    console: Console = SILENT,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Rendered people in one of `FORMS`: so many `clips` of each split train, val, test.

    Of the actions of `people` the forms of Penn Action, Human3.6M and NTU hold those that they have
    a class for. MPII's form has stills, one a frame, and no test split; Human3.6M and NTU have no
    validation people. Raises ValueError where that leaves nothing.
    """
    if form not in FORMS:
        raise ValueError(f"people are written in the form of {', '.join(FORMS)}; got {form!r}")
    _refuse_filled(Path(out))
    classes = _CLASSES.get(form, {})
    if classes:
        known = tuple(action for action in people.actions if action in classes)
        if not known:
            raise ValueError(f"{_NAMES[form]} has no class for them; it has {', '.join(classes)}")
        people = replace(people, actions=known, layout=_LAYOUTS.get(form, people.layout))
    wanted = {s: n for s, n in clips.items() if n and s != _LACKING.get(form)}
    splits = {
        split: synthetic.load(
            replace(people, split=cast(Any, split)), count, workers=workers, console=console
        )
        for split, count in wanted.items()
    }
    labels = [classes[action] for action in people.actions] if classes else people.actions
    if form == "mpii":
        write_mpii(splits, out, progress=progress)
    elif form == "penn":
        write_penn(splits, out, labels=labels, progress=progress)
    elif form == "h36m":
        write_h36m(splits, out, labels=labels, progress=progress)
    elif form == "ntu":
        write_ntu(splits, out, labels=labels, fps=people.fps, progress=progress)
    else:
        write_folder(splits, out, labels=people.actions, fps=people.fps, progress=progress)


def write_penn(
    splits: Splits,
    out: str | Path,
    *,
    labels: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Penn Action as it is published: `frames/0001/000001.jpg`, `labels/0001.mat`.

    labels: the class names as they shall stand in the files; readers of Penn Action know its own 15
    only. The split "train" is for training, all others for testing. A joint is marked invisible
    where the record says so or does not know it. Coordinates count from the centre of pixel (1, 1).
    """
    with _new_folder(out) as folder:
        number = 0
        for split, records in splits.items():
            for record in records:
                number += 1
                name = f"{number:04d}"
                shape = _write_pictures(record, folder / "frames" / name)
                label = _penn_label(record, shape, _class_name(record, labels))
                path = folder / "labels" / f"{name}.mat"
                path.parent.mkdir(exist_ok=True)
                savemat(path, {**label, "train": 1 if split == "train" else -1})
                if progress is not None:
                    progress(1)


def write_folder(
    splits: Splits,
    out: str | Path,
    *,
    labels: Sequence[str],
    fps: float = 12.0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """One's own clips: `SPLIT/CLASS/clip_00000.mp4`, and only `CLASS/...` if the split is "all".

    labels: the class names, which are the folders'. Poses are not written; readers of this form
    have none.
    """
    plain = list(splits) == ["all"]
    wrong = [name for name in labels if Path(name).name != name]
    if wrong or not plain and set(splits) - {"train", "val", "test"}:
        raise ValueError(
            f"splits are train, val and test, or all alone, and a label names a folder; "
            f"got {', '.join(splits)} and {wrong or 'good labels'}"
        )
    with _new_folder(out) as folder:
        number = 0
        for split, records in splits.items():
            for record in records:
                base = folder if plain else folder / split
                name = f"clip_{number:05d}.mp4"
                _write_video(record, base / _class_name(record, labels) / name, fps)
                number += 1
                if progress is not None:
                    progress(1)


def write_mpii(
    splits: Splits, out: str | Path, *, progress: Callable[[int], None] | None = None
) -> None:
    """MPII in HRNet's form: `images/`, `annot/SPLIT.json`, `annot/gt_SPLIT.mat`; a still a frame.

    MPII's splits are train and valid; "val" is written as valid. A joint that the record does not
    know, or that lies beside the picture, is not annotated (-1, -1, joints_vis 0), as there. centre
    and scale are such that HRNet's crop, centre (x, y + 15 s) and side 250 s, is the square around
    the joints with margin 1.25. The head box has the record's `scale_px` as PCKh's head
    size; without it, the distance from neck to head. Coordinates count from the centre of pixel
    (1, 1).
    """
    with _new_folder(out) as folder:
        (folder / "annot").mkdir()
        number = 0
        for split, records in splits.items():
            rows: list[dict] = []
            heads: list[np.ndarray] = []
            for record in records:
                xy = convert(record.xy.astype(np.float64), record.layout, MPII16)  # T J 2
                for t in range(len(record)):
                    name = f"{number:09d}.jpg"
                    number += 1
                    picture = _picture(record, t)
                    write_image(folder / "images" / name, picture)
                    rows.append(_mpii_row(name, xy[t], picture.shape))
                    size = None if record.scale_px is None else float(record.scale_px[t])
                    heads.append(_head_box(xy[t], size))
                if progress is not None:
                    progress(1)
            stem = "valid" if split == "val" else split
            (folder / "annot" / f"{stem}.json").write_text(json.dumps(rows), encoding="utf-8")
            savemat(folder / "annot" / f"gt_{stem}.mat", _mpii_truth(rows, heads))


def write_h36m(
    splits: Splits,
    out: str | Path,
    *,
    labels: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Human3.6M in mmpose's form: `annotation_body3d/fps50/h36m_train.npz`, `cameras.pkl`, images.

    The split "train" becomes S1 S5 S6 S7 S8, all others S9 and S11. labels: class names of the data
    set. Every clip has a camera of its own, at the origin of its axes. ValueError for records
    without 3D poses or a camera. Coordinates count as ours do.
    """
    cameras: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    with _new_folder(out) as folder:
        tables: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {"train": [], "test": []}
        for split, records in splits.items():
            kind = "train" if split == "train" else "test"
            people = h36m.SUBJECTS[kind]
            for record in records:
                subject, view = people[len(cameras) % len(people)], f"{len(cameras) + 1:08d}"
                stem = f"{subject}_{_class_name(record, labels)}_1.{view}"
                cameras[subject, view] = _h36m_camera(record)
                xy, xyz = _poses(record, H36M17)
                for t in range(len(record)):
                    name = f"{subject}/{stem}/{stem}_{t + 1:06d}.jpg"
                    write_image(folder / "images" / name, _picture(record, t))
                    tables[kind].append((name, xy[t], xyz[t]))
                if progress is not None:
                    progress(1)
        base = folder / "annotation_body3d"
        (base / "fps50").mkdir(parents=True)
        (base / "cameras.pkl").write_bytes(pickle.dumps(cameras))
        for kind, rows in tables.items():
            names, xy, xyz = zip(*rows, strict=True) if rows else ((), (), ())
            known = [np.isfinite(p.sum(-1, keepdims=True)) for p in xy]
            np.savez(
                base / "fps50" / f"h36m_{kind}.npz",
                imgname=np.array(names, np.str_),
                part=np.array([np.hstack(v) for v in zip(xy, known)]).reshape(-1, 17, 3),
                S=np.array([np.hstack(v) for v in zip(np.divide(xyz, 1000), known)]).reshape(
                    -1, 17, 4
                ),
            )


def write_ntu(
    splits: Splits,
    out: str | Path,
    *,
    labels: Sequence[str],
    fps: float = 30.0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """NTU RGB+D as downloaded: `nturgb+d_skeletons/NAME.skeleton`, `nturgb+d_rgb/NAME_rgb.mp4`.

    (The published videos are .avi.) "train" becomes people and cameras that train, all other splits
    such that test, in both protocols of 60 classes. labels: class names of the data set. Joints
    that the record lacks are not tracked. ValueError for records without 3D poses.
    """
    others = sorted(set(range(1, 41)) - ntu.TRAIN_SUBJECTS)
    trainers = sorted(p for p in ntu.TRAIN_SUBJECTS if p <= 40)
    with _new_folder(out) as folder:
        number = 0
        for split, records in splits.items():
            people, camera = (trainers, 2) if split == "train" else (others, 1)
            for record in records:
                setup, repetition = divmod(number, 999)
                action = ntu.ACTIONS.index(_class_name(record, labels)) + 1
                name = f"S{setup + 1:03d}C{camera:03d}P{people[number % len(people)]:03d}"
                name += f"R{repetition + 1:03d}A{action:03d}"
                path = folder / "nturgb+d_skeletons" / f"{name}.skeleton"
                path.parent.mkdir(exist_ok=True)
                path.write_text(_skeleton_file(record), encoding="utf-8")
                _write_video(record, folder / "nturgb+d_rgb" / f"{name}_rgb.mp4", fps)
                number += 1
                if progress is not None:
                    progress(1)


# ---------------------------------------------------------------------------------- Penn Action


def _penn_label(record: Record, shape: tuple[int, ...], action: str) -> dict[str, object]:
    xy = convert(record.xy.astype(np.float64), record.layout, PENN13)  # T J 2
    known = ~np.isnan(xy.sum(-1))
    visible = known
    if record.visible is not None:
        seen = convert(record.visible[..., None].astype(np.float64), record.layout, PENN13)
        visible = known & (seen[..., 0] == 1)
    xy = np.where(known[..., None], xy + 0.5, 1.0)
    box = box_around(np.where(known[..., None], xy, np.nan))
    if record.box is not None:
        box = np.where(np.isfinite(record.box), record.box + 0.5, box)
    return {
        "action": action,
        "pose": record.view or "front",
        "x": xy[..., 0],
        "y": xy[..., 1],
        "visibility": visible.astype(np.float64),
        "bbox": box,
        "dimensions": np.array([[shape[0], shape[1], len(record)]], np.float64),
        "nframes": float(len(record)),
    }


# ----------------------------------------------------------------------------------------- MPII


def _mpii_row(name: str, xy: np.ndarray, shape: tuple[int, ...]) -> dict:
    """xy: (16, 2) px."""
    inside = np.all((xy >= 0) & (xy <= shape[1::-1]), axis=-1)  # False where NaN
    x0, y0, x1, y1 = box_around(np.where(inside[:, None], xy, np.nan)) + 0.5
    if not inside.any():
        x0, y0, x1, y1 = 0.5, 0.5, shape[1] + 0.5, shape[0] + 0.5
    scale = max(x1 - x0, y1 - y0, 1.0) / 200
    return {
        "image": name,
        "center": [(x0 + x1) / 2, (y0 + y1) / 2 - 15 * scale],
        "scale": scale,
        "joints": np.where(inside[:, None], xy + 0.5, -1.0).tolist(),
        "joints_vis": inside.astype(int).tolist(),
    }


def _head_box(xy: np.ndarray, size: float | None) -> np.ndarray:
    """(2, 2) corners px, counted from 1; a square on the middle of neck and head. xy: (16, 2)."""
    head, neck = xy[MPII16.index("head")], xy[MPII16.index("neck")]
    size = float(np.linalg.norm(head - neck)) if size is None else size
    half = size / _HEAD_SHARE / np.sqrt(8)
    return np.stack([(head + neck) / 2 - half, (head + neck) / 2 + half]) + 0.5


def _mpii_truth(rows: list[dict], heads: list[np.ndarray]) -> dict[str, object]:
    """What PCKh is scored with; axes are MATLAB's, the person last."""
    joints = np.array([row["joints"] for row in rows]).reshape(-1, len(MPII16), 2)
    missing = 1 - np.array([row["joints_vis"] for row in rows]).reshape(-1, len(MPII16))
    return {
        "dataset_joints": np.array([_MPII_NAMES], object),
        "jnt_missing": missing.T.astype(np.float64),
        "pos_gt_src": joints.transpose(1, 2, 0),
        "headboxes_src": np.array(heads).reshape(-1, 2, 2).transpose(1, 2, 0),
    }


# ----------------------------------------------------------------------------- Human3.6M and NTU


def _poses(record: Record, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """xy (T, J, 2) px and xyz (T, J, 3) mm in a layout."""
    if record.xyz is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no 3D poses")
    xy, xyz = (
        convert(points.astype(np.float64), record.layout, layout)
        for points in (record.xy, record.xyz)
    )
    return xy, xyz


def _h36m_camera(record: Record) -> dict[str, np.ndarray]:
    """As cameras.pkl has it: R transposed, T in metres, p in the metadata's order; columns."""
    camera = record.camera
    if camera is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no camera")
    columns = {"T": camera.t / 1000, "f": camera.f, "c": camera.c, "k": camera.k}
    columns["p"] = camera.p[::-1]
    return {"R": camera.R.T, **{name: value[:, None] for name, value in columns.items()}}


def _skeleton_file(record: Record) -> str:
    """One body of 25 joints in every frame."""
    flip = list(NTU25.flip)  # the Kinect's sides are the picture's mirrored
    xy, xyz = (points[:, flip] for points in _poses(record, NTU25))
    known = np.isfinite(xy.sum(-1)) & np.isfinite(xyz.sum(-1))
    state = np.where(known, 2, 0)
    if record.visible is not None:
        seen = convert(record.visible[..., None].astype(np.float64), record.layout, NTU25)[:, flip]
        state = np.where(known & (seen[..., 0] != 1), 1, state)
    for joint in _from_the_root(NTU25):  # one that is not tracked is written where its parent is
        parent = NTU25.parents[joint]
        for points in (xy, xyz):
            instead = points[:, parent] if parent >= 0 else 0.0
            points[:, joint] = np.where(np.isnan(points[:, joint]), instead, points[:, joint])
    lines = [str(len(record))]
    for t in range(len(record)):
        lines += ["1", "72057594037931101 0 1 1 1 1 0 0.0 0.0 2", str(len(NTU25))]
        for j in range(len(NTU25)):
            x, y, z = xyz[t, j] * [0.001, -0.001, 0.001]
            u, v = xy[t, j] - 0.5  # the Kinect counts from the centre of the first pixel
            lines.append(f"{x:.6f} {y:.6f} {z:.6f} 0 0 {u:.4f} {v:.4f} 0 0 0 0 {state[t, j]}")
    return "\n".join(lines) + "\n"


def _from_the_root(layout: Layout) -> list[int]:
    """Joints such that a parent comes before its children."""
    order = [layout.root]
    for joint in order:
        order += [child for parent, child in layout.edges if parent == joint]
    return order


# --------------------------------------------------------------------------------------- shared


def _class_name(record: Record, labels: Sequence[str]) -> str:
    action = NO_ACTION if record.action is None else record.action
    if not 0 <= action < len(labels):
        raise ValueError(
            f"a record of {record.source or 'unnamed source'} has class {record.action}, "
            f"there are {len(labels)} labels; this form needs a class for every clip"
        )
    return labels[action]


def _picture(record: Record, t: int) -> np.ndarray:
    if record.frame is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no pictures")
    return record.frame(t)


def _write_pictures(record: Record, folder: Path) -> tuple[int, ...]:
    """000001.jpg and so on; gives the first one's shape."""
    shape: tuple[int, ...] = ()
    for t in range(len(record)):
        picture = _picture(record, t)
        shape = shape or picture.shape
        write_image(folder / f"{t + 1:06d}.jpg", picture)
    return shape


def _write_video(record: Record, path: Path, fps: float) -> None:
    first = _picture(record, 0)
    with VideoWriter(path, fps=fps, size=(first.shape[1], first.shape[0])) as video:
        for t in range(len(record)):
            video.write(_picture(record, t))


@contextmanager
def _new_folder(out: str | Path) -> Iterator[Path]:
    """`whole_folder`; ValueError at once if `out` is not new."""
    _refuse_filled(Path(out))
    with whole_folder(out) as part:
        yield part


def _refuse_filled(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} already holds something; give a new folder")
