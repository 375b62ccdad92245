"""What a lifter learns from: cameras, bodies, a simulated detector, splits by person."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lifter_people import NOTHING, people, random_pairs, write_mocap
from poseact.core.camera import project, to_camera
from poseact.core.layouts import H36M17
from poseact.core.types import Record
from poseact.data.sets import h36m
from poseact.skeletons import gaps
from poseact.skeletons.gaps import (
    Detector,
    Pairs,
    detected,
    fill_missing,
    mocap_poses,
    pairs_from_records,
    random_views,
    split_of,
    stretched,
)


def test_projection_agrees_with_the_camera() -> None:
    world = people(20)
    views = random_views(world, np.random.default_rng(3))
    pairs = views.see(world)
    for n in range(20):
        camera = views.camera(n)
        xy, depth = project(camera, world[n])
        assert (depth > 500).all()
        np.testing.assert_allclose(pairs.xy[n], xy, atol=1e-2)
        xyz = to_camera(camera, world[n])
        np.testing.assert_allclose(pairs.xyz[n], xyz - xyz[0], atol=1e-2)
        np.testing.assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(camera.R) == pytest.approx(1)


def test_cameras_see_people_upright_and_whole() -> None:
    world = people(500)
    pairs = random_views(world, np.random.default_rng(0)).see(world)
    assert (pairs.xy[:, H36M17.index("head"), 1] < pairs.xy[:, 0, 1]).mean() > 0.99
    inside = ((pairs.xy > 0) & (pairs.xy < pairs.size[:, None])).all(-1)
    assert inside.mean() > 0.98


def test_stretching_keeps_directions_and_both_sides_alike() -> None:
    world = people(30)
    out = stretched(world, np.random.default_rng(0))
    lengths = {}
    for parent, child in H36M17.edges:
        old, new = (p[:, child] - p[:, parent] for p in (world, out))
        lengths[child] = np.linalg.norm(new, axis=-1) / np.linalg.norm(old, axis=-1)
        np.testing.assert_allclose(new, lengths[child][:, None] * old, atol=1e-6)
    for child, ratio in lengths.items():
        np.testing.assert_allclose(ratio, lengths[H36M17.flip[child]])
    assert np.std(lengths[1]) > 0.03


def test_missing_joints_come_from_their_neighbours() -> None:
    xy = random_pairs(1).xy
    knee, ankle, hip = (H36M17.index(f"l_{j}") for j in ("knee", "ankle", "hip"))
    holes = xy.copy()
    holes[0, knee] = np.nan
    filled = fill_missing(holes)
    np.testing.assert_allclose(filled[0, knee], (xy[0, hip] + xy[0, ankle]) / 2, rtol=1e-6)
    holes[0, ankle] = np.nan  # the whole shank: both lie where the hip is
    filled = fill_missing(holes)
    np.testing.assert_allclose(filled[0, [knee, ankle]], xy[0, [hip, hip]], rtol=1e-6)
    untouched = np.delete(np.arange(17), [knee, ankle])
    assert (filled[0, untouched] == xy[0, untouched]).all()
    assert np.isnan(fill_missing(np.full((1, 17, 2), np.nan))).all()


def test_detector_faults_have_the_rates_asked_for() -> None:
    xy = random_pairs(4000).xy
    rng = np.random.default_rng
    np.testing.assert_array_equal(NOTHING(xy, rng(0)), xy)
    missed = dataclasses.replace(NOTHING, missing=0.1)(xy, rng(0))
    assert np.isnan(missed).any(-1).mean() == pytest.approx(0.1, abs=0.01)
    swapped = dataclasses.replace(NOTHING, swapped_person=0.3)(xy, rng(0))
    rows = (swapped != xy).any((1, 2))
    assert rows.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(swapped[rows], xy[rows][:, list(H36M17.flip)])
    limbs = dataclasses.replace(NOTHING, swapped_limbs=0.2)(xy, rng(0))
    knee = (limbs != xy)[:, H36M17.index("l_knee")].any(-1)
    wrist = (limbs != xy)[:, H36M17.index("l_wrist")].any(-1)
    assert (knee.mean(), wrist.mean()) == pytest.approx((0.2, 0.2), abs=0.03)
    assert (knee & wrist).mean() < 0.08
    jitter = dataclasses.replace(NOTHING, jitter=0.02)(xy, rng(0)) - xy
    side = np.ptp(xy, axis=1).max(-1)
    assert (jitter / side[:, None, None]).std() == pytest.approx(0.02, rel=0.05)
    eyes = dataclasses.replace(NOTHING, eyes=1.0)(xy, rng(0))
    head, nose = H36M17.index("head"), H36M17.index("nose")
    np.testing.assert_allclose(eyes[:, head], 0.75 * xy[:, nose] + 0.25 * xy[:, head], rtol=1e-4)
    whole = detected(Pairs(xy, xy, xy), Detector(), rng(0))
    assert np.isfinite(whole.xy).all()


def test_people_do_not_leak_between_splits(tmp_path: Path) -> None:
    write_mocap(tmp_path)
    with np.load(tmp_path / "cmu17.npz") as archive:
        rel = archive["rel"].astype(float) * 1000
    for n, split in enumerate(("train", "val", "test")):
        np.testing.assert_allclose(mocap_poses(tmp_path, split), rel[40 * n : 40 * n + 40])
    assert split_of("cmu_bvh", "14") == split_of("cmu_amc_proxy", "14") == "test"
    assert split_of("cmu_eval8", "?") is None
    with pytest.raises(FileNotFoundError, match="hdm05_17"):
        mocap_poses(tmp_path / "none", "train")


def test_real_motion_capture_splits(shared_data: Path) -> None:
    seen: dict[str, set[tuple[str, str]]] = {"train": set(), "val": set(), "test": set()}
    rows = dict.fromkeys(seen, 0)
    for name in gaps.MOCAP_FILES:
        with np.load(shared_data / "mocap" / name) as archive:
            columns = [archive[key] for key in ("source", "subject", "length")]
        for source, subject, length in zip(*columns):
            if split := split_of(str(source), str(subject)):
                seen[split].add((str(source).split("_")[0], str(subject)))
                rows[split] += int(length)
    assert not seen["train"] & seen["val"] and not seen["test"] & (seen["train"] | seen["val"])
    assert rows["train"] > 50_000 and rows["val"] > 5_000 and rows["test"] > 10_000
    root = shared_data / "mocap"
    assert len(mocap_poses(root, "train")) == rows["train"]


def test_human36m_records_become_pairs(shared_data: Path) -> None:
    records = h36m.load(shared_data / "samples/mmpose_h36m/test_h36m_body3d.npz", "train")
    pairs = pairs_from_records(records)
    assert len(pairs) == sum(len(r) for r in records)
    first = records[0]
    assert first.xyz is not None
    np.testing.assert_allclose(pairs.xyz[0], first.xyz[0] - first.xyz[0, :1], atol=1e-3)
    assert (pairs.xyz[:, 0] == 0).all() and np.isfinite(pairs.xy).all()
    with pytest.raises(ValueError, match="H36M17"):
        pairs_from_records([Record(None, np.zeros((1, 17, 2)), H36M17)])
