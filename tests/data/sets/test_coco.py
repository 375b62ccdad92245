"""COCO keypoints: what is read is what was drawn; result files score 1 against themselves."""

from __future__ import annotations

import json
import pickle
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from poseact.core.layouts import COCO17
from poseact.data.sets import coco

NAMES = [n.replace("l_", "left_").replace("r_", "right_") for n in COCO17.joints]
WRIST = COCO17.index("r_wrist")


def annotation(number: int, image: int, *, crowd: bool = False, known: int = 17) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    xy = rng.integers(10, 90, (17, 2))
    flags = rng.integers(1, 3, 17)
    flags[known:] = 0
    xy[known:] = 0
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": int(crowd),
        "num_keypoints": known,
        "keypoints": np.concatenate([xy, flags[:, None]], 1).ravel().tolist(),
        "bbox": [5.5, 6.25, 80.0, 70.5],
        "area": 5000.0,
    }


PEOPLE = [
    annotation(1, 7),
    annotation(2, 7, known=12),
    annotation(3, 8, known=0),
    annotation(4, 8, crowd=True),
    annotation(5, 8),
]
KEPT = [PEOPLE[0], PEOPLE[1], PEOPLE[4]]


def write(root: Path, people: list[dict[str, Any]], *, year: str = "2017") -> Path:
    """A folder of COCO's form; the right wrists of `KEPT` are red pixels."""
    content = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (7, 8)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}],
    }
    (root / "annotations").mkdir()
    path = root / "annotations" / f"person_keypoints_val{year}.json"
    path.write_text(json.dumps(content))
    (root / f"val{year}").mkdir()
    for image in (7, 8):
        picture = np.full((100, 120, 3), 128, np.uint8)
        for person in KEPT:
            if person["image_id"] == image:
                x, y = person["keypoints"][3 * WRIST : 3 * WRIST + 2]
                picture[y - 2 : y + 3, x - 2 : x + 3] = (0, 0, 255)
        name = str(root / f"val{year}" / f"{image:012d}.jpg")
        cv2.imwrite(name, picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
    return path


class TestLoad:
    @pytest.mark.parametrize("year", ["2017", "2014", ""])
    def test_reads_what_was_written(self, tmp_path: Path, year: str) -> None:
        write(tmp_path, KEPT, year=year)
        records = coco.load(tmp_path)
        assert len(records) == 3
        for record, person in zip(pickle.loads(pickle.dumps(records)), KEPT):
            table = np.array(person["keypoints"]).reshape(17, 3)
            known = table[:, 2] > 0
            np.testing.assert_array_equal(record.xy[0, known], table[known, :2] + 0.5)
            assert np.isnan(record.xy[0, ~known]).all()
            np.testing.assert_array_equal(record.visible[0], table[:, 2] == 2)
            np.testing.assert_allclose(record.box, [[5.5, 6.25, 85.5, 76.75]])
            assert record.view == str(person["image_id"]) and record.source == "coco"

    def test_the_wrist_is_red(self, tmp_path: Path) -> None:
        write(tmp_path, KEPT)
        for record in coco.load(tmp_path):
            assert record.frame is not None
            image, (x, y) = record.frame(0).astype(int), np.floor(record.xy[0, WRIST]).astype(int)
            spot = image[y, x]
            assert spot[0] - spot[1:].max() > 100

    def test_those_the_protocol_leaves_out_are_counted(self, tmp_path: Path) -> None:
        write(tmp_path, PEOPLE)
        with pytest.warns(UserWarning, match="1 crowds and 1 people without .* 3 people are read"):
            records = coco.load(tmp_path)
        assert [record.view for record in records] == ["7", "7", "8"]

    def test_a_box_without_size_is_unknown(self, tmp_path: Path) -> None:
        write(tmp_path, [PEOPLE[0] | {"bbox": [5, 5, 0, 10]}])
        (record,) = coco.load(tmp_path)
        assert record.box is not None and np.isnan(record.box).all()


class TestErrors:
    def test_missing_files(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"person_keypoints_val2017\.json"):
            coco.load(tmp_path)
        write(tmp_path, KEPT)
        (tmp_path / "val2017" / "000000000008.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"1 of 2 pictures.*000000000008\.jpg"):
            coco.load(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"images": [{"id": 7, "file_name": "../7.jpg"}]}, "'../7.jpg'"),
            ({"images": []}, "3 annotations lack .* id 1"),
            ({"annotations": []}, "has no annotations"),
            ({"annotations": [{"id": 1}]}, "not a keypoint file"),
            ({"categories": []}, "not a keypoint file"),
            (
                {"categories": [{"id": 1, "name": "person", "keypoints": NAMES[1:]}]},
                "not those of COCO17",
            ),
        ],
    )
    def test_a_wrong_file_is_named(
        self, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        path = write(tmp_path, KEPT if "images" not in change else KEPT[:2] + KEPT[:1])
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ValueError, match=message):
            coco.load(tmp_path)


def some_results(count: int = 6) -> coco.Results:
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 600, (count, 17, 2))
    xy[0, 3] = np.nan
    scores = rng.random((count, 17)) + 0.1
    scores[0, 3] = 0
    return coco.Results(rng.integers(1, 600_000, count), xy, scores, rng.random(count))


class TestResults:
    def test_read_gives_what_was_written(self, tmp_path: Path) -> None:
        results = some_results()
        coco.write_results(tmp_path / "results.json", results)
        again = coco.read_results(tmp_path / "results.json")
        np.testing.assert_array_equal(again.image_id, results.image_id)
        np.testing.assert_allclose(again.xy, results.xy, atol=1e-4)
        np.testing.assert_allclose(again.joint_score, results.joint_score, atol=1e-4)
        np.testing.assert_allclose(again.score, results.score)
        assert [path.name for path in tmp_path.iterdir()] == ["results.json"]

    def test_the_file_has_coco_pixels(self, tmp_path: Path) -> None:
        results = some_results(1)
        coco.write_results(tmp_path / "results.json", results)
        (entry,) = json.loads((tmp_path / "results.json").read_text())
        assert entry["category_id"] == 1 and entry["image_id"] == results.image_id[0]
        assert entry["keypoints"][:2] == pytest.approx(results.xy[0, 0] - 0.5, abs=1e-4)
        assert entry["keypoints"][9:12] == [0, 0, 0]  # unknown

    def test_nobody_is_a_result_too(self, tmp_path: Path) -> None:
        nobody = coco.Results(
            np.zeros(0, int), np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0)
        )
        coco.write_results(tmp_path / "results.json", nobody)
        assert coco.read_results(tmp_path / "results.json").xy.shape == (0, 17, 2)

    def test_wrong_shapes_and_files_are_refused(self, tmp_path: Path) -> None:
        results = some_results()
        with pytest.raises(ValueError, match="6 people have the shapes"):
            coco.write_results(
                tmp_path / "r.json",
                coco.Results(
                    results.image_id, results.xy[:, :13], results.joint_score, results.score
                ),
            )
        assert not list(tmp_path.iterdir())
        (tmp_path / "r.json").write_text('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
        with pytest.raises(ValueError, match=r"r\.json.*17 x 3"):
            coco.read_results(tmp_path / "r.json")


@pytest.fixture(scope="module")
def sample(shared_data: Path) -> Path:
    folder = shared_data / "samples" / "mmpose_coco"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


class TestReal:
    """Four pictures with 14 people in COCO's own form."""

    def test_everyone_with_keypoints_is_there(self, sample: Path) -> None:
        with pytest.warns(UserWarning, match="0 crowds and 2 people .* 12 people are read"):
            records = coco.load(sample, annotations="test_coco.json")
        assert [np.isfinite(record.xy[0, :, 0]).sum() for record in records[:4]] == [17, 14, 15, 15]
        for record in records:
            assert record.frame is not None and record.box is not None
            height, width = record.frame(0).shape[:2]
            known = record.xy[0][np.isfinite(record.xy[0, :, 0])]
            assert (known > 0).all() and (known < [width, height]).all()
            corner, far = record.box[0, :2], record.box[0, 2:]
            # Boxes are drawn around segments and may miss a keypoint.
            assert ((known > corner - 3) & (known < far + 3)).all(1).mean() > 0.7

    def test_annotations_score_1_against_themselves(self, sample: Path, tmp_path: Path) -> None:
        pytest.importorskip("pycocotools", reason="the OKS AP of COCO is pycocotools'")
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with pytest.warns(UserWarning, match="12 people"):
            records = coco.load(sample, annotations="test_coco.json")
        xy = np.concatenate([record.xy for record in records])
        images, ones = np.array([int(record.view) for record in records]), np.ones(xy.shape[:2])

        def average_precision(moved: np.ndarray) -> float:
            path = tmp_path / "results.json"
            coco.write_results(path, coco.Results(images, moved, ones, np.ones(len(moved))))
            with redirect_stdout(StringIO()):
                truth = COCO(str(sample / "test_coco.json"))
                test = COCOeval(truth, truth.loadRes(str(path)), "keypoints")
                test.evaluate()
                test.accumulate()
                test.summarize()
            return float(test.stats[0])

        assert average_precision(xy) == 1
        assert average_precision(xy + 300) == 0
