"""One's own classes: clips at the right times and places, poses that stay, right answers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.cli.app import main, parse
from poseact.core.console import Silent
from poseact.core.geometry import iou
from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data.augment import MILD, AugmentParams
from poseact.data.dataset import make_sample
from poseact.data.sets.folder import split_of
from poseact.data.write import write_folder
from poseact.inference.predictor import Predictor
from poseact.media.pictures import read_image
from poseact.media.video import VideoReader, VideoWriter
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.spnet import SPNet
from poseact.models.weights import Card
from poseact.people import PeopleConfig, perform, render_motion
from poseact.people.scene import sample_body
from poseact.results.panels import confusion_matrix
from poseact.train.loop import Features
from poseact.train.own import clips as own_clips
from poseact.train.own.actions import (
    Report,
    Settings,
    crops,
    learn,
    sided,
    train_actions,
    with_new_heads,
)
from poseact.train.own.clips import Clip, divide, find_boxes, load_clips


class Lines(Silent):
    """A console that keeps what is said."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def say(self, line: str) -> None:
        self.lines.append(line)


LABELS = ("jumping_jack", "squat", "wave")
FPS = 12.0


def noise(length: int = 12, *, seed: int = 0, box: bool = True) -> Record:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (length, 48, 64, 3), dtype=np.uint8)
    boxes = np.array([[10.0, 5, 30, 40]]) + rng.uniform(0, 8, (length, 4))
    xy = np.full((length, 17, 2), np.nan, np.float32)
    return Record(lambda t: frames[t], xy, PA17, box=boxes if box else None, action=seed % 2)


def film(path: Path, level: int, length: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=10, size=(64, 48)) as video:
        for t in range(length):
            video.write(np.full((48, 64, 3), level + 5 * t, np.uint8))


@pytest.fixture()
def mine(tmp_path: Path) -> Path:
    """Two classes with two clips to learn from and one to be asked for."""
    root = tmp_path / "mine"
    for k, name in enumerate(("clap", "nod")):
        for part, clip in (("train", "a"), ("train", "b"), ("test", "c")):
            film(root / part / name / f"{clip}.mp4", 40 + 100 * k)
    return root


@pytest.fixture()
def base(tiny: SPNet, tiny_card: Card, tmp_path: Path) -> Path:
    return weights.save(tmp_path / "tiny.safetensors", tiny, tiny_card)


# ------------------------------------------------------------------------------- clips


class TestWindows:
    def clip(self, fps: float, length: int) -> Clip:
        return Clip("a", "train", noise(length), fps)

    def test_frames_come_at_the_rate_of_the_card(self, tiny_card: Card) -> None:
        clip = self.clip(25.0, 50)
        assert clip.frames(tiny_card, 0.0) == [0, 3, 6, 9, 12, 16, 19, 22]  # every 3.125th
        assert clip.frames(tiny_card, 1.0) == [25, 28, 31, 34, 38, 41, 44, 47]
        assert clip.room_s(tiny_card) == pytest.approx(49 / 25 - 7 / 8)

    def test_a_slow_video_repeats_frames(self, tiny_card: Card) -> None:
        assert self.clip(4.0, 9).frames(tiny_card, 0.0) == [0, 0, 1, 2, 2, 2, 3, 4]

    def test_in_a_short_video_the_first_frame_stands_in(self, tiny_card: Card) -> None:
        clip = self.clip(8.0, 3)
        assert clip.frames(tiny_card, clip.room_s(tiny_card)) == [0, 0, 0, 0, 0, 0, 1, 2]


@pytest.mark.parametrize("box", [True, False])
def test_crops_are_those_of_make_sample(tiny_card: Card, box: bool) -> None:
    record = noise(box=box)
    windows = [[0, 1, 2, 3, 4, 5, 6, 7], [3, 3, 4, 4, 5, 5, 6, 11]]
    chosen = [MILD.sample(np.random.default_rng(1)), AugmentParams(flip=True)]
    seen = crops(Clip("a", "train", record, FPS), windows, tiny_card, chosen)
    for n, (window, params) in enumerate(zip(windows, chosen)):
        sample = make_sample(
            record,
            PA17,
            size=tiny_card.size,
            frames=window,
            params=params,
            margin=tiny_card.margin,
        )
        torch.testing.assert_close(seen[n], sample["frames"], rtol=0, atol=0)


def test_a_frame_without_a_box_takes_the_nearest(tiny_card: Card) -> None:
    record = noise()
    assert record.box is not None
    gappy = np.full((12, 4), np.nan)
    gappy[[2, 9]] = record.box[[2, 9]]
    full = np.stack([record.box[2]] * 6 + [record.box[9]] * 6)
    for window in ([0, 1, 2, 3, 4, 4, 5, 5], [7, 7, 8, 8, 9, 10, 11, 11]):
        a, b = (
            crops(
                Clip("a", "train", replace(record, box=box), FPS),
                [window],
                tiny_card,
                [AugmentParams()],
            )
            for box in (gappy, full)
        )
        assert torch.equal(a, b)


class TestDivide:
    def test_by_folders(self, mine: Path) -> None:
        film(mine / "val" / "nod" / "d.mp4", 10)
        lines: list[str] = []
        clips = load_clips(mine, fps=25)
        train, held_out = divide(mine, clips, ("clap", "nod"), console=Lines(lines))
        assert [c.name for c in held_out] == ["test/clap/c.mp4", "test/nod/c.mp4"]
        assert len(train) == 4 and all(c.fps == 10 for c in train)
        assert lines == ["few clips to learn from: clap 2, nod 2; 10 or more of a class are better"]

    def test_by_names_as_the_reader_has_it(self, tmp_path: Path) -> None:
        for name in ("clap", "nod"):
            for i in range(12):
                film(tmp_path / name / f"{i}.mp4", 50, length=1)
        train, held_out = divide(tmp_path, load_clips(tmp_path, fps=25), ("clap", "nod"))
        assert len(train) + len(held_out) == 24
        for clips, splits in ((train, {"train"}), (held_out, {"val", "test"})):
            assert {split_of(c.name.removesuffix(".mp4")) for c in clips} <= splits

    def test_a_class_that_is_only_held_out(self, tmp_path: Path) -> None:
        held_out = next(i for i in range(99) if split_of(f"nod/{i}") != "train")
        film(tmp_path / "nod" / f"{held_out}.mp4", 50)
        for i in range(5):
            film(tmp_path / "clap" / f"{i}.mp4", 50, length=1)
        with pytest.raises(ValueError, match="no clip of nod to learn from"):
            divide(tmp_path, load_clips(tmp_path, fps=25), ("clap", "nod"))


def test_boxes_are_kept_found_and_corrected(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given boxes win, what is in the file is not sought again, what is gone is dropped."""
    sought: list[str] = []

    def follow(_: object, clip: Clip) -> dict[int, np.ndarray]:
        sought.append(clip.name)
        return {} if "nod/b" in clip.name else {0: np.array([1.0, 2, 30, 40]), 4: np.arange(4.0)}

    monkeypatch.setattr(own_clips, "follow", follow)
    given = tmp_path / "given.csv"
    given.write_text("clip,x0,y0,x1,y1\ntrain/clap/a.mp4,5,6,7,8\n")
    path, lines = tmp_path / "boxes.csv", []
    predictor = Predictor("spnet-s")
    unseen = find_boxes(
        predictor, load_clips(mine, fps=25, boxes=given), path, console=Lines(lines)
    )
    assert unseen == ["train/nod/b.mp4"] and unseen[0] in lines[1]
    assert len(sought) == 5 and "train/clap/a.mp4" not in sought
    found = {c.name: c.record.box for c in load_clips(mine, fps=25, boxes=path)}
    a, b = found["train/clap/a.mp4"], found["train/clap/b.mp4"]
    assert a is not None and (a == [5, 6, 7, 8]).all() and found["train/nod/b.mp4"] is None
    assert b is not None and b[0].tolist() == [1, 2, 30, 40] and np.isnan(b[1:4]).all()

    path.write_text(path.read_text().replace("train/clap/b.mp4,0,1.0", "train/clap/b.mp4,0,9.0"))
    (mine / "test" / "clap" / "c.mp4").unlink()
    sought.clear()
    find_boxes(predictor, load_clips(mine, fps=25), path, console=Lines(lines))
    assert sought == ["train/nod/b.mp4"]
    found = {c.name: c.record.box for c in load_clips(mine, fps=25, boxes=path)}
    b = found["train/clap/b.mp4"]
    assert b is not None and b[0, 0] == 9 and "test/clap/c.mp4" not in path.read_text()


# ------------------------------------------------------------------------------- heads


def test_new_heads_learn_and_nothing_else_changes(tiny: SPNet) -> None:
    """Three classes told apart by one coordinate; the pose part keeps every bit."""
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    model = with_new_heads(tiny, 3)
    assert model.config.actions == (3,)
    frames = torch.rand(8, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        features = tuple(c[None].expand(48, *c.shape).clone() for c in tiny.frames(frames).features)
    target = torch.arange(48) % 3
    features[0][..., 0] += 0.5 * (target[:, None, None] - 1)
    learn(model, Features(features, target), Settings("", steps=40, lr=1e-2))
    with torch.no_grad():
        answer = model.actions(features)[-1][0].argmax(-1)
    assert (answer == target).float().mean() > 0.9
    after = model.state_dict()
    same = {n for n, value in after.items() if value.shape == before[n].shape}
    changed = {n for n in after if n not in same or not torch.equal(after[n], before[n])}
    assert len(same) < len(after) and all(".act" in f".{name}" for name in changed)
    for a, b in zip(channels_last(tiny).frames(frames).poses, model.frames(frames).poses):
        assert torch.equal(a, b)


def test_classes_with_a_side_are_not_mirrored() -> None:
    assert sided(["wave_left", "clap"]) and sided(["LiftRight"]) and sided(["RIGHT hook"])
    assert not sided(["bright", "cleft", "upright_row"])


# ------------------------------------------------------------------------------- the report


def test_the_report_by_hand(tmp_path: Path) -> None:
    answers = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.7, 0.2], [0, 0.4, 0.6]])
    report = Report(
        labels=("a", "b", "c"),
        trained=(5, 6, 7),
        names=("a/1", "a/2", "b/3", "b/4"),
        truth=np.array([0, 0, 1, 1]),
        answers=answers,
        unseen=(),
        seconds=1.0,
    )
    report.write(tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["accuracy"] == 0.5 and found["confusion"] == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert found["classes"]["b"] == {"trained": 6, "held_out": 2, "right": 1, "accuracy": 0.5}
    assert found["classes"]["c"]["accuracy"] is None
    rows = list(csv.reader((tmp_path / "answers.csv").read_text().splitlines()))
    assert rows[2] == ["a/2", "a", "b", "0.2", "0.8", "0.0"]
    rows = list(csv.reader((tmp_path / "confusion.csv").read_text().splitlines()))
    assert rows[1:] == [["a", "1", "1", "0"], ["b", "0", "1", "1"], ["c", "0", "0", "0"]]
    assert report.lines()[-1] == "held-out accuracy: 50.0% of 4"


def test_the_picture_of_a_confusion() -> None:
    """Rows are true classes: planting one error lights the cell to the right of the diagonal."""
    rgb = confusion_matrix(np.array([[3, 1], [0, 4]]), ("wave", "a name that is much too long"))
    side, low = 64, rgb.shape[0] - 2 * 64 - 13
    left = rgb.shape[1] - 2 * side - 13

    def light(row: int, column: int) -> float:
        return float(rgb[low + row * side + 4, left + column * side + 4].mean())

    assert light(1, 1) > light(0, 0) > light(0, 1) > light(1, 0)
    with pytest.raises(ValueError, match=r"\(2, 2\) counts"):
        confusion_matrix(np.eye(3), ("a", "b"))


# ------------------------------------------------------------------------------- the command


def test_the_command_stands_beside_the_recipes() -> None:
    command = parse(["train", "actions", "--data", "folder", "--root", "mine", "-o", "RUN"])
    assert (str(command.root), str(command.out), command.mirror) == ("mine", "RUN", True)
    assert not parse(["train", "actions", "--root", "a", "-o", "b", "--no-mirror"]).mirror
    other = parse(["train", "spnet_s", "-o", "run", "--seed", "3"])
    assert other.recipe == "spnet_s" and other.overrides == ("--seed", "3")


def refused(capsys: pytest.CaptureFixture[str], *args: object, words: str) -> None:
    assert main(["train", "actions", *map(str, args)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error


def test_errors_are_one_line(
    mine: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ("-o", tmp_path / "run", "--weights", base)
    (tmp_path / "empty").mkdir()
    refused(capsys, "--root", tmp_path / "empty", *run, words="root/CLASS/*.mp4")
    refused(capsys, "--root", tmp_path / "none", *run, words="no such folder")
    film(tmp_path / "one" / "clap" / "a.mp4", 9)
    refused(capsys, "--root", tmp_path / "one", *run, words="one class only, clap")
    (mine / "train" / "jump").mkdir()
    refused(capsys, "--root", mine, *run, words="jump: a class without a clip")
    (mine / "train" / "jump").rmdir()
    refused(capsys, "--root", mine, *run, "--steps", 0, words="steps 1 or more")
    (mine / "train" / "nod" / "b.mp4").write_bytes(b"no video")
    refused(capsys, "--root", mine, *run, words="nod/b.mp4: not a video")
    assert not (tmp_path / "run").exists()


def test_weights_without_heads_are_refused(
    mine: Path, tiny: SPNet, tiny_card: Card, tmp_path: Path
) -> None:
    pose = SPNet(replace(tiny.config, actions=(), action_pyramids=()))
    card = replace(tiny_card, labels=(), config={**tiny_card.config, "actions": (),
                                                 "action_pyramids": ()})  # fmt: skip
    path = weights.save(tmp_path / "pose.safetensors", pose, card)
    with pytest.raises(ValueError, match="no action heads"):
        train_actions(Settings(str(mine), weights=str(path)), tmp_path / "run")


def test_again_is_the_same_and_elsewhere_is_refused(mine: Path, base: Path, tmp_path: Path) -> None:
    """A rerun with nobody seen and one given box gives the same weights, bit for bit."""
    given = tmp_path / "given.csv"
    given.write_text("clip,x0,y0,x1,y1\n" + "".join(
        f"{part}/{name}/{clip}.mp4,10,4,40,40\n"
        for part, clip in (("train", "a"), ("train", "b"), ("test", "c"))
        for name in ("clap", "nod")
    ))  # fmt: skip
    settings = Settings(str(mine), weights=str(base), boxes=str(given), passes=2, steps=4)
    run, lines = tmp_path / "run", []
    train_actions(settings, run, console=Lines(lines))
    first = (run / "weights.safetensors").read_bytes()
    report = train_actions(replace(settings, boxes=None), run, console=Lines(lines))
    assert (run / "weights.safetensors").read_bytes() == first
    assert report.trained == (2, 2) and report.names == ("test/clap/c.mp4", "test/nod/c.mp4")
    train_actions(replace(settings, seed=1), run, console=Lines(lines))
    assert (run / "weights.safetensors").read_bytes() != first
    mine.rename(tmp_path / "other")
    with pytest.raises(ValueError, match="holds another run"):
        train_actions(replace(settings, root=str(tmp_path / "other")), run, console=Lines(lines))


# ------------------------------------------------------------------------------- real learning


def rendered(action: str, number: int, split: str) -> Record:
    """A second of a person who does something, in a small picture."""
    config = PeopleConfig(
        height=112, width=128, fps=FPS, preset="easy", supersample=1,
        split="train" if split == "train" else "test",
    )  # fmt: skip
    rng = np.random.default_rng([LABELS.index(action), number])
    body = sample_body(config, rng)
    motion = perform(action, rng, frames=13, fps=FPS, offsets=body.offsets)
    clip = render_motion(motion, config, rng, body=body)
    return Record(
        lambda t: clip.frames[t], clip.xy, PA17, box=clip.box, action=LABELS.index(action)
    )


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """Real mp4 files of rendered people, and where the person is in each (the whole clip's box)."""
    root = tmp_path_factory.mktemp("own") / "mine"
    splits = {
        split: [rendered(name, number, split) for name in LABELS for number in numbers]
        for split, numbers in (("train", range(5)), ("test", range(5, 8)))
    }
    write_folder(splits, root, labels=LABELS, fps=FPS)
    boxes, number = {}, 0
    for split, records in splits.items():
        for r in records:
            assert r.box is not None and r.action is not None
            name = f"{split}/{LABELS[r.action]}/clip_{number:05d}.mp4"
            boxes[name] = np.concatenate([r.box[:, :2].min(0), r.box[:, 2:].max(0)])
            number += 1
    return root, boxes


def test_three_classes_of_rendered_people(
    people: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """The whole way: accuracy, files, poses that stay, and `predict` after it."""
    root, boxes = people
    given = tmp_path / "given.csv"
    searched = "test/squat/clip_00018.mp4"
    rows = (f"{name},{','.join(map(str, b))}\n" for name, b in boxes.items() if name != searched)
    given.write_text("clip,x0,y0,x1,y1\n" + "".join(rows))
    run, lines = tmp_path / "run", []
    settings = Settings(str(root), boxes=str(given), passes=3, steps=40)
    report = train_actions(settings, run, console=Lines(lines))
    assert report.labels == LABELS and report.trained == (5, 5, 5) and report.unseen == ()
    assert len(report.truth) == 9 and report.accuracy >= 7 / 9  # chance is 1 / 3

    files = {"weights.safetensors", "boxes.csv", "report.json", "config.json", "answers.csv"}
    assert {p.name for p in run.iterdir()} == files | {"confusion.png", "confusion.csv"}
    assert read_image(run / "confusion.png").shape[2] == 3
    found = {c.name: c.record.box for c in load_clips(root, fps=25, boxes=run / "boxes.csv")}
    box = found[searched]
    assert box is not None and iou(np.nanmean(box, 0), boxes[searched]) > 0.3

    path = run / "weights.safetensors"
    with VideoReader(root / searched) as video:
        frames = list(video)[:3]
    old, new = Predictor("spnet-s"), Predictor(path)
    assert new.labels == LABELS and new.card.margin == old.card.margin
    for frame in frames:
        a, b = (p.network.look(frame.rgb, boxes[searched][None])[0] for p in (old, new))
        assert np.array_equal(a.uvd, b.uvd) and np.array_equal(a.score, b.score)
    out = tmp_path / "out"
    command = ["predict", str(root / searched), "-o", str(out), "--weights", str(path)]
    assert main([*command, "--no-video", "--limit", "4"]) == 0
    lines = (out / "clip_00018.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["labels"] == list(LABELS)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_few_steps_are_steps_too(tiny: SPNet, steps: int) -> None:
    with torch.no_grad():
        features = tuple(c[None] for c in tiny.frames(torch.rand(8, 3, 64, 64)).features)
    learn(with_new_heads(tiny, 2), Features(features, torch.tensor([1])), Settings("", steps=steps))
