"""Poses of a recorded video, refined once all of it is known: zero-phase filters, constant bones.

For results that were not smoothed as they came (`--no-smooth`): a filter that runs both ways has no
lag, which one for live video cannot have. Nothing goes across gaps or from one track to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from poseact.core.layouts import Layout
from poseact.core.types import NO_TRACK, Person, Result

CUTOFF_HZ = 6.0
"""What Sports2D and Pose2Sim take for poses of video."""
ORDER = 4
"""Of the Butterworth filter, both ways together."""
SAVGOL_S, SAVGOL_DEGREE = 0.25, 2
LONGEST_STEP = 1.5
"""Frames further apart than so many usual steps have a gap between them."""

Filter = Callable[[np.ndarray, float], np.ndarray]
"""Columns (T, D) of steps in a row and their rate in Hz -> the same, smoother."""


def butterworth(cutoff_hz: float = CUTOFF_HZ) -> Filter:
    """Zero-phase Butterworth low-pass: forwards and backwards, half of `ORDER` each way.

    What is shorter than the filter's run-up of about 9 frames, or a cut-off beyond half the rate,
    passes unchanged. ValueError for a cut-off that is none.
    """
    if not 0 < cutoff_hz < np.inf:
        raise ValueError(f"the cut-off is a frequency in Hz, more than 0, got {cutoff_hz}")

    from scipy.signal import butter, sosfiltfilt  # half a second to import

    def smooth(columns: np.ndarray, rate_hz: float) -> np.ndarray:
        run_up = 3 * (ORDER // 2 + 1)
        if len(columns) <= run_up or cutoff_hz >= rate_hz / 2:
            return columns
        sections = butter(ORDER // 2, cutoff_hz, fs=rate_hz, output="sos")
        return np.asarray(sosfiltfilt(sections, columns, axis=0, padlen=run_up))

    return smooth


def savitzky_golay(window_s: float = SAVGOL_S) -> Filter:
    """A parabola through every window of so many seconds (Savitzky and Golay, 1964).

    Windows have an odd number of frames, 5 or more; what is shorter passes unchanged. ValueError
    for a window that is none.
    """
    if not 0 < window_s < np.inf:
        raise ValueError(f"the window is seconds, more than 0, got {window_s}")

    from scipy.signal import savgol_filter

    def smooth(columns: np.ndarray, rate_hz: float) -> np.ndarray:
        frames = max(2 * round(window_s * rate_hz / 2) + 1, 5)
        if len(columns) < frames:
            return columns
        return np.asarray(savgol_filter(columns, frames, SAVGOL_DEGREE, axis=0))

    return smooth


def filtered(results: Iterable[Result], smooth: Filter) -> list[Result]:
    """The frames with `xy`, `xyz` and `root` of everyone smoothed, joint by joint.

    Stretches of frames in a row are smoothed, each by itself; people without a track stay as they
    are. Times need not be even: the rate is the usual one of the video.
    """
    frames = list(results)
    step_s = _step_s(frames)

    def every(points: Sequence[np.ndarray | None], times: np.ndarray) -> list[np.ndarray | None]:
        known = [k for k, p in enumerate(points) if p is not None]
        out = list(points)
        for rows in _runs(known, times, step_s):
            column = np.stack([np.asarray(points[k], float) for k in rows])
            smoothed = _by_joint(column.reshape(len(rows), -1), smooth, 1 / step_s)
            for k, values in zip(rows, smoothed.reshape(column.shape)):
                out[k] = values
        return out

    return _each_track(frames, lambda own, times: _moved(own, times, every))


def constant_bones(results: Iterable[Result]) -> list[Result]:
    """The frames with 3D poses whose bones have one length a person, the median of all frames.

    Left and right have the same; directions stay, joints move along, out from the root.
    """
    return _each_track(list(results), lambda own, times: _with_lengths(own))


# ------------------------------------------------------------------------------- one track


def _each_track(
    frames: list[Result], refine: Callable[[list[Person], np.ndarray], list[Person]]
) -> list[Result]:
    tracks: dict[int, list[tuple[int, int]]] = {}
    for t, result in enumerate(frames):
        for n, person in enumerate(result.people):
            if person.track != NO_TRACK:
                tracks.setdefault(person.track, []).append((t, n))
    people = [list(result.people) for result in frames]
    for places in tracks.values():
        own = [people[t][n] for t, n in places]
        times = np.array([frames[t].time_s for t, _ in places])
        for (t, n), person in zip(places, refine(own, times)):
            people[t][n] = person
    return [replace(result, people=tuple(own)) for result, own in zip(frames, people)]


def _moved(own: list[Person], times: np.ndarray, every: Callable[..., list]) -> list[Person]:
    columns = [every([getattr(p, name) for p in own], times) for name in ("xy", "xyz", "root")]
    return [replace(p, xy=xy, xyz=xyz, root=root) for p, xy, xyz, root in zip(own, *columns)]


def _step_s(frames: Sequence[Result]) -> float:
    """From one frame to the next, usually; seconds."""
    steps = np.diff([result.time_s for result in frames])
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 1.0


def _runs(rows: Sequence[int], times: np.ndarray, step_s: float) -> list[list[int]]:
    """The rows in stretches without a gap."""
    runs: list[list[int]] = []
    for k in rows:
        if runs and 0 < times[k] - times[runs[-1][-1]] <= LONGEST_STEP * step_s:
            runs[-1].append(k)
        else:
            runs.append([k])
    return runs


def _by_joint(columns: np.ndarray, smooth: Filter, rate_hz: float) -> np.ndarray:
    """Each column's stretches of known numbers, smoothed."""
    out = columns.copy()
    for k, column in enumerate(columns.T):
        known = np.flatnonzero(np.isfinite(column))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            out[run, k] = smooth(column[run, None], rate_hz)[:, 0]
    return out


def _with_lengths(own: list[Person]) -> list[Person]:
    known = [k for k, person in enumerate(own) if person.xyz is not None]
    if not known:
        return own
    layout = own[known[0]].layout
    poses = np.stack([np.asarray(own[k].xyz, float) for k in known])
    out = list(own)
    for k, pose in zip(known, with_lengths(poses, bone_lengths(poses, layout), layout)):
        out[k] = replace(own[k], xyz=pose)
    return out


def bone_lengths(poses: np.ndarray, layout: Layout) -> np.ndarray:
    """(J,): the median length of the bone from each joint to its parent in poses (T, J, 3).

    Of left and right the mean. The root has 0, a bone that was never seen NaN.
    """
    parents = np.array([j if p < 0 else p for j, p in enumerate(layout.parents)])
    lengths = np.linalg.norm(poses - poses[:, parents], axis=-1)
    seen = np.isfinite(lengths).any(0)
    median = np.full(len(layout), np.nan)
    median[seen] = np.nanmedian(lengths[:, seen], 0)
    both = np.stack([median, median[list(layout.flip)]])
    return np.where(np.isfinite(both).all(0), both.mean(0), median)


def with_lengths(poses: np.ndarray, lengths: np.ndarray, layout: Layout) -> np.ndarray:
    """Poses (T, J, 3) with bones (J,) of these lengths, in the directions that they have."""
    out = poses.copy()
    done = {layout.root}
    while len(done) < len(layout):
        for joint, parent in enumerate(layout.parents):
            if joint not in done and parent in done:
                bone = poses[:, joint] - poses[:, parent]
                size = np.linalg.norm(bone, axis=-1, keepdims=True)
                bone = np.where(size > 0, bone / np.maximum(size, 1e-9) * lengths[joint], bone)
                away = np.isnan(out[:, parent])  # a joint whose parent is unknown stays
                out[:, joint] = np.where(away, poses[:, joint], out[:, parent] + bone)
                done.add(joint)
    return out
