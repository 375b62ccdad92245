import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact import data, train, weights
from poseact.layouts import layout_named
from poseact.models.multitask import MultitaskConfig
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.people.scene import PeopleConfig
from poseact.train import Config, Mix, Objective, Stage
from poseact.types import Record

PEOPLE = PeopleConfig(frames=4, height=64, width=64, supersample=1, actions=("walk", "wave"))


def small(tiny_config: SPNetConfig, **changes: object) -> Config:
    mix = (
        Mix("clips", "people", 2, frames=4, people=PEOPLE, clips=4),
        Mix("stills", "people", 2, augment="strong", people=PEOPLE, clips=4),
    )
    stage = Stage("all", 6, mix, lr=3e-3, warmup=1, heatmap_weight=0.1)
    config = Config(
        name="small",
        model=replace(tiny_config, actions=(2,)),
        layout="PA17",
        labels=(("walk", "wave"),),
        stages=(stage,),
        size=(64, 64),
        frames=4,
        workers=0,
        log_every=1,
        checkpoint_s=0.0,
        accelerator="cpu",
    )
    return replace(config, **changes)


@pytest.fixture(autouse=True)
def pool(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendered clips are shared by the tests of this file."""
    folder = tmp_path_factory.getbasetemp() / "pool"
    monkeypatch.setenv("POSEACT_CACHE", str(folder))


def test_config_survives_json(tiny_config: SPNetConfig) -> None:
    config = small(tiny_config)
    assert train.from_json(train.to_json(config)) == config
    with pytest.raises(ValueError, match="momentun"):
        train.from_json(train.to_json(config).replace('"momentum"', '"momentun"'))


def test_the_cvpr_network_trains_with_the_same_code(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    network = MultitaskConfig(
        joints=17, dim=3, actions=(2,), blocks=2, depth_maps=4, stem_channels=32, sharpness=2.0
    )
    stage = replace(small(tiny_config).stages[0], steps=2)
    config = small(tiny_config, model=network, stages=(stage,))
    assert train.from_json(train.to_json(config)) == config
    model, card = weights.load(train.fit(config, tmp_path / "run", workers=1))
    assert card.architecture == "multitask" and model.config == network


def test_run_folder_and_weights(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    config = small(tiny_config)
    path = train.fit(config, tmp_path / "run", workers=1)
    model, card = weights.load(path)
    assert card.labels == (("walk", "wave"),) and card.provenance["recipe"] == "small"
    lines = [json.loads(s) for s in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(line["total"]) for line in lines)
    assert {"pose", "confidence", "heatmap", "action"} <= set(lines[0])
    with pytest.raises(ValueError, match="holds a run already"):
        train.fit(config, tmp_path / "run")
    with pytest.raises(ValueError, match="another run"):
        train.fit(replace(config, seed=5), tmp_path / "run", resume=True)


def test_killed_runs_resume_to_the_same_weights(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """kill -9 somewhere in the middle, resume, and compare with a run that was left alone."""
    stage = small(tiny_config).stages[0]
    config = small(
        tiny_config, stages=(replace(stage, steps=4), replace(stage, name="b", steps=25))
    )
    whole = weights.load(train.fit(config, tmp_path / "whole", workers=1)).model.state_dict()
    out = tmp_path / "killed"
    out.mkdir()
    (out / "config.json").write_text(train.to_json(config))
    code = (
        "import sys, torch; from poseact import train; torch.set_num_threads(1)\n"
        "train.fit(train.from_json(open(sys.argv[1] + '/config.json').read()), sys.argv[1],"
        " resume=True, workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.DEVNULL)
    log = out / "log.jsonl"
    deadline = time.monotonic() + 90
    while not (log.is_file() and log.read_text().count("\n") >= 7):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "weights.safetensors").exists()
    resumed = weights.load(train.fit(config, out, resume=True, workers=1)).model.state_dict()
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    steps = [json.loads(s)["step"] for s in log.read_text().splitlines()]
    assert steps == list(range(1, 30))
    assert not list(out.glob(".*.tmp"))


def test_frozen_means_frozen(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """Training only actions leaves every number of the pose part as it was, moving averages too."""
    config = small(tiny_config)
    torch.manual_seed(config.seed)
    before = SPNet(config.model).state_dict()
    stage = replace(config.stages[0], trains="actions")
    config = replace(config, stages=(stage,), ema=0.0)
    after = weights.load(train.fit(config, tmp_path / "run", workers=1)).model.state_dict()
    acting = {n for n in before if n.startswith("act") or "action_r0" in n}
    for name, value in before.items():
        if name in acting and value.ndim == 4:
            assert not torch.equal(after[name], value), name
        elif name not in acting:
            assert torch.equal(after[name], value), name


def test_the_average_follows_a_new_stage_at_once(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """Heads that a long first stage left untouched must not linger in the average of the second."""
    stage = small(tiny_config).stages[0]
    stills = replace(stage, name="stills", steps=60, mix=stage.mix[1:])
    actions = replace(stage, name="actions", steps=3, mix=stage.mix[:1], trains="actions", lr=0.05)
    torch.manual_seed(0)
    config = small(tiny_config, stages=(stills, actions), ema=0.999)
    torch.manual_seed(config.seed)
    start = SPNet(config.model).state_dict()["act1.action_v_conv0.weight"]
    path = train.fit(config, tmp_path / "run", workers=1)
    averaged = weights.load(path).model.state_dict()["act1.action_v_conv0.weight"]
    saved = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    raw = saved["model"]["act1.action_v_conv0.weight"]
    assert (averaged - raw).norm() < 0.5 * (averaged - start).norm()


def test_heads_learn_from_cached_clues(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """The same clips again and again: learned by heart, the pose part untouched, and resumable."""
    stage = small(tiny_config).stages[0]
    stage = replace(stage, mix=stage.mix[:1], trains="actions", cached=4, steps=40, lr=0.02)
    config = small(tiny_config, stages=(stage,), ema=0.5, checkpoint_s=1e9)
    torch.manual_seed(config.seed)
    before = SPNet(config.model).state_dict()
    after = weights.load(train.fit(config, tmp_path / "run", workers=1)).model.state_dict()
    assert torch.equal(
        before["up2_pb0.heatmaps_conv1.weight"], after["up2_pb0.heatmaps_conv1.weight"]
    )
    lines = [json.loads(s) for s in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["action"] < 0.2 < lines[0]["action"]
    with pytest.raises(ValueError, match="cached needs"):
        replace(stage, trains="all")


def test_a_2d_only_joint_gets_no_depth_gradient(tiny: SPNet) -> None:
    torch.manual_seed(0)
    frames = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    pose = torch.rand(2, 1, 17, 3)
    pose[..., 2] = float("nan")
    valid = torch.ones(2, 1, 17, 3, dtype=torch.bool)
    valid[..., 2] = False
    sample = {
        "frames": frames,
        "pose": pose,
        "valid": valid,
        "inside": valid[..., 0],
        "action": torch.full((2,), -1),
        "to_image": torch.eye(3).expand(2, 1, 3, 3),
    }
    stage = Stage("s", 10, ())
    values = Objective(tiny)({"a": sample}, stage, 0.0)  # type: ignore[dict-item]
    assert "action" not in values
    values["total"].backward()
    last = tiny.up2_pb0
    assert last.heatmaps_conv1.weight.grad.abs().sum() > 0
    assert last.depthmaps_conv1.weight.grad.abs().sum() == 0


def test_losses_that_are_not_finite_stop_the_run(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    stage = replace(small(tiny_config).stages[0], lr=1e30, warmup=0, steps=40)
    config = small(tiny_config, stages=(stage,), clip_gradient=0.0)
    with pytest.raises(FloatingPointError, match="not finite.*resume"):
        train.fit(config, tmp_path / "run", workers=1)
    saved = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert all(
        bool(torch.isfinite(v).all()) for k, v in saved["model"].items() if v.is_floating_point()
    )


def test_unknown_data_sets_are_named() -> None:
    with pytest.raises(ValueError, match="cocoo"):
        data.load("cocoo")
    with pytest.raises(ValueError, match="--root"):
        data.load("lspet")


def test_learns_to_follow_a_white_square(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch
) -> None:
    """The loop learns: every joint sits on a square, the only thing in the picture."""
    rng = np.random.default_rng(0)

    def record() -> Record:
        x, y = rng.integers(6, 58, 2)
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[y - 5 : y + 5, x - 5 : x + 5] = 255
        xy = np.tile(np.array([x, y], float), (1, 17, 1))
        return Record(lambda _: picture, xy, layout_named("PA17"), box=np.array([[0, 0, 64, 64.0]]))

    records = [record() for _ in range(64)]
    monkeypatch.setattr(train.data, "load", lambda *a, **k: records)
    mix = (Mix("squares", "people", 16, augment="none"),)
    stage = Stage("all", 120, mix, lr=5e-3, warmup=5, heatmap_weight=0.1)
    config = small(tiny_config, stages=(stage,), ema=0.9, log_every=60)
    train.fit(config, tmp_path / "run")
    lines = [json.loads(s) for s in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["pose"] < 0.03 < lines[0]["pose"]
