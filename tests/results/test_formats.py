"""Other programs' files: read back by our own readers of them, and cell by cell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_jsonl import HEADER, person, results

from poseact.core.layouts import COCO17, H36M17, OPENPOSE25, PA17, convert
from poseact.core.types import Result
from poseact.results.formats import write_c3d, write_coco, write_openpose, write_pyskl, write_trc
from poseact.skeletons.keypoints import read_keypoints


def test_coco_results_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a_coco.json"
    write_coco(path, HEADER, results())
    found = read_keypoints(path)
    assert found.layout is COCO17 and [r.index for r in found.results] == [0, 4]
    for before, after in zip(results()[::2], found.results):
        for one, other in zip(before.people, after.people):
            expected = convert(one.xy, PA17, COCO17)
            np.testing.assert_allclose(other.xy, expected, atol=1e-3)  # and NaN where NaN
            assert np.isnan(expected[COCO17.index("nose")]).all()
            shown = np.isfinite(expected).all(1)
            scores = convert(one.score[:, None], PA17, COCO17)[:, 0]
            np.testing.assert_allclose(other.score[shown], scores[shown], atol=1e-4)
    entry = json.loads(path.read_text())[1]
    assert entry["bbox"] == [1.25, 2.5, 298.75, 397.5] and entry["category_id"] == 1
    assert (entry["image_id"], entry["track_id"], len(entry["keypoints"])) == (0, 7, 51)


def test_coco_tools_read_it(tmp_path: Path) -> None:
    """Points that were annotated are found with an OKS of 1."""
    coco_module = pytest.importorskip("pycocotools.coco", reason="needs poseact[coco]")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    one = replace(person(3), xy=np.random.default_rng(3).uniform(50, 600, (17, 2)), layout=COCO17)
    write_coco(tmp_path / "found.json", replace(HEADER, layout=COCO17), [Result(5, 0.0, (one,))])
    points = np.concatenate([one.xy - 0.5, np.full((17, 1), 2)], 1)
    truth = {
        "images": [{"id": 5, "width": 640, "height": 640}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 5,
                "category_id": 1,
                "keypoints": points.ravel().tolist(),
                "num_keypoints": 17,
                "bbox": [0, 0, 640, 640],
                "area": 640.0 * 640,
                "iscrowd": 0,
            }
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    truth_set = coco_module.COCO(str(tmp_path / "truth.json"))
    scores = evaluation.COCOeval(
        truth_set, truth_set.loadRes(str(tmp_path / "found.json")), "keypoints"
    )
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == pytest.approx(1)


def test_openpose_files_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "a_openpose"
    write_openpose(folder, HEADER, results())
    names = [f"clip_{n:012d}_keypoints.json" for n in (0, 1, 4)]
    assert sorted(p.name for p in folder.iterdir()) == names
    found = read_keypoints(folder)
    assert found.layout is OPENPOSE25 and [len(r.people) for r in found.results] == [2, 0, 1]
    for before, after in zip(results(), found.results):
        for one, other in zip(before.people, after.people):
            np.testing.assert_allclose(other.xy, convert(one.xy, PA17, OPENPOSE25), atol=1e-3)
    first, second = json.loads((folder / names[0]).read_text())["people"]
    assert first["person_id"] == [0] and second["person_id"] == [7]
    space = np.array(first["pose_keypoints_3d"]).reshape(25, 4)
    wrist = OPENPOSE25.index("l_wrist")
    before = results()[0].people[0]
    assert before.xyz is not None
    j = PA17.index("l_wrist")
    np.testing.assert_allclose(space[wrist], [*before.xyz[j], before.score[j]], atol=1e-4)
    assert second["pose_keypoints_3d"] == [] and first["face_keypoints_2d"] == []


def test_an_older_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a_openpose"
    write_openpose(folder, HEADER, results())
    write_openpose(folder, HEADER, results()[:1])
    assert len(list(folder.iterdir())) == 1
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        write_openpose(folder, HEADER, results())
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "a_openpose",
        "clip_000000000000_keypoints.json",
        "thesis.txt",
    ]


def test_markers_are_mm_with_y_up(tmp_path: Path) -> None:
    frames = [Result(r.index, r.time_s, r.people[:1], r.labels) for r in results()]
    (path,) = write_trc(tmp_path / "a.trc", HEADER, frames)
    rows = [line.split("\t") for line in path.read_text().split("\n")]
    assert rows[0] == ["PathFileType", "4", "(X/Y/Z)", "a.trc"]
    assert dict(zip(rows[1], rows[2])) == {
        **dict.fromkeys(("DataRate", "CameraRate", "OrigDataRate"), "29.97"),
        **dict.fromkeys(("NumFrames", "OrigNumFrames"), "5"),
        "NumMarkers": "17",
        "Units": "mm",
        "OrigDataStartFrame": "1",
    }
    assert rows[3][:2] == ["Frame#", "Time"] and rows[3][2::3] == list(PA17.joints)
    assert rows[4][2:8] == ["X1", "Y1", "Z1", "X2", "Y2", "Z2"] and rows[5] == [""]
    table = rows[6:-1]
    assert [row[0] for row in table] == ["1", "2", "3", "4", "5"]
    np.testing.assert_allclose([float(row[1]) for row in table], np.arange(5) / 29.97, atol=1e-6)
    xyz = frames[0].people[0].xyz
    assert xyz is not None
    x, y, z = xyz[0]
    assert [float(cell) for cell in table[0][2:5]] == pytest.approx([x, -y, -z], abs=0.01)
    assert table[0][2 + 3 * 5 :][:3] == [""] * 3  # a joint that is unknown
    assert all(cell == "" for row in table[1:4] for cell in row[2:])  # nobody there
    assert {len(row) for row in table} == {2 + 3 * 17}


def test_each_of_several_people_has_a_file(tmp_path: Path) -> None:
    frames = [Result(n, n / 30, (person(n, track=1), person(9, track=2))) for n in range(2)]
    paths = write_trc(tmp_path / "a.trc", HEADER, frames)
    assert [p.name for p in paths] == ["a_track1.trc", "a_track2.trc"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [p.name for p in paths]


def test_flat_poses_make_no_markers(tmp_path: Path) -> None:
    flat = replace(person(0, layout=H36M17), xyz=None)
    with pytest.raises(ValueError, match=r"a\.trc: no pose in the results is 3D"):
        write_trc(tmp_path / "a.trc", replace(HEADER, layout=H36M17), [Result(0, 0.0, (flat,))])
    assert not list(tmp_path.iterdir())


def test_c3d_comes_back(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d", reason="needs poseact[c3d]")
    (path,) = write_c3d(tmp_path / "a.c3d", HEADER, results())
    file = ezc3d.c3d(str(path))
    about, points = file["parameters"]["POINT"], file["data"]["points"]
    assert about["LABELS"]["value"] == list(PA17.joints) and about["UNITS"]["value"] == ["mm"]
    assert about["RATE"]["value"][0] == pytest.approx(29.97, abs=1e-3)
    assert points.shape == (4, 17, 5)
    xyz = results()[0].people[0].xyz
    assert xyz is not None
    np.testing.assert_allclose(points[:3, :, 0].T, xyz * (1, -1, -1), atol=0.01)  # NaN where NaN
    assert np.isnan(points[:3, :, 1:4]).all()  # nobody
    assert (file["data"]["meta_points"]["residuals"][0, :, 2] == -1).all()


def test_pyskl_clips_hold_everyone(tmp_path: Path) -> None:
    write_pyskl(tmp_path / "a.npz", HEADER, results())
    with np.load(tmp_path / "a.npz") as file:
        assert file["keypoint"].shape == (2, 5, 17, 2) and int(file["total_frames"]) == 5
        assert file["img_shape"].tolist() == [480, 640] and str(file["frame_dir"]) == "clip"
        first = convert(results()[0].people[0].xy, PA17, COCO17)
        np.testing.assert_allclose(file["keypoint"][0, 0], np.nan_to_num(first), atol=1e-3)
        assert (file["keypoint_score"][1, 1:] == 0).all() and (file["keypoint"][1, 1:] == 0).all()
    with pytest.raises(ValueError, match="nobody"):
        write_pyskl(tmp_path / "b.npz", HEADER, [])
