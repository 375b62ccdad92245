from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from poseact.media.pictures import Frame
from poseact.media.video import VideoReader, VideoWriter
from small_media import clip, gradient


def test_video_round_trip(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    with VideoReader(path) as video:
        assert (video.fps, video.size, video.frame_count) == (10, (64, 48), 10)
        assert video.duration_s == pytest.approx(1.0, abs=0.01) and not video.live
        frames = list(video)
    assert [f.index for f in frames] == list(range(10))
    assert np.allclose([f.time_s for f in frames], np.arange(10) / 10, atol=1e-3)
    assert np.allclose([f.rgb.mean() for f in frames], 20 * np.arange(10), atol=4)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("rgb", [(230, 30, 30), (30, 200, 40), (40, 60, 230)])
def test_colours_survive(tmp_path: Path, rgb: tuple[int, int, int]) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=5, size=(32, 32)) as video:
        video.write(np.full((32, 32, 3), rgb, np.uint8))
    with VideoReader(tmp_path / "a.mp4") as back:
        assert np.abs(next(iter(back)).rgb.astype(int) - rgb).max() < 8


def test_odd_sizes_are_padded_and_players_can_start_at_once(tmp_path: Path) -> None:
    path = clip(tmp_path / "odd.mp4", frames=2, size=(33, 21))
    with VideoReader(path) as video:
        assert video.size == (34, 22)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")


def test_given_time_stamps_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.35, 0.4, 1.0]
    with VideoWriter(tmp_path / "a.mp4", fps=10, size=(16, 16)) as video:
        for t in times:
            video.write(np.zeros((16, 16, 3), np.uint8), time_s=t)
        with pytest.raises(ValueError, match="time must rise"):
            video.write(np.zeros((16, 16, 3), np.uint8), time_s=0.5)
        with pytest.raises(ValueError, match="frames are uint8"):
            video.write(np.zeros((16, 18, 3), np.uint8))
    with VideoReader(tmp_path / "a.mp4") as back:
        assert np.allclose([f.time_s for f in back], times, atol=1e-3)


def test_rotation_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 40, 30, "yuv420p"
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(-90)  # shown turned clockwise
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient(), format="rgb24")))
        container.mux(stream.encode(None))
    with VideoReader(path) as video:
        assert video.size == (30, 40)
        upright = next(iter(video)).rgb
    assert np.abs(upright.astype(int) - np.rot90(gradient(), -1)).mean() < 8


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="power cut"),
        VideoWriter(tmp_path / "a.mp4", fps=5, size=(16, 16)) as video,
    ):
        video.write(np.zeros((16, 16, 3), np.uint8))
        raise RuntimeError("power cut")
    with (
        pytest.raises(ValueError, match="no frame"),
        VideoWriter(tmp_path / "b.mp4", fps=5, size=(16, 16)),
    ):
        pass
    with pytest.raises(ValueError, match="written as .mp4"):
        VideoWriter(tmp_path / "a.avi", fps=5, size=(16, 16))
    assert not list(tmp_path.iterdir())


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    frames = [noise.integers(100, 110, (90, 160, 3)).astype(np.uint8) for _ in range(60)]
    files = [tmp_path / f"{n}.mp4" for n in range(4)]
    for path in files:
        with VideoWriter(path, fps=25, size=(160, 90)) as video:
            for frame in frames:
                video.write(frame)
    assert len({path.read_bytes() for path in files}) == 1
    assert b"mbtree=0" in files[0].read_bytes()  # x264's own note: with it larger frames differ


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is a letter, not a film\n" * 50)
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    whole = clip(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:300])  # within the index
    index = whole.index(b"moov") - 4  # the index stands at the end of most cameras' files
    size = int.from_bytes(whole[index : index + 4], "big")
    (tmp_path / "tail.mp4").write_bytes(whole[:index] + whole[index + size :])
    (tmp_path / "photo.png").write_bytes(b"anything")
    for name, reason in {
        "text.mp4": "not a video",
        "sound.wav": "no video in this file, only audio",
        "cut.mp4": "no video in this file, only data; is it whole",
        "tail.mp4": "not a video, or a damaged one",
        "photo.png": "a picture, not a video",
    }.items():
        with pytest.raises(ValueError, match=f"{name}: {reason}"):
            VideoReader(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="gone.mp4"):
        VideoReader(tmp_path / "gone.mp4")
    with pytest.raises(ValueError, match="is a folder"):
        VideoReader(tmp_path)


def test_a_video_that_breaks_gives_its_good_frames_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "a.mp4", fps=10, size=(64, 48)) as video:
        for _ in range(20):
            video.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) * 6 // 10])
    good: list[Frame] = []
    with (
        pytest.raises(
            ValueError, match=r"half.mp4: broken after (\d+) frames .*truncated"
        ) as error,
        VideoReader(tmp_path / "half.mp4") as half,
    ):
        for frame in half:
            good.append(frame)
    assert 5 < len(good) < 15 and f"after {len(good)} frames" in str(error.value)
    with VideoReader(tmp_path / "a.mp4") as whole:
        for a, b in zip(good[:-1], whole, strict=False):
            assert np.array_equal(a.rgb, b.rgb)
