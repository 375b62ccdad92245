"""JHMDB: the original files and mmpose's read the same; the real sample too."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from poseact.core.layouts import JHMDB15
from poseact.core.types import Record
from poseact.data.sets import jhmdb

CLIPS = {  # clip: action, frames, 1 train or 2 test
    "Frisbee_catch_f_cm_np1_ri_med_0": ("catch", 4, 1),
    "Man_shooting_shoot_bow_u_nm_np1_fr_goo_2": ("shoot_bow", 1, 2),
    "April_09_brush_hair_u_nm_np1_ba_goo_0": ("brush_hair", 3, 2),
}
WRIST = JHMDB15.index("l_wrist")
NAMES = [
    {"face": "head"}.get(n, n.replace("l_", "left_").replace("r_", "right_"))
    for n in ("neck", "belly", "face", *JHMDB15.joints[3:])
]


def joints(clip: str) -> np.ndarray:
    """(T, 15, 2) in MATLAB's pixels."""
    rng = np.random.default_rng(len(clip))
    return rng.integers(10, 90, (CLIPS[clip][1], 15, 2)).astype(float)


def mask(clip: str) -> np.ndarray:
    """(100, 120, T): frame t has rows 20 + t to 79, columns 30 to 49; the last of 3 is empty."""
    frames = CLIPS[clip][1]
    out = np.zeros((100, 120, frames), np.uint8)
    for t in range(frames):
        out[20 + t : 80, 30:50, t] = t != 2
    return out


def paint(root: Path) -> None:
    for clip, (action, frames, _) in CLIPS.items():
        folder = root / "Rename_Images" / action / clip
        folder.mkdir(parents=True)
        for t in range(frames):
            image = np.full((100, 120, 3), 128, np.uint8)
            x, y = joints(clip)[t, WRIST].astype(int) - 1
            image[y, x] = (0, 0, 255)
            cv2.imwrite(str(folder / f"{t + 1:05d}.png"), image)


def write_original(root: Path, *, splits: str = "sub_splits", name: str = "_1") -> None:
    paint(root)
    for clip, (action, _, use) in CLIPS.items():
        for file, content in (
            ("joint_positions", {"pos_img": joints(clip).transpose(2, 1, 0)}),
            ("puppet_mask", {"part_mask": mask(clip)}),
        ):
            (root / file / action / clip).mkdir(parents=True)
            savemat(root / file / action / clip / f"{file}.mat", content)
        (root / splits).mkdir(exist_ok=True)
        lines = f"{clip}.avi {use}\n"
        (root / splits / f"{action}_test_split{name}.txt").write_text(lines)


def write_mmpose(root: Path) -> None:
    paint(root)
    (root / "annotations").mkdir()
    for split, flag in jhmdb.SPLITS.items():
        images, people = [], []
        for v, (clip, (action, frames, use)) in enumerate(CLIPS.items()):
            for t in reversed(range(frames if str(use) == flag else 0)):
                number = 1000 * v + t
                name = f"{action}/{clip}/{t + 1:05d}.png"
                images.append({"id": number, "file_name": name, "width": 120, "height": 100})
                rows = np.flatnonzero(mask(clip)[..., t].any(1))
                box = [31, rows[0] + 1, 20, len(rows)] if len(rows) else [0, 0, 0, 0]
                table = np.concatenate([joints(clip)[t], np.full((15, 1), 2)], 1)
                people.append(
                    {
                        "id": number,
                        "image_id": number,
                        "category_id": 1,
                        "track_id": 0,
                        "keypoints": table.ravel().tolist(),
                        "bbox": [float(n) for n in box],
                    }
                )
        category = {"id": 1, "name": "person", "keypoints": NAMES}
        content = {"images": images, "annotations": people, "categories": [category]}
        (root / "annotations" / f"Sub1_{split}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module", params=["original", "mmpose"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    {"original": write_original, "mmpose": write_mmpose}[request.param](root)
    return root


def by_clip(records: list[Record]) -> dict[str, Record]:
    return {record.view: record for record in records}


class TestForms:
    @pytest.mark.parametrize(("split", "use"), [("train", 1), ("test", 2)])
    def test_both_forms_tell_the_same(self, root: Path, split: str, use: int) -> None:
        records = by_clip(jhmdb.load(root, split))
        assert set(records) == {clip for clip in CLIPS if CLIPS[clip][2] == use}
        for clip, record in records.items():
            assert jhmdb.ACTIONS[record.action or 0] == CLIPS[clip][0]
            np.testing.assert_array_equal(record.xy, joints(clip) - 0.5)
            boxes = np.array([[30.0, 20 + t, 50, 80] for t in range(CLIPS[clip][1])])
            boxes[2:3] = np.nan
            np.testing.assert_array_equal(record.box, boxes)

    def test_the_wrist_is_red(self, root: Path) -> None:
        for split in jhmdb.SPLITS:
            for record in pickle.loads(pickle.dumps(jhmdb.load(root, split))):
                for t in range(len(record)):
                    x, y = np.floor(record.xy[t, WRIST]).astype(int)
                    assert record.frame(t)[y, x].tolist() == [255, 0, 0]

    def test_box_of_the_joints(self, root: Path) -> None:
        (record,) = jhmdb.load(root, "train", box="joints")
        assert record.box is not None
        low = joints(record.view).min(1) - 0.5
        high = joints(record.view).max(1) - 0.5
        np.testing.assert_allclose(record.box, np.concatenate([low, high], 1))


class TestErrors:
    def test_options_and_missing_lists(self, root: Path) -> None:
        with pytest.raises(ValueError, match="got 'val' of 1"):
            jhmdb.load(root, "val")
        with pytest.raises(ValueError, match="got 'whole' and 'mask'"):
            jhmdb.load(root, subset="whole")
        with pytest.raises(FileNotFoundError, match=r"splits/CLASS_test_split1\.txt"):
            jhmdb.load(root, subset="full")

    def test_full_set_and_missing_parts(self, tmp_path: Path) -> None:
        write_original(tmp_path, splits="splits", name="1")
        assert len(jhmdb.load(tmp_path, "test", subset="full")) == 2
        clip = "Frisbee_catch_f_cm_np1_ri_med_0"
        (tmp_path / f"puppet_mask/catch/{clip}/puppet_mask.mat").unlink()
        with pytest.raises(FileNotFoundError, match="box='joints'"):
            jhmdb.load(tmp_path, "train", subset="full")
        (tmp_path / f"Rename_Images/catch/{clip}/00003.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"1 of 4 pictures.*00003\.png"):
            jhmdb.load(tmp_path, "train", subset="full", box="joints")

    @pytest.mark.parametrize("line", ["clip.avi", "clip.avi 7", "../../etc 1"])
    def test_lists_are_checked(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "sub_splits").mkdir()
        (tmp_path / "sub_splits" / "walk_test_split1.txt").write_text(line)
        with pytest.raises(ValueError, match=r"is not 'CLIP\.avi 1'|without '\.\.'"):
            jhmdb.load(tmp_path, "train")

    def test_joints_of_another_shape(self, tmp_path: Path) -> None:
        write_original(tmp_path)
        clip = "catch/Frisbee_catch_f_cm_np1_ri_med_0"
        savemat(
            tmp_path / f"joint_positions/{clip}/joint_positions.mat", {"pos_img": np.zeros((3, 5))}
        )
        with pytest.raises(ValueError, match=r"joint_positions\.mat: pos_img is \(2, 15, T\)"):
            jhmdb.load(tmp_path, "train")


def test_real_sample(shared_data: Path) -> None:
    """Three clips of one annotated frame each, in mmpose's form."""
    folder = shared_data / "samples" / "mmpose_jhmdb"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    records = jhmdb.load(folder, annotations="test_jhmdb_sub1.json")
    assert [jhmdb.ACTIONS[record.action or 0] for record in records] == ["catch"] * 3
    for record in records:
        assert record.frame is not None and record.box is not None
        assert record.frame(0).shape == (240, 320, 3)
        assert record.xy.shape == (1, 15, 2) and np.isfinite(record.xy).all()
        corner, far = record.box[0, :2], record.box[0, 2:]
        assert ((record.xy[0] > corner - 15) & (record.xy[0] < far + 15)).all()
