"""`poseact lift`: every form of 2D joints, conversion by name, gaps, tracks, errors of one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from poseact.cli.app import main
from poseact.core.geometry import box_around
from poseact.core.layouts import (
    COCO17,
    H36M17,
    HALPE26,
    JHMDB15,
    MPII16,
    OPENPOSE18,
    OPENPOSE25,
    SBU15,
    Layout,
    convert,
)
from poseact.core.types import Person, Result
from poseact.data.sets.coco import Results, write_results
from poseact.models.lifter import Combine, Lifter, LifterConfig, lift_with_mirror
from poseact.models.weights import save
from poseact.results.jsonl import ResultsWriter, read_jsonl
from poseact.skeletons.keypoints import FILE_LAYOUTS, read_keypoints
from poseact.skeletons.learn.lifter import Recipe
from poseact.skeletons.lift import fill_in_time, followed, lift_keypoints, to_h36m17

CONFIG = LifterConfig(width=16, blocks=1, normalisation="box")


def made(config: LifterConfig = CONFIG) -> Lifter:
    torch.manual_seed(0)
    lifter = Lifter(config).eval()
    for stream in (lifter.gt, lifter.det):
        stream.output_std.fill_(200.0)
    return lifter


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = Recipe("tiny", "mocap", CONFIG).card()
    return save(tmp_path_factory.mktemp("lifter") / "tiny.safetensors", made(), card)


def tracks(layout: Layout, frames: int = 4, people: int = 1, seed: int = 0) -> np.ndarray:
    """(P, T, J, 3) x, y px and score: people who stand apart and go slowly to the right."""
    rng = np.random.default_rng(seed)
    figure = rng.uniform([0, 0], [100, 300], (people, 1, len(layout), 2)) + 50
    along = np.arange(frames)[:, None, None] * [3.0, 0.0]
    apart = np.arange(people)[:, None, None, None] * [400.0, 0.0]
    score = rng.uniform(0.5, 1, (people, frames, len(layout), 1))
    return np.concatenate([figure + along + apart, score], -1).round(3)


def openpose(folder: Path, table: np.ndarray, *, name: str = "clip_{:012d}_keypoints.json") -> Path:
    """(P, T, J, 3) as OpenPose writes it; nobody in a frame of NaN."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(table.shape[1]):
        rows = [person[t] for person in table if not np.isnan(person[t]).all()]
        people = [{"person_id": [-1], "pose_keypoints_2d": row.ravel().tolist()} for row in rows]
        content = {"version": 1.3, "people": people}
        (folder / name.format(t)).write_text(json.dumps(content))
    return folder


def lift(source: Path, out: Path, weights: Path, *options: str) -> int:
    return main(["lift", str(source), "-o", str(out), "--weights", str(weights), *options])


def expected_xyz(xy: np.ndarray) -> np.ndarray:
    """(T, 17, 3) of whole (T, 17, 2) by the network alone."""
    with torch.no_grad():
        return made()(torch.tensor(xy, dtype=torch.float32)).numpy()


# ---------------------------------------------------------------------------------- conversion


def by_name(pose: np.ndarray, layout: Layout, *names: str) -> np.ndarray:
    return np.mean([pose[:, layout.index(name)] for name in names], axis=0)


@pytest.mark.parametrize(
    ("layout", "head", "pelvis", "thorax", "nose"),
    [
        (COCO17, ("l_eye", "r_eye"), ("l_hip", "r_hip"), ("l_shoulder", "r_shoulder"), ("nose",)),
        (OPENPOSE25, ("l_eye", "r_eye"), ("pelvis",), ("thorax",), ("nose",)),
        (OPENPOSE18, ("l_eye", "r_eye"), ("l_hip", "r_hip"), ("thorax",), ("nose",)),
        (HALPE26, ("head",), ("pelvis",), ("thorax",), ("nose",)),
        (MPII16, ("head",), ("pelvis",), ("thorax",), ("neck", "head")),
        (JHMDB15, ("face",), ("l_hip", "r_hip"), ("l_shoulder", "r_shoulder"), ("face",)),
        (SBU15, ("head",), ("l_hip", "r_hip"), ("thorax",), ("thorax", "head")),
    ],
    ids=lambda v: v.name if isinstance(v, Layout) else "",
)
def test_joints_by_name(layout: Layout, head: Any, pelvis: Any, thorax: Any, nose: Any) -> None:
    table = tracks(layout)[0]
    xy, score = to_h36m17(table[..., :2], table[..., 2], layout)
    for name, parts in (("head", head), ("pelvis", pelvis), ("thorax", thorax), ("nose", nose)):
        j = H36M17.index(name)
        np.testing.assert_allclose(xy[:, j], by_name(table, layout, *parts)[:, :2])
        least = np.min([table[:, layout.index(part), 2] for part in parts], axis=0)
        np.testing.assert_allclose(score[:, j], least)
    same = [name for name in H36M17.joints if name in layout.joints]
    for name in same:
        np.testing.assert_array_equal(
            xy[:, H36M17.index(name)], by_name(table, layout, name)[:, :2]
        )
    known = np.isfinite(convert(table[..., :2], layout, H36M17)).all((0, 2))
    assert np.isfinite(xy[:, known]).all()


def test_order_of_openpose_and_halpe() -> None:
    """The index tables of the field, spine apart."""
    b25 = [8, 9, 10, 11, 12, 13, 14, 1, 0, 5, 6, 7, 2, 3, 4]
    coco18 = [8, 9, 10, 11, 12, 13, 1, 0, 5, 6, 7, 2, 3, 4]
    halpe = [19, 12, 14, 16, 11, 13, 15, 18, 0, 17, 5, 7, 9, 6, 8, 10]
    plain = [j for j in H36M17.joints if j not in ("spine", "head")]
    assert [OPENPOSE25.index(j) for j in plain] == b25
    assert [OPENPOSE18.index(j) for j in plain if j != "pelvis"] == coco18
    assert [HALPE26.index(j) for j in H36M17.joints if j != "spine"] == halpe
    for layout in FILE_LAYOUTS.values():
        assert layout.parents.count(-1) == 1 and len(layout.flip) == len(layout)


# -------------------------------------------------------------------------------------- in time


def test_gaps_are_bridged_or_held() -> None:
    frames = np.array([0, 1, 2, 3, 5, 20, 21, 22])
    x = np.array([np.nan, 10, np.nan, 30, 34, np.nan, 90, np.nan])
    xy = np.stack([np.stack([x, -x], -1), np.full((8, 2), np.nan)], 1)
    out = fill_in_time(xy, frames)
    np.testing.assert_allclose(out[:, 0, 0], [10, 10, 20, 30, 34, 34, 90, 90])
    np.testing.assert_allclose(out[:, 0, 1], -out[:, 0, 0])
    assert np.isnan(out[:, 1]).all()
    short = fill_in_time(xy[[4, 5, 6]], np.array([5, 10, 16]))  # 10 frames between: a line
    np.testing.assert_allclose(short[1, 0, 0], 34 + (90 - 34) * 5 / 11)


def person(x: float, layout: Layout = COCO17) -> Person:
    xy = tracks(layout)[0, 0, :, :2] + [x, 0]
    return Person(xy, None, np.ones(len(layout)), box_around(xy), layout, -1)


def test_people_keep_their_track_over_short_gaps() -> None:
    seen = [
        Result(0, 0.0, (person(0), person(300))),
        Result(1, 0.0, (person(302), person(3))),
        Result(2, 0.0, (person(6),)),
        Result(5, 0.0, (person(9), person(305))),
        Result(30, 0.0, (person(305),)),
    ]
    found = [[p.track for p in r.people] for r in followed(tuple(seen))]
    assert found == [[0, 1], [1, 0], [0], [0, 1], [2]]


# ---------------------------------------------------------------------------------------- forms


def as_jsonl(path: Path, table: np.ndarray, layout: Layout) -> Path:
    with ResultsWriter(path, layout=layout, fps=10.0, size=(640, 480)) as out:
        for t in range(table.shape[1]):
            people = tuple(
                Person(p[t, :, :2], None, p[t, :, 2], box_around(p[t, :, :2]), layout, 7 + n)
                for n, p in enumerate(table)
            )
            out.write(Result(t, t / 10, people))
    return path


def as_coco(path: Path, table: np.ndarray) -> Path:
    flat = table.transpose(1, 0, 2, 3).reshape(-1, *table.shape[2:])
    ids = np.repeat(np.arange(table.shape[1]), len(table))
    write_results(path, Results(ids, flat[..., :2], flat[..., 2], flat[..., 2].mean(-1)))
    return path


def as_array(path: Path, table: np.ndarray) -> Path:
    np.save(path, table[0]) if path.suffix == ".npy" else np.savez(path, xy=table[0])
    return path


def as_alphapose(path: Path, table: np.ndarray) -> Path:
    entries = [
        {"image_id": f"frame_{t}.jpg", "keypoints": (p[t] - [0.5, 0.5, 0]).ravel().tolist()}
        for t in range(table.shape[1])
        for p in table
    ]
    path.write_text(json.dumps(entries))
    return path


FORMS: dict[str, tuple[Layout, Callable[[Path, np.ndarray], Path], tuple[str, ...]]] = {
    "openpose25": (OPENPOSE25, lambda d, t: openpose(d / "json", t), ()),
    "openpose18": (OPENPOSE18, lambda d, t: openpose(d / "json", t), ()),
    "openpose-plain-names": (OPENPOSE25, lambda d, t: openpose(d / "j", t, name="f{}.json"), ()),
    "coco": (COCO17, lambda d, t: as_coco(d / "results.json", t), ()),
    "alphapose26": (HALPE26, lambda d, t: as_alphapose(d / "alpha.json", t), ()),
    "jsonl": (COCO17, lambda d, t: as_jsonl(d / "in.jsonl", t, COCO17), ()),
    "npy": (MPII16, lambda d, t: as_array(d / "a.npy", t), ("--layout", "MPII16")),
    "npz": (H36M17, lambda d, t: as_array(d / "a.npz", t), ("--layout", "H36M17")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: str, tmp_path: Path, weights: Path) -> None:
    layout, write, options = FORMS[form]
    table = tracks(layout, frames=12)
    out = tmp_path / "out.jsonl"
    assert lift(write(tmp_path, table), out, weights, *options) == 0
    header, results = read_jsonl(out)
    xy, score = to_h36m17(table[0, ..., :2], table[0, ..., 2], layout)
    assert header.layout == H36M17 and [r.index for r in results] == list(range(12))
    fps = 10.0 if form == "jsonl" else 30.0
    assert header.fps == fps and results[3].time_s == pytest.approx(3 / fps)
    for t, result in enumerate(results):
        (found,) = result.people
        assert found.track == (7 if form == "jsonl" else 0)
        np.testing.assert_allclose(found.xy, xy[t], atol=0.011)
        np.testing.assert_allclose(found.score, score[t], atol=1e-3)
        assert found.xyz is not None
        np.testing.assert_allclose(found.xyz, expected_xyz(xy[t : t + 1])[0], atol=1.0)
        assert (found.xyz[H36M17.root] == 0).all()


def test_one_file_of_openpose_and_a_page(tmp_path: Path, weights: Path) -> None:
    folder = openpose(tmp_path / "json", tracks(OPENPOSE25, frames=1, people=2))
    (file,) = folder.iterdir()
    assert lift(file, tmp_path / "one.jsonl", weights, "--html") == 0
    header, (result,) = read_jsonl(tmp_path / "one.jsonl")
    assert len(result.people) == 2 and header.fps is None
    assert '"xyz":[[' in (tmp_path / "one.html").read_text()
    assert lift(file, tmp_path / "main.jsonl", weights, "--people", "1") == 0
    assert len(read_jsonl(tmp_path / "main.jsonl")[1][0].people) == 1


def test_frames_are_numbered_by_their_names(tmp_path: Path) -> None:
    folder = openpose(tmp_path, tracks(OPENPOSE25, frames=12), name="v2_{}_keypoints.json")
    (folder / "v2_4_keypoints.json").unlink()
    found = read_keypoints(folder, fps=10)
    assert [r.index for r in found.results] == [0, 1, 2, 3, *range(5, 12)]
    assert found.results[4].time_s == 0.5


def test_what_was_invented_is_said(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tracks(OPENPOSE25, frames=5)
    wrist, ankle = (OPENPOSE25.index(j) for j in ("l_wrist", "r_ankle"))
    table[0, 2, wrist] = 0  # one frame: over time
    table[0, :, ankle] = 0  # never seen: from the knee
    assert lift(openpose(tmp_path / "json", table), tmp_path / "o.jsonl", weights) == 0
    said = capsys.readouterr().out
    assert "OPENPOSE25 has no spine, head" in said
    assert "6 of 85 joints" in said and "1 filled in over time, 5 from" in said
    _, results = read_jsonl(tmp_path / "o.jsonl")
    (found,) = results[2].people
    middle = table[0, [1, 3], wrist, :2].mean(0)
    np.testing.assert_allclose(found.xy[H36M17.index("l_wrist")], middle, atol=0.01)
    at = {j: found.xy[H36M17.index(j)] for j in ("r_ankle", "r_knee")}
    np.testing.assert_array_equal(at["r_ankle"], at["r_knee"])
    invented = [H36M17.index(j) for j in ("l_wrist", "r_ankle")]
    assert (found.score[invented] == 0).all() and (np.delete(found.score, invented) > 0).all()


def test_frames_without_people_stay(tmp_path: Path, weights: Path) -> None:
    table = tracks(OPENPOSE25, frames=4, people=2)
    table[:, 1] = np.nan
    table[1, 2, 3:] = 0  # the second person has 3 joints there: left out
    assert lift(openpose(tmp_path / "json", table), tmp_path / "o.jsonl", weights) == 0
    _, results = read_jsonl(tmp_path / "o.jsonl")
    assert [[p.track for p in r.people] for r in results] == [[0, 1], [], [0], [0, 1]]


def test_streams_mirror_and_size(tmp_path: Path) -> None:
    lifter = made(dataclasses.replace(CONFIG, normalisation="screen"))
    table = tracks(H36M17)[0]
    np.save(tmp_path / "a.npy", table)
    found = read_keypoints(tmp_path / "a.npy", layout="H36M17")
    with pytest.raises(ValueError, match="--size WIDTH HEIGHT"):
        lift_keypoints(lifter, found)
    found = dataclasses.replace(found, size=(640, 480))
    points = torch.tensor(table[..., :2], dtype=torch.float32)
    size = torch.tensor([[640.0, 480.0]]).repeat(4, 1)
    with torch.no_grad():
        answers: dict[tuple[Combine, bool], torch.Tensor] = {
            ("det", False): lifter(points, size, combine="det"),
            ("mean", True): lift_with_mirror(lifter, points, size),
        }
    for (combine, flip), expected in answers.items():
        results = lift_keypoints(lifter, found, combine=combine, flip=flip).results
        xyz = np.array([r.people[0].xyz for r in results])
        np.testing.assert_allclose(xyz, expected, atol=0.05)


# --------------------------------------------------------------------------------------- errors


def refused(said: str, *parts: str) -> None:
    assert len(said.splitlines()) == 1 and said.startswith("poseact: ")
    for part in parts:
        assert part in said, said


BAD: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "text": ("a.txt", "hello", ("OpenPose", ".npy")),
    "broken json": ("a.json", "{", ("a.json",)),
    "other json": ("a.json", '{"instance_info": []}', ("people", "COCO results")),
    "coco annotations": ("a.json", '{"annotations": [], "images": []}', ("annotation file",)),
    "no keypoints": ("a.json", '[{"image_id": 1}]', ("not COCO results", "keypoints")),
    "not a table": ("a.json", '[{"image_id": 1, "keypoints": [1, 2]}]', ("x y score",)),
    "no number": ("a.json", '[{"image_id": "a.jpg", "keypoints": [1, 2, 3]}]', ("no number",)),
    "nobody": ("a.json", '{"people": []}', ("nobody",)),
    "empty list": ("a.json", "[]", ("number of joints",)),
    "odd person": ("a.json", '{"people": [{"hands": []}]}', ("pose_keypoints_2d",)),
    "odd count": (
        "a.json",
        json.dumps({"people": [{"pose_keypoints_2d": [5.0] * 21}]}),
        ("7 joints", "25 (OPENPOSE25)", "--layout"),
    ),
    "0..1": (
        "a.json",
        json.dumps({"people": [{"pose_keypoints_2d": [0.4] * 75}]}),
        ("px", "--keypoint_scale 0"),
    ),
    "other jsonl": ("a.jsonl", '{"schema": "x/1"}', ("line 1", "poseact/1")),
    "no layout": ("a.npy", np.ones((2, 17, 2)), ("--layout", "COCO17")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(
    case: str, tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, parts = BAD[case]
    path = tmp_path / name
    np.save(path, content) if isinstance(content, np.ndarray) else path.write_text(content)
    assert lift(path, tmp_path / "o.jsonl", weights) == 2
    refused(capsys.readouterr().err, str(path), *parts)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_bad_arrays(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 16, 2)))
    np.savez(tmp_path / "b.npz", a=np.ones((2, 17, 2)), b=np.ones((2, 17, 2)))
    np.save(tmp_path / "few.npy", np.where(np.arange(17)[:, None] < 3, 9.0, np.zeros((2, 17, 2))))
    (tmp_path / "none").mkdir()
    for name, layout, parts in (
        ("a.npy", "COCO17", ("(T, 17, 2 or 3)", "(2, 16, 2)")),
        ("a.npy", "COCO", ("no layout 'COCO'", "HALPE26")),
        ("b.npz", "COCO17", ("2 of three axes",)),
        ("few.npy", "H36M17", ("nobody with 6 joints",)),
        ("none", "COCO17", ("no .json file",)),
        ("gone.npy", "COCO17", ("no such file",)),
    ):
        assert lift(tmp_path / name, tmp_path / "o.jsonl", weights, "--layout", layout) == 2
        refused(capsys.readouterr().err, *parts)


def test_layout_must_fit_the_file(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = as_jsonl(tmp_path / "in.jsonl", tracks(COCO17), COCO17)
    assert lift(own, tmp_path / "o.jsonl", weights, "--layout", "H36M17") == 2
    refused(capsys.readouterr().err, "has COCO17, not H36M17", "--layout")
    assert lift(own, own, weights) == 2
    refused(capsys.readouterr().err, "overwrite its own input")
    coco = as_coco(tmp_path / "c.json", tracks(COCO17))
    assert lift(coco, tmp_path / "o.jsonl", weights, "--layout", "MPII16") == 2
    refused(capsys.readouterr().err, "17 joints, MPII16 has 16")
    assert lift(coco, tmp_path / "o.jsonl", weights, "--layout", "H36M17") == 0


def test_videos_are_not_mixed(tmp_path: Path) -> None:
    openpose(tmp_path, tracks(OPENPOSE25, frames=2), name="a_{}_keypoints.json")
    openpose(tmp_path, tracks(OPENPOSE25, frames=2), name="b_{}_keypoints.json")
    with pytest.raises(ValueError, match="folder of its own"):
        read_keypoints(tmp_path)


def test_other_weights_and_names_are_refused(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = as_coco(tmp_path / "c.json", tracks(COCO17))
    assert main(["lift", str(source), "-o", str(tmp_path / "o.jsonl"), "--weights", "spnet-s"]) == 2
    refused(capsys.readouterr().err, "is no lifter")
    assert lift(source, tmp_path / "o.json", weights) == 2
    refused(capsys.readouterr().err, ".jsonl")
    assert lift(source, tmp_path / "o.jsonl", weights, "--people", "0") == 2
    refused(capsys.readouterr().err, "--people")
    assert lift(source, tmp_path / "o.jsonl", weights, "--fps", "0") == 2
    refused(capsys.readouterr().err, "--fps")


def test_a_number_is_not_given_twice_and_following_takes_no_longer_in_the_end() -> None:
    """People who come and go, one after the other, each with a number of their own."""
    rng = np.random.default_rng(0)

    def frames(count: int):
        for n in range(count):
            xy = rng.uniform(0, 100, (17, 2)) + 1000 * n
            yield Result(40 * n, n, (Person(xy, None, np.ones(17), box_around(xy), H36M17, -1),))

    tracks = [result.people[0].track for result in followed(frames(3000))]
    assert tracks == list(range(3000))


@pytest.mark.parametrize(
    ("ids", "frames"),
    [
        (["frame_0_rgb2.jpg", "frame_3_rgb2.jpg"], [0, 3]),  # the last number is the camera's
        ([39769, 139769], [0, 1]),  # pictures of their own
        ([4, 9], [4, 9]),
    ],
)
def test_the_number_that_tells_pictures_apart_is_the_frame(
    tmp_path: Path, ids: list, frames: list[int]
) -> None:
    points = np.random.default_rng(0).uniform(10, 400, 51).tolist()
    rows = [{"image_id": i, "keypoints": points, "score": 1.0} for i in ids]
    rows.append({"image_id": ids[0], "keypoints": [], "score": 0.1})
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert [r.index for r in read_keypoints(tmp_path / "a.json").results] == frames
