"""Augmentation of Enhanced-SPMF: of skeletons and of pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_spmf import MAP, rng, walk

from poseact.core.layouts import MSR20, SBU15
from poseact.skeletons.spmf import (
    Augment,
    augmented,
    mirrored,
    pose_features,
    spmf,
    torso_length,
    turn,
)


class TestAugment:
    OFF = Augment(yaw_rad=0, noise=0, keep=1, mirror=0, swap=0, margin=0, reverse=0)

    def test_off_it_is_the_picture(self) -> None:
        poses = walk(20, MSR20)
        np.testing.assert_array_equal(
            augmented(poses, MSR20, rng(), augment=self.OFF), spmf(poses, MSR20)
        )

    def test_one_generator_one_picture(self) -> None:
        poses = walk(20, SBU15, people=2)
        one, same, other = (
            augmented(poses, SBU15, rng(seed), augment=Augment()) for seed in (0, 0, 1)
        )
        assert one.shape == (32, 32, 3) and one.flags["C_CONTIGUOUS"]
        assert (one == same).all() and (one != other).any()

    def test_the_cut_lies_in_the_larger_picture(self) -> None:
        rows, columns = np.mgrid[:40, :40].astype(np.uint8)
        picture = np.stack([rows, columns, rows], -1)
        corners = set()
        for seed in range(300):
            found = replace(self.OFF, margin=8).picture(picture, rng(seed))
            assert found.shape == (32, 32, 3)
            assert (np.diff(found[:, 0, 0]) == 1).all() and (np.diff(found[0, :, 1]) == 1).all()
            corners.add(tuple(found[0, 0, :2].tolist()))
        assert {c[0] for c in corners} == {c[1] for c in corners} == set(range(9))

    def test_rows_that_are_kept_are_not_cut(self) -> None:
        config = replace(MAP, size=16, keep_rows=True)
        poses = walk(20, MSR20)
        cut = augmented(poses, MSR20, rng(), config=config, augment=replace(self.OFF, margin=8))
        larger = spmf(poses, MSR20, config=replace(config, size=24))
        windows = [larger[:, left : left + 16] for left in range(9)]
        assert any((cut == window).all() for window in windows)

    def test_backwards_but_not_if_directed(self) -> None:
        picture = rng().integers(0, 256, (32, 32, 3)).astype(np.uint8)
        back = replace(self.OFF, reverse=1.0, directed=(0, 1))
        assert (back.picture(picture, rng(), action=2) == picture[:, ::-1]).all()
        assert (back.picture(picture, rng(), action=1) == picture).all()
        half = [(replace(back, reverse=0.5).picture(picture, rng(s)) == picture).all()
                for s in range(200)]  # fmt: skip
        assert 60 < sum(half) < 140
        upside_down = replace(self.OFF, upside_down=1.0)
        assert (upside_down.picture(picture, rng()) == picture[::-1]).all()

    def test_cut_in_time(self) -> None:
        poses = np.arange(20.0)[:, None, None] + np.zeros((20, 20, 3))
        seen = [replace(self.OFF, keep=0.8).poses(poses, MSR20, rng(s)) for s in range(200)]
        assert {len(p) for p in seen} == {16, 17, 18, 19, 20}
        assert all((np.diff(p[:, 0, 0]) == 1).all() for p in seen)
        assert {p[0, 0, 0] for p in seen} == {0, 1, 2, 3, 4}

    def test_turn_keeps_height_and_distance(self) -> None:
        poses = walk(5, MSR20)
        turned = turn(poses, 0.5)
        np.testing.assert_allclose(turned[..., 1], poses[..., 1])
        np.testing.assert_allclose(pose_features(turned)[0], pose_features(poses)[0])
        np.testing.assert_allclose(turn(np.array([0.0, 0, 1]), np.pi / 2), [1, 0, 0], atol=1e-12)

    def test_mirrored(self) -> None:
        poses = walk(5, MSR20)
        found = mirrored(poses, MSR20)
        left, right = MSR20.index("l_wrist"), MSR20.index("r_wrist")
        np.testing.assert_array_equal(found[:, left], poses[:, right] * [-1, 1, 1])
        np.testing.assert_array_equal(mirrored(found, MSR20), poses)
        assert (replace(self.OFF, mirror=1.0).poses(poses, MSR20, rng()) == found).all()

    def test_persons_change_places(self) -> None:
        poses = walk(5, SBU15, people=2)
        always = replace(self.OFF, swap=1.0)
        assert (always.poses(poses, SBU15, rng()) == poses[:, ::-1]).all()
        assert (always.poses(poses[:, 0], SBU15, rng()) == poses[:, 0]).all()

    def test_noise_is_measured_in_torsos(self) -> None:
        poses = np.zeros((500, 20, 3))
        for joint, y in (("shoulder", -500.0), ("hip", 0.0)):
            for side in "lr":
                poses[:, MSR20.index(f"{side}_{joint}"), 1] = y
        poses[0, MSR20.index("l_hip")] = np.nan
        assert torso_length(poses, MSR20) == 500
        found = replace(self.OFF, noise=0.02).poses(poses, MSR20, rng()) - poses
        assert 9.7 < np.nanstd(found) < 10.3
        assert np.isnan(found).sum() == 3  # unknown stays unknown
        with pytest.raises(ValueError, match="noise=0"):
            torso_length(np.full((2, 20, 3), np.nan), MSR20)

    def test_refuses(self) -> None:
        for wrong in ({"mirror": 1.5}, {"keep": 0.0}, {"noise": -1.0}, {"margin": -1}):
            with pytest.raises(ValueError, match="got"):
                Augment(**wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="need a size"):
            augmented(walk(5, MSR20), MSR20, rng(), config=MAP, augment=self.OFF)
