"""Enhanced-SPMF: hand-computed pictures, invariances, gaps, two persons."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest

from poseact.core.layouts import H36M17, LAYOUTS, MSR20, NTU25, SBU15, Layout
from poseact.skeletons.spmf import (
    JET,
    Bounds,
    SPMFConfig,
    complete,
    dataset_bones,
    dataset_bounds,
    encode,
    enhance,
    features,
    motion_features,
    part_order,
    pose_features,
    resize,
    smooth,
    spmf,
    turn,
    with_bones,
)

THREE = Layout("THREE", ("a", "b", "c"), (-1, 0, 0))
MAP = SPMFConfig(size=None, enhance="none")
"""The map as it is, before equalisation and resizing."""
RAW = replace(MAP, smooth=False)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def walk(frames: int, layout: Layout, seed: int = 0, people: int = 0) -> np.ndarray:
    """A random posture (mm) whose joints drift, so that neighbouring frames are alike."""
    shape = (len(layout), 3) if not people else (people, len(layout), 3)
    start = rng(seed).normal(0, 400, shape)
    return start + rng(seed + 1).normal(0, 20, (frames, *shape)).cumsum(0)


class TestByHand:
    """Three joints, two frames; c moves by 5 along y. All lengths are whole but one."""

    POSES = np.array(
        [[[0, 0, 0], [3, 4, 0], [0, 0, 12]], [[0, 0, 0], [3, 4, 0], [0, 5, 12]]], float
    )
    ROOT_154 = 12.409673645990857

    def test_features(self) -> None:
        distance, offset = pose_features(self.POSES)
        np.testing.assert_allclose(distance, [[5, 12, 13], [5, 13, self.ROOT_154]])
        assert offset[0].tolist() == [[-3, -4, 0], [0, 0, -12], [3, 4, -12]]  # ab ac bc
        distance, offset = motion_features(self.POSES)
        np.testing.assert_allclose(distance, [[5, 13, self.ROOT_154]])
        assert offset[0].tolist() == [[-3, -4, 0], [0, -5, -12], [3, -1, -12]]

    def test_picture(self) -> None:
        # d_max 13, c from -12 to 4: 255 * 5 / 13 = 98.08, 255 * (-3 + 12) / 16 = 143.4, ...
        levels = [[98, 98, 98], [235, 255, 255], [255, 243, 243]]
        ab, ac = (143, 127, 191), (191, 111, 0)
        offsets = [[ab, ab, ab], [(191, 191, 0), ac, ac], [(239, 255, 0), *[(239, 175, 0)] * 2]]
        expected = np.concatenate([JET[levels], np.array(offsets)])
        found = spmf(self.POSES, THREE, config=MAP)
        assert found.dtype == np.uint8 and found.shape == (6, 3, 3)
        np.testing.assert_array_equal(found, expected)

    def test_own_displacement(self) -> None:
        found, offset = features(self.POSES, THREE, config=replace(RAW, mf_self=True))
        assert found.shape == (1, 3, 6)
        assert found[0, :, 3:].tolist() == [[0, 0, 0], [0, 0, 5], [0, 0, 0]]
        assert offset[0, 1, 5].tolist() == [0, -5, 0]
        assert spmf(self.POSES, THREE, config=replace(MAP, mf_self=True)).shape == (12, 3, 3)

    def test_unit_vectors(self) -> None:
        """Their range is fixed: 0 is 127, whatever the sequence; a joint on another is 0."""
        unit = replace(RAW, orientation="unit")
        _, offset = features(self.POSES, THREE, config=unit)
        np.testing.assert_allclose(offset[0, 0, 0], [-0.6, -0.8, 0])
        picture = spmf(self.POSES, THREE, config=unit)
        assert picture[3, 0].tolist() == [51, 25, 127] and picture[4, 0].tolist() == [127, 127, 0]
        same = np.zeros((1, 3, 3))
        assert (spmf(same, THREE, config=unit)[3:] == 127).all()

    def test_dataset_bounds(self) -> None:
        sequences = [self.POSES, 2 * self.POSES]
        bounds = dataset_bounds(iter(sequences), THREE, config=RAW)
        assert bounds == Bounds(26, -24, 8)
        fixed = replace(RAW, bounds=bounds)
        assert (spmf(sequences[0], THREE, config=fixed)[2, 0] == JET[128]).all()  # 127.5
        assert spmf(sequences[1], THREE, config=fixed)[5, 0].tolist() == [239, 255, 0]
        beyond = spmf(10 * self.POSES, THREE, config=fixed)  # cut, not wrapped round
        assert (beyond[2, 0] == JET[255]).all() and beyond[5, 0].tolist() == [255, 255, 0]
        with pytest.raises(ValueError, match="at least"):
            dataset_bounds([], THREE)


class TestSteps:
    def test_smoothing_is_the_five_point_formula(self) -> None:
        x = rng().normal(size=(12, 3, 3))
        weights = np.array([-3, 12, 17, 12, -3]) / 35
        held = np.concatenate([x[:1], x[:1], x, x[-1:], x[-1:]])
        expected = np.stack([np.tensordot(weights, held[t : t + 5], 1) for t in range(12)])
        np.testing.assert_allclose(smooth(x), expected, atol=1e-12)
        t = np.arange(12.0)
        parabola = np.broadcast_to((t**2 - 3 * t)[:, None, None], (12, 3, 3))
        np.testing.assert_allclose(smooth(parabola)[2:-2], parabola[2:-2], atol=1e-9)
        assert (smooth(x[:4]) == x[:4]).all()

    def test_smoothing_comes_first(self) -> None:
        poses = walk(12, THREE)
        np.testing.assert_array_equal(
            spmf(poses, THREE, config=MAP), spmf(smooth(poses), THREE, config=RAW)
        )
        assert (spmf(poses, THREE, config=MAP) != spmf(poses, THREE, config=RAW)).any()

    def test_jet(self) -> None:
        t = np.linspace(0, 1, 256)[:, None]
        formula = np.clip(1.5 - np.abs(4 * t - [3, 2, 1]), 0, 1) * 255
        assert np.abs(JET - formula).max() <= 0.5 + 1e-6
        assert JET[0, 2] > 100 and JET[255, 0] > 100  # dark blue to dark red

    def test_features_are_those_of_a_plain_loop(self) -> None:
        poses = walk(6, NTU25)
        distance, offset = features(poses, NTU25, config=RAW)
        assert distance.shape == (1, 11, 300) and offset.shape == (1, 11, 300, 3)
        for column in range(11):
            here, there = poses[column // 2], poses[(column + 1) // 2]
            for row, (j, k) in enumerate(combinations(range(25), 2)):
                np.testing.assert_allclose(offset[0, column, row], here[j] - there[k])
                length = np.linalg.norm(here[j] - there[k])
                np.testing.assert_allclose(distance[0, column, row], length)

    def test_encoding_of_nothing(self) -> None:
        picture = spmf(np.ones((3, 3, 3)), THREE, config=MAP)
        assert (picture[:3] == JET[0]).all() and (picture[3:] == 0).all()
        one = encode(np.zeros((1, 1, 1)), np.full((1, 1, 1, 3), 0.9999), Bounds(1, 0, 1))
        assert one[1, 0].tolist() == [254] * 3  # floor

    def test_equalisation_of_the_whole(self) -> None:
        picture = spmf(walk(9, H36M17), H36M17, config=MAP)
        value = picture.max(-1)
        count = np.bincount(value.ravel(), minlength=256)
        below = count.cumsum()
        first = below[np.flatnonzero(count)[0]]
        expected = np.rint(255 * (below - first) / (value.size - first))[value]
        found = enhance(picture, config=SPMFConfig(enhance="he"))
        assert np.abs(found.max(-1) - expected).max() <= 1

    def test_clahe_without_tiles_and_limit_is_a_cumulative_histogram(self) -> None:
        picture = spmf(walk(20, H36M17), H36M17, config=MAP)
        value = picture.max(-1)
        expected = (np.bincount(value.ravel(), minlength=256).cumsum() * 255 / value.size)[value]
        found = enhance(picture, config=SPMFConfig(clip_limit=1e6, tiles=1))
        assert np.abs(found.max(-1) - expected).max() <= 1

    def test_clahe_works_on_tiles_within_a_limit_and_keeps_the_hue(self) -> None:
        picture = spmf(walk(60, H36M17), H36M17, config=MAP)
        found = enhance(picture)
        assert found.shape == picture.shape and (found != picture).any()
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        clahe = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8))
        np.testing.assert_array_equal(found.max(-1), clahe.apply(np.ascontiguousarray(hsv[..., 2])))
        for other in (SPMFConfig(clip_limit=10), SPMFConfig(tiles=2)):
            assert (enhance(picture, config=other) != found).any()
        vivid = (hsv[..., 1] > 60) & (hsv[..., 2] > 60) & (found.max(-1) > 60)
        turned = cv2.cvtColor(found, cv2.COLOR_RGB2HSV)[..., 0].astype(int) - hsv[..., 0]
        assert vivid.sum() > 1000 and np.abs((turned[vivid] + 90) % 180 - 90).max() <= 3

    def test_tiny_maps_are_not_enhanced(self) -> None:
        narrow = spmf(walk(4, H36M17), H36M17, config=MAP)  # 7 columns
        assert (enhance(narrow) == narrow).all()
        wider = spmf(walk(5, H36M17), H36M17, config=MAP)
        assert (enhance(wider, config=SPMFConfig(tiles=50)) != wider).any()

    def test_resize_averages_the_side_that_shrinks(self) -> None:
        picture = rng().integers(0, 256, (128, 128, 3)).astype(np.uint8)
        mean = picture.reshape(32, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(resize(picture, (32, 32)) - mean).max() <= 1
        stripes = np.zeros((320, 15, 3), np.uint8)
        stripes[::2] = 255  # rows shrink, columns grow
        assert np.abs(resize(stripes, (32, 32)).astype(int) - 127.5).max() <= 1
        ramp = np.broadcast_to(np.arange(16, dtype=np.uint8)[None, :, None] * 16, (320, 16, 3))
        assert (np.diff(resize(ramp, (32, 32))[0, :, 0].astype(int)) >= 0).all()
        nearest = resize(stripes, (32, 32), how="nearest")
        assert set(np.unique(nearest)) <= {0, 255}

    def test_rows_that_are_kept_are_those_of_the_map(self) -> None:
        poses = walk(20, MSR20)
        whole = spmf(poses, MSR20, config=replace(MAP, size=39))
        kept = spmf(poses, MSR20, config=replace(MAP, size=39, keep_rows=True))
        assert whole.shape == (39, 39, 3) and kept.shape == (380, 39, 3)
        np.testing.assert_array_equal(kept, spmf(poses, MSR20, config=MAP))  # 2 * 20 - 1 columns
        narrow = spmf(poses, MSR20, config=replace(MAP, size=13, keep_rows=True))
        assert np.abs(narrow - kept.reshape(380, 13, 3, 3).mean(2)).max() <= 1


class TestInvariance:
    def test_where_the_person_stands_does_not_matter(self) -> None:
        poses = rng().integers(-500, 500, (20, 17, 3)).astype(float)
        config = SPMFConfig(smooth=False)
        np.testing.assert_array_equal(
            spmf(poses, H36M17, config=config),
            spmf(poses + [512, -64, 4096], H36M17, config=config),
        )

    def test_nor_the_unit(self) -> None:
        poses = walk(20, H36M17)
        np.testing.assert_array_equal(spmf(poses, H36M17), spmf(poses / 1024, H36M17))
        fixed = SPMFConfig(bounds=dataset_bounds([poses], H36M17))
        np.testing.assert_array_equal(spmf(poses, H36M17), spmf(poses, H36M17, config=fixed))
        assert (spmf(poses / 2, H36M17) != spmf(poses / 2, H36M17, config=fixed)).any()

    def test_distances_do_not_see_a_rotation(self) -> None:
        poses = walk(20, H36M17)
        before, after = (spmf(p, H36M17, config=MAP).astype(int) for p in (poses, turn(poses, 1.0)))
        half = len(before) // 2
        step = np.abs(np.diff(JET.astype(int), axis=0)).max()  # rounding may move by one colour
        assert np.abs(before[:half] - after[:half]).max() <= step
        assert np.abs(before[half:] - after[half:]).mean() > 10

    def test_a_sequence_backwards_has_its_postures_backwards(self) -> None:
        poses = walk(20, MSR20)
        forth, back = (features(p, MSR20)[0] for p in (poses, poses[::-1]))
        np.testing.assert_allclose(forth[:, ::2], back[:, ::-2])

    def test_the_same_twice_and_the_input_is_left_alone(self) -> None:
        poses = walk(20, MSR20)
        poses[3, 5] = np.nan
        copy = poses.copy()
        np.testing.assert_array_equal(spmf(poses, MSR20), spmf(poses.astype(np.float64), MSR20))
        np.testing.assert_array_equal(poses, copy)


class TestBones:
    def test_bodies_get_the_bones_and_keep_the_directions(self) -> None:
        poses, bones = walk(6, MSR20), tuple(np.linspace(50.0, 400.0, 20))
        out = with_bones(poses, MSR20, bones)
        for j, parent in enumerate(MSR20.parents):
            if parent < 0:
                np.testing.assert_array_equal(out[:, j], poses[:, j])
                continue
            before, after = (p[:, j] - p[:, parent] for p in (poses, out))
            np.testing.assert_allclose(np.linalg.norm(after, axis=-1), bones[j])
            across = np.linalg.norm(np.cross(before, after), axis=-1)
            np.testing.assert_allclose(across, 0, atol=1e-9 * np.abs(before).max() * bones[j])
            assert ((before * after).sum(-1) > 0).all()

    def test_those_of_a_data_set_are_mean_medians(self) -> None:
        poses = walk(7, H36M17)
        with_hip = poses.copy()
        with_hip[2] += 1000 * rng().normal(size=(17, 3))  # one bad frame
        bones = np.array(dataset_bones([with_hip, 3 * poses], H36M17))
        parents = [max(parent, 0) for parent in H36M17.parents]
        lengths = np.linalg.norm(poses - poses[:, parents], axis=-1)
        np.testing.assert_allclose(bones, 2 * np.median(lengths, 0), rtol=0.05)
        assert bones[H36M17.root] == 0
        with pytest.raises(ValueError, match="a sequence at least"):
            dataset_bones([], H36M17)

    def test_pictures_of_tall_and_short_are_the_same(self) -> None:
        poses = walk(12, MSR20)
        bones = dataset_bones([poses], MSR20)
        short = with_bones(poses, MSR20, [b * (0.6 + 0.02 * j) for j, b in enumerate(bones)])
        pair = [poses, short]
        plain = [spmf(p, MSR20).astype(int) for p in pair]
        same = [spmf(p, MSR20, config=SPMFConfig(bones=bones)).astype(int) for p in pair]
        assert np.abs(plain[0] - plain[1]).mean() > 5
        assert np.abs(same[0] - same[1]).max() <= 1
        with pytest.raises(ValueError, match="H36M17 has 17 joints, got 20 bones"):
            spmf(walk(3, H36M17), H36M17, config=SPMFConfig(bones=bones))


class TestShape:
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
    def test_of_every_layout(self, layout: Layout) -> None:
        poses, pairs = walk(9, layout), len(layout) * (len(layout) - 1) // 2
        assert spmf(poses, layout, config=SPMFConfig(size=None)).shape == (2 * pairs, 17, 3)
        picture = spmf(poses, layout, config=SPMFConfig(order="parts"))
        assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8

    def test_one_frame_is_one_column(self) -> None:
        poses = walk(1, SBU15)
        assert spmf(poses, SBU15, config=SPMFConfig(size=None)).shape == (210, 1, 3)
        assert spmf(poses, SBU15).shape == (32, 32, 3)


class TestParts:
    def test_h36m(self) -> None:
        expected = [0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 4, 5, 6, 1, 2, 3]
        assert part_order(H36M17) == expected

    def test_every_joint_of_a_limb_is_in_its_limb(self) -> None:
        order = [MSR20.joints[j] for j in part_order(MSR20)]
        assert order[:4] == ["pelvis", "spine", "thorax", "head"]
        assert order[4:8] == ["l_shoulder", "l_elbow", "l_wrist", "l_hand"]
        assert order[16:] == ["r_hip", "r_knee", "r_ankle", "r_foot"]
        for layout in LAYOUTS.values():
            found = part_order(layout)
            left, right = ([j for j in found if layout.side(j) == side] for side in "lr")
            assert sorted(found) == list(range(len(layout)))
            assert [layout.flip[j] for j in left] == right

    def test_rows_follow(self) -> None:
        poses, order = walk(9, H36M17), part_order(H36M17)
        sorted_rows = spmf(poses, H36M17, config=replace(MAP, order="parts"))
        np.testing.assert_array_equal(sorted_rows, spmf(poses[:, order], H36M17, config=MAP))
        assert (sorted_rows != spmf(poses, H36M17, config=MAP)).any()


class TestTwoPersons:
    POSES = walk(9, SBU15, people=2)

    def test_pairs_between_them_count(self) -> None:
        distance, _ = features(self.POSES, SBU15, config=RAW)
        assert distance.shape == (1, 17, 435)
        pairs = list(combinations(range(30), 2))
        apart = np.linalg.norm(self.POSES[4, 0, 3] - self.POSES[4, 1, 7])
        np.testing.assert_allclose(distance[0, 8, pairs.index((3, 15 + 7))], apart)
        assert spmf(self.POSES, SBU15, config=MAP).shape == (870, 17, 3)

    def test_parts_within_each(self) -> None:
        order = part_order(SBU15)
        np.testing.assert_array_equal(
            spmf(self.POSES, SBU15, config=replace(MAP, order="parts")),
            spmf(self.POSES[:, :, order], SBU15, config=MAP),
        )

    def test_stacked_they_have_a_picture_each_on_one_scale(self) -> None:
        stacked = spmf(self.POSES, SBU15, config=replace(MAP, persons="stack"))
        bounds = dataset_bounds([self.POSES[:, 0], self.POSES[:, 1]], SBU15)
        each = [spmf(self.POSES[:, p], SBU15, config=replace(MAP, bounds=bounds)) for p in (0, 1)]
        np.testing.assert_array_equal(stacked, np.concatenate(each))

    def test_one_person_with_or_without_an_axis(self) -> None:
        one = self.POSES[:, :1]
        for persons in ("concat", "stack"):
            config = SPMFConfig(persons=persons)
            np.testing.assert_array_equal(
                spmf(one, SBU15, config=config), spmf(one[:, 0], SBU15, config=config)
            )


class TestGaps:
    def straight(self) -> np.ndarray:
        """Every joint on a line of its own, at its own pace; 10 frames."""
        start, pace = rng(1).normal(0, 300, (2, 3, 3))
        return start + np.arange(10)[:, None, None] * pace

    def test_unknown_joints_are_interpolated_in_time(self) -> None:
        whole = self.straight()
        holes = whole.copy()
        holes[[2, 3, 7], 1] = np.nan
        holes[5, 2, 0] = np.nan  # x alone makes the joint unknown
        np.testing.assert_allclose(complete(holes, THREE)[:, 0], whole)
        np.testing.assert_array_equal(
            spmf(holes, THREE, config=RAW), spmf(whole, THREE, config=RAW)
        )

    def test_and_held_at_the_ends(self) -> None:
        holes = self.straight()
        holes[:2, 1] = holes[8:, 1] = np.nan
        found = complete(holes, THREE)[:, 0, 1]
        assert (found[:2] == found[2]).all() and (found[8:] == found[7]).all()

    def test_frames_without_anybody_are_left_out_and_time_goes_on(self) -> None:
        whole = self.straight()
        holes = whole.copy()
        holes[[0, 4, 5]] = np.nan
        holes[3, 1] = np.nan  # between frames 2 and 6
        kept = [1, 2, 3, 6, 7, 8, 9]
        np.testing.assert_allclose(complete(holes, THREE)[:, 0], whole[kept])
        assert spmf(holes, THREE, config=RAW).shape == (6, 13, 3)

    def test_a_frame_with_one_of_two_persons_stays(self) -> None:
        both = np.stack([self.straight(), self.straight() + 1], 1)
        holes = both.copy()
        holes[4, 1] = np.nan
        np.testing.assert_allclose(complete(holes, THREE), both)

    def test_what_cannot_be_mended_is_refused(self) -> None:
        whole = self.straight()
        never = np.stack([whole, whole], 1)
        never[:, 1, 2] = np.nan
        with pytest.raises(ValueError, match="1 of 6 joints .* 10 frames, e.g. c of person 2"):
            spmf(never, THREE)
        for empty in (whole[:0], np.full_like(whole, np.nan)):
            with pytest.raises(ValueError, match=f"any of {len(empty)} frames"):
                spmf(empty, THREE)
        flat = whole.copy()
        flat[..., 2] = np.nan
        with pytest.raises(ValueError, match="needs z = 0"):
            spmf(flat, THREE)
        for wrong in (whole[0], whole[..., :2], whole[:, :2], whole[None, None]):
            with pytest.raises(ValueError, match="poses of THREE are"):
                spmf(wrong, THREE)


@pytest.mark.parametrize(
    "wrong",
    [{"orientation": "x"}, {"order": ""}, {"enhance": "ahe"}, {"persons": "two"}, {"size": 0}]
    + [{"tiles": 0}, {"clip_limit": 0.0}, {"resize": "cubic"}],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*got"):
        SPMFConfig(**wrong)
