"""2D joints from another program to 3D poses in our own form.

The rules for joints that a file lacks (in its layout, or in some frames) are ours and the same for
every form; what they invented has score 0 in the output and is counted in `Lifted`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from poseact.core.files import check_not_input
from poseact.core.geometry import box_around
from poseact.core.layouts import DERIVED, H36M17, Layout
from poseact.core.types import NO_TRACK, Keypoints, Person, Result
from poseact.inference.jobs import Done, Job
from poseact.inference.tracking import identify
from poseact.models.lifter import Combine, Lifter, lift_with_mirror
from poseact.models.weights import load_lifter
from poseact.results.jsonl import Header, ResultsWriter
from poseact.results.page import write_html
from poseact.skeletons.gaps import fill_missing
from poseact.skeletons.keypoints import read_keypoints

GAP_FRAMES = 10
"""Gaps of so many frames or fewer are bridged: joints are interpolated, people keep their track."""
LEAST_JOINTS = 6
"""Of H36M17's 17: people with fewer are left out."""

STANDS_IN: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("l_eye", "r_eye"), ("l_eye",), ("r_eye",), ("l_ear", "r_ear"), ("face",), ("nose",)),
    "nose": (("face",), ("neck", "head"), ("thorax", "head")),
    "spine": (("belly",),),
    **{f"{side}_wrist": ((f"{side}_hand",),) for side in "lr"},
    **{f"{side}_ankle": ((f"{side}_foot",),) for side in "lr"},
}
"""Where a layout has no such joint, the first of these that is known in a frame stands in."""


class Lifted(NamedTuple):
    """Frames in H36M17 with 3D, root-relative mm, and what was done to the 2D joints of the file.

    stood_in: joints that the layout lacks and others stand in for. in_time, from_neighbours: joints
    of single frames that were filled in. joints: all of them. left_out: people with too few.
    """

    results: tuple[Result, ...]
    stood_in: tuple[str, ...]
    in_time: int
    from_neighbours: int
    joints: int
    left_out: int

    def notes(self, layout: Layout) -> list[str]:
        """What a user should know, a line each."""
        lines = []
        if self.stood_in:
            lines.append(f"{layout.name} has no {', '.join(self.stood_in)}: others stand in")
        if filled := self.in_time + self.from_neighbours:
            lines.append(
                f"{filled} of {self.joints} joints were not seen and have score 0: {self.in_time} "
                f"filled in over time, {self.from_neighbours} from their neighbours"
            )
        if self.left_out:
            lines.append(f"{self.left_out} people left out: fewer than {LEAST_JOINTS} joints seen")
        return lines


# ------------------------------------------------------------------------------------- layouts


def to_h36m17(
    xy: Float[np.ndarray, "t j 2"], score: Float[np.ndarray, "t j"], layout: Layout
) -> tuple[Float[np.ndarray, "t 17 2"], Float[np.ndarray, "t 17"]]:
    """Joints in H36M17 by name, NaN and score 0 where nothing stands in for them.

    A joint that the layout lacks is the mean of others (`layouts.DERIVED`; the head that of the
    eyes, else of the ears, else the nose) and has the least of their scores.
    """
    table = np.concatenate([xy, score[..., None]], -1)  # t j 3
    joints = np.stack([_joint(table, name, layout) for name in H36M17.joints], 1)
    seen = np.isfinite(joints[..., :2]).all(-1)
    return joints[..., :2], np.where(seen, joints[..., 2], 0.0)


def _joint(table: np.ndarray, name: str, layout: Layout, *, others: bool = True) -> np.ndarray:
    """(T, 3) x, y, score of one joint; `others` may stand in for it as well as make it up."""
    if name in layout.joints:
        return table[:, layout.index(name)]
    out = np.full((len(table), 3), np.nan)
    for parts in (*DERIVED.get(name, ()), *(STANDS_IN.get(name, ()) if others else ())):
        found = np.stack([_joint(table, part, layout, others=False) for part in parts])
        mean = np.concatenate([found[..., :2].mean(0), found[..., 2:].min(0)], -1)
        out = np.where(np.isfinite(out[:, :1]), out, mean)
    return out


# ----------------------------------------------------------------------------------------- time


def fill_in_time(
    xy: Float[np.ndarray, "t j 2"], frames: Int[np.ndarray, "t"]
) -> Float[np.ndarray, "t j 2"]:
    """Unknown (NaN) joints from the same joint in the frames around, which have these numbers.

    On a line between the last and the next sight if at most `GAP_FRAMES` frames lie between, else
    where it was last seen (before the first sight: where it is seen first). A joint that is never
    seen stays NaN.
    """
    out = xy.copy()
    for j in range(xy.shape[1]):
        seen = np.flatnonzero(np.isfinite(xy[:, j]).all(-1))
        if not len(seen):
            continue
        times = frames[seen]
        after = np.searchsorted(times, frames).clip(1, len(seen) - 1) if len(seen) > 1 else None
        for axis in range(2):
            out[:, j, axis] = np.interp(frames, times, xy[seen, j, axis])
        if after is not None:
            long = (times[after] - times[after - 1] - 1 > GAP_FRAMES) & (frames < times[after])
            held = long & (frames > times[after - 1])
            out[held, j] = xy[seen[after - 1], j][held]
    return out


# --------------------------------------------------------------------------------------- people


def followed(results: Iterable[Result]) -> Iterator[Result]:
    """The frames with a track number for everyone who has none, by the overlap of boxes.

    Somebody who is not seen for more than `GAP_FRAMES` frames comes back as somebody else.
    """
    last: dict[int, tuple[int, Person]] = {}
    highest = NO_TRACK
    for result in results:
        last = {t: seen for t, seen in last.items() if result.index - seen[0] <= GAP_FRAMES + 1}
        boxes = np.array([p.box for p in result.people]).reshape(-1, 4)
        tracks = identify([p for _, p in last.values()], boxes, new_track=highest + 1)
        people = tuple(
            replace(p, track=t) if p.track == NO_TRACK else p for p, t in zip(result.people, tracks)
        )
        last |= {p.track: (result.index, p) for p in people}
        highest = max([highest, *(p.track for p in people)])
        yield replace(result, people=people)


def seen_enough(person: Person) -> bool:
    """Whether `LEAST_JOINTS` of H36M17 are known."""
    joints, _ = to_h36m17(person.xy[None], person.score[None], person.layout)
    return int(np.isfinite(joints).all(-1).sum()) >= LEAST_JOINTS


def _chosen(results: list[Result], people: int | None) -> set[int]:
    """Tracks to lift: the `people` with the greatest sum of mean scores; None: all."""
    total: dict[int, float] = {}
    for result in results:
        for person in result.people:
            total[person.track] = total.get(person.track, 0.0) + float(
                np.nan_to_num(person.score).mean()
            )
    return set(sorted(total, key=lambda track: -total[track])[:people])


# --------------------------------------------------------------------------------------- lifting


def lift_keypoints(
    lifter: Lifter,
    keypoints: Keypoints,
    *,
    people: int | None = None,
    combine: Combine = "mean",
    flip: bool = False,
) -> Lifted:
    """Everyone's 3D pose: tracks, H36M17, joints filled in, lifted.

    people: how many to keep at most, the surest and longest seen. combine: which stream answers.
    flip: average with the mirror image. ValueError if the lifter needs the pictures' size and the
    keypoints have none, or if nobody is left.
    """
    how = lifter.config.normalisation
    if keypoints.size is None and (how == "screen" or flip and how == "martinez"):
        raise ValueError("this lifter needs the size of the pictures: --size WIDTH HEIGHT (px)")
    enough = [
        replace(result, people=tuple(filter(seen_enough, result.people)))
        for result in keypoints.results
    ]
    kept = sum(len(result.people) for result in enough)
    if not kept:
        raise ValueError(f"nobody with {LEAST_JOINTS} joints or more of {H36M17.name} in it")
    results = list(followed(tuple(enough)))
    lifted: dict[tuple[int, int], Person] = {}
    in_time = from_neighbours = 0
    for track in sorted(_chosen(results, people)):
        own = [(r.index, p) for r in results for p in r.people if p.track == track]
        frames = np.array([index for index, _ in own])
        xy, score = to_h36m17(
            np.stack([p.xy for _, p in own]), np.stack([p.score for _, p in own]), keypoints.layout
        )
        timely = fill_in_time(xy, frames)
        whole = fill_missing(timely)
        in_time += _known(timely) - _known(xy)
        from_neighbours += _known(whole) - _known(timely)
        xyz = _lift(lifter, whole, keypoints.size, combine, flip)
        for n, index in enumerate(frames):
            box = box_around(whole[n])
            person = Person(whole[n], xyz[n], score[n], box, H36M17, track)
            lifted[int(index), track] = person
    frames_out = tuple(
        Result(
            r.index,
            r.time_s,
            tuple(lifted[r.index, p.track] for p in r.people if (r.index, p.track) in lifted),
        )
        for r in results
    )
    return Lifted(
        frames_out,
        tuple(j for j in H36M17.joints if j not in keypoints.layout.joints and j in STANDS_IN),
        in_time,
        from_neighbours,
        len(lifted) * len(H36M17),
        sum(len(result.people) for result in keypoints.results) - kept,
    )


def _known(xy: np.ndarray) -> int:
    return int(np.isfinite(xy).all(-1).sum())


@torch.no_grad()
def _lift(
    lifter: Lifter, xy: np.ndarray, size: tuple[int, int] | None, combine: Combine, flip: bool
) -> np.ndarray:
    points = torch.tensor(xy, dtype=torch.float32)
    sizes = None if size is None else torch.tensor([size], dtype=torch.float32).repeat(len(xy), 1)
    if flip:
        return lift_with_mirror(lifter, points, sizes, combine).numpy()
    return lifter(points, sizes, combine=combine).numpy()


# ----------------------------------------------------------------------------------------- files


def lift_job(
    job: Job,
    out: Path,
    *,
    weights: str = "lifter",
    layout: str | None = None,
    size: tuple[int, int] | None = None,
    fps: float = 30.0,
    people: int | None = None,
    combine: Combine = "mean",
    flip: bool = False,
    html: bool = False,
) -> Done:
    """Lift one file of keypoints: `out` (JSON lines) and, if `html`, a page beside it.

    weights: a shipped name or a file. size: (width, height) px of the pictures and fps, for files
    that say neither. ValueError or OSError, naming the file; nothing half-written stays.
    """
    source = Path(str(job.source))
    if out.suffix != ".jsonl":
        raise ValueError(f"{out}: the results are JSON lines; give a name that ends in .jsonl")
    check_not_input(out, source)
    lifter = load_lifter(weights).model
    keypoints = read_keypoints(source, layout=layout, fps=fps)
    keypoints = replace(keypoints, size=keypoints.size or size)
    try:
        lifted = lift_keypoints(lifter, keypoints, people=people, combine=combine, flip=flip)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    header = Header(
        H36M17,
        source=str(source),
        model=weights,
        fps=keypoints.fps or (fps if len(lifted.results) > 1 else None),
        size=keypoints.size,
    )
    with ResultsWriter(
        out,
        layout=header.layout,
        source=header.source,
        model=header.model,
        fps=header.fps,
        size=header.size,
    ) as writer:
        for result in lifted.results:
            writer.write(result)
    files = [out]
    if html:
        page = out.with_suffix(".html")
        write_html(page, header, lifted.results)
        files.append(page)
    return Done(files, lifted.notes(keypoints.layout))
