"""Enhanced-SPMF: a sequence of 3D skeletons as one RGB picture, for a small image network.

Pham et al., "A Unified Deep Framework for Joint 3D Pose Estimation and Action Recognition from a
Single RGB Camera", 2019, section 3.3; the encoding itself is "Skeleton Posture-Motion Feature",
Pham et al., Sensors 19:1932, 2019. The authors' encoder was never published. What the papers leave
open is a field of `SPMFConfig`, and docs/spmf.md lists it.

    columns        PF 1 | MF 1-2 | PF 2 | MF 2-3 | ... | PF T          2 T - 1 of them
    upper rows     JJD, the distance of every two joints, in the colours JET
    lower rows     JJO, the vector between them, x y z as red green blue

PF is the posture of a frame, MF the motion to the next one. On top: adaptive histogram
equalisation (the "enhanced") and one small size for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from scipy.signal import savgol_filter

from poseact.core.layouts import Layout

WINDOW, ORDER = 5, 2
"""Of the Savitzky-Golay filter: inside, the weights are (-3 12 17 12 -3) / 35."""

SMALLEST_SIDE = 8
"""A map with a shorter side is not enhanced: there is no histogram to speak of."""

_LEVELS = np.arange(256, dtype=np.uint8)[:, None]
JET = cv2.applyColorMap(_LEVELS, cv2.COLORMAP_JET)[:, 0, ::-1]
"""(256, 3) uint8 RGB."""

_ARM = {"shoulder", "elbow", "wrist", "hand", "hand_tip", "thumb"}
_LEG = {"hip", "knee", "ankle", "foot", "heel", "big_toe", "small_toe"}


@dataclass(frozen=True)
class Bounds:
    """What the darkest and brightest values stand for, in the unit of the poses.

    d_max: the longest distance (the shortest is 0). c_min, c_max: of x, y and z together.
    """

    d_max: float
    c_min: float
    c_max: float


@dataclass(frozen=True)
class SPMFConfig:
    """How the picture is made.

    smooth: Savitzky-Golay over time first. orientation: JJO in the unit of the poses, or as unit
    vectors. bones: the length of every joint from its parent that all bodies are given before
    anything else, one a joint of the layout; `dataset_bones` gives those of a training set.
    mf_self: J rows more for a joint's own displacement (0 in PF). order: joints as they stand in
    the layout, or part by part, see `part_order`. bounds: None scales every sequence by itself,
    which makes the picture independent of size; `dataset_bounds` gives those of a training set.
    persons: several persons as one body of more joints, so that the pairs between them count, or as
    pictures one below the other. enhance: equalise the histogram, on tiles (clahe), as a whole (he)
    or not; clip_limit and tiles (per side) are OpenCV's. size: side of the picture in px, None for
    its own (2 T - 1 columns). keep_rows: every pair of joints keeps the row it has, size is the
    width alone. resize: area averages, nearest picks.
    """

    smooth: bool = True
    orientation: Literal["raw", "unit"] = "raw"
    bones: tuple[float, ...] | None = None
    mf_self: bool = False
    order: Literal["native", "parts"] = "native"
    bounds: Bounds | None = None
    persons: Literal["concat", "stack"] = "concat"
    enhance: Literal["none", "he", "clahe"] = "clahe"
    clip_limit: float = 2.0
    tiles: int = 8
    size: int | None = 32
    keep_rows: bool = False
    resize: Literal["area", "nearest"] = "area"

    def __post_init__(self) -> None:
        for name, choices in (
            ("orientation", ("raw", "unit")),
            ("order", ("native", "parts")),
            ("persons", ("concat", "stack")),
            ("enhance", ("none", "he", "clahe")),
            ("resize", ("area", "nearest")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {' or '.join(choices)}, got {getattr(self, name)!r}")
        if self.tiles < 1 or self.clip_limit <= 0 or (self.size is not None and self.size < 1):
            raise ValueError(
                "tiles and size are 1 or more, clip_limit is over 0, "
                f"got {self.tiles}, {self.size}, {self.clip_limit}"
            )


DEFAULT = SPMFConfig()


def spmf(poses: np.ndarray, layout: Layout, *, config: SPMFConfig = DEFAULT) -> np.ndarray:
    """The Enhanced-SPMF of a sequence: uint8 RGB (size, size, 3), (2 N, size, 3) if rows are kept.

    poses: (T, J, 3) in any unit, or (T, P, J, 3) of P persons in one space; NaN is unknown, see
    `complete`. With size None the picture is (2 N, 2 T - 1, 3) for N pairs of joints: 190 for 20
    joints, 435 for two persons of 15. ValueError for other shapes and for a joint never seen.

    >>> from poseact.core.layouts import H36M17
    >>> poses = np.random.default_rng(0).normal(size=(30, 17, 3))
    >>> spmf(poses, H36M17, config=SPMFConfig(size=None)).shape
    (272, 59, 3)
    """
    distance, offset = features(poses, layout, config=config)
    picture = enhance(encode(distance, offset, _bounds(distance, offset, config)), config=config)
    if config.size is None:
        return picture
    height = len(picture) if config.keep_rows else config.size
    return resize(picture, (height, config.size), how=config.resize)


def dataset_bounds(
    sequences: Iterable[np.ndarray], layout: Layout, *, config: SPMFConfig = DEFAULT
) -> Bounds:
    """The bounds of all sequences together, for `SPMFConfig.bounds`; of training data only."""
    own = replace(config, bounds=None)
    found = [_bounds(*features(poses, layout, config=own), own) for poses in sequences]
    if not found:
        raise ValueError("bounds of a data set need a sequence at least, got none")
    return Bounds(
        max(b.d_max for b in found), min(b.c_min for b in found), max(b.c_max for b in found)
    )


def dataset_bones(sequences: Iterable[np.ndarray], layout: Layout) -> tuple[float, ...]:
    """For `SPMFConfig.bones`: the mean over sequences of a bone's median length; of training data.

    Poses as in `spmf`; the root's is 0. ValueError for no sequence at all.
    """
    parents = [j if parent < 0 else parent for j, parent in enumerate(layout.parents)]
    lengths = []
    for poses in sequences:
        poses = complete(poses, layout)
        lengths.append(np.median(_norm(poses - poses[:, :, parents])[..., 0], axis=0).mean(0))
    if not lengths:
        raise ValueError("bones of a data set need a sequence at least, got none")
    return tuple(np.mean(lengths, axis=0).round(4).tolist())


# -------------------------------------------------------------------------------------- the bodies


def complete(poses: np.ndarray, layout: Layout) -> np.ndarray:
    """Poses without gaps: (T, J, 3) or (T, P, J, 3) -> (T', P, J, 3).

    A frame in which nobody has a joint is left out. Other unknown joints (any NaN) lie on the
    straight line, in time, between the frames that know them, and stay where they are before the
    first and after the last. ValueError for a joint that no frame knows, and for no frame at all.
    """
    if poses.ndim == 3:
        poses = poses[:, None]
    if poses.ndim != 4 or poses.shape[2:] != (len(layout), 3):
        raise ValueError(
            f"poses of {layout.name} are (T, {len(layout)}, 3) or (T, P, {len(layout)}, 3), "
            f"got {poses.shape}"
        )
    known = np.asarray(np.isfinite(poses).all(-1))  # T P J
    time = np.flatnonzero(known.any((1, 2)))
    if not len(time):
        raise ValueError(_nothing_known(poses))
    poses, known = poses[time].astype(np.float64), known[time]
    if not (seen := known.any(0)).all():
        person, joint = np.argwhere(~seen)[0]
        raise ValueError(
            f"{(~seen).sum()} of {seen.size} joints are unknown in all {len(time)} frames, e.g. "
            f"{layout.joints[joint]} of person {person + 1}; convert to a layout without them, or "
            "leave the sequence out"
        )
    for person, joint in np.argwhere(~known.all(0)):
        there = known[:, person, joint]
        path = poses[:, person, joint]
        for axis in range(3):
            path[:, axis] = np.interp(time, time[there], path[there, axis])
    return poses


def _nothing_known(poses: np.ndarray) -> str:
    if len(poses) and np.isfinite(poses[..., :2]).all(-1).any():
        return "z of every joint is unknown; a flat skeleton needs z = 0"
    return f"no joint is known in any of {len(poses)} frames; leave the sequence out"


def with_bones(poses: np.ndarray, layout: Layout, bones: Sequence[float]) -> np.ndarray:
    """Poses (..., J, 3) of bodies whose bones point as before and are so long, from the root on.

    The root stays where it is. A bone of no length stays without. As the limbs in Zanfir et al.,
    "The Moving Pose", ICCV 2013. ValueError unless there is one length a joint.
    """
    if len(bones) != len(layout):
        raise ValueError(f"{layout.name} has {len(layout)} joints, got {len(bones)} bones")
    out = poses.copy()
    for j in sorted(range(len(layout)), key=lambda j: _depth(j, layout)):
        if (parent := layout.parents[j]) >= 0:
            bone = poses[..., j, :] - poses[..., parent, :]
            out[..., j, :] = out[..., parent, :] + bone * (bones[j] / np.maximum(_norm(bone), 1e-9))
    return out


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _depth(j: int, layout: Layout) -> int:
    return 0 if layout.parents[j] < 0 else 1 + _depth(layout.parents[j], layout)


def smooth(poses: np.ndarray) -> np.ndarray:
    """Savitzky-Golay over time (axis 0), the ends held; under five frames there is nothing to do.

    x'_t = (-3 x_{t-2} + 12 x_{t-1} + 17 x_t + 12 x_{t+1} - 3 x_{t+2}) / 35.
    """
    if len(poses) < WINDOW:
        return poses
    return np.asarray(savgol_filter(poses, WINDOW, ORDER, axis=0, mode="nearest"))


def part_order(layout: Layout) -> list[int]:
    """Joints as torso and head, left arm, right arm, left leg, right leg, each from the root on."""

    def part(j: int) -> int:
        word = layout.joints[j].removeprefix("l_").removeprefix("r_")
        limb = 1 if word in _ARM else 3 if word in _LEG else 0
        return limb + (limb > 0 and layout.side(j) == "r")

    return sorted(range(len(layout)), key=lambda j: (part(j), _depth(j, layout)))


# ------------------------------------------------------------------------------------ the features


def pose_features(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """PF: (..., T, J, 3) -> JJD (..., T, N) and JJO (..., T, N, 3) of the N pairs j < k.

    JJD = |p_j - p_k|, JJO = p_j - p_k; pairs in the order (0, 1), (0, 2), ..., (J - 2, J - 1).
    """
    j, k = np.triu_indices(poses.shape[-2], 1)
    return _apart(poses[..., j, :], poses[..., k, :])


def motion_features(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MF: (..., T, J, 3) -> JJD (..., T - 1, N) and JJO (..., T - 1, N, 3).

    As `pose_features`, between p_j of a frame and p_k of the next.
    """
    j, k = np.triu_indices(poses.shape[-2], 1)
    return _apart(poses[..., :-1, j, :], poses[..., 1:, k, :])


def features(
    poses: np.ndarray, layout: Layout, *, config: SPMFConfig = DEFAULT
) -> tuple[np.ndarray, np.ndarray]:
    """JJD (G, 2 T - 1, N) and JJO (G, 2 T - 1, N, 3): postures and motions alternate in time.

    G is 1, or the number of persons if they are stacked. Poses as in `spmf`.
    """
    poses = complete(poses, layout)  # T P J 3
    if config.bones is not None:
        poses = with_bones(poses, layout, config.bones)
    if config.order == "parts":
        poses = poses[:, :, part_order(layout)]
    if config.smooth:
        poses = smooth(poses)
    groups = poses.shape[1] if config.persons == "stack" else 1
    bodies = poses.reshape(len(poses), groups, -1, 3).swapaxes(0, 1)  # G T J 3
    still, moving = pose_features(bodies), motion_features(bodies)
    if config.mf_self:
        own = _apart(bodies[:, :-1], bodies[:, 1:])
        still = tuple(_with_rows(f, np.zeros_like(f[:, :, : bodies.shape[2]])) for f in still)
        moving = tuple(map(_with_rows, moving, own))
    distance, offset = map(_take_turns, still, moving)
    if config.orientation == "unit":
        offset = np.divide(
            offset, distance[..., None], out=np.zeros_like(offset), where=distance[..., None] > 0
        )
    return distance, offset


def _apart(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    offset = a - b
    return np.sqrt(np.einsum("...c,...c->...", offset, offset)), offset


def _with_rows(pairs: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.concatenate([pairs, own], axis=2)


def _take_turns(still: np.ndarray, moving: np.ndarray) -> np.ndarray:
    out = np.empty((len(still), still.shape[1] + moving.shape[1], *still.shape[2:]))
    out[:, ::2], out[:, 1::2] = still, moving
    return out


# ------------------------------------------------------------------------------------- the picture


def _bounds(distance: np.ndarray, offset: np.ndarray, config: SPMFConfig) -> Bounds:
    own = config.bounds or Bounds(float(distance.max()), float(offset.min()), float(offset.max()))
    return own if config.orientation == "raw" else replace(own, c_min=-1.0, c_max=1.0)


def encode(distance: np.ndarray, offset: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Colours of `features`: uint8 RGB (G 2 N, 2 T - 1, 3), JJD over JJO for each of the groups.

    JJD: round(255 d / d_max) in JET. JJO: floor(255 (o - c_min) / (c_max - c_min)), x y z as red
    green blue. Values beyond the bounds are cut; an empty range gives 0.
    """
    levels = np.rint(_unit_range(distance, 0.0, bounds.d_max) * 255).astype(np.uint8)
    colours = np.floor(_unit_range(offset, bounds.c_min, bounds.c_max) * 255).astype(np.uint8)
    rows = np.concatenate([JET[levels], colours], axis=2)  # G 2T-1 2N 3
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(-1, distance.shape[1], 3)


def _unit_range(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((x - low) / (high - low), 0, 1) if high > low else np.zeros_like(x)


def enhance(picture: np.ndarray, *, config: SPMFConfig = DEFAULT) -> np.ndarray:
    """Histogram equalisation of the value (HSV) of uint8 RGB, as `config.enhance` says."""
    height, width = picture.shape[:2]
    if config.enhance == "none" or min(height, width) < SMALLEST_SIDE:
        return picture
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    value = np.ascontiguousarray(hsv[..., 2])
    if config.enhance == "he":
        hsv[..., 2] = cv2.equalizeHist(value)
    else:
        tiles = min(config.tiles, width), min(config.tiles, height)
        hsv[..., 2] = cv2.createCLAHE(config.clip_limit, tiles).apply(value)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def resize(
    picture: np.ndarray, size: tuple[int, int], *, how: Literal["area", "nearest"] = "area"
) -> np.ndarray:
    """(H, W, 3) -> (height, width, 3), size is (height, width).

    area: means along a side that shrinks; a side that grows is interpolated. One side at a time,
    since OpenCV averages only if both shrink. nearest: pixels as they are.
    """

    def along(old: int, new: int) -> int:
        if how == "nearest":
            return cv2.INTER_NEAREST
        return cv2.INTER_AREA if old >= new else cv2.INTER_LINEAR

    height, width = picture.shape[:2]
    picture = cv2.resize(picture, (width, size[0]), interpolation=along(height, size[0]))
    return cv2.resize(picture, (size[1], size[0]), interpolation=along(width, size[1]))


# ------------------------------------------------------------------------------------ augmentation


@dataclass(frozen=True)
class Augment:
    """Ranges of training's augmentation; 0 (for `keep`: 1) switches a part off.

    Of the skeletons: yaw_rad turns about the vertical (y), +-. noise is the deviation of every
    joint, in torsos. keep is the least share of the frames that a random cut in time leaves.
    mirror and swap are the shares of sequences that are mirrored left to right and whose persons
    change places. Of the picture: margin is by how many px it is larger before it is cut (rows that
    are kept are not cut). reverse is the share reversed in time, without the classes of
    `directed` (approaching is departing backwards). upside_down is the share with JJD below JJO.
    """

    yaw_rad: float = float(np.deg2rad(30))
    noise: float = 0.01
    keep: float = 0.8
    mirror: float = 0.5
    swap: float = 0.5
    margin: int = 8
    reverse: float = 0.5
    directed: tuple[int, ...] = ()
    upside_down: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.mirror, self.swap, self.reverse, self.upside_down)
        if not all(0 <= share <= 1 for share in shares) or not 0 < self.keep <= 1:
            raise ValueError(
                "keep is over 0 and at most 1; mirror, swap, reverse and upside_down are shares "
                f"within 0-1; got {self.keep} and {shares}"
            )
        if self.noise < 0 or self.margin < 0:
            raise ValueError(
                f"noise and margin are 0 or more, got {self.noise} and {self.margin} px"
            )

    def poses(self, poses: np.ndarray, layout: Layout, rng: np.random.Generator) -> np.ndarray:
        """A random version: (T, J, 3) or (T, P, J, 3) -> the same, fewer frames; NaN stays NaN."""
        length = rng.integers(np.ceil(self.keep * len(poses)), len(poses), endpoint=True)
        start = rng.integers(len(poses) - length, endpoint=True)
        poses = turn(poses[start : start + length], self.yaw_rad * rng.uniform(-1, 1))
        if rng.random() < self.mirror:
            poses = mirrored(poses, layout)
        if rng.random() < self.swap and poses.ndim == 4:
            poses = poses[:, ::-1]
        if not self.noise:
            return poses
        return poses + rng.normal(0, self.noise * torso_length(poses, layout), poses.shape)

    def picture(
        self,
        picture: np.ndarray,
        rng: np.random.Generator,
        *,
        action: int | None = None,
        keep_rows: bool = False,
    ) -> np.ndarray:
        """A random version: (H, W, 3) -> (H - margin, W - margin, 3), cut, perhaps reversed; with
        rows kept (H, W - margin, 3)."""
        top, left = rng.integers(self.margin, size=2, endpoint=True)
        height, width = (side - self.margin for side in picture.shape[:2])
        if not keep_rows:
            picture = picture[top : top + height]
        picture = picture[:, left : left + width]
        backwards = rng.random() < self.reverse and action not in self.directed
        upside_down = rng.random() < self.upside_down
        return np.ascontiguousarray(picture[:: -1 if upside_down else 1, :: -1 if backwards else 1])


def augmented(
    poses: np.ndarray,
    layout: Layout,
    rng: np.random.Generator,
    *,
    config: SPMFConfig = DEFAULT,
    augment: Augment,
    action: int | None = None,
) -> np.ndarray:
    """An augmented `spmf` for training, of the same size: drawn larger by the margin, then cut."""
    if config.size is None:
        raise ValueError("augmented pictures need a size, e.g. 32")
    if config.bones is not None:
        poses = with_bones(complete(poses, layout), layout, config.bones)
    larger = replace(config, size=config.size + augment.margin, bones=None)
    picture = spmf(augment.poses(poses, layout, rng), layout, config=larger)
    return augment.picture(picture, rng, action=action, keep_rows=config.keep_rows)


def turn(poses: np.ndarray, yaw_rad: float) -> np.ndarray:
    """(..., 3) turned about the y axis of the camera."""
    sin, cos = np.sin(yaw_rad), np.cos(yaw_rad)
    return poses @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


def mirrored(poses: np.ndarray, layout: Layout) -> np.ndarray:
    """(..., J, 3) with x negative and left and right joints exchanged: the other-handed person."""
    return poses[..., list(layout.flip), :] * np.array([-1.0, 1.0, 1.0])


def torso_length(poses: np.ndarray, layout: Layout) -> float:
    """Median distance, where known, from the middle of the shoulders to that of the hips."""
    shoulders, hips = (
        poses[..., [layout.index(f"l_{joint}"), layout.index(f"r_{joint}")], :].mean(-2)
        for joint in ("shoulder", "hip")
    )
    lengths = np.linalg.norm(shoulders - hips, axis=-1)
    if not np.isfinite(lengths).any():
        raise ValueError("no frame knows both shoulders and both hips; augment with noise=0")
    return float(np.nanmedian(lengths))
