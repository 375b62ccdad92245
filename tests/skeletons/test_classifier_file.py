"""The file of a classifier: what is saved comes back, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from poseact.core.layouts import MSR20
from poseact.models import weights
from poseact.models.enas import ENASConfig, ENASNet, random_genotype
from poseact.skeletons.classifier_file import load_classifier, save_classifier
from poseact.skeletons.spmf import Bounds, SPMFConfig, spmf

PICTURES = SPMFConfig(
    size=16,
    order="parts",
    bones=tuple(float(j) for j in range(20)),
    bounds=Bounds(2000.0, -900.0, 950.0),
    mf_self=True,
)


def network(seed: int = 0) -> ENASNet:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = ENASNet(random_genotype(3, generator), ENASConfig(3, blocks=1, channels=4))
    net.train()
    with torch.no_grad():
        net(torch.rand(8, 3, 16, 16))  # moving averages that are not the initial ones
    return net.eval()


def save(path: Path, net: ENASNet, *, half: bool = False) -> Path:
    return save_classifier(
        path,
        net,
        PICTURES,
        layout=MSR20,
        labels=("wave", "kick", "bend"),
        frames=39,
        fps=15.0,
        persons=2,
        provenance={"data": "test"},
        half=half,
    )


def test_everything_comes_back(tmp_path: Path) -> None:
    net = network()
    again = load_classifier(save(tmp_path / "c.safetensors", net))
    assert again.model.genotype == net.genotype and again.model.config == net.config
    assert again.pictures == PICTURES and (again.persons, again.flat) == (2, False)
    assert again.card.labels == (("wave", "kick", "bend"),) and again.card.layout == "MSR20"
    assert (again.card.frames, again.card.fps, again.card.size) == (39, 15.0, (16, 16))
    assert again.card.provenance == {"data": "test"} and not again.model.training
    poses = np.random.default_rng(0).normal(0, 300, (12, 2, 20, 3))
    picture = torch.tensor(spmf(poses, MSR20, config=again.pictures)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        torch.testing.assert_close(again.model(picture), net(picture), rtol=0, atol=1e-5)


def test_half_precision_answers_nearly_the_same(tmp_path: Path) -> None:
    net = network()
    half = load_classifier(save(tmp_path / "h.safetensors", net, half=True)).model
    x = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(half(x), net(x), rtol=0, atol=0.02)
        assert not torch.equal(half(x), net(x))


def test_other_rooms_say_what_the_file_is_for(tmp_path: Path) -> None:
    path = save(tmp_path / "c.safetensors", network())
    with pytest.raises(ValueError, match="--classifier"):
        weights.load(path)
    with pytest.raises(ValueError, match="is enas, which is no lifter"):
        weights.load_lifter(path)
    with pytest.raises(ValueError, match="spnet, which is no classifier"):
        load_classifier("spnet-s")
    with pytest.raises(ValueError, match="3 classes have 1 labels"):
        save_classifier(path, network(), PICTURES, layout=MSR20, labels="a", frames=1, fps=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("arc"), "cannot be built"),
        (lambda c: c.update(colour="jet"), "colour"),
        (lambda c: c["pictures"].update(order="random"), "native or parts"),
        (lambda c: c.update(channels=8), "shape"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, change: object, said: str) -> None:
    path = save(tmp_path / "c.safetensors", network())
    card = json.loads(json.dumps(weights.dataclasses.asdict(weights.read_card(path))))
    assert callable(change)
    change(card["config"])
    save_file(load_file(path), path, {"poseact": json.dumps(card)})
    with pytest.raises(ValueError, match=said) as error:
        load_classifier(path)
    assert str(path) in str(error.value)
