"""What stages can ask for: alternating batches, action sets, frozen parts, replicas, heads
without some of their features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from poseact.core.layouts import PA17, Layout
from poseact.core.types import Sample
from poseact.data.dataset import Batches
from poseact.models import weights
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import network
from poseact.train import loop
from poseact.train.config import Mix, Stage
from poseact.train.objective import Objective
from poseact.train.optim import freeze, optimizer
from poseact.train.parts import AlternatingBatches, open_parts
from tests.small_runs import CLIPS, RECORDS, STILLS, small, squares, trained

__all__ = ["squares"]  # the fixture


def sample(action: list[int], *, frames: int = 4, seed: int = 0) -> Sample:
    rng = torch.Generator().manual_seed(seed)
    b = len(action)
    valid = torch.ones(b, frames, 17, 3, dtype=torch.bool)
    return Sample(
        frames=torch.rand(b, frames, 3, 64, 64, generator=rng) * 2 - 1,
        pose=torch.rand(b, frames, 17, 3, generator=rng),
        valid=valid,
        inside=valid[..., 0],
        action=torch.tensor(action),
        to_image=torch.eye(3).expand(b, frames, 3, 3),
    )


# ------------------------------------------------------------------------------- losses


def test_each_part_teaches_its_own_action_set(tiny_config: SPNetConfig) -> None:
    """Cross entropy of the part's own set; the other head of the last block learns nothing."""
    torch.manual_seed(0)
    model = SPNet(replace(tiny_config, actions=(2, 3))).eval()
    first, second = sample([0, 1], seed=1), sample([2, 0], seed=2)
    mixes = (replace(CLIPS, name="a"), replace(CLIPS, name="b", action_set=1))
    stage = Stage("s", 10, mixes, over_blocks="last")
    with torch.no_grad():
        one = model(first["frames"]).actions[-1][0]
        other = model(second["frames"]).actions[-1][1]
    expected = (
        F.cross_entropy(one, first["action"]) + F.cross_entropy(other, second["action"])
    ) / 2
    values = Objective(model)({"a": first, "b": second}, stage, 0.0)
    torch.testing.assert_close(values["action"], expected)

    values = Objective(model)({"b": second}, stage, 0.0)
    values["action"].backward()
    last: Any = model.get_submodule("act2")
    assert last.action_pred_conv2h0.weight.grad is None or not bool(
        last.action_pred_conv2h0.weight.grad.any()
    )
    assert bool(last.action_pred_conv2h1.weight.grad.any())
    with pytest.raises(ValueError, match="no action set 1"):
        small(tiny_config, replace(stage, mix=mixes))


@torch.no_grad()
def test_a_part_teaches_what_it_is_for(tiny: SPNet) -> None:
    batch = sample([0, 1])
    both = Objective(tiny)({"clips": batch}, Stage("s", 10, (CLIPS,)), 0.0)
    pose = Objective(tiny)({"clips": batch}, Stage("s", 10, (replace(CLIPS, teaches="pose"),)), 0.0)
    action = Objective(tiny)(
        {"clips": batch}, Stage("s", 10, (replace(CLIPS, teaches="action"),)), 0.0
    )
    assert "action" not in pose and torch.equal(pose["pose"], both["pose"])
    assert float(action["pose"]) == float(action["confidence"]) == 0 < float(both["pose"])
    assert torch.equal(action["action"], both["action"])


def test_losses_of_the_blocks_are_averaged_summed_or_the_last(tiny: SPNet) -> None:
    batch = sample([0, 1])
    with torch.no_grad():
        out = tiny(batch["frames"])
    pose = [((p - batch["pose"]).abs() + (p - batch["pose"]) ** 2).mean() for p in out.poses]
    action = [F.cross_entropy(sets[0], batch["action"]) for sets in out.actions]
    assert len(pose) == len(action) == 2
    ways: dict[Any, Any] = {
        "mean": lambda v: (v[0] + v[1]) / 2,
        "sum": lambda v: v[0] + v[1],
        "last": lambda v: v[1],
    }
    for how, reduced in ways.items():
        stage = Stage("s", 10, (CLIPS,), over_blocks=how, action_weight=0.5, confidence_weight=0.0)
        values = Objective(tiny)({"clips": batch}, stage, 0.0)
        torch.testing.assert_close(values["pose"], reduced(pose))
        torch.testing.assert_close(values["action"], reduced(action))
        torch.testing.assert_close(values["total"], reduced(pose) + 0.5 * reduced(action))


def test_the_released_pose_loss_counts_the_coordinates_of_each_pose(tiny: SPNet) -> None:
    batch = sample([0], frames=1)
    batch["valid"][0, 0, 3:] = False  # three joints known, depth of the first unknown
    batch["valid"][0, 0, 0, 2] = False
    with torch.no_grad():
        p = tiny(batch["frames"]).poses[-1][0, 0].double()
    t, known = batch["pose"][0, 0].double(), batch["valid"][0, 0]
    d = (p - t).abs()
    bce = -(t * p.log() + (1 - t) * (1 - p).log())
    expected = (d + d**2 + 0.01 * bce)[known].sum() / 8
    stage = Stage("s", 10, (STILLS,), pose_loss="released", over_blocks="last")
    values = Objective(tiny)({"stills": batch}, stage, 0.0)
    torch.testing.assert_close(values["pose"].double(), expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_the_texts_pose_loss_is_a_mean_over_joints(tiny: SPNet) -> None:
    """CVPR Eq. 3: norms of joints, so three times the mean over coordinates in 3D, twice in 2D."""
    batch = sample([0], frames=1)
    text = Stage("s", 10, (STILLS,), pose_loss="text", over_blocks="last")
    plain = replace(text, pose_loss="elastic_net")

    def loss(stage: Stage) -> float:
        return float(Objective(tiny)({"stills": batch}, stage, 0.0)["pose"])

    assert loss(text) == pytest.approx(3 * loss(plain), rel=1e-5)
    batch["valid"][..., 2] = False
    assert loss(text) == pytest.approx(2 * loss(plain), rel=1e-5)
    batch["valid"][:, :, 5:] = False  # unknown joints do not count at all
    d = (tiny(batch["frames"]).poses[-1][0, 0] - batch["pose"][0, 0])[:5, :2]
    assert loss(text) == pytest.approx(float((d.abs() + d**2).sum()) / 5, rel=1e-4)


def test_older_configurations_name_the_released_loss_otherwise(tiny_config: SPNetConfig) -> None:
    config = small(tiny_config, Stage("s", 10, (STILLS,), pose_loss="released"))
    older = loop.to_json(config).replace('"released"', '"deephar"')
    assert loop.from_json(older) == config


# ------------------------------------------------------------------------------- decoupled poses


def test_coupled_action_poses_are_the_supervised_ones(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    """Coupled to the end, the network learns as one without copies; else they part at the share."""
    stage = Stage("s", 4, (CLIPS,), optimizer="sgd", lr=0.01, warmup=0, action_weight=1.0)
    torch.manual_seed(0)
    start = SPNet(replace(tiny_config, actions=(2,)))
    card = small(tiny_config, stage).card()
    path = weights.save(tmp_path / "start.safetensors", start, card)  # has no copies

    def ends(name: str, *, coupled: float = 0.0, replica: bool = True) -> dict[str, torch.Tensor]:
        wanted = replace(stage, coupled=coupled)
        config = small(tiny_config, wanted, model={"replica": replica}, init=str(path))
        return trained(config, tmp_path / name).state_dict()

    alone, whole, half = (
        ends("alone", replica=False),
        ends("whole", coupled=1.0),
        ends("half", coupled=0.5),
    )
    copies = [name for name in whole if "_replica" in name]
    assert copies and whole.keys() - set(copies) == alone.keys()
    for name in copies:
        own = name.replace("_replica", "")
        assert torch.equal(whole[name], whole[own])
        assert not torch.equal(half[name], half[own])
    for name, value in alone.items():
        torch.testing.assert_close(whole[name], value, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- batches


def alternating(*mixes: Mix, seed: int = 3) -> AlternatingBatches:
    return AlternatingBatches(mixes, open_parts(mixes, 1.0, 1), PA17, size=(64, 64), seed=seed)


def shown(clip: torch.Tensor) -> list[int]:
    """Which frames of its record a clip (T 3 H W) shows."""
    return [round((float(value) + 1) * 127.5 - 5) // 6 for value in clip[:, 0, 0, 0]]


def test_without_alternation_these_are_the_plain_batches() -> None:
    mixes = (STILLS, CLIPS)
    plain = Batches(open_parts(mixes, 1.0, 1), PA17, size=(64, 64), seed=3)
    for step in (0, 5):
        batch, expected = alternating(*mixes)[step], plain[step]
        assert batch.keys() == expected.keys()
        assert torch.equal(batch["clips"]["frames"], expected["clips"]["frames"])


def test_parts_alternate_and_lose_no_record() -> None:
    batches = alternating(STILLS, replace(CLIPS, batch=1))
    assert [list(batches[step]) for step in range(4)] == [["stills"], ["clips"]] * 2
    for seed in range(4):
        batches = alternating(STILLS, replace(CLIPS, batch=1), seed=seed)
        for first, name in enumerate(("stills", "clips")):
            poses = torch.cat([batches[s][name]["pose"][:, 0, 0] for s in range(first, 8, 2)])
            assert len(torch.unique(poses, dim=0)) == len(RECORDS)
    with pytest.raises(ValueError, match="without a gap"):
        Stage("s", 10, (STILLS, replace(CLIPS, batch=2)))


def test_every_clip_draws_the_distance_of_its_frames() -> None:
    batches = alternating(replace(CLIPS, steps=(2, 5, 9)))
    drawn = []
    for step in range(12):
        clips = batches[step]["clips"]["frames"]
        apart = [set(np.diff(shown(clip))) for clip in clips]
        assert all(len(distances) == 1 for distances in apart)
        drawn.append([distances.pop() for distances in apart])
    assert set(np.ravel(drawn)) == {2, 5, 9}
    assert any(len(set(batch)) > 1 for batch in drawn)  # not all clips of a batch alike
    again = alternating(replace(CLIPS, steps=(2, 5, 9)))
    assert torch.equal(again[3]["clips"]["frames"], batches[3]["clips"]["frames"])
    poses = torch.cat([batches[step]["clips"]["pose"][:, 0, 0] for step in range(4)])
    assert len(torch.unique(poses, dim=0)) == len(RECORDS)


def test_options_reach_the_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from poseact.data.sets import h36m

    seen: list[Any] = []

    def load(root: str, split: str, *, stills: bool = False, layout: Layout | None = None) -> list:
        seen.append((root, split, stills, layout))
        return RECORDS

    monkeypatch.setattr(h36m, "load", load)
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    options: dict[str, str | int | bool] = {"stills": True, "layout": "PA17"}
    mix = Mix("a", "h36m", 2, root="$SOMEWHERE", split="test", options=options, margin=1.5)
    parts = open_parts([mix, replace(mix, name="b", frames=4, margin=None)], 1.25, 1)
    assert seen == [(str(tmp_path), "test", True, PA17)]  # two parts, read once
    assert [part.margin for part in parts] == [1.5, 1.25]
    with pytest.raises(ValueError, match="h36m has no option.*stils"):
        open_parts([replace(mix, options={"stils": "x"})], 1.0, 1)
    with pytest.raises(FileNotFoundError, match="part a: no h36m data in .*gone"):
        open_parts([replace(mix, root="$SOMEWHERE/gone")], 1.0, 1)
    with pytest.raises(FileNotFoundError, match=r"in \$NOWHERE/h36m, and \$NOWHERE is not set"):
        open_parts([replace(mix, root="$NOWHERE/h36m")], 1.0, 1)


# ------------------------------------------------------------------------------- what learns


def test_keras_freezing_normalises_by_the_batch_and_tracks_nothing(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    """Planted: moving averages that would spoil any inference with them."""
    frozen = Stage("s", 3, (CLIPS,), trains="actions_keras", lr=0.01, warmup=0)
    config = small(tiny_config, frozen)
    torch.manual_seed(config.seed)
    before = network(config.model).state_dict()
    after = trained(config, tmp_path / "run").state_dict()
    for name, value in before.items():
        acting = name.startswith("act") or "action_r0" in name
        if not acting:
            assert torch.equal(after[name], value), name
        elif value.ndim == 4 or name.endswith("running_mean"):
            assert not torch.equal(after[name], value), name

    torch.manual_seed(0)
    model = network(config.model)
    x = torch.rand(2, 3, 64, 64)
    modes: dict[str, list[torch.Tensor]] = {"actions": [], "actions_keras": []}
    for spoil in (1.0, 100.0):
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and module.running_var is not None:
                module.running_var.fill_(spoil)
        for trains, poses in modes.items():
            freeze(model.train(), replace(frozen, trains=trains))
            poses.append(model.frames(x).poses[-1].detach())
    assert torch.equal(modes["actions_keras"][0], modes["actions_keras"][1])
    assert not torch.allclose(modes["actions"][0], modes["actions"][1], atol=1e-3)
    freeze(model.train(), replace(frozen, trains="all"))
    model.frames(x)
    norm: Any = model.get_submodule("up2_pb0.bn1")
    assert not torch.allclose(norm.running_var, torch.tensor(100.0))


def test_replicas_are_copied_by_the_stage_that_asks(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    pose = Stage("pose", 2, (STILLS,), lr=0.01, warmup=0)
    still = replace(pose, name="copied", steps=1, lr=0.0, optimizer="sgd", copy_replica=True)
    replica = {"replica": True}
    for asked in (True, False):
        stages = (pose, replace(still, copy_replica=asked))
        config = small(tiny_config, *stages, model=replica)
        model = trained(config, tmp_path / str(asked))
        for block in ("dp1_pb1", "up2_pb0"):
            for maps in ("heatmaps_conv1", "depthmaps_conv1"):
                own = model.get_parameter(f"{block}.{maps}.weight")
                copy = model.get_parameter(f"{block}.{maps}_replica.weight")
                assert torch.equal(own, copy) == asked
    with pytest.raises(ValueError, match="needs a network with replica"):
        small(tiny_config, still)


def test_in_alternating_batches_a_replica_learns_from_clips_alone(tiny_config: SPNetConfig) -> None:
    torch.manual_seed(0)
    model = SPNet(replace(tiny_config, actions=(2,), replica=True))
    clips = replace(CLIPS, batch=1, teaches="action")
    objective, stage = Objective(model), Stage("s", 10, (STILLS, clips))
    block: Any = model.get_submodule("up2_pb0")
    objective({"stills": sample([-1, -1], frames=1)}, stage, 0.0)["total"].backward()
    assert block.heatmaps_conv1_replica.weight.grad is None
    assert bool(block.heatmaps_conv1.weight.grad.any())
    model.zero_grad()
    objective({"clips": sample([0, 1])}, stage, 0.0)["total"].backward()
    assert bool(block.heatmaps_conv1_replica.weight.grad.any())
    assert not bool(block.heatmaps_conv1.weight.grad.any())  # the last block feeds nothing back


@pytest.mark.parametrize(("ablate", "feature"), [("pose", 0), ("appearance", 1)])
def test_heads_do_not_see_the_features_that_are_ablated(
    tiny_config: SPNetConfig, tmp_path: Path, ablate: Any, feature: int
) -> None:
    stage = Stage("s", 3, (CLIPS,), lr=0.01, warmup=0, ablate=ablate)
    model = trained(small(tiny_config, stage), tmp_path / "run")
    with torch.no_grad():
        features = [c[None] for c in model.frames(torch.rand(4, 3, 64, 64)).features]
        answer = model.actions(tuple(features))[-1][0]
        for changed, moves in ((feature, False), (1 - feature, True)):
            other = [c * 3 + 1 if k % 2 == changed else c for k, c in enumerate(features)]
            assert torch.equal(model.actions(tuple(other))[-1][0], answer) != moves


def test_heads_learn_from_annotated_poses_where_the_stage_says_so(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    """In batches, and of clips whose features are computed once; those teach no pose."""
    clips = replace(CLIPS, teaches="action")
    stage = Stage("s", 3, (clips,), trains="actions", lr=0.01, warmup=0, poses="annotated")
    config = small(tiny_config, stage)
    torch.manual_seed(0)
    model = network(config.model).eval()
    (batch,) = [AlternatingBatches([clips], open_parts([clips], 1.0, 1), PA17, size=(64, 64))[0]]
    given = batch["clips"]["pose"]
    assert not bool(given[..., :2].isnan().any())
    with torch.no_grad():
        expected = model(batch["clips"]["frames"], given).actions
        found = Objective(model)(batch, stage, 0.0)["action"].item()
        blocks = [F.cross_entropy(sets[0], batch["clips"]["action"]) for sets in expected]
        assert found == pytest.approx(torch.stack(blocks).mean().item(), abs=1e-4)
        other = Objective(model)(batch, replace(stage, poses="estimated"), 0.0)["action"].item()
        assert found != pytest.approx(other, abs=1e-4)
    answers = [
        trained(small(tiny_config, replace(stage, cached=4, poses=poses)), tmp_path / poses)
        for poses in ("annotated", "estimated")
    ]
    one, two = (m.get_parameter("act1.action_p_conv0a.weight") for m in answers)
    assert not torch.allclose(one, two)


def test_optimisers_have_the_constants_of_keras(tiny_config: SPNetConfig) -> None:
    """Three steps by hand: a = 0.9 a + 0.1 g^2, w -= r g / (sqrt a + 1e-7); v = m v - r g, ..."""
    model = SPNet(tiny_config)
    weight = model.get_parameter("up2_pb0.heatmaps_conv1.weight")
    gradients = [torch.full_like(weight, g) for g in (0.5, -2.0, 1e-6)]
    for name in ("rmsprop", "sgd"):
        stage = Stage("s", 10, (), optimizer=name, lr=0.01, momentum=0.98)
        update = optimizer(model, stage)
        w = weight.detach().clone().double()
        a, v = torch.zeros_like(w), torch.zeros_like(w)
        for gradient in gradients:
            model.zero_grad()
            weight.grad = gradient
            update.step()
            g = gradient.double()
            if name == "rmsprop":
                a = 0.9 * a + 0.1 * g**2
                w -= 0.01 * g / (a.sqrt() + 1e-7)
            else:
                v = 0.98 * v - 0.01 * g
                w += 0.98 * v - 0.01 * g
        torch.testing.assert_close(weight.detach().double(), w, rtol=0, atol=1e-6)
