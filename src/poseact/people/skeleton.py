"""The 22-joint skeleton of the rendered people: proportions, joint angles, forward kinematics.

Metres, y up. At rest the person stands with hanging arms, faces +z, and has the left side at +x:

                      headtop
                       head            skull base (MPII "upper neck")
    r_shoulder--------- neck ---------l_shoulder        base of the neck, C7 (MPII "thorax")
    r_elbow            chest           l_elbow
    r_wrist            spine           l_wrist               y
    r_hand     r_hip  pelvis  l_hip    l_hand                |
              r_knee         l_knee                     -x --+-- +x   (+z towards the reader)
             r_ankle         l_ankle
               r_toe         l_toe

A pose is 31 angles ("channels") that a person can read: ``l_shoulder_flex``, ``r_knee``,
``spine_turn``. Both sides share their signs (flexion and abduction are positive left and right), so
a mirror image is an exchange of channels plus six changes of sign.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from poseact.core.layouts import layout_named

RIG: tuple[str, ...] = (
    *("pelvis", "spine", "chest", "neck", "head", "headtop"),
    *("l_shoulder", "l_elbow", "l_wrist", "l_hand"),
    *("r_shoulder", "r_elbow", "r_wrist", "r_hand"),
    *("l_hip", "l_knee", "l_ankle", "l_toe"),
    *("r_hip", "r_knee", "r_ankle", "r_toe"),
)
INDEX: dict[str, int] = {name: i for i, name in enumerate(RIG)}
PARENT: tuple[int, ...] = (
    *(-1, 0, 1, 2, 3, 4),
    *(2, 6, 7, 8),
    *(2, 10, 11, 12),
    *(0, 14, 15, 16),
    *(0, 18, 19, 20),
)

_REST = {  # offset from the parent joint, metres; the right side has -x
    "pelvis": (0, 0, 0),
    "spine": (0, 0.10, 0),
    "chest": (0, 0.16, -0.005),
    "neck": (0, 0.25, -0.005),
    "head": (0, 0.085, 0.015),
    "headtop": (0, 0.20, 0.015),
    "l_shoulder": (0.175, 0.195, 0),
    "l_elbow": (0, -0.285, 0),
    "l_wrist": (0, -0.255, 0),
    "l_hand": (0, -0.17, 0),
    "l_hip": (0.093, -0.045, 0),
    "l_knee": (0, -0.425, 0),
    "l_ankle": (0, -0.42, 0),
    "l_toe": (0, -0.055, 0.20),
}


def opposite(name: str) -> str:
    """The name of the joint or channel on the other side of the body.

    >>> opposite("l_knee"), opposite("pelvis")
    ('r_knee', 'pelvis')
    """
    return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


def _rest_offset(name: str) -> tuple[float, float, float]:
    if name in _REST:
        return _REST[name]
    x, y, z = _REST[opposite(name)]
    return -x, y, z


OFFSETS: np.ndarray = np.array([_rest_offset(name) for name in RIG], np.float64)
MIRROR: np.ndarray = np.array([INDEX[opposite(name)] for name in RIG])

# ---------------------------------------------------------------------- channels
_FREE = (-np.inf, np.inf)
_TRUNK_LIMITS = {  # degrees
    "root_yaw": _FREE,
    "root_pitch": _FREE,
    "root_roll": _FREE,
    "spine_flex": (-35, 85),
    "spine_side": (-30, 30),
    "spine_turn": (-45, 45),
    "neck_flex": (-40, 45),
    "neck_side": (-25, 25),
    "neck_turn": (-60, 60),
}
_SIDE_LIMITS = {  # degrees
    "shoulder_flex": (-60, 180),
    "shoulder_abduct": (-30, 175),
    "shoulder_turn": (-90, 90),
    "elbow": (0, 145),
    "wrist_flex": (-85, 85),
    "wrist_abduct": (-20, 20),
    "hip_flex": (-30, 125),
    "hip_abduct": (-20, 60),
    "hip_turn": (-35, 35),
    "knee": (0, 145),
    "ankle": (-25, 45),
}
_LIMITS: dict[str, tuple[float, float]] = {
    **_TRUNK_LIMITS,
    **{f"{side}_{name}": limit for side in "lr" for name, limit in _SIDE_LIMITS.items()},
}
CHANNELS: tuple[str, ...] = tuple(_LIMITS)
CHANNEL: dict[str, int] = {name: i for i, name in enumerate(CHANNELS)}
LOW: np.ndarray = np.deg2rad([limit[0] for limit in _LIMITS.values()])
HIGH: np.ndarray = np.deg2rad([limit[1] for limit in _LIMITS.values()])

_MIRROR_CHANNEL = np.array([CHANNEL[opposite(name)] for name in CHANNELS])
_TURNS_OVER = ("_yaw", "_roll", "_side", "spine_turn", "neck_turn")
_MIRROR_SIGN = np.array([-1.0 if name.endswith(_TURNS_OVER) else 1.0 for name in CHANNELS])


def neutral() -> Float[np.ndarray, "31"]:
    """The channels of relaxed standing, radians."""
    channels = np.zeros(len(CHANNELS))
    for side in "lr":
        channels[CHANNEL[f"{side}_shoulder_abduct"]] = np.deg2rad(8)
        channels[CHANNEL[f"{side}_elbow"]] = np.deg2rad(12)
        channels[CHANNEL[f"{side}_hip_abduct"]] = np.deg2rad(3)
    return channels


def mirror(channels: Float[np.ndarray, "*t 31"]) -> Float[np.ndarray, "*t 31"]:
    """Exchange left and right: the pose of the person's mirror image (in the plane x = 0)."""
    return channels[..., _MIRROR_CHANNEL] * _MIRROR_SIGN


def random_offsets(rng: np.random.Generator) -> Float[np.ndarray, "22 3"]:
    """Sample the proportions and the stature of a person, symmetric left to right; metres."""
    leg, arm, torso, head = rng.normal(1, (0.045, 0.05, 0.04, 0.04))
    shoulder, hip = rng.normal(1, 0.08, 2)
    offsets = OFFSETS.copy()
    for name, i in INDEX.items():
        part = name[2:]
        if part in ("knee", "ankle", "toe"):
            offsets[i] *= leg
        elif part in ("elbow", "wrist", "hand"):
            offsets[i] *= arm
        elif part == "shoulder":
            offsets[i] *= (shoulder, torso, 1)
        elif part == "hip":
            offsets[i] *= (hip, 1, 1)
        elif name in ("head", "headtop"):
            offsets[i] *= head
        else:
            offsets[i] *= torso
    return offsets * np.clip(rng.normal(1, 0.065), 0.78, 1.18)


# ---------------------------------------------------------------------- kinematics
def rotation_about(
    axis: int, angle: Float[np.ndarray, "*n"] | float
) -> Float[np.ndarray, "*n 3 3"]:
    """Right-handed rotation matrices about coordinate axis 0, 1 or 2 by ``angle`` radians."""
    angle = np.asarray(angle, np.float64)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*angle.shape, 3, 3))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = cos
    matrix[..., i, j], matrix[..., j, i] = -sin, sin
    return matrix


def _angle_table() -> Float[np.ndarray, "31 66"]:
    """The linear map from channels to the angles of every joint about its x, y and z axes."""
    table = np.zeros((len(CHANNELS), len(RIG), 3))

    def drives(channel: str, joint: str, axis: int, weight: float) -> None:
        table[CHANNEL[channel], INDEX[joint], axis] = weight

    for joint, channel, weight in (
        ("spine", "spine", 0.4),
        ("chest", "spine", 0.6),
        ("neck", "neck", 0.4),
        ("head", "neck", 0.6),
    ):
        for axis, motion in enumerate(("flex", "turn", "side")):
            drives(f"{channel}_{motion}", joint, axis, weight)
    for axis, motion in enumerate(("pitch", "yaw", "roll")):
        drives(f"root_{motion}", "pelvis", axis, 1)
    for side, sign in (("l", 1), ("r", -1)):
        for joint, turn in (("shoulder", -sign), ("hip", sign)):
            drives(f"{side}_{joint}_flex", f"{side}_{joint}", 0, -1)
            drives(f"{side}_{joint}_turn", f"{side}_{joint}", 1, turn)  # shoulder in, hip out
            drives(f"{side}_{joint}_abduct", f"{side}_{joint}", 2, sign)
        drives(f"{side}_elbow", f"{side}_elbow", 0, -1)
        drives(f"{side}_wrist_flex", f"{side}_wrist", 0, -1)
        drives(f"{side}_wrist_abduct", f"{side}_wrist", 2, sign)
        drives(f"{side}_knee", f"{side}_knee", 0, 1)
        drives(f"{side}_ankle", f"{side}_ankle", 0, 1)  # positive points the toes
    return table.reshape(len(CHANNELS), -1)


_ANGLES = _angle_table()
_TRUNK = slice(0, 6)  # turns about y, then x, then z
_ARMS = slice(6, 14)  # about z, then x, then y: abduction is seen from the trunk
_LEGS = slice(14, 22)  # about x, then z, then y: a flexed hip can still open sideways


def local_rotations(channels: Float[np.ndarray, "t 31"]) -> Float[np.ndarray, "t 22 3 3"]:
    """Rotation of every joint relative to its parent joint, from channels in radians."""
    angle = (channels @ _ANGLES).reshape(len(channels), len(RIG), 3)
    about_x, about_y, about_z = (rotation_about(axis, angle[..., axis]) for axis in range(3))
    local = np.empty((len(channels), len(RIG), 3, 3))
    local[:, _TRUNK] = about_y[:, _TRUNK] @ about_x[:, _TRUNK] @ about_z[:, _TRUNK]
    local[:, _ARMS] = about_z[:, _ARMS] @ about_x[:, _ARMS] @ about_y[:, _ARMS]
    local[:, _LEGS] = about_x[:, _LEGS] @ about_z[:, _LEGS] @ about_y[:, _LEGS]
    return local


def forward_kinematics(
    local: Float[np.ndarray, "t 22 3 3"],
    offsets: Float[np.ndarray, "22 3"],
    root: Float[np.ndarray, "t 3"],
) -> tuple[Float[np.ndarray, "t 22 3 3"], Float[np.ndarray, "t 22 3"]]:
    """Chain local rotations from the pelvis outwards.

    ``root`` is the pelvis position. Returns the global rotations and the positions of all joints;
    all lengths in metres.
    """
    rotation = np.empty_like(local)
    rotation[:, 0] = local[:, 0]
    for j, parent in enumerate(PARENT[1:], start=1):
        rotation[:, j] = rotation[:, parent] @ local[:, j]
    return rotation, positions(rotation, offsets, root)


def positions(
    rotation: Float[np.ndarray, "t 22 3 3"],
    offsets: Float[np.ndarray, "22 3"],
    root: Float[np.ndarray, "t 3"],
) -> Float[np.ndarray, "t 22 3"]:
    """Joint positions in metres of a body with these global rotations and bone ``offsets``."""
    position = np.empty(rotation.shape[:3])
    position[:, 0] = root
    for j, parent in enumerate(PARENT[1:], start=1):
        position[:, j] = position[:, parent] + rotation[:, parent] @ offsets[j]
    return position


# ---------------------------------------------------------------------- inverse kinematics
_HINGE = {"shoulder": "elbow", "hip": "knee"}


def limb_channels(side: str, limb: str) -> list[int]:
    """Indices of flex, abduct, turn and hinge of a limb; ``limb`` is its root, shoulder or hip."""
    names = [f"{side}_{limb}_{motion}" for motion in ("flex", "abduct", "turn")]
    return [CHANNEL[name] for name in (*names, f"{side}_{_HINGE[limb]}")]


def two_bones(
    to_end: Float[np.ndarray, "t 3"],
    pole: Float[np.ndarray, "*t 3"],
    *,
    upper: float,
    lower: float,
) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t 3"]]:
    """Unit directions of two bones of these lengths from a limb's root to its end.

    ``to_end`` is the way from root to end, ``pole`` where the hinge between the bones points. What
    is too far or too near is approached along ``to_end``.
    """
    distance = np.linalg.norm(to_end, axis=1, keepdims=True)
    along = to_end / distance
    distance = np.clip(distance, abs(upper - lower) + 0.05, 0.998 * (upper + lower))
    cos = (upper**2 + distance**2 - lower**2) / (2 * upper * distance)
    across = pole - along * (along * pole).sum(1, keepdims=True)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    first = along * cos + across * np.sqrt(1 - cos**2)
    return first, (along * distance - first * upper) / lower


def limb_angles(
    side: str, limb: str, upper: Float[np.ndarray, "t 3"], lower: Float[np.ndarray, "t 3"]
) -> Float[np.ndarray, "t 4"]:
    """Flex, abduct, turn and hinge of a limb whose bones point like this in its parent's frame.

    Of the two triples of angles that make the same shoulder it is the one nearer to the joint
    limits; nothing keeps the answer inside them.
    """
    if limb == "hip":
        return _hip_angles(side, upper, lower)
    sign = 1 if side == "l" else -1
    flex = np.arcsin(np.clip(upper[:, 2], -1, 1))
    abduct = np.arctan2(sign * upper[:, 0], -upper[:, 1])
    frame = rotation_about(2, sign * abduct) @ rotation_about(0, -flex)
    x, y, z = np.einsum("tij,ti->jt", frame, lower)
    turn, bend = np.arctan2(-sign * x, z), np.arctan2(np.hypot(x, z), -y)
    first = np.stack([flex, abduct, turn, bend], 1)
    second = np.stack([np.pi - flex, _wrap(abduct - np.pi), _wrap(turn - np.pi), bend], 1)
    low, high = LOW[limb_channels(side, limb)], HIGH[limb_channels(side, limb)]
    excess = [np.maximum(0, np.maximum(low - a, a - high)).sum(1) for a in (first, second)]
    return np.where((excess[0] <= excess[1])[:, None], first, second)


def _hip_angles(side: str, thigh: np.ndarray, shank: np.ndarray) -> Float[np.ndarray, "t 4"]:
    sign = 1 if side == "l" else -1
    flex = np.arctan2(thigh[:, 2], -thigh[:, 1])
    abduct = np.arcsin(np.clip(sign * thigh[:, 0], -1, 1))
    frame = rotation_about(0, -flex) @ rotation_about(2, sign * abduct)
    x, y, z = np.einsum("tij,ti->jt", frame, shank)
    return np.stack([flex, abduct, np.arctan2(-sign * x, -z), np.arctan2(np.hypot(x, z), -y)], 1)


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi


# ---------------------------------------------------------------------- layouts
_RIG_JOINT = {  # where the names differ
    "thorax": "neck",
    "neck": "head",
    "head": "headtop",
    "nose": "head",
    "l_foot": "l_toe",
    "r_foot": "r_toe",
}
_NOSE = (0.0, 0.035, 0.105)  # in the frame of the skull base, metres
# Annotators mark the hip on the skin, lateral of and above the femoral head (pelvis frame, metres).
_MARKED_HIP = {"l_hip": (0.02, 0.02, 0.0), "r_hip": (-0.02, 0.02, 0.0)}
_MIDDLE_OF_HEAD = ("MSR20", "UTD20", "SBU15", "NTU25")


def to_layout(
    position: Float[np.ndarray, "t 22 3"], rotation: Float[np.ndarray, "t 22 3 3"], layout: str
) -> Float[np.ndarray, "t j 3"]:
    """The joints that annotators of a data set would mark, in the order of ``layout``; metres.

    ``layout`` is the name of one in :mod:`poseact.core.layouts`. "thorax" is the base of the neck,
    "neck" the skull base, "head" the crown; hips lie 2 cm lateral of and above the rig's.
    Raises ValueError for an unknown layout and for one with joints the rig has not (eyes, thumbs).
    """
    points = []
    for name in layout_named(layout).joints:
        if _RIG_JOINT.get(name, name) not in INDEX:
            raise ValueError(f"layout {layout} has {name!r}, which the rig cannot make; use PA17")
        point = position[:, INDEX[_RIG_JOINT.get(name, name)]]
        if name == "nose":
            point = point + rotation[:, INDEX["head"]] @ np.array(_NOSE)
        elif name == "head" and layout in _MIDDLE_OF_HEAD:
            point = (point + position[:, INDEX["head"]]) / 2
        elif name in _MARKED_HIP:
            point = point + rotation[:, INDEX["pelvis"]] @ np.array(_MARKED_HIP[name])
        points.append(point)
    return np.stack(points, axis=1)
