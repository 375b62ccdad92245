"""Clips of rendered people with exact labels.

A clip is a pure function of its configuration and index: everything random comes from
``SeedSequence([seed, split, index])``, bodies from a pool of the split, so that clips do not depend
on how many workers make them and no body, outfit or motion is shared between splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from poseact.people import backgrounds, raster, sensor, shading
from poseact.people.bodies import Body, random_body
from poseact.people.cast import Actor, act, sample_body, sample_motion, second_person
from poseact.people.clothes import PERSON_ROWS, lattice
from poseact.people.config import PRESETS, SPLITS, Difficulty, PeopleConfig, Preset, Split
from poseact.people.motions import ACTIONS, Motion
from poseact.people.setting import View, furnish, place_camera, standpoint, surroundings
from poseact.people.skeleton import to_layout

__all__ = [
    "PRESETS",
    "SPLITS",
    "Difficulty",
    "PeopleConfig",
    "Preset",
    "RenderedClip",
    "Split",
    "render_clip",
    "render_motion",
]

VISIBLE_M = 0.14  # a joint is visible if the nearest surface is at most this far in front of it


@dataclass(frozen=True)
class RenderedClip:
    """Frames and their exact labels.

    ``visible`` joints are inside the frame and at most 14 cm behind the nearest surface. ``box``
    surrounds all joints, also those outside. ``action`` is the commonest of ``actions``, indices
    into `PeopleConfig.actions`, -1 = none. ``silhouette`` holds the pixels where the person is
    nearest; there ``depth`` is the camera depth of the surface in mm, elsewhere 0 = no person.
    """

    frames: UInt8[np.ndarray, "t h w 3"]  # RGB
    xy: Float[np.ndarray, "t j 2"]  # px
    xyz: Float[np.ndarray, "t j 3"]  # mm, camera axes and origin
    visible: Bool[np.ndarray, "t j"]
    inside: Bool[np.ndarray, "t j"]
    intrinsics: Float[np.ndarray, "t 3 3"]  # px
    box: Float[np.ndarray, "t 4"]  # x0 y0 x1 y1 px
    action: int
    actions: Int[np.ndarray, "t"]
    phase: Float[np.ndarray, "t"]
    silhouette: Bool[np.ndarray, "t h w"]
    depth: Float32[np.ndarray, "t h w"]  # mm


# ---------------------------------------------------------------------- clips
def render_clip(config: PeopleConfig, index: int) -> RenderedClip:
    """Render clip `index` of a data set; the same labels in every process and order.

    Raises FileNotFoundError or ValueError if a folder of the configuration cannot be used.
    """
    split = SPLITS.index(config.split)
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, split, index]))
    body = sample_body(config, rng)
    return render_motion(sample_motion(config, body, rng), config, rng, body=body)


def render_motion(
    motion: Motion,
    config: PeopleConfig,
    rng: np.random.Generator,
    *,
    body: Body | None = None,
    view: View | None = None,
) -> RenderedClip:
    """Render a given motion; its length replaces `config.frames`.

    `body` must have the motion's bone offsets; None makes one in code. `view` is the camera; None
    draws one. With ``crop="clip"`` the
    camera is fixed and frames the whole motion with `config.margin`.
    """
    body = random_body(rng, motion.offsets) if body is None else body
    difficulty = PRESETS[config.preset]
    people = [act(body, motion, rng)]
    if view is None:
        view = place_camera(motion, config, difficulty, rng)
    if rng.random() < difficulty.distractor:
        middle, toward, sideways = standpoint(motion, view)
        side = rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)
        spot = middle + side * sideways - rng.uniform(-0.4, 1.8) * toward
        people.append(second_person(motion, config, spot, rng))
    solids = furnish(motion, view, difficulty, rng)
    textures, around, light = surroundings(motion.position, config, difficulty, view, rng)
    painted = [backgrounds.furniture_material(rng, len(textures)) for _ in solids]
    scene = assemble(people, solids, painted)
    strength = difficulty.sensor * rng.uniform(0.5, 1)
    camera = sensor.sample_sensor(rng, strength, height=config.height, width=config.width)
    paint = shading.Paint(scene.materials, textures, lattice(rng))
    world = to_layout(motion.position, motion.rotation, config.layout)  # T J 3, m
    frames, depths, joints = [], [], []
    drawn = draw(
        scene, view, paint, around, light, camera, config, rng, centres=motion.position[:, 0]
    )
    for t, now in enumerate(drawn):
        frames.append(now.frame)
        depths.append(now.depth)
        joints.append(project_joints(world[t], view, t, now.fragments.nearness, config))
    xyz, xy, inside, visible = (np.stack(values) for values in zip(*joints))
    actions, depth = action_numbers(motion, config), np.stack(depths)
    values, votes = np.unique(actions, return_counts=True)
    return RenderedClip(
        frames=np.stack(frames),
        xy=xy,
        xyz=xyz * 1000,
        visible=visible,
        inside=inside,
        intrinsics=intrinsics(view),
        box=np.concatenate([xy.min(1), xy.max(1)], 1),
        action=int(values[votes.argmax()]),
        actions=actions,
        phase=motion.phase,
        silhouette=depth > 0,
        depth=depth,
    )


# ---------------------------------------------------------------------- rendering
class SceneMesh(NamedTuple):
    """All meshes of a clip in one, the person first; `moving` holds each person's rows."""

    mesh: raster.Mesh
    materials: Float32[np.ndarray, "m c"]
    moving: list[tuple[slice, Float32[np.ndarray, "t v 3"]]]
    own_faces: int


class Drawn(NamedTuple):
    """One frame, the first person's depth in mm (0 = elsewhere), and what is nearest everywhere.

    The fragments are overwritten by the next frame.
    """

    frame: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    fragments: raster.Fragments


def assemble(
    people: list[Actor], solids: list[backgrounds.Solids], painted: list[np.ndarray]
) -> SceneMesh:
    """One mesh of people and solids; `painted` is the material row of each solid."""
    things = [*people, *solids]
    first = np.cumsum([0, *(len(thing.rest) for thing in things)])
    rows = [slice(a, b) for a, b in zip(first[:-1], first[1:])]
    vertices = np.zeros((first[-1], 3), np.float32)
    cover = np.full((first[-1], shading.LAYERS), -1.0, np.float32)
    base = []
    for i, (actor, where) in enumerate(zip(people, rows)):
        cover[where] = actor.cover
        base.append(actor.base + PERSON_ROWS * i)
    for i, (solid, where) in enumerate(zip(solids, rows[len(people) :])):
        vertices[where] = solid.vertices
        base.append(np.full(len(solid.faces), PERSON_ROWS * len(people) + i))
    mesh = raster.Mesh(
        vertices=vertices,
        normals=np.zeros_like(vertices),
        rest=np.concatenate([thing.rest for thing in things]),
        cover=cover,
        faces=np.concatenate([thing.faces + n for thing, n in zip(things, first)]).astype(np.int32),
        base=np.concatenate(base).astype(np.int32),
    )
    materials = np.concatenate([a.materials for a in people] + [row[None] for row in painted])
    moving = [(where, actor.vertices) for actor, where in zip(people, rows)]
    return SceneMesh(mesh, materials, moving, len(people[0].faces) if people else 0)


def draw(
    scene: SceneMesh,
    view: View,
    paint: shading.Paint,
    around: shading.Around,
    light: raster.Light,
    camera: sensor.Sensor,
    config: PeopleConfig,
    rng: np.random.Generator,
    *,
    centres: Float[np.ndarray, "t 3"],
    shadow_m: float = 4.0,
) -> Iterator[Drawn]:
    """Render every frame and send it through the camera's sensor.

    The shadow map is `shadow_m` wide about `centres` (m).
    """
    height, width, n = config.height, config.width, config.supersample
    mesh = scene.mesh
    points = np.empty_like(mesh.vertices)
    fragments = raster.Fragments(
        np.empty((n * height, n * width), np.float32),
        np.empty((n * height, n * width), np.int32),
        np.empty((n * height, n * width, 2), np.float32),
    )
    seen = np.empty((n * n, 5), np.float32)
    size = int(np.clip(min(height, width), 96, 160))  # px of the shadow map
    light = light._replace(scale=size / shadow_m, shadow=np.zeros((size, size), np.float32))
    tone = sensor.tone_curves(camera)
    rotation, eye = view.rotation.astype(np.float32), view.eye.astype(np.float32)
    for i, centre in enumerate(centres.astype(np.float32)):
        for rows, vertices in scene.moving:
            mesh.vertices[rows] = vertices[i]
        raster.vertex_normals(mesh.vertices, mesh.faces, mesh.normals)
        lit = light._replace(centre=centre)
        raster.cast_shadow(mesh.vertices, mesh.faces, lit, points)
        cx, cy = (float(n * c) for c in view.centre[i])
        lens = raster.Camera(rotation, eye, float(n * view.focal[i]), cx, cy)
        raster.project_points(mesh.vertices, lens, points)
        raster.rasterise(points, mesh.faces, fragments)
        frame = np.empty((height, width, 3), np.uint8)
        depth = np.empty((height, width), np.float32)
        own = scene.own_faces
        shading.shade(
            fragments, points, mesh, paint, lens, lit, around, tone, own, seen, frame, depth
        )
        yield Drawn(sensor.record(frame, camera, rng), depth, fragments)


# ---------------------------------------------------------------------- labels
class Projected(NamedTuple):
    """Joints of somebody: camera points (m), px, in the frame, and nothing in front of them."""

    xyz: Float[np.ndarray, "j 3"]
    xy: Float[np.ndarray, "j 2"]
    inside: Bool[np.ndarray, "j"]
    visible: Bool[np.ndarray, "j"]


def project_joints(
    joints: Float[np.ndarray, "j 3"],
    view: View,
    t: int,
    nearness: Float32[np.ndarray, "sh sw"],
    config: PeopleConfig,
) -> Projected:
    """See world points (m) in frame `t`; `nearness` is 1/depth (1/m) of what is nearest."""
    xyz = view.see(joints)
    xy = xyz[:, :2] / xyz[:, 2:] * view.focal[t] + view.centre[t]
    size = np.array([config.width, config.height])
    inside = np.asarray(((xy >= 0) & (xy < size)).all(-1) & (xyz[:, 2] > 0))
    column, row = (np.clip(xy, 0, size - 0.5) * config.supersample).astype(int).T
    free = nearness[row, column] * (xyz[:, 2] - VISIBLE_M) < 1  # nothing in front, or not by much
    return Projected(xyz, xy, inside, inside & free)


def action_numbers(motion: Motion, config: PeopleConfig) -> Int[np.ndarray, "t"]:
    """Indices into `config.actions` over time, -1 = none of them."""
    index = [*(config.actions.index(a) if a in config.actions else -1 for a in ACTIONS), -1]
    return np.array(index)[motion.action]


def intrinsics(view: View) -> Float[np.ndarray, "t 3 3"]:
    """The camera's matrices, px."""
    matrices = np.zeros((len(view.focal), 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = view.focal
    matrices[:, :2, 2] = view.centre
    matrices[:, 2, 2] = 1
    return matrices
