"""Calibrated cameras from the files of other programs: Pose2Sim's TOML, OpenCV's YAML and JSON."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from poseact.core.reading import understood


@dataclass(frozen=True)
class CalibratedCamera:
    """A pinhole camera with OpenCV's distortion.

    K: (3, 3) px. distortion: k1 k2 p1 p2 [k3 ...]. R: (3, 3) world to camera, t: (3,) mm, so that
    a world point X is at R X + t. size: (width, height) px, or None.
    """

    name: str
    K: np.ndarray
    distortion: np.ndarray
    R: np.ndarray
    t: np.ndarray
    size: tuple[int, int] | None = None

    def plane(self, xy: np.ndarray) -> np.ndarray:
        """Points (..., 2) px without distortion on the plane z = 1; unknown stays NaN."""
        flat = np.ascontiguousarray(np.nan_to_num(xy).reshape(-1, 1, 2), np.float64)
        found = cv2.undistortPoints(flat, self.K, self.distortion).reshape(xy.shape)
        return np.where(np.isfinite(xy), found, np.nan)

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """Image points (..., 2) px of world points (..., 3) mm; of what is behind it, NaN."""
        flat = np.nan_to_num(xyz).reshape(-1, 3)
        rvec, _ = cv2.Rodrigues(self.R)
        found, _ = cv2.projectPoints(flat, rvec, self.t, self.K, self.distortion)
        ahead = (xyz @ self.R.T + self.t)[..., 2:] > 0
        known = np.isfinite(xyz).all(-1, keepdims=True)
        return np.where(ahead & known, found.reshape(*xyz.shape[:-1], 2), np.nan)


def read_calibration(path: str | Path, *, unit_mm: float = 1000.0) -> list[CalibratedCamera]:
    """The cameras of a calibration file, in its order.

    Pose2Sim: a .toml with a section for each camera (`name`, `matrix`, `distortions`, `rotation` as
    a Rodrigues vector, `translation`). OpenCV: what `FileStorage` wrote, .yml, .yaml or .json, a
    map for each camera with `camera_matrix` or `K`, `distortion_coefficients`, `dist_coeffs` or
    `D`, `rvec` or `R`, `tvec` or `T`. unit_mm: mm in the unit of the translations; both programs
    mostly write metres.

    Raises FileNotFoundError, or ValueError that names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such calibration")
    with understood(path):
        read = _toml if path.suffix.lower() == ".toml" else _opencv
        cameras = [_camera(name, values, unit_mm) for name, values in read(path)]
        if not cameras:
            raise ValueError("no camera in this calibration")
        return cameras


_NAMES = {
    "K": ("matrix", "camera_matrix", "cameraMatrix", "K", "intrinsic"),
    "D": ("distortions", "distortion_coefficients", "dist_coeffs", "distCoeffs", "D", "dist"),
    "R": ("rotation", "rvec", "R", "rotation_matrix"),
    "t": ("translation", "tvec", "T", "t"),
    "size": ("size", "image_size", "imageSize"),
}


def _camera(name: str, values: dict[str, Any], unit_mm: float) -> CalibratedCamera:
    found = {}
    for what, names in _NAMES.items():
        have = [n for n in names if n in values]
        if not have and what != "size":
            raise ValueError(f"camera {name} has none of {', '.join(names)}")
        found[what] = np.asarray(values[have[0]], float) if have else None
    if values.get("fisheye") is True:
        raise ValueError(f"camera {name} is a fisheye, which is not supported")
    turn = found["R"]
    R = turn.reshape(3, 3) if turn.size == 9 else cv2.Rodrigues(turn.reshape(3))[0]
    K, t = found["K"].reshape(3, 3), found["t"].reshape(3) * unit_mm
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-3) or not (np.diag(K) > 0).all():
        raise ValueError(f"camera {name}: its rotation or its matrix is none")
    distortion = found["D"].reshape(-1)
    if distortion.size not in (4, 5, 8, 12, 14) or not np.isfinite(distortion).all():
        raise ValueError(f"camera {name} has {distortion.size} distortion coefficients")
    size = None if found["size"] is None else found["size"].reshape(2)
    whole = None if size is None else (int(size[0]), int(size[1]))
    return CalibratedCamera(str(values.get("name", name)), K, distortion, R, t, whole)


def _toml(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Sections with a matrix; as much of TOML as calibrations need: Python 3.10 has no reader."""
    text = re.sub(r"(?m)^\s*#.*$", "", path.read_text(encoding="utf-8"))
    cameras = []
    for section in re.split(r"(?m)^\s*\[(?=[^\[\]]+\]\s*$)", text)[1:]:
        name, body = section.split("]", 1)
        values = {}
        for key, value in re.findall(r"(?ms)^\s*([\w.-]+)\s*=\s*(.*?)(?=^\s*[\w.-]+\s*=|\Z)", body):
            word = value.strip()
            values[key] = {"true": True, "false": False}.get(word)
            if values[key] is None:
                values[key] = ast.literal_eval(word)
        if "matrix" in values:
            cameras.append((name.strip(), values))
    return cameras


def _opencv(path: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    except (cv2.error, SystemError) as error:
        raise ValueError("not a file of OpenCV's FileStorage") from error
    try:
        return _stored(storage.root(), path.stem)
    except cv2.error as error:
        raise ValueError(f"damaged for OpenCV's FileStorage ({error.err})") from error
    finally:
        storage.release()


def _stored(root: Any, name: str) -> list[tuple[str, dict[str, Any]]]:
    nodes = {key: root.getNode(key) for key in list(root.keys())}
    if any(key in nodes for key in _NAMES["K"]):  # one camera alone
        return [(name, _values(root))]
    return [(key, _values(node)) for key, node in nodes.items() if node.isMap()]


def _values(node: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in list(node.keys()):
        child = node.getNode(key)
        if child.isString():
            values[key] = child.string()
        elif child.isSeq():
            values[key] = _sequence(child)
        elif child.isMap():
            values[key] = _sequence(child.getNode("data"))  # of a matrix, row by row
        else:
            values[key] = child.real()
    return values


def _sequence(node: Any) -> list[Any]:
    items = [node.at(i) for i in range(node.size())]
    return [_sequence(item) if item.isSeq() else item.real() for item in items]
