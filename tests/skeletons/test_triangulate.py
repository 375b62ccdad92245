"""A scene of two people before four cameras, whose joints are known exactly."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.cli.app import main
from poseact.core.calibration import CalibratedCamera, read_calibration
from poseact.core.layouts import PA17
from poseact.core.types import Person, Result
from poseact.results.jsonl import ResultsWriter, read_jsonl
from poseact.skeletons.triangulate import triangulate
from poseact.skeletons.triangulate_files import triangulate_files
from small_results import moving

FRAMES = 40
SIZE = (1280, 720)


def camera(number: int, *, away_mm: float = 5000.0) -> CalibratedCamera:
    """One of four on a circle, 1.8 m high, that look at the middle; world: y up, mm."""
    angle = np.pi / 2 * number + 0.3
    place = np.array([away_mm * np.sin(angle), 1800.0, away_mm * np.cos(angle)])
    forward = np.array([0, 900.0, 0]) - place
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1.0, 0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[1000.0 + 10 * number, 0, 640], [0, 1005.0, 355], [0, 0, 1]])
    bent = np.array([-0.12, 0.05, 0.001, -0.0005, 0.01])
    return CalibratedCamera(f"cam{number}", K, bent, R, -R @ place, SIZE)


CAMERAS = [camera(n) for n in range(4)]


def scene() -> np.ndarray:
    """(P, T, J, 3) mm: somebody squats, somebody walks on the spot, 1.2 m apart."""
    people = []
    for n, action in enumerate(("squat", "walk")):
        xyz = np.stack([r.people[0].xyz for r in moving([(action, FRAMES / 25)], seed=n)[0]])
        people.append(xyz * (1, -1, -1) + (1200.0 * n - 600, 950, 0))
    return np.stack(people)


def seen(
    world: np.ndarray, cameras: Sequence[CalibratedCamera], *, noise_px: float = 0.0
) -> list[list[Result]]:
    """Results of each camera; every other camera counts its people from 10, backwards."""
    rng = np.random.default_rng(0)
    results = []
    for c, cam in enumerate(cameras):
        own = []
        for t in range(world.shape[1]):
            people = []
            for n, xyz in enumerate(world[:, t]):
                xy = cam.project(xyz)
                xy = xy + rng.normal(0, noise_px, xy.shape)
                box = np.concatenate([xy.min(0), xy.max(0)])
                track = 10 + len(world) - n if c % 2 else n
                people.append(Person(xy, None, np.ones(17), box, PA17, track))
            own.append(Result(t, t / 25, tuple(people)))
        results.append(own)
    return results


def errors_mm(world: np.ndarray, bodies: Sequence) -> np.ndarray:
    """(P, T, J) of each person to the body that is nearest."""
    return np.stack(
        [
            min((np.linalg.norm(b.xyz - one, axis=-1) for b in bodies), key=np.nanmedian)
            for one in world
        ]
    )


def test_exact_points_give_exact_joints() -> None:
    world = scene()
    bodies = triangulate(CAMERAS, seen(world, CAMERAS))
    assert len(bodies) == 2
    assert errors_mm(world, bodies).max() < 0.5
    assert all(body.cameras.min() == 4 and body.error_px.max() < 0.05 for body in bodies)
    assert {tuple(sorted(body.tracks)) for body in bodies} == {
        ((0, 0), (1, 12), (2, 0), (3, 12)),
        ((0, 1), (1, 11), (2, 1), (3, 11)),
    }


def test_noise_wrong_joints_hidden_joints_and_swapped_legs() -> None:
    world = scene()
    results = seen(world, CAMERAS, noise_px=2.0)
    rng = np.random.default_rng(1)
    legs = [PA17.index(f"{s}_{j}") for s in "lr" for j in ("hip", "knee", "ankle")]
    for t in range(FRAMES):
        c = rng.integers(4)
        first, *rest = results[c][t].people
        xy, score = first.xy.copy(), first.score.copy()
        if t % 3 == 0:
            xy[legs] = xy[np.array(PA17.flip)[legs]]
        else:
            xy[rng.integers(17)] += 150
            score[rng.integers(17)] = 0.1
        people = (replace(first, xy=xy, score=score), *rest)
        results[c][t] = replace(results[c][t], people=people)
    errors = errors_mm(world, triangulate(CAMERAS, results))
    assert np.isfinite(errors).all()
    assert np.median(errors) <= 15 and np.percentile(errors, 99) < 60


def test_two_cameras_do_and_one_does_not() -> None:
    world = scene()
    bodies = triangulate(CAMERAS[:2], seen(world, CAMERAS[:2]))
    assert np.median(errors_mm(world, bodies)) < 1
    with pytest.raises(ValueError, match="two cameras or more"):
        triangulate(CAMERAS[:1], seen(world, CAMERAS[:1]))
    apart = [seen(world[:1], CAMERAS[:1])[0], seen(world[1:], CAMERAS[1:2])[0]]
    assert triangulate(CAMERAS[:2], apart) == []  # each camera sees somebody else


# --------------------------------------------------------------------------------------- files


def pose2sim(cameras: Sequence[CalibratedCamera]) -> str:
    sections = []
    for c in cameras:
        turn = cv2.Rodrigues(c.R)[0].ravel().tolist()
        sections.append(
            f'[{c.name}]\nname = "{c.name}"\nsize = [ 1280.0, 720.0,]\n'
            f"matrix = {[[*row] for row in c.K.tolist()]}\ndistortions = {c.distortion.tolist()}\n"
            f"rotation = {turn}\ntranslation = {(c.t / 1000).tolist()}\nfisheye = false\n"
        )
    return "\n".join(sections) + "\n[metadata]\nadjusted = false\nerror = 0.0\n"


def opencv(path: Path, cameras: Sequence[CalibratedCamera]) -> None:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for c in cameras:
        storage.startWriteStruct(c.name, cv2.FILE_NODE_MAP)
        storage.write("camera_matrix", c.K)
        storage.write("distortion_coefficients", c.distortion[None])
        storage.write("R", c.R)
        storage.write("tvec", (c.t / 1000)[:, None])
        storage.endWriteStruct()
    storage.release()


@pytest.mark.parametrize("name", ["Calib.toml", "calib.yml", "calib.json"])
def test_calibrations_of_other_programs(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".toml"):
        path.write_text(pose2sim(CAMERAS))
    else:
        opencv(path, CAMERAS)
    found = read_calibration(path)
    assert [c.name for c in found] == [c.name for c in CAMERAS]
    for a, b in zip(found, CAMERAS):
        for one, other in ((a.K, b.K), (a.distortion, b.distortion), (a.R, b.R), (a.t, b.t)):
            np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(read_calibration(path, unit_mm=1)[0].t, CAMERAS[0].t / 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no camera"),
        ("[a]\nmatrix = [[1, 0, 0], [0, 1, 0]]\n", "camera a has none of"),
        ("[a]\nmatrix = __import__('os')\n", "damaged|malformed"),
        (pose2sim(CAMERAS[:1]).replace("fisheye = false", "fisheye = true"), "fisheye"),
    ],
)
def test_a_calibration_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=f"a.toml.*({message})"):
        read_calibration(tmp_path / "a.toml")
    (tmp_path / "a.yml").write_text("{" * 50)
    with pytest.raises(ValueError, match="a.yml"):
        read_calibration(tmp_path / "a.yml")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, files = scene(), []
    for cam, results in zip(CAMERAS, seen(world, CAMERAS)):
        files.append(tmp_path / f"gym_{cam.name}.jsonl")
        with ResultsWriter(files[-1], layout=PA17, fps=25.0, size=SIZE) as out:
            for result in results:
                out.write(result)
    (tmp_path / "c.toml").write_text(pose2sim(CAMERAS[::-1]))  # files go by their names
    args = ["triangulate", *map(str, files), "--calib", str(tmp_path / "c.toml")]
    assert main([*args, "-o", str(tmp_path / "gym")]) == 0
    assert "100% of the joints, reprojected within 0.0 px" in capsys.readouterr().out
    _, results = read_jsonl(tmp_path / "gym.jsonl")
    xyz = results[5].people[0].xyz
    assert xyz is not None and len(results[5].people) == 2
    expected = [(one[5] - one[5, :1]) @ CAMERAS[0].R.T for one in world]
    assert min(np.abs(xyz - e).max() for e in expected) < 1
    with (tmp_path / "gym.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * FRAMES * 17 and {row["cameras"] for row in rows} == {"4"}
    assert (tmp_path / "gym_track0.trc").exists() and (tmp_path / "gym_track1.trc").exists()
    assert main([*args[:2], *args[-2:]]) == 2
    assert "two cameras or more" in capsys.readouterr().err


def _written(folder: Path, results: Sequence[Sequence], size: tuple[int, int] = SIZE) -> list[Path]:
    files = []
    for cam, own in zip(CAMERAS, results):
        files.append(folder / f"{cam.name}.jsonl")
        with ResultsWriter(files[-1], layout=PA17, fps=25.0, size=size) as out:
            for result in own:
                out.write(result)
    return files


def test_slips_are_named_and_nothing_is_lost(tmp_path: Path) -> None:
    files = _written(tmp_path, seen(scene(), CAMERAS))
    before = [file.read_bytes() for file in files]
    calibration = tmp_path / "c.toml"
    calibration.write_text(pose2sim(CAMERAS))
    with pytest.raises(ValueError, match="would overwrite its own input"):
        triangulate_files(files, calibration, files[1].with_suffix(""))
    with pytest.raises(ValueError, match="is given twice"):
        triangulate_files([*files[:3], files[0]], calibration, tmp_path / "out")
    assert [file.read_bytes() for file in files] == before
    done = triangulate_files(files, calibration, tmp_path / "small", unit_mm=1)
    assert any("is the unit of the calibration right?" in note for note in done.notes)
    done = triangulate_files(files, calibration, tmp_path / "out")
    assert not any("right?" in note or "moment?" in note for note in done.notes)
    larger = tmp_path / "larger"
    larger.mkdir()
    with pytest.raises(ValueError, match=r"its pictures are .* camera .* has"):
        triangulate_files(_written(larger, seen(scene(), CAMERAS), (99, 99)), calibration, larger)


def test_files_that_end_at_different_times_are_pointed_out(tmp_path: Path) -> None:
    results = seen(scene(), CAMERAS)
    results[1] = results[1][:-3]
    calibration = tmp_path / "c.toml"
    calibration.write_text(pose2sim(CAMERAS))
    done = triangulate_files(_written(tmp_path, results), calibration, tmp_path / "out")
    assert any("do all begin at the same moment?" in note for note in done.notes)
