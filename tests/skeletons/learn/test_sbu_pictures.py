"""SBU as downloaded, text and pictures: through detector and lifter to SPMF sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lifter_people import people as figures
from poseact.cli.app import main
from poseact.core.camera import FOCAL
from poseact.core.geometry import box_around
from poseact.core.layouts import H36M17, PA17, SBU15, convert
from poseact.core.types import NO_TRACK, Person, Result
from poseact.data.sets import sbu
from poseact.evaluate.metrics import p_mpjpe
from poseact.inference import predictor
from poseact.media.pictures import Frame
from poseact.models.weights import load_lifter
from poseact.people.crowd import CROWD, render_crowd
from poseact.skeletons.classifier import Bank, Pictures, hold_out, open_takes
from poseact.skeletons.learn.sbu_pictures import lift_sbu
from poseact.skeletons.pipeline import in_layout

SIZE = (640, 480)
FRAMES, FIRST = 6, 278  # the files count from the camera's first frame, not from the sequence's
PAIRS = ("s01s02", "s02s03", "s01s03", "s02s01", "s04s02", "s03s04")
ALONE, BLANK = ("s03s04/02/001",), 7


def write(root: Path, name: str, people: int) -> None:
    """A sequence in the form of the download; the grey of picture t says who is in it."""
    folder = root / name
    folder.mkdir(parents=True)
    points = np.random.default_rng(0).uniform([0, 0.3, 1.2], [1, 1.2, 2.2], (FRAMES, 30, 3))
    lines = [
        ",".join([str(FIRST + t), *(f"{v:.5g}" for v in row.ravel())])
        for t, row in enumerate(points)
    ]
    (folder / "skeleton_pos.txt").write_text("\n".join(lines) + "\n")
    for t in range(FRAMES):
        grey = 50 * people + t
        picture = np.full((SIZE[1], SIZE[0], 3), grey, np.uint8)
        cv2.imwrite(str(folder / f"rgb_{FIRST + t:06d}.png"), picture)
        cv2.imwrite(str(folder / f"depth_{FIRST + t:06d}.png"), picture)


@pytest.fixture()
def root(tmp_path: Path) -> Path:
    """Sequences of every fold, one of them of somebody alone."""
    for pair in PAIRS:
        for action in (1, 2):
            name = f"{pair}/{action:02d}/001"
            write(tmp_path / "sbu", name, 1 if name in ALONE else 2)
    return tmp_path / "sbu"


class Eyes:
    """Finds two standing figures, the right one first, or one; nobody in the fourth picture."""

    layout = H36M17

    def __init__(self) -> None:
        self.seen = 0

    def video(self, source: Iterable[Frame]) -> Iterator[tuple[Frame, Result]]:
        for frame in source:
            self.seen += 1
            count, t = divmod(int(frame.rgb[0, 0, 0]), 50)
            found = () if t == 3 else tuple(self.person(k) for k in range(count))
            yield frame, Result(frame.index, frame.time_s, found)

    @staticmethod
    def person(k: int) -> Person:
        xyz = figures(1, seed=k)[0] * [1, -1, 1] + [(500.0, -500.0)[k], 0.0, 3500.0]
        xy = xyz[:, :2] / xyz[:, 2:] * FOCAL * max(SIZE) + np.array(SIZE) / 2
        return Person(xy, None, np.ones(17), box_around(xy), H36M17, NO_TRACK)


def test_pictures_become_sequences_in_the_form_of_the_download(root: Path, tmp_path: Path) -> None:
    eyes, lifter = Eyes(), load_lifter("lifter").model
    done = lift_sbu(root, tmp_path / "lifted", eyes, lifter)
    assert done.written == 11 and done.there == 0
    assert done.left_out == tuple(f"sbu/{name}" for name in ALONE)
    assert eyes.seen == 12 * FRAMES
    again = lift_sbu(root, tmp_path / "lifted", eyes, lifter)
    assert (again.written, again.there) == (0, 11) and eyes.seen == 13 * FRAMES

    left, right = (r.xyz for r in sbu.load(tmp_path / "lifted", "all")[:2])
    assert left is not None and right is not None
    hips = [SBU15.index("l_hip"), SBU15.index("r_hip")]
    for xyz, x in ((left, -500), (right, 500)):  # where the camera sees them, the left one first
        assert np.isnan(xyz[3]).all() and not np.isnan(np.delete(xyz, 3, 0)).any()
        middle = xyz[0, hips].mean(0)
        assert middle[0] / middle[2] == pytest.approx(x / 3500, abs=0.02)
        assert 2000 < middle[2] < 6000
        head, foot = xyz[0, SBU15.index("head"), 1], xyz[0, SBU15.index("l_foot"), 1]
        assert head < middle[1] < foot  # y is down
    text = (tmp_path / "lifted" / "s01s02" / "01" / "001" / "skeleton_pos.txt").read_text()
    assert [int(line.split(",")[0]) for line in text.splitlines()] == [*range(FIRST, FIRST + 6)]


def test_lifted_sequences_are_searched_in_random_folds(root: Path, tmp_path: Path) -> None:
    lift_sbu(root, tmp_path / "lifted", Eyes(), load_lifter("lifter").model)
    tested: list[str] = []
    for fold in range(1, 6):
        training, test = (
            open_takes("sbu", tmp_path / "lifted", split, fold=fold, folds="random")
            for split in ("train", "test")
        )
        assert {take.subject for take in test} == {f"fold {fold}"}
        assert {take.subject for take in training}.isdisjoint({f"fold {fold}"})
        tested += [take.source for take in test]
        held = hold_out(training, [f"fold {fold % 5 + 1}"])[1]
        assert held and not {take.source for take in held} & {take.source for take in test}
    assert len(tested) == len(set(tested)) == 11
    pictures = Bank(open_takes("sbu", tmp_path / "lifted", "train", folds="random"), Pictures())
    assert pictures.plain.shape[1:] == (3, 32, 32)
    with pytest.raises(ValueError, match="no random folds"):
        open_takes("msr3d", tmp_path, "train", folds="random")


def test_two_rendered_people_are_found_and_lifted(tmp_path: Path) -> None:
    """Nothing stands in for anything: pictures of two people, the shipped network and lifter."""
    config = replace(CROWD, preset="easy", width=640, height=480, frames=4)
    scene = render_crowd(config, 3, people=(2, 2))
    folder = tmp_path / "sbu" / "s01s02" / "03" / "001"
    write(tmp_path / "sbu", "s01s02/03/001", 2)
    for t, picture in enumerate(scene.frames):
        cv2.imwrite(str(folder / f"rgb_{FIRST + t:06d}.png"), picture[..., ::-1])
    text = folder / "skeleton_pos.txt"
    text.write_text("".join(text.read_text().splitlines(keepends=True)[:4]))
    assert main(["data", "lift", "sbu", str(tmp_path / "sbu"), "-o", str(tmp_path / "lifted")]) == 0
    (take,) = open_takes("sbu", tmp_path / "lifted", "train", fold=2)
    assert take.poses.shape == (4, 2, 15, 3) and take.subject == "s01-s02" and take.action == 2
    order = np.argsort(scene.xy[0, :, 0, 0])  # from left to right, as in the picture
    truth = convert(scene.xyz[:, order], PA17, H36M17)
    truth = in_layout(truth.astype(float), SBU15)  # T P 15 3
    for person in range(2):
        seen = np.isfinite(truth[0, person]).all(-1) & np.isfinite(take.poses[0, person]).all(-1)
        pair = take.poses[:, person, seen].astype(float), truth[:, person, seen]
        assert p_mpjpe(*pair).mean < 150  # mm
    apart = [np.diff(poses[0, :, SBU15.index("thorax"), 0])[0] for poses in (take.poses, truth)]
    assert apart[0] == pytest.approx(apart[1], rel=0.4)  # mm: what a camera that is guessed allows


def test_the_command(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(predictor, "Predictor", lambda *_, **__: Eyes())
    command = ["data", "lift", "sbu", str(root), "-o", str(tmp_path / "lifted")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "11 sequences" in out and "sbu/s03s04/02/001" in out
    next(root.rglob("rgb_000280.png")).unlink()
    assert main(command) == 2
    assert "pictures are missing" in capsys.readouterr().err
