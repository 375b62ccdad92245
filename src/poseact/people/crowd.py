"""Scenes with several people before one fixed camera, and exact labels of everyone.

People walk or run along their way, act on their spot, or come, act and go. They cross and hide each
other, leave the picture and come back, near and far. A scene is a pure function of its
configuration and index, as a clip is; bodies and motions are those of the split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from poseact.people import backgrounds, motions, raster, sensor, shading
from poseact.people.bodies import Body
from poseact.people.cast import act, sample_body
from poseact.people.clothes import lattice
from poseact.people.config import PRESETS, SPLITS, PeopleConfig
from poseact.people.draft import minimum_jerk
from poseact.people.motions import Motion
from poseact.people.scene import action_numbers, assemble, draw, intrinsics, project_joints
from poseact.people.setting import View, camera_axes, surroundings
from poseact.people.skeleton import rotation_about, to_layout

CROWD = PeopleConfig(height=360, width=640, frames=120, fps=15, supersample=1)
"""Eight seconds of a video."""

GAITS = ("walk", "run")
_TRIES = 30  # to find a way on which nobody is met
_APART_M = 0.55  # from one pelvis to the next
_NEAR_M = 1.6  # from the camera to somebody
_WHOLE_PX = 96  # height of the picture of a whole body, to count its pixels


@dataclass(frozen=True)
class CrowdClip:
    """Frames and the exact labels of P people; who is who is their place in the arrays.

    ``box`` surrounds the whole body, also what is hidden, clipped to the frame; NaN for somebody
    out of the picture. ``share`` 0..1 of the whole body that is seen, and neither hidden nor
    outside. The rest is as in `RenderedClip`; xy is NaN behind the camera.
    """

    frames: UInt8[np.ndarray, "t h w 3"]  # RGB
    box: Float[np.ndarray, "t p 4"]  # x0 y0 x1 y1 px
    share: Float[np.ndarray, "t p"]
    xy: Float[np.ndarray, "t p j 2"]  # px
    xyz: Float[np.ndarray, "t p j 3"]  # mm, camera axes and origin
    visible: Bool[np.ndarray, "t p j"]
    intrinsics: Float[np.ndarray, "3 3"]  # px
    actions: Int[np.ndarray, "t p"]


def render_crowd(
    config: PeopleConfig = CROWD, index: int = 0, *, people: tuple[int, int] = (0, 6)
) -> CrowdClip:
    """Render scene `index` with `people` (least, most) in it.

    Raises FileNotFoundError or ValueError if a folder of the configuration cannot be used.
    """
    split = SPLITS.index(config.split)
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, split, index, 17]))
    difficulty = PRESETS[config.preset]
    view = _camera(config, rng)
    bodies = [sample_body(config, rng) for _ in range(rng.integers(people[0], people[1] + 1))]
    moved: list[Motion] = []
    for body in bodies:
        moved.append(_on_a_free_way(_script(body, config, rng), moved, view, config, rng))
    actors = [act(body, motion, rng) for body, motion in zip(bodies, moved)]
    solids = _furniture(moved, view, config, rng)
    space = np.concatenate([*(motion.position for motion in moved), _floor(view, config)], 1)
    textures, around, light = surroundings(space, config, difficulty, view, rng)
    painted = [backgrounds.furniture_material(rng, len(textures)) for _ in solids]
    scene = assemble(actors, solids, painted)
    strength = difficulty.sensor * rng.uniform(0.5, 1)
    camera = sensor.sample_sensor(rng, strength, height=config.height, width=config.width)
    paint = shading.Paint(scene.materials, textures, lattice(rng))
    centres = np.broadcast_to(_ahead(view, 5.0), (config.frames, 3))
    drawn = draw(
        scene, view, paint, around, light, camera, config, rng, centres=centres, shadow_m=12.0
    )
    count, joints = len(moved), [to_layout(m.position, m.rotation, config.layout) for m in moved]
    first = np.cumsum([0, *(len(actor.faces) for actor in actors)])
    shape = (config.frames, count)
    box, share = np.full((*shape, 4), np.nan), np.zeros(shape)
    names = len(to_layout(np.zeros((1, 22, 3)), np.zeros((1, 22, 3, 3)), config.layout)[0])
    xy, xyz = np.full((*shape, names, 2), np.nan), np.zeros((*shape, names, 3))
    visible, frames = np.zeros((*shape, names), bool), []
    for t, now in enumerate(drawn):
        frames.append(now.frame)
        seen = np.bincount(now.fragments.face.ravel() + 1, minlength=first[-1] + 1)[1:]
        for p, actor in enumerate(actors):
            found = project_joints(joints[p][t], view, t, now.fragments.nearness, config)
            xy[t, p] = np.where(found.xyz[:, 2:] > 0, found.xy, np.nan)
            xyz[t, p], visible[t, p] = 1000 * found.xyz, found.visible
            pixels = seen[first[p] : first[p + 1]].sum() / config.supersample**2
            box[t, p], whole = _outline(actor.vertices[t], actor.faces, view, config)
            share[t, p] = min(pixels / max(whole, 1.0), 1.0)
    actions = [action_numbers(motion, config) for motion in moved]
    return CrowdClip(
        frames=np.stack(frames),
        box=box,
        share=share,
        xy=xy,
        xyz=xyz,
        visible=visible,
        intrinsics=intrinsics(view)[0],
        actions=np.stack(actions, 1) if actions else np.zeros(shape, int),
    )


def _camera(config: PeopleConfig, rng: np.random.Generator) -> View:
    """A camera at eye height or, one of three times, above the people's heads."""
    above = rng.random() < 1 / 3
    height = rng.uniform(2.5, 4.5) if above else rng.uniform(1.2, 1.9)
    azimuth = rng.uniform(-np.pi, np.pi)
    forward = 6 * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    rotation = camera_axes(forward + (0, rng.uniform(0.6, 1.2) - height, 0), 0.0)
    focal = config.width / 2 / np.tan(np.deg2rad(rng.uniform(22, 36)))
    size = np.array([config.width, config.height])
    return View(
        rotation,
        np.array([0.0, height, 0.0]),
        np.full(config.frames, focal),
        np.broadcast_to(size / 2, (config.frames, 2)),
    )


def _ahead(view: View, distance_m: float, aside: float = 0.0) -> Float[np.ndarray, "3"]:
    """A place on the floor; `aside` -1 is the left border of the picture, 1 the right one."""
    right, _, forward = view.rotation
    forward = forward * (1, 0, 1) / np.hypot(forward[0], forward[2])
    half = view.centre[0, 0] / view.focal[0]
    return view.eye * (1, 0, 1) + distance_m * (forward + aside * half * right)


def _floor(view: View, config: PeopleConfig) -> Float[np.ndarray, "t 2 3"]:
    """Places that are in a room whoever is there."""
    return np.broadcast_to([_ahead(view, 6, -0.5), _ahead(view, 6, 0.5)], (config.frames, 2, 3))


# ---------------------------------------------------------------------- people
def _script(body: Body, config: PeopleConfig, rng: np.random.Generator) -> Motion:
    """What somebody does: pass, act on the spot, or come, act and go."""
    seconds = config.frames / config.fps
    gait = GAITS[int(rng.random() < 0.25)]
    action = config.actions[int(rng.integers(len(config.actions)))]
    steps = [
        [(gait, seconds)],
        [(action, seconds)],
        [(gait, 0.3 * seconds), (action, 0.35 * seconds), (gait, 0.35 * seconds)],
    ][rng.choice(3, p=[0.45, 0.25, 0.3])]
    if config.frames < 12:
        steps = steps[:1]
    whole = [(name, max(round(s * config.fps), 1) / config.fps) for name, s in steps]
    motion = motions.perform_sequence(
        whole, rng, fps=config.fps, offsets=body.offsets, yaw=0.0, treadmill=False
    )
    motion = _shortened(motion, config.frames)
    time = np.arange(config.frames) / config.fps
    turn = rng.normal(0, 0.08) * time
    if rng.random() < 0.4:  # and back
        begin = rng.uniform(0.2, 0.7) * seconds
        turn = turn + rng.choice([-1, 1]) * np.pi * minimum_jerk((time - begin) / 1.6)
    return _turned(motion, turn)


def _shortened(motion: Motion, frames: int) -> Motion:
    """The first frames; the last one again where there are too few."""
    at = np.minimum(np.arange(frames), len(motion) - 1)
    return replace(
        motion,
        rotation=motion.rotation[at],
        position=motion.position[at],
        phase=motion.phase[at],
        action=motion.action[at],
    )


def _turned(motion: Motion, yaw: Float[np.ndarray, "t"]) -> Motion:
    """The motion on a way that turns by `yaw` (rad) over time."""
    turn = rotation_about(1, yaw)
    root = motion.position[:, 0] * (1, 0, 1)
    step = np.einsum("tij,tj->ti", turn[1:], np.diff(root, axis=0))
    way = np.concatenate([np.zeros((1, 3)), np.cumsum(step, 0)])
    body = np.einsum("tij,tnj->tni", turn, motion.position - root[:, None])
    return replace(motion, rotation=turn[:, None] @ motion.rotation, position=body + way[:, None])


def _on_a_free_way(
    motion: Motion, others: list[Motion], view: View, config: PeopleConfig, rng: np.random.Generator
) -> Motion:
    """The motion, put where the camera sees it at some time and nobody is run into."""
    best, best_room = motion, -np.inf
    sideways = np.arctan2(view.rotation[0, 0], view.rotation[0, 2])
    for _ in range(_TRIES):
        yaw = sideways + np.pi * rng.integers(2) + rng.normal(0, 0.5)
        yaw = yaw if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
        spot = _ahead(
            view, float(np.exp(rng.uniform(np.log(3), np.log(10)))), rng.uniform(-0.8, 0.8)
        )
        placed = _turned(motion, np.full(config.frames, yaw))
        when = int(rng.integers(config.frames))
        shift = spot - placed.position[when, 0] * (1, 0, 1)
        placed = replace(placed, position=placed.position + shift)
        root = placed.position[:, 0] * (1, 0, 1)
        room = np.linalg.norm(root - view.eye * (1, 0, 1), axis=1).min() - _NEAR_M
        for other in others:
            apart = np.linalg.norm(root - other.position[:, 0] * (1, 0, 1), axis=1).min()
            room = min(room, apart - _APART_M)
        if room > best_room:
            best, best_room = placed, room
        if room >= 0:
            break
    return best


def _furniture(
    moved: list[Motion], view: View, config: PeopleConfig, rng: np.random.Generator
) -> list[backgrounds.Solids]:
    """Furniture on which nobody treads."""
    low, high = PRESETS[config.preset].furniture
    ways = np.concatenate([m.position[:, 0] for m in moved] or [np.zeros((0, 3))]) * (1, 0, 1)
    solids = []
    for _ in range(max(int(rng.integers(low, high + 1)), not moved)):  # a mesh is never empty
        spot = _ahead(view, rng.uniform(3.5, 9), rng.uniform(-1, 1))
        piece = backgrounds.random_furniture(rng, spot)
        if np.linalg.norm(ways - spot, axis=1).min(initial=np.inf) > 0.8:
            solids.append(piece)
    return solids


# ---------------------------------------------------------------------- labels
def _outline(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    view: View,
    config: PeopleConfig,
) -> tuple[Float[np.ndarray, "4"], float]:
    """Box (px) of a body, clipped to the frame, and its whole area (px) if nothing hid it."""
    nobody = np.full(4, np.nan), 0.0
    seen = view.see(vertices)
    if seen[:, 2].min() < raster.NEAR_M:
        return nobody
    xy = seen[:, :2] / seen[:, 2:] * view.focal[0] + view.centre[0]
    low, high = xy.min(0), xy.max(0)
    size = np.array([config.width, config.height])
    box = np.concatenate([low.clip(0, size), high.clip(0, size)])
    if (box[2:] - box[:2]).min() < 1:
        return nobody
    scale = _WHOLE_PX / (high - low).max()
    points = np.concatenate([(xy - low) * scale, 1 / seen[:, 2:]], 1).astype(np.float32)
    canvas = (_WHOLE_PX + 1, _WHOLE_PX + 1)
    whole = raster.Fragments(
        np.empty(canvas, np.float32), np.empty(canvas, np.int32), np.empty((*canvas, 2), np.float32)
    )
    raster.rasterise(points, np.ascontiguousarray(faces, np.int32), whole)
    return box, float((whole.face >= 0).sum() / scale**2)
