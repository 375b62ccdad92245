"""Deferred shading of rasterised people and what surrounds them, in numba.

Light is linear; textures are coded with a square root (gamma 2). A surface is shaded once a pixel
even where the buffers hold more samples: only silhouettes and borders of clothes cost more.
"""

from __future__ import annotations

from math import floor, log2, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poseact.people.raster import Array, Index, inline, jit, light_point, noise3

# Columns of a row of materials
COLOUR_A, COLOUR_B, PATTERN, PATTERN_SCALE, GLOSS, WRINKLE, WRINKLE_SCALE, TEXTURE = (
    *(0, 3, 6, 7),
    *(8, 9, 10, 11),
)
FACE, FACE_SCALE, MATERIAL_COLUMNS = 12, 15, 16  # origin of a painted face, scale 0 = no face
# Patterns of cloth, functions of the rest position so that they stick to the body
SOLID, STRIPES, PINSTRIPES, CHECKER, BLOTCHES, DOTS, PLAID, FRACTAL = range(8)
# Rows of a person's materials: the layers of `Mesh.cover`, outermost first, follow the skin
SKIN, SHOES, TOP, BOTTOM, HAIR, EYES = range(6)
LAYERS = 4
# What is behind the people
PICTURE, ROOM, GROUND = range(3)

TONE_STEPS = 1024
TONE_RANGE = 2.0  # linear light at the end of the tone curve
HAZE_START_M, HAZE_END_M = 12.0, 60.0


class Paint(NamedTuple):
    """Appearance of surfaces: rows of materials, tiling textures, a lattice of noise."""

    materials: Array  # M MATERIAL_COLUMNS
    textures: NDArray[np.uint8]  # N levels S S 3
    lattice: Array  # 32 32 32


class Around(NamedTuple):
    """Room or ground. Surfaces are in the order floor, ceiling, x walls, z walls."""

    kind: int
    bounds: Array  # 6: x0 x1 floor ceiling z0 z1
    texture: Index  # 4
    tile_m: Array  # 4
    tint: Array  # 4 3
    backdrop: Array  # H W 3, linear
    contact: float  # how dark the shadow on the floor of a picture is, 0..1


@inline
def _pattern(lattice, kind, scale, x, y, z):
    """Share of the second colour, 0..1, at a rest position (m)."""
    x, y, z = x * scale, y * scale, z * scale
    if kind == STRIPES:
        return 1.0 if y - floor(y) < 0.5 else 0.0
    if kind == PINSTRIPES:
        u = x + 0.6 * z
        return 1.0 if u - floor(u) < 0.25 else 0.0
    if kind == CHECKER:
        return float((int(floor(x)) + int(floor(y)) + int(floor(z))) & 1)
    if kind == BLOTCHES:
        value = noise3(lattice, x, y, z) + 0.35 * noise3(lattice, 2.3 * x + 7, 2.3 * y, 2.3 * z)
        return 1.0 if value > 0.75 else 0.0
    if kind == DOTS:
        u, v = x - floor(x) - 0.5, y - floor(y) - 0.5
        return 1.0 if u * u + v * v < 0.07 else 0.0
    if kind == PLAID:
        u = x + 0.6 * z
        return (0.5 if y - floor(y) < 0.4 else 0.0) + (0.5 if u - floor(u) < 0.4 else 0.0)
    if kind == FRACTAL:
        return 0.6 * noise3(lattice, x, y, z) + 0.4 * noise3(lattice, 2.7 * x + 3, 2.7 * y, 2.7 * z)
    return 0.0


@inline
def _texel(textures, index, u, v, footprint):
    """Bilinear linear RGB of a tiling texture at u, v (tiles); `footprint` in tiles a pixel."""
    size = textures.shape[2]
    level = 0
    if footprint * size > 1.0:
        level = min(int(log2(footprint * size) + 0.5), textures.shape[1] - 1)
    u = (u - floor(u)) * size
    v = (v - floor(v)) * size
    i, j = int(v), int(u)
    fu, fv = u - j, v - i
    i, j = i % size, j % size
    i2, j2 = (i + 1) % size, (j + 1) % size
    red = green = blue = 0.0
    tex = textures[index, level]
    for tap in range(4):
        row = i2 if tap & 2 else i
        column = j2 if tap & 1 else j
        weight = (fv if tap & 2 else 1.0 - fv) * (fu if tap & 1 else 1.0 - fu)
        red += weight * tex[row, column, 0]
        green += weight * tex[row, column, 1]
        blue += weight * tex[row, column, 2]
    scale = 1.0 / (255.0 * 255.0)
    return red * red * scale, green * green * scale, blue * blue * scale


@inline
def _lit(light, albedo, normal, at, ray, gloss):
    """Light that a surface point sends to the camera, RGB linear."""
    nx, ny, nz = normal
    inverse = 1.0 / sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
    toward = light.direction
    sunny = nx * toward[0] + ny * toward[1] + nz * toward[2]
    if sunny > 0:
        sunny *= sunlit(light, at[0] + 0.02 * nx, at[1] + 0.02 * ny, at[2] + 0.02 * nz)
    else:
        sunny = 0.0
    high = 0.5 + 0.5 * ny
    shine = 0.0
    if gloss > 0 and sunny > 0:
        rx, ry, rz = ray
        length = 1.0 / sqrt(rx * rx + ry * ry + rz * rz)
        hx, hy, hz = toward[0] - rx * length, toward[1] - ry * length, toward[2] - rz * length
        lobe = max(0.0, nx * hx + ny * hy + nz * hz) / sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
        lobe *= lobe
        lobe *= lobe
        lobe *= lobe
        shine = gloss * lobe * lobe * sunny
    sky, ground, sun = light.sky, light.ground, light.sun
    return (
        albedo[0] * (ground[0] + (sky[0] - ground[0]) * high + sun[0] * sunny) + shine,
        albedo[1] * (ground[1] + (sky[1] - ground[1]) * high + sun[1] * sunny) + shine,
        albedo[2] * (ground[2] + (sky[2] - ground[2]) * high + sun[2] * sunny) + shine,
    )


@inline
def sunlit(light, x, y, z):
    """Share of the sun that reaches a world point, 0..1, filtered over four shadow texels."""
    u, v, near = light_point(light, x, y, z)
    shadow = light.shadow
    size = shadow.shape[0]
    if u < 1 or v < 1 or u > size - 2 or v > size - 2:
        return 1.0
    u -= 0.5
    v -= 0.5
    i, j = int(v), int(u)
    fu, fv = u - j, v - i
    near += 0.03
    dark = 0.0
    if shadow[i, j] > near:
        dark += (1 - fu) * (1 - fv)
    if shadow[i, j + 1] > near:
        dark += fu * (1 - fv)
    if shadow[i + 1, j] > near:
        dark += (1 - fu) * fv
    if shadow[i + 1, j + 1] > near:
        dark += fu * fv
    return 1.0 - dark


@inline
def _weights(points, faces, t, u, v, w):
    """Perspective-correct barycentric weights of a fragment."""
    q1 = u * points[faces[t, 1], 2] / w
    q2 = v * points[faces[t, 2], 2] / w
    return 1.0 - q1 - q2, q1, q2


@inline
def _material_row(mesh, t, q):
    """The material that shows at a fragment: the outermost layer of clothes that covers it."""
    i, j, k = mesh.faces[t, 0], mesh.faces[t, 1], mesh.faces[t, 2]
    cover = mesh.cover
    for layer in range(LAYERS):
        if q[0] * cover[i, layer] + q[1] * cover[j, layer] + q[2] * cover[k, layer] > 0:
            return mesh.base[t] + layer + 1
    return mesh.base[t]


@inline
def _paint_face(material, x, y, z, albedo):
    """Eyes, brows and mouth by the rest position relative to the skull base, in body scales."""
    scale = material[FACE_SCALE]
    x = abs(x - material[FACE]) / scale
    y = (y - material[FACE + 1]) / scale
    z = (z - material[FACE + 2]) / scale
    if z < 0.055:
        return albedo
    ex, ey = (x - 0.033) / 0.015, (y - 0.062) / 0.009
    if ex * ex + ey * ey < 1:
        return (0.03, 0.02, 0.02) if abs(ex) < 0.5 else (0.6, 0.58, 0.55)
    if abs(y - 0.083) < 0.006 and 0.016 < x < 0.05:
        return albedo[0] * 0.3, albedo[1] * 0.3, albedo[2] * 0.3
    if abs(y + 0.012) < 0.008 and x < 0.026:
        return albedo[0] * 0.75, albedo[1] * 0.45, albedo[2] * 0.45
    return albedo


@inline
def _interpolate(values, a, b, c, q):
    """A row of three of a per-vertex table at barycentric weights q."""
    return (
        q[0] * values[a, 0] + q[1] * values[b, 0] + q[2] * values[c, 0],
        q[0] * values[a, 1] + q[1] * values[b, 1] + q[2] * values[c, 1],
        q[0] * values[a, 2] + q[1] * values[b, 2] + q[2] * values[c, 2],
    )


@inline
def _surface(mesh, paint, row, light, camera, t, q, w, ray):
    """Shade one fragment of a mesh in material `row`: RGB linear."""
    material, lattice = paint.materials[row], paint.lattice
    a, b, c = mesh.faces[t, 0], mesh.faces[t, 1], mesh.faces[t, 2]
    x, y, z = _interpolate(mesh.rest, a, b, c, q)
    nx, ny, nz = _interpolate(mesh.normals, a, b, c, q)
    if material[TEXTURE] >= 0:
        tile = material[PATTERN_SCALE]
        if ny * ny > 0.5 * (nx * nx + ny * ny + nz * nz):
            u, v = x * tile, z * tile
        else:
            u, v = (x + z) * tile, -y * tile
        albedo = _texel(paint.textures, int(material[TEXTURE]), u, v, tile / (w * camera.focal))
        albedo = albedo[0] * material[0], albedo[1] * material[1], albedo[2] * material[2]
    else:
        p = _pattern(lattice, int(material[PATTERN]), material[PATTERN_SCALE], x, y, z)
        albedo = (
            material[0] + (material[3] - material[0]) * p,
            material[1] + (material[4] - material[1]) * p,
            material[2] + (material[5] - material[2]) * p,
        )
    if material[WRINKLE] > 0:
        scale, amount = material[WRINKLE_SCALE], material[WRINKLE]
        along = noise3(lattice, scale * x + 11, 0.6 * scale * y, scale * z) - 0.5
        across = noise3(lattice, 0.5 * scale * x, scale * y + 5, 0.8 * scale * z) - 0.5
        nx += amount * along
        ny += amount * across
        nz += amount * (along - across) * 0.7
    if material[FACE_SCALE] > 0:
        albedo = _paint_face(material, x, y, z, albedo)
    depth = 1.0 / w
    eye = camera.eye
    at = (eye[0] + ray[0] * depth, eye[1] + ray[1] * depth, eye[2] + ray[2] * depth)
    return _lit(light, albedo, (nx, ny, nz), at, ray, material[GLOSS])


@inline
def _hit(around, eye, ray):
    """Distance (in ray lengths) and surface (0 floor 1 ceiling 2 x wall 3 z wall) of a ray."""
    rx, ry, rz = ray
    bounds = around.bounds
    far, side = 1e9, 0
    if ry < 0:
        far = (bounds[2] - eye[1]) / ry
    if around.kind != ROOM:
        return far, side
    if ry > 0:
        far, side = (bounds[3] - eye[1]) / ry, 1
    if rx != 0:
        distance = ((bounds[0] if rx < 0 else bounds[1]) - eye[0]) / rx
        if distance < far:
            far, side = distance, 2
    if rz != 0:
        distance = ((bounds[4] if rz < 0 else bounds[5]) - eye[2]) / rz
        if distance < far:
            far, side = distance, 3
    return far, side


@inline
def _behind(around, textures, light, camera, ray, y, x):
    """Shade what is behind the meshes at output pixel (y, x): RGB linear."""
    back = around.backdrop
    eye = camera.eye
    picture = (0.0, 0.0, 0.0)
    if around.kind != ROOM:
        picture = (back[y, x, 0], back[y, x, 1], back[y, x, 2])
    far, side = _hit(around, eye, ray)
    if around.kind != ROOM and far > HAZE_END_M:
        return picture
    at = (eye[0] + ray[0] * far, eye[1] + ray[1] * far, eye[2] + ray[2] * far)
    if around.kind == PICTURE:  # only the person's shadow falls on its unseen floor
        k = 1.0 - around.contact * (1.0 - sunlit(light, at[0], at[1] + 0.02, at[2]))
        return picture[0] * k, picture[1] * k, picture[2] * k
    normal = (0.0, 1.0, 0.0)
    u, v, facing = at[0], at[2], abs(ray[1])
    if side == 1:
        normal = (0.0, -1.0, 0.0)
    elif side == 2:
        normal = (1.0 if ray[0] < 0 else -1.0, 0.0, 0.0)
        u, v, facing = at[2], -at[1], abs(ray[0])
    elif side == 3:
        normal = (0.0, 0.0, 1.0 if ray[2] < 0 else -1.0)
        u, v, facing = at[0], -at[1], abs(ray[2])
    tile = 1.0 / around.tile_m[side]
    # A pixel seen at a slant covers more of the surface one way: blur by the geometric mean
    footprint = tile * far / camera.focal * sqrt(1.0 / max(facing, 0.02))
    red, green, blue = _texel(textures, around.texture[side], u * tile, v * tile, footprint)
    tint = around.tint
    albedo = (red * tint[side, 0], green * tint[side, 1], blue * tint[side, 2])
    colour = _lit(light, albedo, normal, at, ray, 0.0)
    if around.kind == GROUND:
        haze = (far - HAZE_START_M) / (HAZE_END_M - HAZE_START_M)
        haze = min(max(haze, 0.0), 1.0)
        colour = (
            colour[0] + (picture[0] - colour[0]) * haze,
            colour[1] + (picture[1] - colour[1]) * haze,
            colour[2] + (picture[2] - colour[2]) * haze,
        )
    return colour


@inline
def _ray(camera, row, column):
    """Direction, with unit depth, through the centre of a buffer sample."""
    r = camera.rotation
    x = (column + 0.5 - camera.cx) / camera.focal
    y = (row + 0.5 - camera.cy) / camera.focal
    return (
        r[0, 0] * x + r[1, 0] * y + r[2, 0],
        r[0, 1] * x + r[1, 1] * y + r[2, 1],
        r[0, 2] * x + r[1, 2] * y + r[2, 2],
    )


@inline
def _seen_before(seen, s, row, w):
    """An earlier sample of the pixel on the same surface, or -1. `seen`: row, 1/z, R, G, B."""
    for earlier in range(s):
        if seen[earlier, 0] == row and abs(seen[earlier, 1] - w) < 0.03 * w + 1e-9:
            return earlier
    return -1


@jit
def shade(fragments, points, mesh, paint, camera, light, around, tone, own, seen, out, depth):
    """Colour every pixel of `out` (H,W,3) uint8 through the tone curves `tone` (3,TONE_STEPS).

    `depth` (H,W) gets the camera depth in mm of the first `own` faces where they fill at least half
    of a pixel, else 0. `seen` (samples a pixel, 5) is scratch.
    """
    height, width, _ = out.shape
    n = fragments.face.shape[0] // height
    samples = n * n
    scale = (TONE_STEPS - 1) / (TONE_RANGE * samples)
    for y in range(height):
        for x in range(width):
            red = green = blue = 0.0
            own_count, own_near = 0, 0.0
            for s in range(samples):
                i, j = y * n + s // n, x * n + s % n
                t, w = fragments.face[i, j], fragments.nearness[i, j]
                q = (0.0, 0.0, 0.0)
                row = -1
                if t >= 0:
                    q = _weights(
                        points, mesh.faces, t, fragments.bary[i, j, 0], fragments.bary[i, j, 1], w
                    )
                    row = _material_row(mesh, t, q)
                    if t < own:
                        own_count += 1
                        own_near += w
                same = _seen_before(seen, s, row, w)
                if same >= 0:
                    r, g, b = seen[same, 2], seen[same, 3], seen[same, 4]
                elif row < 0:
                    ray = _ray(camera, i, j)
                    r, g, b = _behind(around, paint.textures, light, camera, ray, y, x)
                else:
                    ray = _ray(camera, i, j)
                    r, g, b = _surface(mesh, paint, row, light, camera, t, q, w, ray)
                seen[s, 0], seen[s, 1] = row, w
                seen[s, 2], seen[s, 3], seen[s, 4] = r, g, b
                red += r
                green += g
                blue += b
            out[y, x, 0] = tone[0, int(min(red * scale, TONE_STEPS - 1.0))]
            out[y, x, 1] = tone[1, int(min(green * scale, TONE_STEPS - 1.0))]
            out[y, x, 2] = tone[2, int(min(blue * scale, TONE_STEPS - 1.0))]
            depth[y, x] = 0.0
            if own_count > 0 and 2 * own_count >= samples:
                depth[y, x] = 1000.0 * own_count / own_near
