"""From the world to pixels and back: a pinhole camera with Human3.6M distortion.

World and camera points are `xyz` in mm; camera axes are x right, y down, z forward. Image points
are `xy` in px. A camera turns a world point X into the camera point R (X - t); dividing by its z
gives the point on the plane z = 1 that the distortion moves before focal length and centre apply.

The distortion is the one of the original project (`deephar/utils/camera.py`), with r2 = x.x:

    x (1 + k0 r2 + k1 r2^2 + k2 r2^3 + x.p) + r2 p

OpenCV's `k1 k2 p1 p2 k3` is the same in the radial part (k1 k2 k3 = k0 k1 k2) and in r2 p, with
(p1, p2) = (p[1], p[0]), but has 2 x.p where this has x.p: with the coefficients of Human3.6M they
differ by half a pixel in the corners of the picture.
"""

from __future__ import annotations

import numpy as np

from poseact.core.geometry import transform
from poseact.core.types import Camera

DEPTH_RANGE_MM = 2000.0  # depth d in [0, 1] is +-1000 mm about the root
FOCAL = 1.2
"""Focal length over the longer side of the picture, of a camera that nothing is known of."""


def to_camera(camera: Camera, xyz_world: np.ndarray) -> np.ndarray:
    """Camera points (..., 3) mm of world points (..., 3) mm: R (X - t)."""
    return (xyz_world - camera.t) @ camera.R.T


def to_world(camera: Camera, xyz: np.ndarray) -> np.ndarray:
    """World points (..., 3) mm of camera points (..., 3) mm; R is a rotation."""
    return xyz @ camera.R + camera.t


def project(camera: Camera, xyz_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image points (..., 2) px and depths (...) mm of world points (..., 3) mm.

    The depth is the camera z. A point that is not in front of the camera has no image: its xy is
    NaN. Unknown (NaN) points stay NaN.
    """
    xyz = to_camera(camera, xyz_world)
    depth = xyz[..., 2]
    ahead = np.where(depth > 0, depth, np.nan)
    plane = distort(xyz[..., :2] / ahead[..., None], camera.k, camera.p)
    return plane * camera.f + camera.c, depth


def unproject(camera: Camera, xy: np.ndarray, depth_mm: np.ndarray) -> np.ndarray:
    """World points (..., 3) mm of image points (..., 2) px at depths (...) mm: undoes `project`.

    Exact, unlike the one-step inverse of the original project. A point that no point in front of
    the camera is seen at, because the distortion folds back before it, is NaN.
    """
    plane = undistort((xy - camera.c) / camera.f, camera.k, camera.p)
    depth = np.asarray(depth_mm)[..., None]
    return to_world(camera, np.concatenate([plane * depth, depth], -1))


def distort(plane: np.ndarray, k: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Points (..., 2) of the plane z = 1 after the distortion of the module's docstring."""
    r2 = (plane**2).sum(-1, keepdims=True)
    factor = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[2])) + (plane @ p)[..., None]
    return plane * factor + r2 * p


def undistort(plane: np.ndarray, k: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The points (..., 2) that `distort` moves to these, by Newton's method.

    Exact to 1e-10 of the focal length. NaN where the search finds no such point before the fold of
    the distortion.
    """
    found = np.array(plane, np.float64)
    with np.errstate(all="ignore"):  # a point without an answer runs off to infinity
        for _ in range(20):
            jacobian = _jacobian(found, k, p)
            found = found - _solve(jacobian, distort(found, k, p) - plane)
        exact = np.abs(distort(found, k, p) - plane).max(-1) < 1e-10
        (a, b), (c, d) = np.moveaxis(_jacobian(found, k, p), (-2, -1), (0, 1))
        before_fold = (a * d - b * c > 0) & (a + d > 0)
    return np.where((exact & before_fold)[..., None], found, np.nan)


def _jacobian(plane: np.ndarray, k: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Derivative (..., 2, 2) of `distort`: rows are outputs, columns inputs."""
    r2 = (plane**2).sum(-1, keepdims=True)
    factor = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[2])) + (plane @ p)[..., None]
    slope = 2 * plane * (k[0] + r2 * (2 * k[1] + r2 * 3 * k[2])) + p  # gradient of factor
    outer = plane[..., :, None] * slope[..., None, :] + 2 * p[:, None] * plane[..., None, :]
    return factor[..., None] * np.eye(2) + outer


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """matrix^-1 vector of (..., 2, 2) and (..., 2); inf or NaN for a singular matrix, no error."""
    (a, b), (c, d) = np.moveaxis(matrix, (-2, -1), (0, 1))
    x, y = np.moveaxis(vector, -1, 0)
    return np.stack([d * x - b * y, a * y - c * x], -1) / (a * d - b * c)[..., None]


def intrinsic_matrix(f: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(3, 3) from focal lengths (2,) px and centre (2,) px."""
    return np.array([[f[0], 0.0, c[0]], [0.0, f[1], c[1]], [0.0, 0.0, 1.0]])


def intrinsics_of(camera: Camera) -> np.ndarray:
    """(4,) fx fy cx cy in px, the form in which `pose_to_camera` takes them."""
    return np.concatenate([camera.f, camera.c])


def intrinsics_from_fov(width: int, height: int, *, fov_rad: float) -> np.ndarray:
    """(4,) fx fy cx cy of a picture whose longer side spans the angle `fov_rad`, square pixels.

    For pictures whose camera is not known. ValueError if the angle is not between 0 and pi.
    """
    if not 0 < fov_rad < np.pi:
        raise ValueError(f"fov_rad is an angle between 0 and pi, got {fov_rad}")
    f = max(width, height) / 2 / np.tan(fov_rad / 2)
    return np.array([f, f, width / 2, height / 2])


def pose_to_camera(
    uvd: np.ndarray,
    to_image: np.ndarray,
    intrinsics: np.ndarray,
    root_depth_mm: float | np.ndarray,
) -> np.ndarray:
    """Camera points (..., J, 3) mm of a predicted pose (..., J, 3) u v d.

    to_image: (..., 3, 3) crop uv to px. intrinsics: (..., 4) fx fy cx cy px, without distortion.
    root_depth_mm: (...) camera z of the root joint. d = 0.5 + (Z - Z_root) / 2000 mm (TPAMI 2020,
    section 4.2.1). Subtract the root joint for root-relative millimetres.
    """
    xy = transform(to_image, uvd[..., :2])
    f, c = intrinsics[..., None, :2], intrinsics[..., None, 2:]
    z = np.asarray(root_depth_mm)[..., None] + DEPTH_RANGE_MM * (uvd[..., 2] - 0.5)
    return np.concatenate([(xy - c) / f * z[..., None], z[..., None]], -1)
