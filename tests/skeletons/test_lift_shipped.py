"""The shipped lifter: better than baselines on people it never saw, used by default, drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import lift_sheet
from lifter_people import write_mocap
from poseact.cli.app import main
from poseact.core.layouts import H36M17, OPENPOSE25
from poseact.evaluate.metrics import mpjpe, p_mpjpe, root_aligned
from poseact.media.pictures import read_image
from poseact.models import weights
from poseact.models.lifter import Lifter
from poseact.people import PeopleConfig
from poseact.people.cast import sample_body, sample_motion
from poseact.people.skeleton import to_layout
from poseact.results.jsonl import read_jsonl
from poseact.skeletons.gaps import Detector, Pairs, detected, random_views
from poseact.skeletons.learn.lifter import lift, mean_pose, nearest_pose


def rendered(split: str, clips: int) -> Pairs:
    """Joints of made people who do the 21 actions, none of it motion capture, by random cameras."""
    assert split in ("train", "test")
    config = PeopleConfig(frames=4, split=split, layout=H36M17.name)
    poses = []
    for index in range(clips):
        rng = np.random.default_rng([5, split == "test", index])
        body = sample_body(config, rng)
        motion = sample_motion(config, body, rng)
        poses.append(to_layout(motion.position, motion.rotation, H36M17.name))
    world = root_aligned(np.concatenate(poses) * 1000.0, H36M17.root)
    return random_views(world, np.random.default_rng(0)).see(world)


@pytest.fixture(scope="module")
def shipped() -> Lifter:
    return weights.load_lifter("lifter").model


@pytest.fixture(scope="module")
def people() -> Pairs:
    return rendered("test", 60)


def test_it_beats_the_mean_pose_and_the_nearest_neighbour(shipped: Lifter, people: Pairs) -> None:
    """Both baselines know rendered people, the lifter has only seen motion capture."""
    known = rendered("train", 120)
    seen = detected(people, Detector(), np.random.default_rng(0))
    for given, share in ((people, 0.7), (seen, 0.75)):
        answer = lift(shipped, given.xy, given.size)
        baselines = mean_pose(known, len(people)), nearest_pose(known, given.xy)
        for error, part in ((mpjpe, share), (p_mpjpe, 0.92)):
            least = min(error(baseline, people.xyz).mean for baseline in baselines)
            assert error(answer, people.xyz).mean < part * least


def test_left_is_left_and_down_is_down(shipped: Lifter, people: Pairs) -> None:
    """The order of both shoulders, hips and of head over feet is seen, not guessed."""
    answer = lift(shipped, people.xy, people.size)
    for a, b, axis in (
        ("l_shoulder", "r_shoulder", 0),
        ("l_hip", "r_hip", 0),
        ("head", "l_ankle", 1),
    ):
        there = np.diff(people.xyz[:, [H36M17.index(a), H36M17.index(b)], axis])[:, 0]
        found = np.diff(answer[:, [H36M17.index(a), H36M17.index(b)], axis])[:, 0]
        clear = np.abs(there) > 100
        assert clear.sum() > 50 and (np.sign(there) == np.sign(found))[clear].mean() > 0.97


def test_it_is_half_as_large_and_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    path = weights.available()["lifter"]
    assert path.stat().st_size < 6e6
    card = weights.read_card("lifter")
    assert card.architecture == "lifter" and card.layout == "H36M17"
    assert {"data", "recipe"} <= set(card.provenance)
    assert main(["models"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("lifter ")]
    assert "2D joints to 3D, layout H36M17" in line and "px" not in line


def test_it_is_what_lift_uses(tmp_path: Path, shipped: Lifter, people: Pairs) -> None:
    table = np.zeros((25, 3))
    for j, name in enumerate(H36M17.joints):
        if name in OPENPOSE25.joints:
            table[OPENPOSE25.index(name)] = [*people.xy[0, j], 0.9]
    source = tmp_path / "a_000000000000_keypoints.json"
    source.write_text(json.dumps({"people": [{"pose_keypoints_2d": table.ravel().tolist()}]}))
    size = [str(round(side)) for side in people.size[0]]
    out = tmp_path / "out.jsonl"
    assert main(["lift", str(source), "-o", str(out), "--size", *size]) == 0
    header, (result,) = read_jsonl(out)
    assert header.model == "lifter"
    (found,) = result.people
    answer = lift(shipped, found.xy[None].astype(np.float32), people.size[:1])[0]
    assert found.xyz is not None
    np.testing.assert_allclose(found.xyz, answer, atol=1.0)


def test_the_sheet_shows_truth_and_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mocap(tmp_path)
    out = tmp_path / "sheet.png"
    where = ["--root", str(tmp_path), "-o", str(out)]
    assert lift_sheet.main([*where, "--split", "val"]) == 0
    sheet = read_image(out)
    assert sheet.shape[1] > 5 * 220 and len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50
    (tmp_path / "cmu17.npz").unlink()
    assert lift_sheet.main(where) == 2
    assert "cmu17.npz" in capsys.readouterr().err
