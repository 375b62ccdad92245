"""Boxes of one's own in place of the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseact.cli.app import main
from poseact.inference.box_file import BoxFile
from poseact.inference.predictor import Predictor
from poseact.people.config import PeopleConfig
from poseact.people.scene import render_clip
from poseact.results.jsonl import read_jsonl

HEADER = "frame,x0,y0,x1,y1\n"


def table(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text(header + "".join(f"{line}\n" for line in lines))
    return path


def test_boxes_by_frame_with_and_without_scores(tmp_path: Path) -> None:
    boxes = BoxFile(table(tmp_path / "a.csv", "0,1,2,3,4", "0,5,6,7,8", "3,1,2,3,5"))
    assert boxes.at(0).boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert boxes.at(0).scores.tolist() == [1, 1]
    assert 3 in boxes and 1 not in boxes and not len(boxes.at(1).boxes)
    scored = table(tmp_path / "b.csv", "0,1,2,3,4,0.5", header="frame,x0,y0,x1,y1,score\n")
    assert BoxFile(scored).at(0).scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("0,1,2,3",), "line 2"),
        (("0,1,2,3,4", "0,1,2,x,4"), "line 3"),
        (("-1,1,2,3,4",), "0 or more"),
        (("0,3,2,1,4",), "line 2"),
        ((), "no boxes"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=f"a.csv.*{words}"):
        BoxFile(table(tmp_path / "a.csv", *lines))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the columns y1"):
        BoxFile(table(tmp_path / "a.csv", "0,1,2,3", header="frame,x0,y0,x1\n"))


def test_somebody_is_looked_for_in_the_boxes_alone(tmp_path: Path) -> None:
    clip = render_clip(PeopleConfig(frames=3, fps=8.0, height=160, width=160, margin=1.6), 5)
    wide = np.concatenate([np.full((3, 160, 160, 3), 90, np.uint8), clip.frames], 2)
    body = clip.box[1] + [160, 0, 160, 0]
    path = table(tmp_path / "a.csv", ",".join(map(str, [1, *body.round(1)])))
    session = Predictor(device="cpu", detector=BoxFile(path), action_set=None).session()
    people = [session.push(rgb, t / 8).people for t, rgb in enumerate(wide)]
    assert [len(p) for p in people] == [0, 1, 1]  # not before the first box, and then followed
    assert people[1][0].track == people[2][0].track
    assert np.abs(people[1][0].box - body).max() < 30


def test_the_command_takes_a_file_for_one_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = render_clip(PeopleConfig(frames=1, fps=8.0, height=160, width=160, margin=1.6), 5)
    from poseact.media.pictures import write_image

    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.png", clip.frames[0])
    path = table(tmp_path / "a.csv", ",".join(map(str, [0, *clip.box[0].round(1)])))
    args = ["-o", str(tmp_path / "out"), "--device", "cpu", "--detector", str(path)]
    assert main(["predict", str(tmp_path / "in" / "a.png"), *args]) == 0
    _, results = read_jsonl(tmp_path / "out" / "a.jsonl")
    assert [len(result.people) for result in results] == [1]
    assert main(["predict", str(tmp_path / "in"), *args]) == 2
    assert "boxes of one video; there are 2 inputs" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "in" / "a.png"), "--detector", "x"]) == 2
