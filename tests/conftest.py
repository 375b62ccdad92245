"""What several tests share: the optional folder of real data, a tiny network, one thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

# The shapes in the signatures of these packages are checked at every call of every test.
install_import_hook(["poseact.models", "poseact.train.losses"], "beartype.beartype")

from poseact.models import weights  # noqa: E402
from poseact.models.spnet import SPNet, SPNetConfig  # noqa: E402

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("POSEACT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the repository; tests that need it are skipped where it is missing."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set POSEACT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny_config() -> SPNetConfig:
    return SPNetConfig(
        joints=17,
        dim=3,
        actions=(4,),
        pyramids=2,
        action_pyramids=(1, 2),
        levels=2,
        growth=8,
        image_div=4,
        pose_features=16,
        visual_features=16,
        entry="light",
        cell_centres=True,
    )


@pytest.fixture()
def tiny(tiny_config: SPNetConfig) -> SPNet:
    torch.manual_seed(0)
    return settled(SPNet(tiny_config))


@pytest.fixture()
def tiny_card(tiny_config: SPNetConfig) -> weights.Card:
    from dataclasses import asdict

    return weights.Card(
        config=asdict(tiny_config),
        layout="PA17",
        labels=(("idle", "walk", "run", "jump"),),
        size=(64, 64),
    )


def settled(model: SPNet) -> SPNet:
    """Eval mode with moving averages that fit the random weights, as after a little training."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # cumulative mean of the passes below
    size = 2 * model.stride
    with torch.no_grad():
        for _ in range(2):
            model(torch.rand(2, 2, 3, size, size) * 2 - 1)
    return model.eval()


@pytest.fixture()
def without_pycocotools(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if pycocotools were not installed, whether or not something imported it before."""
    for name in ("pycocotools", "pycocotools.coco", "pycocotools.cocoeval"):
        monkeypatch.setitem(sys.modules, name, None)


def small_spnet(*actions: int, cell_centres: bool = False) -> SPNetConfig:
    """A network of two pyramids and three levels, small enough to run in milliseconds."""
    return SPNetConfig(
        joints=17,
        dim=3,
        actions=actions,
        pyramids=2,
        action_pyramids=(1, 2),
        levels=3,
        growth=16,
        image_div=4,
        pose_features=32,
        visual_features=32,
        entry="light",
        cell_centres=cell_centres,
    )
