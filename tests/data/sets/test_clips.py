"""Real clips with action names: classes, rates, boxes between frames, splits by person."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from poseact.data.sets import clips
from poseact.data.sets.clips import LABELS
from poseact.media.video import VideoWriter

COLUMNS = ("file", "action", "person", "segments")


def film(path: Path, frames: int, fps: float = 24) -> None:
    """Frame t has the grey level 5 t."""
    with VideoWriter(path, fps=fps, size=(64, 48)) as writer:
        for t in range(frames):
            writer.write(np.full((48, 64, 3), min(5 * t, 255), np.uint8))


def listed(folder: Path, *rows: tuple[str, str, str, str], frames: int = 48) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "clips.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        lines.writerows(rows)
    for name, *_ in rows:
        film(folder / name, frames)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    people = [f"p{i}" for i in range(8)]
    rows = [(f"{p}_wave.mp4", "wave_one_hand", p, "") for p in people]
    rows.append(("fall.mp4", "fall", "p0", "Walking 0.0-0.5;Falling (BW) 0.5-1.5"))
    listed(tmp_path / "clips", *rows)
    folder = tmp_path / "clips" / "jhmdb"
    listed(folder, ("short.mp4", "pour", "f1", ""), ("catch.mp4", "catch", "f1", ""), frames=15)
    return tmp_path / "clips"


def test_names_become_classes_and_unclear_ones_are_left_out(root: Path) -> None:
    records = clips.load(root, "all")
    found = {r.source: LABELS[r.action] for r in records if r.action is not None}
    assert found["clips/p0_wave.mp4"] == "wave" and found["clips/fall.mp4"] == "fall"
    assert found["clips/short.mp4"] == "none" and "clips/catch.mp4" not in found
    assert len(clips.load(root, "all", source="jhmdb")) == 1


def test_about_eight_frames_a_second_if_that_leaves_eight(root: Path) -> None:
    records = {r.source: r for r in clips.load(root, "all")}
    assert len(records["clips/p0_wave.mp4"]) == 16  # two seconds
    assert len(records["clips/short.mp4"]) == 15  # every frame, too short to leave one out
    wave = records["clips/p0_wave.mp4"]
    assert wave.frame is not None and abs(int(wave.frame(2)[24, 32, 0]) - 30) <= 3


def test_only_the_fall_of_a_fall(root: Path) -> None:
    fall = next(r for r in clips.load(root, "all") if r.source.endswith("fall.mp4"))
    assert fall.frame is not None and abs(int(fall.frame(0)[24, 32, 0]) - 60) <= 3


def test_splits_are_by_person(root: Path) -> None:
    train, val = (clips.load(root, s, source="clips") for s in ("train", "val"))
    assert not {r.subject for r in train} & {r.subject for r in val}
    assert len(train) + len(val) == len(clips.load(root, "all", source="clips"))


def test_boxes_go_straight_between_the_frames_that_have_one(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("clip,frame,x0,y0,x1,y1\np0_wave.mp4,0,0,0,10,20\np0_wave.mp4,30,30,0,40,20\n")
    (record,) = clips.load(root, "all", boxes=str(path))
    assert record.box is not None and record.box[1].tolist() == [3, 0, 13, 20]
    assert record.box[-1].tolist() == [30, 0, 40, 20]


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no boxes at .*nowhere\.csv"):
        clips.load(root, boxes="nowhere.csv")
    with pytest.raises(ValueError, match="splits are"):
        clips.load(root, "test")
    with pytest.raises(FileNotFoundError, match=r"no clips\.csv"):
        clips.load(root / "jhmdb")
