"""A z-buffer rasteriser for small triangle meshes, in numba: projection, visibility, shadow maps.

World: metres, y up. Camera: x right, y down, z forward. Buffers may hold several samples a pixel;
`poseact.people.shading` turns them into pictures.
"""

from __future__ import annotations

from math import floor, sqrt
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Index = NDArray[np.int32]
# To count references and to pass tuples of arrays by value would cost five times the arithmetic of
# shading: kernels allocate nothing, so they go without counts (_nrt), and helpers are inlined.
_OPTIONS = {"cache": True, "fastmath": True, "nogil": True, "error_model": "numpy", "_nrt": False}
jit = numba.njit(**_OPTIONS)
inline = numba.njit(**_OPTIONS, forceinline=True)

NEAR_M = 0.05


class Camera(NamedTuple):
    """``rotation`` rows are right, down, forward; focal length and centre in buffer samples."""

    rotation: Array  # 3 3
    eye: Array  # 3
    focal: float
    cx: float
    cy: float


class Mesh(NamedTuple):
    """Triangles of everything in the scene; `faces` of the person come first.

    ``cover`` is the signed distance into each layer of clothes (> 0 = covered), interpolated over a
    triangle, so that hems are smooth. ``base`` is the material row of a face's bare surface.
    """

    vertices: Array  # V 3
    normals: Array  # V 3
    rest: Array  # V 3
    cover: Array  # V layers
    faces: Index  # F 3
    base: Index  # F


class Fragments(NamedTuple):
    """What is nearest at each sample: 1/z (0 = nothing), the face, two barycentric weights."""

    nearness: Array  # h w
    face: Index  # h w
    bary: Array  # h w 2


class Light(NamedTuple):
    """A sun with a shadow map and a hemisphere of sky over ground, RGB linear."""

    direction: Array  # 3, towards the sun
    sun: Array  # 3
    sky: Array  # 3
    ground: Array  # 3
    basis: Array  # 3 3, rows: right, down, forward of the shadow camera
    centre: Array  # 3, where the shadow map looks
    scale: float  # shadow map pixels per metre
    shadow: Array  # s s


@jit
def vertex_normals(vertices, faces, normals):
    """Area-weighted unit normals (V,3) of a mesh, written into `normals`."""
    normals[:] = 0.0
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for n in (a, b, c):
            normals[n, 0] += x
            normals[n, 1] += y
            normals[n, 2] += z
    for i in range(normals.shape[0]):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        inverse = 1.0 / sqrt(x * x + y * y + z * z + 1e-20)
        normals[i, 0] = x * inverse
        normals[i, 1] = y * inverse
        normals[i, 2] = z * inverse


@jit
def project_points(vertices, camera, points):
    """World (V,3) to buffer x, y and 1/z, written into `points`; 1/z = -1 behind the camera."""
    r, eye = camera.rotation, camera.eye
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0] - eye[0], vertices[i, 1] - eye[1], vertices[i, 2] - eye[2]
        depth = r[2, 0] * x + r[2, 1] * y + r[2, 2] * z
        if depth < NEAR_M:
            points[i, 2] = -1.0
            continue
        w = 1.0 / depth
        points[i, 0] = camera.focal * (r[0, 0] * x + r[0, 1] * y + r[0, 2] * z) * w + camera.cx
        points[i, 1] = camera.focal * (r[1, 0] * x + r[1, 1] * y + r[1, 2] * z) * w + camera.cy
        points[i, 2] = w


@inline
def light_point(light, x, y, z):
    """Shadow map x, y and height in m (bigger = nearer to the sun) of a world point."""
    b, c = light.basis, light.centre
    x -= c[0]
    y -= c[1]
    z -= c[2]
    half = light.shadow.shape[0] * 0.5
    u = half + light.scale * (b[0, 0] * x + b[0, 1] * y + b[0, 2] * z)
    v = half + light.scale * (b[1, 0] * x + b[1, 1] * y + b[1, 2] * z)
    return u, v, 10.0 - (b[2, 0] * x + b[2, 1] * y + b[2, 2] * z)


@inline
def _span(points, a, b, c, height, width):
    """Sample ranges x0 x1 y0 y1 (inclusive) that a triangle's bounding box covers."""
    ax, bx, cx = points[a, 0], points[b, 0], points[c, 0]
    ay, by, cy = points[a, 1], points[b, 1], points[c, 1]
    x0 = int(max(0.0, floor(min(ax, bx, cx) + 0.5)))
    x1 = int(min(width - 1.0, floor(max(ax, bx, cx) - 0.5)))
    y0 = int(max(0.0, floor(min(ay, by, cy) + 0.5)))
    y1 = int(min(height - 1.0, floor(max(ay, by, cy) - 0.5)))
    return x0, x1, y0, y1


@jit
def rasterise(points, faces, fragments):
    """Draw the front faces of projected triangles into `fragments` (cleared first)."""
    nearness, index, bary = fragments.nearness, fragments.face, fragments.bary
    height, width = nearness.shape
    nearness[:] = 0.0
    index[:] = -1
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        wa, wb, wc = points[a, 2], points[b, 2], points[c, 2]
        if wa <= 0 or wb <= 0 or wc <= 0:
            continue
        ax, ay = points[a, 0], points[a, 1]
        bx, by = points[b, 0] - ax, points[b, 1] - ay
        cx, cy = points[c, 0] - ax, points[c, 1] - ay
        area = bx * cy - by * cx
        if area >= 0:  # a back face: fronts are counter-clockwise, and here y is down
            continue
        x0, x1, y0, y1 = _span(points, a, b, c, height, width)
        inverse = 1.0 / area
        step_u, step_v = cy * inverse, -by * inverse
        for y in range(y0, y1 + 1):
            px, py = x0 + 0.5 - ax, y + 0.5 - ay
            u = (px * cy - py * cx) * inverse
            v = (bx * py - by * px) * inverse
            for x in range(x0, x1 + 1):
                if u >= 0 and v >= 0 and u + v <= 1:
                    w = wa + (wb - wa) * u + (wc - wa) * v
                    if w > nearness[y, x]:
                        nearness[y, x] = w
                        index[y, x] = t
                        bary[y, x, 0] = u
                        bary[y, x, 1] = v
                u += step_u
                v += step_v


@jit
def cast_shadow(vertices, faces, light, points):
    """Draw the triangles as seen from the sun into `light.shadow` (cleared first)."""
    shadow = light.shadow
    shadow[:] = 0.0
    size = shadow.shape[0]
    for i in range(vertices.shape[0]):
        u, v, near = light_point(light, vertices[i, 0], vertices[i, 1], vertices[i, 2])
        points[i, 0] = u
        points[i, 1] = v
        points[i, 2] = near
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, wa = points[a, 0], points[a, 1], points[a, 2]
        bx, by, wb = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - wa
        cx, cy, wc = points[c, 0] - ax, points[c, 1] - ay, points[c, 2] - wa
        area = bx * cy - by * cx
        if area >= 0:
            continue
        x0, x1, y0, y1 = _span(points, a, b, c, size, size)
        inverse = 1.0 / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                px, py = x + 0.5 - ax, y + 0.5 - ay
                u = (px * cy - py * cx) * inverse
                v = (bx * py - by * px) * inverse
                if u >= 0 and v >= 0 and u + v <= 1:
                    shadow[y, x] = max(shadow[y, x], wa + wb * u + wc * v)


@inline
def noise3(lattice, x, y, z):
    """Trilinear value noise in 0..1 of a periodic (32,32,32) lattice."""
    fx, fy, fz = floor(x), floor(y), floor(z)
    i, j, k = int(fx) & 31, int(fy) & 31, int(fz) & 31
    x -= fx
    y -= fy
    z -= fz
    i2, j2, k2 = (i + 1) & 31, (j + 1) & 31, (k + 1) & 31
    a = lattice[i, j, k] + (lattice[i2, j, k] - lattice[i, j, k]) * x
    b = lattice[i, j2, k] + (lattice[i2, j2, k] - lattice[i, j2, k]) * x
    c = lattice[i, j, k2] + (lattice[i2, j, k2] - lattice[i, j, k2]) * x
    d = lattice[i, j2, k2] + (lattice[i2, j2, k2] - lattice[i, j2, k2]) * x
    a += (b - a) * y
    c += (d - c) * y
    return a + (c - a) * z


@jit
def noise_at(lattice, positions, out):
    """`noise3` at every row of (N,3), written into `out`."""
    for i in range(positions.shape[0]):
        out[i] = noise3(lattice, positions[i, 0], positions[i, 1], positions[i, 2])
