"""Motion capture on a rendered body: joint positions of anyone to rotations of the 22-joint rig.

Only positions are used, so the rest pose and the rotation conventions of the source do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import minimum_filter1d

from poseact.core.layouts import H36M17
from poseact.people.motions import CLEARANCE, Motion
from poseact.people.skeleton import (
    INDEX,
    OFFSETS,
    RIG,
    positions,
    random_offsets,
    rotation_about,
)

_BENT = 0.25  # sine of the bend from which on a limb's own plane gives its twist
_FLAT_M = (0.12, 0.25)  # an ankle so near to the ground has a flat foot .. a free foot
_FLOOR_S = 1.0  # the ground is the lowest that the body comes within this time
_NOISE_M = 0.02  # what a standing body moves up and down in motion capture


@dataclass(frozen=True)
class MocapClip:
    """A clip of motion capture.

    ``position`` (T,17,3) metres, y up, joints in the order of H36M17, with the way of the root;
    ``fps``; ``label`` a coarse action word of the source, not one of ours.
    """

    position: Float[np.ndarray, "t 17 3"]
    fps: float
    name: str
    source: str
    subject: str
    label: str

    def __len__(self) -> int:
        return len(self.position)


def load_mocap(path: str | Path) -> list[MocapClip]:
    """Read the clips of an .npz of motion capture.

    It holds ``rel`` (N,17,3) relative to the pelvis and ``root`` (N,3), metres, y up, H36M17 order;
    the rows ``start`` and ``length`` of each clip; its ``name source subject label``; and ``fps``.
    Raises FileNotFoundError, and ValueError where the joints are others or people lie or are not of
    human size on the whole (another up axis or unit).
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no motion capture at {path}")
    with np.load(path) as archive:
        data = {key: archive[key] for key in archive.files}  # each access would read it again
    absent = {"rel", "root", "start", "length", "fps"} - set(data)
    if absent or data["rel"].shape[1:] != (17, 3):
        raise ValueError(f"{path}: want rel (N,17,3), root, start, length, fps; lacks {absent}")
    _check_axes(data["rel"].astype(np.float64), str(path))
    position = data["rel"].astype(np.float64) + data["root"][:, None]
    clips = []
    for i, (start, length) in enumerate(zip(data["start"], data["length"], strict=True)):
        text = [str(data[key][i]) for key in ("name", "source", "subject", "label")]
        clips.append(MocapClip(position[start : start + length], float(data["fps"]), *text))
    return clips


def _check_axes(relative: Float[np.ndarray, "n 17 3"], path: str) -> None:
    joint = {name: relative[:, i] for i, name in enumerate(H36M17.joints)}
    up = np.median(joint["thorax"] - (joint["l_ankle"] + joint["r_ankle"]) / 2, axis=0)
    if not 0.7 < up[1] < 1.7 or abs(up[1]) < 2 * np.abs(up[[0, 2]]).max():
        raise ValueError(
            f"{path}: ankles to thorax is {up.round(2)}, want about (0, 1.1, 0) metres"
        )
    left = joint["l_hip"] - joint["r_hip"]
    ahead = np.cross(left, joint["thorax"])
    bend = [joint[f"{s}_knee"] - (joint[f"{s}_hip"] + joint[f"{s}_ankle"]) / 2 for s in ("l", "r")]
    if np.mean((bend[0] + bend[1]) * ahead) < 0:
        raise ValueError(f"{path}: knees bend backwards; left and right are exchanged")


def rotations_from_positions(
    position: Float[np.ndarray, "t 22 3"],
) -> Float[np.ndarray, "t 22 3 3"]:
    """Global rotations under which the bones of the rig point as between these joints.

    Twist comes from the hips, the shoulders, and the planes of bent elbows and knees; a straight
    limb keeps its parent's. Wrists follow the forearms. Bone lengths do not matter.
    """
    at = {name: position[:, i] for name, i in INDEX.items()}
    rotation = np.tile(np.eye(3), (*position.shape[:2], 1, 1))
    hips = _unit(at["l_hip"] - at["r_hip"])
    shoulders = _unit(at["l_shoulder"] - at["r_shoulder"])
    for joint, child, across in (
        ("pelvis", "spine", hips),
        ("spine", "chest", hips + shoulders),
        ("chest", "neck", shoulders),
        ("neck", "head", shoulders),
        ("head", "headtop", shoulders),
    ):
        bone = OFFSETS[INDEX[child]]
        tilt = rotation_about(0, -np.arctan2(bone[2], bone[1]))  # of the bone at rest
        rotation[:, INDEX[joint]] = _frame(at[child] - at[joint], across) @ tilt
    rotation[:, INDEX["headtop"]] = rotation[:, INDEX["head"]]
    for side in "lr":
        for limb, trunk, sign in (
            (("shoulder", "elbow", "wrist"), "chest", -1),
            (("hip", "knee", "ankle"), "pelvis", 1),
        ):
            root, hinge, end = (f"{side}_{joint}" for joint in limb)
            upper, lower = at[hinge] - at[root], at[end] - at[hinge]
            axis = _hinge_axis(upper, lower, sign, rotation[:, INDEX[trunk]])
            rotation[:, INDEX[root]] = _frame(-upper, axis)
            rotation[:, INDEX[hinge]] = _frame(-lower, axis)
        for joint in ("wrist", "hand"):
            rotation[:, INDEX[f"{side}_{joint}"]] = rotation[:, INDEX[f"{side}_elbow"]]
        foot = at[f"{side}_toe"] - at[f"{side}_ankle"]
        for joint in ("ankle", "toe"):
            rotation[:, INDEX[f"{side}_{joint}"]] = _foot(foot, rotation[:, INDEX[f"{side}_knee"]])
    return rotation


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def _frame(y: np.ndarray, x: np.ndarray) -> Float[np.ndarray, "t 3 3"]:
    """Rotations whose y axis is along ``y`` and whose x axis is as near to ``x`` as can be."""
    y = _unit(y)
    z = _unit(np.cross(x, y))
    return np.stack([np.cross(y, z), y, z], -1)


def _hinge_axis(upper: np.ndarray, lower: np.ndarray, sign: int, trunk: np.ndarray) -> np.ndarray:
    """The x axis of an elbow (sign -1) or knee (1): across the bend; the trunk's if straight."""
    upper = _unit(upper)
    across = sign * np.cross(upper, _unit(lower))
    bent = np.clip(np.linalg.norm(across, axis=-1, keepdims=True) / _BENT, 0, 1)
    # The trunk's x axis, carried along by the shortest turn from a hanging limb to this one.
    x, y = trunk[..., 0], trunk[..., 1]
    share = (x * upper).sum(-1, keepdims=True)
    carried = x - share / np.maximum(1 - (y * upper).sum(-1, keepdims=True), 1e-3) * (upper - y)
    return _unit(across) * bent + carried * (1 - bent)


def _foot(foot: np.ndarray, shank: Float[np.ndarray, "t 3 3"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations under which the rest foot points along ``foot``, about the axis of the knee."""
    z = _unit(foot)
    x = shank[..., 0] - z * (shank[..., 0] * z).sum(-1, keepdims=True)
    x = _unit(x)
    rest = OFFSETS[INDEX["l_toe"]]
    return np.stack([x, np.cross(z, x), z], -1) @ rotation_about(0, np.arctan2(rest[1], rest[2]))


def motion_from_mocap(
    clip: MocapClip,
    rng: np.random.Generator,
    *,
    start: int,
    frames: int,
    fps: float,
    offsets: Float[np.ndarray, "22 3"] | None = None,
) -> Motion:
    """``frames`` at ``fps`` of a clip from its frame ``start``, on another body.

    The heading is random and half of the motions are mirrored; ``offsets`` (22,3) metres are drawn
    where None. Feet stand on y = 0 where the ground of the clip is; jumps leave it. Hands, feet and
    the turn of the head, which 17 joints do not tell, are filled in.
    Raises ValueError where the clip is too short.
    """
    last = start + (frames - 1) * clip.fps / fps
    if start < 0 or last > len(clip) - 1:
        raise ValueError(
            f"{frames} frames at {fps} fps from frame {start} end at frame {last:.0f}, "
            f"clip {clip.name} has {len(clip)} at {clip.fps} fps"
        )
    if offsets is None:
        offsets = random_offsets(rng)
    # Some time before and after tells where the ground is.
    margin = int(min(_FLOOR_S * fps, start * fps / clip.fps))
    extra = int(min(_FLOOR_S * fps, (len(clip) - 1 - last) * fps / clip.fps))
    when = start + np.arange(-margin, frames + extra) * clip.fps / fps
    source = _resample(clip.position, when)
    if rng.random() < 0.5:
        source = source[:, list(H36M17.flip)] * (-1, 1, 1)
    source = source @ rotation_about(1, rng.uniform(-np.pi, np.pi)).T
    rotation = rotations_from_positions(_rig_from_h36m(source))
    return _on_ground(rotation, source, offsets, fps=fps, keep=slice(margin, margin + frames))


def _on_ground(
    rotation: np.ndarray, source: np.ndarray, offsets: np.ndarray, *, fps: float, keep: slice
) -> Motion:
    """A body with these rotations that goes the way of the source (T,17,3), scaled to its legs."""
    knee, ankle = (H36M17.index(f"l_{joint}") for joint in ("knee", "ankle"))
    hip = H36M17.index("l_hip")
    limbs = np.diff(source[:, [hip, knee, ankle]], axis=1)
    source_leg = np.median(np.linalg.norm(limbs, axis=-1).sum(1))
    leg = np.linalg.norm(offsets[[INDEX["l_knee"], INDEX["l_ankle"]]], axis=-1).sum()
    root = (source[:, 0] - source[keep.start, 0] * (1, 0, 1)) * leg / source_leg
    position = positions(rotation, offsets, root)
    lowest = (position[..., 1] - CLEARANCE).min(1)
    floor = minimum_filter1d(lowest, 2 * int(_FLOOR_S * fps) + 1, mode="nearest")
    position[..., 1] -= np.minimum(lowest, floor + _NOISE_M)[:, None]
    frames = keep.stop - keep.start
    return Motion(
        rotation=rotation[keep],
        position=position[keep],
        phase=np.zeros(frames),
        action=np.full(frames, -1),
        offsets=offsets,
    )


def _resample(position: Float[np.ndarray, "t 17 3"], when: Float[np.ndarray, "n"]) -> np.ndarray:
    """Positions at fractional frames, by linear interpolation."""
    before = np.clip(np.floor(when).astype(int), 0, max(len(position) - 2, 0))
    after = np.minimum(before + 1, len(position) - 1)
    weight = (when - before)[:, None, None]
    return position[before] * (1 - weight) + position[after] * weight


def _rig_from_h36m(source: Float[np.ndarray, "t 17 3"]) -> Float[np.ndarray, "t 22 3"]:
    """The rig's joints from those of H36M17; lengths of what is filled in do not matter."""
    at = {name: source[:, i] for i, name in enumerate(H36M17.joints)}
    # H36M's spine is half-way up, where the rig has its chest; its nose lies on the skull's axis in
    # some sources and in front of it in others, so the neck goes straight to the crown.
    at["chest"] = at["spine"]
    at["spine"] = at["pelvis"] + 0.4 * (at["chest"] - at["pelvis"])
    at["neck"], at["headtop"] = at["thorax"], at["head"]
    at["head"] = at["neck"] + 0.3 * (at["headtop"] - at["neck"])
    floor = np.minimum(at["l_ankle"], at["r_ankle"])[:, 1].min()
    for side in "lr":
        elbow, wrist = at[f"{side}_elbow"], at[f"{side}_wrist"]
        at[f"{side}_hand"] = wrist + 0.6 * (wrist - elbow)
        at[f"{side}_toe"] = at[f"{side}_ankle"]
    partial = np.stack([at[name] for name in RIG], axis=1)
    rotation = rotations_from_positions(partial)
    rest = OFFSETS[INDEX["l_toe"]]
    for side in "lr":
        free = rotation[:, INDEX[f"{side}_knee"]] @ rest
        flat = np.cross(rotation[:, INDEX[f"{side}_knee"], :, 0], (0, 1, 0))
        flat = _unit(flat) * rest[2] + np.array([0, rest[1], 0])
        height = at[f"{side}_ankle"][:, 1] - floor
        weight = np.clip((height - _FLAT_M[0]) / (_FLAT_M[1] - _FLAT_M[0]), 0, 1)[:, None]
        partial[:, INDEX[f"{side}_toe"]] += flat * (1 - weight) + free * weight
    return partial
