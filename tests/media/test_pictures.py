from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from poseact.media.inputs import list_inputs
from poseact.media.pictures import read_image, write_image
from poseact.media.video import VideoReader
from small_media import gradient


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


def test_float_and_12_bit_pictures_have_their_brightness(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    expected = np.stack([grey] * 3, -1).astype(int)
    for name, values in {
        "unit.tif": grey.astype(np.float32) / 255,
        "bytes.tif": grey.astype(np.float32),
        "twelve.tif": np.rint(grey * (4095 / 255)).astype(np.uint16),
        "twelve.png": np.rint(grey * (4095 / 255)).astype(np.uint16),
    }.items():
        cv2.imwrite(str(tmp_path / name), values)
        assert np.abs(read_image(tmp_path / name).astype(int) - expected).max() <= 1, name


def test_animated_pictures_are_videos_or_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="apng") as out:
        stream = out.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 40, 30, "rgb24"
        for i in range(3):
            picture = np.full((30, 40, 3), 50 * i, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    (found,) = list_inputs(path)
    assert found.kind == "video"
    with VideoReader(path) as video:
        assert [int(frame.rgb.mean()) for frame in video] == [0, 50, 100]
    with pytest.raises(ValueError, match="animated"):
        read_image(path)
