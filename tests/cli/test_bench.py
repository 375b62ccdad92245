"""`poseact bench`: rows for every network, runtime and batch; stages of a video; JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poseact.cli import main
from small_media import clip


def test_rows_and_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, out = clip(tmp_path / "a.mp4", frames=4), tmp_path / "a.json"
    args = ["bench", str(video), "--weights", "spnet-light", "--rounds", "1", "--json", str(out)]
    assert main(args) == 0
    text = capsys.readouterr().out
    for word in ("spnet-light", "torch", "decode", "encode", "poseact predict --no-video"):
        assert word in text
    found = json.loads(out.read_text())
    assert {(row["runtime"], row["batch"]) for row in found["crops"]} >= {
        ("torch", 1),
        ("torch", 8),
    }
    assert all(row["least_ms"] > 0 for row in found["crops"])
    assert len(found["stages"]) == 6 and all(s["frames_per_s"] > 0 for s in found["stages"])
    assert "runtime" in found["machine"]


def test_exits_and_bad_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--weights", "spnet-light", "--rounds", "1", "--exits"]) == 0
    assert "1 1 " in capsys.readouterr().out
    assert main(["bench", "--rounds", "0"]) == 2
    assert main(["bench", "--weights", "nonesuch", "--rounds", "1"]) == 2
    assert "no weights 'nonesuch'" in capsys.readouterr().err
