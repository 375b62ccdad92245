"""The pipeline from 2D joints to actions: gaps as in files, one space for two people, windows,
layouts by name, and the command line over it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from lifter_people import people
from poseact.cli.app import main
from poseact.core.geometry import box_around
from poseact.core.layouts import COCO17, H36M17, HALPE26, MSR20, SBU15, Layout, layout_named
from poseact.core.types import NO_TRACK, Keypoints, Person, Result
from poseact.inference.keypoint_sources import FromFile, RTMLib
from poseact.media.pictures import Frame, write_image
from poseact.media.video import VideoReader, VideoWriter
from poseact.models import weights
from poseact.models.enas import ENASConfig, ENASNet, random_genotype
from poseact.models.lifter import Lifter, LifterConfig
from poseact.results.jsonl import ResultsWriter, read_jsonl
from poseact.skeletons import pipeline as unified
from poseact.skeletons.classifier_file import load_classifier, save_classifier
from poseact.skeletons.learn.lifter import Recipe
from poseact.skeletons.lift import GAP_FRAMES, fill_in_time, lift_keypoints
from poseact.skeletons.pipeline import (
    Gaps,
    Unified,
    Window,
    bodies,
    in_camera,
    in_layout,
    probabilities,
)
from poseact.skeletons.spmf import SPMFConfig

SIZE = (320, 240)
CONFIG = LifterConfig(width=16, blocks=1, normalisation="box")


def lifter() -> Lifter:
    torch.manual_seed(0)
    net = Lifter(CONFIG).eval()
    for stream in (net.gt, net.det):
        stream.output_std.fill_(200.0)
    return net


def classifier_file(
    path: Path, *, layout: Layout = H36M17, persons: int = 1, flat: bool = False, frames: int = 8
) -> Path:
    torch.manual_seed(0)
    genotype = random_genotype(2, torch.Generator().manual_seed(0))
    net = ENASNet(genotype, ENASConfig(3, blocks=1, channels=4))
    torch.nn.init.normal_(next(m for m in net.modules() if isinstance(m, torch.nn.Linear)).weight)
    return save_classifier(
        *(path, net.eval(), SPMFConfig(size=16)),
        layout=layout,
        labels=("wave", "kick", "bend"),
        frames=frames,
        fps=10.0,
        persons=persons,
        flat=flat,
    )


def moving(frames: int, *, at: float = 160, seed: int = 0, layout: Layout = H36M17) -> np.ndarray:
    """(T, J, 2) px: somebody about 100 px high whose joints wander."""
    rng = np.random.default_rng(seed)
    start = rng.uniform([at - 30, 60], [at + 30, 200], (len(layout), 2))
    return start + rng.normal(0, 1.5, (frames, len(layout), 2)).cumsum(0)


def person(xy: np.ndarray, *, track: int = NO_TRACK, layout: Layout = H36M17) -> Person:
    score = np.where(np.isfinite(xy).all(-1), 0.9, 0.0)
    return Person(xy, None, score, box_around(xy), layout, track)


class Film:
    """What `Unified.video` reads of a `VideoReader`."""

    def __init__(self, frames: int, *, fps: float = 10.0, live: bool = False) -> None:
        self.frames, self.fps, self.live, self.size, self.given = frames, fps, live, SIZE, 0

    def __iter__(self) -> Iterator[Frame]:
        for n in range(self.frames):
            self.given = n + 1
            yield Frame(n, n / self.fps, np.zeros((SIZE[1], SIZE[0], 3), np.uint8))


def keypoints(*tracks: np.ndarray, layout: Layout = H36M17) -> Keypoints:
    """Of people (T, J, 2); one who has no joint in a frame is not there."""
    results = [
        Result(
            t,
            t / 10,
            tuple(
                person(xy[t], track=n, layout=layout)
                for n, xy in enumerate(tracks)
                if np.isfinite(xy[t]).any()
            ),
        )
        for t in range(len(tracks[0]))
    ]
    return Keypoints(tuple(results), layout, 10.0, SIZE)


def answers(pipeline: Unified, film: Film) -> list[Result]:
    found = list(pipeline.video(film))  # pyright: ignore[reportArgumentType]
    assert [frame.index for frame, _ in found] == [r.index for _, r in found]
    return [result for _, result in found]


# ------------------------------------------------------------------------------------------ gaps


def with_gaps(frames: int = 60, seed: int = 0) -> np.ndarray:
    """Joint j is away in gaps of 1 to 25 frames, joint 5 at the start, joint 6 always."""
    rng = np.random.default_rng(seed)
    xy = moving(frames, seed=seed)
    for j in range(17):
        for start in rng.integers(1, frames, 3):
            xy[start : start + rng.integers(1, 26), j] = np.nan
    xy[: GAP_FRAMES + 1, 5] = xy[:, 6] = np.nan
    xy[GAP_FRAMES + 1, 5] = [7.0, 8.0]
    return xy


@pytest.mark.parametrize("seed", range(3))
def test_gaps_of_a_stream_are_filled_as_those_of_a_file(seed: int) -> None:
    xy = with_gaps(seed=seed)
    whole = fill_in_time(xy, np.arange(60))
    stream, out = Gaps(), []
    for t in range(60 + GAP_FRAMES + 1):
        if t < 60:
            stream.see(t, xy[t])
        if t >= GAP_FRAMES + 1:
            out.append(stream.at(t - GAP_FRAMES - 1))
    first = np.array([np.flatnonzero(seen)[0] if seen.any() else 99 for seen in known(xy).T])
    late = np.arange(60)[:, None] < first - GAP_FRAMES - 1  # nobody waits that long
    np.testing.assert_allclose(np.where(late[..., None], np.nan, whole), out)
    assert known(np.array(out)).sum() > known(xy).sum() + 60


def known(xy: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(xy).all(-1))


def test_a_causal_stream_holds() -> None:
    xy = with_gaps()
    stream = Gaps()
    for t in range(60):
        stream.see(t, xy[t])
        now = stream.at(t)
        for j in range(17):
            before = np.flatnonzero(known(xy)[: t + 1, j])
            expected = xy[before[-1], j] if len(before) else np.full(2, np.nan)
            np.testing.assert_array_equal(now[j], expected)


def test_poses_are_those_of_the_file_lifted_whole() -> None:
    xy = moving(30)
    xy[4:9, 3] = xy[12:28, 13] = np.nan
    found = keypoints(xy, moving(30, at=40, seed=1))
    whole = lift_keypoints(lifter(), found).results
    stream = answers(Unified(FromFile(found), lifter()), Film(30))
    assert len(stream) == 30
    for a, b in zip(whole, stream):
        assert [p.track for p in a.people] == [p.track for p in b.people] == [0, 1]
        for p, q in zip(a.people, b.people):
            for name in ("xy", "xyz", "score", "box"):
                np.testing.assert_allclose(getattr(p, name), getattr(q, name), atol=1e-2)
    held = answers(Unified(FromFile(found), lifter(), causal=True), Film(30))
    np.testing.assert_array_equal(held[8].people[0].xy[3], xy[3, 3])
    assert not np.allclose(stream[8].people[0].xy[3], xy[3, 3])


@pytest.mark.parametrize(
    ("causal", "live", "late"), [(False, False, GAP_FRAMES + 1), (True, False, 0), (False, True, 0)]
)
def test_only_what_may_wait_waits(causal: bool, live: bool, late: int) -> None:
    film = Film(20, live=live)
    pipeline = Unified(FromFile(keypoints(moving(20))), lifter(), causal=causal)
    seen = pipeline.video(film)  # pyright: ignore[reportArgumentType]
    frame, _ = next(seen)
    assert frame.index == 0 and film.given == late + 1
    assert len(list(seen)) == 19


# ---------------------------------------------------------------------------------------- actions


def test_the_window_shows_its_last_frames(tmp_path: Path) -> None:
    """At 30 frames a second every third frame counts; the answer is of the last eight of them."""
    model = load_classifier(classifier_file(tmp_path / "c.safetensors"))
    xy = moving(60)
    film = Film(60, fps=30.0)
    results = answers(Unified(FromFile(keypoints(xy)), lifter(), model), film)
    assert all(r.labels == ("wave", "kick", "bend") for r in results)
    actions = [r.people[0].action for r in results]
    assert actions[2] is None and actions[3] is not None  # a quarter of 8: the second sample
    last = [results[t].people[0].xyz for t in range(36, 60, 3)]
    expected = probabilities(model, np.array(last)[:, None])
    assert actions[57] is not None and actions[57].sum() == pytest.approx(1)
    np.testing.assert_allclose(actions[57], expected, atol=1e-6)
    np.testing.assert_array_equal(actions[59], actions[57])
    assert np.abs(actions[57] - actions[30]).max() > 1e-4


def test_a_window_waits_for_joints_that_were_never_seen(tmp_path: Path) -> None:
    model = load_classifier(classifier_file(tmp_path / "c.safetensors", frames=4))
    window = Window(model)
    poses = np.random.default_rng(0).normal(0, 300, (5, 1, 17, 3))
    poses[:3, 0, 8] = np.nan
    said = [window.push(pose, t / 10) for t, pose in enumerate(poses)]
    assert said[:3] == [None] * 3 and said[3] is not None


def test_two_people_are_one_picture(tmp_path: Path) -> None:
    """From left to right, and in that order even after they have passed each other."""
    model = load_classifier(classifier_file(tmp_path / "c.safetensors", persons=2, frames=6))
    a, b = moving(20, at=100), moving(20, at=220, seed=1)
    a[:, :, 0] += np.linspace(0, 150, 20)[:, None]  # the left one goes past the other
    found = keypoints(b, a)  # track 0 starts on the right
    results = answers(Unified(FromFile(found), lifter(), model), Film(20))
    sequence = [
        [in_camera(np.asarray(p.xyz), p.xy, SIZE) for p in r.people[::-1]] for r in results[-6:]
    ]
    expected = probabilities(model, np.array(sequence))
    for who in results[-1].people:
        assert who.action is not None
        np.testing.assert_allclose(who.action, expected, atol=1e-6)
    swapped = probabilities(model, np.array(sequence)[:, ::-1])
    assert np.abs(swapped - expected).max() > 1e-5
    alone = answers(Unified(FromFile(keypoints(a)), lifter(), model), Film(20))
    assert all(r.people[0].action is None for r in alone)


def test_people_stand_where_the_camera_sees_them() -> None:
    truth = people(2) * [1, -1, 1] + np.array([[[-400.0, 100, 3000]], [[600, -50, 4200]]])
    xy = truth[..., :2] / truth[..., 2:] * 1.2 * 320 + np.array(SIZE) / 2
    relative = truth - truth[:, :1]
    for n in range(2):
        np.testing.assert_allclose(in_camera(relative[n], xy[n], SIZE), truth[n], atol=1e-6)


def test_a_flat_classifier_gets_pixels(tmp_path: Path) -> None:
    model = load_classifier(
        classifier_file(tmp_path / "c.safetensors", layout=SBU15, persons=2, flat=True)
    )
    xy = moving(1)[0]
    seen = bodies([replace(person(xy), xyz=np.ones((17, 3))), None], SIZE, model)
    assert seen.shape == (2, 15, 3) and np.isnan(seen[1]).all() and (seen[0, :, 2] == 0).all()
    np.testing.assert_array_equal(seen[0, SBU15.index("l_hand"), :2], xy[H36M17.index("l_wrist")])


@pytest.mark.parametrize("name", ["MSR20", "SBU15", "NTU25", "UTD20", "MPII16", "PA17", "PENN13"])
def test_joints_of_other_layouts_by_name(name: str) -> None:
    layout = layout_named(name)
    unified.check_layout(layout)
    pose = np.random.default_rng(0).normal(size=(2, 17, 3))
    out = in_layout(pose, layout)
    assert np.isfinite(out).all()
    for j, joint in enumerate(layout.joints):
        if joint in H36M17.joints:
            np.testing.assert_array_equal(out[:, j], pose[:, H36M17.index(joint)])
    if name == "MSR20":
        for end, joint in (("hand", "wrist"), ("foot", "ankle")):
            np.testing.assert_array_equal(
                out[:, MSR20.index(f"r_{end}")], pose[:, H36M17.index(f"r_{joint}")]
            )


def test_joints_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    model = load_classifier(classifier_file(tmp_path / "c.safetensors", layout=COCO17))
    with pytest.raises(ValueError, match="reads l_eye, r_eye, l_ear, r_ear of COCO17"):
        Unified(FromFile(keypoints(moving(1))), lifter(), model)


# ------------------------------------------------------------------------------------- 2D sources


def fake_rtmlib(answers: Sequence[tuple[np.ndarray, np.ndarray]], seen: list[np.ndarray]) -> object:
    def body(**options: object) -> object:
        assert options == {"mode": "balanced", "backend": "onnxruntime", "device": "cpu"}
        turns = iter(answers)

        def call(bgr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen.append(bgr)
            return next(turns)

        return call

    module = ModuleType("rtmlib")
    module.BodyWithFeet = body  # pyright: ignore[reportAttributeAccessIssue]
    return module


def test_rtmlib_gives_people_and_reads_bgr(monkeypatch: pytest.MonkeyPatch) -> None:
    xy = moving(1, layout=HALPE26)[0]
    scores = np.stack([np.full(26, 0.8), np.full(26, 0.1), np.linspace(0.1, 1.2, 26)])
    seen: list[np.ndarray] = []
    module = fake_rtmlib([(np.stack([xy, xy, xy + 5]), scores)], seen)
    monkeypatch.setitem(sys.modules, "rtmlib", module)
    monkeypatch.setattr(
        "poseact.inference.keypoint_sources.find_spec", lambda name: SimpleNamespace(name=name)
    )
    red = np.zeros((240, 320, 3), np.uint8)
    red[..., 0] = 200
    result = Unified(RTMLib(), lifter()).image(red)
    assert (seen[0][0, 0] == [0, 0, 200]).all()
    first, second = result.people  # the unsure one is nobody
    assert first.layout == H36M17 and first.xyz is not None
    np.testing.assert_allclose(first.xy[H36M17.index("pelvis")], xy[HALPE26.index("pelvis")])
    assert second.track == first.track + 1 and second.score.max() <= 1


def test_without_rtmlib_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("poseact.inference.keypoint_sources.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'poseact\[detect\]'"):
        RTMLib()


def test_a_file_of_another_video_is_refused() -> None:
    found = keypoints(moving(12))
    with pytest.raises(ValueError, match="frame 11.*the video has 10"):
        answers(Unified(FromFile(found), lifter()), Film(10))
    with pytest.raises(ValueError, match="px pictures"):
        answers(Unified(FromFile(replace(found, size=(640, 480))), lifter()), Film(12))
    assert [len(r.people) for r in answers(Unified(FromFile(found), lifter()), Film(14))] == [
        *([1] * 12),
        *([0] * 2),
    ]


# ----------------------------------------------------------------------------------- command line


@pytest.fixture()
def film(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, fps=10.0, size=SIZE) as out:
        for n in range(14):
            out.write(np.full((SIZE[1], SIZE[0], 3), 10 * n, np.uint8))
    return path


@pytest.fixture()
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Keypoints, lifter and classifier on disk."""
    found = keypoints(moving(14))
    table = tmp_path / "found.jsonl"
    with ResultsWriter(table, layout=H36M17, fps=10.0, size=SIZE) as out:
        for result in found.results:
            out.write(result)
    card = Recipe("tiny", "mocap", CONFIG).card()
    lifting = weights.save(tmp_path / "tiny.safetensors", lifter(), card)
    return table, lifting, classifier_file(tmp_path / "acts.safetensors", layout=MSR20)


def test_from_the_command_line(
    tmp_path: Path,
    film: Path,
    files: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table, lifting, acts = map(str, files)
    base = ["predict", str(film), "--model", "unified", "--keypoints", table, "--lifter", lifting]
    assert main([*base, "--classifier", acts, "-o", str(tmp_path / "out"), "--html"]) == 0
    said = capsys.readouterr().out
    assert "gives no r_hand, l_hand, r_foot, l_foot" in said
    header, results = read_jsonl(tmp_path / "out" / "walk.jsonl")
    assert header.labels == ("wave", "kick", "bend") and header.model == "unified"
    assert header.layout == H36M17 and len(results) == 14
    assert results[0].people[0].action is None and results[13].people[0].action is not None
    assert '"wave"' in (tmp_path / "out" / "walk.html").read_text()
    with VideoReader(tmp_path / "out" / "walk.mp4") as video:
        assert len(list(video)) == 14
    assert main([*base, "-o", str(tmp_path / "plain"), "--no-video", "--limit", "3"]) == 0
    said = capsys.readouterr().out
    assert said.count("no action set is loaded") == 1
    header, results = read_jsonl(tmp_path / "plain" / "walk.jsonl")
    assert header.labels == () and len(results) == 3
    assert results[2].people[0].xyz is not None and results[2].people[0].action is None


def test_our_own_network_finds_the_joints(
    tmp_path: Path, files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, lifting, _ = files
    photo = tmp_path / "photo.png"
    write_image(photo, np.full((200, 160, 3), 90, np.uint8))
    options = ["--model", "unified", "--lifter", str(lifting), "--box", "20", "20", "140", "190"]
    assert main(["predict", str(photo), "-o", str(tmp_path / "out"), *options]) == 0
    assert "PA17 has no nose" in capsys.readouterr().out
    _, (result,) = read_jsonl(tmp_path / "out" / "photo.jsonl")
    (found,) = result.people
    assert found.layout == H36M17 and found.xyz is not None and np.isfinite(found.xyz).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--classifier", "x.safetensors"), "are for --model unified"),
        (("--model", "unified", "--classifier", "no.safetensors"), "no weights 'no.safetensors'"),
        (("--model", "unified", "--classifier", "spnet-s"), "no classifier of skeletons"),
        (("--model", "unified", "--lifter", "spnet-s"), "no lifter"),
        (("--model", "unified", "--keypoints", "gone.json"), "gone.json"),
        (
            ("--model", "unified", "--detector", "rtmlib", "--box", "0", "0", "9", "9"),
            "--box is for",
        ),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str], options: object, said: str
) -> None:
    assert isinstance(options, tuple)
    if "--lifter" not in options:
        save = Recipe("tiny", "mocap", CONFIG).card()
        path = weights.save(tmp_path / "l.safetensors", lifter(), save)
        options = (*options, *(("--lifter", str(path)) if "unified" in options else ()))
    assert main(["predict", str(film), "-o", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
