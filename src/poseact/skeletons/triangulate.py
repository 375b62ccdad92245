"""Several calibrated cameras: who is who in their results, and where everyone's joints are.

Cameras are synchronous: the same frame number is the same moment. Tracks of two cameras are of one
person if what is triangulated from both projects back to where it was seen. A joint is triangulated
from every pair of cameras; the pair that most cameras agree with wins, and those that agree are
used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from poseact.core.calibration import CalibratedCamera
from poseact.core.types import LEAST_SCORE, Result

ALIKE = 0.03
"""Median error of reprojection, over the size of the box, up to which two tracks are one person."""
COMMON = 5
"""Fewer common frames do not tell."""
SAMPLES = 200
"""So many common frames are compared at most."""
AGREES = 0.05
"""A camera agrees with a joint that projects back to within this, over the size of the box."""


@dataclass(frozen=True)
class Views:
    """One person as the cameras saw them.

    frames: (T,) rising. xy: (C, T, J, 2) px, NaN unknown; score: (C, T, J), 0 unknown; size: (C, T)
    px of the box.
    """

    frames: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Body:
    """One person in the world. xyz: (T, J, 3) mm, NaN unknown; error_px: (T, J) mean distance of
    what agrees, reprojected; cameras: (T, J) how many agree; tracks: (camera, track) it is of."""

    frames: np.ndarray
    xyz: np.ndarray
    error_px: np.ndarray
    cameras: np.ndarray
    tracks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Track:
    camera: int
    number: int
    xy: dict[int, np.ndarray]
    score: dict[int, np.ndarray]
    size: dict[int, float]


def triangulate(
    cameras: Sequence[CalibratedCamera], results: Sequence[Sequence[Result]]
) -> list[Body]:
    """Everyone whom two cameras or more saw, who was seen longest first.

    results: of each camera, of one layout. ValueError for one camera, or other numbers of both.
    """
    if len(cameras) != len(results) or len(cameras) < 2:
        raise ValueError(
            f"two cameras or more, each with its results: {len(cameras)} cameras, {len(results)}"
        )
    tracks = [t for c, own in enumerate(results) for t in _tracks(c, own)]
    bodies = []
    for group in _matched(cameras, tracks):
        views = _views(len(cameras), [tracks[n] for n in group])
        xyz, error_px, agreeing = joints_in_space(cameras, views.xy, views.score, views.size)
        if np.isfinite(xyz).any():
            own = tuple((tracks[n].camera, tracks[n].number) for n in group)
            bodies.append(Body(views.frames, xyz, error_px, agreeing, own))
    return sorted(bodies, key=lambda b: -len(b.frames))


# ---------------------------------------------------------------------------------- who is who


def _tracks(camera: int, results: Sequence[Result]) -> list[_Track]:
    found: dict[int, _Track] = {}
    for result in results:
        for p in result.people:
            track = found.setdefault(p.track, _Track(camera, p.track, {}, {}, {}))
            track.xy[result.index], track.score[result.index] = p.xy, p.score
            track.size[result.index] = float(np.nanmax([*(p.box[2:] - p.box[:2]), 1.0]))
    return list(found.values())


def _matched(cameras: Sequence[CalibratedCamera], tracks: Sequence[_Track]) -> list[list[int]]:
    """Groups of tracks of one person: the most alike first, never two at once of a camera."""
    pairs = []
    for a, b in combinations(range(len(tracks)), 2):
        if tracks[a].camera != tracks[b].camera:
            error = _unlike(cameras, tracks[a], tracks[b])
            if error <= ALIKE:
                pairs.append((error, a, b))
    group = {n: [n] for n in range(len(tracks))}
    for _, a, b in sorted(pairs):
        if group[a] is group[b] or _at_once(group[a], group[b], tracks):
            continue
        joined = group[a] + group[b]
        group.update(dict.fromkeys(joined, joined))
    unique = {id(g): sorted(g) for g in group.values()}
    return [g for g in unique.values() if len({tracks[n].camera for n in g}) > 1]


def _at_once(a: Sequence[int], b: Sequence[int], tracks: Sequence[_Track]) -> bool:
    return any(
        tracks[n].camera == tracks[k].camera and tracks[n].xy.keys() & tracks[k].xy.keys()
        for n in a
        for k in b
    )


def _unlike(cameras: Sequence[CalibratedCamera], a: _Track, b: _Track) -> float:
    """Median error of reprojection of what two tracks say together, over the boxes' size."""
    common = sorted(a.xy.keys() & b.xy.keys())
    if len(common) < COMMON:
        return float("inf")
    some = common[:: max(len(common) // SAMPLES, 1)]
    pair = [cameras[a.camera], cameras[b.camera]]
    xy = np.stack([[t.xy[f] for f in some] for t in (a, b)])  # 2 T J 2
    score = np.stack([[t.score[f] for f in some] for t in (a, b)])
    seen = (score >= LEAST_SCORE).all(0)
    if not seen.any():
        return float("inf")
    size = np.array([[t.size[f] for f in some] for t in (a, b)])
    xyz = _linear(pair, np.stack([c.plane(p) for c, p in zip(pair, xy)]), np.ones(score.shape))
    error = np.stack([np.linalg.norm(c.project(xyz) - p, axis=-1) for c, p in zip(pair, xy)])
    relative = (error / size[..., None]).max(0)[seen]
    return float(np.median(np.where(np.isfinite(relative), relative, np.inf)))


def _views(count: int, tracks: Sequence[_Track]) -> Views:
    frames = sorted({f for t in tracks for f in t.xy})
    joints = len(next(iter(tracks[0].xy.values())))
    row = {frame: k for k, frame in enumerate(frames)}
    xy = np.full((count, len(frames), joints, 2), np.nan)
    score, size = np.zeros(xy.shape[:-1]), np.ones(xy.shape[:2])
    for track in tracks:
        for frame, points in track.xy.items():
            at = track.camera, row[frame]
            xy[at], size[at] = points, track.size[frame]
            score[at] = np.where(np.isfinite(points).all(-1), np.nan_to_num(track.score[frame]), 0)
    return Views(np.array(frames), xy, score, size)


# ------------------------------------------------------------------------------------- geometry


def joints_in_space(
    cameras: Sequence[CalibratedCamera], xy: np.ndarray, score: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World points (T, J, 3) mm, errors (T, J) px and numbers of cameras (T, J) that agree.

    xy: (C, T, J, 2) px; score: (C, T, J); size: (C, T) px of the person. Unknown without two
    cameras that are sure of the joint and agree.
    """
    plane = np.stack([camera.plane(p) for camera, p in zip(cameras, xy)])
    weight = np.where((score >= LEAST_SCORE) & np.isfinite(plane).all(-1), score, 0.0)
    limit = AGREES * size[..., None]
    best_cost = np.full(xy.shape[1:3], np.inf)
    agrees = np.zeros(weight.shape, bool)
    for a, b in combinations(range(len(cameras)), 2):
        pair = np.zeros(weight.shape)
        pair[[a, b]] = 1.0
        both = (weight[a] > 0) & (weight[b] > 0)
        error = _errors(cameras, _linear(cameras, plane, pair), xy)
        cost = (weight * np.minimum(error / limit, 1.0)).sum(0)
        better = both & (cost < best_cost)
        best_cost = np.where(better, cost, best_cost)
        agrees = np.where(better, (error <= limit) & (weight > 0), agrees)
    xyz = _linear(cameras, plane, np.where(agrees, weight, 0.0))
    xyz[agrees.sum(0) < 2] = np.nan
    error = np.where(agrees, _errors(cameras, xyz, xy), 0.0).sum(0) / np.maximum(agrees.sum(0), 1)
    return xyz, np.where(np.isfinite(xyz).all(-1), error, np.nan), agrees.sum(0)


def _errors(cameras: Sequence[CalibratedCamera], xyz: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(C, T, J) px, inf where it cannot be said."""
    away = [np.linalg.norm(c.project(xyz) - p, axis=-1) for c, p in zip(cameras, xy)]
    return np.nan_to_num(np.stack(away), nan=np.inf)


def _linear(
    cameras: Sequence[CalibratedCamera], plane: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """World points (T, J, 3) of points (C, T, J, 2) of the planes z = 1: the point nearest to all
    rays (direct linear transform), weights (C, T, J); NaN without two."""
    rows = []
    for camera, points, w in zip(cameras, plane, weight):
        p = np.concatenate([camera.R, camera.t[:, None]], 1)  # 3 4
        known = np.where(np.isfinite(points).all(-1) & (w > 0), w, 0.0)[..., None]
        u, v = np.moveaxis(np.nan_to_num(points), -1, 0)
        rows += [known * (u[..., None] * p[2] - p[0]), known * (v[..., None] * p[2] - p[1])]
    system = np.stack(rows, -2)  # T J 2C 4
    system = system / np.array([1, 1, 1, 1000.0])  # mm beside ones: of one size
    _, values, vt = np.linalg.svd(system)
    point = vt[..., -1, :] / np.array([1, 1, 1, 1000.0])
    with np.errstate(all="ignore"):
        xyz = point[..., :3] / point[..., 3:]
    return np.where(values[..., 2:3] > 1e-9, xyz, np.nan)
