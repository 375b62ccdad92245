"""Frame readers: frame t is always the same picture, whatever was asked before and by whom."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.data import frames
from poseact.data.frames import ImageFile, ImageSequence, VideoFile, count_frames
from poseact.media.video import VideoWriter

COUNT = 24


def grey(t: int) -> int:
    return 10 + 9 * t


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frame t is of the grey level grey(t)."""
    path = tmp_path_factory.mktemp("video") / "greys.mp4"
    with VideoWriter(path, fps=25, size=(64, 48)) as writer:
        for t in range(COUNT):
            writer.write(np.full((48, 64, 3), grey(t), np.uint8))
    return path


def shows(frame: np.ndarray, t: int) -> bool:
    return frame.shape == (48, 64, 3) and abs(float(frame.mean()) - grey(t)) < 4


class TestVideoFile:
    def test_any_order_gives_the_same_frames(self, video: Path) -> None:
        read = VideoFile(video)
        for t in (0, 7, 3, 23, 22, 0, 11, 11):
            assert shows(read(t), t)

    def test_far_back_starts_again(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(frames, "_KEPT_BYTES", 3 * 64 * 48 * 2)  # two frames
        frames._open_videos(os.getpid()).clear()
        read = VideoFile(video)
        assert all(shows(read(t), t) for t in (20, 19, 2, 3, 23))

    def test_start_and_step(self, video: Path) -> None:
        read = VideoFile(video, step=3, start=2)
        assert shows(read(0), 2) and shows(read(4), 14)

    def test_pickled_and_in_a_forked_child(self, video: Path) -> None:
        read = VideoFile(video)
        assert shows(read(5), 5)
        again = pickle.loads(pickle.dumps(read))
        assert again == read and shows(again(6), 6)
        shelf = frames._open_videos(os.getpid())
        other = frames._open_videos(-1)  # as another process would see it
        assert len(shelf) and not len(other)

    def test_few_videos_stay_open(self, video: Path, tmp_path: Path) -> None:
        copies = [tmp_path / f"{i}.mp4" for i in range(5)]
        for path in copies:
            path.write_bytes(video.read_bytes())
            assert shows(VideoFile(path)(1), 1)
        assert list(frames._open_videos(os.getpid())) == copies[-2:]

    def test_a_caller_may_paint_on_what_it_got(self, video: Path) -> None:
        read = VideoFile(video)
        read(4)[:] = 0
        assert shows(read(4), 4)

    def test_past_the_end_and_before_the_front(self, video: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=f"has {COUNT} frames, number 24"):
            VideoFile(video)(COUNT)
        assert shows(VideoFile(video)(1), 1)
        with pytest.raises(ValueError, match="from 0"):
            VideoFile(video)(-1)
        with pytest.raises(ValueError, match="step is at least 1"):
            VideoFile(video, step=0)
        with pytest.raises(FileNotFoundError, match="none.mp4"):
            VideoFile(tmp_path / "none.mp4")(0)

    def test_count(self, video: Path) -> None:
        assert count_frames(video) == COUNT
        assert abs(count_frames(video, exact=False) - COUNT) <= 1

    def test_real_video(self, shared_data: Path) -> None:
        path = shared_data / "samples" / "videos" / "sports2d_walk_bsd3.mp4"
        read = VideoFile(path, step=2)
        later, first = read(3), read(0)
        assert first.shape == (994, 1768, 3)
        assert np.abs(later.astype(int) - first).mean() > 0.1  # she walks


class TestPictures:
    def test_still_and_sequence(self, tmp_path: Path) -> None:
        paths = []
        for t in range(3):
            paths.append(tmp_path / f"{t}.png")
            image = np.zeros((4, 5, 3), np.uint8)
            image[..., 2] = 100 + t  # OpenCV writes BGR: this is red
            cv2.imwrite(str(paths[-1]), image)
        sequence = ImageSequence(paths)
        assert [int(sequence(t)[0, 0, 0]) for t in (2, 0, 1)] == [102, 100, 101]
        assert pickle.loads(pickle.dumps(sequence)) == sequence
        still = ImageFile(paths[1])
        assert still(0)[0, 0].tolist() == still(9)[0, 0].tolist() == [101, 0, 0]
        for t in (3, -1):
            with pytest.raises(ValueError, match="3 pictures"):
                sequence(t)

    def test_missing_and_damaged_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no.jpg"):
            ImageFile(tmp_path / "no.jpg")(0)
        (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 half")
        with pytest.raises(ValueError, match="bad.jpg"):
            ImageFile(tmp_path / "bad.jpg")(0)
