"""Rendered people in other sets' forms: their readers give back what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from poseact.core.camera import project, to_world
from poseact.core.geometry import box_around, square
from poseact.core.layouts import MPII16, NTU25, PENN13, Layout, convert
from poseact.core.types import Record
from poseact.data import synthetic, write
from poseact.data.sets import folder, h36m, mpii, ntu, penn
from poseact.media.pictures import read_image
from poseact.media.video import VideoReader
from poseact.people.scene import PeopleConfig

CONFIG = PeopleConfig(height=80, width=96, frames=5, preset="easy", seed=3)
LABELS = ("squat", "jumping_jacks", "golf_swing")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    records = synthetic.load(CONFIG, 6, cache=tmp_path_factory.mktemp("cache"))
    records = [replace(record, action=i % 3, view="left") for i, record in enumerate(records)]
    return {"train": records[:3], "test": records[3:]}


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """The same picture, but for what JPEG or H.264 lose."""
    return a.shape == b.shape and float(np.abs(a.astype(int) - b).mean()) < 6


class TestPenn:
    def test_the_reader_gives_back_what_was_written(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        write.write_penn(splits, tmp_path / "penn", labels=LABELS)
        for split, records in splits.items():
            back = penn.load(tmp_path / "penn", split)
            assert len(back) == 3
            for before, after in zip(records, back, strict=True):
                assert penn.ACTIONS[after.action or 0] == LABELS[before.action or 0]
                assert after.frame is not None and before.frame is not None
                assert alike(after.frame(4), before.frame(4)) and after.view == "left"
                xy = convert(before.xy, before.layout, PENN13)
                known = ~np.isnan(after.xy)
                np.testing.assert_allclose(after.xy[known], xy[known], atol=1e-4)
                assert after.visible is not None and before.visible is not None
                seen = convert(before.visible[..., None], before.layout, PENN13)[..., 0]
                np.testing.assert_array_equal(after.visible, seen.astype(bool))
                assert after.box is not None and before.box is not None
                np.testing.assert_allclose(after.box, before.box, atol=1e-4)

    def test_the_file_is_as_published(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        write.write_penn(splits, tmp_path / "penn", labels=LABELS)
        label = loadmat(tmp_path / "penn" / "labels" / "0005.mat")
        assert label["x"].shape == label["y"].shape == label["visibility"].shape == (5, 13)
        assert label["train"].item() == -1 and label["action"].item() == "jumping_jacks"
        assert label["bbox"].shape == (5, 4) and label["nframes"].item() == 5
        assert label["dimensions"].tolist() == [[80, 96, 5]]
        pictures = sorted((tmp_path / "penn" / "frames" / "0005").iterdir())
        assert [p.name for p in pictures] == [f"{t:06d}.jpg" for t in range(1, 6)]

    def test_unknown_joints_are_not_visible(self, tmp_path: Path) -> None:
        frame = np.zeros((40, 40, 3), np.uint8)
        xy = np.full((2, 13, 2), 20.0)
        xy[1, 4] = np.nan
        record = Record(lambda t: frame, xy, PENN13, action=0)
        write.write_penn({"train": [record]}, tmp_path / "penn", labels=LABELS)
        (back,) = penn.load(tmp_path / "penn", "train")
        np.testing.assert_array_equal(np.isnan(back.xy), np.isnan(xy))


class TestFolder:
    def test_videos_in_folders_of_classes(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        write.write_folder(splits, tmp_path / "mine", labels=LABELS, fps=10)
        assert folder.classes(tmp_path / "mine") == tuple(sorted(LABELS))
        for split, records in splits.items():
            back = folder.load(tmp_path / "mine", split)
            assert sorted(len(r) for r in back) == [5, 5, 5]
            names = sorted(LABELS)
            by_class = {names[r.action]: r for r in back if r.action is not None}
            for before in records:
                after = by_class[LABELS[before.action or 0]]
                assert after.frame is not None and before.frame is not None
                assert alike(after.frame(3), before.frame(3))
        (video,) = (tmp_path / "mine" / "test" / "squat").iterdir()
        with VideoReader(video) as reader:
            assert reader.fps == 10 and reader.size == (96, 80)

    def test_one_split_for_all_stands_without_a_folder(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        write.write_folder({"all": splits["train"]}, tmp_path / "mine", labels=LABELS)
        assert {p.name for p in (tmp_path / "mine").iterdir()} == set(LABELS)
        assert len(folder.load(tmp_path / "mine", "all")) == 3

    def test_names_that_are_no_folders_are_refused(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match="a label names a folder"):
            write.write_folder(splits, tmp_path / "mine", labels=("a/b", "c", "d"))
        with pytest.raises(ValueError, match="splits are train, val and test"):
            write.write_folder({"../x": splits["train"]}, tmp_path / "mine", labels=LABELS)


class TestMpii:
    def test_the_reader_gives_back_what_was_written(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        write.write_mpii({"train": splits["train"], "val": splits["test"]}, tmp_path / "mpii")
        for split, records in (("train", splits["train"]), ("val", splits["test"])):
            back = mpii.load(tmp_path / "mpii", split)
            stills = [(record, t) for record in records for t in range(len(record))]
            assert len(back) == len(stills) == 15
            for after, (before, t) in zip(back, stills, strict=True):
                assert after.frame is not None and before.frame is not None
                assert alike(after.frame(0), before.frame(t))
                xy = convert(before.xy[t], before.layout, MPII16)
                np.testing.assert_allclose(after.xy[0], xy, atol=1e-3)
                # The annotated centre and scale crop the square around the joints.
                assert after.box is not None
                np.testing.assert_allclose(square(after.box[0]), square(box_around(xy)), atol=1e-3)
                if split == "val":
                    assert after.scale_px is not None and before.scale_px is not None
                    np.testing.assert_allclose(after.scale_px[0], before.scale_px[t], rtol=1e-4)

    def test_the_files_are_as_hrnet_has_them(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        beside = splits["test"][0]
        beside = replace(beside, xy=beside.xy.copy(), scale_px=None)
        beside.xy[0, beside.layout.index("r_wrist")] = [-5, 20]
        write.write_mpii({"val": [beside]}, tmp_path / "mpii")
        rows = json.loads((tmp_path / "mpii" / "annot" / "valid.json").read_text())
        assert set(rows[0]) == {"image", "center", "scale", "joints", "joints_vis"}
        wrist = MPII16.index("r_wrist")
        assert rows[0]["joints"][wrist] == [-1, -1] and rows[0]["joints_vis"][wrist] == 0
        truth = loadmat(tmp_path / "mpii" / "annot" / "gt_valid.mat")
        # As HRNet's own scoring picks them.
        assert np.where(truth["dataset_joints"] == "head")[1][0] == MPII16.index("head")
        assert np.where(truth["dataset_joints"] == "lsho")[1][0] == MPII16.index("l_shoulder")
        assert truth["pos_gt_src"].shape == (16, 2, 5) and truth["jnt_missing"].shape == (16, 5)
        assert truth["jnt_missing"][wrist].tolist() == [1, 0, 0, 0, 0]
        box = truth["headboxes_src"]
        assert box.shape == (2, 2, 5)
        size = 0.6 * np.linalg.norm(box[1] - box[0], axis=0)
        head, neck = (beside.xy[:, beside.layout.index(j)] for j in ("head", "neck"))
        np.testing.assert_allclose(size, np.linalg.norm(head - neck, axis=-1), rtol=1e-6)
        assert read_image(tmp_path / "mpii" / "images" / rows[4]["image"]).shape == (80, 96, 3)


def convert_3d(record: Record, layout: Layout) -> np.ndarray:
    assert record.xyz is not None
    return convert(record.xyz, record.layout, layout)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    cache = tmp_path_factory.mktemp("cache")
    records = synthetic.load(replace(CONFIG, layout="H36M17"), 5, cache=cache)
    records = [replace(record, action=i % 2) for i, record in enumerate(records)]
    return {"train": records[:3], "test": records[3:]}


class TestHuman36m:
    def test_the_reader_gives_back_what_was_written(
        self, moving: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        write.write_h36m(moving, tmp_path / "h36m", labels=("Walking", "SittingDown"))
        for split, records in moving.items():
            back = h36m.load(tmp_path / "h36m", split)
            assert len(back) == len(records)
            for before, after in zip(records, back, strict=True):
                name = h36m.ACTIONS[after.action or 0]
                assert name == ("Walking", "SittingDown")[before.action or 0]
                assert after.frame is not None and before.frame is not None
                assert alike(after.frame(4), before.frame(4))
                assert after.xyz is not None and before.xyz is not None
                np.testing.assert_allclose(after.xyz, before.xyz, atol=0.01)
                np.testing.assert_allclose(after.xy, before.xy, atol=1e-3)
                assert after.camera is not None
                np.testing.assert_allclose(
                    project(after.camera, to_world(after.camera, after.xyz.astype(float)))[0],
                    after.xy,
                    atol=0.05,
                )

    def test_what_it_needs(self, moving: dict[str, list[Record]], tmp_path: Path) -> None:
        for lacking, what in (("xyz", "3D poses"), ("camera", "camera")):
            with pytest.raises(ValueError, match=f"has no {what}"):
                bare = [replace(moving["test"][0], **{lacking: None})]
                write.write_h36m({"train": bare}, tmp_path / "x", labels=("Walking", "Sitting"))
        assert not (tmp_path / "x").exists()


class TestNtu:
    def test_the_reader_gives_back_what_was_written(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        names = ("throw", "clapping", "hand waving")
        write.write_ntu(splits, tmp_path / "ntu", labels=names)
        for protocol in ("cross_subject", "cross_view"):
            for split, records in splits.items():
                back = ntu.load(tmp_path / "ntu", split, protocol=protocol)
                assert len(back) == 3
                by_class = {ntu.ACTIONS[r.action or 0]: r for r in back}
                for before in records:
                    after = by_class[names[before.action or 0]]
                    assert after.frame is not None and before.frame is not None
                    assert alike(after.frame(4), before.frame(4))
                    assert after.xyz is not None
                    xy = convert(before.xy, before.layout, NTU25)
                    np.testing.assert_allclose(after.xy, xy, atol=2e-3)  # unknown ones, too
                    xyz = convert_3d(before, NTU25)
                    np.testing.assert_allclose(after.xyz, xyz, atol=2e-3)
                    assert np.isnan(after.xy[:, NTU25.index("l_thumb")]).all()


class TestWhole:
    def test_nothing_half_written_is_left(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        def broken(t: int) -> np.ndarray:
            raise ValueError("picture 7 is damaged")

        records = [*splits["train"], replace(splits["test"][0], frame=broken)]
        with pytest.raises(ValueError, match="picture 7 is damaged"):
            write.write_penn({"train": records}, tmp_path / "penn", labels=LABELS)
        with pytest.raises(ValueError, match="has no pictures"):
            bare = [replace(splits["test"][0], frame=None)]
            write.write_mpii({"train": bare}, tmp_path / "mpii")
        with pytest.raises(ValueError, match="a class for every clip"):
            odd = [replace(splits["test"][0], action=None)]
            write.write_folder({"train": odd}, tmp_path / "mine", labels=LABELS)
        assert list(tmp_path.iterdir()) == []

    def test_what_is_there_is_not_written_over(
        self, splits: dict[str, list[Record]], tmp_path: Path
    ) -> None:
        (tmp_path / "mine").mkdir()
        done: list[int] = []
        write.write_folder(splits, tmp_path / "mine", labels=LABELS, progress=done.append)
        assert sum(done) == 6
        with pytest.raises(ValueError, match="already holds something"):
            write.write_folder(splits, tmp_path / "mine", labels=LABELS)


class TestPeople:
    PEOPLE = PeopleConfig(frames=3, height=64, width=64, supersample=1, seed=4)

    @pytest.fixture(autouse=True)
    def cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory):
        monkeypatch.setenv("POSEACT_CACHE", str(tmp_path_factory.mktemp("cache")))

    def test_penn_has_only_its_own_classes_under_its_own_names(self, tmp_path: Path) -> None:
        write.write_people("penn", tmp_path / "p", {"train": 5, "val": 0, "test": 2}, self.PEOPLE)
        back = penn.load(tmp_path / "p", "train")
        assert len(back) == 5 and len(penn.load(tmp_path / "p", "test")) == 2
        chosen = tuple(a for a in self.PEOPLE.actions if a in write._PENN_CLASSES)
        drawn = synthetic.load(replace(self.PEOPLE, actions=chosen, split="train"), 5)
        for before, after in zip(drawn, back, strict=True):
            ours = chosen[before.action or 0]
            assert penn.ACTIONS[after.action or 0] == write._PENN_CLASSES[ours]

    def test_a_folder_has_the_names_of_the_actions(self, tmp_path: Path) -> None:
        people = replace(self.PEOPLE, actions=("kick", "wave"))
        write.write_people("folder", tmp_path / "f", {"train": 8, "test": 4}, people)
        assert folder.classes(tmp_path / "f") == ("kick", "wave")
        assert len(folder.load(tmp_path / "f", "test")) == 4

    def test_mpii_has_stills_and_no_test_split(self, tmp_path: Path) -> None:
        write.write_people("mpii", tmp_path / "m", {"train": 2, "val": 1, "test": 1}, self.PEOPLE)
        assert len(mpii.load(tmp_path / "m", "train")) == 2 * 3
        assert sorted(p.name for p in (tmp_path / "m/annot").glob("*.json")) == [
            "train.json",
            "valid.json",
        ]

    def test_three_dimensions_have_no_validation_people(self, tmp_path: Path) -> None:
        counts = {"train": 2, "val": 1, "test": 1}
        write.write_people("h36m", tmp_path / "h", counts, self.PEOPLE)
        write.write_people("ntu", tmp_path / "n", counts, self.PEOPLE)
        assert [len(h36m.load(tmp_path / "h", s)) for s in ("train", "test")] == [2, 1]
        assert [len(ntu.load(tmp_path / "n", s)) for s in ("train", "test")] == [2, 1]
        (record,) = ntu.load(tmp_path / "n", "test")
        assert np.isfinite(record.xy[:, NTU25.index("l_hand")]).all()

    def test_what_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="form of penn, mpii, h36m, ntu, folder; got 'coco'"):
            write.write_people("coco", tmp_path / "n", {"train": 1}, self.PEOPLE)
        with pytest.raises(ValueError, match="Penn Action has no class for them"):
            write.write_people(
                "penn", tmp_path / "n", {"train": 1}, replace(self.PEOPLE, actions=("walk",))
            )
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").touch()
        with pytest.raises(ValueError, match="already holds something"):
            write.write_people("folder", tmp_path / "full", {"train": 1}, self.PEOPLE)
        assert [path.name for path in tmp_path.iterdir()] == ["full"]
