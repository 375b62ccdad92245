"""MPI-INF-3DHP in mmpose's form: miniatures of a known pose, and the real frames there are."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.camera import project, to_world
from poseact.core.layouts import PA17
from poseact.data.sets import mpi_inf_3dhp

# The file's order: names of the data set in the words of PA17.
JOINTS = (
    *("head", "thorax", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist"),
    *("r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "pelvis", "spine", "neck"),
)
F, C = np.array([1500.0, 1498.0]), np.array([1024.0, 1040.0])
R = cv2.Rodrigues(np.array([0.2, 2.5, -0.4]))[0]
T_M = np.array([0.3, 1.2, 4.0])
ACTIVITY = [1, 1, 5, 5, 5, 7, 7, 7]  # of frames 1 to 8


def make(root: Path, *, activities: bool = False) -> Path:
    """Train: two sequences of 4 frames. Test: TS1 without its frame 4, TS5 with two. Shuffled."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    lens = {"f": F[:, None], "c": C[:, None], "w": 2048, "h": 2048}
    train = {"R": R, "T": T_M[:, None], **lens}
    cameras = {
        "train": {"S1_Seq1_Cam0": train, "S8_Seq2_Cam4": train},
        "test": {"TS1": lens, "TS5": lens},
    }
    numbers = {
        "train": {"S1_Seq1_Cam0": [1, 2, 3, 4], "S8_Seq2_Cam4": [1, 2, 3, 4]},
        "test": {"TS1": [1, 2, 3, 5, 6, 8], "TS5": [2, 3]},
    }
    for split, name in {"train": "train", "test": "test_valid"}.items():
        rows = [(s, n) for s, frames in numbers[split].items() for n in frames]
        deep = rng.uniform([-1, -1, 3], [1, 1, 5], (len(rows), 17, 3))
        xy = deep[..., :2] / deep[..., 2:] * F + C
        xy[0, 3] = [-30, 700]  # out of the picture
        seen = (xy >= 0).all(-1, keepdims=True)
        order = rng.permutation(len(rows))
        for i, (sequence, n) in enumerate(rows):
            file = root / "images" / f"{sequence}_{n:06d}.jpg"
            cv2.imwrite(str(file), np.full((8, 8, 3), 10 * i, np.uint8))
        np.savez(
            root / "annotations" / f"mpi_inf_3dhp_{name}.npz",
            imgname=np.array([f"{s}_{n:06d}.jpg" for s, n in rows])[order],
            part=np.concatenate([xy, seen], -1)[order],
            S=np.concatenate([deep, seen], -1)[order],
        )
        file = root / "annotations" / f"cameras_{split}.pkl"
        file.write_bytes(pickle.dumps(cameras[split]))
    if activities:
        write_activities(root / "test" / "TS1" / "annot_data.mat", ACTIVITY)
        write_activities(root / "test" / "TS5" / "annot_data.mat", [2, 6, 6])
    return root


def write_activities(file: Path, values: list[int]) -> None:
    """A .mat of version 7.3: HDF5 after 512 bytes of MATLAB's own."""
    h5py = pytest.importorskip("h5py")
    file.parent.mkdir(parents=True)
    with h5py.File(file, "w", userblock_size=512) as mat:
        mat["activity_annotation"] = np.array(values, np.float64)[:, None]
        mat["activity_annotation"].attrs["MATLAB_class"] = np.bytes_("double")
    with file.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


class TestTrain:
    def test_sequences_in_order_with_joints_by_name(self, tmp_path: Path) -> None:
        records = mpi_inf_3dhp.load(make(tmp_path), "train")
        by_name = {f"{r.subject}_{r.view}": r for r in records}
        assert set(by_name) == {"S1_Cam0", "S8_Cam4"}
        with np.load(tmp_path / "annotations" / "mpi_inf_3dhp_train.npz") as table:
            rows = {str(n): i for i, n in enumerate(table["imgname"])}
            for sequence, name in (("S1_Seq1_Cam0", "S1_Cam0"), ("S8_Seq2_Cam4", "S8_Cam4")):
                record = by_name[name]
                assert record.layout is PA17 and record.action is None
                assert record.xyz is not None
                for t in range(4):
                    row = rows[f"{sequence}_{t + 1:06d}.jpg"]
                    for j, joint in enumerate(JOINTS):
                        at = PA17.index(joint)
                        np.testing.assert_allclose(
                            record.xy[t, at], table["part"][row, j, :2], rtol=1e-6
                        )
                        mm = table["S"][row, j, :3] * 1000
                        np.testing.assert_allclose(record.xyz[t, at], mm, rtol=1e-6)

    def test_camera_turns_world_into_camera_axes_and_pixels(self, tmp_path: Path) -> None:
        for record in mpi_inf_3dhp.load(make(tmp_path), "train"):
            assert record.camera is not None and record.xyz is not None
            xyz = record.xyz.astype(np.float64)
            world = to_world(record.camera, xyz)
            np.testing.assert_allclose(world @ R.T + T_M * 1000, xyz, atol=1e-6)  # X' = R X + T
            at = PA17.index("r_elbow")
            inside = np.arange(17) != at
            found = project(record.camera, world)[0]
            np.testing.assert_allclose(found[:, inside], record.xy[:, inside], atol=0.01)

    def test_out_of_the_picture_is_known_but_not_visible(self, tmp_path: Path) -> None:
        records = mpi_inf_3dhp.load(make(tmp_path), "train")
        (first,) = (r for r in records if r.subject == "S1")
        at = PA17.index("r_elbow")
        assert first.visible is not None and first.box is not None
        assert not first.visible[0, at] and first.visible[1:].all()
        np.testing.assert_allclose(first.xy[0, at], [-30, 700])
        assert first.box[0, 0] == -30

    def test_pictures_step_and_stills(self, tmp_path: Path) -> None:
        root = make(tmp_path)
        records = mpi_inf_3dhp.load(root, "train", step=2)
        assert [len(r) for r in records] == [2, 2]
        shades = set()
        for record in pickle.loads(
            pickle.dumps(mpi_inf_3dhp.load(root, "train", step=2, stills=True))
        ):
            assert len(record) == 1 and record.frame is not None
            shades.add(int(record.frame(0)[0, 0, 0]))
        assert shades == {0, 20, 40, 60}  # frames 1 and 3 of each

    def test_missing_picture_and_camera_are_named(self, tmp_path: Path) -> None:
        root = make(tmp_path)
        (root / "images" / "S8_Seq2_Cam4_000004.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"S8_Seq2_Cam4_000004\.jpg"):
            mpi_inf_3dhp.load(root)
        (root / "annotations" / "cameras_train.pkl").write_bytes(pickle.dumps({}))
        with pytest.raises(ValueError, match="no camera of it is known"):
            mpi_inf_3dhp.load(root)
        (root / "annotations" / "cameras_train.pkl").unlink()
        with pytest.raises(FileNotFoundError, match=r"cameras_train\.pkl"):
            mpi_inf_3dhp.load(root)


class TestTest:
    def test_without_the_original_files_activities_are_unknown(self, tmp_path: Path) -> None:
        records = mpi_inf_3dhp.load(make(tmp_path), "test")
        assert {(r.subject, r.view, len(r), r.action) for r in records} == {
            ("TS1", "green screen", 6, None),
            ("TS5", "outdoors", 2, None),
        }
        assert {r.subject for r in mpi_inf_3dhp.load(tmp_path, "all")} == {"S1", "S8", "TS1", "TS5"}

    def test_runs_of_one_activity(self, tmp_path: Path) -> None:
        root = make(tmp_path, activities=True)
        records = [r for r in mpi_inf_3dhp.load(root, "test") if r.subject == "TS1"]
        names = [mpi_inf_3dhp.ACTIVITIES[r.action or 0] for r in records]
        assert names == ["Standing/Walking", "On The Floor", "Miscellaneous"]
        assert [len(r) for r in records] == [2, 2, 2]  # frames 1 2, 3 5, 6 8
        whole = np.concatenate([r.xy for r in records])
        stills = [r for r in mpi_inf_3dhp.load(root, "test", stills=True) if r.subject == "TS1"]
        np.testing.assert_array_equal(np.concatenate([r.xy for r in stills]), whole)
        assert [(r.action or 0) + 1 for r in stills] == [
            ACTIVITY[n - 1] for n in (1, 2, 3, 5, 6, 8)
        ]
        last = records[2].frame
        assert last is not None and abs(int(last(1)[0, 0, 0]) - 50) <= 1

    def test_activities_of_another_file_are_refused(self, tmp_path: Path) -> None:
        root = make(tmp_path)
        write_activities(root / "TS5" / "annot_data.mat", [1, 2])
        with pytest.raises(ValueError, match="has 2 frames, frame 3 is listed"):
            mpi_inf_3dhp.load(root, "test")
        write_activities(root / "test" / "TS5" / "annot_data.mat", [1, 2, 8])
        with pytest.raises(ValueError, match="activities are 1 to 7"):
            mpi_inf_3dhp.load(root, "test")


class TestErrors:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"mpi_inf_3dhp_test_valid\.npz"):
            mpi_inf_3dhp.load(tmp_path, "test")
        with pytest.raises(ValueError, match="splits train, test, all; got 'val'"):
            mpi_inf_3dhp.load(tmp_path, "val")
        with pytest.raises(ValueError, match="at least 1, got -1"):
            mpi_inf_3dhp.load(tmp_path, step=-1)

    @pytest.mark.parametrize("name", ["../S1_Seq1_Cam0_000001.jpg", "/a/S1_Seq1_Cam0_000001.jpg"])
    def test_paths_stay_in_the_folder(self, tmp_path: Path, name: str) -> None:
        root = make(tmp_path)
        file = root / "annotations" / "mpi_inf_3dhp_train.npz"
        np.savez(file, imgname=np.array([name]), part=np.ones((1, 17, 3)), S=np.ones((1, 17, 4)))
        with pytest.raises(ValueError, match="does not stay under"):
            mpi_inf_3dhp.load(root)

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        root = make(tmp_path)
        file = root / "annotations" / "mpi_inf_3dhp_train.npz"
        np.savez(file, imgname=np.array(["x.jpg"]), part=np.ones((1, 28, 3)), S=np.ones((1, 28, 4)))
        with pytest.raises(ValueError, match=r"\(N, 17, 3\)"):
            mpi_inf_3dhp.load(root)
        np.savez(file, imgname=np.array(["x.jpg"]), part=np.ones((1, 17, 3)))
        with pytest.raises(ValueError, match="lacks S"):
            mpi_inf_3dhp.load(root)
        np.savez(file, imgname=np.array(["x.jpg"]), part=np.ones((1, 17, 3)), S=np.ones((1, 17, 4)))
        with pytest.raises(ValueError, match=r"'x\.jpg'; expected S1_Seq1"):
            mpi_inf_3dhp.load(root)


@pytest.mark.parametrize("split", ["train", "test"])
def test_real_frames(shared_data: Path, split: str) -> None:
    folder = shared_data / "samples" / "mmpose_mpi_inf_3dhp"
    records = mpi_inf_3dhp.load(folder / f"test_3dhp_{split}.npz", split)
    expected = {"train": ["S4", "S8"], "test": ["TS1", "TS2"]}
    assert [r.subject for r in records] == expected[split]
    moved = np.isin(PA17.joints, ["l_hip", "r_hip", "spine"])
    for record in records:
        assert record.frame is not None and record.camera is not None and record.xyz is not None
        assert record.frame(0).shape == (2048, 2048, 3)
        found, depth = project(record.camera, to_world(record.camera, record.xyz.astype(float)))
        error = np.linalg.norm(found - record.xy, axis=-1)[0]
        assert error[~moved].max() < 0.25 and error[moved].max() < 2.5  # px
        assert (depth > 2000).all() and (depth < 5000).all()
        joints = [
            record.xyz[0, PA17.index(f"{side}_{j}")] for side in "lr" for j in ("hip", "knee")
        ]
        thighs = [np.linalg.norm(joints[i] - joints[i + 1]) for i in (0, 2)]
        assert all(300 < thigh < 600 for thigh in thighs)  # mm
