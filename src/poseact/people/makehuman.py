"""Bodies from the CC0 MakeHuman mesh: finer faces and hands than the bodies made in code.

The file is an .npz: ``V`` rest vertices (the first ``nb``) and the vertices of joint cubes, metres;
``F`` quads, a triangle repeats its last index; ``PF`` part of a quad (0 body, 1-2 eyes, 3 hair, 4
skirt); ``W`` (nb,22) skinning weights / 255; ``T`` (42,n,3) int16 morph targets in 0.1 mm with
``names``; ``JI`` vertices whose mean is each rig joint, padded with -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from poseact.people.bodies import BODY, EYE, HAIR_STRANDS, SKIRT, Body, Shape
from poseact.people.skeleton import INDEX, OFFSETS, PARENT

_PART = np.array([BODY, EYE, EYE, HAIR_STRANDS, SKIRT])
_PEOPLES = ("african", "asian", "caucasian")
_CELL_M = 0.015  # vertices closer than this are merged: nothing is lost below a 300 px person
_LIMBS = (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle"))


@dataclass(frozen=True)
class MeshLibrary:
    """The morphable mesh as stored, quads split into triangles, plus its merged topology."""

    rest: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "f 3"]
    face_part: Int[np.ndarray, "f"]
    weights: Float[np.ndarray, "nb 22"]
    targets: Float[np.ndarray, "m n 3"]
    names: tuple[str, ...]
    joint_vertices: Int[np.ndarray, "22 k"]
    merged: Int[np.ndarray, "nb"]  # the cluster of each vertex


@lru_cache(maxsize=2)
def load_library(path: str) -> MeshLibrary:
    """Read the mesh. Raises FileNotFoundError that names the file and the mend."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no body mesh at {path}; give the path of makehuman.npz, or None for made bodies"
        )
    with np.load(path) as stored:
        data = {name: stored[name] for name in stored.files}
    quads = data["F"].astype(np.int32)
    split = quads[:, 2] != quads[:, 3]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[split][:, [0, 2, 3]]])
    part = _PART[np.concatenate([data["PF"], data["PF"][split]])]
    count = int(data["nb"])
    rest = data["V"].astype(np.float32)
    vertex_part = np.zeros(count, int)
    vertex_part[faces.ravel()] = part.repeat(3)
    # parts lie 50 m apart for the merge, so that skin and skirt do not melt together
    cells = np.floor((rest[:count] + 50.0 * vertex_part[:, None]) / _CELL_M).astype(int)
    _, merged = np.unique(cells, axis=0, return_inverse=True)
    return MeshLibrary(
        rest=rest,
        faces=faces,
        face_part=part,
        weights=data["W"].astype(np.float32) / 255,
        targets=data["T"].astype(np.float32) * 1e-4,
        names=tuple(str(name) for name in data["names"]),
        joint_vertices=data["JI"],
        merged=merged.ravel(),
    )


def random_mesh_body(library: MeshLibrary, rng: np.random.Generator) -> Body:
    """Sample a person from the morphable mesh, bound to the rig."""
    amounts, shape = _random_morph(library, rng)
    morphed = library.rest + np.tensordot(amounts, library.targets, 1)
    joints = np.stack([morphed[row[row >= 0]].mean(0) for row in library.joint_vertices])
    morphed, joints = morphed - joints[0], joints - joints[0]
    offsets, rotation = _bind(joints.astype(np.float64))
    hair, skirt = rng.random() < 0.35, rng.random() < 0.2 * shape.female
    keep = library.face_part <= EYE
    keep |= (library.face_part == HAIR_STRANDS) & hair
    keep |= (library.face_part == SKIRT) & skirt
    vertices, faces, weights, part = _merge(library, morphed, keep)
    trunk = np.linalg.norm(joints[INDEX["neck"]])
    scale = float(trunk / np.linalg.norm(OFFSETS[[1, 2, 3]], axis=1).sum())
    return Body(
        vertices=vertices,
        faces=faces,
        weights=weights,
        rotation=rotation,
        position=joints.astype(np.float64),
        offsets=offsets,
        part=part,
        shape=Shape(shape.fat, shape.muscle, shape.female, scale),
    )


def _random_morph(
    library: MeshLibrary, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "m"], Shape]:
    """Amounts of the morph targets of a random adult or, now and then, a child."""
    female = rng.beta(0.4, 0.4)
    old = np.clip(rng.normal(0.15, 0.3), 0, 1)
    child = rng.uniform(0.3, 0.9) if rng.random() < 0.08 else 0.0
    muscle, height, ideal = (
        rng.uniform(-1, 1),
        np.clip(rng.normal(0, 0.45), -1, 1),
        rng.uniform(-1, 1),
    )
    fat = float(np.clip(rng.normal(0.05, 0.5), -1, 1))
    grown = 1 - child
    ages = {"child": child, "young": grown * (1 - old), "old": grown * old}
    amount = dict.fromkeys(library.names, 0.0)
    for people, share in zip(_PEOPLES, rng.dirichlet([0.6] * 3)):
        for sex, of_sex in (("male", 1 - female), ("female", female)):
            for age, of_age in ages.items():
                amount[f"{people}-{sex}-{age}"] = share * of_sex * of_age
    for sex, of_sex in (("male", 1 - female), ("female", female)):
        for build, of_build in _thirds(muscle):
            for weight, of_weight in _thirds(fat):
                name = f"u-{sex}-{build}muscle-{weight}weight"
                if name in amount:  # the middle of both is the mesh itself
                    amount[name] = of_sex * of_build * of_weight * grown
        amount[f"h-{sex}-{'max' if height > 0 else 'min'}"] = 0.8 * of_sex * abs(height) * grown
        amount[f"p-{sex}-{'ideal' if ideal > 0 else 'uncommon'}"] = 0.6 * of_sex * abs(ideal)
    amounts = np.array([amount[name] for name in library.names], np.float32)
    return amounts, Shape(fat, muscle, float(female), 1.0)


def _thirds(value: float) -> tuple[tuple[str, float], ...]:
    return ("min", max(-value, 0.0)), ("average", 1 - abs(value)), ("max", max(value, 0.0))


def _bind(
    joints: Float[np.ndarray, "22 3"],
) -> tuple[Float[np.ndarray, "22 3"], Float[np.ndarray, "22 3 3"]]:
    """Offsets and rest rotations that put the rig, whose limbs hang down at rest, into the mesh."""
    offsets = np.stack([p - joints[max(q, 0)] for p, q in zip(joints, PARENT)])
    rotation = np.tile(np.eye(3), (len(PARENT), 1, 1))
    for side in "lr":
        for chain in _LIMBS:
            for start, end in zip(chain[:-1], chain[1:]):
                bone = offsets[INDEX[f"{side}_{end}"]]
                length = float(np.linalg.norm(bone))
                rotation[INDEX[f"{side}_{start}"]] = _from_down(bone / length)
                offsets[INDEX[f"{side}_{end}"]] = (0, -length, 0)
    return offsets, rotation


def _from_down(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The shortest rotation that takes -y to a unit direction (Rodrigues)."""
    down = np.array([0.0, -1.0, 0.0])
    x, y, z = np.cross(down, direction)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + down @ direction)


def _merge(
    library: MeshLibrary, morphed: Float[np.ndarray, "n 3"], keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, weights and parts of the kept faces after merging close vertices."""
    faces = library.merged[library.faces[keep]]
    whole = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    )
    faces = faces[whole]
    used, compact = np.unique(faces, return_inverse=True)
    count = np.bincount(library.merged)[:, None]

    def mean(values: np.ndarray) -> np.ndarray:
        columns = [np.bincount(library.merged, column) for column in values.T]
        return (np.stack(columns, 1) / count)[used].astype(np.float32)

    part = np.zeros(len(used), int)
    part[compact.ravel()] = library.face_part[keep][whole].repeat(3)
    vertices = mean(morphed[: len(library.merged)])
    weights = mean(library.weights)
    weights /= weights.sum(1, keepdims=True)  # they were stored in 8 bits
    return vertices, compact.reshape(-1, 3).astype(np.int32), weights, part
