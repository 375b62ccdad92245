"""MSR Action3D as text: the list of 557, the subsets, both forms, both ways of standing upright."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from poseact.core.layouts import MSR20
from poseact.data.sets import skeletons
from poseact.data.sets.msr3d import ACTIONS, SUBSETS, label_names, load, published_list

FRAMES = 3


def standing(seed: int = 0) -> np.ndarray:
    """(T, 20, 3) metres in Kinect axes: upright, 2.7 m away, in the order of the files."""
    rng = np.random.default_rng(seed)
    height = {"head": 0.6, "thorax": 0.4, "spine": 0.1, "pelvis": 0.0}
    pose = np.zeros((FRAMES, 20, 3)) + [0, 0, 2.7]
    for j, joint in enumerate(MSR20.joints):
        column = skeletons.MSR_COLUMNS[j]
        side = {"l": -0.2, "r": 0.2, "m": 0.0}[MSR20.side(j)]  # x is to the camera's left
        rise = height.get(joint, 0.4 if "shoulder" in joint else -0.5)
        pose[:, column, :2] = [side, rise]
    return pose + rng.normal(0, 0.01, pose.shape)


def write(
    folder: Path, name: str, points: np.ndarray, confidence: float = 1.0, form: str = "3D"
) -> Path:
    """The authors' form: a row a joint, 20 rows a frame, no header."""
    rows = points.reshape(-1, 3)
    path = folder / f"{name}_skeleton{form}.txt"
    path.write_text("".join(f"{x:.6f} {y:.6f} {z:.6f} {confidence:.6f}\n" for x, y, z in rows))
    return path


class TestList:
    def test_of_600_are_43_left_out(self) -> None:
        listed = published_list()
        assert len(listed) == 600 - 43
        assert (13, 9, 2) not in listed and (13, 8, 2) in listed
        assert (7, 4, 1) not in listed and (7, 4, 2) in listed
        assert {s for a, s, _ in listed if a == 15} == {1, 2, 6, 7, 8, 9, 10}

    def test_counts_of_the_literature(self) -> None:
        counts = {}
        for subset, actions in SUBSETS.items():
            use = [key for key in published_list() if key[0] in actions]
            train = sum(subject % 2 for _, subject, _ in use)
            counts[subset] = (train, len(use) - train)
        assert counts == {
            "AS1": (114, 105),
            "AS2": (116, 112),
            "AS3": (111, 111),
            "all": (284, 273),
        }

    def test_test_sequences_per_class(self) -> None:
        use = Counter(action for action, subject, _ in published_list() if subject % 2 == 0)
        per_class = {name: [use[a] for a in SUBSETS[name]] for name in ("AS1", "AS2", "AS3")}
        assert per_class["AS1"] == [12, 12, 11, 11, 15, 15, 15, 14]
        assert per_class["AS2"] == [12, 12, 13, 15, 15, 15, 15, 15]
        assert per_class["AS3"] == [11, 15, 11, 15, 15, 15, 15, 14]

    def test_names(self) -> None:
        assert len(ACTIONS) == 20 and label_names()[12] == "bend"
        assert label_names(subset="AS1")[:2] == ("horizontal arm wave", "hammer")


class TestLoad:
    @pytest.fixture()
    def root(self, tmp_path: Path) -> Path:
        folder = tmp_path / "MSRAction3DSkeletonReal3D"
        folder.mkdir()
        for i, name in enumerate(("a01_s01_e01", "a02_s02_e03", "a13_s09_e02", "a18_s03_e01")):
            write(folder, name, standing(i))
        (folder / "readme.txt").write_text("not a skeleton")
        return tmp_path

    def test_whole(self, root: Path) -> None:
        with pytest.warns(UserWarning, match="1 files are not in the published list of 557.* 554 "):
            records = load(root, "all")
        assert [r.source for r in records] == [
            f"msr_action3d/{name}" for name in ("a01_s01_e01", "a02_s02_e03", "a18_s03_e01")
        ]
        assert [r.action for r in records] == [0, 1, 17] and records[1].subject == "2"
        first = records[0]
        assert first.xyz is not None and first.visible is not None and first.visible.all()
        assert first.layout == MSR20 and first.xyz.shape == (FRAMES, 20, 3)
        assert np.isnan(first.xy).all() and first.frame is None
        expected = standing(0)[:, 12] * [-1000, -1000, 1000]  # column 12 is the right hand
        np.testing.assert_allclose(first.xyz[:, MSR20.index("r_hand")], expected, atol=0.01)
        assert first.xyz[0, MSR20.index("head"), 1] < first.xyz[0, MSR20.index("pelvis"), 1]

    @pytest.mark.filterwarnings("ignore:.*published list")
    def test_splits_and_subsets(self, root: Path) -> None:
        assert [r.subject for r in load(root, "train")] == ["1", "3"]
        assert [r.subject for r in load(root, "test")] == ["2"]
        assert [r.subject for r in load(root, "train", train_subjects=[2])] == ["2"]
        as1 = load(root, "all", subset="AS1")
        assert [r.action for r in as1] == [0, 6]  # horizontal arm wave, tennis serve
        assert len(load(root, "all", listed=False)) == 4

    @pytest.mark.filterwarnings("ignore:.*published list")
    def test_the_upright_axis_is_found(self, root: Path, tmp_path: Path) -> None:
        other = tmp_path / "z_is_up"
        other.mkdir()
        for i, name in enumerate(("a01_s01_e01", "a02_s02_e03")):
            write(other, name, standing(i)[..., [0, 2, 1]])
        found = load(other, "all")
        expected = load(root / "MSRAction3DSkeletonReal3D", "all")
        for a, b in zip(found, expected, strict=False):
            np.testing.assert_allclose(np.asarray(a.xyz), np.asarray(b.xyz), atol=0.01)

    @pytest.mark.filterwarnings("ignore:.*published list")
    def test_other_axes_are_refused(self, tmp_path: Path) -> None:
        write(tmp_path, "a01_s01_e01", standing()[..., [1, 0, 2]])
        with pytest.raises(ValueError, match="second or third column"):
            load(tmp_path, "all")

    @pytest.mark.filterwarnings("ignore:.*published list")
    def test_lost_frames_are_nan(self, tmp_path: Path) -> None:
        points = standing()
        points[1] = 0
        write(tmp_path, "a01_s01_e01", points, confidence=0)
        (record,) = load(tmp_path, "all")
        assert record.xyz is not None and record.visible is not None
        assert np.isnan(record.xyz).all((1, 2)).tolist() == [False, True, False]
        assert not record.visible.any()

    @pytest.mark.filterwarnings("ignore:.*published list")
    def test_screen_form(self, root: Path, tmp_path: Path) -> None:
        points = np.random.default_rng(0).uniform(1, 200, (FRAMES, 20, 3))
        write(root, "a01_s01_e01", points, form="")
        (record,) = load(root, "all", form="screen")
        assert record.xyz is None
        np.testing.assert_allclose(
            record.xy[:, MSR20.index("r_hand")], points[:, 12, :2], rtol=1e-6
        )
        assert load(root, "all")[0].xyz is not None  # 3D is preferred

    @pytest.mark.filterwarnings("ignore:.*published list")
    def test_other_files_are_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="looked for"):
            load(tmp_path)
        path = write(tmp_path, "a01_s01_e01", standing())
        whole = path.read_text()
        # MSR DailyActivity3D: two counts, then frames of a count and 40 rows.
        daily = "78 20\n" + ("40\n" + "1 2 3 4\n" * 40) * 78
        for text in (whole[: len(whole) // 2], daily, "", "a b c d\n" * 20, whole + "1 2 3 4\n"):
            path.write_text(text)
            with pytest.raises(ValueError, match=path.name):
                load(tmp_path)
        path.write_text(whole)
        (tmp_path / "copy").mkdir()
        write(tmp_path / "copy", "a01_s01_e01", standing())
        with pytest.raises(ValueError, match="twice"):
            load(tmp_path)
        for wrong in ({"split": "val"}, {"subset": "AS4"}, {"form": "2D"}):
            with pytest.raises(ValueError, match="got"):
                load(tmp_path, **wrong)


@pytest.mark.filterwarnings("ignore:.*published list")
def test_real_sequences_written_as_text_come_back(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "skeletons" / "msr_action3d.npz"
    with np.load(path) as archive:
        table = {name: archive[name] for name in ("xyz", "start", "length", "name")}
    expected = {r.source: r for r in skeletons.load(path, "all", subset="AS1")}
    for i in range(0, 567, 60):
        rows = slice(table["start"][i], table["start"][i] + table["length"][i])
        write(tmp_path, str(table["name"][i]), table["xyz"][rows])
    records = load(tmp_path, "all", subset="AS1")
    assert len(records) >= 3
    for record in records:
        twin = expected[record.source]
        assert (record.action, record.subject) == (twin.action, twin.subject)
        np.testing.assert_allclose(np.asarray(record.xyz), np.asarray(twin.xyz), atol=0.01)
