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


class Heads:
    """The network's action heads on arrays."""

    def __init__(self, model: SPNet) -> None:
        self._model = model

    def actions(self, features: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            blocks = self._model.actions(tuple(map(torch.from_numpy, features)))
        return tuple(logits.numpy() for logits in blocks[-1]) if blocks else ()


def features(model: SPNet, frames: Tensor) -> tuple[np.ndarray, ...]:
    with torch.inference_mode():
        return tuple(feature.numpy() for feature in model.frames(frames).features)


@pytest.mark.parametrize("action_set", [0, 1])
def test_streaming_equals_the_whole_clip_for_every_window(
    model: SPNet, video: Tensor, action_set: int
) -> None:
    window = ActionWindow(Heads(model), T, action_set=action_set)
    answers = [window.push(features(model, frame[None])) for frame in video]
    seen = [answer for answer in answers if answer is not None]
    assert len(seen) == len(video) - T + 1
    for end, answer in enumerate(seen, T):
        expected = whole_clip(model, video[end - T : end], action_set)
        np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert np.ptp(seen, axis=0).max() > 1e-3  # the windows do differ
    assert seen[0].shape == (CONFIG.actions[action_set],)


def test_a_window_that_is_not_full_has_no_answer(model: SPNet, video: Tensor) -> None:
    window = ActionWindow(Heads(model), T)
    answers = [window.push(features(model, frame[None])) for frame in video[:T]]
    assert answers[: T - 1] == [None] * (T - 1)
    assert answers[-1] is not None


def test_views_of_a_frame_are_averaged(model: SPNet, video: Tensor) -> None:
    window = ActionWindow(Heads(model), T)
    pairs = zip(video[:T], video[T - 1 : 2 * T - 1])
    both = [window.push(features(model, torch.stack(pair))) for pair in pairs][-1]
    assert both is not None
    expected = (whole_clip(model, video[:T]) + whole_clip(model, video[T - 1 : 2 * T - 1])) / 2
    np.testing.assert_allclose(both, expected, atol=1e-5)


def test_clear_forgets(model: SPNet, video: Tensor) -> None:
    window = ActionWindow(Heads(model), T)
    for frame in video[:T]:
        window.push(features(model, frame[None]))
    window.clear()
    assert window.push(features(model, video[3:4])) is None


def test_a_model_cut_before_its_actions_is_refused(video: Tensor) -> None:
    net = SPNet(SPNetConfig(levels=3, growth=16, image_div=4, pyramids=1, entry="light")).eval()
    with pytest.raises(ValueError, match="no action block"):
        ActionWindow(Heads(net), 1).push(features(net, video[:1]))


def test_a_window_needs_frames(model: SPNet) -> None:
    with pytest.raises(ValueError, match="got 0"):
        ActionWindow(Heads(model), 0)


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
