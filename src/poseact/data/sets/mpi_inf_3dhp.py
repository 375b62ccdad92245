"""MPI-INF-3DHP: 3D poses without markers; a green screen to train on, studio and outdoors to test.

Mehta et al., "Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision", 3DV
2017. Read is mmpose's form, as its tools/dataset_converters/preprocess_mpi_inf_3dhp.py writes it:

    annotations/{mpi_inf_3dhp_train.npz, mpi_inf_3dhp_test_valid.npz, cameras_train.pkl,
    cameras_test.pkl}, images/S1_Seq1_Cam0_000001.jpg, images/TS1_000001.jpg

The activities of the test set stand in the original test/TS1/annot_data.mat (also TS1/ or
mpi_inf_3dhp_test_set/TS1/); where these files are, too, `Record.action` is known.

The 17 joints are those of PA17 in another order, with the names that the original project gave
them: "neck" is the base of the neck, our thorax, "head" the base of the skull, our neck. mmpose's
files keep the measured 3D poses (annot3). Reported numbers are often on poses scaled to one size
(univ_annot3). Points are taken as they are, no half pixel is added.

On the four frames that we could measure, camera and 3D meet the 2D points within 0.2 px, but for
hips and spine, which are up to 2.2 px beside each other in the files themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import PA17
from poseact.core.reading import understood
from poseact.core.types import Camera, Record
from poseact.data.archives import read_mat, read_npz, read_pickle, safe_join
from poseact.data.frames import numbered, split_stills

ACTIVITIES = (
    *("Standing/Walking", "Exercising", "Sitting", "Reaching/Crouching", "On The Floor", "Sports"),
    "Miscellaneous",
)
"""Names of `Record.action`, of the test set alone."""

# PA17 from: head top, neck, right arm (3), left arm, right leg, left leg, pelvis, spine, head.
_TO_PA17 = (14, 1, 16, 0, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13, 15)
_NAME = re.compile(r"(?:(.+)/)?((S\d+)_(Seq\d)_(Cam\d+)|TS\d)_(\d+)\.jpg")


def load(
    root: str | Path, split: str = "train", *, step: int = 1, stills: bool = False
) -> list[Record]:
    """Records in PA17: xy px, xyz camera mm (root depth and all), camera; train, test or all.

    root: the folder of mmpose's form, or one of its .npz. A record is a sequence seen by a camera,
    frames in order; of the test set, a run of frames of one activity. step: keeps frames 0, step,
    2 step ... of those listed of a sequence. stills: every frame is a record of its own. visible
    says that a joint is in the picture. `view` is the camera, or the scene for the test set:
    TS1 and TS2 green screen, TS3 and TS4 studio, TS5 and TS6 outdoors.

    FileNotFoundError if nothing is found; ValueError for what cannot be read.
    """
    if split not in _FILES:
        raise ValueError(f"MPI-INF-3DHP has the splits {', '.join(_FILES)}; got {split!r}")
    if step < 1:
        raise ValueError(f"step is at least 1, got {step}")
    root = Path(root)
    records: list[Record] = []
    for file in _files(root, split):
        with understood(file):
            for record in _sequences(file, root if root.is_dir() else root.parent, split, step):
                records += split_stills(record) if stills else [record]
    if not records:
        raise ValueError(f"{root} has no frame of the split {split}")
    return records


_FILES = {
    "train": ("mpi_inf_3dhp_train.npz",),
    "test": ("mpi_inf_3dhp_test_valid.npz",),
    "all": ("mpi_inf_3dhp_train.npz", "mpi_inf_3dhp_test_valid.npz"),
}
_SCENES = {1: "green screen", 2: "green screen", 3: "studio", 4: "studio", 5: "outdoors"}


def _files(root: Path, split: str) -> list[Path]:
    if root.is_file():
        return [root]
    for folder in (root / "annotations", root):
        files = [folder / name for name in _FILES[split]]
        if all(file.is_file() for file in files):
            return files
    raise FileNotFoundError(
        f"no MPI-INF-3DHP in {root}: looked for {', '.join(_FILES[split])} in annotations/; "
        "mmpose's preprocess_mpi_inf_3dhp.py makes them of the original"
    )


def _sequences(file: Path, root: Path, split: str, step: int) -> Iterator[Record]:
    table = read_npz(file)
    if missing := {"imgname", "part", "S"} - table.keys():
        raise ValueError(
            f"{file} lacks {', '.join(sorted(missing))}; mmpose's has imgname, part, S"
        )
    part, deep = table["part"], table["S"]
    if part.shape[1:] != (17, 3) or deep.shape[:2] != part.shape[:2]:
        raise ValueError(f"{file}: part is (N, 17, 3) and S (N, 17, 4), got {part.shape}")
    base = next(b for b in (root / "images", root) if b.is_dir())
    cameras: dict[str, Camera] = {}
    for (folder, sequence, digits), places in _by_sequence(table["imgname"], file).items():
        test = sequence.startswith("TS")
        if split != "all" and test != (split == "test"):
            continue
        if sequence not in cameras:
            cameras |= _cameras(root, test=test)
        if sequence not in cameras:
            raise ValueError(f"{file} speaks of {sequence}, and no camera of it is known")
        numbers, rows = np.array(sorted(places)[::step]).T
        actions = _activities(root, sequence, numbers) if test else None
        pictures = safe_join(base, folder) if folder else base
        for run in _runs(actions, len(rows)):
            xy = part[rows[run]][:, _TO_PA17, :2].astype(np.float32)
            yield Record(
                numbered(pictures, f"{sequence}_", numbers[run], digits),
                xy,
                PA17,
                xyz=(deep[rows[run]][:, _TO_PA17, :3] * 1000.0).astype(np.float32),
                visible=part[rows[run]][:, _TO_PA17, 2] > 0,
                box=box_around(xy),
                camera=cameras[sequence],
                action=None if actions is None else int(actions[run.start]),
                source="mpi_inf_3dhp",
                subject=sequence.split("_")[0],
                view=_SCENES.get(int(sequence[2:]), "outdoors") if test else sequence.split("_")[2],
            )


def _runs(actions: np.ndarray | None, count: int) -> Iterator[slice]:
    """Stretches of one activity."""
    cuts = [] if actions is None else (np.flatnonzero(np.diff(actions)) + 1).tolist()
    for start, stop in zip([0, *cuts], [*cuts, count], strict=True):
        yield slice(start, stop)


def _by_sequence(
    names: np.ndarray, file: Path
) -> dict[tuple[str, str, int], list[tuple[int, int]]]:
    """For (folder, sequence, digits) the (frame number, row) that are of it."""
    found: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
    for row, name in enumerate(names.tolist()):
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{file} names a picture {name!r}; expected S1_Seq1_Cam0_000001.jpg or "
                "TS1_000001.jpg"
            )
        folder, sequence, number = match[1], match[2], match[6]
        key = (folder or "", sequence, len(number))
        found.setdefault(key, []).append((int(number), row))
    return found


def _cameras(root: Path, *, test: bool) -> dict[str, Camera]:
    """By sequence, of cameras_train.pkl or cameras_test.pkl: R X + T in metres, no distortion.

    The cameras of the test set are at the origin of their world.
    """
    name = "cameras_test.pkl" if test else "cameras_train.pkl"
    places = [folder / name for folder in (root / "annotations", root)]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{places[0]}: no such file; it holds the cameras")
    cameras = {}
    with understood(file):
        for sequence, c in read_pickle(file).items():
            R = np.asarray(c.get("R", np.eye(3)), np.float64).reshape(3, 3)
            t = np.asarray(c.get("T", np.zeros(3)), np.float64).reshape(3) * 1000.0
            f, centre = (np.asarray(c[key], np.float64).reshape(2) for key in "fc")
            cameras[sequence] = Camera(R, -R.T @ t, f, centre, np.zeros(3), np.zeros(2))
    return cameras


def _activities(root: Path, sequence: str, numbers: np.ndarray) -> np.ndarray | None:
    """Class of each frame (numbers count from 1), or None where the original file is missing."""
    folders = (root / "test", root, root / "mpi_inf_3dhp_test_set")
    files = [folder / sequence / "annot_data.mat" for folder in folders]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    with understood(file):
        activity = np.asarray(read_mat(file)["activity_annotation"]).ravel().astype(int)
    if numbers.max() > len(activity):
        raise ValueError(f"{file} has {len(activity)} frames, frame {numbers.max()} is listed")
    chosen = activity[numbers - 1]
    if chosen.min() < 1 or chosen.max() > len(ACTIVITIES):
        raise ValueError(f"{file}: activities are 1 to {len(ACTIVITIES)}, got {np.unique(chosen)}")
    return chosen - 1
