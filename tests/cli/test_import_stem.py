"""`poseact import-stem`: what a file is, only what a stem takes of it, and what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from poseact.cli import main
from poseact.core.layouts import PA17
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.stems import MobileNetFPN, VGG16Stem, load_stem


@pytest.mark.parametrize("norm", [False, True])
def test_imagenets_vgg(tmp_path: Path, norm: bool, capsys: pytest.CaptureFixture[str]) -> None:
    stem = VGG16Stem(8, norm=norm)
    theirs = {f"features.{n}": v for n, v in stem.features.state_dict().items()}
    later = 43 if norm else 28  # conv5_3
    extra = {
        f"features.{later}.weight": torch.zeros(8, 8, 3, 3),
        "classifier.0.bias": torch.ones(4),
    }
    torch.save(theirs | extra, tmp_path / "vgg16.pth")
    out = tmp_path / "stem.safetensors"
    assert main(["import-stem", str(tmp_path / "vgg16.pth"), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"entry {'vgg16_bn' if norm else 'vgg16'}" in said and f"--stem {out}" in said
    assert "classifier.0.bias" not in load_file(out)
    assert f"features.{later}.weight" not in load_file(out)
    config = SPNetConfig(levels=2, pyramids=1, growth=8, entry="vgg16_bn" if norm else "vgg16")
    model = SPNet(config)
    load_stem(model, out, PA17)
    found = model.get_parameter("entry.features.0.weight")
    assert torch.equal(found, theirs["features.0.weight"])


def test_movenet_is_known_by_its_width(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stem = {f"features.{n}": v for n, v in MobileNetFPN(1.75).state_dict().items()}
    torch.save(stem, tmp_path / "stem.pt")
    out = tmp_path / "thunder.safetensors"
    assert main(["import-stem", str(tmp_path / "stem.pt"), "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "MoveNet Thunder, without heads: entry mobilenet_fpn, entry_width 1.75" in said
    assert load_file(out).keys() == stem.keys()


def test_anything_else_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pt")
    out = tmp_path / "stem.safetensors"
    assert main(["import-stem", str(tmp_path / "other.pt"), "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert "other.pt holds neither" in said and "conv.weight" in said and said.count("\n") == 1
    assert not out.exists()
