from __future__ import annotations

import numpy as np
import pytest

from poseact.core.geometry import overlaps
from poseact.inference.detector import DARK, PeopleDetector, fitted, stretched, suppressed
from poseact.people import PeopleConfig, render_clip


@pytest.fixture(scope="module")
def detector() -> PeopleDetector:
    return PeopleDetector()


@pytest.fixture(scope="module")
def person() -> tuple[np.ndarray, np.ndarray]:
    """A picture (240, 320, 3) with one rendered person, and the box of the joints."""
    config = PeopleConfig(240, 320, frames=1, preset="easy", split="val", margin=1.8)
    clip = render_clip(config, 3)
    return clip.frames[0], clip.box[0]


def test_a_rendered_person_is_found(
    detector: PeopleDetector, person: tuple[np.ndarray, np.ndarray]
) -> None:
    rgb, box = person
    found = detector(rgb)
    assert len(found.boxes) == 1
    assert overlaps(found.boxes, box[None])[0, 0] > 0.6
    assert found.scores[0] > 0.25
    larger = detector.sized(448)(rgb)
    assert overlaps(larger.boxes, found.boxes)[0, 0] > 0.8


def test_in_the_dark_the_levels_are_stretched(
    detector: PeopleDetector, person: tuple[np.ndarray, np.ndarray]
) -> None:
    rgb, box = person
    dark = (rgb.astype(float) * 0.06).astype(np.uint8)
    found = detector(dark)
    assert overlaps(found.boxes, box[None]).max() > 0.6
    bright = stretched(dark)
    assert bright is not None and bright.max() == 255
    assert stretched(rgb) is None and stretched(np.zeros_like(rgb)) is None
    assert np.percentile(dark, 99) < DARK


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_frame_holds_nobody(detector: PeopleDetector, level: int) -> None:
    assert len(detector(np.full((90, 160, 3), level, np.uint8)).boxes) == 0


def test_noise_holds_nobody(detector: PeopleDetector) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        noise = rng.integers(0, 256, (180, 320, 3), np.uint8)
        assert (detector(noise).scores < 0.2).all()


def test_a_frame_is_fitted_and_boxes_come_back() -> None:
    rgb = np.zeros((100, 200, 3), np.uint8)
    small, scale = fitted(rgb, 320)
    assert small.shape == (160, 320, 3)
    np.testing.assert_allclose(scale, 1.6)
    odd, _ = fitted(np.zeros((101, 333, 3), np.uint8), 320)
    assert odd.shape == (128, 320, 3) and (odd[97:] == 127).all()
    with pytest.raises(ValueError, match="32 px"):
        PeopleDetector(side=8)


def test_boxes_of_one_person_are_one() -> None:
    boxes = np.array([[0.0, 0, 100, 100], [5, 0, 100, 100], [200, 0, 300, 100], [0, 0, 1, 1]])
    assert suppressed(boxes, np.array([0.5, 0.6, 0.3, 0.05])).tolist() == [1, 2]
