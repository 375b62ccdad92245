"""VGG-16 as a stem: ImageNet's weights, and the networks that stand on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from poseact.models.multitask import Multitask
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.stems import VGG16Stem
from tests.models.test_multitask import TINY, clip

# Where torchvision has its convolutions, without and with batch normalisation.
VGG_CONVS = {
    False: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21),
    True: (0, 3, 7, 10, 14, 17, 20, 24, 27, 30),
}
VGG_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def torchvision_like(norm: bool) -> dict[str, torch.Tensor]:
    places = (24, 26, 28) if not norm else (34, 37, 40)  # conv5, which the stem leaves out
    state: dict[str, torch.Tensor] = {"classifier.0.weight": torch.zeros(2, 2)}
    inputs = 3
    for at, width in zip((*VGG_CONVS[norm], *places), VGG_WIDTHS):
        state[f"features.{at}.weight"] = torch.randn(width, inputs, 3, 3)
        state[f"features.{at}.bias"] = torch.randn(width)
        for name in ("weight", "bias", "running_mean", "running_var") if norm else ():
            state[f"features.{at + 1}.{name}"] = torch.rand(width)
        inputs = width
    return state


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_vgg_loads_torchvision_files(norm: bool, suffix: str, tmp_path: Path) -> None:
    state, path = torchvision_like(norm), tmp_path / f"vgg{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    stem = VGG16Stem(8, norm=norm)
    stem.load_imagenet(path)
    for at in VGG_CONVS[norm]:
        conv = stem.features[at]
        assert isinstance(conv, nn.Conv2d)
        assert torch.equal(conv.weight, state[f"features.{at}.weight"])
    with pytest.raises(ValueError, match="features.*must have shape"):
        VGG16Stem(8, norm=not norm).load_imagenet(path)
    with pytest.raises(FileNotFoundError, match="no VGG-16 weights at"):
        stem.load_imagenet(tmp_path / "nowhere.pth")


def test_vgg_is_what_the_report_describes() -> None:
    with torch.device("meta"):
        stem = VGG16Stem(1024)
        assert sum(p.numel() for p in stem.features.parameters()) == 7_635_264
        assert stem(torch.zeros(1, 3, 256, 256)).shape == (1, 1024, 32, 32)


def test_vgg_sees_imagenet_colours() -> None:
    """A picture of ImageNet's mean colour, given in [-1, 1], is zero to the first layer."""
    stem, seen = VGG16Stem(8).eval(), []
    stem.features[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 2 - 1
    stem(mean.expand(1, 3, 32, 32))
    assert seen[0] == pytest.approx(torch.zeros(1, 3, 32, 32), abs=1e-6)


def test_multitask_and_spnet_stand_on_vgg() -> None:
    torch.manual_seed(0)
    multi = Multitask(replace(TINY, stem="vgg16", stem_channels=32, action_blocks=1))
    out = multi(clip(1, 2)[..., :32, :32])
    assert out.poses[-1].shape == (1, 2, 6, 3)
    sum(p.sum() for p in out.poses).backward()  # pyright: ignore[reportAttributeAccessIssue]
    assert float(multi.stem.features[0].weight.grad.abs().sum()) > 0  # pyright: ignore
    config = SPNetConfig(joints=5, pyramids=2, levels=2, entry="vgg16_bn", entry_channels=1024)
    assert [config.channels(i) for i in range(2)] == [1024, 1120]
    with torch.device("meta"):
        net = SPNet(config)
        assert net(torch.zeros(1, 1, 3, 64, 64)).heatmaps[-1].shape == (1, 1, 5, 8, 8)
    assert SPNetConfig(entry="vgg16").channels(0) == 288
    with pytest.raises(ValueError, match="vgg16 divides by 8"):
        SPNetConfig(entry="vgg16", image_div=4)
    with pytest.raises(ValueError, match="only it takes entry_channels"):
        SPNetConfig(entry_channels=64)
