"""Decoupled poses drawn beside the supervised ones, of a network in which they differ as told."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import settled
from experiments import decoupled_maps
from experiments.decoupled_maps import attention, drift, joints_of, read, row
from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.media.pictures import read_image
from poseact.models import weights
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import Card


def record() -> Record:
    picture = np.full((64, 64, 3), 200, np.uint8)
    xy = np.full((3, 17, 2), 30.0)
    return Record(lambda _: picture, xy, PA17, box=np.tile([8.0, 8.0, 56.0, 56.0], (3, 1)))


@pytest.fixture()
def decoupled(tiny_config: SPNetConfig) -> SPNet:
    torch.manual_seed(0)
    return settled(SPNet(replace(tiny_config, replica=True)))


def test_both_poses_are_of_the_last_block_that_acts(decoupled: SPNet, tiny_card: Card) -> None:
    found = read(decoupled, tiny_card, record(), 1)
    assert found.crop.shape == (64, 64, 3) and (found.crop == 200).all()
    assert found.uv.shape == (2, 17, 2) and found.prob.shape[:2] == (2, 17)
    np.testing.assert_allclose(found.prob.sum((-2, -1)), 1, atol=1e-5)
    assert drift([found], PA17)["all joints"] > 0
    decoupled.copy_replica()
    same = read(decoupled, tiny_card, record(), 1)
    assert drift([same], PA17)["all joints"] == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(same.prob[0], same.prob[1], atol=1e-6)
    assert row(same, PA17).shape == (64, 5 * 64, 3)
    with pytest.raises(ValueError, match="no decoupled poses"):
        read(SPNet(replace(decoupled.config, replica=False)), tiny_card, record(), 1)


def test_maps_have_the_colour_of_their_part_where_they_look() -> None:
    wrist, ankle = PA17.index("l_wrist"), PA17.index("r_ankle")
    assert wrist in joints_of("hands", PA17) and ankle in joints_of("feet", PA17)
    prob = np.zeros((17, 8, 8), np.float32)
    prob[:, 0, 0] = 1.0
    prob[ankle] = 0
    prob[ankle, 7, 7] = 1.0
    shown = attention(np.full((64, 64, 3), 100, np.uint8), prob, PA17)
    np.testing.assert_allclose(shown[-1, -1], decoupled_maps.COLOURS["feet"], atol=2)
    np.testing.assert_allclose(shown[32, 32], 60, atol=1)


def test_the_command_draws_any_weights(
    decoupled: SPNet, tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "net.safetensors", tmp_path / "sheet.png"
    weights.save(path, decoupled, replace(tiny_card, config=asdict(decoupled.config)))
    command = ["--weights", str(path), "--count", "2", "-o", str(out)]
    assert decoupled_maps.main(command) == 0
    assert "all joints: " in capsys.readouterr().out
    assert read_image(out).shape[1] > 5 * 64
