"""Motion capture files (BVH) that animation programs open: a skeleton, and how its joints turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from poseact.core.files import whole_file
from poseact.core.layouts import Layout
from poseact.core.types import Result
from poseact.results.formats import Markers, markers, numbered
from poseact.results.jsonl import Header

# Where a bone points at rest, in the file's axes (x right, y up, z to the camera) of somebody who
# faces the camera with arms stretched out: their left is our right. Others point up.
_REST = {
    **dict.fromkeys(("hip", "shoulder", "elbow", "wrist", "hand"), (1.0, 0.0, 0.0)),
    **dict.fromkeys(("knee", "ankle"), (0.0, -1.0, 0.0)),
    "foot": (0.0, 0.0, 1.0),
}
_CM = 0.1
_FRAMES = 300  # so many are enough to see how bones stand to each other


def write_bvh(path: str | Path, header: Header, results: Iterable[Result]) -> list[Path]:
    """Motion capture files (BVH), cm, y up, one for each person as `write_trc` names them.

    At rest somebody stands with arms stretched out; bones have their mean lengths. A joint with
    several bones (pelvis, thorax) turns as suits them best, one with a single bone turns it to
    where it was seen, without twist; while a joint is unknown its bone stays as it was. The root
    stays at the origin. Errors as `write_trc`.
    """
    paths = []
    for track, own in markers(path, results):
        file = numbered(path, track)
        with whole_file(file) as part, part.open("w", encoding="utf-8", newline="\n") as out:
            for line in _bvh(header.layout, own, header.fps or 1.0):
                out.write(line + "\n")
        paths.append(file)
    return paths


def _bvh(layout: Layout, own: Markers, fps: float) -> Iterator[str]:
    poses = np.full((len(own.frames), len(layout), 3), np.nan)
    for row, frame in enumerate(own.frames):
        if frame in own.poses:
            poses[row] = own.poses[frame] * _CM
    children = [[c for c, p in enumerate(layout.parents) if p == j] for j in range(len(layout))]
    offsets = _offsets(layout, children, poses)
    order: list[int] = []  # of the channels: as the hierarchy is written

    def joint(j: int, depth: int) -> Iterator[str]:
        order.append(j)
        tab = "\t" * depth
        yield f"{tab}{'JOINT' if depth else 'ROOT'} {layout.joints[j]}"
        yield tab + "{"
        yield f"{tab}\tOFFSET {_numbers(offsets[j])}"
        where = "" if depth else "Xposition Yposition Zposition "
        channels = 3 if depth else 6
        yield f"{tab}\tCHANNELS {channels} {where}Zrotation Xrotation Yrotation"
        for child in children[j]:
            yield from joint(child, depth + 1)
        if not children[j]:
            yield f"{tab}\tEnd Site"
            yield tab + "\t{"
            yield f"{tab}\t\tOFFSET {_numbers(offsets[j] / 2)}"
            yield tab + "\t}"
        yield tab + "}"

    yield "HIERARCHY"
    yield from joint(layout.root, 0)
    yield from ("MOTION", f"Frames: {len(poses)}", f"Frame Time: {1 / fps:.8f}")
    turned = np.tile(np.eye(3), (len(layout), 1, 1))  # of the frame before, for what is unknown
    for pose in poses:
        turned = _turned(layout, order, children, offsets, pose, turned)
        local = Rotation.from_matrix(turned[order])
        with_root = np.concatenate([np.zeros(3), _zxy(local).ravel()])
        yield _numbers(with_root)


def _zxy(turns: Rotation) -> np.ndarray:
    """Degrees (n, 3) about the axes z, x, y, in which BVH multiplies them."""
    import warnings

    with warnings.catch_warnings():  # with x at a right angle z and y are one: any will do
        warnings.simplefilter("ignore", UserWarning)
        return turns.as_euler("ZXY", degrees=True)


def _offsets(layout: Layout, children: list[list[int]], poses: np.ndarray) -> np.ndarray:
    """(J, 3) from each joint's parent to the joint, at rest.

    Of mean length, and several bones of one joint as they mostly stand to each other.
    """
    offsets = np.zeros((len(layout), 3))
    for j, parent in enumerate(layout.parents):
        if parent < 0:
            continue
        lengths = np.linalg.norm(poses[:, j] - poses[:, parent], axis=-1)
        known = lengths[np.isfinite(lengths)]
        name = layout.joints[j]
        side = {"l": 1.0, "r": -1.0}.get(layout.side(j), 1.0)
        way = np.array(_REST.get(name.split("_")[-1], (0.0, 1.0, 0.0))) * (side, 1, 1)
        offsets[j] = way * (known.mean() if len(known) else 0.0)
    some = poses[:: max(len(poses) // _FRAMES, 1)]
    for j, bones in enumerate(children):
        if len(bones) < 2:
            continue
        seen = some[:, bones] - some[:, [j]]
        seen = seen[np.isfinite(seen).all((1, 2))]
        for _ in range(3 if len(seen) else 0):
            back = [Rotation.align_vectors(offsets[bones], s)[0].apply(s) for s in seen]
            offsets[bones] = np.mean(back, axis=0)
    return offsets


def _turned(
    layout: Layout,
    order: list[int],
    children: list[list[int]],
    offsets: np.ndarray,
    pose: np.ndarray,
    before: np.ndarray,
) -> np.ndarray:
    """How each joint is turned against its parent (J, 3, 3) so that bones point as in the pose."""
    local, world = before.copy(), np.tile(np.eye(3), (len(layout), 1, 1))
    for j in order:  # parents first
        above = world[layout.parents[j]] if layout.parents[j] >= 0 else np.eye(3)
        bones = [c for c in children[j] if np.isfinite(pose[[c, j]]).all() and offsets[c].any()]
        seen = (pose[bones] - pose[j]) @ above  # in the parent's axes
        if len(bones) == 1:
            local[j] = _swing(offsets[bones[0]], seen[0])
        elif len(bones) > 1:
            local[j] = Rotation.align_vectors(seen, offsets[bones])[0].as_matrix()
        elif not children[j]:
            local[j] = np.eye(3)
        world[j] = above @ local[j]
    return local


def _swing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The least rotation (3, 3) that turns a's direction into b's."""
    a, b = a / np.linalg.norm(a), b / max(float(np.linalg.norm(b)), 1e-9)
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-9:  # back to front: about any axis across
        across = np.cross(a, np.eye(3)[int(np.abs(a).argmin())])
        return Rotation.from_rotvec(np.pi * across / np.linalg.norm(across)).as_matrix()
    x, y, z = axis
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + k + k @ k / (1 + cosine)  # Rodrigues


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{v + 0.0:.4f}" for v in np.round(values, 4).tolist())
