"""Penn Action: what is painted on a joint is where the record says, in both forms of the set."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from poseact.core.layouts import DEEPHAR_INDEX, PA16, PENN13, convert
from poseact.data.sets import penn

FRAMES, HEIGHT, WIDTH = 3, 60, 80
R_WRIST = PENN13.index("r_wrist")


def clip(number: int) -> np.ndarray:
    """(T, 13, 2) as the data set counts them: the centre of the first pixel is (1, 1)."""
    rng = np.random.default_rng(number)
    return rng.integers([8, 8], [WIDTH - 8, HEIGHT - 8], (FRAMES, 13, 2)).astype(float)


def draw(root: Path, number: int, pose: np.ndarray) -> None:
    """Pictures with a red spot of 3 x 3 px on the right wrist (column 5 of the annotation)."""
    folder = root / "frames" / f"{number:04d}"
    folder.mkdir(parents=True)
    for t, (x, y) in enumerate(pose[:, R_WRIST].astype(int)):
        image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        image[y - 2 : y + 1, x - 2 : x + 1] = (20, 20, 240)  # BGR; MATLAB's pixel (y, x) is y-1 x-1
        cv2.imwrite(str(folder / f"{t + 1:06d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 98])


def label(number: int, **changes: object) -> dict[str, object]:
    pose = clip(number)
    low, high = pose.min(1), pose.max(1)
    return {
        "action": "tennis_serve",
        "pose": "back",
        "x": pose[..., 0],
        "y": pose[..., 1],
        "visibility": np.ones((FRAMES, 13), np.uint8),
        "train": 1,
        "bbox": np.concatenate([low - 4, high + 4], -1),
        "dimensions": np.array([HEIGHT, WIDTH, FRAMES]),
        "nframes": FRAMES,
    } | changes


def published(root: Path, **labels: dict[str, object]) -> Path:
    """Clips by number, as clip_12=label(12, ...)."""
    (root / "labels").mkdir(parents=True)
    for key, content in labels.items():
        number = int(key.removeprefix("clip_"))
        draw(root, number, clip(number))
        savemat(root / "labels" / f"{number:04d}.mat", content)
    return root


def original(root: Path, parts: dict[str, list[tuple[int, str]]]) -> Path:
    """The original project's annotations.mat: (number, class) by 'te' and 'tr'."""
    names = sorted({kind for clips in parts.values() for _, kind in clips}, reverse=True)
    content: dict[str, object] = {
        "action_labels": np.array(names, object),
        "joint_labels": np.array(["head"] + ["limb"] * 12, object),
    }
    for part, clips in parts.items():
        sequences = np.empty(len(clips), object)
        for i, (number, kind) in enumerate(clips):
            draw(root, number, clip(number))
            frames = np.empty(FRAMES, object)
            for t, pose in enumerate(clip(number)):
                seen = np.ones(13)
                seen[3] = t != 1
                frames[t] = {"f": t + 1, "w": WIDTH, "h": HEIGHT, "pose": pose.T, "visible": seen}
            sequences[i] = {"idx": number, "action_id": names.index(kind) + 1, "frames": frames}
        content[f"sequences_{part}"] = sequences
    savemat(root / "annotations.mat", content)
    return root


def red_spot(image: np.ndarray) -> np.ndarray:
    """Its middle, px with (0, 0) in the corner."""
    redness = np.clip(image[..., 0].astype(float) - image[..., 1:].max(-1) - 80, 0, None)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * redness).sum(), (y * redness).sum()]) / redness.sum()


def check_paint(record) -> None:
    record = pickle.loads(pickle.dumps(record))  # as a loader's worker gets it
    for t in range(len(record)):
        image = record.frame(t)
        assert image.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_allclose(record.xy[t, R_WRIST], red_spot(image), atol=0.2)


class TestPublished:
    def test_paint_is_on_the_wrist(self, tmp_path: Path) -> None:
        (record,) = penn.load(published(tmp_path, clip_7=label(7)), "train")
        assert record.layout is PENN13 and record.xy.shape == (FRAMES, 13, 2)
        check_paint(record)

    def test_what_stands_in_the_label_is_in_the_record(self, tmp_path: Path) -> None:
        (record,) = penn.load(published(tmp_path, clip_7=label(7)), "train")
        assert penn.ACTIONS[record.action or 0] == "tennis_serve"
        assert (record.view, record.source) == ("back", "penn/0007")
        assert record.box is not None
        np.testing.assert_allclose(record.box, label(7)["bbox"] - 0.5)  # type: ignore[operator]

    def test_joints_have_the_columns_of_the_original_project(self, tmp_path: Path) -> None:
        (record,) = penn.load(published(tmp_path, clip_7=label(7)), "train")
        pose = convert(record.xy, PENN13, PA16, derive=False)
        for column, joint in enumerate(DEEPHAR_INDEX["pa16_to_penn13"]):
            np.testing.assert_allclose(pose[:, joint], clip(7)[:, column] - 0.5)

    def test_sides_of_the_readme(self, tmp_path: Path) -> None:
        root = published(tmp_path, clip_7=label(7, visibility=np.eye(13)[:FRAMES]))
        (plain,), (swapped,) = penn.load(root), penn.load(root, swap_sides=True)
        left, right = PENN13.index("l_shoulder"), PENN13.index("r_shoulder")
        np.testing.assert_array_equal(swapped.xy[:, left], plain.xy[:, right])
        assert plain.visible is not None and swapped.visible is not None
        np.testing.assert_array_equal(swapped.visible[:, left], plain.visible[:, right])
        np.testing.assert_array_equal(swapped.xy[:, 0], plain.xy[:, 0])

    def test_invisible_and_unplaced_joints_are_unknown(self, tmp_path: Path) -> None:
        content = label(7)
        content["visibility"][0, 4] = 0  # type: ignore[index]
        content["x"][1, 2] = content["y"][1, 2] = 1  # type: ignore[index]
        content["x"][2, 6] = 0  # type: ignore[index]
        (record,) = penn.load(published(tmp_path, clip_7=content))
        unknown = np.isnan(record.xy).all(-1)
        assert np.argwhere(unknown).tolist() == [[0, 4], [1, 2], [2, 6]]
        assert record.visible is not None
        np.testing.assert_array_equal(record.visible, ~unknown)

    def test_frames_without_a_box_get_that_of_the_joints(self, tmp_path: Path) -> None:
        bbox = label(7)["bbox"][:1]  # type: ignore[index]
        seen = np.ones((FRAMES, 13))
        seen[2, 3:] = 0  # three joints tell nothing of the person's size
        (record,) = penn.load(
            published(tmp_path, clip_7=label(7, bbox=bbox, visibility=seen)), "train"
        )
        assert record.box is not None
        np.testing.assert_allclose(record.box[0], bbox[0] - 0.5)
        around = [*(clip(7)[1].min(0) - 0.5), *(clip(7)[1].max(0) - 0.5)]
        np.testing.assert_allclose(record.box[1], around)
        assert np.isnan(record.box[2]).all()

    def test_flag_makes_the_splits(self, tmp_path: Path) -> None:
        labels = {f"clip_{i}": label(i, train=1 if i % 3 else -1) for i in range(1, 8)}
        root = published(tmp_path, **labels)
        names = {s: [r.source[-1] for r in penn.load(root, s)] for s in ("train", "test", "all")}
        assert names == {"train": list("12457"), "test": list("36"), "all": list("1234567")}

    @pytest.mark.parametrize("name", ["bowling", "bowl"])
    def test_classes_are_found_by_both_spellings(self, tmp_path: Path, name: str) -> None:
        (record,) = penn.load(published(tmp_path, clip_1=label(1, action=name)))
        assert record.action == 3

    def test_one_frame_keeps_its_axis(self, tmp_path: Path) -> None:
        short = {key: np.asarray(label(5)[key])[:1] for key in ("x", "y", "visibility", "bbox")}
        (record,) = penn.load(published(tmp_path, clip_5=label(5, **short)))
        assert record.xy.shape == (1, 13, 2)

    def test_errors_name_the_file(self, tmp_path: Path) -> None:
        root = published(tmp_path, clip_7=label(7), clip_8=label(8))
        with pytest.raises(ValueError, match=r"train, test, all.*'val'"):
            penn.load(root, "val")
        with pytest.raises(ValueError, match="no clip of the split test"):
            penn.load(root, "test")
        (root / "frames" / "0008" / "000002.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"1 of 3 pictures.*0008.000002\.jpg"):
            penn.load(root)
        savemat(root / "labels" / "0007.mat", label(7, x=np.zeros((FRAMES, 12))))
        with pytest.raises(ValueError, match=r"0007\.mat.*\(3, 12\)"):
            penn.load(root)
        savemat(root / "labels" / "0007.mat", label(7, action="juggling"))
        with pytest.raises(ValueError, match=r"0007\.mat.*juggling"):
            penn.load(root)
        (root / "labels" / "0007.mat").write_bytes(b"no annotation " * 20)
        with pytest.raises(ValueError, match=r"0007\.mat"):
            penn.load(root)
        with pytest.raises(FileNotFoundError, match=r"labels/0001\.mat"):
            penn.load(tmp_path / "nowhere")


class TestOriginalProject:
    PARTS = {"te": [(3, "squat"), (1, "bowl")], "tr": [(2, "squat"), (4, "pullup")]}

    def test_paint_is_on_the_wrist(self, tmp_path: Path) -> None:
        for record in penn.load(original(tmp_path, self.PARTS), "all"):
            check_paint(record)

    def test_splits_and_classes_by_name(self, tmp_path: Path) -> None:
        root = original(tmp_path, self.PARTS)
        found = {
            split: [(r.source, penn.ACTIONS[r.action or 0]) for r in penn.load(root, split)]
            for split in ("train", "test")
        }
        assert found["train"] == [("penn/0002", "squat"), ("penn/0004", "pullup")]
        assert found["test"] == [("penn/0001", "bowl"), ("penn/0003", "squat")]

    def test_both_forms_say_the_same(self, tmp_path: Path) -> None:
        (ours,) = penn.load(original(tmp_path / "a", {"te": [], "tr": [(2, "squat")]}))
        seen = np.ones((FRAMES, 13))
        seen[1, 3] = 0
        theirs = label(2, action="squats", visibility=seen, bbox=np.zeros((0, 4)))
        (published_one,) = penn.load(published(tmp_path / "b", clip_2=theirs))
        np.testing.assert_array_equal(ours.xy, published_one.xy)
        np.testing.assert_array_equal(ours.box, published_one.box)  # type: ignore[arg-type]
        assert ours.action == published_one.action

    def test_predicted_boxes_count_clips_within_a_split(self, tmp_path: Path) -> None:
        root = original(tmp_path, self.PARTS)
        table = {f"{i}.{t}": [i, t, 50 + i, 40 + t] for i in range(2) for t in range(FRAMES)}
        broken = table | {"1.2": [1, 2, 0, 3]}
        (root / "boxes.json").write_text(json.dumps([table, {}, {}]))
        first, second = penn.load(root, "test", boxes=root / "boxes.json")
        assert first.box is not None and second.box is not None
        assert first.source == "penn/0001"  # the second of the file
        assert first.box[2].tolist() == [1, 2, 51, 42]
        assert second.box[1].tolist() == [0, 1, 50, 41]
        with pytest.raises(ValueError, match=r"boxes\.json: 3 boxes.*'0\.0'"):
            penn.load(root, "train", boxes=root / "boxes.json")
        (root / "boxes.json").write_text(json.dumps([broken, {}, {}]))
        with pytest.raises(ValueError, match=r"boxes\.json: clip 1: box is x0 y0 x1 y1"):
            penn.load(root, "test", boxes=root / "boxes.json")

    def test_errors_name_the_file(self, tmp_path: Path) -> None:
        savemat(tmp_path / "annotations.mat", {"sequences_te": np.zeros(1)})
        with pytest.raises(ValueError, match=r"annotations\.mat.*action_labels, sequences_tr"):
            penn.load(tmp_path)
