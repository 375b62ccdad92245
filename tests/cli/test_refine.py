"""`poseact refine`: a refined file, its forms, a drawn video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseact.cli.app import main
from poseact.results.jsonl import ResultsWriter, read_jsonl
from small_media import clip
from small_results import HEADER, moving


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    frames, _ = moving([("walk", 1.0)])
    path = tmp_path / "walk.jsonl"
    fields = vars(HEADER) | {
        "labels": frames[0].labels,
        "layout": frames[0].people[0].layout,
        "size": (64, 48),
    }
    with ResultsWriter(path, **fields) as out:
        for result in frames:
            out.write(result)
    return path


def test_forms_and_a_video_are_written_and_the_rest_stays(walk: Path, tmp_path: Path) -> None:
    video = clip(tmp_path / "walk.mp4", frames=12, size=(64, 48))
    out = tmp_path / "out" / "again.jsonl"
    args = ["refine", walk, "-o", out, "--constant-bones", "--gaps", "0.2", "--trc", "--csv"]
    assert main([*map(str, args), "--draw", str(video)]) == 0
    names = {path.name for path in out.parent.iterdir()}
    assert names == {"again.jsonl", "again.trc", "again.csv", "again.mp4"}
    before, after = read_jsonl(walk), read_jsonl(out)
    assert before[0] == after[0]
    assert [(r.index, r.time_s, len(r.people)) for r in before[1]] == [
        (r.index, r.time_s, len(r.people)) for r in after[1]
    ]
    moved = [np.abs(a.people[0].xy - b.people[0].xy).max() for a, b in zip(before[1], after[1])]
    assert 0 < max(moved) < 30


def test_without_a_filter_the_file_is_the_same(walk: Path, tmp_path: Path) -> None:
    out = tmp_path / "same.jsonl"
    assert main(["refine", str(walk), "-o", str(out), "--filter", "none"]) == 0
    assert out.read_text() == walk.read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-o", "{}/walk.jsonl"), "would overwrite its own input"),
        (("-o", "{}/a.csv"), "NAME.jsonl"),
        (("-o", "{}/a.jsonl", "--cutoff", "0"), "cut-off"),
        (("-o", "{}/a.jsonl", "--gaps", "-1"), "--gaps"),
        (("-o", "{}/a.jsonl", "--draw", "{}/other.mp4"), "the results are of"),
    ],
)
def test_wrong_wishes_end_in_one_line(
    walk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: tuple, words: str
) -> None:
    clip(tmp_path / "other.mp4", frames=3, size=(32, 32))
    before = {path.name for path in tmp_path.iterdir()}
    assert main(["refine", str(walk), *(arg.format(tmp_path) for arg in args)]) == 2
    assert words in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_form_that_fails_leaves_nothing(
    walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "walk.trc")

    monkeypatch.setattr("poseact.inference.jobs.write_trc", full)
    args = ["refine", str(walk), "-o", str(tmp_path / "new" / "again.jsonl"), "--trc", "--csv"]
    assert main(args) == 2
    assert not (tmp_path / "new").exists()
