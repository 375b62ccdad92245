"""Checking: every planted fault is found, by name and place, and a sound set has none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseact.core.layouts import COCO17, H36M17, MSR20, PA17, UTD20, Layout
from poseact.core.types import Camera, Record
from poseact.data import synthetic
from poseact.data.check import DOUBTFUL, FATAL, Fault, Report, check
from poseact.data.frames import ImageFile, ImageSequence
from poseact.data.sets import lsp
from poseact.media.pictures import write_image
from poseact.people.motions import ACTIONS
from poseact.people.scene import PeopleConfig

CONFIG = PeopleConfig(height=64, width=64, frames=4, preset="easy", seed=5)
CLIPS = 24


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Rendered clips whose pictures lie in files, as those of a data set do."""
    folder = tmp_path_factory.mktemp("people")
    records = []
    for i, record in enumerate(synthetic.load(CONFIG, CLIPS, cache=folder)):
        assert record.frame is not None
        paths = [folder / f"{i}" / f"{t}.png" for t in range(len(record))]
        for t, path in enumerate(paths):
            write_image(path, record.frame(t))
        # One class each, and one person with two views, so that every statistic has its group.
        records.append(replace(record, frame=ImageSequence(paths), action=i % 3, view="front"))
    return records


def found(report: Report, kind: str) -> Fault:
    (fault,) = [fault for fault in report.faults if fault.kind == kind]
    return fault


def names(report: Report) -> set[str]:
    return {fault.kind for fault in report.faults}


def swapped(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Left and right exchanged."""
    return values[:, list(layout.flip)]


def legs(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Left and right exchanged from the hips down."""
    parts = ("hip", "knee", "ankle")
    order = [layout.flip[j] if n[2:] in parts else j for j, n in enumerate(layout.joints)]
    return values[:, order]


def with_xyz(record: Record, move: Callable[[np.ndarray], np.ndarray]) -> Record:
    """3D moved, nothing to compare it with."""
    assert record.xyz is not None
    return replace(record, xyz=move(record.xyz), camera=None)


def longer_arm(xyz: np.ndarray, frames: slice = slice(None)) -> np.ndarray:
    xyz = xyz.copy()
    elbow, wrist = PA17.index("l_elbow"), PA17.index("l_wrist")
    xyz[frames, wrist] += 1.5 * (xyz[frames, wrist] - xyz[frames, elbow])
    return xyz


def nan_like(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, np.nan)


def test_a_sound_set_has_no_fault(sound: list[Record]) -> None:
    report = check({"train": sound[:16], "val": sound[16:]}, full=True)
    assert report.lines()[-1] == "no fault found" and not report.fatal
    assert (report.records, report.frames, report.pictures) == (24, 96, 96)
    assert report.counts["split"] == {"train": 16, "val": 8}
    assert report.counts["subject"] == {"people": 24}
    assert report.counts["action in train"] == {"class 0": 6, "class 1": 5, "class 2": 5}


def test_ten_planted_faults_are_all_found(sound: list[Record], tmp_path: Path) -> None:
    """One set, a fault in each of ten records, and each is named at its place."""
    records = list(sound)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not a picture")
    large = tmp_path / "large.png"
    write_image(large, np.zeros((70, 64, 3), np.uint8))
    records[2] = replace(records[2], frame=ImageFile(tmp_path / "gone.jpg"))
    records[3] = replace(records[3], frame=ImageFile(broken))
    records[4] = replace(records[4], frame=ImageFile(large))
    records[5] = replace(records[5], xy=records[5].xy + 90, camera=None, box=None)
    records[6] = with_xyz(records[6], lambda xyz: legs(xyz, PA17))
    records[7] = with_xyz(records[7], longer_arm)
    records[8] = replace(records[1], action=2)
    assert records[9].box is not None and records[10].visible is not None
    records[9] = replace(records[9], box=np.tile(records[9].box[:, :2], 2))
    records[10] = replace(records[10], visible=records[10].visible[:-1])
    records[11] = replace(records[11], action=7)
    report = check({"train": records}, labels=ACTIONS[:3], full=True)
    planted = {
        "picture missing": "train[2]",
        "picture unreadable": "train[3]",
        "picture size unlike its view": "train[4]",
        "most joints outside the picture": "train[5]",
        "left/right: shoulders against hips": "train[6]",
        "bone length unlike the subject's": "train[7]",
        "record twice": "train[8]",
        "box is a point": "train[9]",
        "labels of the wrong shape": "train[10]",
        "class out of range": "train[11]",
    }
    assert len(planted) == 10
    for kind, where in planted.items():
        fault = found(report, kind)
        assert fault.count == 1 and fault.examples[0].startswith(where), kind
    assert names(report) == set(planted)
    assert report.fatal
    fatal = [fault.fatal for fault in report.faults]
    assert fatal == sorted(fatal, reverse=True)
    assert len(report.lines()) == 1 + len(report.counts) + 10


class TestEachOfTheOthers:
    """The rest of the list, each planted alone in a sound set and found alone."""

    def one(self, sound: list[Record], record: Record, kind: str) -> Report:
        report = check({"train": [record, *sound[1:]]}, full=True)
        fault = found(report, kind)
        assert fault.count == 1 and fault.examples[0].startswith("train[0]")
        assert names(report) == {kind}
        assert report.fatal == (kind in FATAL)
        return report

    def test_infinite(self, sound: list[Record]) -> None:
        xy = sound[0].xy.copy()
        xy[1, 3, 0] = np.inf
        self.one(sound, replace(sound[0], xy=xy), "infinite coordinates")

    def test_pictures_in_some_records_only(self, sound: list[Record]) -> None:
        self.one(sound, replace(sound[0], frame=None), "record without pictures")
        bare = [replace(record, frame=None) for record in sound]
        report = check({"train": bare})
        assert names(report) == {"no pictures at all"} and not report.fatal

    def test_a_picture_that_is_no_rgb(self, sound: list[Record]) -> None:
        grey = replace(sound[0], frame=lambda t: np.zeros((64, 64), np.uint8))
        self.one(sound, grey, "picture of the wrong form")
        tiny = replace(sound[0], frame=lambda t: np.zeros((8, 8, 3), np.uint8), xy=sound[0].xy / 8)
        tiny = replace(tiny, box=None, camera=None)
        self.one(sound, tiny, "picture of the wrong form")

    def test_sizes_change_within_a_clip(self, sound: list[Record]) -> None:
        sizes = [64, 64, 60, 64]
        shapes = replace(sound[0], frame=lambda t: np.zeros((sizes[t], 64, 3), np.uint8), view="x")
        self.one(sound, shapes, "picture size changes")

    def test_nothing_known(self, sound: list[Record]) -> None:
        a = sound[0]
        empty = replace(a, xy=nan_like(a.xy), xyz=None, box=None, action=None)
        self.one(sound, empty, "nothing known")

    def test_a_visible_joint_outside(self, sound: list[Record]) -> None:
        ankle = PA17.index("l_ankle")
        xy, visible = sound[0].xy.copy(), np.ones(sound[0].xy.shape[:2], bool)
        xy[2, ankle] = [-6, 30]
        a = replace(sound[0], xy=xy, visible=visible, box=None, xyz=None)
        self.one(sound, a, "joint outside the picture")
        hidden = visible.copy()
        hidden[2, ankle] = False
        report = check({"train": [replace(a, visible=hidden), *sound[1:]]}, full=True)
        assert not report.faults
        xy[2, ankle] = [-30, 30]
        self.one(sound, replace(a, xy=xy, visible=None), "joint outside the picture")

    def test_boxes(self, sound: list[Record]) -> None:
        box = sound[0].box
        assert box is not None
        upside = box[:, [0, 3, 2, 1]]
        self.one(sound, replace(sound[0], box=upside), "box upside down or flat")
        self.one(sound, replace(sound[0], box=box + 60), "joint far from its box")

    def test_sides_change_places_in_one_frame(self, sound: list[Record]) -> None:
        kind = "left/right: sides change places"
        wide = next(i for i, r in enumerate(sound) if found_wide(r))
        record = sound[wide]
        xy = record.xy.copy()
        xy[2] = swapped(xy, PA17)[2]
        others = [r for i, r in enumerate(sound) if i != wide]
        flat = replace(record, xy=xy, xyz=None)
        self.one([record, *others], flat, kind)

    def test_knees_that_bend_backwards(self, sound: list[Record]) -> None:
        kind = "left/right: knees bend backwards"
        bent = [r for r in sound if names(check({"train": [mirrored(r)]})) == {kind}]
        assert len(bent) >= CLIPS // 4  # the others keep their legs straight
        report = check({"train": sound})
        assert report.faults == ()  # and none of them bends backwards as it is

    def test_metres(self, sound: list[Record]) -> None:
        metres = replace(with_xyz(sound[0], lambda xyz: xyz / 1000), subject="other")
        self.one(sound, metres, "3D is not in millimetres")

    def test_a_bone_that_grows(self, sound: list[Record]) -> None:
        grown = with_xyz(sound[0], lambda xyz: longer_arm(xyz, slice(1, 2)))
        self.one(sound, grown, "bone length changes")

    def test_a_camera_of_another(self, sound: list[Record]) -> None:
        camera = sound[0].camera
        assert camera is not None
        other = Camera(**{**vars(camera), "c": camera.c + 12})
        self.one(sound, replace(sound[0], camera=other), "xyz does not project onto xy")

    def test_a_record_of_the_test_in_training(self, sound: list[Record]) -> None:
        report = check({"train": sound[:16], "test": [*sound[16:], sound[3]]})
        fault = found(report, "record in two splits")
        assert fault.examples == ("test[8] = train[3]",)
        assert names(report) == {"record in two splits"}

    def test_twins_without_labels_are_known_by_their_files(self, sound: list[Record]) -> None:
        bare = [replace(r, xy=nan_like(r.xy), xyz=None, box=None, camera=None) for r in sound]
        assert not check({"train": bare}).faults
        assert names(check({"train": [*bare, bare[5]]})) == {"record twice"}

    def test_classes(self, sound: list[Record]) -> None:
        many = [replace(r, action=0) for r in sound[:22]]
        splits = {
            "train": [*many, replace(sound[22], action=1)],
            "val": [replace(sound[23], action=2)],
        }
        report = check(splits, labels=("walk", "run", "jump", "swim"))
        assert found(report, "classes unbalanced").examples == ("run 1 to 22",)
        assert found(report, "class only tested").examples == ("jump",)
        absent = found(report, "class without records")
        assert absent.count == 5 and absent.examples == ("train jump", "train swim", "val walk")
        assert not report.fatal

    def test_an_empty_split(self, sound: list[Record]) -> None:
        report = check({"train": sound, "val": []})
        assert found(report, "split without records").examples == ("val",) and report.fatal
        with pytest.raises(ValueError, match="nothing to check"):
            check({})


def mirrored(record: Record) -> Record:
    """3D in which left and right are exchanged throughout."""
    return replace(
        with_xyz(record, lambda xyz: swapped(xyz, PA17)), xy=nan_like(record.xy), box=None
    )


def found_wide(record: Record) -> bool:
    """Shoulders and hips are seen from front or back in every frame, and hardly move."""
    g = {
        name: record.xy[:, PA17.index(name)]
        for name in ("l_shoulder", "r_shoulder", "l_hip", "r_hip")
    }
    tall = np.linalg.norm(g["l_shoulder"] - g["l_hip"], axis=-1)
    wide = [np.linalg.norm(g[f"l_{p}"] - g[f"r_{p}"], axis=-1) / tall for p in ("shoulder", "hip")]
    calm = max(np.ptp(points, axis=0).max() for points in g.values()) < 3
    return bool((np.minimum(*wide) > 0.45).all()) and calm


def test_a_sample_of_pictures_is_read_unless_all_are_asked_for(sound: list[Record]) -> None:
    reads: list[int] = []

    def frame(t: int) -> np.ndarray:
        reads.append(t)
        return np.zeros((64, 64, 3), np.uint8)

    records = [replace(record, frame=frame) for record in sound]
    check({"train": records}, pictures=6)
    assert 6 <= len(reads) <= 12
    reads.clear()
    report = check({"train": records}, full=True)
    assert len(reads) == report.pictures == sum(map(len, records))


def test_a_missing_file_is_found_without_reading(sound: list[Record], tmp_path: Path) -> None:
    gone = replace(sound[7], frame=ImageFile(tmp_path / "gone.jpg"))
    report = check({"train": [*sound[:7], gone, *sound[8:]]}, pictures=1)
    assert found(report, "picture missing").examples == (f"train[7] {tmp_path / 'gone.jpg'}",)


def test_examples_are_few_and_counts_whole(sound: list[Record], tmp_path: Path) -> None:
    records = [replace(r, frame=ImageFile(tmp_path / f"{i}.jpg")) for i, r in enumerate(sound)]
    fault = found(check({"train": records}), "picture missing")
    assert fault.count == fault.tested == CLIPS and len(fault.examples) == 3
    assert str(fault).startswith(f"FATAL  picture missing: {CLIPS} of {CLIPS} (train[0] ")
    assert str(fault).endswith(", ...); restore the file or leave its record out")


def test_every_fault_has_a_mend() -> None:
    assert not FATAL.keys() & DOUBTFUL.keys() and all((FATAL | DOUBTFUL).values())


def test_many_records_quickly_and_with_progress() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(20, 200, (1, 17, 2))
    records = [Record(None, base + i, COCO17, action=0) for i in range(3000)]
    done: list[int] = []
    start = time.process_time()
    report = check({"train": records}, progress=done.append)
    assert report.records == sum(done) == 3000
    assert time.process_time() - start < 6  # some 0.2 ms each


def test_real_photos(shared_data: Path) -> None:
    records = lsp.load(shared_data / "lspet", "val")
    report = check({"val": records}, pictures=50)
    assert not report.fatal
    # Crowd-sourced: a few records have shoulders or hips exchanged, and look it.
    assert names(report) <= {"left/right: shoulders against hips", "joint outside the picture"}
    assert found(report, "left/right: shoulders against hips").count < 0.06 * len(records)


def skeletons(path: Path, layout: Layout, *, key: str = "xyz") -> list[Record]:
    with np.load(path) as archive:
        xyz = 1000 * archive[key].astype(np.float32)
        spans = zip(archive["start"], archive["length"], strict=True)
        return [
            Record(None, nan_like(xyz[a : a + n, :, :2]), layout, xyz=xyz[a : a + n])
            for a, n in list(spans)[::4]
        ]


def test_knees_tell_left_from_right_in_real_skeletons(shared_data: Path) -> None:
    """Of two Kinect sets one is right as stored; in the other an axis points the other way."""
    kind = "left/right: knees bend backwards"
    folder = shared_data / "skeletons"
    right = check({"all": skeletons(folder / "utd_mhad.npz", UTD20)})
    assert kind not in names(right) or found(right, kind).count <= 2
    wrong = found(check({"all": skeletons(folder / "msr_action3d.npz", MSR20)}), kind)
    assert wrong.count > 0.8 * wrong.tested and wrong.tested >= 15


def test_motion_capture_has_its_sides_right(shared_data: Path) -> None:
    records = skeletons(shared_data / "mocap" / "cmu17.npz", H36M17, key="rel")
    turned = [
        with_xyz(r, lambda xyz: xyz * np.array([1, -1, -1], np.float32)) for r in records
    ]  # y up
    report = check({"all": turned})
    assert "left/right: knees bend backwards" not in names(report)
    exchanged = [replace(r, xyz=swapped(r.xyz, H36M17)) for r in turned if r.xyz is not None]
    fault = found(check({"all": exchanged}), "left/right: knees bend backwards")
    assert fault.count == fault.tested > 40
