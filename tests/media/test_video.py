from __future__ import annotations

import threading
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from poseact.media.video import (
    Frame,
    Input,
    VideoReader,
    VideoWriter,
    list_inputs,
    newest,
    read_image,
    write_image,
)


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """Red grows to the right, green downwards, so every orientation is told apart."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 60)], -1).astype(np.uint8)


def clip(path: Path, frames: int = 10, size: tuple[int, int] = (64, 48)) -> Path:
    with VideoWriter(path, fps=10, size=size) as video:
        for i in range(frames):
            video.write(np.full((size[1], size[0], 3), 20 * i, np.uint8))
    return path


# pictures


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_a_picture_comes_back_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deep" / f"a{suffix}"
    write_image(path, gradient())
    back = read_image(path)
    assert back.shape == (30, 40, 3) and back.dtype == np.uint8
    limit = 12 if suffix in (".jpg", ".webp") else 0
    assert np.abs(back.astype(int) - gradient()).mean() <= limit / 4
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file is left


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(gradient(), cv2.COLOR_RGB2BGR))
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    exif = b"Exif\x00\x00" + tiff + b"\x00\x00\x00\x00"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path = tmp_path / "phone.jpg"
    path.write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    back = read_image(path)
    assert back.shape == (40, 30, 3)  # orientation 6: the camera was turned by 90 degrees
    assert np.abs(back.astype(int) - np.rot90(gradient(), -1)).mean() < 4


def test_grey_alpha_and_16_bit_become_rgb(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, -1))

    deep = gradient()[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert np.abs(read_image(tmp_path / "deep.png").astype(int) - gradient()).max() <= 1

    for scale in (1, 257):  # 8 and 16 bit
        alpha = np.zeros((4, 6, 4), np.uint8 if scale == 1 else np.uint16)
        alpha[:, :3] = np.array([10, 20, 200, 255]) * scale
        cv2.imwrite(str(tmp_path / "alpha.png"), alpha)
        back = read_image(tmp_path / "alpha.png")
        assert (back[:, :3] == [200, 20, 10]).all() and (back[:, 3:] == 255).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.95])
def test_a_truncated_picture_is_an_error(tmp_path: Path, suffix: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    path = tmp_path / f"half{suffix}"
    write_image(path, noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=f"half{suffix}: .*picture"):
        read_image(path)


def test_data_after_the_end_of_a_jpeg_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "motion.jpg"
    write_image(path, gradient())
    path.write_bytes(path.read_bytes() + b"\xff\xda\x00\x08 a video clip of the phone")
    assert read_image(path).shape == (30, 40, 3)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not pixels at all")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match="text.jpg: not a picture"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(ValueError, match="empty.png: not a picture"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(FileNotFoundError, match="gone.png"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ValueError, match=r"no picture format '\.xyz'"):
        write_image(tmp_path / "a.xyz", gradient())


# video


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
    for name, reason in {
        "text.mp4": "not a video",
        "sound.wav": "no video in this file, only audio",
        "cut.mp4": "no video in this file, only data; is it whole",
        "tail.mp4": "not a video, or a damaged one",
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


def test_no_camera_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="camera 97"):
        VideoReader("97")


# live sources


def test_newest_drops_what_came_meanwhile() -> None:
    busy, sent = threading.Event(), threading.Event()

    def camera():
        for i in range(5):
            yield Frame(i, i / 10, np.zeros((1, 1, 3), np.uint8))
            if i == 0:
                busy.wait(5)
        sent.set()

    frames = newest(camera())
    assert next(frames).index == 0
    busy.set()
    sent.wait(5)
    assert [f.index for f in frames] == [4]


def test_newest_passes_the_error_on() -> None:
    def camera():
        yield Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8))
        raise ValueError("unplugged")

    with pytest.raises(ValueError, match="unplugged"):
        list(newest(camera()))


# inputs


def test_list_inputs(tmp_path: Path) -> None:
    write_image(tmp_path / "b.png", gradient())
    clip(tmp_path / "a.MP4", frames=1)
    (tmp_path / "notes.txt").write_text("x")
    found = [Input(tmp_path / "a.MP4", "video"), Input(tmp_path / "b.png", "image")]
    assert list_inputs(tmp_path) == found
    assert list_inputs(str(tmp_path / "*")) == found
    assert list_inputs(tmp_path / "b.png") == found[1:]
    (tmp_path / "b.png").rename(tmp_path / "picture [1]")  # brackets are not a glob here
    assert list_inputs(tmp_path / "picture [1]")[0].kind == "image"


def test_list_inputs_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        list_inputs(tmp_path / "nothing*.mp4")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="no picture and no video among 1"):
        list_inputs(tmp_path)
