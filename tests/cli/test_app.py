from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from conftest import small_spnet
from poseact.cli.app import main, parse
from poseact.core.types import Result
from poseact.inference.jobs import find_jobs
from poseact.inference.session import Session
from poseact.media.pictures import Broken, read_image, write_image
from poseact.media.video import VideoReader, VideoWriter
from poseact.models.spnet import SPNet
from poseact.models.weights import Card, save
from poseact.results.jsonl import read_jsonl

CONFIG = small_spnet(2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = SPNet(CONFIG)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.15)
    card = Card(
        dataclasses.asdict(CONFIG), "PA17", (("sit", "stand"),), (32, 32), frames=4, fps=10.0
    )
    return save(tmp_path_factory.mktemp("weights") / "tiny.safetensors", net, card)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rgb = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    write_image(tmp_path / "in" / "photo.jpg", rgb)
    return tmp_path / "in" / "photo.jpg"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    path = tmp_path / "in" / "dance.mp4"
    with VideoWriter(path, fps=10, size=(80, 60)) as video:
        for _ in range(12):
            video.write(rng.integers(0, 255, (60, 80, 3), np.uint8))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(folder: Path) -> set[str]:
    """All that lies there, hidden temporary files too."""
    return {p.name for p in folder.rglob("*")} if folder.exists() else set()


def fails(capsys: pytest.CaptureFixture[str], out: Path, *args: str | Path, words: str) -> None:
    """One line on stderr with these words, exit status 2, no file and no folder."""
    assert main([str(a) for a in args] + ["-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("poseact: ") and error.count("\n") == 1, error
    assert words in error
    assert not out.exists()


# ------------------------------------------------------------------------------- what it writes


def test_a_picture_gives_results_and_an_annotated_picture(
    weights: Path, picture: Path, out: Path
) -> None:
    args = ["predict", picture, "-o", out, "--weights", weights, "--csv", "--html", "--flip"]
    args += ["--detector", "none"]
    assert main([str(a) for a in args]) == 0
    assert files(out) == {"photo.jsonl", "photo.png", "photo.csv", "photo.html"}
    header, results = read_jsonl(out / "photo.jsonl")
    assert (header.focal_px, header.height_m) == (pytest.approx(96), 1.7)
    root = results[0].people[0].root
    assert root is not None and root.shape == (3,) and root[2] > 0
    assert header.source == str(picture) and header.size == (80, 60) and header.fps is None
    assert len(results) == 1 and results[0].people[0].xy.shape == (17, 2)
    assert min(read_image(out / "photo.png").shape[:2]) >= 60
    assert "data:image/jpeg" in (out / "photo.html").read_text()


def test_of_nobody_there_is_all_but_what_needs_somebody(
    weights: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black = tmp_path / "black.mp4"
    with VideoWriter(black, fps=10.0, size=(64, 48)) as video:
        for t in range(3):
            video.write(np.zeros((48, 64, 3), np.uint8), time_s=t / 10)
    args = ["predict", str(black), "-o", str(out), "--weights", str(weights)]
    assert main([*args, "--csv", "--trc", "--bvh", "--pyskl"]) == 0
    assert files(out) == {"black.jsonl", "black.mp4", "black.csv"}
    said = capsys.readouterr().out
    assert all(f"nobody was seen: no black{e}" in said for e in (".trc", ".bvh", "_pyskl.npz"))


def test_a_video_gives_a_line_and_a_picture_for_every_frame(
    weights: Path, clip: Path, out: Path
) -> None:
    args = ["predict", clip, "-o", out, "--weights", weights, "--html", "--exit", "2", "1"]
    args += ["--detector", "none"]
    assert main([str(a) for a in args]) == 0
    assert files(out) == {"dance.jsonl", "dance.mp4", "dance.html"}
    header, results = read_jsonl(out / "dance.jsonl")
    assert header.labels == ("sit", "stand") and header.fps == pytest.approx(10)
    assert [r.index for r in results] == list(range(12))
    action = results[-1].people[0].action
    assert action is not None and action.sum() == pytest.approx(1, abs=1e-3)
    with VideoReader(out / "dance.mp4") as video:
        times = [frame.time_s for frame in video]
    np.testing.assert_allclose(times, np.arange(12) / 10, atol=1e-3)
    assert "data:video/mp4" in (out / "dance.html").read_text()


def test_without_a_command_a_few_lines_say_how_to_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and any("poseact demo" in line for line in lines)


def test_the_forms_of_other_programs(
    weights: Path, clip: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["predict", clip, "-o", out, "--weights", weights, "--no-video", "--limit", "3"]
    args += ["--detector", "none", "--fill-gaps"]
    forms = ("coco", "openpose", "trc", "actions", "srt", "vtt", "angles", "bvh", "pyskl")
    forms += ("repetitions",)
    assert main([*map(str, args), *(f"--{form}" for form in forms)]) == 0
    frames = {f"dance_{n:012d}_keypoints.json" for n in range(3)}
    others = {"dance.jsonl", "dance_coco.json", "dance_openpose", "dance.trc"}
    others |= {"dance_actions.csv", "dance.srt", "dance.vtt", "dance_angles.csv", "dance.bvh"}
    others |= {"dance_pyskl.npz", "dance_repetitions.csv"}
    assert files(out) == others | frames
    assert (out / "dance_actions.csv").read_text() == "track,action,start_s,end_s,probability\n"
    assert "no actions: nobody was seen for as long as one takes" in capsys.readouterr().out
    assert main([*map(str, args), "--openpose"]) == 0  # again: its own folder is replaced
    assert files(out) == others | frames


def test_no_video_and_limit_and_box(weights: Path, clip: Path, out: Path) -> None:
    args = ["predict", clip, "-o", out, "--weights", weights, "--no-video", "--limit", "3"]
    assert main([str(a) for a in [*args, "--box", 5, 5, 65, 55, "--people", 1]]) == 0
    assert files(out) == {"dance.jsonl"}
    _, results = read_jsonl(out / "dance.jsonl")
    assert len(results) == 3
    (person,) = results[0].people
    middle = (person.box[:2] + person.box[2:]) / 2
    assert ((middle > (5, 5)) & (middle < (65, 55))).all()


def test_nobody_is_in_noise(weights: Path, clip: Path, out: Path) -> None:
    args = ["predict", clip, "-o", out, "--weights", weights, "--no-video"]
    assert main([str(a) for a in args]) == 0
    assert [r.people for r in read_jsonl(out / "dance.jsonl")[1]] == [()] * 12


def test_several_inputs_and_files_of_one_name_have_names_of_their_own(tmp_path: Path) -> None:
    rgb = np.zeros((20, 20, 3), np.uint8)
    for name in ("a/x.png", "a/y.png", "b/x.png", "b/x.jpg", "b/x_2.png"):
        write_image(tmp_path / name, rgb)
    names = [job.name for job in find_jobs(str(tmp_path / "*" / "*"))]
    assert len(names) == 5 and len(set(names)) == 5
    assert names[1] == "y"
    pair = [str(tmp_path / "a" / "*"), str(tmp_path / "a"), str(tmp_path / "b")]
    assert len({job.name for job in find_jobs(*pair)}) == len(find_jobs(*pair)) == len(names)
    with pytest.raises(ValueError, match="^0 is a camera or stream: give it alone"):
        find_jobs(str(tmp_path / "a"), "0")
    with pytest.raises(ValueError, match="nothing to predict"):
        find_jobs()


def test_a_stream_has_a_name() -> None:
    assert find_jobs("0")[0].source == 0 and find_jobs("0")[0].name == "camera0"
    (job,) = find_jobs("https://example.org/films/walk.mp4?token=1")
    assert (job.kind, job.name) == ("video", "walk")


def test_one_bad_file_of_a_folder_does_not_stop_the_others(
    weights: Path, picture: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (picture.parent / "bad.jpg").write_text("no picture")
    args = ["predict", picture.parent, "-o", out, "--weights", weights, "--no-video"]
    assert main([str(a) for a in args]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "bad.jpg" in lines[0] and "1 of 2" in lines[1]
    assert files(out) == {"photo.jsonl"}


def test_the_input_is_never_overwritten(
    weights: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = clip.read_bytes()
    assert main(["predict", str(clip), "-o", str(clip.parent), "--weights", str(weights)]) == 2
    assert "overwrite" in capsys.readouterr().err
    assert clip.read_bytes() == before and files(clip.parent) == {"dance.mp4"}


# ------------------------------------------------------------------------------- bad input


def test_a_missing_file(
    weights: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.mp4"
    fails(capsys, out, "predict", gone, "--weights", weights, words="gone.mp4")


@pytest.mark.parametrize("name", ["letter.mp4", "letter.png", "letter.xyz"])
def test_a_text_under_another_name(
    weights: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("Dear reader,\n" * 50)
    fails(capsys, out, "predict", tmp_path / name, "--weights", weights, words=name)


def test_a_picture_of_one_pixel(
    weights: Path, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    fails(capsys, out, "predict", tmp_path / "dot.png", "--weights", weights, words="1 x 1 px")


@pytest.mark.parametrize("kept", [0.3, 0.6])
def test_a_truncated_jpeg(
    weights: Path, picture: Path, out: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    data = picture.read_bytes()
    picture.write_bytes(data[: int(kept * len(data))])
    fails(capsys, out, "predict", picture, "--weights", weights, words="photo.jpg")


@pytest.mark.parametrize("kept", [0.3, 0.6])
def test_a_truncated_video(
    weights: Path, clip: Path, out: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    data = clip.read_bytes()  # its index stands in front, so its first frames can be read
    clip.write_bytes(data[: int(kept * len(data))])
    args = ["predict", clip, "-o", out, "--weights", weights, "--csv", "--detector", "none"]
    assert main([str(arg) for arg in args]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "dance.mp4: broken after" in error and "are kept" in error
    assert files(out) == {"dance.jsonl", "dance.mp4", "dance.csv"}
    _, results = read_jsonl(out / "dance.jsonl")
    assert 0 < len(results) < 12 and f"{len(results)} frames are kept" in error


def test_a_video_with_a_damaged_middle_keeps_what_can_be_read(
    weights: Path, clip: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(clip.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 3000] = bytes(3000)
    clip.write_bytes(data)
    args = ["predict", clip, "-o", out, "--weights", weights, "--detector", "none"]
    assert main([str(arg) for arg in args]) == 2
    assert "frames are damaged" in capsys.readouterr().err
    indices = [result.index for result in read_jsonl(out / "dance.jsonl")[1]]
    assert indices[0] == 0 and len(indices) < 12 and indices == sorted(set(indices))


def test_a_source_that_breaks_keeps_what_was_seen_and_may_come_again(
    weights: Path, clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Camera(VideoReader):
        def __init__(self, _: object) -> None:
            super().__init__(clip)
            self._frames = unplugged(self._frames)

    def unplugged(frames):
        yield from (next(frames) for _ in range(4))
        raise Broken("the camera gave no more")

    monkeypatch.setattr("poseact.inference.jobs.VideoReader", Camera)
    for _ in range(2):  # the second time the files are there
        args = ["predict", "0", "-o", str(out), "--weights", str(weights), "--detector", "none"]
        assert main(args) == 2
        assert files(out) == {"camera0.jsonl", "camera0.mp4"}
        assert len(read_jsonl(out / "camera0.jsonl")[1]) == 4


def test_a_table_that_cannot_be_written_takes_the_others_with_it(
    weights: Path, clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(out / "dance.csv"))

    monkeypatch.setattr("poseact.inference.jobs.write_csv", full)
    args = ["predict", clip, "-o", out, "--weights", weights, "--csv", "--detector", "none"]
    assert main([str(arg) for arg in args]) == 2
    assert not out.exists()


def test_sigterm_is_ctrl_c(clip: Path, weights: Path, out: Path) -> None:
    code = (
        "import os, signal, sys\nfrom poseact.cli.app import main, parse\n"
        "from poseact.cli import app\n"
        "class Slow:\n def run(self):\n  os.kill(os.getpid(), signal.SIGTERM)\n  return 0\n"
        "app.parse = lambda args: Slow()\nsys.exit(main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "poseact: interrupted\n")


def test_waiting_threads_do_not_spin() -> None:
    code = "import os, poseact.cli; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "PASSIVE\n"


def test_weights_cut_in_half(
    weights: Path, picture: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = weights.read_bytes()
    half = picture.parent / "half.safetensors"
    half.write_bytes(data[: len(data) // 2])
    fails(capsys, out, "predict", picture, "--weights", half, words="half.safetensors")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--weights", "spnet-xxl"), "spnet-xxl"),
        (("--exit", "7", "7"), "(7, 7)"),
        (("--device", "toaster"), "toaster"),
        (("--threads", "0"), "threads"),
        (("--limit", "0"), "--limit"),
        (("--box", "9", "9", "3", "3"), "x0 y0 x1 y1"),
    ],
)
def test_bad_options(
    weights: Path,
    picture: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    option: tuple[str, ...],
    words: str,
) -> None:
    fails(capsys, out, "predict", picture, "--weights", weights, *option, words=words)


def test_options_that_do_not_parse_have_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict"]) == 2
    assert main(["predict", "a.jpg", "--nonsense"]) == 2
    assert main(["dance"]) == 2
    assert main(["--help"]) == 0
    assert "predict" in capsys.readouterr().out


def test_ctrl_c_leaves_nothing_behind(
    weights: Path,
    clip: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push = Session.push

    def interrupted(self: Session, rgb: np.ndarray, time_s: float, *, index: int) -> Result:
        if index == 5:
            assert files(out)  # something half-written is there to be removed
            raise KeyboardInterrupt
        return push(self, rgb, time_s, index=index)

    monkeypatch.setattr(Session, "push", interrupted)
    args = ["predict", str(clip), "-o", str(out), "--weights", str(weights)]
    assert main(args) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not out.exists()


def test_ctrl_c_is_the_end_of_a_live_source_and_keeps_what_was_seen(
    weights: Path, clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Live(VideoReader):
        def __init__(self, source: str | Path | int) -> None:
            super().__init__(source)
            self.live = True

    push = Session.push

    def interrupted(self: Session, rgb: np.ndarray, time_s: float, *, index: int) -> Result:
        if index == 5:
            raise KeyboardInterrupt
        return push(self, rgb, time_s, index=index)

    monkeypatch.setattr("poseact.inference.jobs.VideoReader", Live)
    monkeypatch.setattr("poseact.inference.predictor.newest", iter)  # no frame is dropped here
    monkeypatch.setattr(Session, "push", interrupted)
    assert main(["predict", str(clip), "-o", str(out), "--weights", str(weights)]) == 0
    assert files(out) == {"dance.jsonl", "dance.mp4"}
    assert len(read_jsonl(out / "dance.jsonl")[1]) == 5


# ------------------------------------------------------------------------------- other commands


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom poseact.cli.app import main\nassert main(['predict', '--help']) == 0\n"
        "print([m for m in ('torch', 'cv2', 'av', 'numba', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_doctor_names_versions_device_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert rows["torch"] == torch.__version__
    assert {"python", "device", "weights", "opencv-python-headless"} <= set(rows)


def test_models_lists_what_is_shipped(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poseact.models.cards.SHIPPED", weights.parent)
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    for word in ("tiny", "PA17", "sit, stand", "32x32", str(weights)):
        assert word in text


def test_data_show_draws_a_sheet_of_photos(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from scipy.io import savemat

    joints = np.random.default_rng(0).uniform(10, 50, (14, 3, 4))
    joints[:, 2] = 1
    savemat(tmp_path / "joints.mat", {"joints": joints})
    for n in range(1, 5):
        write_image(tmp_path / "images" / f"im{n:05}.jpg", np.full((60, 60, 3), 40, np.uint8))
    sheet = out / "sheet.png"
    assert main(["data", "show", "lspet", str(tmp_path), "-o", str(sheet), "--count", "3"]) == 0
    rgb = read_image(sheet)
    assert rgb.shape[1] > 3 * 60
    assert len(np.unique(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))) > 20  # skeletons are drawn
    fails(capsys, tmp_path / "no", "data", "show", "lspet", words="lspet")


def test_train_passes_settings_on_to_its_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    command = parse(["train", "spnet_s", "-o", "run", "--resume", "--seed", "3"])
    assert command.resume and command.overrides == ("--seed", "3")
    assert main(["train", "nonesuch", "-o", "run"]) == 2
    assert "nonesuch" in capsys.readouterr().err


def test_results_are_json_lines_with_a_header(weights: Path, picture: Path, out: Path) -> None:
    assert main(["predict", str(picture), "-o", str(out), "--weights", str(weights)]) == 0
    first, second = (out / "photo.jsonl").read_text().splitlines()
    assert json.loads(first)["model"] == str(weights)
    assert json.loads(second)["frame"] == 0


def test_data_check_and_convert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of clips is checked, packed, and the pack is checked; a broken clip is fatal."""
    for split, name in [("train", "wave"), ("train", "walk"), ("test", "wave"), ("test", "walk")]:
        path = tmp_path / "mine" / split / name / "a.mp4"
        path.parent.mkdir(parents=True)
        with VideoWriter(path, fps=10, size=(64, 48)) as video:
            for t in range(4):
                video.write(np.full((48, 64, 3), 40 * t + len(name + split), np.uint8))
    root = str(tmp_path / "mine")
    assert main(["data", "check", "folder", root, "--splits", "train", "test"]) == 0
    assert "train 2, test 2" in capsys.readouterr().out
    packed = tmp_path / "packed"
    assert main(["data", "convert", "folder", root, "-o", str(packed)]) == 0
    assert main(["data", "check", "packed", str(packed), "--splits", "train"]) == 0
    shard = max(packed.rglob("*.bin"), key=lambda p: p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert main(["data", "check", "packed", str(packed), "--splits", "train", "--full"]) == 1


# ------------------------------------------------------------------------------- live


def test_a_file_is_played_as_a_camera(
    weights: Path, clip: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out.mkdir()
    args = ["live", str(clip), "--weights", str(weights), "--limit", "5"]
    assert main(args) == 2
    assert "--as-camera" in capsys.readouterr().err
    assert main([*args, "--as-camera", "--fps", "100", "--record", str(out / "a.mp4")]) == 0
    assert re.search(r"\d frames, .* dropped, latency \d+ ms", capsys.readouterr().out)
    assert files(out) == {"a.mp4", "a.jsonl"}
    assert main([*args, "--as-camera", "--record", str(out / "a.avi")]) == 2
    assert ".mp4" in capsys.readouterr().err
    before = clip.read_bytes()
    assert main([*args, "--as-camera", "--record", str(clip)]) == 2
    assert "would overwrite its own input" in capsys.readouterr().err
    assert clip.read_bytes() == before
