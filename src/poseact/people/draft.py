"""The draft of an action: channels over time, curves to fill them, limbs that reach a place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from poseact.people.skeleton import (
    CHANNEL,
    INDEX,
    limb_angles,
    limb_channels,
    neutral,
    two_bones,
)


def minimum_jerk(u: Float[np.ndarray, "*t"]) -> Float[np.ndarray, "*t"]:
    """0 to 1 with zero speed and acceleration at both ends (Flash and Hogan 1985)."""
    u = np.clip(u, 0, 1)
    return u**3 * (10 + u * (6 * u - 15))


def keys(u: np.ndarray, *points: tuple[float, float | Sequence[float]]) -> np.ndarray:
    """Minimum-jerk curve (T,) or (T,D) through (time, value) keys; constant outside them."""
    times = np.array([time for time, _ in points])
    values = np.array([value for _, value in points], np.float64)
    part = np.clip(np.searchsorted(times, u, side="right") - 1, 0, len(times) - 2)
    weight = minimum_jerk((u - times[part]) / (times[part + 1] - times[part]))
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return values[part] + weight * (values[part + 1] - values[part])


def cycle(u: np.ndarray, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Smooth periodic curve (T,) through (phase, value) keys: cubic Hermite, secant slopes."""
    times, values = np.array(points, np.float64).T
    times = np.concatenate([times[-1:] - 1, times, times[:2] + 1])
    values = np.concatenate([values[-1:], values, values[:2]])
    slope = (values[2:] - values[:-2]) / (times[2:] - times[:-2])  # of the keys 1 .. n + 1
    u = u % 1
    part = np.clip(np.searchsorted(times, u, side="right") - 1, 1, len(times) - 3)
    span = times[part + 1] - times[part]
    w = (u - times[part]) / span
    rise = values[part + 1] - values[part]
    start, end = slope[part - 1] * span, slope[part] * span
    return values[part] + w * (
        start + w * (3 * rise - 2 * start - end + w * (start + end - 2 * rise))
    )


class Draft:
    """The part that an action writes: channels, soles, lift, phase over the times ``t`` (T,) in s.

    ``channels`` (T,31) radians; ``sole`` (T,2) pitch of the left and right sole in radians, toes
    down positive, NaN where the ankle is free; ``lift`` (T,) metres above the ground; ``phase``
    (T,) in [0,1); ``on_hands``: the pelvis pitch shall be such that wrists and toes touch the
    ground; ``planted``: the feet shall stay where they are, whatever pelvis and trunk do;
    ``free_arms``: 0..1, how likely the arms do something else; ``arm_noise``, ``leg_noise``: 0..1,
    how much style noise the limbs bear.
    """

    def __init__(self, t: Float[np.ndarray, "t"], offsets: Float[np.ndarray, "22 3"]) -> None:
        self.t = t
        self.offsets = offsets
        self.channels = np.tile(neutral(), (len(t), 1))
        self.sole = np.zeros((len(t), 2))
        self.lift = np.zeros(len(t))
        self.phase = np.zeros(len(t))
        self.on_hands = False
        self.planted = False
        self.free_arms = 0.0
        self.arm_noise = 1.0
        self.leg_noise = 1.0

    def repeat(self, period_s: float, rng: np.random.Generator) -> np.ndarray:
        """Start at a random moment of a movement that takes ``period_s``; its phase (T,)."""
        self.phase = (self.t / period_s + rng.random()) % 1.0
        return self.phase

    def set(self, **degrees: np.ndarray | float) -> None:
        """Set channels in degrees by name; a name without its side sets both sides."""
        for name, value in degrees.items():
            for channel in (name,) if name in CHANNEL else (f"l_{name}", f"r_{name}"):
                self.channels[:, CHANNEL[channel]] = np.deg2rad(value)

    def get(self, name: str) -> np.ndarray:
        return np.rad2deg(self.channels[:, CHANNEL[name]])

    def leg(self, side: str, thigh, shank, *, sole: np.ndarray | float | None = 0.0) -> None:
        """Pose a leg by its angles to the vertical; call after root_pitch is set.

        ``thigh`` degrees forward, ``shank`` degrees back (foot behind the knee), ``sole`` degrees
        toes down, None to leave the ankle free.
        """
        hip_flex = thigh + self.get("root_pitch")
        self.set(**{f"{side}_hip_flex": hip_flex, f"{side}_knee": np.maximum(thigh + shank, 0)})
        self.sole[:, "lr".index(side)] = np.nan if sole is None else np.deg2rad(sole)

    def legs(self, thigh, shank, *, sole: np.ndarray | float | None = 0.0) -> None:
        self.leg("l", thigh, shank, sole=sole)
        self.leg("r", thigh, shank, sole=sole)

    def step(self, side: str, ahead, height, *, sole: np.ndarray | float = 0.0) -> None:
        """Pose a leg: its ankle is ``ahead`` of and ``height`` below the hip, in leg lengths."""
        self.leg_noise = 0.15  # more would lift a foot off the ground
        upper, lower = self.bones(side, "knee", "ankle")
        ahead, height = (
            np.broadcast_to(x, self.t.shape) * (upper + lower) for x in (ahead, height)
        )
        reach = np.clip(np.hypot(ahead, height), 1.1 * abs(upper - lower), 0.999 * (upper + lower))
        towards = np.arctan2(ahead, height)
        at_hip = np.arccos((upper**2 + reach**2 - lower**2) / (2 * upper * reach))
        at_ankle = np.arccos((lower**2 + reach**2 - upper**2) / (2 * lower * reach))
        thigh, shank = np.rad2deg(towards + at_hip), np.rad2deg(at_ankle - towards)
        self.leg(side, thigh, shank, sole=sole)

    def reach(self, side: str, target, *, elbow: Sequence[float] = (0.6, -1.0, -0.3)) -> None:
        """Bring a wrist to ``target`` (T,3) or (3,): chest frame, from between the shoulders.

        The unit is the length of the arm without the hand; x is to the person's left, y up, z
        forward. ``elbow`` is the direction in which the elbow points, x outwards. Where the target
        is too far the arm points at it.
        """
        self.arm_noise = 0.3  # more would miss the target
        shoulder = self.offsets[INDEX[f"{side}_shoulder"]] * (1, 0, 0)
        upper, lower = self.bones(side, "elbow", "wrist")
        to_hand = np.asarray(target) * (upper + lower) - shoulder
        pole = np.array(elbow) * (1 if side == "l" else -1, 1, 1)
        bones = two_bones(
            np.broadcast_to(to_hand, (len(self.t), 3)), pole, upper=upper, lower=lower
        )
        self.channels[:, limb_channels(side, "shoulder")] = limb_angles(side, "shoulder", *bones)

    def bones(self, side: str, *joints: str) -> tuple[float, ...]:
        """Lengths in metres of the bones that end in these joints."""
        return tuple(float(np.linalg.norm(self.offsets[INDEX[f"{side}_{j}"]])) for j in joints)
