from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from poseact.cli.terminal import Terminal
from poseact.evaluate import demo
from poseact.models import weights
from poseact.models.spnet import SPNet
from poseact.people.motions import ACTIONS
from poseact.results.jsonl import read_jsonl


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STEPS", (("walk", 0.4), ("squat", 0.4)))
    monkeypatch.setattr(demo, "SIZE", (96, 128))
    monkeypatch.setattr(demo, "FPS", 10.0)


def test_the_clip_holds_the_actions_and_the_person(short: None) -> None:
    clip = demo.render(3)
    assert clip.frames.shape == (8, 96, 128, 3)
    assert {ACTIONS[a] for a in clip.actions} == {"walk", "squat"}
    assert clip.inside.all()
    assert np.array_equal(clip.xy, demo.render(3).xy)


def test_demo_leaves_files_to_open(
    short: None,
    tiny: SPNet,
    tiny_card: weights.Card,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = replace(tiny_card, config=asdict(tiny.config))
    path = weights.save(tmp_path / "tiny.safetensors", tiny, card)
    files = demo.demo(tmp_path / "out", weights=str(path), seed=3, console=Terminal())
    assert all(file.stat().st_size > 0 for file in files)
    assert {file.suffix for file in files} == {".mp4", ".jsonl", ".html", ".png"}
    header, results = read_jsonl(tmp_path / "out/predicted/rendered_person.jsonl")
    assert len(results) == 8 and header.labels == card.labels[0]
    said = capsys.readouterr().out
    assert "pyramid 1 level 1" in said and "pyramid 2 level 0" in said
