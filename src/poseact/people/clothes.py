"""Clothes, hair, skin and colours: what makes a body a person. Everybody is dressed.

A garment is not a mesh of its own. Each vertex knows how far inside every garment it lies
(`Outfit.cover`, metres, > 0 = covered), the renderer interpolates that over a triangle, and covered
vertices are pushed out along their normals. Patterns are functions of the rest position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from poseact.people import raster, shading
from poseact.people.bodies import EYE, HAIR_STRANDS, SKIRT, Body
from poseact.people.skeleton import INDEX

_SKIN = (  # sRGB
    (255, 219, 190), (241, 194, 160), (230, 180, 150), (224, 172, 125), (198, 134, 90),
    (160, 105, 68), (128, 78, 48), (95, 60, 40), (70, 45, 33),
)  # fmt: skip
_HAIR = (
    (20, 15, 12), (28, 22, 20), (45, 30, 22), (70, 45, 30), (95, 65, 40), (150, 110, 60),
    (195, 160, 105), (120, 55, 28), (130, 130, 130), (200, 198, 195),
)  # fmt: skip
_CLOTH = (  # what shops sell: mostly dark, grey, blue and white
    (25, 25, 28), (38, 38, 42), (60, 60, 64), (105, 105, 108), (160, 160, 158), (228, 226, 220),
    (240, 240, 238), (30, 40, 70), (45, 65, 110), (70, 95, 140), (120, 150, 185), (85, 95, 110),
    (120, 100, 75), (165, 145, 110), (200, 185, 155), (70, 60, 45), (75, 85, 60), (95, 105, 75),
    (140, 35, 40), (175, 50, 45), (110, 30, 50), (200, 120, 50), (215, 180, 70), (60, 110, 80),
    (40, 90, 95), (110, 80, 130), (190, 130, 150), (215, 165, 160),
)  # fmt: skip
_PATTERNS = (
    *(shading.SOLID,) * 8,
    *(shading.STRIPES, shading.STRIPES, shading.PINSTRIPES, shading.CHECKER, shading.BLOTCHES),
    *(shading.DOTS, shading.PLAID, shading.PLAID, shading.FRACTAL, shading.FRACTAL),
)
_FAR = 0.05  # m, the cover of what is well inside a garment
_TRUNK = ("pelvis", "spine", "chest")
PERSON_ROWS = 6  # rows of materials of a person, see shading.SKIN ..


@dataclass(frozen=True)
class Outfit:
    """A dressed body.

    ``vertices`` (V,3) pushed out, m; ``cover`` (V,4) of shoes, top, bottom, hair, m; ``base`` (F,)
    row of a face's bare material; ``materials`` (6, shading.MATERIAL_COLUMNS).
    """

    body: Body
    vertices: Float[np.ndarray, "v 3"]
    cover: Float[np.ndarray, "v 4"]
    base: Int[np.ndarray, "f"]
    materials: Float[np.ndarray, "6 c"]


def dress(body: Body, rng: np.random.Generator) -> Outfit:
    """Sample clothes, hair and colours for a body."""
    nearest = body.weights.argmax(1)
    legs = [_limb(body, nearest, side, ("hip", "knee", "ankle", "toe")) for side in "lr"]
    top = _shirt(body, nearest, rng)
    bottom = _trousers(body, nearest, legs, rng)
    shoes = _shoes(body, nearest, legs, rng)
    hair = _hair(body, nearest, rng)
    bottom[body.part == SKIRT] = _FAR
    top[body.part == SKIRT] = -_FAR
    cover = np.stack([shoes, top, bottom, hair], 1).astype(np.float32)
    cover[body.part == EYE] = -_FAR
    return Outfit(
        body=body,
        vertices=_pushed_out(body, cover, rng),
        cover=cover,
        base=np.where(body.part[body.faces[:, 0]] == EYE, shading.EYES, shading.SKIN).astype(
            np.int32
        ),
        materials=_materials(body, rng),
    )


def lattice(rng: np.random.Generator) -> Float[np.ndarray, "32 32 32"]:
    """A lattice of value noise for `raster.noise3`."""
    return rng.random((32, 32, 32), np.float32)


def cloth_colour(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A colour that people wear, sRGB 0..1."""
    if rng.random() < 0.2:
        hue, saturation, value = rng.random(), rng.beta(1.5, 1.5), rng.beta(2, 1.5)
        wheel = np.clip(np.abs((6 * hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        return value * (1 - saturation * (1 - wheel))
    colour = np.array(_CLOTH[rng.integers(len(_CLOTH))]) / 255
    return np.clip(colour * rng.uniform(0.85, 1.15) + rng.normal(0, 0.02, 3), 0.02, 1)


def material(
    colour_a: Float[np.ndarray, "3"],
    colour_b: Float[np.ndarray, "3"] | None = None,
    *,
    pattern: int = shading.SOLID,
    scale: float = 1.0,
    gloss: float = 0.0,
    wrinkle: float = 0.0,
    wrinkle_scale: float = 20.0,
    texture: int = -1,
) -> Float[np.ndarray, "c"]:
    """A row of `shading` materials from sRGB colours 0..1; scales are per metre."""
    row = np.zeros(shading.MATERIAL_COLUMNS, np.float32)
    row[shading.COLOUR_A : shading.COLOUR_A + 3] = np.square(colour_a)
    row[shading.COLOUR_B : shading.COLOUR_B + 3] = np.square(
        colour_a if colour_b is None else colour_b
    )
    row[shading.PATTERN], row[shading.PATTERN_SCALE] = pattern, scale
    row[shading.GLOSS], row[shading.TEXTURE] = gloss, texture
    row[shading.WRINKLE], row[shading.WRINKLE_SCALE] = wrinkle, wrinkle_scale
    return row


# ---------------------------------------------------------------------- garments
class Limb(NamedTuple):
    """The vertices of an arm or leg, how far down it they are, its length to wrist or ankle; m."""

    rows: Int[np.ndarray, "n"]
    along: Float[np.ndarray, "n"]
    length: float


def _limb(body: Body, nearest: np.ndarray, side: str, chain: tuple[str, ...]) -> Limb:
    joints = [INDEX[f"{side}_{name}"] for name in chain]
    rows, along = [], []
    length = start = 0.0
    for a, b in zip(joints[:-1], joints[1:]):
        length, bone = start, body.position[b] - body.position[a]
        rows.append(np.flatnonzero(nearest == a))
        along.append(
            start + (body.vertices[rows[-1]] - body.position[a]) @ bone / np.linalg.norm(bone)
        )
        start += float(np.linalg.norm(bone))
    return Limb(np.concatenate(rows), np.concatenate(along), length)


def _shirt(body: Body, nearest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    k, y = body.shape.scale, body.vertices[:, 1]
    pelvis, neck = body.position[INDEX["pelvis"], 1], body.position[INDEX["neck"], 1]
    hem = pelvis + k * rng.choice(
        [rng.uniform(-0.06, 0.06), rng.uniform(-0.22, -0.06), 0.10], p=[0.7, 0.2, 0.1]
    )
    neckline = neck + k * rng.uniform(-0.02, 0.035)
    v_neck = rng.choice([0.0, 0.8]) * np.maximum(0.06 * k - np.abs(body.vertices[:, 0]), 0)
    front = body.vertices[:, 2] > 0
    upper = np.minimum(y - hem, neckline - front * v_neck - y)
    cover = np.full(len(y), -_FAR)
    trunk = np.isin(nearest, [INDEX[n] for n in (*_TRUNK, "neck", "l_hip", "r_hip")])
    cover[trunk] = upper[trunk]
    sleeve = rng.choice([0.15, 0.3, 0.5, 0.75, 0.98], p=[0.1, 0.27, 0.13, 0.08, 0.42])
    for side in "lr":
        arm = _limb(body, nearest, side, ("shoulder", "elbow", "wrist", "hand"))
        cover[arm.rows] = sleeve * arm.length - arm.along
    return np.clip(cover, -_FAR, _FAR)


def _trousers(
    body: Body, nearest: np.ndarray, legs: list[Limb], rng: np.random.Generator
) -> np.ndarray:
    y = body.vertices[:, 1]
    waist = body.position[INDEX["pelvis"], 1] + body.shape.scale * rng.uniform(0.04, 0.12)
    cover = np.full(len(y), -_FAR)
    trunk = np.isin(nearest, [INDEX[name] for name in _TRUNK])
    cover[trunk] = (waist - y)[trunk]
    share = rng.choice([0.28, 0.48, 0.75, 1.05], p=[0.12, 0.2, 0.08, 0.6])
    for leg in legs:
        cover[leg.rows] = share * leg.length - leg.along
    return np.clip(cover, -_FAR, _FAR)


def _shoes(
    body: Body, nearest: np.ndarray, legs: list[Limb], rng: np.random.Generator
) -> np.ndarray:
    cover = np.full(len(body.vertices), -_FAR)
    shaft = rng.choice([0.0, 0.04, 0.12, 0.25], p=[0.5, 0.25, 0.15, 0.1])
    for leg in legs:
        cover[leg.rows] = leg.along - leg.length + shaft * body.shape.scale
    cover[np.isin(nearest, [INDEX["l_ankle"], INDEX["r_ankle"]])] = _FAR
    return np.clip(cover, -_FAR, _FAR)


def _hair(body: Body, nearest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Above a hairline that falls towards the back of the head; long hair falls over the neck."""
    k = body.shape.scale
    crown, skull = body.position[INDEX["headtop"]], body.position[INDEX["head"]]
    x, y, z = ((body.vertices - (crown + skull) / 2) / k).T
    style = rng.choice(["bald", "short", "bob", "long"], p=[0.07, 0.5, 0.23, 0.2])
    line = rng.uniform(0.025, 0.055)
    if style == "short":
        cover = y - line + 1.6 * np.maximum(0.02 - z, 0)
    else:
        cover = y - line + 9.0 * np.maximum(0.015 - z, 0) * (y > -0.2)
        cover = np.maximum(cover, np.minimum(np.abs(x) - 0.064, 0.05 - z))
    low = -0.30 if style == "long" else -0.13
    cover = np.minimum(cover, y - low)
    on_head = nearest == INDEX["head"]
    if style == "long":
        on_head |= (nearest == INDEX["neck"]) & (z < 0)
    cover = np.where(on_head, k * cover, -_FAR)
    if style == "bald":
        cover[:] = -_FAR
    cover[body.part == HAIR_STRANDS] = _FAR
    return np.clip(cover, -_FAR, _FAR)


def _pushed_out(
    body: Body, cover: Float[np.ndarray, "v 4"], rng: np.random.Generator
) -> Float[np.ndarray, "v 3"]:
    """Move covered vertices out along their normals by the garment's looseness, with folds."""
    normals = np.empty_like(body.vertices)
    raster.vertex_normals(body.vertices, body.faces, normals)
    folds = np.empty(len(normals), np.float32)
    raster.noise_at(lattice(rng), body.vertices * np.float32(rng.uniform(8, 14)), folds)
    loose = [0.008, rng.uniform(0.004, 0.028), rng.uniform(0.004, 0.026), rng.uniform(0.006, 0.022)]
    offset = np.zeros(len(normals), np.float32)
    for layer, width in enumerate(loose):
        full = np.clip(cover[:, layer] / 0.012 + 0.5, 0, 1)  # a hem is a step, softened
        offset = np.maximum(offset, full * width * (0.5 + folds))
    offset *= body.shape.scale
    offset[(body.part == SKIRT) | (body.part == HAIR_STRANDS) | (body.part == EYE)] = 0
    above = body.vertices[:, 1] - body.vertices[:, 1].min()
    offset *= np.clip(above / 0.02, 0, 1)  # a sole must not lift a person off the floor
    return np.ascontiguousarray(body.vertices + normals * offset[:, None], np.float32)


def _garment(rng: np.random.Generator, patterns: tuple[int, ...]) -> Float[np.ndarray, "c"]:
    colour = cloth_colour(rng)
    other = (
        cloth_colour(rng) if rng.random() < 0.6 else np.clip(colour * rng.uniform(0.5, 1.5), 0, 1)
    )
    return material(
        colour,
        other,
        pattern=int(rng.choice(patterns)),
        scale=float(np.exp(rng.uniform(np.log(7), np.log(28)))),
        wrinkle=rng.uniform(0.15, 0.7),
        wrinkle_scale=rng.uniform(10, 28),
    )


def _materials(body: Body, rng: np.random.Generator) -> Float[np.ndarray, "6 c"]:
    """Rows skin, shoes, top, bottom, hair, eyes."""
    complexion = np.clip(
        np.array(_SKIN[rng.integers(len(_SKIN))]) / 255 * rng.uniform(0.9, 1.08), 0, 1
    )
    hair = np.array(_HAIR[rng.integers(len(_HAIR))]) / 255
    skin_row = material(complexion, gloss=0.08)
    if not (body.part == EYE).any():  # a body without eyes gets them painted
        skin_row[shading.FACE : shading.FACE + 3] = body.position[INDEX["head"]]
        skin_row[shading.FACE_SCALE] = body.shape.scale
    rows = [
        skin_row,
        material(cloth_colour(rng) * 0.8, gloss=0.12),
        _garment(rng, _PATTERNS),
        _garment(rng, (shading.SOLID,) * 6 + (shading.FRACTAL, shading.PINSTRIPES, shading.PLAID)),
        material(hair, 0.6 * hair, pattern=shading.FRACTAL, scale=55, gloss=0.06, wrinkle=0.5,
                 wrinkle_scale=30),
        material(np.full(3, 0.45), gloss=0.4),
    ]  # fmt: skip
    if rng.random() < 0.08:  # overall or dress
        rows[shading.BOTTOM] = rows[shading.TOP]
    return np.stack(rows)
