"""Skeleton files: counts of the literature, camera axes, left is left, two persons are a pair."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from poseact.core.layouts import MSR20, SBU15, UTD20, convert
from poseact.core.types import Record
from poseact.data.sets import msr3d, skeletons
from poseact.data.sets.skeletons import kinect_to_camera, label_names, load, pairs

NAMES = ("wave", "bend", "kick")


def table(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Six sequences of 4 frames in UTD20, subjects 1 to 3, with Kinect's words for the joints."""
    rng = np.random.default_rng(0)
    words = {"l_": "left_", "r_": "right_"}
    names = [words.get(j[:2], "") + (j[2:] if j[:2] in words else j) for j in UTD20.joints]
    names = [{"thorax": "shoulder_center", "pelvis": "hip_center"}.get(n, n) for n in names]
    return {
        "xyz": rng.uniform(-1, 1, (24, 20, 3)) + [0, 0, 3],
        "start": np.arange(0, 24, 4),
        "length": np.full(6, 4),
        "action": np.array([1, 2, 3, 3, 1, 2], np.int8),
        "subject": np.array([1, 1, 1, 2, 2, 3], np.int8),
        "trial": np.ones(6, np.int8),
        "action_names": np.array(NAMES),
        "joint_names": np.array(names),
    } | changes


def write(path: Path, content: dict[str, np.ndarray]) -> Path:
    np.savez(path, **content)
    return path


class TestOnesOwn:
    def test_axes_units_and_labels(self, tmp_path: Path) -> None:
        content = table()
        path = write(tmp_path / "mine.npz", content)
        records = load(path, "all")
        assert len(records) == 6 and [r.action for r in records] == [0, 1, 2, 2, 0, 1]
        assert [r.subject for r in records] == ["1", "1", "1", "2", "2", "3"]
        first = records[1]
        assert first.layout == UTD20 and first.frame is None and len(first) == 4
        assert first.xy.shape == (4, 20, 2) and np.isnan(first.xy).all()
        assert first.xyz is not None
        x, y, z = content["xyz"][6, UTD20.index("l_hand")]  # frame 2 of sequence 1
        np.testing.assert_allclose(
            first.xyz[2, UTD20.index("l_hand")], [-1000 * x, -1000 * y, 1000 * z], rtol=1e-6
        )
        assert label_names(path) == NAMES

    def test_joints_are_found_by_name(self, tmp_path: Path) -> None:
        content = table()
        order = np.random.default_rng(1).permutation(20)
        mixed = content | {
            "xyz": content["xyz"][:, order],
            "joint_names": content["joint_names"][order],
        }
        plain = load(write(tmp_path / "a.npz", content), "all")
        shuffled = load(write(tmp_path / "b.npz", mixed), "all")
        for a, b in zip(plain, shuffled, strict=True):
            assert a.xyz is not None and b.xyz is not None
            np.testing.assert_array_equal(a.xyz, convert(b.xyz, b.layout, a.layout))

    def test_splits_by_subject(self, tmp_path: Path) -> None:
        path = write(tmp_path / "mine.npz", table())
        subjects = {split: {r.subject for r in load(path, split)} for split in ("train", "test")}
        assert subjects == {"train": {"1", "3"}, "test": {"2"}}
        assert {r.subject for r in load(path, "train", train_subjects=[2, 3])} == {"2", "3"}
        assert load(tmp_path, "test")[0].source == "mine/00003"

    def test_lost_joints_are_nan_and_frames_stay(self, tmp_path: Path) -> None:
        content = table(confidence=np.ones((24, 20)))
        content["xyz"][5] = 0
        content["xyz"][6, 7] = 0
        content["confidence"][6, 7] = 0
        record = load(write(tmp_path / "mine.npz", content), "all")[1]
        assert record.xyz is not None and record.visible is not None
        assert len(record) == 4 and np.isnan(record.xyz[1]).all()
        assert np.isnan(record.xyz[2, 7]).all() and np.isnan(record.xyz[2]).sum() == 3
        assert record.visible.sum() == 79 and not record.visible[2, 7]

    def test_subsets_and_the_published_list(self, tmp_path: Path) -> None:
        listed = np.array([True, True, True, False, True, True])
        path = write(tmp_path / "a.npz", table(AS1=np.array([3, 1]), in_cvpr12_list=listed))
        with pytest.warns(UserWarning, match="1 of 6 sequences are not in the published list"):
            records = load(path, "all", subset="AS1")
        assert [r.action for r in records] == [0, 1, 0]
        assert label_names(path, subset="AS1") == ("wave", "kick")
        assert len(load(path, "all", subset="AS1", listed=False)) == 4
        with pytest.raises(ValueError, match="subsets all, AS1; got 'AS2'"):
            load(path, "all", subset="AS2", listed=False)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"start": np.full(6, 30)}, "do not lie in the 24 rows"),
            ({"length": np.zeros(6, int)}, "do not lie"),
            ({"action": np.zeros(6, int)}, "count from 1 to 3"),
            ({"subject": np.ones(5, int)}, "one row a sequence"),
            ({"xyz": np.full((24, 20, 3), 900.0)}, "divide mm by 1000"),
            ({"xyz": np.zeros((24, 20, 2))}, "xyz is"),
            ({"joint_names": np.array([f"j{i}" for i in range(20)])}, "no layout"),
        ],
    )
    def test_broken_files_are_refused_by_name(
        self, tmp_path: Path, changes: dict[str, np.ndarray], message: str
    ) -> None:
        path = write(tmp_path / "mine.npz", table(**changes))
        with pytest.raises(ValueError, match=message) as caught:
            load(path)
        assert "mine.npz" in str(caught.value)

    def test_other_things_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no skeleton"):
            load(tmp_path)
        path = write(tmp_path / "a.npz", {"xyz": np.zeros((1, 20, 3))})
        with pytest.raises(ValueError, match="missing"):
            load(path)
        nameless = table()
        del nameless["joint_names"]
        write(tmp_path / "b.npz", nameless)
        with pytest.raises(ValueError, match="add joint_names"):
            load(tmp_path / "b.npz")
        with pytest.raises(ValueError, match="a.npz, b.npz"):
            load(tmp_path)
        with pytest.raises(ValueError, match="got 'val'"):
            load(tmp_path / "b.npz", "val")


class TestPairs:
    def test_two_persons_stay_together(self, tmp_path: Path) -> None:
        x = np.random.default_rng(0).uniform(-1, 1, (10, 2, 5, 15, 2))
        path = write(tmp_path / "two.npz", {"x": x, "label": np.repeat([0, 1], 5)})
        both = pairs(load(path, "all"))
        assert len(both) == 10
        for i, (first, second) in enumerate(both):
            assert first.source == second.source and first.subject != second.subject
            assert first.action == second.action == i // 5
            assert first.xyz is not None and second.xyz is not None
            np.testing.assert_allclose(first.xyz[..., 0], -1280 * x[i, 0, ..., 0], rtol=1e-5)
            np.testing.assert_allclose(
                second.xyz[..., 1], 192 - 1152 * x[i, 1, ..., 1], rtol=1e-5, atol=1e-3
            )
            assert np.isnan(first.xyz[..., 2]).all()

    def test_folds_part_the_sequences_evenly(self, tmp_path: Path) -> None:
        x = np.zeros((10, 2, 5, 15, 2))
        path = write(tmp_path / "two.npz", {"x": x, "label": np.tile([0, 1], 5)})
        tested = []
        for fold in range(1, 6):
            test = {r.source for r in load(path, "test", fold=fold)}
            assert {r.action for r in load(path, "test", fold=fold)} == {0, 1}
            assert not test & {r.source for r in load(path, "train", fold=fold)}
            tested += test
        assert len(tested) == len(set(tested)) == 10
        with pytest.raises(ValueError, match="folds are 1 to 5"):
            load(path, "test", fold=0)

    def test_one_alone_is_refused(self) -> None:
        alone = Record(None, np.zeros((1, 15, 2)), SBU15, source="s/1")
        with pytest.raises(ValueError, match="s/1 has 1"):
            pairs([alone])


def test_kinect_to_camera_turns_and_does_not_mirror() -> None:
    axes = kinect_to_camera(np.eye(3))
    np.testing.assert_array_equal(axes, np.diag([-1000, -1000, 1000]))
    assert np.linalg.det(axes) > 0


class TestReal:
    @pytest.fixture()
    def folder(self, shared_data: Path) -> Path:
        return shared_data / "skeletons"

    def test_msr_counts(self, folder: Path) -> None:
        path = folder / "msr_action3d.npz"
        counts = {}
        with pytest.warns(UserWarning, match="10 of 567"):
            for subset in ("AS1", "AS2", "AS3", "all"):
                splits = [load(path, split, subset=subset) for split in ("train", "test")]
                counts[subset] = tuple(len(split) for split in splits)
                per_class = np.bincount([r.action or 0 for r in splits[1]]).tolist()
                if subset in TEST_PER_CLASS:
                    assert per_class == TEST_PER_CLASS[subset]
        assert counts == COUNTS
        assert len(load(path, "all", listed=False)) == 567

    def test_our_list_is_the_files_list(self, folder: Path) -> None:
        with np.load(folder / "msr_action3d.npz") as archive:
            keys = zip(archive["action"], archive["subject"], archive["trial"], strict=True)
            use = archive["in_cvpr12_list"]
            listed = {tuple(map(int, key)) for key, ok in zip(keys, use, strict=True) if ok}
            names = tuple(name.lower() for name in archive["action_names"].tolist())
        assert listed == msr3d.published_list() and len(listed) == 557
        assert names == msr3d.ACTIONS

    @pytest.mark.parametrize("name", ["msr_action3d", "utd_mhad"])
    def test_people_stand_before_the_camera_and_left_is_left(self, folder: Path, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            records = load(folder / f"{name}.npz", "all")
        layout = records[0].layout
        xyz = np.concatenate([r.xyz for r in records if r.xyz is not None])
        middle = {
            joint: np.nanmedian(xyz[:, layout.index(joint)], axis=0) for joint in layout.joints
        }
        assert 2000 < middle["pelvis"][2] < 4000
        assert 400 < middle["pelvis"][1] - middle["head"][1] < 800  # y is down
        assert middle["l_foot"][2] < middle["l_ankle"][2]  # toes towards the camera ...
        assert (
            middle["r_shoulder"][0] < middle["l_shoulder"][0] - 200
        )  # ... so right is on the left

    @pytest.mark.parametrize(
        ("name", "actions"), [("msr_action3d", range(9)), ("utd_mhad", (0, 2, 4, 7))]
    )
    def test_one_handed_actions_move_the_right_hand(
        self, folder: Path, name: str, actions: range
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            records = load(folder / f"{name}.npz", "all")
        for action in actions:
            moved = {"l_hand": 0.0, "r_hand": 0.0}
            for record in (r for r in records if r.action == action and r.xyz is not None):
                assert record.xyz is not None
                for joint in moved:
                    track = record.xyz[:, record.layout.index(joint)]
                    moved[joint] += float(np.nanstd(track, axis=0).sum())
            assert moved["r_hand"] > 2 * moved["l_hand"], action

    def test_utd_counts(self, folder: Path) -> None:
        path = folder / "utd_mhad.npz"
        assert [len(load(path, split)) for split in ("train", "test", "all")] == [431, 430, 861]
        assert len(label_names(path)) == 27 and load(path)[0].layout == UTD20

    def test_sbu_in_2d(self, folder: Path) -> None:
        both = pairs(load(folder / "sbu_val2d.npz", "all"))
        assert len(both) == 84 and {r.action for r, _ in both} == set(range(8))
        gaps: dict[int, list[np.ndarray]] = {}
        for first, second in both:
            assert first.xyz is not None and second.xyz is not None and first.action is not None
            torso = first.xyz[:, SBU15.index("spine")] - second.xyz[:, SBU15.index("spine")]
            gaps.setdefault(first.action, []).append(np.abs(torso[[0, -1], 0]))
        start, end = np.mean(gaps[0], axis=0)
        assert start > 2 * end  # 0 is approaching
        start, end = np.mean(gaps[1], axis=0)
        assert end > 1.5 * start  # 1 is departing
        xyz = np.concatenate([r.xyz for pair in both for r in pair if r.xyz is not None])
        for side in "lr":
            hip, knee = (xyz[:, SBU15.index(f"{side}_{joint}"), :2] for joint in ("hip", "knee"))
            # A thigh seen from the side is as long as it is: 454 mm in the authors' 3D files.
            assert np.percentile(np.linalg.norm(hip - knee, axis=-1), 95) == pytest.approx(
                454, rel=0.03
            )
        assert (xyz[:, SBU15.index("head"), 1] < xyz[:, SBU15.index("l_foot"), 1]).mean() > 0.99


COUNTS = {"AS1": (114, 105), "AS2": (116, 112), "AS3": (111, 111), "all": (284, 273)}
TEST_PER_CLASS = {
    "AS1": [12, 12, 11, 11, 15, 15, 15, 14],
    "AS2": [12, 12, 13, 15, 15, 15, 15, 15],
    "AS3": [11, 15, 11, 15, 15, 15, 15, 14],
}


def test_msr_order_is_the_layout_with_its_sides_exchanged() -> None:
    assert skeletons.MSR_COLUMNS[MSR20.index("r_hand")] == 12
    assert skeletons.MSR_COLUMNS[MSR20.index("head")] == 19
