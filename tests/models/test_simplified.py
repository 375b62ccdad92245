"""Simplified networks are the same function: of every published configuration and shipped file."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from poseact.models import multitask, spnet, weights
from poseact.models.multitask import Multitask, MultitaskConfig
from poseact.models.simplified import simplified
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import Network
from tests.conftest import small_spnet

SMALL = small_spnet(5)
VARIANTS: dict[str, SPNetConfig | MultitaskConfig] = {
    "strided": replace(SMALL, sampling="conv", entry="published"),
    "decoupled": replace(SMALL, replica=True, action_pyramids=(2,), appearance="block"),
    "learnt": replace(SMALL, confidence="learnt"),
    "maximum": replace(SMALL, confidence="max", dim=2),
    "growth of 64": replace(SMALL, entry="published", growth=64),
    "vgg16": replace(SMALL, entry="vgg16_bn", image_div=8, entry_channels=32),
    "pyramid": replace(SMALL, entry="mobilenet_fpn", entry_heads=True, image_div=8),
    "vgg16, 2018": MultitaskConfig(stem="vgg16_bn", stem_channels=32, blocks=2),
}
EVERY = {
    **{f"spnet {name}": config for name, config in spnet.PUBLISHED.items()},
    **{f"multitask {name}": config for name, config in multitask.PUBLISHED.items()},
    **VARIANTS,
}


def unsettled(model: Network) -> Network:
    """With statistics of some data or other, and scales of both signs."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # pyright: ignore[reportOptionalMemberAccess]
            module.running_var.uniform_(0.5, 2)  # pyright: ignore[reportOptionalMemberAccess]
            if isinstance(module.weight, torch.nn.Parameter):
                torch.nn.init.normal_(module.weight, 0.7, 0.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


@torch.inference_mode()
def assert_same(model: Network, size: tuple[int, int], frames: int) -> None:
    small = simplified(model)
    x = torch.rand(2, 3, *size) * 2 - 1
    a, b = model.frames(x), small.frames(x)
    assert len(b.poses) <= len(a.poses)
    torch.testing.assert_close(b.poses[-1], a.poses[-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(b.scores[-1], a.scores[-1], atol=1e-5, rtol=1e-5)
    most = float(a.heatmaps[-1].abs().max())
    torch.testing.assert_close(b.heatmaps[-1], a.heatmaps[-1], atol=1e-5 * max(most, 1), rtol=0)
    assert len(a.features) == len(b.features)
    for one, other in zip(a.features, b.features):
        most = float(one.abs().max())
        torch.testing.assert_close(other, one, atol=1e-5 * max(most, 1), rtol=0)
    if a.features:
        clip = tuple(f[torch.arange(frames) % 2][None] for f in a.features)
        for one, other in zip(model.actions(clip)[-1], small.actions(clip)[-1]):
            torch.testing.assert_close(other.softmax(-1), one.softmax(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", EVERY)
def test_random_weights_give_the_same(name: str) -> None:
    torch.manual_seed(0)
    config = EVERY[name]
    model = SPNet(config) if isinstance(config, SPNetConfig) else Multitask(config)
    assert_same(unsettled(model), (64, 64), 16 if isinstance(model, Multitask) else 8)


@pytest.mark.parametrize("name", ["spnet-s", "spnet-l", "spnet-light"])
def test_shipped_files_give_the_same(name: str) -> None:
    torch.manual_seed(0)
    model, card = weights.load(name)
    assert_same(model, card.size, card.frames)


def test_less_is_left_and_the_whole_stays_as_it_was() -> None:
    def norms(model: torch.nn.Module) -> int:
        return sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())

    model = unsettled(Multitask(MultitaskConfig(stem_channels=32, blocks=2)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert norms(model) > 0 and norms(simplified(model)) == 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.answer_only and model.training is False


def test_an_exit_that_was_cut_gives_the_same(tiny: SPNet) -> None:
    torch.manual_seed(0)
    for exit in tiny.exits:
        assert_same(tiny.cut(*exit), (64, 64), 3)
