"""2D joints as other programs write them: OpenPose's JSON, COCO results, our JSON lines, arrays.

Whatever the form, frames of people in px come out; a joint that a file gives as 0, 0 or as NaN is
unknown. Half a pixel is added to COCO's numbers, which count pixels; for the others nothing is said
of where pixels count from, and they are taken as they stand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from poseact.core.geometry import box_around
from poseact.core.layouts import (
    COCO17,
    HALPE26,
    LAYOUTS,
    OPENPOSE15,
    OPENPOSE18,
    OPENPOSE25,
    Layout,
)
from poseact.core.reading import read_json, understood
from poseact.core.types import NO_TRACK, Keypoints, Person, Result
from poseact.data.archives import read_npy, read_npz
from poseact.results.jsonl import read_jsonl

FILE_LAYOUTS = {**LAYOUTS, **{layout.name: layout for layout in (OPENPOSE18, OPENPOSE15, HALPE26)}}

_OPENPOSE = {len(layout): layout for layout in (OPENPOSE25, OPENPOSE18, OPENPOSE15)}
_COCO = {len(layout): layout for layout in (COCO17, HALPE26)}  # AlphaPose writes the second
_FAR_APART = 500  # frames, on average, between pictures that are not those of a video
_FORMS = (
    "a folder of OpenPose's JSON files, one of them, COCO results (.json), "
    "poseact's own .jsonl, or an array (.npy, .npz)"
)


def read_keypoints(path: str | Path, *, layout: str | None = None, fps: float = 30.0) -> Keypoints:
    """2D joints of a file or folder, its form found by its suffix and content.

    layout: the name of the joints' order, needed for arrays and where the number of joints does not
    tell. fps: frames a second, where the file has no times. Raises FileNotFoundError, or ValueError
    that names the file and the mend.
    """
    path = Path(path)
    order = None if layout is None else _layout_called(layout)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; wanted is {_FORMS}")
    with understood(path):
        return _read(path, order, fps)


def _read(path: Path, order: Layout | None, fps: float) -> Keypoints:
    if path.is_dir():
        found = _openpose_folder(path, order, fps)
    elif path.suffix == ".json":
        found = _json(path, order, fps)
    elif path.suffix == ".jsonl":
        header, results = read_jsonl(path)
        found = Keypoints(tuple(results), header.layout, header.fps, header.size)
        _agree(path, found.layout, order)
    elif path.suffix in (".npy", ".npz"):
        found = _array(path, order, fps)
    else:
        raise ValueError(f"{path}: not a form of keypoints that is known: {_FORMS}")
    _check_pixels(path, found)
    return found


def _layout_called(name: str) -> Layout:
    if name not in FILE_LAYOUTS:
        raise ValueError(f"no layout {name!r}; there are {', '.join(FILE_LAYOUTS)}")
    return FILE_LAYOUTS[name]


def _agree(path: Path, own: Layout, order: Layout | None) -> None:
    if order is not None and order != own:
        raise ValueError(
            f"{path} says that it has {own.name}, not {order.name}; leave --layout out"
        )


def _check_pixels(path: Path, found: Keypoints) -> None:
    values = [person.xy for result in found.results for person in result.people]
    if not values or np.isnan(values).all():
        raise ValueError(f"{path}: there is nobody in it")
    if np.nanmax(np.abs(values)) <= 2:
        raise ValueError(
            f"{path}: all coordinates are within {np.nanmax(np.abs(values)):.2f}, wanted are px of "
            "the picture (OpenPose: --keypoint_scale 0); multiply them by its width and height"
        )


def _person(table: np.ndarray, layout: Layout) -> Person:
    """From rows x, y, score."""
    known = np.isfinite(table[:, :2]).all(-1) & (table[:, :2] != 0).any(-1)
    xy = np.where(known[:, None], table[:, :2], np.nan)
    score = np.where(known, np.nan_to_num(table[:, 2]), 0.0)
    return Person(xy, None, score, box_around(xy), layout, NO_TRACK)


def _by_count(path: Path, joints: int, known: dict[int, Layout], order: Layout | None) -> Layout:
    """The layout asked for, or the one of so many joints."""
    if order is not None and len(order) == joints:
        return order
    if order is not None:
        raise ValueError(f"{path} has {joints} joints, {order.name} has {len(order)}")
    if joints not in known:
        usual = ", ".join(f"{n} ({layout.name})" for n, layout in known.items())
        raise ValueError(f"{path} has {joints} joints; known are {usual}; else give --layout")
    return known[joints]


# ----------------------------------------------------------------------------------------- JSON


def _json(path: Path, order: Layout | None, fps: float) -> Keypoints:
    content = read_json(path)
    if isinstance(content, dict) and "people" in content:
        return _openpose([(0, path, content)], order, fps)
    if isinstance(content, list):
        return _coco(path, content, order, fps)
    hint = ""
    if isinstance(content, dict) and "annotations" in content:
        hint = " (this is COCO's annotation file; results are the list of what was detected)"
    raise ValueError(
        f"{path}: neither OpenPose's JSON (an object with people) nor COCO results "
        f"(a list of image_id, keypoints, score){hint}"
    )


def _openpose_folder(folder: Path, order: Layout | None, fps: float) -> Keypoints:
    files = sorted(folder.glob("*_keypoints.json")) or sorted(folder.glob("*.json"))
    if not files:
        raise ValueError(f"{folder}: no .json file in it; OpenPose's --write_json fills such one")
    numbers = [_number(file.name.removesuffix("_keypoints.json")) for file in files]
    if None in numbers or len(set(numbers)) < len(files):
        raise ValueError(
            f"{folder}: its files are not the numbered frames of one video, "
            "NAME_000000000000_keypoints.json; put each video into a folder of its own"
        )
    frames = [(n, file, read_json(file)) for n, file in zip(numbers, files) if n is not None]
    return _openpose(sorted(frames, key=lambda frame: frame[0]), order, fps)


def _number(name: str) -> int | None:
    """The last number in a name, or None."""
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else None


def _frame_numbers(names: list[str]) -> dict[str, int]:
    """The frame of each picture: the last number in its name that tells the pictures apart.

    Numbers far apart from one another are those of pictures, not of frames, and are counted.
    ValueError if no number in the names tells them apart.
    """
    names = sorted(set(names))
    digits = [re.findall(r"\d+", name) for name in names]
    for place in range(1, 1 + min(map(len, digits), default=0)):
        numbers = [int(found[-place]) for found in digits]
        if len(set(numbers)) == len(numbers):
            if max(numbers) - min(numbers) > _FAR_APART * len(numbers):
                places = {n: i for i, n in enumerate(sorted(numbers))}
                numbers = [places[n] for n in numbers]
            return dict(zip(names, numbers))
    if names:
        raise ValueError(f"no number that tells frames apart in image_id {names[0]!r} and others")
    return {}


def _openpose(frames: list[tuple[int, Path, Any]], order: Layout | None, fps: float) -> Keypoints:
    """From (number, file, content) of each frame."""
    tables = [(n, file, _openpose_people(file, content)) for n, file, content in frames]
    first = next(((file, people[0]) for _, file, people in tables if people), None)
    if first is None:
        raise ValueError(f"{frames[0][1]}: nobody in it nor in the files beside it")
    layout = _by_count(first[0], len(first[1]), _OPENPOSE, order)
    for _, file, people in tables:
        if any(len(table) != len(layout) for table in people):
            raise ValueError(f"{file}: not {len(layout)} joints a person as in {first[0].name}")
    return Keypoints(
        tuple(
            Result(n, n / fps, tuple(_person(table, layout) for table in people))
            for n, _, people in tables
        ),
        layout,
    )


def _openpose_people(file: Path, content: Any) -> list[np.ndarray]:
    """(J, 3) of each person."""
    try:
        numbers = [person["pose_keypoints_2d"] for person in content["people"]]
        tables = [np.array(n, float).reshape(-1, 3) for n in numbers]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: not OpenPose's JSON: people with pose_keypoints_2d of x y score each "
            f"({type(error).__name__}: {error})"
        ) from error
    return [table for table in tables if len(table)]  # hands or faces alone have no body


def _coco(path: Path, entries: list[Any], order: Layout | None, fps: float) -> Keypoints:
    """COCO results; AlphaPose's have names of pictures for ids, and sometimes 26 joints."""
    people: dict[int, list[np.ndarray]] = {}
    try:
        numbers = _frame_numbers([str(entry["image_id"]) for entry in entries])
        for entry in entries:
            number, keypoints = numbers[str(entry["image_id"])], entry["keypoints"]
            if not keypoints:  # a box without joints
                continue
            table = np.array(keypoints, float).reshape(-1, 3)
            missing = (table == 0).all(-1, keepdims=True)
            table[:, :2] = np.where(missing, 0, table[:, :2] + 0.5)
            people.setdefault(number, []).append(table)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not COCO results, a list of image_id and keypoints of x y score each "
            f"({type(error).__name__}: {error})"
        ) from error
    counts = {len(table) for tables in people.values() for table in tables}
    if len(counts) != 1:
        raise ValueError(f"{path}: people of one number of joints are wanted, got {sorted(counts)}")
    layout = _by_count(path, counts.pop(), _COCO, order)
    return Keypoints(
        tuple(
            Result(n, n / fps, tuple(_person(table, layout) for table in people[n]))
            for n in sorted(people)
        ),
        layout,
    )


# --------------------------------------------------------------------------------------- arrays


def _array(path: Path, order: Layout | None, fps: float) -> Keypoints:
    """(T, J, 2 or 3) of one person; the third column is the score."""
    if order is None:
        raise ValueError(
            f"{path}: an array does not say which joints it has; give --layout, one of "
            f"{', '.join(FILE_LAYOUTS)}"
        )
    points = read_npy(path) if path.suffix == ".npy" else _only_array(path)
    numeric = points.dtype.kind in "fiu"
    if (
        not numeric
        or points.ndim != 3
        or points.shape[1:] not in ((len(order), 2), (len(order), 3))
    ):
        raise ValueError(
            f"{path}: wanted is an array of numbers (T, {len(order)}, 2 or 3) for {order.name}, "
            f"got {points.shape} of {points.dtype}"
        )
    tables = _with_score(points.astype(float))
    people = [_person(table, order) for table in tables]
    return Keypoints(tuple(Result(t, t / fps, (person,)) for t, person in enumerate(people)), order)


def _with_score(points: Float[np.ndarray, "t j d"]) -> Float[np.ndarray, "t j 3"]:
    return points if points.shape[-1] == 3 else np.insert(points, 2, 1.0, axis=-1)


def _only_array(path: Path) -> np.ndarray:
    arrays = {name: value for name, value in read_npz(path).items() if value.ndim == 3}
    if len(arrays) != 1:
        raise ValueError(
            f"{path}: wanted is one array (T, J, 2 or 3), it has {len(arrays)} of three axes "
            f"({', '.join(arrays) or 'none'}); save the one that is meant as .npy"
        )
    return next(iter(arrays.values()))
