"""`poseact predict` on many files: -j and --resume."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.cli.app import main
from poseact.inference.fleet import LEDGER
from poseact.media.pictures import write_image
from poseact.models.spnet import SPNet
from poseact.models.weights import Card, save
from tests.conftest import small_spnet


@pytest.fixture
def args(tmp_path: Path) -> list[str]:
    """Of a command on three pictures and a broken one."""
    torch.manual_seed(0)
    config = small_spnet(2)
    labels = (("sit", "stand"),)
    card = Card(asdict(config), "PA17", labels, (32, 32), frames=4, fps=10.0)
    weights = save(tmp_path / "tiny.safetensors", SPNet(config), card)
    rng = np.random.default_rng(0)
    for name in "abc":
        write_image(tmp_path / "in" / f"{name}.png", rng.integers(0, 255, (40, 40, 3), np.uint8))
    (tmp_path / "in" / "d.png").write_bytes(b"no picture")
    found = ["predict", tmp_path / "in", "-o", tmp_path / "out", "--weights", weights]
    return [*map(str, found), "--detector", "none", "--no-video"]


def test_what_is_finished_is_left_out(
    args: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*args, "--resume"]) == 2  # the broken one
    assert {p.name for p in out.iterdir()} == {"a.jsonl", "b.jsonl", "c.jsonl", LEDGER}
    times = {p.name: p.stat().st_mtime_ns for p in out.glob("*.jsonl") if p.name != LEDGER}
    (out / "b.jsonl").unlink()
    capsys.readouterr()
    assert main([*args, "--resume"]) == 2
    said = capsys.readouterr()
    assert "2 inputs are finished already, 2 are not" in said.out and "1 of 2" in said.err
    kept = {p.name for p in out.glob("?.jsonl") if times[p.name] == p.stat().st_mtime_ns}
    assert kept == {"a.jsonl", "c.jsonl"}
    (tmp_path / "in" / "d.png").unlink()
    assert main([*args, "--resume"]) == 0
    assert main([*args, "--resume", "--flip"]) == 0  # other settings: all again
    assert all(times[p.name] != p.stat().st_mtime_ns for p in out.glob("?.jsonl"))


def test_several_processes_write_the_same(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(args) == 2
    out = tmp_path / "out"
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    for path in out.iterdir():
        path.unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert main([*args, "-j", "2"]) == 2
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert main([*args, "-j", "0"]) == 2
