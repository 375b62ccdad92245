import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact import data
from poseact.cli.app import main
from poseact.core.layouts import layout_named
from poseact.core.types import Record
from poseact.evaluate.views import evaluate
from poseact.media.pictures import read_image
from poseact.models import weights
from poseact.models.multitask import MultitaskConfig
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.people.scene import PeopleConfig
from poseact.train import loop
from poseact.train.checks import score_records
from poseact.train.loop import Config, Mix, Objective, Stage
from poseact.train.lr_finder import find_lr, suggestion
from poseact.train.processes import Interrupts, open_fabric, out_of_memory
from poseact.train.rehearsal import dev_run

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


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def pool(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendered clips are shared by the tests of this file."""
    folder = tmp_path_factory.getbasetemp() / "pool"
    monkeypatch.setenv("POSEACT_CACHE", str(folder))


def test_config_survives_json(tiny_config: SPNetConfig) -> None:
    config = small(tiny_config)
    assert loop.from_json(loop.to_json(config)) == config
    with pytest.raises(ValueError, match="momentun"):
        loop.from_json(loop.to_json(config).replace('"momentum"', '"momentun"'))


def test_a_field_is_read_by_its_former_name(tiny_config: SPNetConfig) -> None:
    config = small(tiny_config)
    stills, *others = config.stages[0].mix
    stage = replace(config.stages[0], mix=(*others, replace(stills, batch=1)))
    config = replace(config, stages=(stage,))
    text = loop.to_json(config)
    assert loop.from_json(text.replace('"batch"', '"turn"')) == config


def test_the_cvpr_network_trains_with_the_same_code(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    network = MultitaskConfig(
        joints=17, dim=3, actions=(2,), blocks=2, depth_maps=4, stem_channels=32, sharpness=2.0
    )
    stage = replace(small(tiny_config).stages[0], steps=2)
    config = small(tiny_config, model=network, stages=(stage,))
    assert loop.from_json(loop.to_json(config)) == config
    model, card = weights.load(loop.fit(config, tmp_path / "run", workers=1))
    assert card.architecture == "multitask" and model.config == network


def test_run_folder_and_weights(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    config = small(tiny_config)
    path = loop.fit(config, tmp_path / "run", workers=1)
    model, card = weights.load(path)
    assert card.labels == (("walk", "wave"),) and card.provenance["recipe"] == "small"
    lines = [json.loads(s) for s in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(line["total"]) for line in lines)
    assert {"pose", "confidence", "heatmap", "action"} <= set(lines[0])
    with pytest.raises(ValueError, match="holds a run already"):
        loop.fit(config, tmp_path / "run")
    with pytest.raises(ValueError, match="another run"):
        loop.fit(replace(config, seed=5), tmp_path / "run", resume=True)


def test_killed_runs_resume_to_the_same_weights(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """kill -9 somewhere in the middle, resume, and compare with a run that was left alone."""
    stage = small(tiny_config).stages[0]
    config = small(
        tiny_config, stages=(replace(stage, steps=4), replace(stage, name="b", steps=25))
    )
    whole = weights.load(loop.fit(config, tmp_path / "whole", workers=1)).model.state_dict()
    out = tmp_path / "killed"
    out.mkdir()
    (out / "config.json").write_text(loop.to_json(config))
    code = (
        "import sys, torch; from poseact.train import loop; torch.set_num_threads(1)\n"
        "loop.fit(loop.from_json(open(sys.argv[1] + '/config.json').read()), sys.argv[1],"
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
    resumed = weights.load(loop.fit(config, out, resume=True, workers=1)).model.state_dict()
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    steps = [json.loads(s)["step"] for s in log.read_text().splitlines()]
    assert steps == list(range(1, 30))
    assert not list(out.glob(".*"))


def test_frozen_means_frozen(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """Training only actions leaves every number of the pose part as it was, moving averages too."""
    config = small(tiny_config)
    torch.manual_seed(config.seed)
    before = SPNet(config.model).state_dict()
    stage = replace(config.stages[0], trains="actions")
    config = replace(config, stages=(stage,), ema=0.0)
    after = weights.load(loop.fit(config, tmp_path / "run", workers=1)).model.state_dict()
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
    path = loop.fit(config, tmp_path / "run", workers=1)
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
    after = weights.load(loop.fit(config, tmp_path / "run", workers=1)).model.state_dict()
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
    with pytest.raises(FloatingPointError, match=r"not finite.*warmup.*config\.json.*resume"):
        loop.fit(config, tmp_path / "run", workers=1)
    noted = json.loads((tmp_path / "run/bad_batch.json").read_text())
    assert noted["step"] == len(log(tmp_path / "run"))
    assert {name: len(rows) for name, rows in noted["records"].items()} == {"clips": 2, "stills": 2}
    saved = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert all(
        bool(torch.isfinite(v).all()) for k, v in saved["model"].items() if v.is_floating_point()
    )


def test_a_batch_that_is_too_large_is_named(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out in the third step; with the mend in config.json the run goes on."""
    config = small(tiny_config)
    forward = Objective.forward
    calls: list[int] = []

    def greedy(self: Objective, batch: object, *rest: object) -> object:
        calls.append(len(calls))
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\n...")
        return forward(self, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "forward", greedy)
    out = tmp_path / "run"
    words = r"stage all, step 2: out of memory \(CUDA .* 2 GiB\).*accumulate.*\[0\] to 2.*--resume"
    with pytest.raises(MemoryError, match=words):
        loop.fit(config, out, workers=1)
    noted = json.loads((out / "bad_batch.json").read_text())
    assert (noted["stage"], noted["step"]) == ("all", 2)
    clips = noted["records"]["clips"]
    assert len(clips) == 2 and all(".npy" in name and "people" in name for name in clips)
    changed = replace(config, stages=(replace(config.stages[0], accumulate=2),))
    (out / "config.json").write_text(loop.to_json(changed))
    loop.fit(changed, out, resume=True, workers=1)
    assert [line["step"] for line in log(out)] == [1, 2, 3, 4, 5, 6]
    assert len(calls) == 3 + 2 * 4
    errors = ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "shape")
    assert [out_of_memory(RuntimeError(text)) for text in errors] == [True, False]


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    """A terminal's signal, with workers: status 130, and the same weights in the end."""
    stage = replace(small(tiny_config).stages[0], steps=40)
    config = small(tiny_config, stages=(stage,), checkpoint_s=1e9, workers=1)
    whole = weights.load(loop.fit(config, tmp_path / "whole", workers=1)).model.state_dict()
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text(loop.to_json(config))
    command = [sys.executable, "-m", "poseact", "train", "--resume", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Sums are split among threads, so their number is part of the result.
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    deadline = time.monotonic() + 90
    while not ((out / "log.jsonl").is_file() and log(out)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=90)[1].decode()
    assert process.returncode == 130
    step = len(log(out))
    assert f"stopped after step {step}; resume with: poseact train --resume {out}" in said
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == step < 40
    assert "Traceback" not in said
    assert main(["train", "--resume", str(out), "--workers", "0"]) == 0
    resumed = weights.load(out / "weights.safetensors").model.state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


@pytest.fixture()
def keyboard() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell starts what it puts into the background without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
def test_a_second_signal_acts_as_always() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        assert signal.getsignal(signal.SIGTERM) != before
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.asked and signal.getsignal(signal.SIGTERM) == before
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
    with Interrupts() as interrupts:
        assert not interrupts.asked
    assert signal.getsignal(signal.SIGTERM) == before


def test_deterministic_runs_only_take_such_algorithms(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    seen: list[bool] = []
    step = loop.StageRun.step

    def watched(self: loop.StageRun, *args: object) -> object:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.StageRun, "step", watched)
    stage = replace(small(tiny_config).stages[0], steps=1)
    for on in (True, False):
        config = small(tiny_config, stages=(stage,), deterministic=on)
        loop.fit(config, tmp_path / str(on), workers=1)
    assert seen == [True, False] and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_mixed_precision_is_nearly_the_same(
    tiny_config: SPNetConfig, tmp_path: Path, accumulate: int
) -> None:
    stage = replace(small(tiny_config).stages[0], steps=2, accumulate=accumulate)
    config = small(tiny_config, stages=(stage,))
    loop.fit(config, tmp_path / "full", workers=1)
    loop.fit(replace(config, precision="bf16-mixed"), tmp_path / "mixed", workers=1)
    full, mixed = log(tmp_path / "full"), log(tmp_path / "mixed")
    for name in ("pose", "confidence", "heatmap", "action", "total"):
        assert mixed[0][name] == pytest.approx(full[0][name], rel=0.05)
        assert mixed[0][name] != full[0][name]


def test_an_early_stop_takes_the_best_weights(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of four checks is the best: so ends the run, and so begins the next stage."""
    mix = small(tiny_config).stages[0].mix[1:]
    held_out = (replace(mix[0], augment="none", split="val"),)
    stage = Stage("s", 20, mix, validation=held_out, metric="mpjpe_mm", check_every=2, early_stop=2)
    still = replace(stage, name="still", steps=1, optimizer="sgd", lr=0.0)
    seen: list[dict[str, torch.Tensor]] = []

    def score(model: SPNet, *_: object) -> float:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return [50.0, 40.0, 45.0, 44.0][len(seen) - 1]

    monkeypatch.setattr(loop, "held_out_score", score)
    config = small(tiny_config, stages=(stage,), ema=0.5)
    ended = weights.load(loop.fit(config, tmp_path / "one", workers=1)).model.state_dict()
    assert log(tmp_path / "one")[-1]["step"] == 8 and len(seen) == 4
    assert not torch.equal(seen[1]["entry.conv1.weight"], seen[3]["entry.conv1.weight"])
    best = seen[1]
    assert all(torch.equal(ended[name], value) for name, value in best.items())
    seen.clear()
    config = replace(config, stages=(stage, still))
    model = weights.load(loop.fit(config, tmp_path / "two", workers=1)).model
    assert log(tmp_path / "two")[-1]["stage"] == "still"
    assert all(torch.equal(p, best[name]) for name, p in model.named_parameters())


def test_tensorboard_gets_the_numbers_of_the_log(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str, *, purge_step: int) -> None:
            assert folder == str(tmp_path / "run/tensorboard") and purge_step == 1

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None: ...

    name = "torch.utils.tensorboard"
    stage = replace(small(tiny_config).stages[0], steps=2)
    config = small(tiny_config, stages=(stage,))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'poseact\[tensorboard\]'"):
        loop.fit(config, tmp_path / "run", workers=1, tensorboard=True)
    fake = types.ModuleType(name)
    monkeypatch.setattr(fake, "SummaryWriter", SummaryWriter, raising=False)
    monkeypatch.setitem(sys.modules, name, fake)
    loop.fit(config, tmp_path / "run", workers=1, resume=True, tensorboard=True)
    lines = log(tmp_path / "run")
    expected = [(k, v, line["step"]) for line in lines for k, v in line.items() if k != "step"]
    assert written == [row for row in expected if row[0] != "stage"] and len(written) >= 12


def test_the_learning_rate_finder_finds_the_steepest_fall(
    tiny_config: SPNetConfig, tmp_path: Path
) -> None:
    """A planted fall about 1e-3 that ends in an explosion; and a sweep that leaves no run."""
    rates = np.geomspace(1e-7, 1, 200)
    losses = 2 - 1 / (1 + (1e-3 / rates) ** 2) + np.where(rates > 0.05, rates * 100, 0)
    assert 1e-3 < suggestion(rates.tolist(), losses.tolist()) < 4e-3  # smoothing lags behind
    with pytest.raises(ValueError, match="never fell"):
        suggestion(rates.tolist(), np.linspace(1, 2, 200).tolist())
    config = small(tiny_config)
    found = find_lr(config, tmp_path / "run", steps=25, workers=1)
    assert 1e-7 < found < 1
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["lr.jsonl", "lr.png"]
    rows = [json.loads(line) for line in (tmp_path / "run/lr.jsonl").read_text().splitlines()]
    ratios = np.diff(np.log([row["lr"] for row in rows]))
    np.testing.assert_allclose(ratios, np.log(1e7) / 25, rtol=1e-6)
    assert found in [row["lr"] for row in rows]
    assert read_image(tmp_path / "run/lr.png").std() > 5


def test_a_run_in_small(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """Two steps of each stage whatever their size; weights that are not those saved are noticed."""
    first = replace(small(tiny_config).stages[0], name="poses", steps=10_000, accumulate=2)
    few = replace(first.mix[0], count=40)
    heads = replace(
        first, name="heads", mix=(few,), trains="actions", cached=64, steps=900, accumulate=1
    )
    config = small(tiny_config, stages=(first, heads), checkpoint_s=1e9, devices=8)
    lines = list(dev_run(config, tmp_path / "run"))
    assert [(x["step"], x["stage"]) for x in log(tmp_path / "run")] == [(2, "poses"), (4, "heads")]
    assert "action_top1" in lines[0] and "pckh_0.5" in lines[0] and "identical" in lines[1]


def test_a_run_in_small_leaves_nothing_unless_asked(
    tiny_config: SPNetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poseact.train.recipes.shipped.recipe", lambda _: small(tiny_config))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "small", "--dev"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert main(["train", "small", "--dev", "-o", "kept", "--seed", "3"]) == 0
    assert loop.from_json(Path("kept/config.json").read_text()).seed == 3


def test_held_out_scores_are_those_of_evaluate(tiny: SPNet, tiny_card: weights.Card) -> None:
    records = data.load("people", people=PEOPLE, clips=4)
    config = replace(tiny.config, actions=(2,))
    model, card = SPNet(config).eval(), replace(tiny_card, frames=4)
    scores = score_records(model, card, records, open_fabric(small(config)))
    assert scores == pytest.approx(evaluate(model, card, records).blocks[-1].scores)
    assert {"mpjpe_mm", "action_top1", "pckh_0.5"} <= scores.keys()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_device_may_augment(tiny_config: SPNetConfig, tmp_path: Path, workers: int) -> None:
    """The same losses as with workers' pictures, within what pixels of 64 px crops differ by."""
    stage = small(tiny_config).stages[0]
    stage = replace(stage, steps=3, mix=(stage.mix[0],))
    config = small(tiny_config, stages=(stage,), workers=workers)
    losses = []
    for where in ("worker", "device"):
        loop.fit(replace(config, augment_on=where), tmp_path / where, workers=1)
        losses.append([line["total"] for line in log(tmp_path / where)])
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.05)
    strong = replace(stage, mix=(replace(stage.mix[0], augment="strong"),))
    with pytest.raises(ValueError, match="part clips: blur, noise.* workers only"):
        changed = replace(config, stages=(strong,), augment_on="device")
        loop.fit(changed, tmp_path / "strong", workers=1)


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
    monkeypatch.setattr(data, "load", lambda *a, **k: records)
    mix = (Mix("squares", "people", 16, augment="none"),)
    stage = Stage("all", 120, mix, lr=5e-3, warmup=5, heatmap_weight=0.1)
    config = small(tiny_config, stages=(stage,), ema=0.9, log_every=60)
    loop.fit(config, tmp_path / "run")
    lines = [json.loads(s) for s in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[-1]["pose"] < 0.03 < lines[0]["pose"]
