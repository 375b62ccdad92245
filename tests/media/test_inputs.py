from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.media.inputs import Input, left_out, list_inputs
from poseact.media.pictures import read_image, write_image
from small_media import clip, gradient


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


def test_what_is_left_out_of_a_folder_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "b.png", gradient())
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "a.HEIC").write_bytes(b"x")
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "gone.jpg")
    expected = [
        r"a.HEIC: left out, .HEIC is not read; convert it",
        r"dead.jpg: left out, a link to",
    ]
    for source in (tmp_path, str(tmp_path / "*")):
        lines = left_out(source)
        assert len(lines) == 2
        for line, words in zip(lines, expected):
            assert words in line
        assert [item.path.name for item in list_inputs(source)] == ["b.png"]
    assert left_out(tmp_path / "b.png") == []


@pytest.mark.parametrize("suffix", [".avif", ".jfif"])
def test_newer_names_of_pictures_are_read(tmp_path: Path, suffix: str) -> None:
    encoding = {".jfif": ".jpg"}.get(suffix, suffix)
    try:
        done, data = cv2.imencode(encoding, gradient()[..., ::-1])
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {encoding}")
    assert done
    (tmp_path / f"a{suffix}").write_bytes(data.tobytes())
    (item,) = list_inputs(tmp_path)
    assert item.kind == "image"
    seen = read_image(item.path)
    assert seen.shape == gradient().shape
    assert np.abs(seen.astype(int) - gradient()).mean() < 8
