from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import small_spnet
from poseact.inference.window import ActionWindow, Sampler
from poseact.models.spnet import SPNet, SPNetConfig

T = 4
CONFIG = small_spnet(5, 3)


@pytest.fixture(scope="module")
def model() -> SPNet:
    torch.manual_seed(0)
    net = SPNet(CONFIG)
    for parameter in net.parameters():  # far from symmetric, so that the actions differ
        torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


@pytest.fixture(scope="module")
def video() -> Tensor:
    brightness = torch.tensor([0.1, 3.0, 0.3, 2.0, 0.5, 1.0, 4.0])[:, None, None, None]
    return brightness * torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def whole_clip(model: SPNet, frames: Tensor, action_set: int = 0) -> np.ndarray:
    with torch.inference_mode():
        return model(frames[None]).actions[-1][action_set].softmax(-1)[0].numpy()


def clues(model: SPNet, frames: Tensor) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        return model.frames(frames).clues


@pytest.mark.parametrize("action_set", [0, 1])
def test_streaming_equals_the_whole_clip_for_every_window(
    model: SPNet, video: Tensor, action_set: int
) -> None:
    window = ActionWindow(model, T, action_set=action_set)
    seen = [window.push(clues(model, frame[None])) for frame in video]
    for end in range(T, len(video) + 1):
        expected = whole_clip(model, video[end - T : end], action_set)
        np.testing.assert_allclose(seen[end - 1], expected, atol=1e-5)
    assert np.ptp(seen, axis=0).max() > 1e-3  # the windows do differ
    assert seen[0].shape == (CONFIG.actions[action_set],)


def test_the_first_frame_fills_a_window_that_is_not_full(model: SPNet, video: Tensor) -> None:
    window = ActionWindow(model, T)
    window.push(clues(model, video[:1]))
    probabilities = window.push(clues(model, video[1:2]))
    np.testing.assert_allclose(probabilities, whole_clip(model, video[[0, 0, 0, 1]]), atol=1e-5)


def test_views_of_a_frame_are_averaged(model: SPNet, video: Tensor) -> None:
    window = ActionWindow(model, T)
    for a, b in zip(video[:T], video[T - 1 : 2 * T - 1]):
        both = window.push(clues(model, torch.stack([a, b])))
    expected = (whole_clip(model, video[:T]) + whole_clip(model, video[T - 1 : 2 * T - 1])) / 2
    np.testing.assert_allclose(both, expected, atol=1e-5)


def test_clear_forgets(model: SPNet, video: Tensor) -> None:
    window = ActionWindow(model, T)
    window.push(clues(model, video[:1]))
    window.clear()
    probabilities = window.push(clues(model, video[3:4]))
    np.testing.assert_allclose(probabilities, whole_clip(model, video[[3, 3, 3, 3]]), atol=1e-5)


def test_a_model_cut_before_its_actions_is_refused(video: Tensor) -> None:
    net = SPNet(SPNetConfig(levels=3, growth=16, image_div=4, pyramids=1, entry="light")).eval()
    with pytest.raises(ValueError, match="no action block"):
        ActionWindow(net, T).push(clues(net, video[:1]))


def test_a_window_needs_frames(model: SPNet) -> None:
    with pytest.raises(ValueError, match="got 0"):
        ActionWindow(model, 0)


@pytest.mark.parametrize(
    ("video_fps", "fps"), [(30.0, 10.0), (30.0, 8.0), (24.0, 8.0), (5.0, 10.0)]
)
def test_a_sampler_keeps_its_rate(video_fps: float, fps: float) -> None:
    sampler, seconds = Sampler(fps), 6
    counts = [
        sampler.due(round(i / video_fps, 4), at_most=8) for i in range(round(seconds * video_fps))
    ]
    assert abs(sum(counts) - seconds * fps) <= 2
    assert max(counts) == (1 if video_fps >= fps else 2)


def test_a_sampler_neither_catches_up_after_a_gap_nor_stalls_after_a_jump_back() -> None:
    sampler = Sampler(10.0)
    assert sampler.due(0.0, at_most=4) == 1
    assert sampler.due(60.0, at_most=4) == 4
    assert sampler.due(60.05, at_most=4) == 0
    assert sampler.due(60.1, at_most=4) == 1
    assert sampler.due(2.0, at_most=4) == 1
    assert sampler.due(2.1, at_most=4) == 1
