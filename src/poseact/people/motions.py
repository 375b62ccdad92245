"""Motions of the rendered people: an action or a sequence of actions, performed by one body.

:mod:`poseact.people.choreography` says what a body does in an action; this file gives it a style, a
handedness and a heading, joins actions, and puts the body on the ground. Metres, y up, ground at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from poseact.people.choreography import CHOREOGRAPHY
from poseact.people.draft import Draft, minimum_jerk
from poseact.people.skeleton import (
    CHANNEL,
    CHANNELS,
    HIGH,
    INDEX,
    LOW,
    RIG,
    forward_kinematics,
    limb_angles,
    limb_channels,
    local_rotations,
    mirror,
    neutral,
    two_bones,
)

ACTIONS: tuple[str, ...] = tuple(CHOREOGRAPHY)

_FLESH = {  # distance of a joint from the skin or sole that touches the ground, metres
    "pelvis": 0.10,
    "spine": 0.10,
    "chest": 0.11,
    "neck": 0.06,
    "head": 0.08,
    "headtop": 0.02,
    "shoulder": 0.06,
    "elbow": 0.04,
    "wrist": 0.03,
    "hand": 0.015,
    "hip": 0.09,
    "knee": 0.055,
    "ankle": 0.08,
    "toe": 0.025,
}
CLEARANCE: np.ndarray = np.array(
    [_FLESH[name[2:] if name[:2] in ("l_", "r_") else name] for name in RIG]
)
_SOFT_M = 0.006  # softness of "the lowest joint", keeps the pelvis from jerking at a change of foot
_GRIP_M = 0.012  # joints this near to the lowest one carry weight and stay where they are
_BLEND_S = 0.5
_BLEND_LYING_S = 1.0
_LYING = ("push_up", "sit_up")


@dataclass(frozen=True)
class Motion:
    """One body in motion.

    ``rotation`` (T,22,3,3) global; ``position`` (T,22,3) metres, y up, ground at 0; ``phase`` (T,)
    in [0,1) of the movement that repeats; ``action`` (T,) index into :data:`ACTIONS`, -1 for none;
    ``offsets`` (22,3) metres, the proportions of the body.
    """

    rotation: Float[np.ndarray, "t 22 3 3"]
    position: Float[np.ndarray, "t 22 3"]
    phase: Float[np.ndarray, "t"]
    action: Int[np.ndarray, "t"]
    offsets: Float[np.ndarray, "22 3"]

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class Angles:
    """Joint angles of a motion whose body has no place in the world yet.

    ``channels`` (T,31) radians inside the joint limits; ``lift`` (T,) metres of air below the body;
    ``travel`` (T,) 1 where feet hold the ground, 0 on the spot (treadmill); ``phase`` (T,).
    """

    channels: Float[np.ndarray, "t 31"]
    lift: Float[np.ndarray, "t"]
    travel: Float[np.ndarray, "t"]
    phase: Float[np.ndarray, "t"]


def perform(
    action: str,
    rng: np.random.Generator,
    *,
    frames: int,
    fps: float,
    offsets: Float[np.ndarray, "22 3"],
    yaw: float | None = None,
    style_noise: float = 1.0,
) -> Motion:
    """One action in a random style, left- or right-handed.

    ``yaw`` is the heading in radians (0 = faces +z), drawn where None; ``style_noise`` scales what
    differs between people and moments beyond the action itself.
    Raises ValueError for an unknown action.
    """
    t = np.arange(frames) / fps
    angles = action_angles(action, rng, t=t, offsets=offsets, style_noise=style_noise)
    if rng.random() < 0.5:
        angles = _mirrored(angles)
    label = np.full(frames, ACTIONS.index(action))
    return _placed(angles, label, offsets, rng.uniform(-np.pi, np.pi) if yaw is None else yaw)


def perform_sequence(
    steps: Sequence[tuple[str, float]],
    rng: np.random.Generator,
    *,
    fps: float,
    offsets: Float[np.ndarray, "22 3"],
    yaw: float | None = None,
    mirrored: bool | None = None,
    treadmill: bool = True,
) -> Motion:
    """Several (action, seconds) by one person, each flowing into the next within 0.5 s.

    To lie down or get up takes 1 s. The label changes in the middle of the transition. ``yaw`` is
    the first heading, later ones differ a little; ``mirrored`` True is a left-handed person, None
    draws; without ``treadmill`` nobody walks on the spot. Raises ValueError for an unknown action,
    no steps or a step without a frame.
    """
    edges = np.concatenate([[0], np.rint(np.cumsum([s for _, s in steps]) * fps)]).astype(int)
    if len(steps) == 0 or np.diff(edges).min() < 1:
        raise ValueError(
            f"steps are (action, seconds) of at least a frame at {fps} fps, got {steps}"
        )
    label = np.repeat([_action_index(name) for name, _ in steps], np.diff(edges))
    frame = np.arange(edges[-1])
    total: Angles | None = None
    for i, (action, _) in enumerate(steps):
        angles = action_angles(action, rng, t=(frame - edges[i]) / fps, offsets=offsets)
        angles.channels[:, CHANNEL["root_yaw"]] += rng.normal(0, 0.3) * (i > 0)
        if total is None:
            total = angles
            continue
        lying = action in _LYING or steps[i - 1][0] in _LYING
        blend = fps * (_BLEND_LYING_S if lying else _BLEND_S)
        total = _blend(total, angles, minimum_jerk((frame - edges[i]) / blend + 0.5))
    assert total is not None
    if not treadmill:
        total = replace(total, travel=np.ones(len(frame)))
    if mirrored or (mirrored is None and rng.random() < 0.5):
        total = _mirrored(total)
    return _placed(total, label, offsets, rng.uniform(-np.pi, np.pi) if yaw is None else yaw)


def action_angles(
    action: str,
    rng: np.random.Generator,
    *,
    t: Float[np.ndarray, "t"],
    offsets: Float[np.ndarray, "22 3"],
    style_noise: float = 1.0,
) -> Angles:
    """The right-handed angles of an action at the times ``t`` in s, styled, inside the limits."""
    draft = Draft(t, offsets)
    CHOREOGRAPHY[ACTIONS[_action_index(action)]](draft, rng)
    _style(draft, rng, style_noise)
    channels = np.clip(draft.channels, LOW, HIGH)
    _level_soles(channels, draft.sole)
    if draft.planted:
        _plant(channels, offsets)
        _level_soles(channels, draft.sole)
    if draft.on_hands:
        _pitch_onto_hands(channels, offsets)
    treadmill = action in ("walk", "run") and rng.random() < 0.35
    travel = np.full(len(t), rng.uniform(0, 0.2) if treadmill else 1.0)
    return Angles(channels=channels, lift=draft.lift, travel=travel, phase=draft.phase)


def _action_index(action: str) -> int:
    if action not in ACTIONS:
        raise ValueError(f"no action {action!r}; there are {', '.join(ACTIONS)}")
    return ACTIONS.index(action)


# ---------------------------------------------------------------------- style
_ARMS = np.array([any(part in n for part in ("shoulder", "elbow", "wrist")) for n in CHANNELS])
_LEGS = np.array([any(part in n for part in ("hip", "knee", "ankle", "roll")) for n in CHANNELS])


def _noise_scale() -> tuple[np.ndarray, np.ndarray]:
    """How much of the constant and of the moving style noise each channel takes."""
    constant, moving = np.ones(len(CHANNELS)), np.full(len(CHANNELS), 0.5)
    constant[_LEGS], moving[_LEGS] = 0.5, 0.06  # more, and feet would slide
    root = [CHANNEL[f"root_{turn}"] for turn in ("yaw", "pitch")]
    constant[root], moving[root] = 0.3, 0.15
    return constant, moving


_CONSTANT_NOISE, _MOVING_NOISE = _noise_scale()


def _style(draft: Draft, rng: np.random.Generator, amount: float) -> None:
    """Add what differs between people and moments: habit, drift, gaze, what idle arms do."""
    spread = amount * np.deg2rad(rng.uniform(2, 7))
    scale = spread * np.where(_ARMS, draft.arm_noise, np.where(_LEGS, draft.leg_noise, 1.0))
    knot = (draft.t - draft.t[0]) / 0.8
    drift = rng.normal(0, 1, (int(knot[-1]) + 2, len(CHANNELS)))
    part = knot.astype(int)
    weight = minimum_jerk(knot - part)[:, None]
    drift = drift[part] * (1 - weight) + drift[part + 1] * weight
    habit = rng.normal(0, 1, len(CHANNELS))
    draft.channels += scale * (habit * _CONSTANT_NOISE + drift * _MOVING_NOISE)
    draft.channels[:, CHANNEL["neck_turn"]] += amount * rng.normal(0, np.deg2rad(18))
    draft.channels[:, CHANNEL["neck_flex"]] += amount * rng.normal(0, np.deg2rad(8))
    for side in "lr":
        if rng.random() < 0.6 * draft.free_arms * amount:
            for name, low, high in (
                ("shoulder_flex", -10, 70),
                ("elbow", 0, 90),
                ("shoulder_turn", -10, 60),
                ("shoulder_abduct", 0, 30),
            ):
                draft.channels[:, CHANNEL[f"{side}_{name}"]] += np.deg2rad(rng.uniform(low, high))


def _plant(channels: np.ndarray, offsets: np.ndarray) -> None:
    """Bend the legs, within their limits, so that the feet do not move apart or turn; in place.

    The way from the feet's middle to the pelvis stays as it is: that is the movement.
    """
    rotation, position = forward_kinematics(
        local_rotations(channels), offsets, np.zeros((len(channels), 3))
    )
    ankle = {side: position[:, INDEX[f"{side}_ankle"]] for side in "lr"}
    middle = (ankle["l"] + ankle["r"]) / 2
    apart = np.median(ankle["l"] - ankle["r"], axis=0)
    to_pelvis = rotation[:, 0]
    for side, sign in (("l", 1), ("r", -1)):
        toes = np.median(position[:, INDEX[f"{side}_toe"]] - ankle[side], axis=0) * (1, 0, 1)
        upper, lower = (
            float(np.linalg.norm(offsets[INDEX[f"{side}_{joint}"]])) for joint in ("knee", "ankle")
        )
        to_ankle = middle + sign * apart / 2 - position[:, INDEX[f"{side}_hip"]]
        bones = two_bones(
            np.einsum("tij,ti->tj", to_pelvis, to_ankle), toes @ to_pelvis, upper=upper, lower=lower
        )
        limb = limb_channels(side, "hip")
        channels[:, limb] = np.clip(limb_angles(side, "hip", *bones), LOW[limb], HIGH[limb])


def _level_soles(channels: np.ndarray, sole: Float[np.ndarray, "t 2"]) -> None:
    """Set the ankles, within their limits, so that the soles have the wanted pitch; in place."""
    for i, side in enumerate("lr"):
        hip, knee, ankle = (CHANNEL[f"{side}_{name}"] for name in ("hip_flex", "knee", "ankle"))
        shank = channels[:, knee] - channels[:, hip] + channels[:, CHANNEL["root_pitch"]]
        angle = np.where(np.isnan(sole[:, i]), channels[:, ankle], sole[:, i] - shank)
        channels[:, ankle] = np.clip(angle, LOW[ankle], HIGH[ankle])


_HANDS = [INDEX[f"{side}_{joint}"] for side in "lr" for joint in ("wrist", "hand")]
_TOES = [INDEX["l_toe"], INDEX["r_toe"]]


def _pitch_onto_hands(channels: np.ndarray, offsets: np.ndarray) -> None:
    """Pitch the body so that its hands and its toes touch the ground together; in place."""
    everywhen = np.arange(len(channels))
    for _ in range(2):  # the pitch may change which hand is the lowest
        _, position = forward_kinematics(
            local_rotations(channels), offsets, np.zeros((len(channels), 3))
        )
        height = position[..., 1] - CLEARANCE
        hand = np.array(_HANDS)[height[:, _HANDS].argmin(1)]
        toe = np.array(_TOES)[height[:, _TOES].argmin(1)]
        _, y, z = (position[everywhen, hand] - position[everywhen, toe]).T
        rise = CLEARANCE[hand] - CLEARANCE[toe]
        channels[:, CHANNEL["root_pitch"]] += np.arctan2(y, z) - np.arcsin(rise / np.hypot(y, z))


def _mirrored(angles: Angles) -> Angles:
    return Angles(
        channels=mirror(angles.channels), lift=angles.lift, travel=angles.travel, phase=angles.phase
    )


def _blend(first: Angles, second: Angles, weight: Float[np.ndarray, "t"]) -> Angles:
    """From one into another; angles go through the joint limits' box, so they stay inside."""
    w = weight[:, None]
    return Angles(
        channels=first.channels * (1 - w) + second.channels * w,
        lift=first.lift * (1 - weight) + second.lift * weight,
        travel=first.travel * (1 - weight) + second.travel * weight,
        phase=np.where(weight < 0.5, first.phase, second.phase),
    )


# ---------------------------------------------------------------------- the ground
def _placed(angles: Angles, label: np.ndarray, offsets: np.ndarray, yaw: float) -> Motion:
    channels = angles.channels.copy()
    channels[:, CHANNEL["root_yaw"]] += yaw
    rotation, position = forward_kinematics(
        local_rotations(channels), offsets, np.zeros((len(channels), 3))
    )
    position = position + ground(position, lift=angles.lift, travel=angles.travel)[:, None]
    return Motion(
        rotation=rotation, position=position, phase=angles.phase, action=label, offsets=offsets
    )


def ground(
    position: Float[np.ndarray, "t 22 3"],
    *,
    lift: Float[np.ndarray, "t"],
    travel: Float[np.ndarray, "t"],
) -> Float[np.ndarray, "t 3"]:
    """How to move each frame of a body, posed about its pelvis, so that it stands on the ground.

    Up: the lowest joint touches y = 0 with its flesh, plus ``lift``. Sideways: the joints that
    carry weight hold still, so a stance foot drives the body and both planted feet stay; in the air
    the speed goes on; times ``travel``.
    """
    height = position[..., 1] - CLEARANCE
    lowest = height.min(1)
    above = height - lowest[:, None]
    softly = lowest - _SOFT_M * np.log(np.exp(-above / _SOFT_M).sum(1) / 2)
    weight = np.exp(-above / _GRIP_M)
    weight = np.sqrt(weight[1:] * weight[:-1])[..., None]
    step = -(weight * np.diff(position, axis=0)).sum(1) / weight.sum(1)
    held = (lift[1:] + lift[:-1]) == 0
    if held.any():
        at = np.arange(len(step))
        step = np.stack([np.interp(at, at[held], axis[held]) for axis in step.T], axis=1)
    move = np.zeros((len(position), 3))
    move[1:] = np.cumsum(step * travel[1:, None], axis=0)
    move[:, 1] = lift - np.minimum(softly, lowest)
    return move


# ---------------------------------------------------------------------- poses without an action
def random_poses(
    rng: np.random.Generator, frames: int, *, offsets: Float[np.ndarray, "22 3"]
) -> Motion:
    """Poses of no action, each frame its own, for pose estimation: sport photos are full of them.

    From near standing to the full range of every joint; 12 % lie or pitch, 8 % roll or are upside
    down, 8 % crouch, 8 % are gymnasts' (handstand, bridge, split). Some hang in the air.
    """
    low, high = np.maximum(LOW, -0.3), np.minimum(HIGH, 0.3)  # of the root, which has no limits
    low, high = np.where(np.isinf(LOW), low, LOW), np.where(np.isinf(HIGH), high, HIGH)
    anywhere = low + rng.beta(1.3, 1.6, (frames, len(CHANNELS))) * (high - low)
    share = rng.beta(1.2, 1.6, (frames, 1))
    channels = neutral() + share * (anywhere - neutral())
    channels[:, CHANNEL["root_pitch"]] = rng.normal(0, 0.15, frames)
    channels[:, CHANNEL["root_roll"]] = rng.normal(0, 0.12, frames)
    kind = rng.random(frames)
    lying, rolled = kind < 0.12, (kind >= 0.12) & (kind < 0.20)
    channels[lying, CHANNEL["root_pitch"]] = rng.uniform(-1.7, 1.7, int(lying.sum()))
    channels[rolled, CHANNEL["root_roll"]] = rng.uniform(-np.pi, np.pi, int(rolled.sum()))
    for row in np.flatnonzero((kind >= 0.20) & (kind < 0.36)):
        _gymnastics(channels[row], rng, crouch=bool(kind[row] < 0.28))
    channels[:, CHANNEL["root_yaw"]] = rng.uniform(-np.pi, np.pi, frames)
    channels = np.clip(channels, LOW, HIGH)
    rotation, position = forward_kinematics(
        local_rotations(channels), offsets, np.zeros((frames, 3))
    )
    lift = np.where(rng.random(frames) < 0.15, rng.uniform(0, 0.4, frames), 0.0)
    position = position + ground(position, lift=lift, travel=np.zeros(frames))[:, None]
    return Motion(
        rotation=rotation,
        position=position,
        phase=np.zeros(frames),
        action=np.full(frames, -1),
        offsets=offsets,
    )


_CROUCH = {"root_pitch": 30, "hip_flex": 115, "knee": 115, "ankle": -15, "spine_flex": 30}
_STRAIGHT_ARMS_UP = {"shoulder_flex": 170, "shoulder_abduct": 8, "shoulder_turn": 0, "elbow": 5}
_GYMNASTS = (  # degrees; channels that are not named keep what they have
    {"root_pitch": 175, "hip_flex": 5, "knee": 5, "ankle": 35, **_STRAIGHT_ARMS_UP},  # handstand
    {
        "root_pitch": -95,
        "spine_flex": -30,
        "hip_flex": -25,
        "knee": 75,
        **_STRAIGHT_ARMS_UP,
    },  # bridge
    {"root_pitch": 15, "l_hip_flex": 105, "r_hip_flex": -30, "knee": 5, "hip_abduct": 5},  # split
    {"root_pitch": 170, "hip_abduct": 50, "knee": 5, **_STRAIGHT_ARMS_UP},  # handstand, straddled
    {
        "root_roll": 90,
        "hip_abduct": 45,
        "knee": 3,
        "spine_flex": 0,
        "shoulder_abduct": 150,
    },  # wheel
)


def _gymnastics(
    channels: Float[np.ndarray, "31"], rng: np.random.Generator, *, crouch: bool
) -> None:
    """Overwrite a pose by a crouch or a gymnast's pose, give or take some degrees; in place."""
    pose = _CROUCH if crouch else _GYMNASTS[rng.integers(len(_GYMNASTS))]
    for name, degrees in pose.items():
        for channel in (name,) if name in CHANNEL else (f"l_{name}", f"r_{name}"):
            channels[CHANNEL[channel]] = np.deg2rad(degrees + rng.normal(0, 10))
    if rng.random() < 0.5:
        channels[:] = mirror(channels)
