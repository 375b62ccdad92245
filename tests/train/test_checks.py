"""What stages go by and start from: checks on held-out data, given weights, runs of before."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_stages import alternating

from poseact.data.dataset import Part
from poseact.models import weights
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.train import loop
from poseact.train.checks import spread
from poseact.train.config import Mix, Stage, from_json, to_json
from poseact.train.loop import StageRun
from poseact.train.objective import Features, Objective
from poseact.train.optim import Best
from tests.small_runs import CLIPS, RECORDS, STILLS, log, small, squares, trained

__all__ = ["squares"]  # the fixture


# ------------------------------------------------------------------------------- held-out data

HELD_OUT = (replace(STILLS, name="held out", split="val"),)


def test_the_best_weights_are_kept_and_a_stage_ends_early(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted millimetres at steps 2, 4, 6, 8: the second are the best, two worse ones end it.

    A run that was broken off between the second and the third check ends the same way.
    """
    stage = Stage(
        "s",
        20,
        (STILLS,),
        warmup=0,
        check_every=2,
        validation=HELD_OUT,
        metric="mpjpe_mm",
        early_stop=2,
    )
    config = small(tiny_config, stage, replace(stage, name="next", steps=2), ema=0.5)
    seen: list[dict[str, torch.Tensor]] = []
    planted = iter([50.0, 40.0, 45.0, 40.0, 39.0, 50.0, 40.0, 45.0, 40.0, 39.0])

    def score(model: Any, *_: Any) -> float:
        assert not model.training
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(planted)

    monkeypatch.setattr(loop, "held_out_score", score)
    last = trained(config, tmp_path / "run").state_dict()
    lines = log(tmp_path / "run")
    assert [line["step"] for line in lines] == [*range(1, 9), 21, 22]
    checked = [(line["step"], line["mpjpe_mm"]) for line in lines if "mpjpe_mm" in line]
    assert checked == [(2, 50), (4, 40), (6, 45), (8, 40), (22, 39)]
    best = weights.load(tmp_path / "run/best.safetensors").model.state_dict()
    assert all(torch.equal(best[name], value) for name, value in seen[4].items())  # of "next"
    assert not all(torch.equal(seen[1][name], value) for name, value in last.items())

    step = StageRun.step

    def breaks(self: StageRun, batch: Any, number: int) -> Any:
        if number == 5:
            kept = weights.load(tmp_path / "broken/best.safetensors").model.state_dict()
            assert all(torch.equal(kept[name], value) for name, value in seen[1].items())
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(StageRun, "step", breaks)
    with pytest.raises(KeyboardInterrupt):
        trained(config, tmp_path / "broken")
    monkeypatch.setattr(StageRun, "step", step)
    loop.fit(config, tmp_path / "broken", resume=True, workers=1)
    assert [line["step"] for line in log(tmp_path / "broken")] == [*range(1, 9), 21, 22]
    for name, value in (
        weights.load(tmp_path / "broken/weights.safetensors").model.state_dict().items()
    ):
        assert torch.equal(value, last[name]), name


def test_the_best_check_goes_the_metric_s_way() -> None:
    cases: tuple[Any, ...] = (
        ("mpjpe_mm", (float("nan"), 9.0, 9.0, 8.0), [False, True, False, True]),
        ("action_top1", (50.0, 40.0, 51.0, float("nan")), [True, False, True, False]),
    )
    for metric, scores, better in cases:
        best = Best(Stage("s", 9, (), validation=HELD_OUT, metric=metric, early_stop=1))
        assert [best.check(score, step) for step, score in enumerate(scores)] == better
        again = Best(Stage("s", 9, (), validation=HELD_OUT, metric=metric, early_stop=1))
        again.load(best.state())
        assert vars(again) == vars(best) and again.stops == (not better[-1])


def test_a_metric_that_the_labels_do_not_tell_is_refused(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    stage = Stage("s", 1, (STILLS,), check_every=1, validation=HELD_OUT, metric="mpjpe_mm")
    words = "stage s: validation part held out has no mpjpe_mm, .* loss, pck_torso_0.2"
    with pytest.raises(ValueError, match=words):
        loop.fit(small(tiny_config, stage), tmp_path / "run", workers=1)
    with pytest.raises(ValueError, match="metric and early_stop need validation"):
        replace(stage, validation=())
    assert [r.xy[0, 0, 0] for r in spread(RECORDS, 3)] == [
        RECORDS[i].xy[0, 0, 0] for i in (0, 4, 7)
    ]


# ------------------------------------------------------------------------------- first network


def test_pose_weights_start_a_network_with_actions(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    bare = replace(tiny_config, actions=(), action_pyramids=())
    stage = Stage("pose", 1, (STILLS,))
    config = replace(small(tiny_config, stage), model=bare, labels=())
    path = loop.fit(config, tmp_path / "pose", workers=1)
    given = weights.load(path).model.state_dict()
    full = replace(small(tiny_config, stage, model={"replica": True}), init=str(path))
    begun = loop.initial_network(full)
    for name, value in given.items():
        assert torch.equal(begun.state_dict()[name], value), name
    copy = begun.get_parameter("up2_pb0.heatmaps_conv1_replica.weight")
    assert torch.equal(copy, given["up2_pb0.heatmaps_conv1.weight"])
    for other in ({"alpha": 2.0}, {"joints": 16}):
        with pytest.raises(ValueError, match=f"another network.*{next(iter(other))}"):
            loop.initial_network(replace(full, model=replace(full.model, **other)))


def _only_until(values: dict[str, Any], kind: type, last: str) -> None:
    """Drop the settings that came later than `last`, the first version's last one."""
    names = [f.name for f in fields(kind)]
    for name in names[names.index(last) + 1 :]:
        del values[name]


def test_runs_of_before_are_read_and_resumed(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """Files without the newer settings mean the defaults, in JSON and in a run's folder."""
    config = small(tiny_config, Stage("s", 2, (STILLS, CLIPS), lr=3e-3))
    old = asdict(config)
    for stage in old["stages"]:
        _only_until(stage, Stage, "cached")
        for mix in stage["mix"]:
            _only_until(mix, Mix, "clips")
    text = json.dumps(old)
    assert from_json(text) == config and from_json(to_json(config)) == config
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text(text)
    loop.fit(config, out, resume=True, workers=1)
    assert (out / "config.json").read_text() == text
    with pytest.raises(ValueError, match="another run"):
        loop.fit(replace(config, seed=1), out, resume=True, workers=1)


def test_cached_clues_use_the_part_s_action_set(tiny_config: SPNetConfig) -> None:
    torch.manual_seed(0)
    model = SPNet(replace(tiny_config, actions=(2, 3))).eval()
    features = tuple(c[None].detach() for c in model.frames(torch.rand(4, 3, 64, 64)).features)
    logits = model.actions(features)[-1][1]
    stage = Stage(
        "s", 9, (replace(CLIPS, action_set=1),), trains="actions", cached=4, over_blocks="last"
    )
    values = Objective(model)(Features(features, torch.tensor([2])), stage, 0.0)
    torch.testing.assert_close(values["action"], F.cross_entropy(logits, torch.tensor([2])))


def test_a_part_has_a_name_of_its_own() -> None:
    with pytest.raises(ValueError, match="names of their own"):
        alternating(STILLS, STILLS)
    assert isinstance(alternating(STILLS).parts[0], Part)
