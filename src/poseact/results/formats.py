"""Results in the forms of other programs: COCO results, OpenPose's JSON, markers (TRC, C3D), PYSKL.

Joints go over by name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from poseact.core.files import whole_file, whole_folder
from poseact.core.layouts import COCO17, OPENPOSE25, Layout, convert
from poseact.core.types import Person, Result
from poseact.results.jsonl import Header

OPENSIM_AXES = np.array([1.0, -1.0, -1.0])
"""Camera axes (x right, y down, z forward) to x right, y up, z towards the camera."""


_MOST_ROWS, _MOST_EMPTY = 100_000, 1000  # of a marker file; a row for each frame between poses


def write_coco(path: str | Path, header: Header, results: Iterable[Result]) -> None:
    """COCO results: a list of image_id (number of the frame), keypoints x y score, score, bbox.

    The 17 joints of COCO; unknown ones, eyes and ears with most of our networks, are 0 0 0. As in
    COCO, keypoints number pixels, whose middle they mean: 0.5 less than elsewhere in this package;
    boxes are px from the corner of the picture, as elsewhere.
    """
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        before = "["
        for result in results:
            for person in result.people:
                entry = json.dumps(
                    _coco_entry(result.index, person, header.layout), allow_nan=False
                )
                file.write(before + entry)
                before = ", "
        file.write("]" if before == ", " else "[]")


def _coco_entry(index: int, person: Person, layout: Layout) -> dict[str, Any]:
    return {
        "image_id": index,
        "category_id": 1,
        "keypoints": _triples(person.xy - 0.5, person, layout, COCO17),
        "score": round(float(np.nan_to_num(person.score).mean()), 4),
        "bbox": _corner_and_size(person.box),
        "track_id": int(person.track),
    }


def write_openpose(folder: str | Path, header: Header, results: Iterable[Result]) -> None:
    """A folder of OpenPose's JSON files, NAME_000000000012_keypoints.json: its 25 body joints.

    Unknown ones (face, feet) are 0 0 0. `pose_keypoints_3d` is in mm, root-relative. The folder is
    replaced if it holds such files alone; ValueError if it holds anything else.
    """
    folder = Path(folder)
    name = Path(header.source).stem or "poseact"
    if folder.exists() and any(not p.name.endswith("_keypoints.json") for p in folder.iterdir()):
        raise ValueError(f"{folder} holds other files; remove it, or give another folder with -o")
    with whole_folder(folder) as part:
        for result in results:
            people = [_openpose_person(person, header.layout) for person in result.people]
            text = json.dumps({"version": 1.3, "people": people}, allow_nan=False)
            (part / f"{name}_{result.index:012d}_keypoints.json").write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)


class Nobody(ValueError):
    """There is nobody in the results of whom a file could tell."""


class Markers(NamedTuple):
    """Somebody's joints in 3D over time. frames: from the first one with this person to the last;
    times_s: (n,) of each; poses: frame -> (J, 3) mm, x right, y up, z to the camera."""

    frames: range
    times_s: np.ndarray
    poses: dict[int, np.ndarray]

    def table(self) -> np.ndarray:
        """(n, J, 3), NaN in frames without the person."""
        unseen = np.full(next(iter(self.poses.values())).shape, np.nan)
        return np.stack([self.poses.get(frame, unseen) for frame in self.frames])


def markers(path: str | Path, results: Iterable[Result]) -> list[tuple[int | None, Markers]]:
    """Everyone's joints in 3D, by track; None in place of the only track there is.

    For the file `path`: `Nobody` if there is nobody; ValueError if no pose is 3D, or if a person is
    away for so long that the file would be of empty rows.
    """
    tracks: dict[int, dict[int, np.ndarray]] = {}
    times_s: dict[int, float] = {}
    somebody = False
    for result in results:
        times_s[result.index] = result.time_s
        for person in result.people:
            somebody = True
            if person.xyz is not None:  # half of float64, for an hour of a camera is 100,000 poses
                xyz = (person.xyz * OPENSIM_AXES).astype(np.float32)
                tracks.setdefault(person.track, {})[result.index] = xyz
    if not somebody:
        raise Nobody(f"{path}: there is nobody in the results")
    if not tracks:
        raise ValueError(f"{path}: no pose in the results is 3D, and this is a file of 3D joints")
    known = np.array(sorted(times_s)), np.array([times_s[n] for n in sorted(times_s)])
    found = []
    for track, poses in sorted(tracks.items()):
        frames = range(min(poses), max(poses) + 1)
        if len(frames) > _MOST_ROWS + _MOST_EMPTY * len(poses):
            raise ValueError(f"{path}: {len(frames)} rows for {len(poses)} poses of track {track}")
        own = Markers(frames, np.interp(frames, *known), poses)
        found.append((track if len(tracks) > 1 else None, own))
    return found


def numbered(path: str | Path, track: int | None) -> Path:
    """NAME_track3.trc for track 3, NAME.trc for the only one."""
    path = Path(path)
    return path if track is None else path.with_name(f"{path.stem}_track{track}{path.suffix}")


def write_trc(path: str | Path, header: Header, results: Iterable[Result]) -> list[Path]:
    """Marker files (TRC), a marker a joint, mm, y up; the files written.

    NAME.trc, or NAME_track1.trc, NAME_track2.trc, ... for several people. Poses are relative to the
    root, which stays at the origin: limbs move, the person does not travel. Cells of unknown
    joints, and of frames without the person, are empty. Errors as `markers`.
    """
    return write_markers(path, header, markers(path, results))


def write_markers(
    path: str | Path, header: Header, people: Iterable[tuple[int | None, Markers]]
) -> list[Path]:
    """A TRC file for each of these people, as `markers` has them; the files written."""
    paths = []
    for track, own in people:
        file = numbered(path, track)
        with whole_file(file) as part, part.open("w", encoding="utf-8", newline="\n") as out:
            for line in _trc(file.name, header, own.frames, own.times_s, own.poses):
                out.write("\t".join(map(str, line)) + "\n")
        paths.append(file)
    return paths


def write_c3d(path: str | Path, header: Header, results: Iterable[Result]) -> list[Path]:
    """Marker files (C3D), as `write_trc`; what is unknown has the residual -1, as C3D says so.

    ImportError without ezc3d (`poseact[c3d]`).
    """
    try:
        import ezc3d
    except ImportError as error:
        raise ImportError("C3D is written with ezc3d: pip install 'poseact[c3d]'") from error
    paths = []
    for track, own in markers(path, results):
        table = np.moveaxis(own.table(), 0, -1)  # J 3 n
        unknown = np.asarray(np.isnan(table).any(1))
        points = np.ones((4, *unknown.shape))
        points[:3] = np.nan_to_num(table).transpose(1, 0, 2)
        c3d = ezc3d.c3d()
        about = c3d["parameters"]["POINT"]
        about["RATE"]["value"] = [float(header.fps or 1)]
        about["UNITS"]["value"] = ["mm"]
        about["LABELS"]["value"] = list(header.layout.joints)
        c3d["data"]["points"] = points
        c3d["data"]["meta_points"]["residuals"] = np.where(unknown, -1.0, 0.0)[None]
        c3d["data"]["meta_points"]["camera_masks"] = np.zeros((7, *unknown.shape), bool)
        file = numbered(path, track)
        with whole_file(file) as part:
            given = part.with_name(f"{part.name}.c3d")  # the name that ezc3d gives it
            try:
                c3d.write(str(part))
                part.write_bytes(given.read_bytes())
            finally:
                given.unlink(missing_ok=True)
        paths.append(file)
    return paths


def write_pyskl(path: str | Path, header: Header, results: Iterable[Result]) -> None:
    """An .npz with what PYSKL and MMAction2 know of a clip: 17 joints of COCO, unknown ones 0.

    keypoint (M, T, 17, 2) px, keypoint_score (M, T, 17), M people in the order of their tracks, T
    frames from the first to the last; frame_dir, img_shape, original_shape (height, width),
    total_frames. Nothing in it is pickled. `Nobody` if there is nobody.
    """
    seen = [(r.index, person) for r in results for person in r.people]
    if not seen:
        raise Nobody(f"{path}: there is nobody in the results")
    tracks = sorted({person.track for _, person in seen})
    first, last = seen[0][0], seen[-1][0]
    if last - first >= _MOST_ROWS + _MOST_EMPTY * len(seen):
        raise ValueError(f"{path}: {last - first + 1} frames for {len(seen)} poses")
    keypoint = np.zeros((len(tracks), last - first + 1, len(COCO17), 2), np.float32)
    score = np.zeros(keypoint.shape[:-1], np.float32)
    for index, person in seen:
        triples = np.reshape(_triples(person.xy, person, header.layout, COCO17), (-1, 3))
        where = tracks.index(person.track), index - first
        keypoint[where], score[where] = triples[:, :2], triples[:, 2]
    width, height = header.size or (0, 0)
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            frame_dir=Path(header.source).stem,
            img_shape=np.array([height, width]),
            original_shape=np.array([height, width]),
            total_frames=keypoint.shape[1],
            keypoint=keypoint,
            keypoint_score=score,
        )


def _trc(
    name: str,
    header: Header,
    frames: range,
    times_s: np.ndarray,
    poses: dict[int, np.ndarray],
) -> Iterator[list[Any]]:
    """Cells of each line; poses: (J, 3) mm by frame."""
    joints = header.layout.joints
    rate = f"{header.fps or 1:.6g}"  # a picture has none
    head = {
        "DataRate": rate,
        "CameraRate": rate,
        "NumFrames": len(frames),
        "NumMarkers": len(joints),
        "Units": "mm",
        "OrigDataRate": rate,
        "OrigDataStartFrame": frames[0] + 1,
        "OrigNumFrames": len(frames),
    }
    axes = [f"{axis}{n}" for n in range(1, len(joints) + 1) for axis in "XYZ"]
    yield ["PathFileType", 4, "(X/Y/Z)", name]
    yield [*head]
    yield [*head.values()]
    yield ["Frame#", "Time", *(cell for joint in joints for cell in (joint, "", ""))]
    yield ["", "", *axes]
    yield []
    unseen = np.full((len(joints), 3), np.nan)
    for frame, time_s in zip(frames, times_s.tolist()):
        numbers = poses.get(frame, unseen).ravel().tolist()
        cells = [f"{round(v, 2) + 0.0:.2f}" if np.isfinite(v) else "" for v in numbers]
        yield [frame + 1, f"{time_s:.6f}", *cells]


def _openpose_person(person: Person, layout: Layout) -> dict[str, Any]:
    others = ("face", "hand_left", "hand_right")
    flat = {f"{part}_keypoints_{d}d": [] for part in others for d in (2, 3)}
    points = _triples(person.xy, person, layout, OPENPOSE25)
    space = [] if person.xyz is None else _triples(person.xyz, person, layout, OPENPOSE25)
    return {
        "person_id": [int(person.track)],
        "pose_keypoints_2d": points,
        "pose_keypoints_3d": space,
        **flat,
    }


def _triples(points: np.ndarray, person: Person, source: Layout, target: Layout) -> list[float]:
    """x y score (or x y z score) of every joint of the target, in one row; 0 where unknown."""
    table = np.concatenate([points, person.score[:, None]], 1).astype(float)
    table = convert(table, source, target)
    table[~np.isfinite(table).all(1)] = 0
    return np.round(table, 4).ravel().tolist()


def _corner_and_size(box: np.ndarray) -> list[float]:
    x0, y0, x1, y1 = np.round(np.nan_to_num(box), 2).tolist()
    return [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
