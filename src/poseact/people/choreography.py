"""What a body does in an action: one small function an action, angles in degrees.

Every function gets a :class:`~poseact.people.draft.Draft` and a random generator, and writes the
right-handed version of its action with a random tempo, amplitude, start phase and style. Where the
person stands, how high the pelvis is and whether it is mirrored is none of its business: see
:mod:`poseact.people.motions`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from poseact.people.draft import Draft, cycle, keys, minimum_jerk
from poseact.people.skeleton import INDEX

# Pitch of the sole over a stride that begins with its foot strike: (phase, degrees toes down).
# Rounded from the usual curves of gait analysis (Winter 1991; Novacheck 1998 for running).
_WALKING_SOLE = ((0, -16), (0.09, 0), (0.38, 2), (0.62, 55), (0.76, 25), (0.92, -12))
_RUNNING_SOLE = ((0, -4), (0.06, 0), (0.2, 4), (0.36, 58), (0.52, 85), (0.78, 25), (0.94, -6))


# ---------------------------------------------------------------------- on the feet
def idle(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(3, 6), rng)
    d.planted = True
    shift = rng.uniform(0, 4) * np.sin(2 * np.pi * u)
    d.set(root_roll=shift, l_hip_abduct=3 - shift, r_hip_abduct=3 + shift, spine_side=-shift)
    d.set(hip_turn=rng.uniform(0, 18), spine_flex=rng.uniform(-3, 8) + np.sin(4 * np.pi * u))
    stance = rng.integers(4)
    if stance == 0:  # hands on hips
        for side, sign in (("l", 1), ("r", -1)):
            d.reach(side, (sign * 0.36, -0.78, 0.12), elbow=(1, 0, -0.4))
    elif stance == 1:  # arms folded
        d.reach("l", (-0.22, -0.36, 0.36), elbow=(0.7, -1, 0.2))
        d.reach("r", (0.22, -0.44, 0.32), elbow=(0.7, -1, 0.2))
    else:
        d.free_arms = 1.0


def _gait(
    d: Draft, u: np.ndarray, *, duty: float, front: float, back: float, raised: float, soles: tuple
) -> None:
    """Legs of a gait at the stride phase ``u`` of the left one; lengths in leg lengths.

    A foot stands for the share ``duty`` of the stride, while the body passes over it at a constant
    speed from ``front`` ahead of the hip to ``back`` behind it, rolls over its toes, and swings
    forward, ``raised`` above the straight way.
    """
    upper, lower = d.bones("l", "knee", "ankle")
    toe = d.offsets[INDEX["l_toe"]] / (upper + lower)
    rate = (back - front) / duty  # of a standing foot, against the hip
    # Highest over the standing leg, lowest with both feet apart: an inverted pendulum.
    apart = front * (0.75 - 0.25 * np.cos(4 * np.pi * (u - duty / 2)))
    hip = np.sqrt(0.99**2 - apart**2)
    for side, shift in (("l", 0.0), ("r", 0.5)):
        w = (u + shift) % 1
        sole = cycle(w, soles)
        swing = np.clip((w - duty) / (1 - duty), 0, 1)
        roll = np.deg2rad(np.maximum(np.where(w < duty, sole, cycle(np.array([duty]), soles)), 0))
        rolled = toe[2] * (1 - np.cos(roll)) - toe[1] * np.sin(
            roll
        )  # the ankle turns about the toes
        lifted = toe[2] * np.sin(roll) + toe[1] * (1 - np.cos(roll))
        left = minimum_jerk(swing)
        slope = rate * (1 - duty)  # leaves and meets the ground at the ground's speed
        forward = slope * swing * (1 - swing) * (1 - 2 * swing) + left * (front - back)
        ahead = np.where(w < duty, front + rate * w, back + forward) + rolled * (1 - left)
        bump = raised * np.sin(np.pi * swing**0.8) ** 2
        d.step(side, ahead, hip - lifted * (1 - left) - bump, sole=sole)


def _swing_arms(d: Draft, u: np.ndarray, *, swing: float, elbow: float, bend: float) -> None:
    """Arms against the legs, by ``swing`` degrees; the elbow gives by ``bend`` degrees."""
    for side, sign in (("l", -1), ("r", 1)):
        forward = sign * np.cos(2 * np.pi * (u - 0.02))
        d.set(
            **{
                f"{side}_shoulder_flex": 3 + swing * forward,
                f"{side}_elbow": elbow + bend * forward,
            }
        )


def walk(d: Draft, rng: np.random.Generator) -> None:
    stride = rng.uniform(0.7, 1.15)
    u = d.repeat(rng.uniform(0.95, 1.25), rng)
    d.set(root_pitch=rng.uniform(0, 5), hip_abduct=rng.uniform(0, 3), hip_turn=rng.uniform(0, 8))
    _gait(
        d, u, duty=0.62, front=0.3 * stride, back=-0.36 * stride, raised=0.05, soles=_WALKING_SOLE
    )
    swing = rng.uniform(10, 32)
    _swing_arms(d, u, swing=swing, elbow=rng.uniform(12, 40), bend=10)
    turn = 6 * np.cos(2 * np.pi * u)
    d.set(root_yaw=-turn / 2, spine_turn=turn * swing / 15, root_roll=2 * np.sin(2 * np.pi * u))
    d.free_arms = 0.3


def run(d: Draft, rng: np.random.Generator) -> None:
    stride = rng.uniform(0.8, 1.15)
    u = d.repeat(rng.uniform(0.6, 0.8), rng)
    lean = rng.uniform(3, 14)
    d.set(root_pitch=lean, spine_flex=rng.uniform(2, 10), neck_flex=-lean / 2, hip_abduct=1)
    raised = rng.uniform(0.22, 0.34)
    _gait(
        d,
        u,
        duty=0.36,
        front=0.24 * stride,
        back=-0.42 * stride,
        raised=raised,
        soles=_RUNNING_SOLE,
    )
    d.set(shoulder_abduct=12, shoulder_turn=20)
    _swing_arms(d, u, swing=rng.uniform(25, 50), elbow=rng.uniform(75, 110), bend=14)
    turn = 10 * np.cos(2 * np.pi * u)
    d.set(root_yaw=-turn / 2, spine_turn=1.5 * turn)
    flight = np.clip((u % 0.5 - 0.36) / 0.14, 0, 1)
    d.lift = rng.uniform(0.03, 0.07) * np.sin(np.pi * flight) ** 2


def jump(d: Draft, rng: np.random.Generator) -> None:
    period = rng.uniform(1.3, 1.9)
    u = d.repeat(period, rng)
    depth = rng.uniform(40, 75)
    crouch = keys(u, (0, 0.05), (0.28, 1), (0.44, 0), (0.72, 0.05), (0.82, 0.7), (1, 0.05))
    air = np.clip((u - 0.42) / 0.3, 0, 1)
    flight = 4 * air * (1 - air)
    tuck = rng.uniform(0, 45) * flight
    arms = keys(u, (0, 0), (0.2, -45), (0.56, rng.uniform(100, 150)), (0.76, 60), (1, 0))
    d.set(root_pitch=crouch * depth * 0.45, spine_flex=crouch * 25, neck_flex=-crouch * 20)
    sole = keys(u, (0.32, 0), (0.44, 50), (0.66, 45), (0.76, 0))
    d.legs(crouch * depth + tuck, crouch * 24 + tuck, sole=sole)
    d.set(shoulder_flex=arms, elbow=15 + 25 * crouch, shoulder_abduct=10 + 15 * flight)
    d.lift = 9.81 / 8 * (0.3 * period) ** 2 * flight  # free fall of that duration, metres


def jumping_jack(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(0.85, 1.3), rng)
    spread = 0.5 - 0.5 * np.cos(2 * np.pi * u)
    hop = np.abs(np.sin(2 * np.pi * u))  # in the air while the legs move
    arms, legs = rng.uniform(140, 168), rng.uniform(18, 30)
    bend = 16 * (1 - hop)
    d.legs(bend, bend, sole=25 * hop)
    d.set(shoulder_abduct=8 + spread * arms, elbow=rng.uniform(5, 30), hip_abduct=1 + spread * legs)
    d.lift = rng.uniform(0.04, 0.12) * hop**2


def squat(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.6, 3.0), rng)
    d.planted = True
    down = (0.5 - 0.5 * np.cos(2 * np.pi * u)) ** 0.85
    thigh, lean = rng.uniform(60, 92), rng.uniform(25, 38)
    d.set(root_pitch=down * lean, spine_flex=down * rng.uniform(0, 20), neck_flex=-down * lean / 2)
    d.legs(down * thigh, down * rng.uniform(18, 25))
    d.set(hip_abduct=rng.uniform(5, 18), hip_turn=rng.uniform(5, 25))
    arms = rng.integers(3)
    if arms == 0:  # stretched forward while down
        d.set(shoulder_flex=15 + down * 85, elbow=8)
    elif arms == 1:  # folded at the chest
        for side, sign in (("l", 1), ("r", -1)):
            d.reach(side, (sign * 0.06, -0.3, 0.45))
    else:  # hands behind the head
        for side, sign in (("l", 1), ("r", -1)):
            d.reach(side, (sign * 0.16, 0.32, -0.1), elbow=(1, 0.1, 0.1))


def wave(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(0.45, 0.85), rng)
    d.planted = True
    beat = np.sin(2 * np.pi * u)
    d.set(r_shoulder_abduct=rng.uniform(70, 150), r_shoulder_flex=rng.uniform(-5, 20))
    d.set(r_shoulder_turn=-84, r_elbow=rng.uniform(45, 75) + rng.uniform(20, 35) * beat)
    d.set(r_wrist_abduct=15 * np.sin(2 * np.pi * u - 0.6), spine_side=rng.uniform(-3, 3))


def clap(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(0.35, 0.8), rng)
    d.planted = True
    apart = rng.uniform(0.2, 0.5) * (0.5 - 0.5 * np.cos(2 * np.pi * u)) + 0.05
    height, forward = rng.uniform(-0.45, 0.1), rng.uniform(0.45, 0.7)
    for side, sign in (("l", 1), ("r", -1)):
        hand = np.stack([sign * apart, np.full_like(u, height), np.full_like(u, forward)], 1)
        d.reach(side, hand)


def arm_circles(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(0.7, 1.5), rng)
    d.planted = True
    angle = 2 * np.pi * u * rng.choice([-1, 1])
    size = rng.uniform(18, 40)
    d.set(shoulder_abduct=90 + size * np.cos(angle), shoulder_flex=size * np.sin(angle), elbow=5)


def punch(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(0.8, 1.4), rng)
    d.planted = True
    stance = rng.uniform(0.12, 0.24)
    sink = rng.uniform(0.88, 0.94)
    height = rng.uniform(-0.1, 0.15)
    d.set(root_pitch=rng.uniform(0, 8), spine_flex=rng.uniform(5, 18), hip_abduct=rng.uniform(4, 9))
    d.step("l", stance, sink)
    d.step("r", -stance, sink, sole=20)
    strike = {
        side: keys((u + start) % 1, (0, 0), (0.14, 1), (0.22, 1), (0.4, 0))
        for side, start in (("r", 0.0), ("l", 0.5))
    }
    turn = strike["r"] - strike["l"]
    d.set(spine_turn=25 * turn)
    d.set(root_yaw=-15 + 12 * turn)
    facing = np.deg2rad(37 * turn - 15)  # of the chest; the fists go straight ahead all the same
    for side, sign in (("l", 1), ("r", -1)):
        guard = np.array([sign * 0.18, -0.02, 0.42])
        hit = np.stack([-1.25 * np.sin(facing), 0 * u + height, 1.25 * np.cos(facing)], 1)
        d.reach(side, guard + strike[side][:, None] * (hit - guard), elbow=(0.5, -1, 0))


def kick(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.3, 1.9), rng)
    height = rng.uniform(65, 110)
    thigh = keys(
        u, (0, 0), (0.14, -15), (0.34, 0.9 * height), (0.44, height), (0.52, height), (0.8, 0)
    )
    knee = keys(u, (0, 10), (0.18, 80), (0.32, 95), (0.44, 4), (0.54, 12), (0.66, 60), (0.86, 10))
    swing = np.clip(thigh / height, 0, 1)
    d.set(root_pitch=-swing * rng.uniform(5, 20), spine_flex=5 + 10 * swing)
    d.leg("l", 4, 4)
    d.leg("r", thigh, knee - thigh, sole=None)
    d.set(r_ankle=keys(u, (0.24, -9), (0.4, 25), (0.52, 25), (0.68, -9)))
    d.set(r_hip_abduct=swing * rng.uniform(0, 15))
    d.set(l_shoulder_flex=15 + 40 * swing, r_shoulder_flex=5 - 35 * swing, spine_turn=12 * swing)
    d.set(elbow=rng.uniform(25, 90), shoulder_abduct=rng.uniform(12, 35), shoulder_turn=20)


def lunge(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.6, 2.8), rng)
    d.planted = True
    down = 0.5 - 0.5 * np.cos(2 * np.pi * u)
    length = rng.uniform(0.38, 0.48)
    height = 0.88 - down * rng.uniform(0.15, 0.22)
    d.set(root_pitch=rng.uniform(-2, 8))
    d.step("l", length, height)
    d.step("r", -length, height - 0.165, sole=55)
    if rng.random() < 0.5:  # hands on hips
        for side, sign in (("l", 1), ("r", -1)):
            d.reach(side, (sign * 0.36, -0.78, 0.12), elbow=(1, 0, -0.4))


def sit_down(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(3.0, 5.0), rng)
    d.planted = True
    seated = keys(u, (0, 0), (0.3, 1), (0.7, 1), (1, 0))
    moving = 4 * seated * (1 - seated)
    d.set(root_pitch=moving * rng.uniform(15, 30) - seated * rng.uniform(0, 12), neck_flex=-5)
    d.set(spine_flex=4 + moving * rng.uniform(10, 25) + seated * rng.uniform(0, 12))
    d.legs(seated * rng.uniform(80, 94), moving * 12 + seated * rng.uniform(-12, 8))
    d.set(hip_abduct=rng.uniform(2, 14), hip_turn=rng.uniform(0, 10))
    d.set(shoulder_flex=5 + seated * rng.uniform(15, 35), elbow=12 + seated * rng.uniform(20, 60))
    d.free_arms = 0.4


def pick_up(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(2.0, 3.2), rng)
    d.planted = True
    down = keys(u, (0, 0), (0.38, 1), (0.52, 1), (0.92, 0))
    knees = rng.random()  # 0 stoop .. 1 squat
    d.set(root_pitch=down * (62 - 20 * knees), spine_flex=4 + down * (55 - 15 * knees))
    d.set(neck_flex=-15 * down, spine_turn=down * rng.uniform(-12, 12))
    d.legs(down * (15 + 62 * knees), down * (5 + 18 * knees))
    d.set(hip_abduct=rng.uniform(2, 12), hip_turn=rng.uniform(0, 20))
    lean = d.get("root_pitch") + d.get("spine_flex")
    d.set(r_shoulder_flex=lean * rng.uniform(0.85, 1.05) * down, r_elbow=12, shoulder_abduct=6)
    d.set(l_shoulder_flex=lean * rng.uniform(0.1, 0.9) * down, l_elbow=15 + 40 * down)


# ---------------------------------------------------------------------- sports
def throw(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.4, 2.2), rng)
    d.set(root_pitch=keys(u, (0, 0), (0.35, -6), (0.58, 18), (0.75, 15), (1, 0)))
    d.step("l", keys(u, (0, 0.08), (0.3, 0.16), (0.45, 0.4), (0.8, 0.38), (1, 0.08)), 0.9)
    d.step("r", keys(u, (0, -0.05), (0.45, -0.32), (0.8, -0.3), (1, -0.05)), 0.9, sole=15)
    d.set(r_shoulder_abduct=keys(u, (0, 12), (0.32, 95), (0.5, 95), (0.66, 40), (1, 12)))
    d.set(r_shoulder_flex=keys(u, (0, 5), (0.32, -25), (0.5, 40), (0.62, 60), (1, 5)))
    d.set(r_shoulder_turn=keys(u, (0, 10), (0.34, -80), (0.44, -80), (0.6, 40), (1, 10)))
    d.set(r_elbow=keys(u, (0, 60), (0.32, 100), (0.46, 85), (0.55, 12), (0.7, 25), (1, 60)))
    d.set(l_shoulder_flex=keys(u, (0, 20), (0.32, 75), (0.55, 5), (1, 20)), l_elbow=25)
    d.set(l_shoulder_abduct=keys(u, (0, 10), (0.32, 35), (0.55, 15), (1, 10)))
    d.set(spine_turn=keys(u, (0, 0), (0.34, -38), (0.58, 35), (0.8, 25), (1, 0)))
    d.set(spine_flex=keys(u, (0, 4), (0.34, -10), (0.6, 30), (1, 4)))
    d.set(root_yaw=keys(u, (0, 0), (0.34, -25), (0.54, 20), (0.8, 15), (1, 0)))


def _both_hands(d: Draft, grip: np.ndarray) -> None:
    """Both hands on one handle at ``grip`` (T,3), the left one a little nearer to its own side."""
    d.reach("l", grip + np.array([0.04, -0.04, 0.0]), elbow=(0.5, -1, 0.2))
    d.reach("r", grip + np.array([-0.04, 0.04, 0.0]), elbow=(0.5, -1, 0.0))


def golf_swing(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(2.0, 3.0), rng)
    d.planted = True
    rise = keys(
        u, (0.6, 0), (0.75, 1), (0.88, 1), (1, 0)
    )  # the body straightens in the follow-through
    d.set(root_pitch=rng.uniform(25, 34) * (1 - 0.75 * rise), spine_flex=8 - 10 * rise)
    d.set(neck_flex=12, hip_abduct=rng.uniform(6, 12))
    d.legs(22, 14)
    turn = keys(u, (0, 0), (0.12, 0), (0.46, -1), (0.6, 0.15), (0.72, 1), (0.86, 1), (1, 0))
    d.set(spine_turn=42 * turn, neck_turn=-45 * turn * (1 - rise))
    address, top, finish = (0.0, -0.82, 0.42), (-0.48, 0.3, 0.5), (0.46, 0.4, 0.4)
    swing = ((0, address), (0.12, address), (0.46, top), (0.6, address), (0.72, finish))
    grip = keys(u, *swing, (0.86, finish), (1, address))
    _both_hands(d, grip)
    d.set(root_yaw=28 * turn)


def baseball_swing(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.6, 2.6), rng)
    d.planted = True
    d.set(root_pitch=rng.uniform(6, 16), spine_flex=rng.uniform(4, 12))
    d.set(hip_abduct=rng.uniform(14, 20))
    bend = rng.uniform(22, 32)
    d.legs(bend, bend * 0.8)
    turn = keys(u, (0, -0.55), (0.35, -0.9), (0.5, 0.3), (0.62, 1), (0.76, 1), (1, -0.55))
    d.set(spine_turn=42 * turn, neck_turn=np.clip(50 - 45 * turn, 10, 60))
    ready, cocked, hit, finish = (
        (-0.3, -0.02, 0.4),
        (-0.42, 0.06, 0.3),
        (0.0, -0.25, 0.85),
        (0.5, 0.2, 0.45),
    )
    grip = keys(
        u, (0, ready), (0.35, cocked), (0.5, hit), (0.62, finish), (0.76, finish), (1, ready)
    )
    _both_hands(d, grip)
    d.set(root_yaw=24 * turn)


def tennis_forehand(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.4, 2.2), rng)
    d.planted = True
    sink = rng.uniform(0.86, 0.92)
    d.set(
        root_pitch=rng.uniform(5, 15), spine_flex=rng.uniform(2, 10), hip_abduct=rng.uniform(8, 14)
    )
    d.step("l", 0.12, sink)
    d.step("r", -0.14, sink, sole=15)
    turn = keys(u, (0, 0), (0.32, -1), (0.52, 0.2), (0.68, 1), (0.8, 1), (1, 0))
    d.set(spine_turn=42 * turn, neck_turn=-30 * turn)
    ready, back, hit, finish = (
        (-0.1, -0.45, 0.55),
        (-1.15, -0.3, -0.2),
        (-0.5, -0.3, 0.85),
        (0.45, 0.2, 0.5),
    )
    d.reach(
        "r",
        keys(u, (0, ready), (0.32, back), (0.52, hit), (0.68, finish), (0.8, finish), (1, ready)),
    )
    ready, balance, away = (0.1, -0.4, 0.5), (0.25, 0.0, 0.9), (0.55, -0.25, 0.35)
    d.reach("l", keys(u, (0, ready), (0.32, balance), (0.6, away), (0.8, away), (1, ready)))
    d.set(root_yaw=25 * turn)


def bowling(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(2.0, 3.0), rng)
    slide = keys(u, (0, 0), (0.3, 0.35), (0.52, 1), (0.8, 1), (1, 0))
    d.set(
        root_pitch=8 + slide * rng.uniform(28, 38), spine_flex=8 + 14 * slide, neck_flex=-25 * slide
    )
    height = 0.94 - slide * rng.uniform(0.2, 0.28)
    d.step("l", 0.08 + 0.3 * slide, height)
    d.step("r", -0.08 - 0.46 * slide, height - 0.14 * slide, sole=50 * slide)
    d.set(r_hip_abduct=4 - 16 * slide)
    d.set(
        r_shoulder_flex=keys(
            u, (0, 45), (0.12, 40), (0.36, -55), (0.56, 60), (0.68, 150), (0.82, 140), (1, 45)
        )
    )
    d.set(r_elbow=keys(u, (0, 95), (0.14, 70), (0.3, 8), (0.6, 8), (0.7, 45), (1, 95)))
    d.set(l_shoulder_abduct=10 + 60 * slide, l_shoulder_flex=keys(u, (0, 40), (0.3, -10), (1, 40)))
    d.set(l_elbow=keys(u, (0, 80), (0.3, 20), (0.8, 20), (1, 80)))


def push_up(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.1, 2.2), rng)
    down = 0.5 - 0.5 * np.cos(2 * np.pi * u)
    depth = 0.98 - down * rng.uniform(0.4, 0.62)
    width, outward = rng.uniform(0.34, 0.5), rng.uniform(0.2, 1.0)
    for side, sign in (("l", 1), ("r", -1)):
        hand = np.stack([np.full_like(u, sign * width), np.full_like(u, -0.12), depth], 1)
        d.reach(side, hand, elbow=(outward, -1, -0.2))
    d.set(root_pitch=75, spine_flex=rng.uniform(-6, 4), neck_flex=rng.uniform(-35, 0))
    d.set(
        hip_flex=rng.uniform(-2, 10), knee=2, ankle=-8, hip_abduct=rng.uniform(0, 6), wrist_flex=70
    )
    d.sole[:] = np.nan
    d.leg_noise = 0.3
    d.on_hands = True


def sit_up(d: Draft, rng: np.random.Generator) -> None:
    u = d.repeat(rng.uniform(1.6, 3.0), rng)
    up = 0.5 - 0.5 * np.cos(2 * np.pi * u)
    top = rng.uniform(45, 62)
    d.set(
        root_pitch=-88 + np.maximum(0, up - 0.25) / 0.75 * top, spine_flex=rng.uniform(30, 55) * up
    )
    d.set(neck_flex=35 * up, hip_abduct=rng.uniform(2, 8))
    d.leg_noise = 0.3
    bent = rng.uniform(-6, 8)
    d.legs(138 + bent, -42 + bent)
    if rng.random() < 0.6:  # hands behind the head
        for side, sign in (("l", 1), ("r", -1)):
            d.reach(side, (sign * 0.16, 0.32, -0.05), elbow=(1, 0.1, 0.3))
    else:  # arms crossed on the chest
        d.reach("l", (-0.2, -0.2, 0.3))
        d.reach("r", (0.2, -0.2, 0.34))


CHOREOGRAPHY: dict[str, Callable[[Draft, np.random.Generator], None]] = {
    act.__name__: act
    for act in (
        *(
            idle,
            walk,
            run,
            jump,
            jumping_jack,
            squat,
            wave,
            punch,
            kick,
            throw,
            sit_down,
            pick_up,
            clap,
        ),
        *(
            push_up,
            sit_up,
            golf_swing,
            baseball_swing,
            tennis_forehand,
            bowling,
            lunge,
            arm_circles,
        ),
    )
}
