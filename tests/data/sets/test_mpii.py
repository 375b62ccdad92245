"""MPII: one small truth written in all four forms reads the same; the real annotations too."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from poseact.core.geometry import square
from poseact.core.layouts import MPII16
from poseact.core.types import Record
from poseact.data.sets import mpii
from poseact.evaluate.metrics import PCKH_JOINTS, pckh

FORMS = ("json", "mmpose", "authors", "hourglass", "original")
WRIST, ANKLE = MPII16.index("r_wrist"), MPII16.index("r_ankle")


class Truth:
    """Five people in three training pictures and one of a test picture, in MATLAB's pixels.

    Picture 1 holds people 0 and 1 (who stands too close for the single-person list), picture 2
    person 2, picture 3 people 3 and 4. Picture 2 is for validation.
    """

    names = ("000000001.jpg", "000000002.jpg", "000000003.jpg")
    picture = (0, 0, 1, 2, 2)
    single = ((1,), (1,), (1, 2))

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.xy = rng.integers(20, 180, (5, 16, 2)).astype(float)  # whole pixels
        self.xy[2, ANKLE] = np.nan
        self.centre = rng.integers(60, 140, (5, 2)).astype(float)
        self.scale = rng.uniform(0.3, 0.9, 5)
        self.head = np.concatenate([self.centre - 30, self.centre + [[10, 0]]], 1)  # N 4
        self.visible = rng.random((5, 16)) < 0.7
        self.visible[:, 8:10] = True  # neck and head have no flag
        self.visible[2, ANKLE] = False

    def people(self, split: str) -> list[int]:
        """Those of the single-person list."""
        return {"train": [0, 3, 4], "val": [2], "trainval": [0, 2, 3, 4]}[split]


TRUTH = Truth()


def paint(folder: Path) -> None:
    """The right wrist of each single person is red: the pixel of that number, from 1."""
    folder.mkdir()
    for p, name in enumerate(TRUTH.names):
        image = np.full((200, 200, 3), 128, np.uint8)
        for i in TRUTH.people("trainval"):
            if TRUTH.picture[i] == p:
                x, y = TRUTH.xy[i, WRIST].astype(int) - 1
                image[y - 2 : y + 3, x - 2 : x + 3] = (0, 0, 255)  # blue, green, red
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 100])


def entry(i: int) -> dict[str, Any]:
    known = ~np.isnan(TRUTH.xy[i, :, 0])
    return {
        "image": TRUTH.names[TRUTH.picture[i]],
        "center": TRUTH.centre[i].tolist(),
        "scale": float(TRUTH.scale[i]),
        "joints": np.where(known[:, None], TRUTH.xy[i], -1).tolist(),
        "joints_vis": known.astype(int).tolist(),
    }


def write_heads(path: Path, rows: list[int], *, shift: float = 0.0) -> None:
    corners = TRUTH.head[rows].reshape(-1, 2, 2)
    content = {
        "headboxes_src": np.moveaxis(corners, 0, -1),
        "pos_gt_src": np.moveaxis(np.nan_to_num(TRUTH.xy[rows]) + shift, 0, -1),
        "jnt_missing": np.isnan(TRUTH.xy[rows, :, 0]).T.astype(np.uint8),
    }
    savemat(path, content)


def write_json(root: Path, *, prefix: str, val: str, heads: str) -> None:
    folder = root / ("annotations" if prefix else "annot")
    folder.mkdir()
    for split, name in (("train", "train"), ("val", val), ("trainval", "trainval")):
        people = [entry(i) for i in TRUTH.people(split)]
        (folder / f"{prefix}{name}.json").write_text(json.dumps(people))
    test = {"image": TRUTH.names[0], "center": [-1, -1], "scale": -1}
    (folder / f"{prefix}test.json").write_text(json.dumps([test]))
    write_heads(folder / heads, TRUTH.people("val"))


def structs(rows: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB array of structs; a field that a row lacks is empty."""
    fields = list(dict.fromkeys(field for row in rows for field in row))
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for i, row in enumerate(rows):
        for field in fields:
            array[field][0, i] = row.get(field, np.zeros((0, 0)))
    return array


def cells(items: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def rect(i: int) -> dict[str, Any]:
    points = [
        {"x": TRUTH.xy[i, j, 0], "y": TRUTH.xy[i, j, 1], "id": j}
        # The original gives no flag for neck and head, and keeps some flags as text.
        | ({} if j in (8, 9) else {"is_visible": str(int(TRUTH.visible[i, j]))})
        for j in np.random.default_rng(i).permutation(16)
        if not np.isnan(TRUTH.xy[i, j, 0])
    ]
    return {
        **dict(zip(("x1", "y1", "x2", "y2"), TRUTH.head[i])),
        "annopoints": {"point": structs(points)},
        "scale": TRUTH.scale[i],
        "objpos": {"x": TRUTH.centre[i, 0], "y": TRUTH.centre[i, 1]},
    }


def write_original(root: Path) -> None:
    rects = [[rect(i) for i in range(5) if TRUTH.picture[i] == p] for p in range(3)]
    rects.append([{"scale": 0.5, "objpos": {"x": 80.0, "y": 90.0}, "x1": np.zeros((0, 0))}, {}])
    names = [*TRUTH.names, TRUTH.names[0]]
    release = {
        "annolist": structs(
            [{"image": {"name": name}, "annorect": structs(r)} for name, r in zip(names, rects)]
        ),
        "img_train": np.array([[1, 1, 1, 0]], np.uint8),
        "single_person": cells([np.array([s]).T for s in (*TRUTH.single, (1, 2))], (4, 1)),
        "version": "12",
    }
    savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    (root / "annot").mkdir()
    (root / "annot" / "valid_images.txt").write_text(TRUTH.names[1] + "\n")


def write_authors(root: Path) -> None:
    def annotation(i: int) -> dict[str, Any]:
        return {
            "head": TRUTH.head[i][None],
            "objpos": TRUTH.centre[i][None],
            "scale": TRUTH.scale[i],
            "pose": TRUTH.xy[i].T,
        }

    table = np.empty((3, 3), object)
    for p in range(3):
        people = [annotation(i) for i in range(5) if TRUTH.picture[i] == p]
        table[0, p] = np.array([TRUTH.single[p]], np.uint8).T
        table[1, p] = TRUTH.names[p]
        table[2, p] = cells(people, (len(people), 1))
    savemat(
        root / "annotations.mat",
        {"annot_tr": table[:, [0, 2]], "annot_val": table[:, [1]]},
    )


def write_hourglass(root: Path) -> None:
    (root / "annot").mkdir()
    for split, name in (("train", "train"), ("val", "valid")):
        rows = TRUTH.people(split)
        image = [TRUTH.names[TRUTH.picture[i]] for i in rows]
        codes = np.zeros((len(rows), 16))  # the older files keep names as numbers
        for row, text in zip(codes, image):
            row[: len(text)] = [ord(letter) for letter in text]
        with h5py.File(root / "annot" / f"{name}.h5", "w") as file:
            file["imgname"] = np.array(image, "S13") if split == "val" else codes
            file["center"] = TRUTH.centre[rows] + np.array([0, 15]) * TRUTH.scale[rows, None]
            file["scale"] = TRUTH.scale[rows] * 1.25
            file["part"] = np.nan_to_num(TRUTH.xy[rows])
            file["visible"] = TRUTH.visible[rows].astype(float)
            file["normalize"] = 0.6 * np.hypot(*(TRUTH.head[rows, 2:] - TRUTH.head[rows, :2]).T)


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in one of the forms, named after it."""
    root = tmp_path_factory.mktemp("mpii") / request.param
    root.mkdir()
    paint(root / "images")
    if request.param == "json":
        write_json(root, prefix="", val="valid", heads="gt_valid.mat")
    if request.param == "mmpose":
        write_json(root, prefix="mpii_", val="val", heads="mpii_gt_val.mat")
    writers = {"authors": write_authors, "hourglass": write_hourglass, "original": write_original}
    writers.get(request.param, lambda _: None)(root)
    return root


def read(root: Path, split: str, **options: Any) -> list[Record]:
    if root.name == "original" and split in ("train", "trainval"):
        with pytest.warns(UserWarning, match="1 people are not in the single-person list"):
            return mpii.load(root, split, **options)
    return mpii.load(root, split, **options)


class TestForms:
    @pytest.mark.parametrize("split", ["train", "val"])
    def test_all_forms_tell_the_same(self, form: Path, split: str) -> None:
        records, rows = read(form, split), TRUTH.people(split)
        assert len(records) == len(rows)
        for record, i in zip(records, rows):
            np.testing.assert_allclose(record.xy[0], TRUTH.xy[i] - 0.5, atol=1e-4)
            assert record.view == TRUTH.names[TRUTH.picture[i]] and record.layout is MPII16
            size = 0.6 * np.hypot(*(TRUTH.head[i, 2:] - TRUTH.head[i, :2]))
            if record.scale_px is not None:
                np.testing.assert_allclose(record.scale_px, [size])
            if form.name in ("hourglass", "original"):
                assert record.visible is not None
                np.testing.assert_array_equal(record.visible[0], TRUTH.visible[i])
        # HRNet's heads are known for validation alone.
        lacks = form.name in ("json", "mmpose") and split == "train"
        assert all((record.scale_px is None) == lacks for record in records)

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_the_wrist_is_red(self, form: Path, split: str) -> None:
        for record in pickle.loads(pickle.dumps(read(form, split))):
            assert record.frame is not None
            image = record.frame(0).astype(int)
            x, y = np.floor(record.xy[0, WRIST]).astype(int)
            assert image[y, x, 0] - image[y, x, 1:].max() > 100
            assert image[y, x + 4, 0] - image[y, x + 4, 1] < 60  # and not red all over

    def test_margin_gives_the_crop_of_the_papers(self, form: Path) -> None:
        (record,) = read(form, "val")
        assert record.box is not None
        i, s = 2, 1.25 * TRUTH.scale[2]  # the released code: centre (x, y + 12 s), side 200 s
        centre = TRUTH.centre[i] + [0, 12 * s] - 0.5
        crop = np.concatenate([centre - 100 * s, centre + 100 * s])
        np.testing.assert_allclose(square(record.box[0], margin=1.25), crop)

    def test_box_of_the_joints(self, form: Path) -> None:
        (record,) = read(form, "val", box="joints")
        known = TRUTH.xy[2][~np.isnan(TRUTH.xy[2, :, 0])] - 0.5
        assert record.box is not None
        np.testing.assert_allclose(record.box[0], [*known.min(0), *known.max(0)])

    def test_trainval_is_both(self, form: Path) -> None:
        if form.name == "hourglass":
            with pytest.raises(FileNotFoundError, match="'trainval'"):
                mpii.load(form, "trainval")
            return
        both = {record.xy.tobytes() for s in ("train", "val") for record in read(form, s)}
        assert {record.xy.tobytes() for record in read(form, "trainval")} == both


class TestOriginal:
    def test_test_people_have_a_place_and_no_joints(self, tmp_path: Path) -> None:
        paint(tmp_path / "images")
        write_original(tmp_path)
        known, unknown = mpii.load(tmp_path, "test", box="joints")
        assert np.isnan(known.xy).all() and np.isnan(unknown.xy).all()
        assert known.box is not None and unknown.box is not None
        np.testing.assert_allclose(known.box[0], [29.5, 47, 129.5, 147])
        assert np.isnan(unknown.box).all()

    def test_everyone_may_be_read(self, tmp_path: Path) -> None:
        paint(tmp_path / "images")
        write_original(tmp_path)
        records = mpii.load(tmp_path, "trainval", people="all")
        np.testing.assert_allclose(
            np.concatenate([record.xy for record in records]), TRUTH.xy - 0.5, atol=1e-4
        )

    def test_without_the_list_there_is_no_validation(self, tmp_path: Path) -> None:
        paint(tmp_path / "images")
        write_original(tmp_path)
        (tmp_path / "annot" / "valid_images.txt").unlink()
        with pytest.raises(ValueError, match=r"trainval and test.*valid_images\.txt"):
            mpii.load(tmp_path, "val")


class TestErrors:
    @pytest.fixture()
    def root(self, tmp_path: Path) -> Path:
        paint(tmp_path / "images")
        write_json(tmp_path, prefix="", val="valid", heads="gt_valid.mat")
        return tmp_path

    def test_place_of_an_unplaced_person_is_unknown(self, root: Path) -> None:
        (record,) = mpii.load(root, "test")
        assert record.box is not None
        assert np.isnan(record.box).all() and np.isnan(record.xy).all()

    def test_missing_pictures_are_counted(self, root: Path) -> None:
        (root / "images" / TRUTH.names[2]).unlink()
        with pytest.raises(FileNotFoundError, match=rf"1 of 2 .*{TRUTH.names[2]}"):
            mpii.load(root, "train")
        there, *lost = mpii.load(root, "train", pictures=False)
        assert there.frame is not None and [record.frame for record in lost] == [None, None]

    def test_heads_of_other_people_are_refused(self, root: Path) -> None:
        write_heads(root / "annot" / "gt_valid.mat", [2], shift=5)
        with pytest.raises(ValueError, match="are not those of the annotations"):
            mpii.load(root, "val")
        write_heads(root / "annot" / "gt_valid.mat", [2, 3])
        with pytest.raises(ValueError, match="2 people, but the annotations have 1"):
            mpii.load(root, "val")

    def test_paths_stay_in_the_folder(self, root: Path) -> None:
        (root / "annot" / "valid.json").write_text(json.dumps([entry(2) | {"image": "../x.jpg"}]))
        with pytest.raises(ValueError, match=r"'\.\./x\.jpg'"):
            mpii.load(root, "val")

    @pytest.mark.parametrize("broken", [{"joints": [[1, 2]]}, {"image": None, "scale": "tall"}])
    def test_a_file_of_another_form_is_named(self, root: Path, broken: dict[str, Any]) -> None:
        (root / "annot" / "train.json").write_text(json.dumps([entry(0), entry(3) | broken]))
        with pytest.raises(ValueError, match=r"train\.json.*16 x 2"):
            mpii.load(root, "train")

    def test_options_are_checked(self, root: Path) -> None:
        with pytest.raises(ValueError, match="splits train, val, trainval, test; got 'dev'"):
            mpii.load(root, "dev")
        with pytest.raises(ValueError, match="got 'tight'"):
            mpii.load(root, box="tight")
        with pytest.raises(FileNotFoundError, match=r"no MPII annotations.*train\.json"):
            mpii.load(root / "images")


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    """The validation annotations of the hourglass code and their head boxes."""
    folder = shared_data / "samples" / "mpii_annotations"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    return mpii.load(folder, "val", pictures=False)


class TestReal:
    """All validation annotations, and five people in mmpose's form."""

    def test_joints_and_heads_are_those_of_the_evaluation(
        self, folder: Path, records: list[Record]
    ) -> None:
        truth = loadmat(folder / "detections_our_format.mat")
        joints = np.moveaxis(truth["pos_gt_src"], -1, 0)
        corners = np.moveaxis(truth["headboxes_src"], -1, 0)
        xy = np.concatenate([record.xy for record in records])
        heads = np.concatenate([r.scale_px for r in records if r.scale_px is not None])
        assert len(records) == len(heads) == 2958
        np.testing.assert_array_equal(np.isnan(xy[..., 0]), truth["jnt_missing"].T > 0)
        apart = np.abs(xy + 0.5 - joints)  # cut to whole pixels
        assert np.nanquantile(apart, 0.999) < 1.0
        np.testing.assert_allclose(
            heads, 0.6 * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1), rtol=1e-5
        )

    @pytest.mark.parametrize(("shift", "expected"), [(0.0, 1.0), (0.49, 1.0), (0.51, 0.0)])
    def test_pckh_of_the_annotations_moved_by_a_part_of_a_head(
        self, records: list[Record], shift: float, expected: float
    ) -> None:
        xy = np.concatenate([record.xy for record in records]).astype(float)
        heads = np.concatenate([r.scale_px for r in records if r.scale_px is not None])
        moved = xy + shift * heads[:, None, None] * np.array([0.6, 0.8])
        joints = [MPII16.index(name) for name in PCKH_JOINTS]
        rate = pckh(moved, xy, heads, joints=joints)
        assert rate.mean == expected
        assert rate.count == np.isfinite(xy[:, joints, 0]).sum()

    def test_mmpose_sample_agrees(self, shared_data: Path, records: list[Record]) -> None:
        root = shared_data / "samples" / "mmpose_mpii"
        sample = mpii.load(root, "train", annotations="test_mpii.json")
        assert len(sample) == 5
        for record in sample:
            (twin,) = (r for r in records if r.view == record.view)
            assert record.box is not None and twin.box is not None and record.frame is not None
            np.testing.assert_allclose(record.xy, twin.xy, atol=1.0)
            np.testing.assert_allclose(record.box, twin.box, atol=1e-3)
            height, width = record.frame(0).shape[:2]
            inside = (record.xy[0] < [width, height]) | np.isnan(record.xy[0])
            assert inside.all()
