"""Two processes on CPUs train as one does: the same batches, losses, weights, scores, runs."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import itertools
import json
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.tensor import DTensor

from poseact import data
from poseact.cli.app import main
from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data.dataset import Batches, Part, Share
from poseact.models import weights
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.train import loop
from poseact.train.checks import held_out_loss, score_records
from poseact.train.config import Config, Mix, Stage
from poseact.train.loop import StageRun
from poseact.train.objective import Objective, micro_batches
from poseact.train.optim import freeze
from poseact.train.parts import AlternatingBatches, open_parts
from poseact.train.processes import Stopped, fill, gather, open_fabric, shard, whole_state

FRAMES = 6
MIX = (
    Mix("stills", "people", 5, augment="none"),
    Mix("clips", "people", 3, frames=4, augment="none"),
    Mix("lonely", "people", 1, frames=4, augment="none", teaches="action"),
)
HELD_OUT = (Mix("held out", "people", 3, augment="none", split="val"),)
STAGE = Stage(
    "s",
    6,
    MIX,
    optimizer="sgd",
    lr=0.05,
    warmup=0,
    schedule="constant",
    action_weight=1.0,
    heatmap_weight=0.1,
    validation=HELD_OUT,
    validation_batches=3,
    check_every=2,
)


def record(number: int) -> Record:
    """A pose in noise; of every record another number of joints is unknown."""
    rng = np.random.default_rng(number)
    pictures = rng.integers(0, 256, (FRAMES, 64, 64, 3), np.uint8)
    xy = rng.uniform(8, 56, (FRAMES, 17, 2))
    xy[:, 17 - number % 9 :] = np.nan
    xyz = np.concatenate([xy, rng.uniform(-300, 300, (FRAMES, 17, 1))], -1)
    box = np.tile([0.0, 0.0, 64.0, 64.0], (FRAMES, 1))
    action = None if number % 3 == 0 else number % 2
    return Record(
        lambda t: pictures[t], xy, PA17, xyz=xyz, box=box, action=action, source=f"r{number}"
    )


RECORDS = [record(i) for i in range(11)]


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """The data, and batch normalisation that stands still: it sees only its own process."""
    patch.setattr(data, "load", lambda *_, **__: RECORDS)
    patch.setattr(loop, "freeze", all_norms_frozen)


def all_norms_frozen(model: Any, stage: Stage) -> None:
    freeze(model, stage)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def small(tiny_config: SPNetConfig, **changes: Any) -> Config:
    config = Config(
        name="small",
        model=replace(tiny_config, actions=(2,)),
        layout="PA17",
        labels=(("a", "b"),),
        stages=(STAGE,),
        size=(64, 64),
        frames=4,
        ema=0.9,
        workers=0,
        log_every=1,
        checkpoint_s=0.0,
        accelerator="cpu",
    )
    return replace(config, **changes)


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same_curve(a: Path, b: Path, *, lines: int = 6) -> None:
    one, other = log(a), log(b)
    assert len(one) == len(other) == lines
    assert one[0].keys() >= {"pose", "confidence", "heatmap", "total"}
    for x, y in zip(one, other):
        assert x.keys() == y.keys() >= {"action", "total"} or x["step"] == 1
        for name in x.keys() - {"stage", "steps_per_s"}:
            assert x[name] == pytest.approx(y[name], rel=2e-4, abs=2e-6), (name, x, y)


def same_weights(a: Path, b: Path) -> None:
    other = weights.load(b).model.state_dict()
    for name, value in weights.load(a).model.state_dict().items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-5, msg=name)


def in_two_processes(work: Callable[..., None], *args: Any) -> None:
    """Run `work(rank, *args)` in two new interpreters of one group; both must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_begin, args=(rank, port, work, *args), daemon=True)
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    ended = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert ended == [0, 0]


def _begin(rank: int, port: int, work: Callable[..., None], *args: Any) -> None:
    faulthandler.dump_traceback_later(180)  # where it hangs, if it does
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        WORLD_SIZE="2",
        LOCAL_RANK=str(rank),
        NODE_RANK="0",
    )
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        patch.setattr(torch.distributed, "destroy_process_group", lambda *_: None)
        work(rank, *args)


@contextlib.contextmanager
def breaks_at(step: int) -> Iterator[None]:
    """Ctrl-C at a step of a stage."""
    whole = StageRun.step

    def breaks(self: StageRun, batch: Any, number: int) -> Any:
        if number == step:
            raise KeyboardInterrupt
        return whole(self, batch, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StageRun, "step", breaks)
        yield


@contextlib.contextmanager
def always_worse() -> Iterator[None]:
    """Every check on held-out data finds a greater loss than the one before."""
    losses = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "held_out_loss", lambda *_, **__: float(next(losses)))
        yield


# ------------------------------------------------------------------------------- one process


def test_shares_make_up_the_batch() -> None:
    parts = [Part("a", RECORDS, 5), Part("b", RECORDS, 1, frames=3)]
    batches = Batches(parts, PA17, size=(32, 32), seed=1)
    whole = batches[4]
    shares = [Share(batches, rank, 3)[4] for rank in range(3)]
    assert [list(share) for share in shares] == [["a", "b"], ["a"], ["a"]]
    for rank, share in enumerate(shares):
        for key, value in whole["a"].items():
            torch.testing.assert_close(share["a"][key], value[rank::3], equal_nan=True)  # type: ignore[literal-required]
    named = batches.names(4)
    assert [len(named["a"]), len(named["b"])] == [5, 1]
    assert named["a"][2] == f"record {(i := batches.record_index(0, 22))}: r{i}"


@pytest.mark.parametrize("pose_loss", ["elastic_net", "text", "released"])
def test_micro_batches_add_up_to_the_batch(tiny: SPNet, pose_loss: Any) -> None:
    """Losses and gradients, though every portion lacks other labels or whole parts."""
    stage = replace(STAGE, pose_loss=pose_loss)
    tiny_model = SPNet(replace(tiny.config, actions=(2,))).eval()
    objective = Objective(tiny_model)
    parts = open_parts(MIX, 1.0, 1)
    batch = AlternatingBatches(MIX, parts, PA17, size=(64, 64), seed=2)[0]
    expected = objective(batch, stage, 0.0)
    expected["total"].backward()
    gradients = {
        name: p.grad.clone() for name, p in tiny_model.named_parameters() if p.grad is not None
    }
    for number in (2, 4, 9):
        portions = micro_batches(batch, number)
        assert len(portions) == min(number, 5) and set(portions[0]) == set(batch)
        tiny_model.zero_grad()
        whole, sums = objective.counts(batch, stage), dict.fromkeys(expected, 0.0)
        for portion in portions:
            values = objective(portion, stage, 0.0, whole)
            values["total"].backward()
            sums = {name: total + float(values[name].detach()) for name, total in sums.items()}
        assert sums == pytest.approx({k: float(v.detach()) for k, v in expected.items()}, rel=1e-5)
        for name, p in tiny_model.named_parameters():
            if name in gradients:
                assert p.grad is not None
                torch.testing.assert_close(p.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=name)


def test_accumulation_is_one_big_batch(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    config = small(tiny_config)
    big = loop.fit(config, tmp_path / "big", workers=1)
    stage = replace(STAGE, accumulate=3)
    portioned = loop.fit(replace(config, stages=(stage,)), tmp_path / "portioned", workers=1)
    same_curve(tmp_path / "big", tmp_path / "portioned")
    same_weights(big, portioned)


def test_one_process_has_nothing_to_shard(tiny_config: SPNetConfig) -> None:
    fabric = open_fabric(small(tiny_config, strategy="fsdp"))
    model = SPNet(tiny_config)
    shard(fabric, model)
    assert fabric.world_size == 1 and not any(isinstance(p, DTensor) for p in model.parameters())
    with pytest.raises(ValueError, match="strategy fsdp trains with precision"):
        small(tiny_config, strategy="fsdp", precision="16-mixed")


def test_without_gpus_batch_normalisation_is_not_synchronised(tiny_config: SPNetConfig) -> None:
    with pytest.raises(ValueError, match="sync_batchnorm needs GPUs"):
        open_fabric(small(tiny_config, sync_batchnorm=True))
    model: Any = nn.SyncBatchNorm.convert_sync_batchnorm(SPNet(tiny_config))
    assert model.state_dict().keys() == SPNet(tiny_config).state_dict().keys()
    freeze(model, replace(STAGE, trains="actions", mix=MIX[1:2]))
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.SyncBatchNorm)}
    assert {n: m.track_running_stats for n, m in norms.items()} == {
        n: n.startswith("act") or ".action_r0." in n for n in norms
    }


# ------------------------------------------------------------------------------- two processes


def test_two_processes_are_one(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """Loss curve, weights, checks on held-out data and scores; and a run of two goes on as one."""
    one = small(tiny_config)
    two = replace(one, devices=2)
    alone = loop.fit(one, tmp_path / "one", workers=1)
    scores, loss = _scores_and_loss(alone, open_fabric(one))
    in_two_processes(_one_of_two, tmp_path, two, scores, loss)
    same_curve(tmp_path / "one", tmp_path / "two")
    same_weights(alone, tmp_path / "two" / "weights.safetensors")
    same_weights(tmp_path / "one" / "best.safetensors", tmp_path / "two" / "best.safetensors")
    assert len(log(tmp_path / "broken")) == 3
    resumed = loop.fit(one, tmp_path / "broken", resume=True, workers=1)
    same_curve(tmp_path / "one", tmp_path / "broken")
    same_weights(alone, resumed)


def _scores_and_loss(path: Path, fabric: Any) -> tuple[dict[str, Any], float]:
    model, card = weights.load(path)
    held = AlternatingBatches(HELD_OUT, open_parts(HELD_OUT, 1.0, 1), PA17, size=(64, 64))
    loss = held_out_loss(Objective(model), held, STAGE, fabric)
    return score_records(model, card, RECORDS, fabric), loss


def _one_of_two(
    rank: int, folder: Path, config: Config, scores: dict[str, Any], loss: float
) -> None:
    loop.fit(config, folder / "two", workers=1)
    fabric = open_fabric(config)
    assert fabric.world_size == 2 and fabric.global_rank == rank
    for number in (0, 1, 7):  # none, only in the first, one more there
        rows = torch.arange(number)[rank::2, None].double()
        assert sorted(gather(fabric, rows).flatten().tolist()) == list(range(number))
    found = _scores_and_loss(folder / "one" / "weights.safetensors", fabric)
    assert found[0] == pytest.approx(scores, rel=1e-6)
    assert found[1] == pytest.approx(loss, rel=1e-6)
    with breaks_at(3), pytest.raises(KeyboardInterrupt):
        loop.fit(config, folder / "broken", workers=1)
    too_many = replace(config, stages=(replace(STAGE, mix=MIX[2:]),))
    with pytest.raises(ValueError, match="2 processes share a batch .* 1 samples"):
        loop.fit(too_many, folder / f"too many {rank}", workers=1)


def shards_are_exact(fabric: Any, tiny_config: SPNetConfig) -> None:
    """What is filled into a sharded network comes out whole; each process holds half of it."""
    model, other = SPNet(tiny_config), SPNet(tiny_config).state_dict()
    for value in other.values():  # the same in both processes, whatever their generators say
        value.copy_(torch.arange(value.numel()).view(value.shape))
    count = sum(p.numel() for p in model.parameters())
    shard(fabric, model)
    fill(model, other)
    held = sum(cast(DTensor, p).to_local().numel() for p in model.parameters())
    assert 0.45 * count < held < 0.55 * count
    found = whole_state(model)
    assert found.keys() == other.keys()
    assert all(torch.equal(found[name], value) for name, value in other.items())


def only_the_first_speaks(path: Path) -> None:
    """The final path and the message of a stop, by the command line, of a run that has ended."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert main(["train", "--resume", str(path.parent)]) == 0

        def stops(*_: Any, **__: Any) -> None:
            raise Stopped("stopped after step 3")

        loop.fit = stops
        assert main(["train", "--resume", str(path.parent)]) == 130
    first = torch.distributed.get_rank() == 0
    assert (str(path) in said.getvalue()) == first
    assert ("stopped after step 3" in said.getvalue()) == first


def test_sharded_processes_are_one(tiny_config: SPNetConfig, tmp_path: Path) -> None:
    """FSDP: the same curve and weights, and whole checkpoints: runs go on as one, or sharded.

    Batches of stills and of clips alternate, so that momentum must leave the heads alone in every
    other step; of three micro-batches the second process has two, and no clip of the part `lonely`.
    """
    mix = (MIX[0], replace(MIX[1], batch=1), replace(MIX[2], batch=1))
    stage = replace(STAGE, mix=mix, accumulate=3, weight_decay=0.01)
    one = small(tiny_config, stages=(stage,), log_every=2)
    two = replace(one, devices=2, strategy="fsdp")
    alone = loop.fit(one, tmp_path / "one", workers=1)
    poses = replace(stage, steps=3, check_every=1, early_stop=1)  # of three the first is the best
    cached = replace(STAGE, mix=MIX[1:2], trains="actions", cached=5, steps=3, validation=())
    heads = replace(one, stages=(poses, cached), log_every=1, clip_gradient=0.0)
    with always_worse():
        of_heads = loop.fit(heads, tmp_path / "heads", workers=1)
    for name in ("begun", "sharded"):
        with breaks_at(4), pytest.raises(KeyboardInterrupt):
            loop.fit(one, tmp_path / name, workers=1)
    two_heads = replace(heads, devices=2, strategy="fsdp")
    in_two_processes(_one_of_two_sharded, tmp_path, two, two_heads, tiny_config)
    same_curve(tmp_path / "heads", tmp_path / "two heads", lines=5)
    same_weights(of_heads, tmp_path / "two heads/weights.safetensors")
    one_s, sharded = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("begun", "broken")
    )
    for kind in ("model", "average", "optimizer"):
        torch.testing.assert_close(sharded[kind], one_s[kind], rtol=1e-3, atol=1e-5)
    for name in ("broken", "sharded"):
        path = loop.fit(one, tmp_path / name, resume=True, workers=1)
        same_curve(tmp_path / "one", tmp_path / name, lines=3)
        same_weights(alone, path)
        same_weights(tmp_path / "one/best.safetensors", tmp_path / name / "best.safetensors")


def _one_of_two_sharded(
    rank: int, folder: Path, config: Config, heads: Config, tiny_config: SPNetConfig
) -> None:
    with breaks_at(4), pytest.raises(KeyboardInterrupt):
        loop.fit(config, folder / "broken", workers=1)
    path = loop.fit(config, folder / "sharded", resume=True, workers=1)
    with always_worse():
        loop.fit(heads, folder / "two heads", workers=1)
    shards_are_exact(open_fabric(config), tiny_config)
    only_the_first_speaks(path)
