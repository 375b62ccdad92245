"""SBU from its pictures alone: detector and lifter in place of the Kinect (Pham et al. 2019, 4.2).

    poseact data lift sbu ROOT -o OUT
    poseact search --data sbu --root OUT --folds random --validation "fold 2"

What is written is SBU's own form, `PAIR/ACTION/NUMBER/skeleton_pos.txt`, with the lifted skeletons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from poseact.core.files import write_text
from poseact.core.layouts import H36M17, SBU15, Layout
from poseact.core.types import Keypoints, Person, Record, Result
from poseact.data.frames import ImageSequence
from poseact.data.sets import sbu
from poseact.data.sets.skeletons import pairs
from poseact.media.pictures import Frame
from poseact.models.lifter import Lifter
from poseact.skeletons.lift import lift_keypoints
from poseact.skeletons.pipeline import in_camera, in_layout

FPS = 15.0
"""Of SBU's recordings."""
LEAST_SHARE = 0.25
"""Of the frames of a sequence in which each of two people must be found."""


class FindsPeople(Protocol):
    """Finds and follows people in a video's frames, as `Predictor` does."""

    layout: Layout

    def video(self, source: Iterable[Frame]) -> Iterator[tuple[Frame, Result]]: ...


class LiftedSBU(NamedTuple):
    """How many sequences were written (or were there already); those without two people."""

    written: int
    there: int
    left_out: tuple[str, ...]


def lift_sbu(
    root: str | Path,
    out: str | Path,
    poses: FindsPeople,
    lifter: Lifter,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> LiftedSBU:
    """Every sequence of SBU below `root` from its pictures, in the same folders below `out`.

    The two who are seen best and longest act; the one on the left is the first. Sequences that are
    there already are kept, so that a stopped job goes on. ValueError for a sequence without
    pictures, and what `sbu.load` raises.
    """
    written, there, left_out = 0, 0, []
    for record, _ in pairs(sbu.load(root, "all")):
        path = Path(out, *record.source.split("/")[1:], "skeleton_pos.txt")
        if path.is_file():
            there += 1
        elif (two := _two(record, poses, lifter)) is None:
            left_out.append(record.source)
        else:
            write_text(path, _text(_numbers(record), two))
            written += 1
        progress(1)
    return LiftedSBU(written, there, tuple(left_out))


def _two(record: Record, poses: FindsPeople, lifter: Lifter) -> np.ndarray | None:
    """(T, 2, 15, 3) mm, camera axes, NaN where somebody was not found; None without two people."""
    if record.frame is None:
        raise ValueError(f"{record.source} has no pictures rgb_*.png to find people in")
    read = record.frame
    results, size = [], (0, 0)
    for frame, result in poses.video(Frame(t, t / FPS, read(t)) for t in range(len(record))):
        size = frame.rgb.shape[1], frame.rgb.shape[0]
        results.append(result)
    if not any(result.people for result in results):
        return None
    keypoints = Keypoints(tuple(results), poses.layout, FPS, size)
    found: dict[int, dict[int, Person]] = {}
    for result in lift_keypoints(lifter, keypoints, people=2).results:
        for person in result.people:
            found.setdefault(person.track, {})[result.index] = person
    if len(found) < 2 or min(map(len, found.values())) < LEAST_SHARE * len(record):
        return None

    def place(people: dict[int, Person]) -> float:
        return float(np.mean([p.xy[H36M17.root, 0] for p in people.values()]))

    skeletons = np.full((len(record), 2, len(SBU15), 3), np.nan)
    for number, people in enumerate(sorted(found.values(), key=place)):
        for t, person in people.items():
            assert person.xyz is not None  # `lift_keypoints` lifts everyone it returns
            xyz = in_camera(person.xyz, person.xy, size)
            skeletons[t, number] = in_layout(xyz[None], SBU15)[0]
    return skeletons


def _numbers(record: Record) -> list[int]:
    """The pictures' own, as in SBU's lines."""
    assert isinstance(record.frame, ImageSequence)
    return [int(path.stem.removeprefix("rgb_")) for path in record.frame.paths]


def _text(numbers: list[int], skeletons: np.ndarray) -> str:
    """A line a frame, as SBU's authors write them; the inverse of `sbu.millimetres`."""
    x, y, z = np.moveaxis(skeletons, -1, 0)
    points = np.stack([(x + 1280) / 2560, (y + 960) / 1920, z * (7.8125 / 10000)], -1)
    rows = np.nan_to_num(points, nan=0.0).reshape(len(numbers), -1)
    return "".join(
        ",".join([str(number), *(f"{value:.6g}" for value in row)]) + "\n"
        for number, row in zip(numbers, rows, strict=True)
    )
