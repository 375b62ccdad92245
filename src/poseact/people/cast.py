"""Who is in a clip: bodies of the split's pool, their motions, and people dressed and posed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

from poseact.people import makehuman, motions
from poseact.people.bodies import Body, random_body, skin
from poseact.people.clothes import dress
from poseact.people.config import SPLITS, PeopleConfig
from poseact.people.motions import ACTIONS, Motion
from poseact.people.retarget import MocapClip, load_mocap, motion_from_mocap

POOL = 40  # bodies per split and source


class Actor(NamedTuple):
    """A dressed person in motion: posed ``vertices`` (T,V,3) and what `raster.Mesh` needs."""

    vertices: Float32[np.ndarray, "t v 3"]
    rest: Float32[np.ndarray, "v 3"]
    cover: Float32[np.ndarray, "v 4"]
    faces: Int[np.ndarray, "f 3"]
    base: Int[np.ndarray, "f"]
    materials: Float32[np.ndarray, "m c"]


def sample_body(config: PeopleConfig, rng: np.random.Generator) -> Body:
    """Sample a body from the pool of the configuration's split."""
    number = int(rng.integers(POOL))
    meshed = rng.random() < 0.5
    split = SPLITS.index(config.split)
    return pool_body(config.bodies if meshed else None, split, number)


@lru_cache(maxsize=2 * POOL * len(SPLITS))
def pool_body(meshes: str | None, split: int, number: int) -> Body:
    rng = np.random.default_rng(np.random.SeedSequence([11, split, number]))
    if meshes is None:
        return random_body(rng)
    return makehuman.random_mesh_body(makehuman.load_library(meshes), rng)


def sample_motion(config: PeopleConfig, body: Body, rng: np.random.Generator) -> Motion:
    """Sample what the person does: an action, unstructured poses, or a cut of motion capture."""
    unstructured, captured = rng.random(2)
    if unstructured < config.random_pose:
        return motions.random_poses(rng, config.frames, offsets=body.offsets)
    if config.mocap is not None and captured < config.mocap_share:
        return _captured(config, config.mocap, body, rng)
    action = config.actions[int(rng.integers(len(config.actions)))]
    return motions.perform(action, rng, frames=config.frames, fps=config.fps, offsets=body.offsets)


def _captured(config: PeopleConfig, folder: str, body: Body, rng: np.random.Generator) -> Motion:
    clips = _mocap_clips(folder, config.split)
    spare = [len(clip) - 1 - (config.frames - 1) * clip.fps / config.fps for clip in clips]
    long_enough = [i for i, frames in enumerate(spare) if frames >= 0]
    if not long_enough:
        raise ValueError(
            f"no motion capture in {folder} lasts {config.frames} frames at {config.fps} fps; "
            "ask for fewer frames"
        )
    chosen = long_enough[int(rng.integers(len(long_enough)))]
    return motion_from_mocap(
        clips[chosen],
        rng,
        start=int(rng.integers(int(spare[chosen]) + 1)),
        frames=config.frames,
        fps=config.fps,
        offsets=body.offsets,
    )


@lru_cache(maxsize=8)
def _mocap_clips(folder: str, split: str) -> tuple[MocapClip, ...]:
    """Eight of ten clips for train, one each for val and test."""
    files = sorted(Path(folder).glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"no motion capture (*.npz) in {folder}; give its folder, or None")
    clips = [clip for file in files for clip in load_mocap(file)]
    wanted = {"train": range(8), "val": (8,), "test": (9,)}[split]
    return tuple(clip for i, clip in enumerate(clips) if i % 10 in wanted)


def act(body: Body, motion: Motion, rng: np.random.Generator) -> Actor:
    """Dress a body and pose it in every frame."""
    outfit = dress(body, rng)
    return Actor(
        vertices=skin(outfit.vertices, body, motion.rotation, motion.position),
        rest=body.vertices,
        cover=outfit.cover,
        faces=body.faces,
        base=outfit.base,
        materials=outfit.materials,
    )


def second_person(
    motion: Motion, config: PeopleConfig, spot: Float[np.ndarray, "2"], rng: np.random.Generator
) -> Actor:
    """Another person of the same split who does something else at `spot` (x, z)."""
    body = sample_body(config, rng)
    action = ACTIONS[int(rng.integers(len(ACTIONS)))]
    other = motions.perform(
        action, rng, frames=len(motion.position), fps=config.fps, offsets=body.offsets
    )
    shift = np.array([spot[0], 0.0, spot[1]]) - other.position[:, 0].mean(0) * [1, 0, 1]
    outfit = act(body, other, rng)
    return outfit._replace(vertices=(outfit.vertices + shift).astype(np.float32))
