"""Pretrained stems in training: what stays, what learns slowly; confidences of right joints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.core.types import Sample
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.stems import VGG16Stem
from poseact.train.config import Config, Mix, Stage, from_json, to_json
from poseact.train.network import initial_network
from poseact.train.objective import Objective
from poseact.train.optim import freeze, optimizer

CONFIG = SPNetConfig(
    joints=17,
    dim=3,
    pyramids=2,
    levels=2,
    growth=8,
    image_div=8,
    entry="mobilenet_fpn",
    entry_heads=True,
    confidence="learnt",
    cell_centres=True,
)
STAGE = Stage("pose", 10, (Mix("stills", "people", 2),), entry_lr=0.1, entry_frozen=5)


def sample(count: int = 2) -> Sample:
    generator = torch.Generator().manual_seed(0)
    pose = torch.rand(count, 1, 17, 3, generator=generator)
    return Sample(
        frames=torch.rand(count, 1, 3, 64, 64, generator=generator) * 2 - 1,
        pose=pose,
        valid=torch.ones(count, 1, 17, 3, dtype=torch.bool),
        inside=torch.ones(count, 1, 17, dtype=torch.bool),
        action=torch.full((count,), -1),
        to_image=torch.eye(3).expand(count, 1, 3, 3),
    )


def learning(model: SPNet) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_units_before_the_chosen_one_stay() -> None:
    model = SPNet(CONFIG)
    freeze(model, STAGE)
    learns = learning(model)
    stem = {n for n in learns if n.startswith("entry.features.")}
    assert "entry.features.blocks.5.expand.weight" in stem
    assert "entry.features.top.weight" in stem and "entry.features.lateral.0.weight" in stem
    kept = ("stem.", "first_", *(f"blocks.{i}." for i in range(5)))
    assert not any(n.removeprefix("entry.features.").startswith(kept) for n in stem)
    assert "entry.heads.heatmap.3.weight" in learns and "entry.enter.0.1.weight" in learns


def test_a_rate_of_zero_keeps_the_whole_stem() -> None:
    model = SPNet(CONFIG)
    freeze(model, replace(STAGE, entry_lr=0.0))
    assert not any(n.startswith(("entry.features", "entry.heads")) for n in learning(model))
    assert any(n.startswith("entry.enter") for n in learning(model))


def test_the_stem_learns_slowly_and_without_decay() -> None:
    model = SPNet(CONFIG)
    freeze(model, STAGE)
    groups = optimizer(model, replace(STAGE, weight_decay=0.1)).param_groups
    assert [g.get("factor", 1.0) for g in groups] == [1.0, 1.0, 0.1]
    assert groups[2]["weight_decay"] == 0
    number = sum(len(g["params"]) for g in groups)
    assert number == len(learning(model))
    whole = replace(STAGE, entry_lr=1.0)
    assert len(optimizer(model, whole).param_groups) == 2


def test_a_confidence_is_the_probability_to_be_right() -> None:
    """The same batch, but for where the joints are known to be: only `right` sees that."""
    model = SPNet(CONFIG).eval()
    there = sample()
    with torch.no_grad():
        pose = model(there["frames"]).poses[-1]
    there["pose"] = pose.clone()
    far = {**there, "pose": pose + 0.3}
    far["inside"] = there["inside"]
    stage = replace(STAGE, confidence_target="right")

    def confidence(batch: Sample, stage: Stage) -> float:
        with torch.no_grad():
            return float(Objective(model)({"stills": batch}, stage, 0.0)["confidence"])

    assert confidence(there, STAGE) == pytest.approx(confidence(far, STAGE))  # type: ignore[arg-type]
    assert confidence(there, stage) != pytest.approx(confidence(far, stage))  # type: ignore[arg-type]


def test_weights_of_labels_scale_their_losses() -> None:
    model, batch = SPNet(CONFIG).eval(), sample()
    stage = replace(STAGE, heatmap_weight=0.1)

    def losses(batch: Sample) -> dict[str, float]:
        with torch.no_grad():
            return {k: float(v) for k, v in Objective(model)({"stills": batch}, stage, 0.0).items()}

    plain = losses(batch)
    same = losses({**batch, "weight": torch.ones(2, 1, 17, 3)})
    assert same == pytest.approx(plain)
    half = torch.ones(2, 1, 17, 3)
    half[1] = 0
    first: Sample = {k: v[:1] for k, v in batch.items()}  # type: ignore[assignment]
    assert losses({**batch, "weight": half}) == pytest.approx(losses(first), rel=1e-4)


def config(**changes: object) -> Config:
    return Config("small", CONFIG, "PA17", (), (STAGE,), size=(64, 64), **changes)  # type: ignore[arg-type]


def test_a_run_begins_with_the_stem_it_names(shared_data: Path) -> None:
    path = shared_data / "pretrained/movenet_lightning.npz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the shared data")
    model = initial_network(config(stem=str(path)))
    with np.load(path) as archive:
        expected = torch.from_numpy(archive["features.top.weight"]).float()
    assert torch.equal(model.get_parameter("entry.features.top.weight"), expected)


def test_imagenet_weights_are_the_vgg_stems(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = VGG16Stem(8)
    path = tmp_path / "vgg16.pth"
    torch.save({f"features.{n}": v for n, v in theirs.features.state_dict().items()}, path)
    model = SPNetConfig(joints=17, pyramids=1, levels=2, growth=8, entry="vgg16")
    run = Config("small", model, "PA17", (), (STAGE,), stem=str(path))
    first = initial_network(run).get_parameter("entry.features.0.weight")
    assert torch.equal(first, theirs.features[0].weight)


def test_a_stem_of_a_run_comes_back_from_its_note() -> None:
    run = config(stem="$SOMEWHERE/stem.npz")
    assert from_json(to_json(run)) == run
