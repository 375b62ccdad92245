"""Human3.6M in its four forms: every miniature is made of one true pose and known cameras."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from poseact.core.camera import project, to_camera, to_world
from poseact.core.layouts import COCO17, DEEPHAR_INDEX, H36M17, LSP14, PA17, PA20
from poseact.core.types import Camera, Record
from poseact.data.sets import h36m

VIEWS = ("54138969", "55011271", "58860488", "60457274")
KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]

FRAMES = 7


def world(seed: int, frames: int = FRAMES) -> np.ndarray:
    """(T, 32, 3) mm about the middle of the room, z up."""
    rng = np.random.default_rng(seed)
    return rng.uniform([-700, -700, 0], [700, 700, 1800], (frames, 32, 3))


def built_in(subject: str, view: str) -> Camera:
    """What the reader knows by itself; checked against real files below."""
    return h36m._cameras(Path("nowhere"))[subject, view]


def published_projection(points: np.ndarray, camera: Camera, raw_p: np.ndarray) -> np.ndarray:
    """As the data set's own code writes it: p of the metadata, its first with y, its second with x.

    points: (..., 3) mm in camera axes.
    """
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    r2 = x**2 + y**2
    factor = 1 + camera.k[0] * r2 + camera.k[1] * r2**2 + camera.k[2] * r2**3
    factor = factor + raw_p[0] * y + raw_p[1] * x
    plane = np.stack([x * factor + raw_p[1] * r2, y * factor + raw_p[0] * r2], -1)
    return plane * camera.f + camera.c


def assert_consistent(record: Record, points: np.ndarray, *, atol_px: float = 0.01) -> None:
    """The record's 3D is these world points (T, 17, 3) mm, and its camera leads to its xy."""
    assert record.camera is not None and record.xyz is not None and record.box is not None
    back = to_world(record.camera, record.xyz.astype(np.float64))
    np.testing.assert_allclose(back, points, atol=0.01)
    np.testing.assert_allclose(project(record.camera, back)[0], record.xy, atol=atol_px)
    assert (record.xyz[..., 2] > 2000).all()  # the root's depth is there, not taken off
    np.testing.assert_allclose(record.box[:, :2], record.xy.min(1), rtol=1e-6)
    np.testing.assert_allclose(record.box[:, 2:], record.xy.max(1), rtol=1e-6)


def grid(frames: int, joints: int) -> np.ndarray:
    """(T, J, 2): every point is (its frame, its joint)."""
    return np.moveaxis(np.indices((frames, joints)), 0, -1)


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), value, np.uint8))


class TestActions:
    def test_first_word_decides(self) -> None:
        names = [h36m.ACTIONS[h36m.action_index(f"{a} 1")] for a in h36m.ACTIONS]
        assert names == list(h36m.ACTIONS) and len(set(names)) == 15
        assert h36m.ACTIONS[h36m.action_index("SittingDown_2")] == "SittingDown"
        assert h36m.ACTIONS[h36m.action_index("WalkingDog")] == "WalkDog"
        assert h36m.ACTIONS[h36m.action_index("WalkTogether 1")] == "WalkTogether"

    @pytest.mark.parametrize("name", ["_ALL", "Sit", "Walk", ""])
    def test_no_prefix_counts(self, name: str) -> None:
        with pytest.raises(ValueError, match="no action"):
            h36m.action_index(name)


class TestMmpose:
    """annotation_body3d/fps50, with the rows in no order and a frame number that grows by 5."""

    def make(self, root: Path, *, digits: int = 6) -> Path:
        rng = np.random.default_rng(0)
        cameras: dict[tuple[str, str], dict[str, Any]] = {}
        for (subject, view), c in h36m._cameras(Path("nowhere")).items():
            columns = {"T": c.t / 1000, "f": c.f, "c": c.c, "k": c.k, "p": c.p[::-1]}
            cameras[subject, view] = {key: v[:, None] for key, v in columns.items()}
            cameras[subject, view] |= {"R": c.R.T, "w": 1000, "h": 1002, "id": view}
        folder = root / "annotation_body3d"
        (folder / "fps50").mkdir(parents=True)
        (folder / "cameras.pkl").write_bytes(pickle.dumps(cameras))
        for split, sequences in {
            "train": [("S1", "Directions_1", 0), ("S8", "WalkDog", 1)],
            "test": [("S9", "Sitting", 2), ("S9", "SittingDown", 3), ("S11", "Directions", 1)],
        }.items():
            names, part, deep = [], [], []
            for seed, (subject, action, v) in enumerate(sequences):
                camera = built_in(subject, VIEWS[v])
                xyz = to_camera(camera, world(seed)[:, KEPT])
                for t in range(FRAMES):
                    stem = f"{subject}_{action}.{VIEWS[v]}"
                    names.append(f"{subject}/{stem}/{stem}_{5 * t + 1:06d}.jpg")
                    flat = f"{subject}/{stem}/{stem}_{5 * t + 1:0{digits}d}.jpg"
                    picture(root / "images" / flat, 10 * seed + t)
                    ones = np.ones((17, 1))
                    xy = published_projection(xyz[t], camera, camera.p[::-1])
                    part.append(np.hstack([xy, ones]))
                    deep.append(np.hstack([xyz[t] / 1000, ones]))
            order = rng.permutation(len(names))
            np.savez(
                folder / "fps50" / f"h36m_{split}.npz",
                imgname=np.array(names)[order],
                center=np.zeros((len(names), 2)),
                scale=np.ones(len(names)),
                part=np.array(part)[order],
                S=np.array(deep)[order],
            )
        return root

    def test_sequences_are_whole_and_in_order(self, tmp_path: Path) -> None:
        records = h36m.load(self.make(tmp_path), "train")
        assert {(r.subject, r.view, h36m.ACTIONS[r.action or 0]) for r in records} == {
            ("S1", VIEWS[0], "Directions"),
            ("S8", VIEWS[1], "WalkDog"),
        }
        assert len(records) == 2
        for record in records:
            seed = int(record.subject == "S8")
            assert len(record) == FRAMES and record.layout is H36M17 and record.source == "h36m"
            assert_consistent(record, world(seed)[:, KEPT])
            copy = pickle.loads(pickle.dumps(record)).frame
            assert copy is not None and record.visible is not None and record.visible.all()
            for t in range(FRAMES):
                assert abs(int(copy(t)[0, 0, 0]) - (10 * seed + t)) <= 1

    def test_test_subjects_and_the_damaged_video(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        with pytest.warns(UserWarning, match="left out 1 sequences of S11 Directions"):
            records = h36m.load(root, "test")
        assert sorted(h36m.ACTIONS[r.action or 0] for r in records) == ["Sitting", "SittingDown"]
        assert {r.subject for r in records} == {"S9"}
        assert len(h36m.load(root, "val", drop_corrupt=False)) == 3
        assert len(h36m.load(root, "all", drop_corrupt=False)) == 5
        only = h36m.load(root, "test", subjects=["S11"], drop_corrupt=False)
        assert [r.subject for r in only] == ["S11"]
        with pytest.raises(ValueError, match="nothing of the subjects S7"):
            h36m.load(root, "test", subjects=["S7"])

    def test_step_and_stills(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        whole = {r.subject: r for r in h36m.load(root, "train")}
        thin = {r.subject: r for r in h36m.load(root, "train", step=3)}
        for subject, record in thin.items():
            np.testing.assert_array_equal(record.xy, whole[subject].xy[::3])
        stills = h36m.load(root, "train", step=3, stills=True)
        assert [len(r) for r in stills] == [1] * 6
        last = stills[2]
        assert last.frame is not None and last.xyz is not None
        full = whole[last.subject]
        assert full.frame is not None and full.xyz is not None
        np.testing.assert_array_equal(last.frame(0), full.frame(6))
        np.testing.assert_array_equal(last.xyz[0], full.xyz[6])

    def test_five_digits_on_disk(self, tmp_path: Path) -> None:
        record = h36m.load(self.make(tmp_path, digits=5), "train")[0]
        assert record.frame is not None and record.frame(1).shape == (8, 8, 3)

    def test_missing_picture_is_named(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        folder = root / "images/S8/S8_WalkDog.55011271"
        (folder / "S8_WalkDog.55011271_000031.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"WalkDog.55011271_000031\.jpg"):
            h36m.load(root)

    def test_detections_take_the_place_of_xy(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        plain = h36m.load(root, "train")
        with np.load(root / "annotation_body3d/fps50/h36m_train.npz") as table:
            np.save(root / "cpn_train.npy", table["part"] + [7.0, -3, 0])
        moved = h36m.load(root, "train", detections="cpn_train.npy")
        for a, b in zip(plain, moved, strict=True):
            assert a.xyz is not None and b.xyz is not None
            np.testing.assert_allclose(
                b.xy - a.xy, np.broadcast_to([7.0, -3], a.xy.shape), atol=1e-3
            )
            np.testing.assert_array_equal(b.xyz, a.xyz)

    def test_paths_stay_in_the_folder(self, tmp_path: Path) -> None:
        name = "../../S1_Directions.54138969/S1_Directions.54138969_000001.jpg"
        table: dict[str, Any] = {"part": np.ones((1, 17, 3)), "S": np.ones((1, 17, 4))}
        np.savez(tmp_path / "h36m_train.npz", imgname=np.array([name]), **table)
        with pytest.raises(ValueError, match=r"\.\."):
            h36m.load(tmp_path)

    def test_other_joints_are_refused(self, tmp_path: Path) -> None:
        table: dict[str, Any] = {"part": np.ones((1, 24, 3)), "S": np.ones((1, 24, 4))}
        np.savez(tmp_path / "h36m_train.npz", imgname=np.array(["S1_A.54138969_1.jpg"]), **table)
        with pytest.raises(ValueError, match="has 24 joints"):
            h36m.load(tmp_path)

    def test_the_original_projects_joints_from_17(self, tmp_path: Path) -> None:
        """All of PA17, whose extra joint is the pelvis; of PA20 hands and feet are unknown."""
        root = self.make(tmp_path)
        record = h36m.load(root, "train", layout=PA17)[0]
        table = [i if i != 11 else 0 for i in DEEPHAR_INDEX["pa17_from_h36m32"]]
        assert record.layout is PA17 and record.visible is not None and record.visible.all()
        assert_consistent(record, world(0)[:, table])
        record = h36m.load(root, "train", layout=PA20)[0]
        unknown = [PA20.index(f"{side}_{end}") for side in "lr" for end in ("hand", "foot")]
        known = [j for j in range(20) if j not in unknown]
        table = [DEEPHAR_INDEX["pa20_from_h36m32"][j] for j in known]
        assert record.xyz is not None and record.visible is not None and record.camera is not None
        assert np.isnan(record.xyz[:, unknown]).all() and np.isnan(record.xy[:, unknown]).all()
        assert not record.visible[:, unknown].any() and record.visible[:, known].all()
        back = to_world(record.camera, record.xyz[:, known].astype(np.float64))
        np.testing.assert_allclose(back, world(0)[:, table], atol=0.01)

    def test_real_pictures(self, shared_data: Path) -> None:
        folder = shared_data / "samples" / "mmpose_h36m"
        records = h36m.load(folder / "test_h36m_body3d.npz", "train")
        assert [(r.subject, h36m.ACTIONS[r.action or 0], r.view) for r in records] == [
            ("S1", "Directions", VIEWS[0]),
            ("S5", "SittingDown", VIEWS[0]),
            ("S7", "Greeting", VIEWS[1]),
            ("S8", "WalkDog", VIEWS[1]),
        ]
        for record in records:
            assert record.frame is not None and record.xyz is not None and record.camera is not None
            assert record.frame(0).shape[:2] in ((1002, 1000), (1000, 1000))
            found, depth = project(record.camera, to_world(record.camera, record.xyz.astype(float)))
            np.testing.assert_allclose(found, record.xy, atol=1e-3)
            assert (depth > 4000).all() and (depth < 7500).all()
            thigh = record.xyz[0, H36M17.index("l_hip")] - record.xyz[0, H36M17.index("l_knee")]
            assert 380 < np.linalg.norm(thigh) < 520  # mm

    def test_cameras_known_here_are_those_of_a_real_file(self, shared_data: Path) -> None:
        real = h36m._cameras(shared_data / "samples" / "mmpose_h36m")
        known = h36m._cameras(Path("nowhere"))
        assert len(known) == 28
        for key, camera in known.items():
            points = world(0)
            expected, _ = project(real[key], points)
            np.testing.assert_allclose(project(camera, points)[0], expected, atol=0.01)
            np.testing.assert_allclose(camera.t, real[key].t, atol=0.001)


class TestVideoPose:
    """A pair of .npz with dictionaries inside, world poses in metres, no pictures."""

    def make(self, root: Path) -> Path:
        poses = {
            "S1": {"Photo 1": world(0), "Walking": world(1)},
            "S9": {"Sitting 2": world(2)},
            "S11": {"Directions": world(3), "Directions 1": world(4)},
        }
        positions = {
            s: {a: (p / 1000).astype(np.float32) for a, p in actions.items()}
            for s, actions in poses.items()
        }
        np.savez_compressed(root / "data_3d_h36m.npz", positions_3d=np.array(positions))
        return root

    def detect(self, root: Path, name: str, joints: int, left: list[int], extra: int = 2) -> None:
        """Detector NAME: its points are (frame, joint), and it saw `extra` frames too many."""
        with np.load(root / "data_3d_h36m.npz", allow_pickle=True) as table:
            poses = table["positions_3d"].item()
        points = {
            s: {
                a: [grid(len(p) + extra, joints).astype(np.float32) + 100 * v for v in range(4)]
                for a, p in actions.items()
            }
            for s, actions in poses.items()
        }
        metadata = {"num_joints": joints, "keypoints_symmetry": [left, [0]]}
        file = root / f"data_2d_h36m_{name}.npz"
        np.savez_compressed(file, positions_2d=np.array(points), metadata=np.array(metadata))

    def test_four_views_of_every_sequence(self, tmp_path: Path) -> None:
        records = h36m.load(self.make(tmp_path), "train")
        assert [r.view for r in records] == [*VIEWS, *VIEWS]
        assert [h36m.ACTIONS[r.action or 0] for r in records] == ["Photo"] * 4 + ["Walking"] * 4
        for i, record in enumerate(records):
            assert record.frame is None and record.layout is H36M17
            assert_consistent(record, world(i // 4)[:, KEPT])

    def test_only_the_first_of_two_directions_is_damaged(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="left out 4 "):
            records = h36m.load(self.make(tmp_path), "test")
        assert [r.subject for r in records] == ["S9"] * 4 + ["S11"] * 4
        assert_consistent(records[4], world(4)[:, KEPT])

    def test_original_projects_joints(self, tmp_path: Path) -> None:
        record = h36m.load(self.make(tmp_path), "train", layout=PA17, step=2)[0]
        table = [0, 12, 13, 15, 25, 17, 26, 18, 27, 19, 1, 6, 2, 7, 3, 8, 11]
        assert record.layout is PA17
        assert_consistent(record, world(0)[::2, table])

    def test_detections_of_17_joints(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        self.detect(root, "cpn_ft_h36m_dbb", 17, [4, 5, 6, 11, 12, 13])
        records = h36m.load(root, "train", detections="cpn_ft_h36m_dbb", step=3)
        expected = grid(FRAMES, 17)[::3]
        np.testing.assert_array_equal(records[0].xy, expected)
        np.testing.assert_array_equal(records[3].xy, expected + 300)
        assert records[0].xyz is not None
        np.testing.assert_allclose(
            to_world(built_in("S1", VIEWS[0]), records[0].xyz), world(0)[::3, KEPT], atol=0.01
        )

    def test_detections_of_coco_and_hourglass(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        self.detect(root, "detectron_pt_coco", 17, [1, 3, 5, 7, 9, 11, 13, 15])
        coco = h36m.load(root, "train", detections="detectron_pt_coco")[0].xy[0, :, 1]
        assert coco[H36M17.index("r_knee")] == COCO17.index("r_knee")
        assert coco[0] == 11.5  # the middle of COCO's hips
        assert np.isnan(coco[H36M17.index("head")])
        self.detect(root, "sh_ft_h36m", 16, [4, 5, 6, 10, 11, 12])
        hourglass = h36m.load(root, "train", detections="sh_ft_h36m")[0].xy[0, :, 1]
        assert np.isnan(hourglass[9]) and np.isnan(hourglass).sum() == 1
        np.testing.assert_array_equal(np.delete(hourglass, 9), np.arange(16))

    def test_detections_that_do_not_fit(self, tmp_path: Path) -> None:
        root = self.make(tmp_path)
        self.detect(root, "short", 17, [4], extra=-1)
        with pytest.raises(ValueError, match=r"short\.npz, S1 Photo 1 54138969 has 6 frames"):
            h36m.load(root, "train", detections="short")
        with pytest.raises(ValueError, match="detections are of H36M17"):
            h36m.load(root, "train", detections="short", layout=PA17)
        with pytest.raises(FileNotFoundError, match="data_2d_h36m_none"):
            h36m.load(root, "train", detections="none")

    def test_pickled_code_does_not_run(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, tuple[str]]:
                return (open, (str(tmp_path / "ran"), "w"))  # type: ignore[return-value]

        np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=np.array({"S1": Evil()}))
        with pytest.raises(ValueError, match="open"):
            h36m.load(tmp_path)
        assert not (tmp_path / "ran").exists()


class TestMartinez:
    def make(self, root: Path) -> Path:
        h5py = pytest.importorskip("h5py")
        poses = root / "h36m" / "S9" / "MyPoses" / "3D_positions"
        sh = root / "h36m" / "S9" / "StackedHourglass"
        poses.mkdir(parents=True)
        sh.mkdir()
        for seed, name in enumerate(["Sitting 1", "SittingDown"]):
            with h5py.File(poses / f"{name}.h5", "w") as file:
                file["3D_positions"] = world(seed).reshape(FRAMES, 96).T
            for view in VIEWS:
                with h5py.File(sh / f"{name.replace(' ', '_')}.{view}.h5", "w") as file:
                    file["poses"] = grid(FRAMES, 16).astype(np.float32)
        with h5py.File(root / "h36m" / "cameras.h5", "w") as file:
            for i, view in enumerate(VIEWS):
                c, group = built_in("S9", view), f"subject9/camera{i + 1}"
                file[f"{group}/R"], file[f"{group}/T"] = c.R.T, c.t[:, None]
                file[f"{group}/f"], file[f"{group}/c"] = c.f[:, None], c.c[:, None]
                file[f"{group}/k"], file[f"{group}/p"] = c.k[:, None], c.p[::-1, None]
        return root

    def test_world_poses_by_file(self, tmp_path: Path) -> None:
        records = h36m.load(self.make(tmp_path), "test")
        assert [h36m.ACTIONS[r.action or 0] for r in records] == ["Sitting"] * 4 + [
            "SittingDown"
        ] * 4
        for i, record in enumerate(records):
            assert_consistent(record, world(i // 4)[:, KEPT])
            assert record.view == VIEWS[i % 4] and record.subject == "S9"

    def test_hourglass_by_name(self, tmp_path: Path) -> None:
        record = h36m.load(self.make(tmp_path), "test", detections="StackedHourglass")[0]
        index = record.xy[0, :, 1]
        # r_ankle first, and left and right arms the other way round, in the detector's order
        for joint, column in {
            "r_ankle": 0,
            "r_hip": 2,
            "l_ankle": 5,
            "head": 9,
            "l_wrist": 15,
        }.items():
            assert index[H36M17.index(joint)] == column
        assert np.isnan(index[H36M17.index("nose")])

    def test_wrong_shape_is_refused(self, tmp_path: Path) -> None:
        h5py = pytest.importorskip("h5py")
        root = self.make(tmp_path)
        with h5py.File(root / "h36m/S9/MyPoses/3D_positions/Eating.h5", "w") as file:
            file["3D_positions"] = np.zeros((51, 4))
        with pytest.raises(ValueError, match=r"Eating\.h5.*\(96, T\), got \(51, 4\)"):
            h36m.load(root, "test")


def structs(rows: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB array of structs."""
    array = np.empty((1, len(rows)), [(key, object) for key in rows[0]])
    for i, row in enumerate(rows):
        array[0, i] = tuple(row.values())
    return array


class TestDeephar:
    """The original project's annotations.mat: one struct a sequence, one a frame."""

    def make(self, root: Path, *, frames: int = 3) -> Path:
        def sequence(name: str, seed: int, subject: str, view: int) -> dict[str, Any]:
            c = built_in(subject, VIEWS[view - 1])
            camera = {"R": c.R, "T": c.t[:, None], "f": c.f, "c": c.c, "p": c.p, "k": c.k}
            rows = [
                {"f": 64 * t + 1, "w": 1000.0, "h": 1002.0, "pose3d": world(seed)[t].T}
                for t in range(frames)
            ]
            for t in range(frames):
                picture(root / "images" / name / f"{64 * t + 1:05d}.jpg", 50 * t)
            return {"name": name, "camera_parameters": camera, "frames": structs(rows)}

        labels = np.array(["Directions", "Sitting", "Sitting down", "Walking"], object)
        table = {
            "sequences_tr": structs(
                [sequence("a03_s01_e01_c02", 0, "S1", 2), sequence("a01_s05_e02_c01", 1, "S5", 1)]
            ),
            "sequences_val": structs([sequence("a01_s11_e01_c03", 2, "S11", 3)]),
            "sequences_te": structs([sequence("a02_s09_e01_c04", 3, "S9", 4)]),
            "action_labels": labels,
            "joint_labels": np.array(["Hips"] * 32, object),
        }
        savemat(root / "annotations.mat", table)
        return root

    def test_sequences(self, tmp_path: Path) -> None:
        records = h36m.load(self.make(tmp_path), "train")
        assert [(h36m.ACTIONS[r.action or 0], r.subject, r.view) for r in records] == [
            ("SittingDown", "S1", VIEWS[1]),
            ("Directions", "S5", VIEWS[0]),
        ]
        for seed, record in enumerate(records):
            assert_consistent(record, world(seed)[:3, KEPT])
            assert record.frame is not None
            assert abs(int(record.frame(2)[0, 0, 0]) - 100) <= 1

    def test_validation_is_the_test_and_keeps_directions(self, tmp_path: Path) -> None:
        (record,) = h36m.load(self.make(tmp_path), "test", layout=PA17)
        assert record.subject == "S11" and record.layout is PA17

    def test_one_sequence_of_one_frame(self, tmp_path: Path) -> None:
        (record,) = h36m.load(self.make(tmp_path, frames=1), "val")
        assert len(record) == 1
        assert_consistent(record, world(2)[:1, KEPT])

    def test_what_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no detections"):
            h36m.load(self.make(tmp_path), detections="cpn")
        savemat(tmp_path / "annotations.mat", {"sequences_tr": 1, "action_labels": 1})
        with pytest.raises(ValueError, match="lacks sequences_val"):
            h36m.load(tmp_path)


class TestErrors:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"mmpose.*VideoPose3D.*deephar.*Martinez"):
            h36m.load(tmp_path)

    def test_unconverted_original_says_how_to_convert(self, tmp_path: Path) -> None:
        folder = tmp_path / "S1" / "MyPoseFeatures" / "D3_Positions"
        folder.mkdir(parents=True)
        (folder / "Directions 1.cdf").touch()
        with pytest.raises(ValueError, match=r"Directions 1\.cdf.*preprocess_h36m\.py.*cdflib"):
            h36m.load(tmp_path)

    def test_bad_arguments(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="splits train, val, test, all; got 'dev'"):
            h36m.load(tmp_path, "dev")
        with pytest.raises(ValueError, match="at least 1, got 0"):
            h36m.load(tmp_path, step=0)
        TestVideoPose().make(tmp_path)
        with pytest.raises(ValueError, match="asked for LSP14"):
            h36m.load(tmp_path, layout=LSP14)
