"""One's own clips: each is found once, in one split, with its own frames and boxes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.layouts import PA16, PA17
from poseact.core.types import Record
from poseact.data.dataset import make_sample
from poseact.data.sets import folder
from poseact.media.video import VideoWriter

SIZE = (64, 48)


def grey(level: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), level, np.uint8)


def film(path: Path, levels: list[int]) -> None:
    """A real video; frame t has the grey level levels[t]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=25, size=SIZE) as writer:
        for level in levels:
            writer.write(grey(level))


def pictures(path: Path, levels: list[int]) -> None:
    """1.png, 2.png, ..., so that 10 must follow 9 rather than 1."""
    path.mkdir(parents=True)
    for t, level in enumerate(levels):
        cv2.imwrite(str(path / f"{t + 1}.png"), grey(level))


LEVELS = [20 * t + 10 for t in range(11)]
PINNED = ["test", "train", "train", "train", "train", "train", "val"]


def levels(record: Record) -> np.ndarray:
    assert record.frame is not None
    return np.array([record.frame(t).mean() for t in range(len(record))])


def names(root: Path, split: str) -> list[str]:
    return [r.source.removeprefix("folder/") for r in folder.load(root, split)]


@pytest.fixture()
def split_root(tmp_path: Path) -> Path:
    film(tmp_path / "train" / "wave" / "a.mp4", LEVELS)
    pictures(tmp_path / "train" / "clap" / "b", LEVELS)
    film(tmp_path / "test" / "wave" / "c.mp4", LEVELS[:4])
    pictures(tmp_path / "test" / "clap" / "d", LEVELS[::-1])
    return tmp_path


@pytest.fixture()
def plain_root(tmp_path: Path) -> Path:
    """Many clips of two classes without split folders; of one picture each, to be quick."""
    for kind in ("wave", "clap"):
        for i in range(40):
            pictures(tmp_path / kind / f"clip{i}", [100])
    return tmp_path


class TestClips:
    def test_frames_come_in_order_from_videos_and_pictures(self, split_root: Path) -> None:
        for record in folder.load(split_root, "train"):
            assert len(record) == len(LEVELS)
            np.testing.assert_allclose(levels(record), LEVELS, atol=2)
            again = pickle.loads(pickle.dumps(record))
            np.testing.assert_allclose(again.frame(3).mean(), LEVELS[3], atol=2)

    def test_classes_are_the_folders(self, split_root: Path) -> None:
        assert folder.classes(split_root) == ("clap", "wave")
        found = {r.source: r.action for r in folder.load(split_root, "all")}
        assert found == {
            "folder/train/clap/b": 0,
            "folder/train/wave/a.mp4": 1,
            "folder/test/clap/d": 0,
            "folder/test/wave/c.mp4": 1,
        }

    def test_joints_are_unknown_and_the_crop_is_the_picture(self, split_root: Path) -> None:
        record = folder.load(split_root, "test")[1]
        assert record.layout is PA17 and record.xy.shape == (4, 17, 2)
        assert np.isnan(record.xy).all() and record.xyz is None and record.box is None
        batch = make_sample(record, PA17, size=(32, 32), frames=[0, 3])
        assert not batch["valid"].any() and batch["action"] == 1
        assert folder.load(split_root, "test", layout=PA16)[0].xy.shape[1] == 16

    def test_every_frame_of_a_video_without_a_count_can_be_read(self, tmp_path: Path) -> None:
        film(tmp_path / "train" / "wave" / "a.mp4", LEVELS)
        film(tmp_path / "test" / "wave" / "b.mp4", LEVELS)
        (tmp_path / "train" / "wave" / "a.mp4").rename(tmp_path / "train" / "wave" / "a.avi")
        (record,) = folder.load(tmp_path, "train")
        np.testing.assert_allclose(levels(record), LEVELS, atol=2)

    def test_what_is_no_clip_is_counted(self, split_root: Path) -> None:
        (split_root / "train" / "wave" / "notes.txt").write_text("two waves")
        (split_root / "train" / "wave" / "empty").mkdir()
        (split_root / "train" / "wave" / ".DS_Store").write_text("")
        with pytest.warns(UserWarning, match=r"2 entries are neither.*train.wave.empty") as caught:
            assert len(folder.load(split_root, "train")) == 2
        assert len(caught) == 1


def test_a_real_video(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "samples" / "videos" / "sports2d_walk_bsd3.mp4"
    if not source.is_file():
        pytest.skip(f"no video at {source}")
    for split in ("train", "test"):
        (tmp_path / split / "walk").mkdir(parents=True)
        (tmp_path / split / "walk" / source.name).symlink_to(source)
    (record,) = folder.load(tmp_path, "train")
    assert len(record) == 230 and record.frame is not None
    first, later = record.frame(0), record.frame(40)
    assert first.shape == later.shape == (994, 1768, 3)
    assert np.abs(first.astype(int) - later).mean() > 1  # she walks


class TestSplits:
    def test_each_clip_is_in_one_split(self, plain_root: Path) -> None:
        parts = [names(plain_root, split) for split in ("train", "val", "test")]
        together = sorted(sum(parts, []))
        assert together == sorted(names(plain_root, "all")) and len(set(together)) == 80
        train, val, test = map(len, parts)
        assert 54 <= train <= 74 and 2 <= val <= 16 and 2 <= test <= 16

    def test_a_clip_stays_when_others_come_or_its_format_changes(self, plain_root: Path) -> None:
        before = {s: set(names(plain_root, s)) for s in ("train", "val", "test")}
        for i in range(5):
            pictures(plain_root / "wave" / f"another{i}", [100])
        for split, clips in before.items():
            assert clips <= set(names(plain_root, split))
        # Pinned: a clip that changes its split between versions would leak into the test.
        assert [folder.split_of(f"wave/clip{i}") for i in range(7)] == PINNED
        video = next(iter(before["test"]))
        for picture in (plain_root / video).iterdir():
            picture.unlink()
        (plain_root / video).rmdir()
        film(plain_root / f"{video}.mp4", LEVELS)
        assert f"{video}.mp4" in names(plain_root, "test")

    def test_folders_say_it(self, split_root: Path) -> None:
        assert names(split_root, "train") == ["train/clap/b", "train/wave/a.mp4"]
        assert names(split_root, "test") == ["test/clap/d", "test/wave/c.mp4"]
        with pytest.raises(ValueError, match="none of split val; there is test, train"):
            folder.load(split_root, "val")

    def test_a_class_without_a_clip_is_told(self, split_root: Path) -> None:
        pictures(split_root / "train" / "jump" / "e", LEVELS)
        with pytest.warns(UserWarning, match="no clip of jump in split test"):
            records = folder.load(split_root, "test")
        assert [r.action for r in records] == [0, 2]  # clap, jump, wave

    def test_a_class_that_is_never_trained_is_an_error(self, split_root: Path) -> None:
        pictures(split_root / "test" / "Clap" / "e", LEVELS)
        with pytest.raises(ValueError, match="no clip of Clap in train"):
            folder.load(split_root, "test")

    def test_a_class_beside_the_splits_is_an_error(self, split_root: Path) -> None:
        pictures(split_root / "jump" / "e", LEVELS)
        with pytest.raises(ValueError, match="jump/ must lie in one of them"):
            folder.load(split_root, "train")

    def test_test_may_be_the_name_of_a_class(self, tmp_path: Path) -> None:
        pictures(tmp_path / "test" / "e", LEVELS)
        pictures(tmp_path / "wave" / "e", LEVELS)
        assert folder.classes(tmp_path) == ("test", "wave")


class TestBoxes:
    def test_csv_of_every_frame_and_of_some(self, split_root: Path) -> None:
        (split_root / "boxes.csv").write_text(
            "clip, frame, x0, y0, x1, y1\n"
            "train/wave/a.mp4, , 10, 5, 30, 40\n"
            "train/wave/a.mp4, 2, 12, 5, 32, 40\n"
            "train/clap/b, 0, 1, 2, 3, 4.5\n"
        )
        clap, wave = folder.load(split_root, "train", boxes=split_root / "boxes.csv")
        assert wave.box is not None and clap.box is not None
        assert wave.box[0].tolist() == wave.box[10].tolist() == [10, 5, 30, 40]
        assert wave.box[2].tolist() == [12, 5, 32, 40]
        assert clap.box[0].tolist() == [1, 2, 3, 4.5] and np.isnan(clap.box[1:]).all()

    def test_json_of_every_frame_and_of_some(self, split_root: Path) -> None:
        table = {"train/wave/a.mp4": [10, 5, 30, 40], "train/clap/b": [None, [1, 2, 3, 4]]}
        (split_root / "boxes.json").write_text(json.dumps(table))
        clap, wave = folder.load(split_root, "train", boxes=split_root / "boxes.json")
        assert wave.box is not None and clap.box is not None
        assert (wave.box == [10, 5, 30, 40]).all() and len(wave.box) == 11
        assert clap.box[1].tolist() == [1, 2, 3, 4] and np.isnan(clap.box[[0, 2]]).all()

    def test_the_crop_is_the_box(self, split_root: Path) -> None:
        (split_root / "boxes.json").write_text(json.dumps({"test/wave/c.mp4": [10, 10, 30, 30]}))
        clap, wave = folder.load(split_root, "test", boxes=split_root / "boxes.json")
        assert clap.box is None
        to_image = make_sample(wave, PA17, size=(32, 32), frames=[0])["to_image"][0].numpy()
        np.testing.assert_allclose(to_image, [[20, 0, 10], [0, 20, 10], [0, 0, 1]], atol=1e-5)

    @pytest.mark.parametrize(
        ("name", "text", "match"),
        [
            ("b.csv", "clip,x0,y0,x1\n", "lacks the columns y1"),
            ("b.csv", "clip,x0,y0,x1,y1\ntrain/clap/b,1,2,nought,4\n", "line 2.*nought"),
            ("b.csv", "clip,x0,y0,x1,y1\ntrain/clap/b,30,2,3,4\n", "line 2.*x0 y0 x1 y1"),
            ("b.csv", "clip,x0,y0,x1,y1\ntrain/clap/x,1,2,3,4\n", "1 clips are not there.*clap/x"),
            ("b.csv", "clip,frame,x0,y0,x1,y1\ntrain/clap/b,11,1,2,3,4\n", r"0\.\.10, got 11"),
            ("b.json", "[]", "boxes are"),
            ("b.json", '{"train/clap/b": [1, 2, 3]}', "clap/b"),
            ("b.json", '{"train/clap/b": 7}', "clap/b"),
            ("b.txt", "", r"a \.csv or \.json file"),
        ],
    )
    def test_errors_name_the_place(
        self, split_root: Path, name: str, text: str, match: str
    ) -> None:
        (split_root / name).write_text(text)
        with pytest.raises(ValueError, match=match) as caught:
            folder.load(split_root, "train", boxes=split_root / name)
        assert name in str(caught.value)


class TestErrors:
    def test_damaged_videos_are_all_told_of_at_once(self, split_root: Path) -> None:
        for name in ("x.mp4", "y.mp4"):
            (split_root / "train" / "wave" / name).write_bytes(b"not a video" * 100)
        with pytest.raises(ValueError, match=r"2 of 4 clips cannot be read.*x\.mp4"):
            folder.load(split_root, "train")

    def test_pictures_without_a_folder_of_their_own(self, split_root: Path) -> None:
        cv2.imwrite(str(split_root / "train" / "wave" / "7.png"), grey(3))
        with pytest.raises(ValueError, match=r"wave/CLIP/7\.png"):
            folder.load(split_root, "train")

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no such folder"):
            folder.load(tmp_path / "mine")
        with pytest.raises(ValueError, match=r"root/CLASS/\*\.mp4"):
            folder.load(tmp_path)
        film(tmp_path / "wave.mp4", LEVELS)
        with pytest.raises(ValueError, match=r"root/CLASS/\*\.mp4"):
            folder.load(tmp_path)
        with pytest.raises(ValueError, match="train, val, test and all; got 'dev'"):
            film(tmp_path / "wave" / "a.mp4", LEVELS)
            folder.load(tmp_path, "dev")
