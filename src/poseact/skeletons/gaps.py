"""What a lifter learns from: 2D joints and the 3D pose behind them, all in H36M17.

Either records of Human3.6M, or motion capture seen by random cameras. A simulated detector makes of
exact 2D joints what the second stream is to be used to; a joint it misses is filled in by the rule
that `poseact lift` has for the files of real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from poseact.core.layouts import H36M17
from poseact.core.types import Camera, Record
from poseact.evaluate.metrics import root_aligned
from poseact.people.retarget import load_mocap

Split = Literal["train", "val", "test"]

MOCAP_FILES = ("cmu17.npz", "hdm05_17.npz", "mit17.npz")
HELD_OUT: dict[tuple[str, str], Split] = {
    ("cmu", "02"): "val",
    ("hdm05", "mm"): "val",
    ("cmu", "14"): "test",
    ("hdm05", "tr"): "test",
}
"""People of the motion capture whom no training sees; all others are in the train split."""

# Its subjects are not named, so it could share people with any split; its torsos are too short.
_NAMELESS = "cmu_eval8"
_MIRROR = np.array(H36M17.flip)
_LEGS = np.array(
    [j for j, name in enumerate(H36M17.joints) if name[2:] in ("hip", "knee", "ankle")]
)
_ARMS = np.array(
    [j for j, name in enumerate(H36M17.joints) if name[2:] in ("shoulder", "elbow", "wrist")]
)
_SHOULDERS = np.array([j for j, name in enumerate(H36M17.joints) if name[2:] == "shoulder"])
_NOSE, _HEAD = H36M17.index("nose"), H36M17.index("head")
_NEIGHBOURS = np.zeros((17, 17))
for _parent, _child in H36M17.edges:
    _NEIGHBOURS[_parent, _child] = _NEIGHBOURS[_child, _parent] = 1


@dataclass(frozen=True)
class Pairs:
    """N poses. xy: (N, 17, 2) px. xyz: (N, 17, 3) mm, root-relative, camera axes. size: (N, 2)
    width and height of the picture in px.
    """

    xy: np.ndarray
    xyz: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.xy)


# ------------------------------------------------------------------------------ motion capture


def split_of(source: str, subject: str) -> Split | None:
    """The split of a person of the motion capture; None for clips that are left out.

    A person of several sources of one capture ("cmu_bvh", "cmu_amc") is in one split.
    """
    if source == _NAMELESS:
        return None
    return HELD_OUT.get((source.split("_")[0], subject), "train")


def mocap_poses(root: str | Path, split: Split, *, step: int = 1) -> Float[np.ndarray, "n 17 3"]:
    """World mm, y up, about the pelvis, of the split's people; every `step`-th frame of each clip.

    root: the folder of `MOCAP_FILES`, at least one of them. FileNotFoundError if it has none;
    ValueError for a file that `people.retarget.load_mocap` cannot read.
    """
    files = [Path(root) / name for name in MOCAP_FILES if (Path(root) / name).is_file()]
    clips = [clip for file in files for clip in load_mocap(file)]
    poses = [c.position[::step] for c in clips if split_of(c.source, c.subject) == split]
    if not poses:
        raise FileNotFoundError(
            f"{root} has no motion capture of the {split} split; it needs {', '.join(MOCAP_FILES)}"
        )
    return root_aligned(np.concatenate(poses), H36M17.root) * 1000.0


def stretched(
    xyz: Float[np.ndarray, "n 17 3"], rng: np.random.Generator
) -> Float[np.ndarray, "n 17 3"]:
    """The same postures on other bodies: bones longer or shorter, left as right.

    Lengths vary by 5 % together, by 8 % each and by 20 % over the shoulders, as so many clips are
    on the same narrow ones.
    """
    spread = np.full(17, 0.08)
    spread[_SHOULDERS] = 0.2
    factor = np.exp(rng.normal(0, 1, xyz.shape[:2]) * spread)
    factor = (factor + factor[:, _MIRROR]) / 2 * np.exp(rng.normal(0, 0.05, (len(xyz), 1)))
    out = xyz.copy()
    for parent, child in H36M17.edges:  # parents come first
        bone = xyz[:, child] - xyz[:, parent]
        out[:, child] = out[:, parent] + factor[:, child, None] * bone
    return out


# ------------------------------------------------------------------------------------- cameras


@dataclass(frozen=True)
class Views:
    """A pinhole camera for each of N poses, without distortion.

    R: (N, 3, 3) world to camera. t: (N, 3) where it stands, mm. f: (N,) px. size: (N, 2) width and
    height px; the axis goes through the middle of the picture.
    """

    R: np.ndarray
    t: np.ndarray
    f: np.ndarray
    size: np.ndarray

    def see(self, world: Float[np.ndarray, "n 17 3"]) -> Pairs:
        """Each pose by its own camera, as `camera.project` and `camera.to_camera` do."""
        xyz = np.einsum("njk,nik->nji", world - self.t[:, None], self.R)
        xy = xyz[..., :2] / xyz[..., 2:] * self.f[:, None, None] + self.size[:, None] / 2
        relative = root_aligned(xyz, H36M17.root)
        return Pairs(
            xy.astype(np.float32), relative.astype(np.float32), self.size.astype(np.float32)
        )

    def camera(self, n: int) -> Camera:
        """The n-th camera."""
        f, c = np.full(2, self.f[n]), self.size[n] / 2
        return Camera(self.R[n], self.t[n], f, c, np.zeros(3), np.zeros(2))


_SIZES = np.array([(1920, 1080), (1280, 720), (1080, 1920), (640, 480), (1000, 1000)], float)
_NEAREST_MM, _FARTHEST_MM = 1200.0, 15000.0


def random_views(world: Float[np.ndarray, "n 17 3"], rng: np.random.Generator) -> Views:
    """Cameras from all sides, -15 to 60 degrees up, that see each pose (world mm, y up) whole.

    The person takes 0.3 to 0.95 of the shorter side, anywhere in the picture; focal lengths are 0.6
    to 2.5 of the longer side (80 to 23 degrees), and distances follow, but 1.2 m beyond the body
    at least and 15 m at most.
    """
    n = len(world)
    size = _SIZES[rng.integers(len(_SIZES), size=n)]
    f = size.max(1) * np.exp(rng.uniform(np.log(0.6), np.log(2.5), n))
    low, high = world.min(1), world.max(1)
    centre, reach = (low + high) / 2, np.linalg.norm(high - low, axis=-1)
    fill = rng.uniform(0.3, 0.95, n)
    distance = (f * reach / (fill * size.min(1))).clip(reach / 2 + _NEAREST_MM, _FARTHEST_MM)
    azimuth = rng.uniform(-np.pi, np.pi, n)
    elevation = np.deg2rad(rng.normal(8, 14, n).clip(-15, 60))
    away = np.stack(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ],
        -1,
    )
    eye = centre + distance[:, None] * away
    straight = _camera_axes(-away, np.zeros(n))
    slack = np.maximum(size - (f * reach / distance)[:, None], 0) / 2  # px around the person
    shift = rng.uniform(-1, 1, (n, 2)) * slack * (distance / f)[:, None]
    aim = centre + np.einsum("ni,nik->nk", shift, straight[:, :2])
    return Views(_camera_axes(aim - eye, np.deg2rad(rng.normal(0, 3, n))), eye, f, size)


def _camera_axes(forward: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(N, 3, 3), rows right, down, forward, of cameras whose axis is `forward` (N, 3)."""
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * right + sin * down, cos * down - sin * right, forward], 1)


# ------------------------------------------------------------------------------------ detector


@dataclass(frozen=True)
class Detector:
    """A simulated 2D detector. Lengths are shares of the longer side of the person's box.

    jitter: deviation of every joint. stray: share of joints that are off by `stray_far` more.
    swapped_limbs: share of pairs of arms, and of legs, with left and right exchanged;
    swapped_person: of whole people. missing: share of joints. eyes: share of people whose head is
    given by the eyes, as from detectors without a top of the head.
    """

    jitter: float = 0.01
    stray: float = 0.03
    stray_far: float = 0.06
    swapped_limbs: float = 0.02
    swapped_person: float = 0.01
    missing: float = 0.03
    eyes: float = 0.5

    def __call__(
        self, xy: Float[np.ndarray, "n 17 2"], rng: np.random.Generator
    ) -> Float[np.ndarray, "n 17 2"]:
        """What it sees of exact joints in px; NaN where it misses one."""
        n = len(xy)
        out = np.array(xy)
        eyes = rng.random(n) < self.eyes  # a quarter of the way up from the nose
        out[eyes, _HEAD] = 0.75 * out[eyes, _NOSE] + 0.25 * out[eyes, _HEAD]
        for joints, share in (
            (_ARMS, self.swapped_limbs),
            (_LEGS, self.swapped_limbs),
            (np.arange(17), self.swapped_person),
        ):
            rows = np.flatnonzero(rng.random(n) < share)[:, None]
            out[rows, joints] = out[rows, _MIRROR[joints]]
        side = np.ptp(xy, axis=1).max(-1)[:, None, None]
        far = np.where(rng.random((n, 17, 1)) < self.stray, self.stray_far, 0.0) + self.jitter
        out += rng.normal(size=out.shape) * far * side
        out[rng.random((n, 17)) < self.missing] = np.nan
        return out.astype(xy.dtype)


def fill_missing(xy: Float[np.ndarray, "n 17 2"]) -> Float[np.ndarray, "n 17 2"]:
    """Unknown (NaN) joints from their neighbours in the skeleton: the mean of those known.

    Joints farther off are filled from those just filled. A pose without a known joint stays NaN.
    """
    out = np.array(xy)
    for _ in range(17):
        known = np.asarray(np.isfinite(out).all(-1))  # N J
        count = known @ _NEIGHBOURS
        fillable = ~known & (count > 0)
        if not fillable.any():
            break
        total = np.einsum("ij,njd->nid", _NEIGHBOURS, np.where(known[..., None], out, 0))
        mean = total / np.maximum(count, 1)[..., None]
        out = np.where(fillable[..., None], mean, out).astype(xy.dtype)
    return out


def detected(pairs: Pairs, detector: Detector, rng: np.random.Generator) -> Pairs:
    """The same poses with the 2D joints of a simulated detector, filled in where it missed."""
    return Pairs(fill_missing(detector(pairs.xy, rng)), pairs.xyz, pairs.size)


# ---------------------------------------------------------------------------------- Human3.6M

_H36M_SIZES = {"54138969": (1000, 1002), "60457274": (1000, 1002)}  # the other two: 1000 x 1000


def pairs_from_records(records: Sequence[Record]) -> Pairs:
    """Frames of Human3.6M records in H36M17 (`data.h36m.load`, exact or with detections).

    Joints that the detector lacks are filled in. ValueError for other layouts or without 3D.
    """
    if not records or any(r.layout.name != H36M17.name or r.xyz is None for r in records):
        raise ValueError("a lifter learns from records in H36M17 with 3D poses, and there are none")
    sizes = [_H36M_SIZES.get(r.view, (1000, 1000)) for r in records]
    xyz = np.concatenate([r.xyz for r in records if r.xyz is not None])
    return Pairs(
        fill_missing(np.concatenate([r.xy for r in records]).astype(np.float32)),
        root_aligned(xyz, H36M17.root).astype(np.float32),
        np.repeat(np.array(sizes, np.float32), [len(r) for r in records], axis=0),
    )
