"""What notebooks show of a frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from poseact.core.types import Result
from poseact.media.pictures import read_image
from poseact.results import drawn
from small_results import LABELS, person


def test_a_drawn_frame_is_a_png_with_the_people_in_it(tmp_path: Path) -> None:
    rgb = np.full((480, 640, 3), 128, np.uint8)
    somebody = replace(person(0), score=np.ones(17))
    picture = drawn(rgb, Result(0, 0.0, (somebody,), LABELS))
    assert picture.rgb.shape == (480, 640, 3) and (picture.rgb != rgb).any()
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture.rgb)
    assert picture._repr_png_()[1:4] == b"PNG"


def test_a_result_says_who_is_in_it() -> None:
    action = np.array([0.25, 0.75] + [0.0] * (len(LABELS) - 2))
    people = replace(person(0), action=action), replace(person(1, track=7), action=None)
    text = Result(3, 0.12, people, ("<a>", "b & c", *LABELS[2:]))._repr_html_()
    assert "frame 3, 0.12 s: 2 people" in text
    assert "b &amp; c 75 %" in text and "<td>7</td>" in text
    assert "0 people" in Result(0, 0.0, ())._repr_html_()
