"""The file is read as Blender's importer reads it: word by word, offsets and Euler angles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from poseact.core.layouts import PA17
from poseact.results.bvh import write_bvh
from small_results import HEADER, moving, results

LIMBS = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]


def played(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Joint -> (T, 3) cm, and seconds a frame, of a BVH file."""
    words = iter(path.read_text().split())
    names, parents, offsets = [], [], []
    counts: list[int] = []
    open_: list[int] = []
    assert next(words) == "HIERARCHY"
    for word in words:
        if word in ("ROOT", "JOINT", "End"):
            names.append(next(words) if word != "End" else f"end of {names[open_[-1]]}")
            parents.append(open_[-1] if open_ else -1)
            counts.append(0)
            assert word != "End" or next(words) == "Site"
        elif word == "{":
            open_.append(len(names) - 1)
        elif word == "}":
            open_.pop()
        elif word == "OFFSET":
            offsets.append([float(next(words)) for _ in "xyz"])
        elif word == "CHANNELS":
            counts[open_[-1]] = int(next(words))
            channels = [next(words) for _ in range(counts[open_[-1]])]
            assert channels[-3:] == ["Zrotation", "Xrotation", "Yrotation"]
            assert channels[:-3] in ([], ["Xposition", "Yposition", "Zposition"])
        elif word == "MOTION":
            break
    assert not open_ and next(words) == "Frames:"
    frames = int(next(words))
    assert (next(words), next(words)) == ("Frame", "Time:")
    frame_s = float(next(words))
    table = np.array([float(word) for word in words]).reshape(frames, sum(counts))
    at, turn, column = {}, {}, 0
    for j, parent in enumerate(parents):
        cells, column = table[:, column : column + counts[j]], column + counts[j]
        above, base = (turn[parent], at[parent]) if parent >= 0 else (np.eye(3), cells[:, :3])
        at[j] = base + above @ np.array(offsets[j])
        local = Rotation.from_euler("ZXY", cells[:, -3:], degrees=True) if counts[j] else None
        turn[j] = above if local is None else above @ local.as_matrix()
    return {name: at[j] for j, name in enumerate(names)}, frame_s


@pytest.mark.parametrize("action", ["squat", "jumping_jack", "sit_up"])
def test_it_moves_as_the_poses_do(tmp_path: Path, action: str) -> None:
    frames, _ = moving([(action, 3.0)])
    (path,) = write_bvh(tmp_path / "a.bvh", replace(HEADER, fps=25.0), frames)
    joints, frame_s = played(path)
    assert frame_s == pytest.approx(0.04)
    truth = np.stack([r.people[0].xyz * (0.1, -0.1, -0.1) for r in frames])  # cm, y up
    for side in "lr":
        for a, b in LIMBS:  # limbs point exactly where they were seen
            a, b = f"{side}_{a}", f"{side}_{b}"
            bone, own = truth[:, PA17.index(b)] - truth[:, PA17.index(a)], joints[b] - joints[a]
            a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (own, bone))
            same = (a * b).sum(-1)
            np.testing.assert_allclose(same, 1, atol=1e-5)
    away = [np.linalg.norm(joints[n] - truth[:, j], axis=-1) for j, n in enumerate(PA17.joints)]
    assert np.median(away) < 1.5 and np.max(away) < 8  # the trunk is not quite rigid


def test_several_people_and_unknown_joints(tmp_path: Path) -> None:
    (path,) = write_bvh(tmp_path / "a.bvh", HEADER, results())  # the other person is flat
    joints, _ = played(path)
    assert path.name == "a.bvh" and len(joints["pelvis"]) == 5
    assert all(np.isfinite(at).all() for at in joints.values())
    frames, _ = moving([("walk", 1.0)])
    two = [replace(r, people=(*r.people, replace(r.people[0], track=3))) for r in frames]
    assert [p.name for p in write_bvh(tmp_path / "b.bvh", HEADER, two)] == [
        "b_track0.bvh",
        "b_track3.bvh",
    ]
    with pytest.raises(ValueError, match="there is nobody in the results"):
        write_bvh(tmp_path / "c.bvh", HEADER, [])
