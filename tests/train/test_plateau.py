"""Rates that fall when nothing gets better, and stages that follow the rate that was reached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from poseact.models import weights
from poseact.models.spnet import SPNetConfig
from poseact.train import loop
from poseact.train.config import Stage
from poseact.train.objective import Objective
from poseact.train.optim import Plateau, learning_rate
from tests.small_runs import CLIPS, STILLS, break_off, log, small, squares, trained

__all__ = ["squares"]  # the fixture


def test_a_plateau_lowers_the_rate() -> None:
    stage = Stage("s", 99, (), schedule="plateau", factor=0.2, patience=2, drops=2, warmup=0)
    plateau, factors = Plateau(stage), []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5):
        plateau.check(loss)
        factors.append(plateau.factor)
    steps = [1, 1, 1, 0.2, 0.2, 0.2, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04]
    assert factors == pytest.approx(steps)
    assert learning_rate(stage, 98) == stage.lr
    plateau.add(3.0)
    plateau.add(5.0)
    assert plateau.mean() == 4.0
    again = Plateau(stage)
    again.load(plateau.state())
    assert vars(again) == vars(plateau)


def test_a_stage_follows_the_rate_that_was_reached(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three falls without a limit, then a tenth of that; the same after a break in the second."""
    first = Stage(
        *("s", 8, (STILLS,)),
        schedule="plateau",
        factor=0.5,
        patience=1,
        check_every=2,
        drops=None,
        warmup=0,
        optimizer="sgd",
    )
    second = replace(first, name="t", steps=4, schedule="constant", follow=0.1, lr=7.0)
    config = small(tiny_config, first, stages=(first, second))
    monkeypatch.setattr(Plateau, "mean", lambda _: 1.0)
    trained(config, tmp_path / "whole")
    rates = [line["lr"] / first.lr for line in log(tmp_path / "whole")]
    falls = [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]  # as of the step that comes next
    assert rates[:8] == pytest.approx(falls)
    assert rates[8:] == pytest.approx([0.0125] * 4)  # it fell once more at the last check
    break_off(
        config, tmp_path / "broken", monkeypatch, lambda run, n: run.stage.name == "t" and n == 2
    )
    loop.fit(config, tmp_path / "broken", resume=True, workers=1)
    assert [line["lr"] / first.lr for line in log(tmp_path / "broken")] == pytest.approx(rates)
    with pytest.raises(ValueError, match="follow needs a stage before"):
        small(tiny_config, second)


def test_training_goes_by_held_out_batches(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches a check, in inference mode; their mean decides. Losses are planted."""
    stage = Stage(
        "s",
        5,
        (STILLS,),
        optimizer="sgd",
        warmup=0,
        schedule="plateau",
        factor=0.5,
        patience=1,
        check_every=1,
        validation=(replace(STILLS, name="held out"),),
        validation_batches=2,
    )
    planted = iter([4.0, 2.0, 3.0, 3.0, 1.0, 1.0, 0.0, 8.0, 5.0, 5.0])
    modes: list[bool] = []
    forward = Objective.forward

    def watched(self: Objective, batch: Any, *rest: Any) -> Any:
        modes.append(self.model.get_submodule("up2_pb0.bn1").training)
        values = forward(self, batch, *rest)
        return values if modes[-1] else {"total": torch.tensor(next(planted))}

    monkeypatch.setattr(Objective, "forward", watched)
    trained(small(tiny_config, stage), tmp_path / "run")
    lines = log(tmp_path / "run")
    assert [line["validation"] for line in lines] == [3, 3, 1, 4, 5]
    rates = [line["lr"] / stage.lr for line in lines]
    assert rates == pytest.approx([1, 0.5, 0.5, 0.25, 0.25])  # two drops at most
    assert modes == [True, False, False] * 5
    with pytest.raises(ValueError, match="test split would choose"):
        replace(stage, validation=(replace(STILLS, split="test"),))


def test_alternating_batches_under_a_plateau_resumes_exactly(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = replace(CLIPS, batch=1, steps=(1, 3), teaches="action")
    stage = Stage(
        "s",
        9,
        (STILLS, clips),
        optimizer="rmsprop",
        warmup=0,
        schedule="plateau",
        patience=1,
        check_every=2,
        over_blocks="sum",
        copy_replica=True,
    )
    config = small(tiny_config, stage, model={"replica": True})
    monkeypatch.setattr(Plateau, "mean", lambda _: 1.0)  # it falls at the second check, step 4
    whole = trained(config, tmp_path / "whole").state_dict()
    rates = [line["lr"] / stage.lr for line in log(tmp_path / "whole")]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])

    break_off(config, tmp_path / "broken", monkeypatch, lambda _, n: n == 5)
    path = loop.fit(config, tmp_path / "broken", resume=True, workers=1)
    for name, value in weights.load(path).model.state_dict().items():
        assert torch.equal(value, whole[name]), name
    assert [line["lr"] / stage.lr for line in log(tmp_path / "broken")] == rates
