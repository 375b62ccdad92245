"""Human3.6M: 3D poses from motion capture, seven actors, fifteen actions, four cameras.

Ionescu et al., "Human3.6M: Large Scale Datasets and Predictive Methods for 3D Human Sensing in
Natural Environments", TPAMI 2014. Four forms that people have on disk are read:

    mmpose      annotation_body3d/{cameras.pkl, fps50/h36m_{train,test}.npz}, images/S1/...
    VideoPose3D data_3d_h36m.npz, data_2d_h36m_*.npz            no pictures
    Martinez    h36m/S1/MyPoses/3D_positions/*.h5, cameras.h5   no pictures
    deephar     annotations.mat, images/aAA_sSS_eEE_cCC/%05d.jpg: the original project's

Protocols 1 (MPJPE) and 2 (P-MPJPE) share their split: S1 S5 S6 S7 S8 train, S9 S11 test. The
metrics are `metrics.mpjpe` and `metrics.p_mpjpe`; the papers score one frame in 64 (`step`).

Points are taken as the files and all published code have them: no half pixel is added, because the
calibration does not say where it counts from.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poseact.core.camera import project, to_camera
from poseact.core.geometry import box_around
from poseact.core.layouts import COCO17, DEEPHAR_INDEX, H36M17, PA17, PA20, Layout, convert
from poseact.core.reading import understood
from poseact.core.types import Camera, Record
from poseact.data.archives import read_h5, read_mat, read_npy, read_npz, read_pickle, safe_join
from poseact.data.frames import Numbered, numbered, split_stills
from poseact.data.sets.h36m_cameras import known_cameras

ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases"),
    *("Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether"),
)
"""Names of `Record.action`."""
SUBJECTS = {
    "train": ("S1", "S5", "S6", "S7", "S8"),
    "val": ("S9", "S11"),
    "test": ("S9", "S11"),
    "all": ("S1", "S5", "S6", "S7", "S8", "S9", "S11"),
}
CAMERA_IDS = ("54138969", "55011271", "58860488", "60457274")

_SPELLINGS = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
# Of the 32 joints of the motion capture, 17 move apart from the others.
_FROM_32: dict[str, tuple[int, ...]] = {
    H36M17.name: (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27),
    PA17.name: DEEPHAR_INDEX["pa17_from_h36m32"],
    PA20.name: DEEPHAR_INDEX["pa20_from_h36m32"],
}
# Index 11 of the 32 ("Spine") moves with 0, the pelvis: they are within 0.1 mm of each other.
_SAME_IN_32 = {11: 0}
_UNKNOWN = -1
_CORRUPT = ("S11", "Directions")


def load(
    root: str | Path,
    split: str = "train",
    *,
    step: int = 1,
    stills: bool = False,
    layout: Layout = H36M17,
    detections: str | None = None,
    subjects: Sequence[str] | None = None,
    drop_corrupt: bool = True,
) -> list[Record]:
    """One record a sequence and camera: xy px, xyz camera mm (root depth and all), camera, action.

    root: the folder of one of the forms above, or an .npz of mmpose's form that has pictures and
    cameras beside it. split: train, val or
    test (the same), all; `subjects` replaces its subjects. step: keeps frames 0, step, 2 step ...
    of those listed (64, or 60, at 50 fps is the papers' test; mmpose's fps10 lists one in 5).
    stills: every frame is a record of its own. layout: H36M17, or PA17 and PA20 by the original
    project's tables, in every form: a file of 17 joints has all of PA17 (its extra joint lies on
    the pelvis) and all of PA20 but hands and feet, which are NaN then. detections: xy from a
    detector instead of the annotation: an .npy in root with the rows of mmpose's .npz, NAME of
    data_2d_h36m_NAME.npz, or a folder such as StackedHourglass of Martinez's form; joints it lacks
    are NaN.

    The video of S11 "Directions" is damaged and left out, as in VideoPose3D, with a warning that
    counts its records; drop_corrupt=False keeps it. (deephar's names do not tell which of the two
    it is, and it stays.) deephar's sequences_te have no public poses and are not read.
    FileNotFoundError if nothing is found; ValueError for what cannot be read.
    """
    if split not in SUBJECTS:
        raise ValueError(f"Human3.6M has the splits {', '.join(SUBJECTS)}; got {split!r}")
    if step < 1:
        raise ValueError(f"step is at least 1, got {step}")
    if detections and layout.name != H36M17.name:
        raise ValueError(f"detections are of H36M17, and {layout.name} was asked for")
    wanted = _Wanted(tuple(subjects or SUBJECTS[split]), split, step, layout, detections)
    records, dropped = [], 0
    for sequence in _sequences(Path(root), wanted):
        if drop_corrupt and (sequence.subject, sequence.name) == _CORRUPT:
            dropped += 1
            continue
        records += _records(sequence, layout, stills)
    if dropped:
        warnings.warn(
            f"{root}: left out {dropped} sequences of {' '.join(_CORRUPT)}, whose video is damaged "
            "(drop_corrupt=False keeps them)",
            stacklevel=2,
        )
    if not records and not dropped:
        raise ValueError(f"{root} has nothing of the subjects {', '.join(wanted.subjects)}")
    return records


def action_index(name: str) -> int:
    """Index into `ACTIONS` of a sequence's name, such as "Directions 1" or "SittingDown_2".

    The first word decides, so Sitting is not SittingDown. ValueError if it is no action.

    >>> ACTIONS[action_index("TakingPhoto 1")]
    'Photo'
    """
    word = re.split(r"[ _]", name)[0]
    word = _SPELLINGS.get(word, word)
    if word not in ACTIONS:
        raise ValueError(f"no action of Human3.6M in {name!r}; there are {', '.join(ACTIONS)}")
    return ACTIONS.index(word)


@dataclass(frozen=True)
class _Wanted:
    subjects: tuple[str, ...]
    split: str
    step: int
    layout: Layout
    detections: str | None


@dataclass(frozen=True)
class _Sequence:
    """xy (T, J, 2) px; xyz (T, J, 3) mm in camera axes; visible (T, J) or None."""

    subject: str
    name: str
    view: str
    camera: Camera
    xy: np.ndarray
    xyz: np.ndarray
    pictures: Numbered | None = None
    visible: np.ndarray | None = None


def _records(sequence: _Sequence, layout: Layout, stills: bool) -> list[Record]:
    xy = sequence.xy.astype(np.float32)
    whole = Record(
        sequence.pictures,
        xy,
        layout,
        xyz=sequence.xyz.astype(np.float32),
        visible=sequence.visible,
        box=box_around(xy),
        camera=sequence.camera,
        action=action_index(sequence.name),
        source="h36m",
        subject=sequence.subject,
        view=sequence.view,
    )
    return split_stills(whole) if stills else [whole]


def _sequences(root: Path, wanted: _Wanted) -> Iterator[_Sequence]:
    """The form that is there."""
    kind = "train" if wanted.split == "train" else "test"
    folders = ("annotation_body3d/fps50", "annotation_body3d/fps10", "annotation_body3d", "")
    kinds = ("train", "test") if wanted.split == "all" else (kind,)
    for folder in folders:
        files = [root / folder / f"h36m_{kind}.npz" for kind in kinds]
        if all(file.is_file() for file in files):
            return (s for file in files for s in _of(file, _mmpose(file, root, wanted)))
    if root.is_file():
        return _of(root, _mmpose(root, root.parent, wanted))
    if (root / "data_3d_h36m.npz").is_file():
        return _of(root / "data_3d_h36m.npz", _videopose(root, wanted))
    if (root / "annotations.mat").is_file():
        return _of(root / "annotations.mat", _deephar(root, wanted))
    for folder in (root, root / "h36m"):
        if next(folder.glob("S*/MyPoses/3D_positions/*.h5"), None):
            return _martinez(folder, wanted)
    if cdf := next(root.glob("S*/**/*.cdf"), None):
        raise ValueError(
            f"{cdf}: the original .cdf files are not read here. Convert them once: mmpose's "
            "tools/dataset_converters/preprocess_h36m.py (needs spacepy; also cuts the videos into "
            "pictures), or VideoPose3D's data/prepare_data_h36m.py --from-source-cdf (needs "
            "cdflib; poses only). Then give the folder they write"
        )
    raise FileNotFoundError(
        f"no Human3.6M in {root}: looked for annotation_body3d/fps50/h36m_{kind}.npz (mmpose), "
        "data_3d_h36m.npz (VideoPose3D), annotations.mat (deephar) and "
        "S1/MyPoses/3D_positions/*.h5 (Martinez)"
    )


def _of(file: Path, sequences: Iterator[_Sequence]) -> Iterator[_Sequence]:
    """What goes wrong while they are read is said of the file."""
    with understood(file):
        yield from sequences


def _columns(joints: int, layout: Layout, file: Path) -> list[int]:
    """Which of the file's joints make the layout; `_UNKNOWN` for one that it lacks."""
    if joints == 32 and layout.name in _FROM_32:
        return list(_FROM_32[layout.name])
    if joints == 17 and layout.name in _FROM_32:
        kept = _FROM_32[H36M17.name]
        wanted = [_SAME_IN_32.get(i, i) for i in _FROM_32[layout.name]]
        return [kept.index(i) if i in kept else _UNKNOWN for i in wanted]
    raise ValueError(
        f"{file} has {joints} joints and not 17 or 32, which give {', '.join(_FROM_32)}; "
        f"asked for {layout.name}"
    )


def _joints(points: np.ndarray, columns: list[int]) -> np.ndarray:
    """(T, J, D) of the file's (T, 17 or 32, D); NaN where it lacks the joint."""
    unknown = np.array(columns) == _UNKNOWN
    return np.where(unknown[:, None], np.nan, points[:, columns].astype(np.float64))


def _from_world(
    world: np.ndarray, camera: Camera, detected: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """xy px (the detected or the projected) and camera xyz mm of world points (T, J, 3) mm."""
    xy = project(camera, world)[0] if detected is None else detected
    return xy, to_camera(camera, world)


def _detected(points: np.ndarray, frames: int, step: int, where: str) -> np.ndarray:
    """Detections (T', K, 2) as (T, 17, 2) of H36M17; some files have a few frames too many."""
    if len(points) < frames:
        raise ValueError(f"{where} has {len(points)} frames, the poses have {frames}")
    points = points[:frames:step, :, :2].astype(np.float64)
    if points.shape[1] == 16:  # stacked hourglass: without nose
        return np.insert(points, H36M17.index("nose"), np.nan, axis=1)
    if points.shape[1] != 17:
        raise ValueError(f"{where} has {points.shape[1]} joints; 16 or 17 can be read")
    return points


# ------------------------------------------------------------------------------- mmpose


def _mmpose(file: Path, root: Path, wanted: _Wanted) -> Iterator[_Sequence]:
    table = read_npz(file)
    if missing := {"imgname", "part", "S"} - table.keys():
        raise ValueError(
            f"{file} lacks {', '.join(sorted(missing))}; mmpose's has imgname, part, S"
        )
    names, part, deep = table["imgname"], table["part"], table["S"]
    columns = _columns(part.shape[1], wanted.layout, file)
    part = _joints(part, columns)
    xy, visible = part[..., :2], part[..., 2] > 0  # False where NaN
    if wanted.detections:
        points = read_npy(safe_join(root, wanted.detections))
        xy = _detected(points, len(names), 1, wanted.detections)
    cameras = _cameras(root)
    base = next(b for b in (root / "images", root) if b.is_dir())
    for (folder, subject, name, view, digits), places in _by_sequence(names, file).items():
        if subject not in wanted.subjects:
            continue
        numbers, rows = np.array(sorted(places)[:: wanted.step]).T
        stem = f"{subject}_{name}.{view}_"
        yield _Sequence(
            subject,
            name.replace("_", " "),
            view,
            _camera_of(cameras, subject, view, file),
            xy[rows],
            _joints(deep[rows, :, :3], columns) * 1000.0,
            numbered(safe_join(base, folder) if folder else base, stem, numbers, digits),
            visible[rows],
        )


_NAME = re.compile(r"(?:(.+)/)?(S\d+)_([^/]+)\.(\d{8})_(\d+)\.jpg")
_Key = tuple[str, str, str, str, int]


def _by_sequence(names: np.ndarray, file: Path) -> dict[_Key, list[tuple[int, int]]]:
    """For (folder, subject, name, camera, digits) the (frame number, row) that are of it."""
    found: dict[_Key, list[tuple[int, int]]] = {}
    for row, name in enumerate(names.tolist()):
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{file} names a picture {name!r}; expected S1/S1_Directions_1.54138969/"
                "S1_Directions_1.54138969_000001.jpg"
            )
        folder, subject, action, view, number = match.groups()
        key = (folder or "", subject, action, view, len(number))
        found.setdefault(key, []).append((int(number), row))
    return found


# ------------------------------------------------------------------------------- VideoPose3D


def _videopose(root: Path, wanted: _Wanted) -> Iterator[_Sequence]:
    """World poses in metres, and 2D points in px of the four cameras in the order of their ids."""
    file = root / "data_3d_h36m.npz"
    poses = _object(read_npz(file), "positions_3d", file)
    points = _videopose_2d(root, wanted.detections) if wanted.detections else None
    cameras = _cameras(root)
    for subject in (s for s in wanted.subjects if s in poses):
        for name, positions in poses[subject].items():
            columns = _columns(positions.shape[1], wanted.layout, file)
            world = positions[:: wanted.step, columns].astype(np.float64) * 1000.0
            for i, view in enumerate(CAMERA_IDS):
                detected = None
                if points is not None:
                    where = f"data_2d_h36m_{wanted.detections}.npz, {subject} {name} {view}"
                    if name not in points.get(subject, {}):
                        raise ValueError(f"{root}: {where}: there is nothing of it")
                    found = points[subject][name][i]
                    detected = _detected(found, len(positions), wanted.step, where)
                camera = _camera_of(cameras, subject, view, file)
                xy, xyz = _from_world(world, camera, detected)
                yield _Sequence(subject, name, view, camera, xy, xyz)


def _videopose_2d(root: Path, name: str) -> dict[str, dict[str, list[np.ndarray]]]:
    """Points (T, K, 2) by subject, action and camera; COCO's joints become those of H36M17."""
    file = safe_join(root, f"data_2d_h36m_{name}.npz")
    table = read_npz(file)
    points = _object(table, "positions_2d", file)
    left = _object(table, "metadata", file)["keypoints_symmetry"][0]
    if 1 not in left:  # joint 1 is the left eye of COCO, the right hip of H36M17
        return points
    return {
        subject: {
            action: [convert(np.asarray(v)[..., :2], COCO17, H36M17) for v in views]
            for action, views in actions.items()
        }
        for subject, actions in points.items()
    }


def _object(table: dict[str, np.ndarray], key: str, file: Path) -> dict:
    value = table[key].item() if key in table and table[key].shape == () else None
    if not isinstance(value, dict):
        raise ValueError(f"{file} has no dictionary {key!r}; it is not of VideoPose3D's form")
    return value


# ------------------------------------------------------------------------------- Martinez

# Of the stacked hourglass's 16 joints, those of H36M17 in order, without its nose.
_HOURGLASS = (6, 2, 1, 0, 3, 4, 5, 7, 8, 9, 13, 14, 15, 12, 11, 10)


def _martinez(root: Path, wanted: _Wanted) -> Iterator[_Sequence]:
    """World poses (96, T) in mm, an .h5 a sequence, and detections in folders beside."""
    cameras = _cameras(root)
    for subject in wanted.subjects:
        for file in sorted((root / subject / "MyPoses" / "3D_positions").glob("*.h5")):
            with understood(file):
                poses = read_h5(file).get("3D_positions", np.empty(0))
                if poses.ndim != 2 or len(poses) != 96:
                    raise ValueError(f"{file}: 3D_positions is (96, T), got {poses.shape}")
                poses = poses.astype(np.float64).reshape(32, 3, -1).transpose(2, 0, 1)  # T 32 3
                world = _joints(poses[:: wanted.step], _columns(32, wanted.layout, file))
            name = file.stem.replace("_", " ")
            for view in CAMERA_IDS:
                detected = None
                if wanted.detections:
                    folder = safe_join(root / subject, wanted.detections)
                    where = folder / f"{name.replace(' ', '_')}.{view}.h5"
                    with understood(where):
                        found = read_h5(where)["poses"][:, list(_HOURGLASS)]
                        detected = _detected(found, len(poses), wanted.step, str(where))
                camera = _camera_of(cameras, subject, view, file)
                xy, xyz = _from_world(world, camera, detected)
                yield _Sequence(subject, name, view, camera, xy, xyz)


# ------------------------------------------------------------------------------- deephar


def _deephar(root: Path, wanted: _Wanted) -> Iterator[_Sequence]:
    """The original project's: world poses (3, 32) mm, cameras and frame numbers a sequence.

    Its camera's tangential coefficients are used in the order in which they are stored, as there.
    """
    file = root / "annotations.mat"
    if wanted.detections:
        raise ValueError(f"{file}: no detections are known for the original project's form")
    table = read_mat(file)
    if missing := {"sequences_tr", "sequences_val", "action_labels"} - table.keys():
        raise ValueError(f"{file} lacks {', '.join(sorted(missing))}; it is not Human3.6M's")
    keys = {"train": ("sequences_tr",), "all": ("sequences_tr", "sequences_val")}
    base = next((b for b in (root / "images.new", root / "images") if b.is_dir()), root / "images")
    for key in keys.get(wanted.split, ("sequences_val",)):
        for sequence in _listed(table[key]):
            match = re.fullmatch(r"a(\d+)_s(\d+)_e(\d+)_c(\d+)", str(sequence["name"]))
            if match is None:
                raise ValueError(f"{file}: sequence {sequence['name']!r}; expected aAA_sSS_eEE_cCC")
            action, subject, trial, view = match.groups()
            if f"S{int(subject)}" not in wanted.subjects:
                continue
            frames = _listed(sequence["frames"])[:: wanted.step]
            world = np.stack([np.asarray(f["pose3d"], np.float64).T for f in frames])  # T 32 3
            world = _joints(world, _columns(world.shape[1], wanted.layout, file))
            c = sequence["camera_parameters"]
            camera = _camera(c["R"], c["T"], c["f"], c["c"], c["k"], c["p"])
            numbers = np.array([int(f["f"]) for f in frames])
            words = re.findall(r"[A-Za-z]+", str(_listed(table["action_labels"])[int(action) - 1]))
            xy, xyz = _from_world(world, camera, None)
            pictures = numbered(base / str(sequence["name"]), "", numbers, 5)
            name = f"{''.join(w[0].upper() + w[1:] for w in words)} e{trial}"
            view = CAMERA_IDS[int(view) - 1] if int(view) in (1, 2, 3, 4) else f"c{view}"
            yield _Sequence(f"S{int(subject)}", name, view, camera, xy, xyz, pictures)


def _listed(values: object) -> list:
    """MATLAB does not tell one from a list of one."""
    return list(values) if isinstance(values, list | tuple | np.ndarray) else [values]


# ------------------------------------------------------------------------------- cameras

_Cameras = dict[tuple[str, str], Camera]


def _cameras(root: Path) -> _Cameras:
    """Of cameras.pkl (mmpose) or cameras.h5 (Martinez) if there is one, else those known here."""
    for file in (root / "annotation_body3d" / "cameras.pkl", root / "cameras.pkl"):
        if file.is_file():
            with understood(file):
                return {
                    key: _camera(c["R"].T, c["T"] * 1000.0, c["f"], c["c"], c["k"], c["p"][::-1])
                    for key, c in read_pickle(file).items()
                }
    if (root / "cameras.h5").is_file():
        with understood(root / "cameras.h5"):
            return _h5_cameras(read_h5(root / "cameras.h5"))
    return {key: _camera(*parts) for key, parts in known_cameras().items()}


def _h5_cameras(table: dict[str, np.ndarray]) -> _Cameras:
    cameras: _Cameras = {}
    for where in (name.removesuffix("/R") for name in table if name.endswith("/R")):
        subject, number = re.findall(r"\d+", where)
        R, t, f, c, k, p = (table[f"{where}/{key}"] for key in "RTfckp")
        view = CAMERA_IDS[int(number) - 1]
        cameras[f"S{subject}", view] = _camera(R.T, t, f, c, k, p.ravel()[::-1])
    return cameras


def _camera(*parts: object) -> Camera:
    """From R (3, 3) world to camera, t (mm), f, c, k and p, the last in the order of `Camera`."""
    shapes = ((3, 3), (3,), (2,), (2,), (3,), (2,))
    values = [np.asarray(v, np.float64).reshape(s) for v, s in zip(parts, shapes, strict=True)]
    return Camera(*values)


def _camera_of(cameras: _Cameras, subject: str, view: str, file: Path) -> Camera:
    if (subject, view) not in cameras:
        raise ValueError(f"{file} speaks of camera {view} of {subject}, which is not known")
    return cameras[subject, view]
