"""Bodies made in code: smooth unions of round cones and ellipsoids, meshed and bound to the rig.

A body is built in an A pose (arms 50 degrees out), where no limb touches another: signed distances
on a grid, surface nets over it, and skinning weights from the distance to the bones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Float, Int

from poseact.people.skeleton import (
    CHANNEL,
    INDEX,
    OFFSETS,
    PARENT,
    RIG,
    forward_kinematics,
    local_rotations,
    neutral,
    random_offsets,
)

BODY, EYE, HAIR_STRANDS, SKIRT = range(4)  # parts of a mesh
CELL_M = 0.024  # surface net cell of an average adult

_TRUNK = ("pelvis", "spine", "chest", "neck", "head")


@dataclass(frozen=True)
class Shape:
    """Build of a person: about -1..1 each, `female` 0..1, `scale` 1 for the average stature."""

    fat: float
    muscle: float
    female: float
    scale: float


@dataclass(frozen=True)
class Body:
    """A mesh bound to the rig, in metres.

    ``vertices`` (V,3) and ``faces`` (F,3) at rest, ``weights`` (V,22) sum to one, ``rotation``
    (22,3,3) and ``position`` (22,3) of the joints at rest, ``offsets`` (22,3) to the parent joints,
    ``part`` (V,) is one of BODY, EYE, HAIR_STRANDS, SKIRT.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    weights: Float[np.ndarray, "v 22"]
    rotation: Float[np.ndarray, "22 3 3"]
    position: Float[np.ndarray, "22 3"]
    offsets: Float[np.ndarray, "22 3"]
    part: Int[np.ndarray, "v"]
    shape: Shape


@dataclass(frozen=True)
class Solid:
    """One primitive of a bone: a round cone from `a` to `b`, or an ellipsoid about `a`."""

    joint: str
    a: Float[np.ndarray, "3"]
    b: Float[np.ndarray, "3"] | None
    radius: tuple[float, ...]  # metres: at a and b, or the three half axes

    def distance(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        """Signed distance in metres, negative inside (approximate for ellipsoids)."""
        if self.b is None:
            scaled = (points - self.a) / self.radius
            k0 = np.linalg.norm(scaled, axis=1)
            k1 = np.linalg.norm(scaled / self.radius, axis=1)
            return k0 * (k0 - 1) / np.maximum(k1, 1e-6)
        t, away = along_segment(points, self.a, self.b)
        return away - (self.radius[0] + (self.radius[1] - self.radius[0]) * np.clip(t, 0, 1))


def along_segment(
    points: Float[np.ndarray, "n 3"], a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Share of the way from a to b (not clipped) and the distance to the segment."""
    axis = b - a
    t = (points - a) @ axis / (axis @ axis)
    return t, np.linalg.norm(points - a - np.clip(t, 0, 1)[:, None] * axis, axis=1)


def random_shape(rng: np.random.Generator, scale: float) -> Shape:
    """Sample a build."""
    return Shape(
        fat=float(np.clip(rng.normal(0.12, 0.35), -0.35, 1.2)),
        muscle=float(np.clip(rng.normal(0.1, 0.5), -0.8, 1.2)),
        female=float((rng.random() < 0.5) * rng.uniform(0.6, 1.0)),
        scale=scale,
    )


def random_body(rng: np.random.Generator, offsets: Float[np.ndarray, "22 3"] | None = None) -> Body:
    """Build a body from code alone, of random proportions or of the given bone `offsets` (m)."""
    offsets = random_offsets(rng) if offsets is None else np.asarray(offsets, np.float64)
    trunk = [INDEX[name] for name in ("spine", "chest", "neck")]
    scale = float(
        np.linalg.norm(offsets[trunk], axis=1).sum() / np.linalg.norm(OFFSETS[trunk], axis=1).sum()
    )
    shape = random_shape(rng, scale)
    rotation, position = _bind_pose(offsets)
    values, corner, cell = _distance_grid(_solids(offsets, position, shape), position, scale)
    vertices, faces = surface_nets(values, corner, cell)
    return Body(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        weights=_skinning_weights(vertices, position, scale).astype(np.float32),
        rotation=rotation,
        position=position,
        offsets=offsets,
        part=np.full(len(vertices), BODY),
        shape=shape,
    )


def skin(
    vertices: Float[np.ndarray, "v 3"],
    body: Body,
    rotation: Float[np.ndarray, "t 22 3 3"],
    position: Float[np.ndarray, "t 22 3"],
) -> Float[np.ndarray, "t v 3"]:
    """Linear blend skinning of rest `vertices` (m) to global joint rotations and positions."""
    turn = rotation @ body.rotation.transpose(0, 2, 1)  # T 22 3 3
    shift = position - np.einsum("tjab,jb->tja", turn, body.position)
    affine = np.concatenate([turn, shift[..., None]], -1).transpose(1, 0, 2, 3)  # 22 T 3 4
    blend = body.weights @ affine.reshape(len(RIG), -1).astype(np.float32)  # V T*12
    blend = blend.reshape(len(vertices), len(rotation), 3, 4)
    posed = np.einsum("vtab,vb->tva", blend[..., :3], vertices)
    return np.ascontiguousarray(posed + blend[..., 3].transpose(1, 0, 2), np.float32)


def _bind_pose(
    offsets: Float[np.ndarray, "22 3"],
) -> tuple[Float[np.ndarray, "22 3 3"], Float[np.ndarray, "22 3"]]:
    channels = 0 * neutral()
    for side in "lr":
        channels[CHANNEL[f"{side}_shoulder_abduct"]] = np.deg2rad(50)
        channels[CHANNEL[f"{side}_hip_abduct"]] = np.deg2rad(9)
        channels[CHANNEL[f"{side}_elbow"]] = np.deg2rad(4)
    local = local_rotations(channels[None])
    rotation, position = forward_kinematics(local, offsets, np.zeros((1, 3)))
    return rotation[0], position[0]


# ---------------------------------------------------------------------- anatomy
def _solids(
    offsets: Float[np.ndarray, "22 3"], position: Float[np.ndarray, "22 3"], shape: Shape
) -> list[Solid]:
    """All primitives of a body. Radii are metres of an average adult, scaled with the trunk."""
    joints = {name: position[i] for name, i in INDEX.items()}
    solids = _trunk(joints, offsets, shape) + _head(joints, shape)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        solids += _arm(joints, side, shape) + _leg(joints, side, shape, sign)
    return solids


def _ellipsoid(joint: str, centre: np.ndarray, axes: tuple[float, ...], scale: float) -> Solid:
    return Solid(joint, centre, None, tuple(scale * r for r in axes))


def _cone(
    joint: str, a: np.ndarray, b: np.ndarray, radii: tuple[float, ...], scale: float
) -> Solid:
    return Solid(joint, a, b, tuple(scale * r for r in radii))


def _trunk(joints: dict[str, np.ndarray], offsets: np.ndarray, shape: Shape) -> list[Solid]:
    fat, muscle, female, k = shape.fat, shape.muscle, shape.female, shape.scale
    hip = abs(offsets[INDEX["l_hip"], 0]) / 0.093
    broad = abs(offsets[INDEX["l_shoulder"], 0]) / 0.175
    pelvis, spine, chest, neck = (joints[n] for n in ("pelvis", "spine", "chest", "neck"))
    left, right = joints["l_shoulder"], joints["r_shoulder"]
    back = np.array([0, 0, -0.01])
    girdle = 0.068 * (1 + 0.1 * muscle)

    def at(centre: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
        return centre + k * np.array([x, y, z])

    hips = (0.158 * hip * (1 + 0.10 * female) * (1 + 0.18 * fat), 0.125, 0.112 * (1 + 0.35 * fat))
    waist = (
        0.126 * (1 - 0.07 * female) * (1 + 0.30 * fat) * hip**0.5,
        0.17,
        0.098 * (1 + 0.55 * fat),
    )
    ribs = (
        0.155 * broad * (1 + 0.06 * muscle - 0.05 * female) * (1 + 0.14 * fat),
        0.185,
        0.112 * (1 + 0.22 * fat + 0.08 * muscle),
    )
    throat = (0.055 * (1 + 0.15 * muscle - 0.1 * female + 0.15 * fat), 0.051 * (1 - 0.1 * female))
    solids = [
        _ellipsoid("pelvis", at(pelvis, 0, -0.02, -0.012), hips, k),
        _ellipsoid("spine", at(spine, 0, 0.02, 0.006 + 0.03 * fat), waist, k),
        _ellipsoid("chest", at(chest, 0, 0.06, 0.004), ribs, k),
        _cone(
            "chest",
            0.72 * left + 0.28 * right + back,
            0.28 * left + 0.72 * right + back,
            (girdle, girdle),
            k,
        ),
        _cone("neck", at(neck, 0, -0.03, -0.005), at(joints["head"], 0, 0.02, 0), throat, k),
    ]
    for sign in (-1, 1):
        solids.append(
            _ellipsoid("pelvis", at(pelvis, 0.075 * sign, -0.075, -0.062), (0.085, 0.085, 0.075), k)
        )
        if female > 0.5:
            bust = tuple(r * (1 + w * fat) for r, w in ((0.058, 0.3), (0.055, 0.3), (0.042, 0.5)))
            solids.append(_ellipsoid("chest", at(chest, 0.07 * sign, 0.055, 0.088), bust, k))
    return solids


def _head(joints: dict[str, np.ndarray], shape: Shape) -> list[Solid]:
    k, base = shape.scale, joints["head"]
    middle = 0.52 * base + 0.48 * joints["headtop"]

    def at(centre: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
        return centre + k * np.array([x, y, z])

    jaw = 0.055 - 0.004 * shape.female
    solids = [
        _ellipsoid("head", at(middle, 0, 0.008, -0.004), (0.075, 0.108, 0.095), k),
        _ellipsoid("head", at(base, 0, 0.018, 0.032), (jaw, 0.062, 0.066), k),
        _ellipsoid("head", at(base, 0, 0.055, 0.104), (0.013, 0.022, 0.020), k),  # nose
    ]
    for sign in (-1, 1):
        ear = at(middle, 0.077 * sign, -0.012, -0.003)
        solids.append(_ellipsoid("head", ear, (0.012, 0.03, 0.02), k))
    return solids


def _arm(joints: dict[str, np.ndarray], side: str, shape: Shape) -> list[Solid]:
    k = shape.scale
    names = [f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "hand")]
    shoulder, elbow, wrist, hand = (joints[name] for name in names)
    thick = 1 + 0.16 * shape.muscle + 0.22 * shape.fat - 0.10 * shape.female
    upper = [r * thick for r in (0.058, 0.042, 0.054, 0.050)]
    fore = [r * thick for r in (0.041, 0.044, 0.028)]
    muscle = (0.8 * shoulder + 0.2 * elbow, 0.45 * shoulder + 0.55 * elbow)
    belly = 0.7 * elbow + 0.3 * wrist
    palm = 0.45 * wrist + 0.55 * hand
    thumb = 0.7 * wrist + 0.3 * hand + k * np.array([0, 0, 0.035]) + 0.18 * (hand - wrist)
    return [
        _cone(names[0], shoulder, elbow, (upper[0], upper[1]), k),
        _cone(names[0], *muscle, (upper[2], upper[3]), k),
        _cone(names[1], elbow, belly, (fore[0], fore[1]), k),
        _cone(names[1], belly, wrist, (fore[1], fore[2]), k),
        _cone(names[2], wrist, palm, (0.029, 0.037), k),
        _cone(names[2], palm, hand, (0.035, 0.019), k),
        _cone(names[2], 0.85 * wrist + 0.15 * hand, thumb, (0.018, 0.013), k),
    ]


def _leg(joints: dict[str, np.ndarray], side: str, shape: Shape, sign: float) -> list[Solid]:
    k = shape.scale
    names = [f"{side}_{name}" for name in ("hip", "knee", "ankle", "toe")]
    hip, knee, ankle, toe = (joints[name] for name in names)
    thick = 1 + 0.12 * shape.muscle + 0.22 * shape.fat
    thigh = (0.088 * thick * (1 + 0.06 * shape.female), 0.072 * thick, 0.053 * thick)
    calf = 0.68 * knee + 0.32 * ankle + k * np.array([0.004 * sign, 0, -0.012])
    middle = 0.5 * (hip + knee)
    heel = ankle + np.array([0, -0.02, -0.03])
    ball = 0.75 * toe + 0.25 * ankle + np.array([0, -0.012, 0])
    return [
        _cone(names[0], hip, middle, thigh[:2], k),
        _cone(names[0], middle, knee, thigh[1:], k),
        _cone(names[1], knee, calf, (0.053 * thick, 0.056 * thick), k),
        _cone(names[1], calf, ankle, (0.055 * thick, 0.036), k),
        _cone(names[2], heel, ball, (0.040, 0.040), k),
        _cone(names[2], 0.45 * ankle + 0.55 * toe, toe, (0.042, 0.032), k),
    ]


# ---------------------------------------------------------------------- meshing
def _smooth_min(a: np.ndarray, b: np.ndarray, blend: float) -> np.ndarray:
    """Minimum with a rounded seam `blend` metres wide."""
    h = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - 0.25 * blend * h * h


def _distance_grid(
    solids: list[Solid], position: Float[np.ndarray, "22 3"], scale: float
) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "3"], float]:
    """Signed distance on a grid around the body; also the grid's corner and cell, metres."""
    cell = CELL_M * scale
    corner = position.min(0) - 0.16 * scale
    count = np.ceil((position.max(0) + 0.14 * scale - corner) / cell).astype(int) + 1
    axes = [corner[i] + cell * np.arange(count[i]) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    parts = {s.joint: np.full(tuple(count), 9.0, np.float32) for s in solids}
    for solid in solids:  # only near its bone: a solid far away cannot change the minimum
        joint = INDEX[solid.joint]
        bone = position[[joint] + [j for j, parent in enumerate(PARENT) if parent == joint]]
        pad = (0.27 if solid.joint in _TRUNK[:3] else 0.17) * scale
        low = np.maximum(((bone.min(0) - pad - corner) / cell).astype(int), 0)
        high = np.minimum(((bone.max(0) + pad - corner) / cell).astype(int) + 2, count)
        box = tuple(slice(a, b) for a, b in zip(low, high))
        distance = solid.distance(points[box].reshape(-1, 3)).reshape(high - low)
        blend = (0.025 if solid.joint == "head" else 0.05) * scale
        parts[solid.joint][box] = _smooth_min(
            parts[solid.joint][box], distance.astype(np.float32), blend
        )
    return _union(parts, scale), corner, cell


def _union(parts: dict[str, np.ndarray], scale: float) -> np.ndarray:
    whole = parts["pelvis"]
    for name in ("spine", "chest", "neck"):
        whole = _smooth_min(whole, parts[name], 0.09 * scale)
    whole = _smooth_min(whole, parts["head"], 0.03 * scale)
    for side in "lr":
        for chain, seam in (("shoulder elbow wrist", 0.06), ("hip knee ankle", 0.045)):
            first, second, third = (parts[f"{side}_{name}"] for name in chain.split())
            limb = _smooth_min(second, third, 0.022 * scale)
            whole = _smooth_min(whole, _smooth_min(first, limb, 0.03 * scale), seam * scale)
    return whole


_CORNERS = np.array(list(product((0, 1), repeat=3)))
_EDGES = [(i, j) for i, j in combinations(range(8), 2) if abs(_CORNERS[i] - _CORNERS[j]).sum() == 1]


def surface_nets(
    values: Float[np.ndarray, "x y z"], corner: Float[np.ndarray, "3"], cell: float
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Mesh the zero level of a grid of signed distances (negative inside).

    Naive surface nets (Gibson 1998): one vertex a cell that the surface crosses, at the mean of the
    crossings of its edges; two triangles for every crossed grid edge, counter-clockwise seen from
    outside. Returns vertices in metres and faces.
    """
    inside = values < 0
    nx, ny, nz = (n - 1 for n in values.shape)
    inner = np.zeros((nx, ny, nz), np.int8)
    for x, y, z in _CORNERS:
        inner += inside[x : nx + x, y : ny + y, z : nz + z]
    cells = np.argwhere((inner > 0) & (inner < 8))
    number = np.full((nx, ny, nz), -1)
    number[tuple(cells.T)] = np.arange(len(cells))
    at_corner = np.stack([values[tuple((cells + c).T)] for c in _CORNERS], 1)  # V 8
    total, crossings = np.zeros((len(cells), 3)), np.zeros((len(cells), 1))
    for i, j in _EDGES:
        a, b = at_corner[:, i], at_corner[:, j]
        crossed = (a < 0) != (b < 0)
        t = np.where(crossed, a / np.where(crossed, a - b, 1), 0)[:, None]
        total += crossed[:, None] * (_CORNERS[i] + t * (_CORNERS[j] - _CORNERS[i]))
        crossings += crossed[:, None]
    vertices = (cells + total / crossings) * cell + corner
    return vertices, _net_faces(inside, number)


def _net_faces(inside: np.ndarray, number: np.ndarray) -> Int[np.ndarray, "f 3"]:
    """Two triangles, counter-clockwise from outside, around every edge that changes sides."""
    faces = []
    unit = np.eye(3, dtype=int)
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        here: list[slice] = [slice(1, -1)] * 3
        here[axis] = slice(0, -1)
        there = list(here)
        there[axis] = slice(1, None)
        a, b = inside[tuple(here)], inside[tuple(there)]
        for outwards, crossed in ((True, a & ~b), (False, ~a & b)):
            edge = np.argwhere(crossed) + unit[u] + unit[v]
            ring = [edge, edge - unit[u], edge - unit[u] - unit[v], edge - unit[v]]
            quad = [number[tuple(cell.T)] for cell in (ring if outwards else ring[::-1])]
            faces.append(np.stack([quad[0], quad[1], quad[2]], 1))
            faces.append(np.stack([quad[0], quad[2], quad[3]], 1))
    return np.concatenate(faces)


# ---------------------------------------------------------------------- binding
_BONE_RADIUS = {"pelvis": 0.13, "spine": 0.12, "chest": 0.13, "neck": 0.06, "head": 0.09}


def _skinning_weights(
    vertices: Float[np.ndarray, "v 3"], position: Float[np.ndarray, "22 3"], scale: float
) -> Float[np.ndarray, "v 22"]:
    """Inverse fifth power of the distance to the bones, among kin of the nearest joint only."""
    weights = np.zeros((len(vertices), len(RIG)))
    for child, parent in enumerate(PARENT):
        if parent < 0:
            continue
        _, distance = along_segment(vertices, position[parent], position[child])
        radius = _BONE_RADIUS.get(RIG[parent], 0.055) * scale
        if RIG[parent] in ("chest", "pelvis") and RIG[child] not in _TRUNK:
            radius *= 0.55  # the thin bones out to shoulders and hips
        weight = 1 / np.maximum(distance / radius, 0.05) ** 5
        if RIG[parent] not in _TRUNK:  # a limb does not pull the other side of the body
            weight *= np.sign(position[parent, 0]) * vertices[:, 0] > -0.03 * scale
        weights[:, parent] = np.maximum(weights[:, parent], weight)
    kin = np.eye(len(RIG), dtype=bool)
    for child, parent in enumerate(PARENT[1:], start=1):
        kin[child, parent] = kin[parent, child] = True
    weights *= kin[weights.argmax(1)]
    weights[weights < 0.03 * weights.max(1, keepdims=True)] = 0
    return weights / weights.sum(1, keepdims=True)
