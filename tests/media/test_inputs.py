from __future__ import annotations

from pathlib import Path

import pytest

from poseact.media.inputs import Input, list_inputs
from poseact.media.pictures import write_image
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
